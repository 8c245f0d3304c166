//! The call stack of this thread, by the unwinder that the standard library links.
//!
//! The unwinder finds each caller by the tables that the compiler writes for panics. It takes no
//! memory from the heap. On Linux it takes no lock either, from glibc 2.35 and GCC 12 on; older
//! ones take the loader's. Where the rules of all frames are known, a walk by rules takes its place
//! (`frames`).

use std::{ptr, sync::atomic::AtomicUsize};

/// Writes the return addresses of the current call stack, innermost first, as far as there is room.
/// Returns their number. A call instruction stands just before its return address. The first
/// address is in memscope's own code.
///
/// Does nothing and returns 0 where the unwinder is not known.
#[inline]
pub(crate) fn frames(into: &[AtomicUsize]) -> usize {
    imp::frames(into)
}

/// Returns the address of the function that the call before this return address calls. Returns 0 if
/// the call goes through a pointer, as for a method of a trait object, or if the function is not
/// known.
///
/// # Safety
///
/// The address must be one that [`frames`] has returned, of a call that is still on the stack.
pub(crate) unsafe fn direct_callee(return_address: usize) -> usize {
    /// The opcode of `call` with a distance of 32 bits from its end.
    const CALL: u8 = 0xe8;
    const LENGTH: usize = 5;
    const PAGE: usize = 4_096;
    // At the start of a page, the bytes before the address may be no code.
    if cfg!(not(target_arch = "x86_64")) || return_address % PAGE < LENGTH {
        return 0;
    }
    let code = ptr::with_exposed_provenance::<[u8; LENGTH]>(return_address - LENGTH);
    // SAFETY: the caller's contract. A call is at least two bytes long, so this page is mapped.
    let [first, distance @ ..] = unsafe { code.read() };
    let distance = i32::from_le_bytes(distance) as isize;
    if first == CALL { return_address.wrapping_add_signed(distance) } else { 0 }
}

/// Whether [`frames`] takes no lock, as far as that can be known: see [`super::unwinder`]. Must not
/// be called in the allocator, because it asks the loader.
pub(crate) fn is_lock_free() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri), feature = "enabled"))]
    if cfg!(not(target_arch = "arm")) {
        return super::unwinder::is_lock_free();
    }
    false
}

/// The address of the function that unwinds.
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri), feature = "enabled"))]
#[cfg(not(target_arch = "arm"))]
pub(super) fn address() -> usize {
    imp::address()
}

#[cfg(all(unix, not(target_arch = "arm"), not(miri)))]
mod imp {
    use std::{
        ffi::{c_int, c_void},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use crate::primitives::frames::{self, Walk};

    /// What the unwinder knows of a frame.
    #[repr(C)]
    struct Context {
        opaque: [u8; 0],
    }

    type Visit = unsafe extern "C" fn(*mut Context, *mut c_void) -> c_int;

    /// The visitor's answers, of the Itanium ABI for exceptions.
    const GO_ON: c_int = 0;
    const STOP: c_int = 5;

    // SAFETY: declared as in the Itanium ABI for exceptions, which the standard library itself
    // unwinds with.
    unsafe extern "C" {
        fn _Unwind_Backtrace(visit: Visit, argument: *mut c_void) -> c_int;
        fn _Unwind_GetIPInfo(context: *mut Context, is_before: *mut c_int) -> usize;
    }

    #[cfg(all(target_os = "linux", target_env = "gnu", feature = "enabled"))]
    pub(super) fn address() -> usize {
        (_Unwind_Backtrace as unsafe extern "C" fn(Visit, *mut c_void) -> c_int) as usize
    }

    struct Frames<'a> {
        into: &'a [AtomicUsize],
        count: usize,
        /// Whether the first frame, which is that of `frames` itself, was skipped.
        is_above: bool,
        /// Whether any address differs from the one that its place held before.
        is_changed: bool,
    }

