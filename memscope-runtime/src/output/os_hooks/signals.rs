//! Handlers for SIGINT and SIGTERM, where these signals would end the process.
//!
//! A signal that the program handles, ignores or blocks stays the program's:
//!
//! - A handler is installed only if the action is the default one, so it replaces no other.
//! - The program may later install a handler that calls the previous one, as Tokio does. Then a
//!   report is written if `memscope-signal` exists, and nothing else is done.
//! - No thread of memscope takes a signal, so a blocked one waits for `sigwait` or `signalfd`.
//!
//! In all other cases the signal ends the process, as it would without memscope, and by that same
//! signal. The report is written first: by the thread `memscope-signal`, or by a [copy] of the
//! process if no task has been polled and so no thread exists. The interrupted thread stays in the
//! handler meanwhile, so the program does not see interrupted system calls. A second signal of
//! either kind ends the process at once, unless it comes within 200 ms of the first. `timeout`
//! sends one signal to its child and another one to its group, and both mean the same.
//!
//! The kernel does not end process 1 of a container by a default action. There each signal writes a
//! report, but for one that comes while a report is written, and the program continues, as it would
//! without memscope.
//!
//! Nothing here has a file descriptor, because a program may close those that it does not know.

use std::{
    ffi::c_int,
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering},
};

#[cfg(target_os = "linux")]
use super::copy;
use crate::output::auto_report;

const SIGNALS: [c_int; 2] = [libc::SIGINT, libc::SIGTERM];

/// How long the interrupted thread waits for the end of the process. It may hold what the report
/// needs, such as a lock of `malloc`; the report is then written after this time.
const MOST_WAIT_NS: u64 = 2_000_000_000;

/// Whether `memscope-signal` has been started. It answers earlier requests once it runs.
static HAS_THREAD: AtomicBool = AtomicBool::new(false);
/// 1 while a report is requested, else 0. The thread waits for it.
static ASKED: AtomicU32 = AtomicU32::new(0);
/// The signal that ends the process once its report is written; 0 if there is none.
static ENDING: AtomicI32 = AtomicI32::new(0);

/// When the first signal came that will end the process.
static FIRST_NS: AtomicU64 = AtomicU64::new(0);

/// Signals that come this soon after the first one count as the same signal.
const SAME_NS: u64 = 200_000_000;

/// Installs the handlers where the actions are the default ones.
pub(crate) fn install_signals() {
    SIGNALS.into_iter().for_each(install);
}

/// Notes that `memscope-signal` has been started.
pub(crate) fn note_thread() {
    HAS_THREAD.store(true, Ordering::Relaxed);
}

/// Writes a report whenever the handler requests one. Does not return.
pub(crate) fn answer_signals() {
    loop {
        wake::wait(&ASKED);
        // Acquire; pairs with the Release in `wake::wake`: the requesting handler's signal is seen.
        ASKED.swap(0, Ordering::Acquire);
        auto_report::write_all();
        let signal = ENDING.load(Ordering::Relaxed);
        if signal != 0 {
            end_now(signal);
            ENDING.store(0, Ordering::Relaxed);
        }
    }
}

/// Sends the signal again, once its action is the default one. A program that has installed a
/// handler or blocked the signal meanwhile gets it that way.
fn end_now(signal: c_int) {
    if is_process_1() {
        // The kernel ignores the default action.
        install_signals();
    } else {
        set_defaults();
        // SAFETY: always succeeds.
        let here = unsafe { libc::getpid() };
        // SAFETY: sends a signal to this process, with no data.
        unsafe { libc::kill(here, signal) };
    }
}

/// The signal handler.
///
/// NOTE: everything that it calls may be called in a signal handler: atomics and system calls. It
/// restores `errno`.
extern "C" fn on_signal(signal: c_int) {
    let _errno = Errno::save();
    let handler = handler(signal);
    // Acquire; pairs with the Release in `end_after_report`: the time is that of the first signal.
    let is_second = ENDING.load(Ordering::Acquire) != 0;
    // The end may have removed the handler while this signal was already on its way here. Otherwise
    // a handler of the program calls this one.
    let is_removed = is_second && handler == Some(libc::SIG_DFL);
    let is_called_by_kernel = is_removed || handler == Some(ours());
    match (is_called_by_kernel, auto_report::is_our_process()) {
        (true, true) if !is_second => end_after_report(signal),
        // Process 1 goes on after its report, and keeps its handlers.
        (true, true) if is_same_as_first() || is_process_1() => {}
        (true, _) => {
            // A forked child writes no report: the file belongs to its parent.
            set_default(signal);
            raise(signal);
        }
        (false, true) => {
            let _asked = ask();
        }
        (false, false) => {}
    }
}

/// Whether the first signal came a moment ago.
fn is_same_as_first() -> bool {
    let since_ns = super::monotonic_ns().saturating_sub(FIRST_NS.load(Ordering::Relaxed));
    since_ns < SAME_NS
}

/// Ends the process by this signal once its report is written.
fn end_after_report(signal: c_int) {
    FIRST_NS.store(super::monotonic_ns(), Ordering::Relaxed);
    // Release; pairs with the Acquire in `on_signal`: another signal sees the time.
    if ENDING.compare_exchange(0, signal, Ordering::Release, Ordering::Relaxed).is_err() {
        // Another thread has just taken the same signal.
        return;
    }
    if ask() {
        if !is_process_1() && !auto_report::writes_here() {
            wait_for_the_end();
        }
        return;
    }
    #[cfg(target_os = "linux")]
    copy::write_report();
    if is_process_1() {
        install_signals();
    } else {
        set_defaults();
        raise(signal);
    }
    ENDING.store(0, Ordering::Relaxed);
}

