//! What the program's allocator has taken from the system and keeps.

use std::time::{Duration, Instant};

use crate::{
    config,
    model::{AllocatorKind, AllocatorUsage},
    primitives::{
        Lock, Renew,
        sync::{AtomicU8, Ordering},
    },
};

/// Whether the allocator may be asked. It takes its own locks for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Yes,
    /// A signal may have interrupted a thread that holds one of these locks.
    #[cfg_attr(not(feature = "report-file"), allow(dead_code, reason = "reports on signals"))]
    No,
}

/// The last answer, and when it came.
static LAST: Lock<Last> = Lock::new(Last::NONE);

/// What an allocator has told.
pub(super) type Told = (AllocatorKind, AllocatorUsage);

#[derive(Debug)]
struct Last {
    told: Option<Told>,
    /// What was live then.
    live_bytes: Option<u64>,
    /// When it was asked, and how long that took.
    asked: Option<(Instant, Duration)>,
}

impl Renew for Last {
    fn renew(&mut self) {
        *self = Self::NONE;
    }
}

impl Last {
    const NONE: Self = Self { told: None, live_bytes: None, asked: None };

    /// An allocator walks over its free blocks, which may be many. So that takes at most a
    /// hundredth of the time, or a tenth while live memory comes and goes.
    fn is_recent(&self, live_bytes: Option<u64>) -> bool {
        let least = if self.holds(live_bytes) { 100 } else { 10 };
        self.asked.is_some_and(|(at, took)| at.elapsed() < took.saturating_mul(least))
    }

    /// Whether about as much is live as then. What was freed since would be in no part of resident
    /// memory, and what was allocated since would be in two.
    fn holds(&self, live_bytes: Option<u64>) -> bool {
        let (Some(then), Some(now)) = (self.live_bytes, live_bytes) else { return true };
        then.abs_diff(now) <= (then / 16).max(MOST_MOVED)
    }
}

/// From how many bytes on it matters that live memory has changed.
const MOST_MOVED: u64 = 4 << 20;

/// 1 in a copy of the process, in which no other thread gives up a lock.
static IN_COPY: AtomicU8 = AtomicU8::new(0);

/// Notes that this process is a copy with one thread.
#[cfg(all(target_os = "linux", feature = "report-file"))]
pub(crate) fn in_copy() {
    IN_COPY.store(1, Ordering::Relaxed);
}

/// Asks the allocator. `live_bytes`: what the program has from it. Returns `None` if it does not
/// tell.
pub(super) fn of_allocator(asked: Asked, live_bytes: Option<u64>) -> Option<Told> {
    if asked == Asked::No || IN_COPY.load(Ordering::Relaxed) != 0 {
        return None;
    }
    // Another thread asks: its answer would be the same.
    let mut last = LAST.lock_for_a_while()?;
    if !last.is_recent(live_bytes) {
        let before = Instant::now();
        last.told = ask(live_bytes);
        last.live_bytes = live_bytes;
        last.asked = Some((before, before.elapsed()));
    }
    last.told.filter(|_| last.holds(live_bytes))
}

fn ask(live_bytes: Option<u64>) -> Option<Told> {
    if let Some(usage) = config::allocator_usage() {
        return usage().map(|usage| (AllocatorKind::Other, usage));
    }
    #[cfg(all(target_os = "linux", target_env = "gnu", feature = "enabled"))]
    if let Some(usage) = super::glibc::usage_of_program() {
        return Some((AllocatorKind::Glibc, usage));
    }
    #[cfg(feature = "jemalloc")]
    if let Some(usage) = jemalloc(live_bytes) {
        return Some((AllocatorKind::Jemalloc, usage));
    }
    #[cfg(feature = "mimalloc")]
    if let Some(usage) = super::mimalloc::usage(live_bytes) {
        return Some((AllocatorKind::Mimalloc, usage));
    }
    let _ = live_bytes;
    None
}

#[cfg(feature = "jemalloc")]
fn jemalloc(live_bytes: Option<u64>) -> Option<AllocatorUsage> {
    use tikv_jemalloc_ctl::{epoch, stats};
    epoch::advance().ok()?;
    let (used, resident) = (stats::allocated::read().ok()?, stats::resident::read().ok()?);
    // What jemalloc needs for itself is in neither.
    let own = stats::metadata::read().ok()?;
    let free = resident.saturating_sub(used).saturating_sub(own);
    // Less than the program has: it has it from another allocator.
    if live_bytes.is_some_and(|live| live > used as u64) {
        return None;
    }
    Some(AllocatorUsage { used_bytes: Some(used as u64), free_bytes: free as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// An answer that took so long, and that came just now.
    fn last(took: Duration, live_bytes: u64) -> Last {
        let usage = AllocatorUsage { used_bytes: None, free_bytes: MIB };
        let asked = Some((Instant::now(), took));
        let told = Some((AllocatorKind::Other, usage));
        Last { told, live_bytes: Some(live_bytes), asked }
    }

    #[test]
    fn an_answer_holds_as_long_as_about_as_much_is_live() {
        for (then, now, holds) in [
            (100 * MIB, 104 * MIB, true),
            (100 * MIB, 30 * MIB, false),
            (0, 5 * MIB, false),
            (0, 4 * MIB, true),
            (u64::MAX, 0, false),
        ] {
            assert_eq!(last(Duration::ZERO, then).holds(Some(now)), holds, "{then} {now}");
        }
        assert!(last(Duration::ZERO, MIB).holds(None), "sizes are not measured");
    }

    #[test]
    fn an_allocator_that_answers_slowly_is_asked_again_sooner_once_much_was_freed() {
        let mut slow = last(Duration::from_secs(1_000), 100 * MIB);
        assert!(slow.is_recent(Some(100 * MIB)) && slow.is_recent(Some(30 * MIB)));
        slow.asked = Instant::now().checked_sub(Duration::from_secs(1)).map(|at| {
            // A second ago, and a fiftieth of that long.
            (at, Duration::from_millis(20))
        });
        assert!(slow.is_recent(Some(100 * MIB)));
        assert!(!slow.is_recent(Some(30 * MIB)));
        assert!(!Last::NONE.is_recent(Some(MIB)));
    }
}