    // Never inlined, because a walk begins at the frame of this function.
    #[inline(never)]
    pub(super) fn frames(into: &[AtomicUsize]) -> usize {
        let registers = frames::registers!();
        let walk = frames::walk(registers, into);
        if let Walk::Whole(count) = walk {
            return count;
        }
        let mut found = Frames { into, count: 0, is_above: false, is_changed: false };
        let argument = (&raw mut found).cast();
        // SAFETY: `visit` expects this argument, which outlives the call.
        unsafe { _Unwind_Backtrace(visit, argument) };
        match walk {
            Walk::Check(count) if found.is_changed || found.count != count => {
                frames::note_wrong();
            }
            Walk::Missing => {
                frames::want(registers, into.get(..found.count).unwrap_or_default());
            }
            _ => {}
        }
        found.count
    }

    unsafe extern "C" fn visit(context: *mut Context, argument: *mut c_void) -> c_int {
        // SAFETY: the argument of `_Unwind_Backtrace` above, which nothing else uses meanwhile.
        let frames = unsafe { &mut *argument.cast::<Frames<'_>>() };
        if !frames.is_above {
            frames.is_above = true;
            return GO_ON;
        }
        let Some(place) = frames.into.get(frames.count) else { return STOP };
        let mut is_before = 0;
        // SAFETY: the unwinder passes a context that is valid during this call.
        let address = unsafe { _Unwind_GetIPInfo(context, &raw mut is_before) };
        if address == 0 {
            return STOP;
        }
        // A signal handler returns to the interrupted instruction, and not behind a call.
        let behind = address.saturating_add(usize::from(is_before != 0));
        frames.is_changed |= place.load(Ordering::Relaxed) != behind;
        place.store(behind, Ordering::Relaxed);
        frames.count += 1;
        GO_ON
    }
}

#[cfg(not(all(unix, not(target_arch = "arm"), not(miri))))]
mod imp {
    use std::sync::atomic::AtomicUsize;

    pub(super) fn frames(_: &[AtomicUsize]) -> usize {
        0
    }
}

#[cfg(all(test, unix, not(target_arch = "arm"), not(miri)))]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[inline(never)]
    fn recurse(depth: u32, into: &[AtomicUsize]) -> usize {
        let count = if depth == 0 { frames(into) } else { recurse(depth - 1, into) };
        std::hint::black_box(count)
    }

    #[test]
    fn a_recursion_of_ten_calls_is_ten_equal_return_addresses() {
        let into = [const { AtomicUsize::new(0) }; 64];
        let count = recurse(10, &into);
        let addresses: Vec<_> = into.iter().map(|it| it.load(Ordering::Relaxed)).collect();
        assert!(addresses[..count].iter().all(|it| *it != 0) && count > 12, "{count}");
        assert!(addresses[count..].iter().all(|it| *it == 0));
        let most = addresses.iter().map(|it| addresses.iter().filter(|other| *other == it).count());
        assert!(addresses[..count].windows(9).any(|it| it.iter().all(|same| *same == it[0])));
        assert!(most.max().is_some_and(|most| most >= 10));
    }

    /// The functions that the calls up to this one name.
    #[cfg(target_arch = "x86_64")]
    #[inline(never)]
    fn callees() -> [usize; 5] {
        let into = [const { AtomicUsize::new(0) }; 5];
        frames(&into);
        // SAFETY: these calls are on the stack.
        into.map(|frame| unsafe { direct_callee(frame.into_inner()) })
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_call_of_a_function_says_which_and_one_through_a_pointer_does_not() {
        let function: fn() -> [usize; 5] = callees;
        let address = (function as *const ()).addr();
        // One of the two calls may end at the start of a page, where it is not known.
        assert!([callees(), callees()].iter().any(|found| found.contains(&address)));
        assert!(!std::hint::black_box(function)().contains(&address));
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let into = [const { AtomicUsize::new(0) }; 3];
        assert_eq!(recurse(10, &into), 3);
        assert_eq!(frames(&[]), 0);
    }
}
