//! The calls of a part, the outermost first, with the names that all formats give them.

use std::{borrow::Cow, iter, slice};

use memscope_runtime::{
    __terminal::visible,
    async_memory::{AwaitFrame, SiteProfile, StackFrame, StackProfile},
};

use crate::attribution::{Basis, Calls, Owner, Part};

/// The root of parts without a stack.
pub(crate) const NO_STACK: &str = "(no stack)";
/// The root of a stack whose outer calls are not known.
const CUT: &str = "(calls further out)";
/// The name between an owner and its estimates, in formats without labels.
const ESTIMATES: &str = "≈ sampled stacks";

/// One call, or a name in the place of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Call<'s> {
    /// The name, in which characters that a terminal would not show are escaped.
    pub(crate) name: String,
    pub(crate) file: &'s str,
    /// The line, or 0 if it is not known.
    pub(crate) line: u32,
    pub(crate) place: Option<CodePlace<'s>>,
}

/// Where the code of a call was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CodePlace<'s> {
    pub(crate) address: u64,
    /// The file that was loaded there, if it is known.
    pub(crate) file: Option<LoadedFile<'s>>,
}

/// A file of code, where it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LoadedFile<'s> {
    pub(crate) start: u64,
    /// The path of a shared library, or `None` for the program itself.
    pub(crate) library: Option<&'s str>,
}

impl<'s> Call<'s> {
    fn named(name: &str) -> Self {
        Self { name: visible(name).to_string(), file: "", line: 0, place: None }
    }

    fn of_site(site: &'s SiteProfile) -> Self {
        // NOTE: with this prefix no site is taken for a function, or for one of the names above.
        let name = format!("site {}", site.name);
        Self { file: &site.file, line: site.line, ..Self::named(&name) }
    }

    fn of_frame(frame: &'s StackFrame) -> Self {
        // A field that is new here may change what a call means.
        let StackFrame { function, file, line, address, offset, library, is_inlined: _ } = frame;
        let name = if function.is_empty() {
            Cow::Owned(frame_without_name(frame))
        } else {
            Cow::Borrowed(&**function)
        };
        let start = offset.and_then(|offset| address.checked_sub(offset));
        let loaded = start.map(|start| LoadedFile { start, library: library.as_deref() });
        let place = CodePlace { address: *address, file: loaded };
        let file = file.as_deref().unwrap_or_default();
        Self { file, line: line.unwrap_or(0), place: Some(place), ..Self::named(&name) }
    }

    fn of_await(frame: &'s AwaitFrame) -> Self {
        Self { file: &frame.file, line: frame.line, ..Self::named(&frame.function) }
    }
}

/// `program+0x1a2b`.
fn frame_without_name(frame: &StackFrame) -> String {
    StackFrame { file: None, line: None, ..frame.clone() }.to_string()
}

impl<'s> Owner<'s> {
    fn call(self) -> Call<'s> {
        match self {
            Self::Site(site) => Call::of_site(site),
            Self::NoRow => Call::named("(sites without a row)"),
            Self::NoTask => Call::named("(no task)"),
        }
    }
}

impl<'s> Part<'s> {
    /// The calls alone, for formats whose labels name the owner. A part without a stack is below a
    /// root of its own, by owner.
    pub(crate) fn calls(&self) -> Vec<Call<'s>> {
        let outer = match self.calls {
            Calls::Stack(_) => Vec::new(),
            Calls::Await(_) | Calls::Unknown => vec![Call::named(NO_STACK), self.owner.call()],
        };
        outer.into_iter().chain(self.inner_calls()).collect()
    }

    /// The calls below their owner, for formats without labels.
    pub(crate) fn calls_by_owner(&self) -> Vec<Call<'s>> {
        let mark = if let Basis::Estimate { .. } = self.basis { ESTIMATES } else { NO_STACK };
        let outer = [self.owner.call(), Call::named(mark)];
        outer.into_iter().chain(self.inner_calls()).collect()
    }

    fn inner_calls(&self) -> Box<dyn Iterator<Item = Call<'s>> + 's> {
        match self.calls {
            Calls::Stack(stack) => Box::new(stack_calls(stack)),
            Calls::Await(at) => Box::new(at.frames.iter().map(Call::of_await)),
            Calls::Unknown => Box::new(iter::empty()),
        }
    }
}

fn stack_calls(stack: &StackProfile) -> impl Iterator<Item = Call<'_>> {
    let frames: slice::Iter<'_, StackFrame> = stack.frames.iter();
    // A stack without any frame has only the name of what was cut.
    let is_cut = stack.is_cut || stack.frames.is_empty();
    is_cut.then(|| Call::named(CUT)).into_iter().chain(frames.rev().map(Call::of_frame))
}
