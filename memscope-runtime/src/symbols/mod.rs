//! Names of functions, from the symbol tables of the program's files.
//!
//! A name is looked up once for each address, by memscope's own thread `memscope-names`, and kept.
//! Reports only read what is kept: [`call_at`]. So a report that is made before a name is there
//! shows none, and the next one has it.

pub(crate) mod notes;

#[cfg(feature = "symbols")]
mod detail;
#[cfg(all(feature = "symbols", feature = "tokio"))]
mod drop_glue;
#[cfg(feature = "symbols")]
mod kept_bytes;
#[cfg(feature = "symbols")]
mod libraries;
#[cfg(feature = "symbols")]
pub(crate) mod modules;
#[cfg(feature = "symbols")]
mod names;
#[cfg(feature = "symbols")]
mod sources;
#[cfg(feature = "symbols")]
mod stack_names;
#[cfg(all(feature = "symbols", feature = "tokio"))]
mod task_names;
#[cfg(feature = "symbols")]
mod thread;

#[cfg(feature = "symbols")]
pub(crate) use kept_bytes::kept_bytes;
#[cfg(feature = "symbols")]
pub(crate) use libraries::Library;
#[cfg(feature = "symbols")]
pub(crate) use names::{call_at, explain, left_out, resolve};
#[cfg(feature = "symbols")]
pub(crate) use sources::{MOST_LOOKING_UP, look_up_tasks, look_up_until};
#[cfg(feature = "symbols")]
pub(crate) use sources::{wait_for_names, wait_for_names_once, want_if_waiting};
#[cfg(feature = "symbols")]
pub(crate) use stack_names::{name_stacks_ahead, want_ahead, want_stack_names};
#[cfg(not(feature = "symbols"))]
pub(crate) use without::*;

use crate::model::{StackFrame, text};
#[cfg(all(feature = "symbols", unix))]
use crate::primitives::fork;

/// What is known of the function at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "all are made with the feature `symbols` alone")]
pub(crate) enum Lookup {
    /// No thread has looked for it yet.
    NotLookedUp,
    /// The address lies in no function whose name is known.
    Unknown,
    Known(&'static str),
}

impl Lookup {
    /// The name; empty if none is known.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Known(name) => name,
            Self::NotLookedUp | Self::Unknown => "",
        }
    }
}

/// What is known of the code at an address.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(all(feature = "symbols", feature = "tokio")),
    allow(dead_code, reason = "tasks are named by it")
)]
pub(crate) struct Call {
    pub(crate) name: Lookup,
    pub(crate) library: Option<&'static Library>,
    pub(crate) detail: &'static Detail,
    /// Whether no more names are going to be known.
    pub(crate) is_named: bool,
    /// Whether nothing more is going to be known: no names, and no lines.
    pub(crate) is_settled: bool,
}

impl Call {
    /// The functions at the call, the innermost first: those that were inlined there, and the
    /// function itself. `at` has the address.
    pub(crate) fn frames(self, at: StackFrame) -> impl Iterator<Item = StackFrame> {
        let inlined = self.detail.inlined.iter().map(|it| (it.name, it.line, true));
        let functions = inlined.chain([(self.name.text(), self.detail.line, false)]);
        functions.map(move |(name, line, is_inlined)| StackFrame {
            function: text::type_name(name),
            file: line.map(|it| text::file(it.file)),
            line: line.map(|it| it.number),
            is_inlined,
            ..at.clone()
        })
    }
}

/// What debug information adds to a function's symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detail {
    /// Functions of the program, or of a library that it calls: the innermost first.
    pub(crate) inlined: &'static [Inlined],
    /// A function of Tokio's with its type parameters, if the symbol lacks them.
    #[cfg_attr(
        not(all(feature = "symbols", feature = "tokio")),
        allow(dead_code, reason = "it names tasks of Tokio")
    )]
    pub(crate) typed: Option<&'static str>,
    /// The line in the function itself, if that is the program's or a library's that it calls.
    pub(crate) line: Option<Line>,
}

/// A function that the compiler has put into another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inlined {
    pub(crate) name: &'static str,
    pub(crate) line: Option<Line>,
}

/// A line of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) file: &'static str,
    pub(crate) number: u32,
}

/// Called in a forked child, which has no thread that looks up names.
#[cfg(all(feature = "symbols", unix))]
pub(crate) fn forked() {
    thread::forked();
    if names::forked() {
        fork::note_left_behind(1);
    }
}

/// Without the feature `symbols` no function has a name.
#[cfg(not(feature = "symbols"))]
#[allow(dead_code, reason = "as with the feature")]
mod without {
    use std::time::{Duration, Instant};

    use super::{Call, Detail, Lookup};

    /// No library is known.
    #[derive(Debug)]
    pub(crate) struct Library {
        pub(crate) path: &'static str,
        pub(crate) build_id: Option<&'static str>,
    }

    impl Library {
        #[expect(clippy::unused_self, reason = "as with the feature")]
        pub(crate) fn offset_of(&self, _: usize) -> u64 {
            0
        }
    }

    pub(crate) fn call_at(_: usize) -> Call {
        let detail = &Detail { inlined: &[], typed: None, line: None };
        let (name, library) = (Lookup::Unknown, None);
        Call { name, library, detail, is_named: true, is_settled: true }
    }

    pub(crate) fn want_stack_names() -> bool {
        false
    }

    pub(crate) fn name_stacks_ahead() {}

    pub(crate) fn want_ahead() {}

    pub(crate) fn want_if_waiting() -> u64 {
        0
    }

    pub(crate) fn wait_for_names() -> u64 {
        0
    }

    pub(crate) fn wait_for_names_once() {}

    pub(crate) const MOST_LOOKING_UP: Duration = Duration::ZERO;

    pub(crate) fn look_up_until(_: Instant) {}

    pub(crate) fn look_up_tasks() {}

    pub(crate) fn left_out() -> u64 {
        0
    }

    pub(crate) fn kept_bytes() -> u64 {
        0
    }
}
