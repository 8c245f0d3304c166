//! Spans: what is allocated while a span is entered.
//!
//! A span is one row, however many threads are in it at once. Its record has one writer: the thread
//! that holds the span's *turn* (see `inside`). That thread counts with plain stores, as a task's
//! poll does.
//!
//! Other threads that are inside are *guests*. They charge the same account with locked additions,
//! as the threads in a shared owner do. What is live is the sum of both, so the peak is that of all
//! threads together.

mod inside;

use super::{FutureType, Key, Record, Site, Tally, future_type::FutureName, record, transferred};
use crate::{
    model::TaskType,
    primitives::{HasLinks, Links, Slab, SlabItem, StaticRef, Zeroed},
};
use inside::{Inside, Interval};

pub(crate) use inside::Role;

/// A span that has a row.
#[derive(Debug)]
pub(crate) struct Span {
    /// The mode tally that is current on guests; it leads to the record.
    guests: Tally,
    record: StaticRef<Record>,
    inside: Inside,
    links: Links,
}

// SAFETY: atomics and `StaticRef`s, valid when zeroed, without destructors.
unsafe impl Zeroed for Span {}

impl HasLinks for Span {
    fn links(&self) -> &Links {
        &self.links
    }
}

static SPANS: Slab<Span> = Slab::new();

static SPAN: FutureType = FutureType {
    name: FutureName::Of(|| "tracing::Span"),
    size: 0,
    vtable: None,
    is_annotated: true,
};

/// Opens a row for a new span that `parent` creates (0 if no task does). Returns `None` if there is
/// no memory.
pub(crate) fn open(
    name: &str,
    file: &'static str,
    line: u32,
    parent: u64,
) -> Option<&'static Span> {
    let key = Key { name, task_type: TaskType::Unspecified, file, line, column: 0 };
    let span = SPANS.take()?;
    let Some(record) = record::open(Site::of(key), &SPAN, parent) else {
        SPANS.put(span);
        return None;
    };
    span.record.set(record);
    span.guests.lead_guests(record.tally().id(), record.index());
    span.inside.open();
    Some(span)
}

impl Span {
    /// Enters the span. Returns the thread's role, and whether it is the first thread inside.
    /// Returns `None` if the span is closed or there is no memory. `is_mine` says whether this
    /// thread holds the turn.
    pub(crate) fn join(&self, is_mine: impl Fn() -> bool) -> Option<(Role, bool)> {
        let account = self.record.get()?.tally().account()?;
        let (role, is_first) = self.inside.enter(is_mine)?;
        if !is_first && !transferred::note_entry(account) {
            self.leave(role, false);
            return None;
        }
        Some((role, is_first))
    }

    /// The tally that is current on a thread with this role.
    pub(crate) fn tally(&'static self, role: Role) -> Option<&'static Tally> {
        match role {
            Role::Writer | Role::Again => self.record.get().map(Record::tally),
            Role::Guest => Some(&self.guests),
        }
    }

    /// Begins the interval if this thread is the first inside. The thread has made the span current
    /// before. `outer` is the task that the thread comes from, 0 if there is none.
    pub(crate) fn begin(&self, (role, is_first): (Role, bool), outer: u64) {
        let Some(record) = self.record.get() else { return };
        if is_first {
            record.start(|| outer);
        } else if role == Role::Writer {
            record.look_at_window();
        }
    }

    /// Leaves the span; afterwards this thread does not write the record any more. `is_buried` says
    /// that a guard still saves a pointer to the span, until [`unbury`](Self::unbury).
    pub(crate) fn leave(&self, role: Role, is_buried: bool) {
        if self.inside.leave(role, is_buried, self) {
            self.write_down();
        }
    }

    /// Leaves the span for a thread that a fork has left behind. Must be called in the child.
    #[cfg(unix)]
    pub(crate) fn abandon(&self, role: Role, is_buried: bool) {
        if is_buried {
            self.unbury();
        } else if self.inside.leave(role, false, &Abandoned(self)) {
            self.write_down();
        }
    }

    /// Notes that no guard saves a pointer to the span any more for an entry that was left.
    pub(crate) fn unbury(&self) {
        if self.inside.unbury() {
            self.archive();
        }
    }

    /// Closes the span. Its task completes now, or when all threads have left it.
    pub(crate) fn close(&self) {
        if self.inside.close() {
            self.write_down();
        }
    }

    fn write_down(&self) {
        if let Some(record) = self.record.get() {
            record.complete();
        }
        if self.inside.written() {
            self.archive();
        }
    }

    fn archive(&self) {
        if let Some(record) = self.record.get() {
            record.give_back();
        }
        self.record.clear();
        if let Some(span) = SPANS.get(self.index()) {
            SPANS.put(span);
        }
    }
}

/// An interval that a fork has cut off: its duration is not known.
#[cfg(unix)]
struct Abandoned<'s>(&'s Span);

#[cfg(unix)]
impl Interval for Abandoned<'_> {
    fn stop(&self) {
        if let Some(record) = self.0.record.get() {
            record.stop_untimed();
        }
    }

    /// Does nothing, because the child has no other thread.
    fn resume(&self) {}
}

impl Interval for Span {
    fn stop(&self) {
        if let Some(record) = self.record.get() {
            record.stop();
        }
    }

    fn resume(&self) {
        let Some(record) = self.record.get() else { return };
        // `join` counted the entry as one into an entered span, but it begins an interval.
        if let Some(account) = record.tally().account() {
            transferred::retract_entry(account);
        }
        record.start(|| 0);
    }
}
