//! Tasks with an account that is open, as the copy has listed them.

use std::ptr;

use super::listing::OPEN_WORDS;
use crate::{
    accounting::{FutureType, Site},
    alloc::cells::HeaderWords,
    model::TaskState,
};

/// A task with an account that is open.
pub(super) struct Open {
    pub(super) id: u64,
    pub(super) live_bytes: u64,
    pub(super) state: TaskState,
    pub(super) site: Option<&'static Site>,
    pub(super) future: &'static FutureType,
    pub(super) parent: u64,
    /// Its cell, and the header there; `None`: it is not known.
    pub(super) cell: Option<(usize, HeaderWords)>,
    pub(super) is_spawned: bool,
    /// Whether it has a row.
    pub(super) is_told: bool,
    /// The number of its state machine.
    pub(super) coroutine: Option<usize>,
}

impl Open {
    pub(super) fn of(words: &[u64; OPEN_WORDS]) -> Self {
        let [id, _, live_bytes, state, site, future, parent, cell, vtable, state_word] = *words;
        // SAFETY: the address of a static, or of an item in an arena, which lives for ever. The
        // copy of this process has told it.
        let future = unsafe { &*ptr::with_exposed_provenance::<FutureType>(future as usize) };
        let words = HeaderWords { vtable, state: state_word };
        Self {
            id,
            live_bytes,
            state: TaskState::from_u8(u8::try_from(state).unwrap_or(u8::MAX)),
            site: u32::try_from(site).ok().and_then(Site::at),
            future,
            parent,
            cell: (vtable != 0).then_some((cell as usize, words)),
            is_spawned: cell != 0,
            is_told: false,
            coroutine: None,
        }
    }

    /// Whether it is a future or a spawned closure: spans and streams are parts of others.
    pub(super) fn is_task(&self) -> bool {
        self.future.is_annotated && (self.future.vtable.is_some() || self.is_spawned)
    }
}
