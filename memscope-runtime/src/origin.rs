//! Which process a snapshot is of.

use std::{
    process,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::fork_lock::Once;

/// A process: its id, which others may have had before, and when memscope started in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The process id; 0 where it is not known.
    pub pid: u32,
    /// When memscope was first used there, in nanoseconds since 1970; in most programs just before their first snapshot or, with a report asked for,
    /// before `main`.
    pub started_unix_ns: u64,
}

impl Origin {
    /// This process.
    pub(crate) fn here() -> Self {
        static STARTED: Once<u64> = Once::new();
        let started_unix_ns = *STARTED.get_or_init(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        });
        Self { pid: process::id(), started_unix_ns }
    }
}
