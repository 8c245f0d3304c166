//! The tasks of a snapshot: their readings, and their rows once these are asked for.

#[cfg(feature = "report-file")]
use std::cmp::Reverse;
use std::{fmt, mem, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeSeq};

use crate::{
    accounting::{ItemsReading, RecordReading},
    alloc::{Entered, current, own_work},
    model::{TaskId, TaskMemoryProfile, counters, row_of, text},
    primitives::{Lock, MapByIndex, Nanos, Once, Renew, reserve},
    snapshot::capture::{Reading, TaskReading},
};

/// The tasks of one snapshot; their rows are made on first use.
///
/// PERF: a row takes twice the memory of its reading, and a name. Most programs that take a
/// snapshot of very many tasks want their sums.
pub(crate) struct Tasks {
    rows: Once<Vec<TaskMemoryProfile>>,
    /// The readings, until the rows exist. They are only read while the rows are made, and dropped
    /// once the rows are complete. So they are complete as long as they are needed.
    read: Lock<Option<Arc<Read>>>,
}

/// The readings of all tasks.
#[derive(Debug, Default)]
struct Read {
    tasks: Vec<TaskReading>,
    items: Vec<ItemsReading>,
    /// The index of the row that says where a task waits, by the number of its node.
    #[cfg_attr(not(feature = "layout"), expect(dead_code, reason = "it is not known there"))]
    await_points: MapByIndex<u32>,
    measured: bool,
}

/// The value is never half written.
impl Renew for Option<Arc<Read>> {
    fn renew(&mut self) {}
}

impl Tasks {
    /// Takes the tasks out of a reading. `await_points` gives the index of a row by the number of
    /// its node.
    ///
    /// The lists stay memscope's own memory as long as the snapshot lives.
    pub(crate) fn take(
        reading: &mut Reading,
        await_points: MapByIndex<u32>,
        measured: bool,
    ) -> Self {
        let (tasks, items) = (mem::take(&mut reading.tasks), mem::take(&mut reading.items));
        let read = Read { tasks, items, await_points, measured };
        Self { rows: Once::new(), read: Lock::new(Some(Arc::new(read))) }
    }

    /// The readings from which rows are made; `None` once the rows exist.
    fn read(&self) -> Option<Arc<Read>> {
        self.read.lock().clone()
    }

    /// How many tasks were read, as long as their rows are not made.
    fn unmade(&self) -> usize {
        self.read.lock().as_ref().map_or(0, |read| read.tasks.len())
    }

    /// The rows: the living tasks in the order of their ids, then the tasks that may have ended.
    /// Then the ended tasks whose future is still held and the ended tasks that are kept, each the
    /// newest first.
    pub(crate) fn rows(&self) -> &[TaskMemoryProfile] {
        let mut is_whole = false;
        let rows = self.rows.get_or_init(|| {
            let _untracked = untracked();
            let work = own_work::work();
            // Puts memory aside for the text of these rows, and for other rows.
            let _aside = reserve::put_aside();
            let Some(read) = self.read() else { return Vec::new() };
            // PERF: the length is known, so the rows are made in place.
            let rows = reserve::rows(&read.tasks, |task| {
                let row = read.row(task);
                // The other texts are borrowed from the program.
                reserve::spend(row.name.len());
                Some(row)
            });
            is_whole = work.left_out() == 0;
            rows
        });
        if is_whole {
            *self.read.lock() = None;
        }
        rows
    }

    /// How many tasks there are, whether or not their rows were made.
    #[cfg(feature = "report-file")]
    pub(crate) fn len(&self) -> usize {
        let made = self.rows.get().map_or(0, Vec::len);
        self.unmade().max(made)
    }

    /// Copies the rows of the tasks with the most live bytes, in no order, and says how many tasks
    /// there are. Rows that are not made stay so.
    #[cfg(feature = "report-file")]
    pub(crate) fn largest(&self, most: usize) -> (Vec<TaskMemoryProfile>, usize) {
        let _untracked = untracked();
        if let Some(read) = self.read() {
            let row = |task: &TaskReading| read.row(task);
            (largest(&read.tasks, most, |task| task.live_bytes, row), read.tasks.len())
        } else {
            let rows = self.rows();
            (largest(rows, most, |task| task.live_bytes, Clone::clone), rows.len())
        }
    }

    /// How many rows were asked for but not made, for lack of memory. Serde writes these too, one
    /// by one.
    pub(crate) fn left_out(&self) -> u64 {
        let made = self.rows.get().map_or(usize::MAX, Vec::len);
        self.unmade().saturating_sub(made) as u64
    }
}

