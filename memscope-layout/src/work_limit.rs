//! Limits how much work and memory one file may cost. A damaged file can refer to itself, or to the
//! same text a million times.

use std::cell::Cell;

use crate::error::Kind;

/// Bytes that the result may take for each byte of debug information, and the least for any file.
const TEXT_FACTOR: u64 = 4;
const TEXT_LEAST: u64 = 16 << 20;
/// Entries that may be read beyond one for each byte of debug information. Healthy files need about
/// one entry for ten bytes.
const STEPS_LEAST: u64 = 1 << 20;

/// The entries that may still be read, and the bytes that may still be kept.
///
/// A reader that finds the limit reached stops early and returns what it has.
/// [`check`](Self::check) then rejects the whole result.
#[derive(Debug)]
pub(crate) struct WorkLimit {
    steps: Cell<u64>,
    bytes: Cell<u64>,
    is_spent: Cell<bool>,
}

impl WorkLimit {
    /// Makes the limit for a file with this many bytes of debug information.
    pub(crate) fn new(debug_bytes: u64) -> Self {
        Self {
            steps: Cell::new(debug_bytes.saturating_add(STEPS_LEAST)),
            bytes: Cell::new(debug_bytes.saturating_mul(TEXT_FACTOR).saturating_add(TEXT_LEAST)),
            is_spent: Cell::new(false),
        }
    }

    /// Takes one entry from the limit. Returns `false` if none is left.
    pub(crate) fn step(&self) -> bool {
        self.take(&self.steps, 1)
    }

    /// Takes this many bytes from the limit. Returns `false` if fewer are left.
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
