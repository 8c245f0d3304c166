//! A task as reports name it: its id, its kind and its state.

use std::{fmt, num::NonZeroU64};

use serde::{Deserialize, Serialize};

/// The id of one tracked task, unique for the life of the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(NonZeroU64);

impl TaskId {
    /// An id that no task gets: the largest number.
    pub(crate) const LARGEST: Self = Self(NonZeroU64::MAX);

    pub(crate) fn new(id: u64) -> Option<Self> {
        NonZeroU64::new(id).map(Self)
    }

    /// The number: counted up from 1 in the order in which tasks were created.
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a task mostly does, as its author declares it. It affects only how reports group tasks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum TaskType {
    /// Computes (`"cpu"`).
    CpuIntensive,
    /// Reads and writes files and devices (`"io"`).
    IoIntensive,
    /// Talks to peers (`"network"`).
    NetworkIntensive,
    /// Holds much memory (`"memory"`).
    MemoryIntensive,
    /// Passes data on piece by piece (`"streaming"`).
    Streaming,
    /// Runs beside the requests (`"background"`).
    Background,
    /// Several of these (`"mixed"`).
    Mixed,
    /// Not declared.
    #[default]
    Unspecified,
}

impl TaskType {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::CpuIntensive,
        Self::IoIntensive,
        Self::NetworkIntensive,
        Self::MemoryIntensive,
        Self::Streaming,
        Self::Background,
        Self::Mixed,
        Self::Unspecified,
    ];

    /// The short word that `#[tracked(task_type = "…")]` takes; `"-"` if none was given.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CpuIntensive => "cpu",
            Self::IoIntensive => "io",
            Self::NetworkIntensive => "network",
            Self::MemoryIntensive => "memory",
            Self::Streaming => "streaming",
            Self::Background => "background",
            Self::Mixed => "mixed",
            Self::Unspecified => "-",
        }
    }
}

impl fmt::Display for TaskType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state of a task in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum TaskState {
    /// Not being polled: not yet started, or waiting.
    Idle,
    /// Being polled right now.
    Running,
    /// Its future returned `Ready`.
    Completed,
    /// Its future was dropped before it completed. Of an unannotated Tokio task: it was aborted, or
    /// its runtime was shut down. A task that completed in the very poll during which that happened
    /// counts here too, because Tokio marks it in the same way.
    Cancelled,
    /// Its future panicked while it was polled.
    Panicked,
    /// Of an unannotated Tokio task: whether it waits, runs or has ended is not known.
    Unknown,
    /// Of an unannotated Tokio task: it has ended. Tokio does not tell whether it completed or
    /// panicked. The hooks of a runtime with `tokio_hooks` do not even tell whether it was aborted.
    Ended,
}

impl TaskState {
    pub(crate) const ALL: [Self; 7] = [
        Self::Idle,
        Self::Running,
        Self::Completed,
        Self::Cancelled,
        Self::Panicked,
        Self::Unknown,
        Self::Ended,
    ];

    pub(crate) fn from_u8(state: u8) -> Self {
        Self::ALL.get(usize::from(state)).copied().unwrap_or(Self::Idle)
    }

    /// Whether the task will never be polled again.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Panicked | Self::Ended)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
            Self::Unknown => "unknown",
            Self::Ended => "ended",
        })
    }
}
