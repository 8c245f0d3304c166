//! Memscope's own threads.
//!
//! | thread | what it does | starts with | stack |
//! |---|---|---|---|
//! | `memscope` | the collector: drains rings, takes samples | the first task polled after `init`, and again after a quiet time; also an unannotated Tokio task | 256 KiB |
//! | `memscope-signal` | writes the report on SIGINT or SIGTERM | the first task polled, if a report is asked for; a guard | 2 MiB |
//! | `memscope-report` | writes the periodic report | the same, if that is asked for; also an unannotated Tokio task | 2 MiB |
//! | `memscope-limit` | watches the limit of memory, writes reports near it | the first task polled, if that is asked for; also an unannotated Tokio task | 2 MiB |
//! | `memscope-files` | reads the system's files for `memscope-limit` | with that one | 256 KiB |
//! | `memscope-names` | looks up names of functions | a snapshot or a round of the collector, if an address has none | 1 MiB |
//! | `memscope-start` | starts the server | the first task polled, annotated or not, or `init`, if `MEMSCOPE_SERVE` is set | 1 MiB |
//! | `memscope-serve` | serves the page, profiles and metrics; asks what holds the heap | `memscope_server::serve`, a request for the heap's graph | 2 MiB |
//!
//! No such thread exists before `main`, so a program can still change its user, enter a namespace
//! or fork first.
//!
//! Each thread starts with all signals blocked. A signal that the program has blocked everywhere
//! stays pending for the program, and no handler of the program runs on these threads. A fault
//! (SIGSEGV, SIGBUS) still ends the process: the kernel delivers a blocked fault with its default
//! action. The threads library keeps its own signals, so `setuid` still reaches every thread.
//!
//! A program may close all descriptors that it does not know, while other threads run. So the
//! threads that read files of the system unasked have a table of descriptors of their own:
//! `memscope`, `memscope-files` and `memscope-names`. Linux 5.9 and later can make it without
//! copying the program's descriptors. Copies would keep the program's files and sockets open.
//!
//! Starting a thread takes no memory from the program's heap.

use std::ffi::CStr;

/// A thread that memscope starts.
pub(crate) trait Background {
    /// At most 15 bytes: Linux takes no more.
    const NAME: &'static CStr;
    const STACK_BYTES: usize;
    /// Whether the thread shares the program's descriptors. If not, it has none, and it may start
    /// only threads of the same kind.
    #[cfg_attr(
        not(all(unix, any(feature = "enabled", feature = "report-file"))),
        expect(dead_code, reason = "such a thread shares them")
    )]
    const SHARES_FILES: bool = true;

    /// What the thread does, charged to memscope. `start` is the argument of [`spawn`].
    fn run(start: u32);
}

#[cfg(all(unix, any(feature = "enabled", feature = "report-file")))]
pub(crate) use unix::spawn;

#[cfg(all(unix, feature = "report-file"))]
pub(crate) use unix::NoThread;

#[cfg(not(all(unix, any(feature = "enabled", feature = "report-file"))))]
pub(crate) use std::io::Error as NoThread;

#[cfg(not(all(unix, any(feature = "enabled", feature = "report-file"))))]
pub(crate) fn spawn<B: Background>(start: u32) -> Result<(), NoThread> {
    let name = B::NAME.to_string_lossy().into_owned();
    let thread = std::thread::Builder::new().name(name).stack_size(B::STACK_BYTES);
    super::current::exempt(|| {
        let run = move || {
            super::current::serve();
            B::run(start);
        };
        thread.spawn(move || super::current::exempt(run)).map(drop)
    })
}

#[cfg(all(unix, any(feature = "enabled", feature = "report-file")))]
mod unix {
    use std::{
        ffi::{c_int, c_void},
        fmt, io,
        mem::MaybeUninit,
        panic::catch_unwind,
        ptr,
    };

    use super::Background;
    use crate::alloc::{
        blocked_signals::AllBlocked,
        current::{self, exempt},
    };

    /// Why the system could not start a thread: an error number.
    ///
    /// Only a number, because the allocator drops it.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct NoThread(c_int);

    impl fmt::Display for NoThread {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            io::Error::from_raw_os_error(self.0).fmt(f)
        }
    }

    /// Starts a detached thread with all signals blocked.
    ///
    /// # Errors
    ///
    /// When the system cannot start a thread.
    pub(crate) fn spawn<B: Background>(start: u32) -> Result<(), NoThread> {
        let _blocked = AllBlocked::new();
        match create::<B>(start, Some(B::STACK_BYTES)) {
            // The program's thread-locals may be larger than this stack.
            libc::EINVAL => done(create::<B>(start, None)),
            result => done(result),
        }
    }

    fn done(result: c_int) -> Result<(), NoThread> {
        if result == 0 { Ok(()) } else { Err(NoThread(result)) }
    }

    /// Creates the thread. Returns zero or an error number. `stack_bytes` is `None` for the
    /// system's default stack.
    #[inline(never)]
    fn create<B: Background>(start: u32, stack_bytes: Option<usize>) -> c_int {
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        // SAFETY: the pointer is to memory for attributes.
        let mut result = unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
        if result != 0 {
            return result;
        }
        let attributes = attributes.as_mut_ptr();
        let detached = libc::PTHREAD_CREATE_DETACHED;
        // SAFETY: initialised above.
        unsafe { libc::pthread_attr_setdetachstate(attributes, detached) };
        if let Some(bytes) = stack_bytes {
            // SAFETY: initialised above.
            result = unsafe { libc::pthread_attr_setstacksize(attributes, bytes) };
        }
        if result == 0 {
            let mut thread = MaybeUninit::uninit();
            let start = ptr::without_provenance_mut(start as usize);
            // SAFETY: memory for the thread, initialised attributes, and a static function whose
            // argument is a number.
            result =
                unsafe { libc::pthread_create(thread.as_mut_ptr(), attributes, run::<B>, start) };
        }
        // SAFETY: initialised above, and not used afterwards.
        unsafe { libc::pthread_attr_destroy(attributes) };
        result
    }

    extern "C" fn run<B: Background>(start: *mut c_void) -> *mut c_void {
        // SAFETY: the name ends with a zero, and `Background::NAME` keeps it within the limit.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        unsafe {
            libc::prctl(libc::PR_SET_NAME, B::NAME.as_ptr())
        };
        // SAFETY: as above.
        #[cfg(target_vendor = "apple")]
        unsafe {
            libc::pthread_setname_np(B::NAME.as_ptr())
        };
        if !B::SHARES_FILES {
            leave_files();
        }
        let start = u32::try_from(start.addr()).unwrap_or(0);
        // A panic must not cross into the C library. It would be a bug of memscope, and ends only
        // this thread.
        drop(catch_unwind(|| {
            exempt(|| {
                current::serve();
                B::run(start);
            });
        }));
        ptr::null_mut()
    }

    /// Gives this thread an empty table of descriptors. Where the system cannot do that in one
    /// step, the thread goes on with the program's.
    ///
    /// Source: `close_range(2)`, `CLOSE_RANGE_UNSHARE`.
    #[cfg(target_os = "linux")]
    fn leave_files() {
        const FIRST: u32 = 0;
        // SAFETY: closes descriptors in a new table alone, of which no code has any yet.
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, libc::CLOSE_RANGE_UNSHARE) };
    }

    #[cfg(not(target_os = "linux"))]
    fn leave_files() {}
}
