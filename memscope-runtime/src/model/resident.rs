//! The memory of the process as the system counts it, divided among those that hold it.

use serde::{Deserialize, Serialize};

/// Where the resident memory of the process is, and how much it may have.
///
/// The parts add up: `resident = live + memscope + allocator_free + rest`. What is not known is
/// `None`: all of it off Linux and where `/proc` cannot be read, and in files that were written
/// before these figures existed. A part that is `None` is in `rest_bytes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resident {
    /// Memory of the process that is in RAM now (`VmRSS`).
    pub resident_bytes: Option<u64>,
    /// Of it, what is in no file: heap, stacks, other private memory (`RssAnon`).
    pub anonymous_bytes: Option<u64>,
    /// The part of the resident memory that is pages of files and shared memory (`RssFile` and
    /// `RssShmem`).
    pub file_bytes: Option<u64>,
    /// Memory of the process that was swapped out (`VmSwap`). It is not part of `resident_bytes`.
    pub swap_bytes: Option<u64>,
    /// The most that was ever resident (`VmHWM`).
    pub peak_resident_bytes: Option<u64>,
    /// The limit that is nearest; `None` if there is none, or it is not known.
    pub limit_bytes: Option<u64>,
    /// What sets that limit.
    pub limit_source: LimitSource,
    /// What counts against the limit now. For a control group, it is the memory of all its
    /// processes, without pages of files that the kernel can drop. For `RLIMIT_AS` it is the
    /// process's addresses, and for a setting its resident memory.
    pub limit_used_bytes: Option<u64>,
    /// The shares of the limit at which a report is written.
    pub report_at: Vec<f64>,
    /// Bytes that the program has allocated and not freed; `None` where sizes are not measured.
    pub live_bytes: Option<u64>,
    /// Memory of memscope itself: [`ToolUsage::own_bytes`] and `heap_bytes`.
    ///
    /// [`ToolUsage::own_bytes`]: crate::async_memory::ToolUsage::own_bytes
    pub memscope_bytes: Option<u64>,
    /// Memory that the program has freed and the allocator keeps, as far as it is resident; `None`
    /// where the allocator was not asked or does not tell.
    pub allocator_free_bytes: Option<u64>,
    /// What the allocator has handed out, by its own count. That is more than the live bytes: it
    /// rounds sizes up, and C libraries allocate from it too. `None` where it does not tell.
    pub allocator_used_bytes: Option<u64>,
    /// The allocator that has told these two figures; `None` if none has.
    pub allocator: Option<AllocatorKind>,
    /// The rest: the program's file, stacks of threads, C libraries, and what the allocator adds to
    /// each block. Below zero if live memory is not resident, or was freed between two readings.
    pub rest_bytes: Option<i64>,
}

/// What limits the memory of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitSource {
    /// No limit is known.
    #[default]
    None,
    /// `memory.max` of the process's control group, or of one above it.
    CgroupV2,
    /// `memory.limit_in_bytes` of the process's control group, or of one above it.
    CgroupV1,
    /// `RLIMIT_AS` or `RLIMIT_DATA`.
    Rlimit,
    /// [`Builder::memory_limit`](crate::Builder::memory_limit) or `MEMSCOPE_LIMIT`.
    Setting,
}

impl LimitSource {
    /// The words for a report.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::None => "no limit",
            Self::CgroupV1 | Self::CgroupV2 => "the limit of the control group",
            Self::Rlimit => "the limit of the process",
            Self::Setting => "the limit that is set",
        }
    }
}

/// Which limit of memory the process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// The limit of its control group or of the process (`RLIMIT_AS`, `RLIMIT_DATA`), whichever is
    /// nearer.
    #[default]
    Cgroup,
    /// This many bytes of resident memory.
    Bytes(u64),
}

/// An allocator that tells what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AllocatorKind {
    /// The allocator of the GNU C library.
    Glibc,
    /// jemalloc, by the feature of that name.
    Jemalloc,
    /// mimalloc, by the feature of that name.
    Mimalloc,
    /// Another allocator, by [`Builder::allocator_usage`](crate::Builder::allocator_usage).
    Other,
}

/// How an allocator counts the memory that it has from the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocatorUsage {
    /// Bytes that it has handed out; `None` if it does not know.
    pub used_bytes: Option<u64>,
    /// Bytes that it keeps and that no block uses.
    pub free_bytes: u64,
}

/// What [`Builder::on_pressure`](crate::Builder::on_pressure) gets when memory comes near its
/// limit.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pressure {
    /// The share of the limit that was crossed, one of
    /// [`Builder::report_at`](crate::Builder::report_at).
    pub share: f64,
    /// What counts against the limit now: see [`Resident::limit_used_bytes`].
    pub used_bytes: u64,
    /// The limit.
    pub limit_bytes: u64,
    /// What sets it.
    pub limit_source: LimitSource,
}
