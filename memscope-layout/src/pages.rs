//! The pages of a file that is being read. They are given back now and then.
//!
//! Otherwise all that is read stays resident until the end, which is most of a large file.

use std::{cell::Cell, fmt};

/// This many bytes are read before the pages are given back.
const MOST_RESIDENT: usize = 4 << 20;
/// What counts as read for an entry somewhere in the file: a page, and those that the system loads
/// with it.
const SOMEWHERE: usize = 8 << 10;
/// What counts as read for an entry behind another one.
const NEXT: usize = 16;

pub(crate) struct Pages<'f> {
    forget: &'f dyn Fn(),
    read: Cell<usize>,
}

impl<'f> Pages<'f> {
    /// `forget` gives back the pages that were read.
    pub(crate) fn new(forget: &'f dyn Fn()) -> Self {
        Self { forget, read: Cell::new(0) }
    }

    pub(crate) fn note_entry_somewhere(&self) {
        self.note(SOMEWHERE);
    }

    pub(crate) fn note_next_entry(&self) {
        self.note(NEXT);
    }

    /// Notes that this many bytes were read.
    pub(crate) fn note(&self, bytes: usize) {
        self.read.set(self.read.get().saturating_add(bytes));
        if self.read.get() >= MOST_RESIDENT {
            self.forget();
        }
    }

    pub(crate) fn forget(&self) {
        self.read.set(0);
        (self.forget)();
    }
}

impl fmt::Debug for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("read", &self.read).finish_non_exhaustive()
    }
}
