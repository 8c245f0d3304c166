//! The id of the task that Tokio polls or drops on this thread.

use std::hash::{Hash, Hasher};

use super::charged;
use crate::primitives::BUSY;

/// Asks Tokio for the first time on this thread, where it is not known whether Tokio has run. The
/// caller makes sure that no allocation inside asks Tokio again.
///
/// Tokio registers the destructor of a thread-local here, which may allocate. Later calls only
/// read. Once that destructor has run, Tokio reports no task.
pub(crate) fn introduce() {
    let _ = tokio::task::try_id();
}

/// Returns the id of Tokio's current task, on a thread where Tokio may be asked.
#[inline]
pub(super) fn tokio_id() -> Option<u64> {
    usable(current_digits())
}

/// Returns the number in the id of Tokio's current task, 0 for none. Reads it where Tokio keeps it,
/// if that place is known.
#[inline]
pub(super) fn current_digits() -> u64 {
    charged::word().unwrap_or_else(tokio_digits)
}

/// Asks Tokio for the number in the id of its current task; 0 if there is no task.
pub(super) fn tokio_digits() -> u64 {
    digits(tokio::task::try_id())
}

/// Returns the number in Tokio's id.
pub(crate) fn number(id: tokio::task::Id) -> Option<u64> {
    usable(digits(Some(id)))
}

/// Returns the number, unless it could mean an empty or a busy slot.
pub(super) fn usable(number: u64) -> Option<u64> {
    (number != 0 && number & BUSY == 0).then_some(number)
}

/// Returns the number in Tokio's id; 0 if there is no id.
#[inline]
pub(super) fn digits(id: Option<tokio::task::Id>) -> u64 {
    /// Receives the one number that an id hashes.
    struct Number(u64);

    impl Hasher for Number {
        fn write(&mut self, bytes: &[u8]) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = *from;
            }
            self.0 = u64::from_ne_bytes(word);
        }

        fn write_u64(&mut self, number: u64) {
            self.0 = number;
        }

        fn finish(&self) -> u64 {
            self.0
        }
    }

    let mut number = Number(0);
    if let Some(id) = id {
        id.hash(&mut number);
    }
    number.0
}
