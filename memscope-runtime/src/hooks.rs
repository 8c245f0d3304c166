//! Where the operating system calls memscope: before `main`, at exit and on signals. Here is what reports need `unsafe` for.
//!
//! Before `main` only the environment is read. The exit and signal handlers are installed when a report is asked for.

#[cfg(feature = "enabled")]
mod before_main {
    use std::panic::catch_unwind;

    use crate::settings;

    /// A panic must not cross into the loader.
    extern "C" fn before_main() {
        drop(catch_unwind(settings::start));
    }

    // SAFETY: the loader calls each pointer in this section, once, on the main thread, before `main`; C compilers fill it too. What
    // `before_main` uses of the standard library (environment, files, threads, the panic hook) needs nothing that is set up in between.
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

/// What `fork` leaves behind is put in order on the child's only thread, before `fork` returns there.
///
/// Children that get their memory from their parent only until they execute another program (`vfork`, `posix_spawn`, and so most of
/// `std::process::Command`) are not called, and need not be.
#[cfg(unix)]
mod forks {
    use std::ffi::c_int;

    use crate::{
        collector, current, fork,
        sync::{AtomicU8, Ordering},
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

    /// Only atomics and thread-locals without destructors: so it is safe whatever the other threads of the parent were doing, and nothing in it can
    /// panic.
    extern "C" fn forked() {
        fork::begin();
        collector::forked();
        fork::note_left_behind(current::forked());
    }

    /// Has [`forked`] called in every child from now on. Where there is no memory for that, a child's locks may wait.
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
pub(crate) use signals::{file_size_limit, install_signals};

#[cfg(feature = "report-file")]
mod at_the_end {
    use std::{ffi::c_int, panic::catch_unwind};

    use crate::at_exit;

    mod c {
        use std::ffi::c_int;

        // SAFETY: as the C standard declares it; the callback is a function for ever.
        unsafe extern "C" {
            pub(super) safe fn atexit(callback: extern "C" fn()) -> c_int;
        }
    }

    extern "C" fn exiting() {
        drop(catch_unwind(at_exit::exiting));
    }

    /// Has the reports written when the process exits; false where that cannot be.
    pub(crate) fn at_exit() -> bool {
        const DONE: c_int = 0;
        c::atexit(exiting) == DONE
    }
}

/// SIGINT and SIGTERM, where they would end the process.
///
/// A signal that the program handles or ignores when we come is left alone. One that it handles later, it gets: Tokio and others call our handler
/// too, so the report is written, but nothing else is done. Only a signal that still has its default action when the report
/// is written then ends the process, as it would have without us: by that signal. The second one does not wait for the report.
#[cfg(all(feature = "report-file", unix))]
mod signals {
    use std::{
        ffi::c_int,
        io::{self, PipeReader, PipeWriter, Read, Write},
        mem::MaybeUninit,
        ptr,
        sync::atomic::{AtomicI32, Ordering},
    };

    use crate::{at_exit, fork_lock::Once};

    const SIGNALS: [c_int; 2] = [libc::SIGINT, libc::SIGTERM];

    static PIPE: Once<PipeWriter> = Once::new();
    /// The signal that the thread has been told of and has not yet looked at; 0: none.
    static PENDING: AtomicI32 = AtomicI32::new(0);

    /// Installs the handlers and starts the thread that they wake. Called once.
    pub(crate) fn install_signals() -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        at_exit::spawn("memscope-signal", Box::new(move || answer(reader)))?;
        PIPE.get_or_init(|| writer);
        SIGNALS.into_iter().for_each(install);
        Ok(())
    }

    /// Only what may be done in a signal handler: atomics, `getpid`, `sigaction`, `raise`, `write`. A pipe that takes one byte at most for each
    /// time it is read is never full.
    extern "C" fn on_signal(signal: c_int) {
        if !at_exit::is_our_process() {
            // A forked child has no thread to wake, and its pipe is its parent's.
            if has_default_action(signal) {
                raise(signal);
            }
        } else if PENDING.swap(signal, Ordering::Relaxed) == 0
            && let Some(mut pipe) = PIPE.get()
        {
            let _woken = pipe.write(&[0]);
        }
    }

    fn answer(mut pipe: PipeReader) {
        while pipe.read_exact(&mut [0]).is_ok() {
            let signal = PENDING.swap(0, Ordering::Relaxed);
            at_exit::write_all();
            if has_default_action(signal) {
                unblock(signal);
                raise(signal);
                // Still here: the kernel does not let a default action end process 1 of a container.
                install(signal);
            }
        }
    }

    /// The action of a signal now.
    fn action(signal: c_int) -> Option<libc::sigaction> {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: with no new action the call only writes the old one to the place given; it may be called in handlers.
        let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
        // SAFETY: zeroed, which is valid for this struct of numbers, or written.
        (result == 0).then(|| unsafe { action.assume_init() })
    }

    fn has_default_action(signal: c_int) -> bool {
        action(signal).is_some_and(|action| action.sa_sigaction == libc::SIG_DFL)
    }

    fn install(signal: c_int) {
        let Some(mut action) = action(signal) else { return };
        if action.sa_sigaction != libc::SIG_DFL {
            return;
        }
        let handler: extern "C" fn(c_int) = on_signal;
        action.sa_sigaction = handler as libc::sighandler_t;
        // Back to the default with the first signal, so that the second one ends a process whose report takes too long.
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_RESETHAND;
        // SAFETY: a place for a set of signals.
        unsafe { libc::sigemptyset(&raw mut action.sa_mask) };
        // SAFETY: a whole action, whose handler does only what handlers may do; the old one is not asked for.
        unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    }

    fn raise(signal: c_int) {
        // SAFETY: sends a signal to this thread; nothing is passed.
        unsafe { libc::raise(signal) };
    }

    /// Threads inherit what their creator blocked.
    fn unblock(signal: c_int) {
        let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: a place for a set of signals.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: a set made by `sigemptyset`.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
        // SAFETY: the same; the old mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut()) };
    }

    /// The most bytes that a file may have (`ulimit -f`): a write past it would end the process by a signal.
    pub(crate) fn file_size_limit() -> u64 {
        let mut limit =
            libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: the call writes to the place given, if anywhere.
        unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
        wide(limit.rlim_cur)
    }

    /// The type of a limit is not the same everywhere.
    fn wide(limit: impl TryInto<u64>) -> u64 {
        limit.try_into().unwrap_or(u64::MAX)
    }
}
