//! The GNU C library's figures of its heap.

use std::{ffi::c_void, hint::black_box, mem};

use crate::{
    alloc::current::exempt,
    model::AllocatorUsage,
    primitives::sync::{AtomicU8, Ordering},
};

type MallInfo = unsafe extern "C" fn() -> libc::mallinfo2;

/// The C library's figures, if the program's blocks are from its heap: they could also be of a heap
/// that only C libraries use.
///
/// The C library walks over its arenas and their free blocks, each under its lock.
pub(super) fn usage_of_program() -> Option<AllocatorUsage> {
    let mallinfo = mallinfo()?;
    is_of_program(mallinfo).then(|| usage(mallinfo))
}

/// Returns `None` before version 2.33, and with another C library.
fn mallinfo() -> Option<MallInfo> {
    // Looked up, so that a program built here still runs with an older library.
    // SAFETY: the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"mallinfo2".as_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: a function of that name has had this type since it exists.
    Some(unsafe { mem::transmute::<*mut c_void, MallInfo>(found) })
}

fn usage(mallinfo: MallInfo) -> AllocatorUsage {
    // SAFETY: takes nothing, and may be called by any thread.
    let info = unsafe { mallinfo() };
    AllocatorUsage {
        used_bytes: Some(info.uordblks as u64 + info.hblkhd as u64),
        free_bytes: info.fordblks as u64,
    }
}

/// Whether the program's global allocator leads to this heap: allocates a block as the program
/// does, once, and looks whether the heap has grown by it.
fn is_of_program(mallinfo: MallInfo) -> bool {
    static KNOWN: AtomicU8 = AtomicU8::new(UNKNOWN);
    const UNKNOWN: u8 = 0;
    const YES: u8 = 1;
    const NO: u8 = 2;
    // Another thread may allocate or free as much at the same moment.
    const ATTEMPTS: usize = 3;
    match KNOWN.load(Ordering::Relaxed) {
        UNKNOWN => {}
        known => return known == YES,
    }
    for _ in 0..ATTEMPTS {
        let Some(has_grown) = grows(mallinfo) else { return false };
        if has_grown {
            KNOWN.store(YES, Ordering::Relaxed);
            return true;
        }
    }
    KNOWN.store(NO, Ordering::Relaxed);
    false
}

/// Returns `None` if there is no memory for the block. The block is address space alone: no page of
/// it is touched.
fn grows(mallinfo: MallInfo) -> Option<bool> {
    const BYTES: usize = 1 << 20;
    const SLACK: u64 = 128 << 10;
    let used = || usage(mallinfo).used_bytes.unwrap_or(0);
    let before = used();
    exempt(|| {
        let mut block = Vec::<u8>::new();
        block.try_reserve_exact(BYTES).ok()?;
        let grown = used().wrapping_sub(before);
        drop(black_box(block));
        Some(grown.abs_diff(BYTES as u64) < SLACK)
    })
}
