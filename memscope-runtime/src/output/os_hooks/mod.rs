//! Where the operating system calls memscope: before `main`, at exit and on signals. Here is what
//! reports need `unsafe` for.
//!
//! Before `main` only the environment is read. The exit and signal handlers are installed when a
//! report is asked for. No thread is started there.

#[cfg(all(feature = "report-file", target_os = "linux"))]
mod copy;
#[cfg(all(feature = "report-file", unix))]
mod signals;

#[cfg(feature = "enabled")]
mod before_main {
    use std::panic::catch_unwind;

    use crate::output::start;

    /// A panic must not cross into the loader.
    extern "C" fn before_main() {
        drop(catch_unwind(start::start));
    }

    // SAFETY: the loader calls each pointer in this section, once, on the main thread, before
    // `main`; C compilers fill it too. What `before_main` uses of the standard library
    // (environment, files, threads, the panic hook) needs nothing that is set up in between.
    #[used]
    #[cfg_attr(
        any(
            target_os = "linux",
            target_os = "android",
            target_os = "freebsd",
            target_os = "netbsd",
            target_os = "openbsd",
            target_os = "dragonfly",
            target_os = "illumos",
        ),
        unsafe(link_section = ".init_array")
    )]
    #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
    #[cfg_attr(windows, unsafe(link_section = ".CRT$XCU"))]
    static BEFORE_MAIN: extern "C" fn() = before_main;
}

#[cfg(unix)]
pub(crate) use forks::watch as watch_forks;

/// What `fork` leaves behind is put in order on the child's only thread, before `fork` returns
/// there.
///
/// Children that get their memory from their parent only until they execute another program
/// (`vfork`, `posix_spawn`, and so most of `std::process::Command`) are not called, and need not
/// be.
#[cfg(unix)]
mod forks {
    use std::ffi::c_int;

    use crate::{
        alloc::thread_exit,
        primitives::{
            fork,
            sync::{AtomicU8, Ordering},
        },
        snapshot::collector,
    };

    mod c {
        use std::ffi::c_int;

        type Handler = Option<extern "C" fn()>;

        // SAFETY: as POSIX declares it; the handlers are functions for ever.
        unsafe extern "C" {
            pub(super) safe fn pthread_atfork(
                prepare: Handler,
                parent: Handler,
                child: Handler,
            ) -> c_int;
        }
    }

    /// Only atomics and thread-locals without destructors: so it is safe whatever the other threads
    /// of the parent were doing, and nothing in it can panic.
    extern "C" fn forked() {
        fork::begin();
        collector::forked();
        fork::note_left_behind(thread_exit::forked());
    }

    /// Has [`forked`] called in every child from now on. Where there is no memory for that, a
    /// child's locks may wait.
    pub(crate) fn watch() {
        static WATCHES: AtomicU8 = AtomicU8::new(0);
        const DONE: c_int = 0;
        if WATCHES.swap(1, Ordering::Relaxed) == 0
            && c::pthread_atfork(None, None, Some(forked)) != DONE
        {
            WATCHES.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(all(feature = "report-file", unix))]
pub(crate) use super::os_hooks::signals::{answer_signals, install_signals, note_thread};
#[cfg(feature = "report-file")]
pub(crate) use at_the_end::at_exit;

#[cfg(feature = "report-file")]
mod at_the_end {
    use std::{ffi::c_int, panic::catch_unwind};

    use crate::output::auto_report;

    mod c {
        use std::ffi::c_int;

        // SAFETY: as the C standard declares it; the callback is a function for ever.
        unsafe extern "C" {
            pub(super) safe fn atexit(callback: extern "C" fn()) -> c_int;
        }
    }

    extern "C" fn exiting() {
        drop(catch_unwind(auto_report::exiting));
    }

    /// Has the reports written when the process exits; false where that cannot be.
    pub(crate) fn at_exit() -> bool {
        const DONE: c_int = 0;
        c::atexit(exiting) == DONE
    }
}

/// The most bytes that a file may have (`ulimit -f`): a write past it would end the process by a
/// signal.
#[cfg(all(feature = "report-file", unix))]
pub(crate) fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the call writes to the place given, if anywhere.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    wide(limit.rlim_cur)
}

/// The types of the system's numbers are not the same everywhere.
#[cfg(all(feature = "report-file", unix))]
fn wide(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

/// A number that no other living thread has. May be called in a signal handler.
#[cfg(all(feature = "report-file", unix))]
#[allow(clippy::cast_possible_truncation, reason = "an address, or a number as wide as one")]
pub(crate) fn this_thread() -> usize {
    // SAFETY: always succeeds.
    let thread = unsafe { libc::pthread_self() };
    thread as usize
}

/// Nanoseconds of a clock that is never set back. May be called in a signal handler.
#[cfg(all(feature = "report-file", unix))]
fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    wide(now.tv_sec).saturating_mul(1_000_000_000).saturating_add(wide(now.tv_nsec))
}

/// Lets this thread sleep for less than a second. May be called in a signal handler.
#[cfg(all(feature = "report-file", unix))]
fn pause(milliseconds: u16) {
    let tv_nsec = std::ffi::c_long::from(milliseconds) * 1_000_000;
    let pause = libc::timespec { tv_sec: 0, tv_nsec };
    // SAFETY: reads the time given. A signal may end the sleep early.
    unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
}
