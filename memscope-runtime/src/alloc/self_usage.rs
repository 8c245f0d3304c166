//! Memscope's own memory in the program's heap: buffers for reports, and the readings that a
//! snapshot keeps. No task or thread is charged with it.

use crate::primitives::sync::{AtomicI64, Ordering};

static BYTES: AtomicI64 = AtomicI64::new(0);
static BLOCKS: AtomicI64 = AtomicI64::new(0);

pub(crate) fn add(bytes: usize) {
    BYTES.fetch_add(bytes.cast_signed() as i64, Ordering::Relaxed);
    BLOCKS.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn remove(bytes: usize) {
    BYTES.fetch_sub(bytes.cast_signed() as i64, Ordering::Relaxed);
    BLOCKS.fetch_sub(1, Ordering::Relaxed);
}

/// Returns the live bytes and blocks.
pub(crate) fn live() -> (u64, u64) {
    let now = |count: &AtomicI64| u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0);
    (now(&BYTES), now(&BLOCKS))
}
