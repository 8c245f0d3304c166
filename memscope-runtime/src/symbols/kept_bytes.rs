//! How many bytes the names, libraries and details take that are kept for ever.

use crate::primitives::sync::{AtomicU64, Ordering};

static BYTES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn kept_bytes() -> u64 {
    BYTES.load(Ordering::Relaxed)
}

/// Counts a value that was just kept.
pub(super) fn note<T: ?Sized>(value: &T) {
    BYTES.fetch_add(size_of_val(value) as u64, Ordering::Relaxed);
}
