//! The process that a snapshot describes.

use std::{
    process,
    time::{SystemTime, UNIX_EPOCH},
};

#[cfg(all(feature = "report-file", target_os = "linux"))]
use copy::stood_for;
use serde::{Deserialize, Serialize};

use crate::primitives::Once;

/// Identifies a process: its id, which the system may have given to others before, and when
/// memscope started in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The process id; 0 if it is not known.
    pub pid: u32,
    /// When memscope was first used there, in nanoseconds since 1970. In most programs that is just
    /// before their first snapshot or, if a report is asked for, before `main`.
    pub started_unix_ns: u64,
}

impl Origin {
    /// This process, or the one that it is a copy of.
    pub(crate) fn here() -> Self {
        static STARTED: Once<u64> = Once::new();
        let started_unix_ns = *STARTED.get_or_init(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        });
        Self { pid: stood_for().unwrap_or_else(process::id), started_unix_ns }
    }
}

#[cfg(all(feature = "report-file", target_os = "linux"))]
mod copy {
    use std::sync::atomic::{AtomicU32, Ordering};

    /// The id of the process that this one is a copy of; 0 if it is no copy.
    static STOOD_FOR: AtomicU32 = AtomicU32::new(0);

    /// From now on snapshots describe the process `pid`, of which this one is a copy.
    pub(crate) fn stands_for(pid: u32) {
        STOOD_FOR.store(pid, Ordering::Relaxed);
    }

    pub(super) fn stood_for() -> Option<u32> {
        Some(STOOD_FOR.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }
}

#[cfg(all(feature = "report-file", target_os = "linux"))]
pub(crate) use copy::stands_for;

#[cfg(not(all(feature = "report-file", target_os = "linux")))]
fn stood_for() -> Option<u32> {
    None
}
