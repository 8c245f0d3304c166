//! What changed over time: the timeline, trends and events.

use serde::{Deserialize, Serialize};

use super::{site_profile::Place, task::TaskId};
use crate::model::EventKind;

/// How the live bytes of a living task, or of all tasks of a site, went.
///
/// Every snapshot is a sample, and from `init` on the collector takes some between. Only a few are
/// kept: when there are too many, every other one is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trend {
    /// The task; `None`: all tasks of the site.
    pub task: Option<TaskId>,
    /// The site.
    pub place: Place,
    /// The oldest first; the last one is this snapshot.
    pub points: Vec<TrendPoint>,
}

/// One sample of a [`Trend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendPoint {
    /// Nanoseconds since the start of tracking.
    pub at_ns: u64,
    /// Bytes live then.
    pub live_bytes: u64,
    /// Bytes of all allocations until then.
    pub allocated_bytes: u64,
}

/// How live bytes went: a fixed number of points (64 at the most) whose distance grows, so that a
/// second and a month take the same memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The process, the oldest point first; the last one is this snapshot.
    pub process: Vec<ProcessPoint>,
    /// The largest sites, with points of the same times.
    pub sites: Vec<Trend>,
}

/// Live bytes of the process at one time. Tasks that ended just then may be missing in a point that
/// no snapshot was taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPoint {
    /// Nanoseconds since the start of tracking.
    pub at_ns: u64,
    /// Live bytes of all tasks, the living and the ended.
    pub tracked_bytes: u64,
    /// Live bytes allocated outside every task.
    pub untracked_bytes: u64,
    /// Both.
    pub whole_bytes: u64,
}

/// What happened to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// Nanoseconds since the start of tracking. Exact for timed tasks; else when the clock was last
    /// read before, by any thread.
    pub at_ns: u64,
    /// What it was.
    pub kind: EventKind,
    /// Whom it happened to.
    pub task: TaskId,
    /// The task's site; `None` where it has given its only task to another name meanwhile.
    pub place: Option<Place>,
    /// Of a large block, its size.
    pub bytes: Option<u64>,
    /// Of a long poll, how long it took; of an end, how long the task lived since its first poll,
    /// where it was timed.
    pub took_ns: Option<u64>,
}
