//! Memory and limits of the process, as the system and the allocator count them.
//!
//! [`look`] is cheap, for a thread that watches. [`divide`] reads more, for a snapshot.

#[cfg(all(target_os = "linux", target_env = "gnu", feature = "enabled"))]
mod glibc;
#[cfg(feature = "mimalloc")]
mod mimalloc;
mod cgroup;
mod figures;
mod small_file;
mod usage;

use std::{
    mem,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    config,
    model::{Limit, LimitSource, Resident},
    primitives::{Lock, Renew},
};
use cgroup::Group;
use figures::{Rlimits, Statm};

pub(crate) use usage::Asked;
#[cfg(all(target_os = "linux", feature = "report-file"))]
pub(crate) use usage::in_copy;

const STATM: &str = "/proc/self/statm";

/// What counts against the nearest limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) used_bytes: u64,
    pub(crate) limit_bytes: u64,
    pub(crate) source: LimitSource,
}

impl Usage {
    pub(crate) fn room(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes)
    }
}

/// The limits of the process as they were found last. A process may be moved, and limits change: so
/// they are read anew once in a while.
static LIMITS: Lock<Limits> = Lock::new(Limits::NONE);

#[derive(Debug)]
struct Limits {
    group: Option<Group>,
    process: Rlimits,
    read: Option<Instant>,
}

impl Renew for Limits {
    fn renew(&mut self) {
        mem::forget(mem::replace(self, Self::NONE));
    }
}

impl Limits {
    const NONE: Self = Self { group: None, process: Rlimits::NONE, read: None };
    const MOST_AGE: Duration = Duration::from_secs(5);

    fn read() -> Self {
        let process = figures::rlimits(Path::new("/proc/self/limits")).unwrap_or(Rlimits::NONE);
        Self { group: Group::own(), process, read: Some(Instant::now()) }
    }
}

/// Reads resident memory alone.
pub(crate) fn now() -> Option<u64> {
    figures::statm(Path::new(STATM)).map(|statm| statm.resident_bytes)
}

/// Reads resident memory without pages of files.
#[allow(dead_code, reason = "for copies of the process, which are made on Linux alone")]
pub(crate) fn anonymous() -> Option<u64> {
    let statm = figures::statm(Path::new(STATM))?;
    Some(statm.resident_bytes.saturating_sub(statm.file_bytes))
}

/// How exactly to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Below half of a group's limit, all of its memory counts.
    Quick,
    Exact,
}

/// Reads what counts against the nearest limit. Returns `None` if there is no limit, or if it is
/// not known.
pub(crate) fn look(how: Look) -> Option<Usage> {
    let statm = figures::statm(Path::new(STATM))?;
    if let Limit::Bytes(limit_bytes) = config::memory_limit() {
        let used_bytes = statm.resident_bytes;
        return Some(Usage { used_bytes, limit_bytes, source: LimitSource::Setting });
    }
    let mut limits = LIMITS.lock_for_a_while()?;
    if limits.read.is_none_or(|read| read.elapsed() > Limits::MOST_AGE) {
        *limits = Limits::read();
    }
    let of_group = limits.group.as_ref().and_then(|group| {
        let from_bytes = if how == Look::Quick { group.limit_bytes / 2 } else { 0 };
        let used_bytes = group.used_bytes(from_bytes)?;
        Some(Usage { used_bytes, limit_bytes: group.limit_bytes, source: group.source() })
    });
    let [addresses, data] = of_process(&statm, limits.process);
    // The nearest: what has the least room.
    [of_group, addresses, data].into_iter().flatten().min_by_key(Usage::room)
}

fn of_process(statm: &Statm, limits: Rlimits) -> [Option<Usage>; 2] {
    let of = |used_bytes, limit: Option<u64>| {
        limit.map(|limit_bytes| Usage { used_bytes, limit_bytes, source: LimitSource::Rlimit })
    };
    [of(statm.virtual_bytes, limits.addresses), of(statm.data_bytes, limits.data)]
}

/// Reads where resident memory is. `live_bytes`: `None` where sizes are not measured.
pub(crate) fn divide(live_bytes: Option<u64>, memscope_bytes: u64, asked: Asked) -> Resident {
    let status = figures::status(Path::new("/proc/self/status")).unwrap_or_default();
    let usage = look(Look::Exact);
    let (allocator, kept) = usage::of_allocator(asked, live_bytes).unzip();
    let mut resident = Resident {
        resident_bytes: status.resident_bytes,
        anonymous_bytes: status.anonymous_bytes,
        file_bytes: status.file_bytes,
        swap_bytes: status.swap_bytes,
        peak_resident_bytes: status.peak_resident_bytes,
        limit_bytes: usage.map(|usage| usage.limit_bytes),
        limit_source: usage.map_or(LimitSource::None, |usage| usage.source),
        limit_used_bytes: usage.map(|usage| usage.used_bytes),
        report_at: usage.map_or_else(Vec::new, |_| config::report_at().shares().collect()),
        live_bytes,
        memscope_bytes: Some(memscope_bytes),
        allocator_free_bytes: None,
        allocator_used_bytes: kept.and_then(|usage| usage.used_bytes),
        allocator,
        rest_bytes: None,
    };
    resident.add_up(kept.map(|usage| usage.free_bytes));
    resident
}

impl Resident {
    /// Fills in what the allocator keeps, and the rest.
    fn add_up(&mut self, kept_bytes: Option<u64>) {
        let Some(resident) = self.resident_bytes else { return };
        let known = self.live_bytes.unwrap_or(0).saturating_add(self.memscope_bytes.unwrap_or(0));
        // NOTE: an allocator also counts pages as kept that it has given back to the system, as
        // `malloc_trim` does. So no more is kept than is resident beside what is known.
        self.allocator_free_bytes = kept_bytes.map(|kept| kept.min(resident.saturating_sub(known)));
        let parts = known.saturating_add(self.allocator_free_bytes.unwrap_or(0));
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.rest_bytes = Some(signed(resident).saturating_sub(signed(parts)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn divided(resident: Option<u64>, live: Option<u64>, own: u64, kept: Option<u64>) -> Resident {
        let mut divided = Resident {
            resident_bytes: resident,
            live_bytes: live,
            memscope_bytes: Some(own),
            ..Resident::default()
        };
        divided.add_up(kept);
        divided
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_resident_memory(
            resident in 0..1_u64 << 50,
            live in prop::option::of(0..1_u64 << 50),
            own in 0..1_u64 << 40,
            kept in prop::option::of(0..1_u64 << 50),
        ) {
            let it = divided(Some(resident), live, own, kept);
            let parts = live.unwrap_or(0) + own + it.allocator_free_bytes.unwrap_or(0);
            let sum = i64::try_from(parts).unwrap() + it.rest_bytes.unwrap();
            prop_assert_eq!(sum, i64::try_from(resident).unwrap());
            prop_assert_eq!(it.allocator_free_bytes.is_some(), kept.is_some());
        }
    }

    #[test]
    fn memory_that_the_allocator_has_given_back_is_not_resident() {
        let it = divided(Some(100), Some(60), 10, Some(1_000));
        assert_eq!((it.allocator_free_bytes, it.rest_bytes), (Some(30), Some(0)));
    }

    #[test]
    fn what_is_not_known_is_none_and_never_zero() {
        let it = divided(None, Some(60), 10, Some(1_000));
        assert_eq!((it.resident_bytes, it.allocator_free_bytes, it.rest_bytes), (None, None, None));
        assert_eq!(Resident::default().memscope_bytes, None);
    }
}
