//! The processor's counter: it says how long ago the system's clock was looked at, for half of what
//! a look costs.
//!
//! Each thread keeps an *anchor*, a look at both at once, for about a millisecond. In between the
//! time is the anchor's and what the counter has gone on since, at the rate at which the two have
//! gone so far; so no error adds up, and what takes longer than that is measured by the system's
//! clock alone. The counter is believed as long as it agrees: each new anchor is held against the
//! one before it, and where they do not fit (a processor that changes its pace, another one that
//! counts from elsewhere, a machine that slept) it is never asked again.

use std::cell::Cell;
#[cfg(not(all(target_os = "linux", feature = "enabled")))]
use std::time::Instant;

#[cfg(not(all(target_os = "linux", feature = "enabled")))]
use super::fork_lock::Once;
use super::{
    arena,
    atomic_ref::StaticRef,
    sync::{AtomicU64, Ordering},
};

/// What both said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Anchor {
    ticks: u64,
    ns: u64,
}

/// How many ticks an anchor is good for: a millisecond at 2.1 GHz.
const SPAN: u64 = 1 << 21;

/// How many ticks later it can be held against another one.
const COMPARABLE: u64 = SPAN << 5;

/// As many ticks as this between two looks at the counter, and something else came between: an
/// anchor is half as wrong at the most.
const CLOSE: u64 = 1 << 10;

/// From this distance on two anchors say how fast the counter goes.
const BASE_NS: u64 = 10_000_000;

/// A tick of this many 2^32nds of a nanosecond or more is that of no counter: 16 ns.
const SLOWEST: u64 = 1 << 36;

thread_local! {
    static ANCHOR: Cell<Anchor> = const { Cell::new(Anchor { ticks: 0, ns: 0 }) };
}

/// The first anchor of all.
static FIRST: StaticRef<Anchor> = StaticRef::none();

/// A tick in 2^32nds of a nanosecond; 0: not known yet.
///
/// It stands for itself, and an anchor is its thread's own: nothing has to be seen before or after
/// it.
static RATE: AtomicU64 = AtomicU64::new(0);

/// The rate of a counter that is not believed any more: it stays so.
const CAUGHT: u64 = u64::MAX;

/// Nanoseconds by the counter, where this thread's anchor is near enough.
///
/// PERF: the counter (12 to 28 ns), a thread-local read, a load and a multiplication.
#[inline]
pub(crate) fn now_ns() -> Option<u64> {
    let rate = RATE.load(Ordering::Relaxed);
    if rate == 0 || rate == CAUGHT {
        return None;
    }
    ANCHOR.get().later(counter()?, rate)
}

/// The system's clock, in nanoseconds since some time in the past. Safe in the allocator: it does
/// what the standard library's does, which could panic.
#[cfg(all(target_os = "linux", feature = "enabled"))]
pub(crate) fn system_ns() -> u64 {
    let mut time = std::mem::MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: a place for a time. It fails for a clock that is not known, which this one is.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr()) };
    // SAFETY: zeroed, which is valid for this struct of numbers, or written.
    let time = unsafe { time.assume_init() };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// The standard library's clock, in nanoseconds since its first use.
