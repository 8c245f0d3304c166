//! All families: the name and the meaning of each.

use super::{
    MetricFamily,
    MetricKind::{Counter, Gauge, Histogram},
};

pub(super) const LIVE: MetricFamily = MetricFamily::new(
    Gauge,
    "memscope_live_bytes",
    "bytes",
    "Bytes that the tasks of a site have allocated and that are not freed.",
);
pub(super) const ALLOCATED: MetricFamily = MetricFamily::new(
    Counter,
    "memscope_allocated_bytes",
    "bytes",
    "Bytes of all allocations of the tasks of a site.",
);
pub(super) const RETAINED: MetricFamily = MetricFamily::new(
    Gauge,
    "memscope_retained_bytes",
    "bytes",
    "Live bytes of the ended tasks of a site.",
);
pub(super) const UNTRACKED: MetricFamily = MetricFamily::new(
    Gauge,
    "memscope_process_untracked_bytes",
    "bytes",
    "Live bytes that were allocated outside every task.",
);
pub(super) const PROCESS_ALLOCATED: MetricFamily = MetricFamily::new(
    Counter,
    "memscope_process_allocated_bytes",
    "bytes",
    "Bytes of all allocations, in tasks and outside of them.",
);
pub(super) const TASKS: MetricFamily = MetricFamily::new(
    Gauge,
    "memscope_tasks",
    "",
    "Tasks of a site: active ones, and ended ones by how they ended.",
);
pub(super) const POLLS: MetricFamily = MetricFamily::new(
    Histogram,
    "memscope_poll_seconds",
    "seconds",
    "Durations of the timed polls of all sites. By default a sample of the polls is timed.",
);
pub(super) const DROPPED: MetricFamily = MetricFamily::new(
    Counter,
    "memscope_events_dropped",
    "",
    "Events and rows of ended tasks that were dropped. No sum depends on them.",
);
pub(super) const LOOKS: MetricFamily = MetricFamily::new(
    Counter,
    "memscope_looks",
    "",
    "How often all tasks were looked at: by reports, and by memscope's own thread.",
);
pub(super) const LONGEST_LOOK: MetricFamily = MetricFamily::new(
    Gauge,
    "memscope_longest_look_seconds",
    "seconds",
    "The longest time that memscope's own thread took to look at all tasks.",
);
pub(super) const OWN: MetricFamily = MetricFamily::new(
    Gauge,
    "memscope_own_bytes",
    "bytes",
    "Memory of memscope's own records, sites and history.",
);
pub(super) const RESIDENT: MetricFamily = MetricFamily::new(
    Gauge,
    "memscope_process_resident_bytes",
    "bytes",
    "Memory of the process that is in RAM.",
);
pub(super) const LIMIT: MetricFamily = MetricFamily::new(
    Gauge,
    "memscope_process_limit_bytes",
    "bytes",
    "The nearest limit of the process's memory.",
);
pub(super) const LIMIT_USED: MetricFamily = MetricFamily::new(
    Gauge,
    "memscope_process_limit_used_bytes",
    "bytes",
    "What counts against that limit.",
);
pub(super) const ALLOCATOR_FREE: MetricFamily = MetricFamily::new(
    Gauge,
    "memscope_process_allocator_free_bytes",
    "bytes",
    "Memory that the program has freed and the allocator keeps.",
);

/// Returns every family that [`metrics`](super::metrics) may have, in its order and without series.
///
/// It is for libraries in which metrics are declared before they have figures. A snapshot lacks a
/// family whose figures are not measured.
///
/// ```
/// use memscope_export::{metric_families, metrics};
/// use memscope_runtime::async_memory::get_memory_snapshot;
///
/// let names = metric_families().map(|family| family.name);
/// assert!(metrics(&get_memory_snapshot()).iter().all(|family| names.contains(&family.name)));
/// ```
pub const fn metric_families() -> [MetricFamily; 15] {
    [
        LIVE,
        ALLOCATED,
        RETAINED,
        UNTRACKED,
        PROCESS_ALLOCATED,
        TASKS,
        POLLS,
        DROPPED,
        LOOKS,
        LONGEST_LOOK,
        OWN,
        RESIDENT,
        LIMIT,
        LIMIT_USED,
        ALLOCATOR_FREE,
    ]
}
