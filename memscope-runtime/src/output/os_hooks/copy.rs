//! Writes a report from within a signal handler, in a copy of the process.
//!
//! The handler may have interrupted any code. So it can neither write a report itself nor start a
//! thread, but it can make a child process with a copy of all memory. The child has its own
//! descriptors and its own stack, and nothing in it affects the program. If the handler has
//! interrupted `malloc`, the child hangs or dies, and the program ends without a report.
//!
//! The child sends no SIGCHLD, and the program's `wait` does not find it. It ends with its parent.

use std::{
    ffi::{c_int, c_void},
    panic::catch_unwind,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{monotonic_ns, pause};
use crate::{alloc::AllBlocked, model::origin, output::auto_report};

/// A child that takes longer is killed.
const MOST_NS: u64 = 5_000_000_000;
const STACK_BYTES: usize = 2 << 20;
const NO_DESCRIPTOR: c_int = -1;
/// No flags for the child: it shares nothing, and no signal reports its end.
const NOTHING_SHARED: c_int = 0;

/// The process that is copied.
static PARENT: AtomicU32 = AtomicU32::new(0);

/// Makes a copy of this process, which writes the report, and waits for it. May be called in a
/// signal handler.
pub(crate) fn write_report() {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    let anywhere = ptr::null_mut();
    // SAFETY: new memory, which nothing else uses.
    let stack = unsafe { libc::mmap(anywhere, STACK_BYTES, protection, flags, NO_DESCRIPTOR, 0) };
    if stack == libc::MAP_FAILED {
        return;
    }
    PARENT.store(std::process::id(), Ordering::Relaxed);
    // SAFETY: one past the end of the mapping.
    let top = unsafe { stack.byte_add(STACK_BYTES) };
    let child = {
        // Signals are blocked in the child too. A signal from the terminal, which both receive,
        // must not stop the report.
        let _blocked = AllBlocked::new();
        // SAFETY: a static function, on a stack that the child has a copy of.
        unsafe { libc::clone(write, top, NOTHING_SHARED, ptr::null_mut()) }
    };
    if child > 0 {
        wait_for(child);
    }
    // SAFETY: mapped above; the child has its own copy.
    unsafe { libc::munmap(stack, STACK_BYTES) };
}

/// Waits until the child ends, and kills it if it takes too long.
fn wait_for(child: libc::pid_t) {
    const STEP_MS: u16 = 1;
    let start = monotonic_ns();
    while monotonic_ns().saturating_sub(start) < MOST_NS {
        // SAFETY: waits for a child of this process; null: the status is not wanted.
        let ended = unsafe { libc::waitpid(child, ptr::null_mut(), libc::__WALL | libc::WNOHANG) };
        match ended {
            0 => pause(STEP_MS),
            // The child has ended, or the program has waited for it.
            _ => return,
        }
    }
    // SAFETY: the child has not been waited for, so the id is still its own.
    unsafe { libc::kill(child, libc::SIGKILL) };
    // SAFETY: as above.
    unsafe { libc::waitpid(child, ptr::null_mut(), libc::__WALL) };
}

/// Runs in the child.
extern "C" fn write(_: *mut c_void) -> c_int {
    // SAFETY: takes numbers. The child is killed when the thread that made it ends.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let parent = PARENT.load(Ordering::Relaxed);
    // The parent may have ended before that call.
    if std::os::unix::process::parent_id() == parent {
        leave_no_core();
        origin::stands_for(parent);
        drop(catch_unwind(auto_report::write_in_copy));
    }
    // SAFETY: ends this process; the program's exit handlers do not run.
    unsafe { libc::_exit(0) }
}

/// Turns core dumps off: a crash of the copy is not a crash of the program.
fn leave_no_core() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads the given limits.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}
