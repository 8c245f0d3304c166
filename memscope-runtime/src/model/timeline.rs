//! What changed over time: the timeline, trends and events.

use serde::{Deserialize, Serialize};

use super::{EventKind, site_profile::Place, task::TaskId};

/// How the live bytes of a living task, or of all tasks of a site, developed.
///
/// Every snapshot is a sample, and from `init` on the collector takes some in between. Only a few
/// are kept: when there are too many, every other one is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trend {
    /// The task, or `None` for all tasks of the site.
    pub task: Option<TaskId>,
    /// The site.
    pub place: Place,
    /// The samples, the oldest first; the last one is this snapshot.
    pub points: Vec<TrendPoint>,
}

/// One sample of a [`Trend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendPoint {
    /// Nanoseconds since the start of tracking.
    pub at_ns: u64,
    /// Bytes live at that time.
    pub live_bytes: u64,
    /// Bytes of all allocations until then.
    pub allocated_bytes: u64,
}

/// How live bytes developed. There are at most 64 points, whose distance grows with time, so that a
/// second and a month take the same memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The process, the oldest point first; the last one is this snapshot.
    pub process: Vec<ProcessPoint>,
    /// The largest sites, with points at the same times.
    pub sites: Vec<Trend>,
    /// The largest shared owners, by their names, with points at the same times.
    #[serde(default)]
    pub shared: Vec<Trend>,
}

/// Live bytes of the process at one time. A point between two snapshots may lack tasks that ended
/// just then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPoint {
    /// Nanoseconds since the start of tracking.
    pub at_ns: u64,
    /// Live bytes of all tasks, both living and ended.
    pub tracked_bytes: u64,
    /// Live bytes allocated outside every task.
    pub untracked_bytes: u64,
    /// The sum of both.
    pub whole_bytes: u64,
    /// Memory of the process that was in RAM; `None` where that is not known.
    #[serde(default)]
    pub resident_bytes: Option<u64>,
}

/// What happened to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// Nanoseconds since the start of tracking. Exact for timed tasks; otherwise the time at which
    /// any thread last read the clock before.
    pub at_ns: u64,
    /// What happened.
    pub kind: EventKind,
    /// The task to which it happened.
    pub task: TaskId,
    /// The task's site; `None` if the site has lost its only task to another name meanwhile.
    pub place: Option<Place>,
    /// The size of a large block.
    pub bytes: Option<u64>,
    /// The duration of a long poll. Of an end: how long the task lived since its first poll, if it
    /// was timed.
    pub took_ns: Option<u64>,
}
