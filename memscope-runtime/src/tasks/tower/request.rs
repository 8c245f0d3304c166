//! The task of a request, which moves from the service's future to the response's body.

use std::panic::Location;

use http::{Method, Response, StatusCode};

use crate::{
    accounting::{FutureType, Key, Record, Site, record},
    alloc::{Entered, current, poll_guard},
    config::ENABLED,
    model::TaskType,
};

/// A request's record while it is open. Dropping this closes it.
///
/// Its holder is the record's single writer. The future drops what it wraps before it hands the
/// request on, so there are never two writers.
#[derive(Debug)]
pub(super) struct Request(Option<&'static Record>);

impl Request {
    /// Opens a record. The row has the name that `name` gives, and this place.
    ///
    /// What `name` allocates belongs to no task: neither to the request nor to its connection.
    pub(super) fn open<'n, N: AsRef<str> + 'n>(
        name: impl FnOnce() -> N,
        task_type: TaskType,
        place: &'static Location<'static>,
        future_type: &'static FutureType,
    ) -> Self {
        poll_guard::note_tracked();
        let site = {
            let _untracked = Entered::untracked();
            let (file, line, column) = (place.file(), place.line(), place.column());
            Site::of(Key { name: name().as_ref(), task_type, file, line, column })
        };
        Self(record::open(site, future_type, current::owner_id()))
    }

    /// Stands for a request without a row.
    pub(super) const fn without_row() -> Self {
        Self(None)
    }

    // PERF: with tracking compiled out, the compiler sees that there is no record, and only the
    // inner call is left.
    #[inline]
    pub(super) fn record(&self) -> Option<&'static Record> {
        if ENABLED { self.0 } else { None }
    }

    /// The request, for its next holder. This one has no row any more.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// Drops a part of the request inside its task, and closes the task. The task ends as
    /// `Completed` if `is_whole`, else as `Cancelled`, unless it has ended before.
    pub(super) fn close(&mut self, is_whole: bool, drop_part: impl FnOnce()) {
        let record = if ENABLED { self.0.take() } else { None };
        // The guard closes the task even if the destructor panics.
        let _closing = record.map(Record::closing);
        if let Some(record) = record {
            poll_guard::note_tracked();
            if is_whole {
                record.complete_unless_ended();
            }
        }
        drop_part();
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(record) = self.record() {
            drop(record.closing());
        }
    }
}

/// The kind of request, on which its end depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The response to a `HEAD` has no body on the wire.
    Head,
    /// A successful response to a `CONNECT` opens a tunnel.
    Connect,
    Other,
}

impl Asked {
    pub(super) fn by(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }

    /// Whether no frame of the response's body is sent, so that the server drops it unread.
    pub(super) fn gets_no_body<B>(self, response: &Response<B>) -> bool {
        let status = response.status();
        self == Self::Head
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
            || self == Self::Connect && status.is_success()
    }
}