#[cfg(not(all(target_os = "linux", feature = "enabled")))]
pub(crate) fn system_ns() -> u64 {
    static FIRST: Once<Instant> = Once::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Looks at the system's clock, and anchors this thread by it.
pub(crate) fn look(clock_ns: impl FnOnce() -> u64) -> u64 {
    let known = RATE.load(Ordering::Relaxed);
    if known == CAUGHT {
        return clock_ns();
    }
    let before = counter();
    let ns = clock_ns();
    if let (Some(before), Some(after)) = (before, counter())
        && after.wrapping_sub(before) < CLOSE
    {
        let anchor = Anchor { ticks: before.wrapping_add(after.wrapping_sub(before) / 2), ns };
        let last = ANCHOR.replace(anchor);
        if last.contradicts(anchor, known) {
            RATE.store(CAUGHT, Ordering::Relaxed);
        } else if let Some(rate) = first(anchor).and_then(|first| first.rate(anchor)) {
            // Where another thread has measured it meanwhile, or caught the counter, that stands.
            let _ = RATE.compare_exchange(known, rate, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
    ns
}

/// The first anchor: this one, if there is none yet. `None` where there is no memory for it.
#[inline]
fn first(anchor: Anchor) -> Option<&'static Anchor> {
    FIRST.get().or_else(|| {
        let new = arena::keep(anchor)?;
        Some(FIRST.set_if_none(new).err().unwrap_or(new))
    })
}

impl Anchor {
    /// The time at this tick.
    #[inline]
    fn later(self, ticks: u64, rate: u64) -> Option<u64> {
        let since = ticks.wrapping_sub(self.ticks);
        (since < SPAN).then(|| self.after(since, rate))
    }

    /// The time so many ticks later, fewer than `COMPARABLE`.
    #[inline]
    fn after(self, ticks: u64, rate: u64) -> u64 {
        // Below 2^62, as the rate is below `SLOWEST`.
        self.ns + ((ticks * rate) >> 32)
    }

    /// How fast the counter went from here to there.
    fn rate(self, there: Self) -> Option<u64> {
        let (ns, ticks) = (there.ns.checked_sub(self.ns)?, there.ticks.checked_sub(self.ticks)?);
        if ns < BASE_NS {
            return None;
        }
        let rate = (u128::from(ns) << 32).checked_div(u128::from(ticks))?;
        u64::try_from(rate).ok().filter(|rate| *rate < SLOWEST)
    }

    /// Whether the clock says another time there than the counter, by more than a sixty-fourth and
    /// what two looks may differ.
    fn contradicts(self, there: Self, rate: u64) -> bool {
        let since = there.ticks.wrapping_sub(self.ticks);
        if rate == 0 || since >= COMPARABLE {
            return false;
        }
        self.after(since, rate).abs_diff(there.ns) > there.ns.abs_diff(self.ns) / 64 + 5_000
    }
}

/// The counter, where there is one that any code may read.
#[cfg_attr(
    target_arch = "x86_64",
    expect(clippy::unnecessary_wraps, reason = "other processors have none")
)]
#[inline]
fn counter() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has this instruction, and it touches nothing; where a system
    // forbids it, its own clock, which is made of it, could not be read either.
    return Some(unsafe { core::arch::x86_64::_rdtsc() });
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Whether there is a counter here that can be looked at together with this clock, and is believed.
#[cfg(test)]
pub(crate) fn is_of_use(clock_ns: impl Fn() -> u64) -> bool {
    let is_close = || {
        let before = counter();
        clock_ns();
        before.zip(counter()).is_some_and(|(before, after)| after.wrapping_sub(before) < CLOSE)
    };
    RATE.load(Ordering::Relaxed) != CAUGHT && (0..1_000).any(|_| is_close())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Anchor = Anchor { ticks: 1 << 40, ns: 5_000 };
    /// Three ticks a nanosecond.
    const RATE: u64 = (1 << 32) / 3;

    /// So many nanoseconds later, at that pace.
    fn later(ns: u64) -> Anchor {
        Anchor { ticks: FIRST.ticks + 3 * ns, ns: FIRST.ns + ns }
    }

    #[test]
    fn two_anchors_far_enough_apart_tell_the_rate() {
        assert_eq!(FIRST.rate(later(BASE_NS - 1)), None);
        assert_eq!(FIRST.rate(later(BASE_NS)), Some(RATE));
        assert_eq!(FIRST.rate(later(u64::MAX >> 3)), Some(RATE));
    }

    #[test]
    fn a_counter_that_stands_or_went_back_has_no_rate() {
        let ns = FIRST.ns + BASE_NS;
        assert_eq!(FIRST.rate(Anchor { ticks: FIRST.ticks, ns }), None);
        assert_eq!(FIRST.rate(Anchor { ticks: FIRST.ticks - 1, ns }), None);
        assert_eq!(FIRST.rate(Anchor { ticks: FIRST.ticks + 1, ns }), None);
    }

    #[test]
    fn an_anchor_is_good_for_its_span_and_no_longer() {
        assert_eq!(FIRST.later(FIRST.ticks, RATE), Some(FIRST.ns));
        let most = FIRST.later(FIRST.ticks + SPAN - 1, RATE).expect("within the span");
        assert!(most.abs_diff(FIRST.ns + SPAN / 3) <= 1, "{most}");
        assert_eq!(FIRST.later(FIRST.ticks + SPAN, RATE), None);
        assert_eq!(FIRST.later(FIRST.ticks - 1, RATE), None, "the counter of another processor");
        assert!(FIRST.later(FIRST.ticks + SPAN - 1, SLOWEST - 1).is_some(), "no overflow");
    }

    #[test]
    fn a_counter_that_goes_at_another_pace_is_caught() {
        let there = later(1_000_000);
        assert!(!FIRST.contradicts(there, RATE));
        assert!(
            !FIRST.contradicts(there, RATE + RATE / 100),
            "as a clock that is set right may go"
        );
        assert!(FIRST.contradicts(there, RATE + RATE / 10));
        assert!(FIRST.contradicts(there, RATE / 2));
        assert!(!FIRST.contradicts(later(100), RATE / 2), "too near to tell");
        assert!(!FIRST.contradicts(later(1_000_000_000), RATE / 2), "too far to tell");
        assert!(!FIRST.contradicts(there, 0), "nobody believes it yet");
    }
}