/// Requests a report from the thread. Returns `false` if there is no thread.
fn ask() -> bool {
    let has_thread = HAS_THREAD.load(Ordering::Relaxed);
    if has_thread {
        wake::wake(&ASKED);
    }
    has_thread
}

/// Waits until the process ends, or the program has taken the signal over.
fn wait_for_the_end() {
    const STEP_MS: u16 = 5;
    let start_ns = super::monotonic_ns();
    while ENDING.load(Ordering::Relaxed) != 0
        && super::monotonic_ns().saturating_sub(start_ns) < MOST_WAIT_NS
    {
        super::pause(STEP_MS);
    }
}

fn is_process_1() -> bool {
    std::process::id() == 1
}

fn ours() -> libc::sighandler_t {
    let handler: extern "C" fn(c_int) = on_signal;
    handler as libc::sighandler_t
}

/// Returns the current action of a signal.
fn action(signal: c_int) -> Option<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the old one to the given struct. It may be
    // called in handlers.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroed, which is valid for this struct of numbers, or written.
    (result == 0).then(|| unsafe { action.assume_init() })
}

fn handler(signal: c_int) -> Option<libc::sighandler_t> {
    Some(action(signal)?.sa_sigaction)
}

fn install(signal: c_int) {
    if handler(signal) == Some(libc::SIG_DFL) {
        // `SA_NODEFER`: a second signal is not blocked, and so can end the process at once.
        let flags = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_NODEFER;
        set_action(signal, ours(), flags);
    }
}

/// Removes the handlers. What the program has installed meanwhile stays.
fn set_defaults() {
    SIGNALS.into_iter().filter(|signal| handler(*signal) == Some(ours())).for_each(set_default);
}

fn set_default(signal: c_int) {
    set_action(signal, libc::SIG_DFL, 0);
}

fn set_action(signal: c_int, handler: libc::sighandler_t, flags: c_int) {
    let Some(mut action) = action(signal) else { return };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the pointer is to memory for a signal set.
    unsafe { libc::sigemptyset(&raw mut action.sa_mask) };
    // SAFETY: a complete action: the default one, or a handler that does only what handlers may do.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
}

fn raise(signal: c_int) {
    // SAFETY: sends a signal to this thread, with no data.
    unsafe { libc::raise(signal) };
}

/// The thread's `errno`, restored when dropped: the interrupted code may be about to read it.
struct Errno(c_int);

impl Errno {
    fn save() -> Self {
        // SAFETY: this thread's `errno`, or null.
        Self(unsafe { errno().as_ref() }.copied().unwrap_or(0))
    }
}

impl Drop for Errno {
    fn drop(&mut self) {
        // SAFETY: this thread's `errno`, or null.
        if let Some(errno) = unsafe { errno().as_mut() } {
            *errno = self.0;
        }
    }
}

/// Returns the address of this thread's `errno`, or null on other systems.
fn errno() -> *mut c_int {
    #[cfg(any(target_os = "linux", target_os = "dragonfly"))]
    // SAFETY: returns the address of a thread-local.
    return unsafe { libc::__errno_location() };
    #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
    // SAFETY: as above.
    return unsafe { libc::__errno() };
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    // SAFETY: as above.
    return unsafe { libc::__error() };
    #[cfg(not(any(
        target_os = "linux",
        target_os = "dragonfly",
        target_os = "android",
        target_os = "netbsd",
        target_os = "openbsd",
        target_vendor = "apple",
        target_os = "freebsd",
    )))]
    ptr::null_mut()
}

/// A word by which a handler wakes a thread. A futex needs no descriptor and no memory.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod wake {
    use std::{
        ffi::c_int,
        ptr,
        sync::atomic::{AtomicU32, Ordering},
    };

    /// Waits while the word is 0.
    pub(super) fn wait(word: &AtomicU32) {
        while word.load(Ordering::Relaxed) == 0 {
            const NO_TIMEOUT: *const libc::timespec = ptr::null();
            let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: waits, for ever if need be, on a word that outlives the call.
            unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wait, 0, NO_TIMEOUT) };
        }
    }

    /// Sets the word to 1, and wakes the waiting thread.
    pub(super) fn wake(word: &AtomicU32) {
        const ONE: c_int = 1;
        // Release; pairs with the Acquire in `answer_signals`: the thread sees what was written
        // before.
        word.store(1, Ordering::Release);
        let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: wakes the threads that wait on this word.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wake, ONE) };
    }
}

/// Elsewhere the thread polls ten times a second. No other way to wake a thread is allowed in a
/// handler, needs no descriptor, and exists on all systems.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod wake {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        thread,
        time::Duration,
    };

    /// Waits while the word is 0.
    pub(super) fn wait(word: &AtomicU32) {
        while word.load(Ordering::Relaxed) == 0 {
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sets the word to 1, which ends the wait for it.
    pub(super) fn wake(word: &AtomicU32) {
        // Release; pairs with the Acquire in `answer_signals`: the thread sees what was written
        // before.
        word.store(1, Ordering::Release);
    }
}
