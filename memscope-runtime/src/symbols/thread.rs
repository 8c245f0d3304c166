//! The thread that looks up names: `memscope-names`.

use std::{
    ffi::CStr,
    panic::catch_unwind,
    thread,
    time::{Duration, Instant},
};

use super::sources;
use crate::{
    alloc::{Background, own_threads},
    config::ENABLED,
    primitives::{
        clock, fork,
        sync::{AtomicU8, AtomicU32, AtomicU64, Ordering},
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
/// It has panicked, which is a fault of memscope: no names are looked up any more.
const BROKEN: u8 = 3;

/// When the last round ended, and how long it took.
static ENDED_NS: AtomicU64 = AtomicU64::new(0);
static TOOK_NS: AtomicU64 = AtomicU64::new(0);

/// How many snapshots have waited for names, and how many rounds there were.
static WAITS: AtomicU32 = AtomicU32::new(0);
static ROUNDS: AtomicU32 = AtomicU32::new(0);

/// This many rounds follow each other without a pause.
const FIRST_ROUNDS: u32 = 8;
const LONGEST_WAIT: Duration = Duration::from_millis(20);
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// A round reads the program's symbol table, so the time between two rounds is this many times what
/// the last one took, but at most `LONGEST`.
const PAUSE_FACTOR: u64 = 100;
const LONGEST: Duration = Duration::from_secs(1);

/// A source has addresses that were not looked up: starts the thread unless it is running. Must not
/// be called inside the allocator. Returns whether there is such a thread.
pub(crate) fn want() -> bool {
    let is_broken = STATE.load(Ordering::Relaxed) == BROKEN;
    if !ENABLED || is_broken || fork::may_have_foreign_locks() {
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

/// Waits until the thread has no more to look up, [`LONGEST_WAIT`] at most.
///
/// A program that makes one report has no next one that would have the names. So the first
/// [`FIRST_ROUNDS`] snapshots that lack names wait for them.
pub(crate) fn wait() {
    if WAITS.fetch_add(1, Ordering::Relaxed) >= FIRST_ROUNDS {
        WAITS.store(FIRST_ROUNDS, Ordering::Relaxed);
        return;
    }
    wait_for_round();
}

/// The same, without being counted among these snapshots.
pub(super) fn wait_for_round() {
    let is_busy = || !matches!(STATE.load(Ordering::Relaxed), NONE | BROKEN);
    let end = Instant::now() + LONGEST_WAIT;
    while is_busy() && Instant::now() < end {
        thread::sleep(LOOK_AGAIN);
    }
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
    const SHARES_FILES: bool = false;

    fn run(_: u32) {
        if catch_unwind(run).is_err() {
            STATE.store(BROKEN, Ordering::Relaxed);
        }
    }
}

fn run() {
    loop {
        if ROUNDS.load(Ordering::Relaxed) < FIRST_ROUNDS {
            ROUNDS.fetch_add(1, Ordering::Relaxed);
        } else {
            thread::sleep(pause(clock::now_ns()));
        }
        // Acquire; pairs with the Release in `want`.
        STATE.swap(RUNNING, Ordering::Acquire);
        let began_ns = clock::now_ns();
        let is_more = sources::look_up_now();
        let ended_ns = clock::now_ns();
        TOOK_NS.store(ended_ns.saturating_sub(began_ns), Ordering::Relaxed);
        ENDED_NS.store(ended_ns, Ordering::Relaxed);
        // A report asked for all names and lines, and a round reads some.
        if is_more {
            continue;
        }
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