/// The rows of the `most` largest of these.
#[cfg(feature = "report-file")]
fn largest<T>(
    tasks: &[T],
    most: usize,
    bytes: impl Fn(&T) -> u64,
    row: impl Fn(&T) -> TaskMemoryProfile,
) -> Vec<TaskMemoryProfile> {
    let mut chosen: Vec<&T> = tasks.iter().collect();
    if most < chosen.len() {
        chosen.select_nth_unstable_by_key(most, |task| Reverse(bytes(task)));
        chosen.truncate(most);
    }
    chosen.into_iter().map(row).collect()
}

/// Charges the memory of the rows like the rest of the snapshot, whichever thread asks for them.
fn untracked() -> Option<Entered> {
    (!current::is_exempt()).then(Entered::untracked)
}

impl Read {
    #[inline]
    fn row(&self, task: &TaskReading) -> TaskMemoryProfile {
        let TaskReading { id, tally, record, items, live_bytes, live_blocks } = *task;
        let sizes = |bytes| if self.measured { bytes } else { 0 };
        let freed_bytes = tally.counters.allocated_bytes.saturating_sub(live_bytes);
        let items = items.and_then(|index| self.items.get(usize::try_from(index).ok()?));
        let counters = tally.counters.if_measured(self.measured);
        counters!(row_of! { counters, TaskMemoryProfile {
            id,
            parent: TaskId::new(record.parent),
            name: record.site.name.to_owned(),
            task_type: record.site.task_type,
            state: record.state,
            file: text::file(record.site.file),
            line: record.site.line,
            measured: self.measured,
            live_bytes: sizes(live_bytes),
            peak_bytes: sizes(record.peak_bytes),
            freed_bytes: sizes(freed_bytes),
            freed_elsewhere_bytes: sizes(freed_bytes.saturating_sub(tally.own_freed_bytes)),
            live_blocks: sizes(live_blocks),
            future_size_bytes: record.future.size as u64,
            future_type: text::type_name(record.future.name()),
            poll_count: record.polls,
            busy_ns: record.timing.busy_ns.map(Nanos::get),
            wait_ns: record.timing.wait_ns.map(Nanos::get),
            timing_is_estimate: record.timing.is_estimate,
            idle_ns: record.idle_ns.map(Nanos::get),
            scheduled_ns: None,
            await_point: self.await_point(&record),
            cell_bytes: sizes(record.cell_bytes),
            is_annotated: record.future.is_annotated,
            has_handle: record.has_handle,
            budget_bytes: Some(record.budget_bytes).filter(|bytes| *bytes != u64::MAX),
            items: items.map(|items| items.profile(self.measured)),
        } })
    }

    /// Where the task of this record waits.
    #[cfg(feature = "layout")]
    fn await_point(&self, record: &RecordReading) -> Option<u32> {
        self.await_points.get(&record.await_point).copied()
    }

    #[cfg(not(feature = "layout"))]
    #[expect(clippy::unused_self, reason = "as where that is known")]
    fn await_point(&self, _: &RecordReading) -> Option<u32> {
        None
    }
}

/// The row of one task, without its await point.
pub(crate) fn task(task: &TaskReading, measured: bool) -> TaskMemoryProfile {
    Read { measured, ..Read::default() }.row(task)
}

impl From<Vec<TaskMemoryProfile>> for Tasks {
    fn from(rows: Vec<TaskMemoryProfile>) -> Self {
        Self { rows: rows.into(), read: Lock::new(None) }
    }
}

impl Clone for Tasks {
    fn clone(&self) -> Self {
        self.rows().to_vec().into()
    }
}

impl PartialEq for Tasks {
    fn eq(&self, other: &Self) -> bool {
        self.rows() == other.rows()
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows().fmt(f)
    }
}

impl Serialize for Tasks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The lock is not held while the serializer runs: that may ask for these tasks, too.
        let Some(read) = self.read().filter(|read| !read.tasks.is_empty()) else {
            return self.rows().serialize(serializer);
        };
        // One row at a time, and none is kept.
        let mut rows = serializer.serialize_seq(Some(read.tasks.len()))?;
        for task in &read.tasks {
            let row = {
                let _untracked = untracked();
                // Makes room for one row, even if the writer has used up all that there was.
                reserve::is_short();
                read.row(task)
            };
            reserve::spend(row.name.len());
            let written = rows.serialize_element(&row);
            let _untracked = untracked();
            drop(row);
            written?;
        }
        rows.end()
    }
}

impl<'de> Deserialize<'de> for Tasks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}
