//! The calls of the operating system into memscope: before `main`, at exit and on signals. Reports
//! need `unsafe` here.
//!
//! Before `main` only the environment is read, and no thread is started. The exit and signal
//! handlers are installed when a report is asked for.

#[cfg(all(feature = "report-file", target_os = "linux"))]
mod copy;
#[cfg(all(feature = "report-file", unix))]
mod signals;

#[cfg(feature = "enabled")]
mod before_main {
    use std::panic::catch_unwind;

    use crate::{output::start, primitives::before_main::__before_main};

    /// A panic must not cross into the loader.
    extern "C" fn before_main() {
        drop(catch_unwind(start::start));
    }

    // The function uses the environment, files, threads and the panic hook of the standard library.
    // On Linux it runs before the program's own functions there, which may allocate.
    __before_main!(".init_array.00100", before_main);
}

#[cfg(unix)]
pub(crate) use forks::watch as watch_forks;

/// Repairs what `fork` leaves behind, on the child's only thread and before `fork` returns there.
///
/// The handlers do not run in children that use their parent's memory until they execute another
/// program (`vfork`, `posix_spawn`, and so most of `std::process::Command`). They are not needed
/// there.
#[cfg(unix)]
mod forks {
    use std::ffi::c_int;

    #[cfg(feature = "symbols")]
    use crate::symbols;
    use crate::{
        alloc::thread_exit,
        output::pressure,
        primitives::{
            fork,
            sync::{AtomicU8, Ordering},
        },
        snapshot::collector,
    };

    mod c {
        use std::ffi::c_int;

        type Handler = Option<extern "C" fn()>;

        // SAFETY: as POSIX declares it; the handlers are static functions.
        unsafe extern "C" {
            pub(super) safe fn pthread_atfork(
                prepare: Handler,
                parent: Handler,
                child: Handler,
            ) -> c_int;
        }
    }

    /// Uses only atomics and thread-locals without destructors. So it is safe, whatever the
    /// parent's other threads were doing, and cannot panic.
    extern "C" fn forked() {
        fork::begin();
        collector::forked();
        pressure::forked();
        #[cfg(feature = "symbols")]
        symbols::forked();
        fork::note_left_behind(thread_exit::forked());
    }

    /// Makes every future child call [`forked`]. If there is no memory for that, a child may wait
    /// at memscope's locks.
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

#[cfg(feature = "report-file")]
pub(crate) use at_the_end::at_exit;
#[cfg(all(feature = "report-file", unix))]
pub(crate) use signals::{answer_signals, install_signals, note_thread};

#[cfg(feature = "report-file")]
mod at_the_end {
    use std::{ffi::c_int, panic::catch_unwind};

    use crate::output::auto_report;

    mod c {
        use std::ffi::c_int;

        // SAFETY: as the C standard declares it; the callback is a static function.
        unsafe extern "C" {
            pub(super) safe fn atexit(callback: extern "C" fn()) -> c_int;
        }
    }

    extern "C" fn exiting() {
        drop(catch_unwind(auto_report::exiting));
    }

    /// Makes the exit of the process write the reports. Returns `false` if that is not possible.
    pub(crate) fn at_exit() -> bool {
        const DONE: c_int = 0;
        c::atexit(exiting) == DONE
    }
}

/// Returns the file size limit (`ulimit -f`): a write beyond it would end the process by a signal.
#[cfg(all(feature = "report-file", unix))]
pub(crate) fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the call writes at most to the given struct.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    wide(limit.rlim_cur)
}

/// Widens a number of the system, whose type depends on the platform.
#[cfg(all(feature = "report-file", unix))]
fn wide(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

/// Returns a number that identifies this thread among the living ones. May be called in a signal
/// handler.
#[cfg(all(feature = "report-file", unix))]
#[allow(clippy::cast_possible_truncation, reason = "an address, or a number as wide as one")]
pub(crate) fn this_thread() -> usize {
    // SAFETY: always succeeds.
    let thread = unsafe { libc::pthread_self() };
    thread as usize
}

/// Returns the nanoseconds of a clock that is never set back. May be called in a signal handler.
#[cfg(all(feature = "report-file", unix))]
fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to memory for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    wide(now.tv_sec).saturating_mul(1_000_000_000).saturating_add(wide(now.tv_nsec))
}

/// Lets this thread sleep, for less than a second. May be called in a signal handler.
#[cfg(all(feature = "report-file", unix))]
fn pause(milliseconds: u16) {
    let tv_nsec = std::ffi::c_long::from(milliseconds) * 1_000_000;
    let pause = libc::timespec { tv_sec: 0, tv_nsec };
    // SAFETY: reads the given time. A signal may end the sleep early.
    unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
}
