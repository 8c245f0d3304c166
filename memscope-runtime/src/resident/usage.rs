//! What the program's allocator has taken from the system and keeps.

use std::time::{Duration, Instant};

use crate::{
    config,
    model::AllocatorUsage,
    primitives::{
        Lock,
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
static LAST: Lock<Last> = Lock::new(Last { usage: None, asked: None }, |last| {
    *last = Last { usage: None, asked: None };
});

#[derive(Debug)]
struct Last {
    usage: Option<AllocatorUsage>,
    /// When it was asked, and how long that took.
    asked: Option<(Instant, Duration)>,
}

impl Last {
    /// An allocator walks over its free blocks, which may be many. So that takes at most a
    /// hundredth of the time.
    fn is_recent(&self) -> bool {
        self.asked.is_some_and(|(at, took)| at.elapsed() < took.saturating_mul(100))
    }
}

/// 1 in a copy of the process, in which no other thread gives up a lock.
static IN_COPY: AtomicU8 = AtomicU8::new(0);

/// Notes that this process is a copy with one thread.
#[cfg(all(target_os = "linux", feature = "report-file"))]
pub(crate) fn in_copy() {
    IN_COPY.store(1, Ordering::Relaxed);
}

/// Asks the allocator. `live_bytes`: what the program has from it. Returns `None` if it does not
/// tell.
pub(super) fn of_allocator(asked: Asked, live_bytes: Option<u64>) -> Option<AllocatorUsage> {
    if asked == Asked::No || IN_COPY.load(Ordering::Relaxed) != 0 {
        return None;
    }
    // Another thread asks: its answer would be the same.
    let mut last = LAST.lock_for_a_while()?;
    if !last.is_recent() {
        let before = Instant::now();
        last.usage = ask(live_bytes);
        last.asked = Some((before, before.elapsed()));
    }
    last.usage
}

fn ask(live_bytes: Option<u64>) -> Option<AllocatorUsage> {
    if let Some(usage) = config::allocator_usage() {
        return usage();
    }
    #[cfg(all(target_os = "linux", target_env = "gnu", feature = "enabled"))]
    if let Some(usage) = super::glibc::usage_of_program() {
        return Some(usage);
    }
    #[cfg(feature = "jemalloc")]
    if let Some(usage) = jemalloc(live_bytes) {
        return Some(usage);
    }
    #[cfg(feature = "mimalloc")]
    if let Some(usage) = super::mimalloc::usage(live_bytes) {
        return Some(usage);
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
