//! The thread that looks up names: `memscope-names`.

use std::{ffi::CStr, thread, time::Duration};

use super::sources;
use crate::{
    alloc::{Background, own_threads},
    config::ENABLED,
    primitives::{
        clock, fork,
        sync::{AtomicU8, AtomicU64, Ordering},
    },
};

/// What the thread does.
static STATE: AtomicU8 = AtomicU8::new(NONE);
/// There is no such thread.
const NONE: u8 = 0;
/// It looks up what the sources have.
const RUNNING: u8 = 1;
/// It is to look again, because a source has more.
const WANTED: u8 = 2;

/// When the last round ended, and how long it took.
static ENDED_NS: AtomicU64 = AtomicU64::new(0);
static TOOK_NS: AtomicU64 = AtomicU64::new(0);

/// A round reads the program's symbol table, so the time between two rounds is this many times what
/// the last one took, but at most `LONGEST`.
const PAUSE_FACTOR: u64 = 100;
const LONGEST: Duration = Duration::from_secs(1);

/// A source has addresses that were not looked up: starts the thread unless it is running. Must not
/// be called inside the allocator. Returns whether there is such a thread.
pub(crate) fn want() -> bool {
    if !ENABLED || fork::may_have_foreign_locks() {
        return false;
    }
    // Release; pairs with the Acquire in `run`: the thread sees what the source has.
    if STATE.swap(WANTED, Ordering::Release) == NONE && own_threads::spawn::<Names>(0).is_err() {
        // The system refuses to create a thread; the next call tries again.
        STATE.store(NONE, Ordering::Relaxed);
        return false;
    }
    true
}

/// Called in a forked child, which has no such thread: the next call of `want` starts it.
#[cfg(unix)]
pub(crate) fn forked() {
    STATE.store(NONE, Ordering::Relaxed);
}

struct Names;

impl Background for Names {
    const NAME: &'static CStr = c"memscope-names";
    /// Names of types inside types are read by recursion, up to a limit of the demangler's.
    const STACK_BYTES: usize = 1 << 20;

    fn run(_: u32) {
        // A panic in a round would be a fault of memscope. It ends this thread, and the state keeps
        // another one from starting.
        run();
    }
}

fn run() {
    loop {
        thread::sleep(pause(clock::now_ns()));
        // Acquire; pairs with the Release in `want`.
        STATE.swap(RUNNING, Ordering::Acquire);
        let began_ns = clock::now_ns();
        sources::look_up_now();
        let ended_ns = clock::now_ns();
        TOOK_NS.store(ended_ns.saturating_sub(began_ns), Ordering::Relaxed);
        ENDED_NS.store(ended_ns, Ordering::Relaxed);
        let end = STATE.compare_exchange(RUNNING, NONE, Ordering::Relaxed, Ordering::Relaxed);
        if end.is_ok() {
            return;
        }
    }
}

/// How long the next round has to wait.
fn pause(now_ns: u64) -> Duration {
    let since_ns = now_ns.saturating_sub(ENDED_NS.load(Ordering::Relaxed));
    let pause_ns = TOOK_NS.load(Ordering::Relaxed).saturating_mul(PAUSE_FACTOR);
    Duration::from_nanos(pause_ns.saturating_sub(since_ns)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_take_a_hundredth_of_the_time() {
        assert_eq!(pause(5), Duration::ZERO, "the first is due at once");
        ENDED_NS.store(1_000, Ordering::Relaxed);
        TOOK_NS.store(7, Ordering::Relaxed);
        assert_eq!(pause(1_100), Duration::from_nanos(600));
        assert_eq!(pause(1_700), Duration::ZERO);
        TOOK_NS.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(pause(1_100), LONGEST);
        TOOK_NS.store(0, Ordering::Relaxed);
    }
}
