//! The files that calls are in, and what these files tell of the calls of a saved snapshot.

use std::{collections::HashSet, sync::Arc};

use super::MemorySnapshot;
use crate::model::{Library, StackFrame, symbol, text};

/// The most calls of a stack, with those that were inlined.
const MOST_CALLS: usize = 512;

impl MemorySnapshot {
    /// The shared libraries that calls in [`stacks`](Self::stacks) are in, as far as they are
    /// known. The [program](Self::program) itself is not among them.
    pub fn libraries(&self) -> &[Library] {
        &self.parts.libraries
    }
}

/// Replaces each call in the stacks by what `explain` makes of it: the functions that were inlined
/// there, innermost first, and the function itself. `None` leaves it as it is. Calls inside of
/// allocators are left out, as far as they have names.
///
/// Does nothing while other handles to the snapshot exist.
pub fn explain_calls(
    snapshot: &mut MemorySnapshot,
    mut explain: impl FnMut(&StackFrame) -> Option<Vec<StackFrame>>,
) {
    let Some(parts) = Arc::get_mut(&mut snapshot.parts) else { return };
    let mut without_name = HashSet::new();
    for stack in &mut parts.stacks {
        let mut calls = Vec::with_capacity(stack.frames.len());
        for call in std::mem::take(&mut stack.frames) {
            match explain(&call) {
                // `explain` returns the inlined functions again.
                Some(_) if call.is_inlined => {}
                Some(explained) => calls.extend(explained.into_iter().map(bounded)),
                None => calls.push(call),
            }
        }
        let names: Vec<_> = calls.iter().map(|call| &*call.function).collect();
        calls.drain(..symbol::allocator_calls(&names));
        stack.is_cut |= calls.len() > MOST_CALLS;
        calls.truncate(MOST_CALLS);
        let unnamed = calls.iter().filter(|call| call.function.is_empty());
        without_name.extend(unnamed.map(|call| call.address));
        stack.frames = calls;
    }
    // No process looks for names any more.
    parts.stack_names_pending = parts.stack_names_pending.min(without_name.len() as u64);
}

/// The call with texts of a length that tables can show.
fn bounded(call: StackFrame) -> StackFrame {
    StackFrame {
        function: text::type_name(&call.function).into_owned().into(),
        file: call.file.map(|file| text::file(&file).into_owned().into()),
        ..call
    }
}
