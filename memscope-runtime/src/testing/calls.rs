//! Files and lines of calls, from the test program's own debug information.

use crate::{model::StackFrame, snapshot::MemorySnapshot};

/// What is known of the program's calls.
#[derive(Debug)]
pub(super) struct Calls {
    /// `None` without debug information, and if the program's file is not there any more.
    #[cfg(feature = "layout")]
    program: Option<memscope_layout::Symbolizer>,
}

#[cfg(feature = "layout")]
impl Calls {
    /// Opens the file of the program. A file of another build tells nothing.
    pub(super) fn of(snapshot: &MemorySnapshot) -> Self {
        let own = snapshot.program();
        let opened = own.and_then(|it| memscope_layout::Symbolizer::open(&it.path).ok());
        let id = own.and_then(|it| it.build_id.as_deref());
        Self { program: opened.filter(|file| id.is_some() && file.build_id() == id) }
    }

    /// The calls with their files and lines, and those that were inlined there.
    pub(super) fn with_lines(&self, frames: &[StackFrame]) -> Vec<StackFrame> {
        let Some(program) = &self.program else { return frames.to_vec() };
        let mut calls = Vec::new();
        for frame in frames {
            let own = frame.offset.filter(|_| frame.library.is_none());
            let explained = own.map(|offset| program.frames(program.base_address() + offset));
            match explained.filter(|it| !it.is_empty()) {
                // The functions that were inlined there stand before the last one, which has them
                // all.
                Some(_) if frame.is_inlined => {}
                Some(explained) => calls.extend(explained.into_iter().map(|call| StackFrame {
                    function: call.function.map_or_else(|| frame.function.clone(), Into::into),
                    file: call.file.map(Into::into),
                    line: call.line,
                    is_inlined: call.is_inlined,
                    ..frame.clone()
                })),
                None => calls.push(frame.clone()),
            }
        }
        calls
    }
}

#[cfg(not(feature = "layout"))]
impl Calls {
    pub(super) fn of(_: &MemorySnapshot) -> Self {
        Self {}
    }

    #[expect(clippy::unused_self, reason = "as where lines are known")]
    pub(super) fn with_lines(&self, frames: &[StackFrame]) -> Vec<StackFrame> {
        frames.to_vec()
    }
}
