//! Rows of events.

use super::site_names::SiteNames;
use crate::{
    model::{EventKind, TaskEvent, TaskId},
    primitives::reserve,
    snapshot::collector::Kept,
};

/// The events in the order in which they came.
pub(crate) fn events(events: &[Kept], names: &SiteNames, measured: bool) -> Vec<TaskEvent> {
    let row = |kept: &Kept| {
        let event = kept.event;
        let (bytes, took_ns) = match event.kind {
            EventKind::Spawned => (None, None),
            EventKind::LargeBlock | EventKind::OverBudget => (Some(event.amount), None),
            EventKind::LongPoll => (None, Some(event.amount)),
            EventKind::Completed | EventKind::Cancelled | EventKind::Panicked => {
                (None, (event.amount != 0).then_some(event.amount))
            }
        };
        let (task, place) = (TaskId::new(event.task)?, names.get(event.site));
        Some(TaskEvent { at_ns: event.at_ns, kind: event.kind, task, place, bytes, took_ns })
    };
    // If another allocator wraps memscope's, the blocks seen are not the program's.
    let is_known = |kept: &&Kept| measured || kept.event.kind != EventKind::LargeBlock;
    reserve::rows(events.iter().filter(is_known), row)
}
