//! The figures of mimalloc.

use std::ptr;

use crate::model::AllocatorUsage;

/// mimalloc says what it has committed, and not what it has handed out. So what it keeps free is
/// the difference to the live bytes: its rounding of sizes is in it.
pub(super) fn usage(live_bytes: Option<u64>) -> Option<AllocatorUsage> {
    let mut committed = 0_usize;
    let none = ptr::null_mut();
    // SAFETY: each pointer is null, for a figure that is not wanted, or to memory for a number.
    unsafe {
        libmimalloc_sys::mi_process_info(
            none,
            none,
            none,
            none,
            none,
            &raw mut committed,
            none,
            none,
        );
    }
    let free_bytes = (committed as u64).checked_sub(live_bytes?)?;
    Some(AllocatorUsage { used_bytes: None, free_bytes })
}
