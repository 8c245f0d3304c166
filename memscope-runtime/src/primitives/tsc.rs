//! The processor's time-stamp counter: it continues the system's clock, at half the cost of a read.
//!
//! Each thread keeps an *anchor* for about a millisecond: a read of clock and counter at one
//! moment. Until the next anchor, the time is the anchor's plus the ticks since, at the rate
//! measured between anchors so far. So no error adds up, and durations longer than that are
//! measured by the system's clock alone.
//!
//! The counter is trusted as long as it agrees with the clock. Each new anchor is compared with the
//! one before it. If they do not fit, the counter is never read again. That happens on a processor
//! that changes its pace, on a move to one that counts from elsewhere, and after a sleep.

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

/// What the counter and the clock read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Anchor {
    ticks: u64,
    ns: u64,
}

/// The number of ticks for which an anchor is valid: a millisecond at 2.1 GHz.
const SPAN: u64 = 1 << 21;

/// The number of ticks within which two anchors can be compared.
const COMPARABLE: u64 = SPAN << 5;

/// If this many ticks pass between two reads of the counter, the thread was interrupted and makes
/// no anchor. So an anchor is wrong by at most half of this.
const CLOSE: u64 = 1 << 10;

/// The least distance of two anchors from which the rate is measured.
const BASE_NS: u64 = 10_000_000;

/// No counter has a tick of 16 ns or more, in 2^32nds of a nanosecond.
const SLOWEST: u64 = 1 << 36;

thread_local! {
    static ANCHOR: Cell<Anchor> = const { Cell::new(Anchor { ticks: 0, ns: 0 }) };
}

/// The first anchor of the process.
static FIRST: StaticRef<Anchor> = StaticRef::none();

/// The length of a tick in 2^32nds of a nanosecond; 0 if not known yet.
///
/// Relaxed: the rate stands for itself, and an anchor is its thread's own, so nothing has to be
/// ordered with it.
static RATE: AtomicU64 = AtomicU64::new(0);

/// The rate of a counter that is not trusted any more. It never changes back.
const CAUGHT: u64 = u64::MAX;

/// The time by the counter, if this thread's anchor is still valid.
///
/// PERF: a read of the counter (12 to 28 ns), a thread-local read, a load and a multiplication.
#[inline]
pub(crate) fn now_ns() -> Option<u64> {
    let rate = RATE.load(Ordering::Relaxed);
    if rate == 0 || rate == CAUGHT {
        return None;
    }
    ANCHOR.get().later(counter()?, rate)
}

/// The system's clock, in nanoseconds since some time in the past. It is safe inside the allocator:
/// it asks the same clock as the standard library, whose call could panic.
#[cfg(all(target_os = "linux", feature = "enabled"))]
pub(crate) fn system_ns() -> u64 {
    let mut time = std::mem::MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is valid for a write of a `timespec`. The call fails only for an unknown
    // clock, which this one is not.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr()) };
    // SAFETY: it was zeroed, which is valid for this struct of numbers, or written.
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

/// Reads the system's clock and makes the result this thread's anchor.
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
            // If another thread has measured the rate or caught the counter meanwhile, that value
            // stays.
            let _ = RATE.compare_exchange(known, rate, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
    ns
}

/// The first anchor of the process, which is this one if there is none yet. Returns `None` if there
/// is no memory for it.
#[inline]
fn first(anchor: Anchor) -> Option<&'static Anchor> {
    FIRST.get().or_else(|| {
        let new = arena::keep(anchor)?;
        Some(FIRST.set_if_none(new).err().unwrap_or(new))
    })
}

impl Anchor {
    /// The time at this tick; `None` if the anchor is no longer valid.
    #[inline]
    fn later(self, ticks: u64, rate: u64) -> Option<u64> {
        let since = ticks.wrapping_sub(self.ticks);
        (since < SPAN).then(|| self.after(since, rate))
    }

    /// The time this many ticks later, fewer than `COMPARABLE`.
    #[inline]
    fn after(self, ticks: u64, rate: u64) -> u64 {
        // The product is below 2^62, as the rate is below `SLOWEST`.
        self.ns + ((ticks * rate) >> 32)
    }

    /// The length of a tick between two anchors, if they are far enough apart.
    fn rate(self, there: Self) -> Option<u64> {
        let (ns, ticks) = (there.ns.checked_sub(self.ns)?, there.ticks.checked_sub(self.ticks)?);
        if ns < BASE_NS {
            return None;
        }
        let rate = (u128::from(ns) << 32).checked_div(u128::from(ticks))?;
        u64::try_from(rate).ok().filter(|rate| *rate < SLOWEST)
    }

    /// Whether clock and counter disagree at the later anchor: by more than a sixty-fourth of the
    /// time between them, plus 5 µs by which two reads may differ.
    fn contradicts(self, there: Self, rate: u64) -> bool {
        let since = there.ticks.wrapping_sub(self.ticks);
        if rate == 0 || since >= COMPARABLE {
            return false;
        }
        self.after(since, rate).abs_diff(there.ns) > there.ns.abs_diff(self.ns) / 64 + 5_000
    }
}

/// Reads the counter, if the processor has one that any code may read.
#[cfg_attr(
    target_arch = "x86_64",
    expect(clippy::unnecessary_wraps, reason = "other processors have none")
)]
#[inline]
fn counter() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has this instruction, and it touches no memory. If a system
    // forbade it, the system's own clock, which is built on it, could not be read either.
    return Some(unsafe { core::arch::x86_64::_rdtsc() });
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// Whether the counter is trusted and can be read close to a read of this clock.
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

    /// The anchor this many nanoseconds later, at that rate.
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
        assert!(!FIRST.contradicts(there, 0), "no check has failed yet");
    }
}
