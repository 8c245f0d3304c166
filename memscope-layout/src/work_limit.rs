//! What a file may cost: a damaged one can refer to itself, or to the same text a million times.

use std::cell::Cell;

use crate::error::Kind;

/// Bytes of result per byte of debug information, and those that the smallest file may have.
const TEXT_FACTOR: u64 = 4;
const TEXT_LEAST: u64 = 16 << 20;
/// Entries read beyond one per byte of debug information: healthy files need about one per ten.
const STEPS_LEAST: u64 = 1 << 20;

/// How many entries may still be read, and bytes be kept.
///
/// Readers that find it spent stop early and return what they have; [`check`](Self::check) then
/// turns it all down.
#[derive(Debug)]
pub(crate) struct WorkLimit {
    steps: Cell<u64>,
    bytes: Cell<u64>,
    is_spent: Cell<bool>,
}

impl WorkLimit {
    /// For a file with so many bytes of debug information.
    pub(crate) fn new(debug_bytes: u64) -> Self {
        Self {
            steps: Cell::new(debug_bytes.saturating_add(STEPS_LEAST)),
            bytes: Cell::new(debug_bytes.saturating_mul(TEXT_FACTOR).saturating_add(TEXT_LEAST)),
            is_spent: Cell::new(false),
        }
    }

    /// Whether one more entry may be read.
    pub(crate) fn step(&self) -> bool {
        self.take(&self.steps, 1)
    }

    /// Whether so many more bytes may be kept.
    pub(crate) fn keep(&self, bytes: usize) -> bool {
        self.take(&self.bytes, bytes as u64)
    }

    fn take(&self, from: &Cell<u64>, amount: u64) -> bool {
        let left = from.get().checked_sub(amount).filter(|_| !self.is_spent.get());
        match left {
            Some(left) => from.set(left),
            None => self.is_spent.set(true),
        }
        left.is_some()
    }

    pub(crate) fn check(&self) -> Result<(), Kind> {
        if self.is_spent.get() { Err(Kind::TooMuch) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_budget_stays_spent() {
        let limit = WorkLimit::new(0);
        assert!(limit.keep(1 << 20));
        assert!(!limit.keep(usize::MAX), "more than there is");
        assert!(!limit.step(), "and from then on nothing");
        assert!(matches!(limit.check(), Err(Kind::TooMuch)));
    }
}
