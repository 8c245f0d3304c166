//! A span's records: what is allocated while it is entered.
//!
//! A record has one writer at a time, but a span may be entered on several threads at once, and several times on one. So a span has a
//! chain of *seats*, each with a record of its own: who enters takes a free one, or makes another.

use std::{cell::Cell, ptr};

use crate::{
    arena::Zeroed,
    current, fork,
    future_type::FutureType,
    pool::{Linked, Links, Pool},
    record::{self, Record},
    site::{Key, Site},
    static_ref::StaticRef,
    sync::{AtomicU32, AtomicU64, Ordering},
    tally::Tally,
    task::TaskType,
};

/// One record of a span, and who is in it.
///
/// All but `state` and `next` is written by whoever holds the seat, or made it and has not shown it yet.
#[derive(Debug)]
pub(crate) struct Seat {
    record: StaticRef<Record>,
    /// Another one of the same span.
    next: StaticRef<Self>,
    /// Who was current before.
    previous: StaticRef<Tally>,
    /// What the same thread entered before.
    below: StaticRef<Self>,
    /// The span's id, which is the same for another span of another layer.
    span: AtomicU64,
    layer: AtomicU32,
    started_ns: AtomicU64,
    state: AtomicU32,
    /// The process that it was taken in: see [`fork::generation`](crate::fork::generation).
    generation: AtomicU32,
    links: Links,
}

const FREE: u32 = 0;
const HELD: u32 = 1;
/// The span is over, but its holder has not left it yet.
const OVER: u32 = 2;

// SAFETY: atomics and `StaticRef`s, valid when zeroed, without destructors.
unsafe impl Zeroed for Seat {}

impl Linked for Seat {
    fn links(&self) -> &Links {
        &self.links
    }
}

static SEATS: Pool<Seat> = Pool::new();

static SPAN: FutureType = FutureType { name: || "tracing::Span", size: 0, vtable: None };

thread_local! {
    /// What this thread entered last and has not left.
    static TOP: Cell<Option<&'static Seat>> = const { Cell::new(None) };
}

/// Opens a row for a new span; `None` where there is no memory.
pub(crate) fn open(name: &str, file: &'static str, line: u32) -> Option<&'static Seat> {
    let key = Key { name, task_type: TaskType::Unspecified, file, line, column: 0 };
    make(Site::of(key), FREE)
}

fn make(site: &'static Site, state: u32) -> Option<&'static Seat> {
    let seat = SEATS.take()?;
    let Some(record) = record::open(site, &SPAN) else {
        seat.put_away();
        return None;
    };
    seat.record.set(record);
    seat.next.clear();
    seat.generation.store(fork::generation(), Ordering::Relaxed);
    // Release pairs with the Acquire of who takes the seat.
    seat.state.store(state, Ordering::Release);
    Some(seat)
}

/// In a forked child, on its only thread: that is still in what it has entered.
#[cfg(unix)]
pub(crate) fn forked() {
    let mut at = TOP.get();
    while let Some(seat) = at {
        seat.generation.store(fork::generation(), Ordering::Relaxed);
        at = seat.below.get();
    }
}

/// Leaves all that the thread has entered: it ends.
pub(crate) fn retire() {
    while let Some(seat) = TOP.get() {
        seat.leave(None);
    }
}

/// Leaves the span of a layer that this thread has entered, the last time that it did; nothing where it did not.
pub(crate) fn exit(layer: u32, span: u64) {
    let mut above: Option<&'static Seat> = None;
    let mut at = TOP.get();
    while let Some(seat) = at {
        if seat.span.load(Ordering::Relaxed) == span && seat.layer.load(Ordering::Relaxed) == layer
        {
            return seat.leave(above);
        }
        above = Some(seat);
        at = seat.below.get();
    }
}

impl Seat {
    /// Charges the span from now on with what this thread allocates.
    pub(crate) fn enter(&'static self, layer: u32, span: u64) {
        let Some(seat) = self.take() else { return };
        let Some(record) = seat.record.get() else { return };
        let (previous, outer) = current::switch(record.tally());
        let started_ns = record.start(|| outer);
        seat.previous.set(previous);
        seat.span.store(span, Ordering::Relaxed);
        seat.layer.store(layer, Ordering::Relaxed);
        seat.started_ns.store(started_ns, Ordering::Relaxed);
        match TOP.replace(Some(seat)) {
            Some(below) => seat.below.set(below),
            None => seat.below.clear(),
        }
    }

    /// A seat of the span that nobody else is in.
    fn take(&'static self) -> Option<&'static Self> {
        let mut seat = self;
        loop {
            let taken =
                seat.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
            if taken.is_ok() || (taken == Err(HELD) && seat.take_over()) {
                seat.generation.store(fork::generation(), Ordering::Relaxed);
                return Some(seat);
            }
            seat = match seat.next.get() {
                Some(next) => next,
                None => match seat.add()? {
                    Ok(new) => return Some(new),
                    Err(theirs) => theirs,
                },
            };
        }
    }

    /// Takes a seat that a fork has left behind: its thread is not in this process, and so not in the span. By one thread.
    fn take_over(&self) -> bool {
        let (then, now) = (self.generation.load(Ordering::Relaxed), fork::generation());
        let is_mine = then != now
            && self
                .generation
                .compare_exchange(then, now, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if is_mine && let Some(record) = self.record.get() {
            record.stop(self.started_ns.load(Ordering::Relaxed));
        }
        is_mine
    }

    /// Adds a seat to the end of the chain, held; or finds that somebody else just did.
    fn add(&'static self) -> Option<Result<&'static Self, &'static Self>> {
        let site = self.record.get()?.site()?;
        let new = make(site, HELD)?;
        Some(match self.next.set_if_none(new) {
            Ok(()) => Ok(new),
            Err(theirs) => {
                // It is in the sums of its site, with no bytes.
                new.close();
                Err(theirs)
            }
        })
    }

    /// Leaves the span; `above`: what this thread has entered after it and not left.
    fn leave(&'static self, above: Option<&'static Self>) {
        let (Some(record), Some(previous)) = (self.record.get(), self.previous.get()) else {
            // A seat that is held has both.
            return TOP.set(None);
        };
        record.stop(self.started_ns.load(Ordering::Relaxed));
        match above {
            None => {
                TOP.set(self.below.get());
                // Where something else is current, whoever made it so restores what was before.
                current::switch_back(record.tally(), previous);
            }
            Some(above) => {
                match self.below.get() {
                    Some(below) => above.below.set(below),
                    None => above.below.clear(),
                }
                if above.previous.get().is_some_and(|before| ptr::eq(before, record.tally())) {
                    above.previous.set(previous);
                }
            }
        }
        // Release: the next holder, or who closes the seat, sees all that was counted.
        let left = self.state.compare_exchange(HELD, FREE, Ordering::Release, Ordering::Acquire);
        if left.is_err() {
            self.close();
        }
    }

    /// The span is over: seats that nobody is in are closed, the others when they are left.
    pub(crate) fn end(&'static self) {
        let mut at = Some(self);
        while let Some(seat) = at {
            at = seat.next.get();
            // Acquire pairs with the Release in `leave`.
            let before = seat.state.swap(OVER, Ordering::AcqRel);
            if before == FREE || (before == HELD && seat.take_over()) {
                seat.close();
            }
        }
    }

    fn close(&'static self) {
        if let Some(record) = self.record.get() {
            record.complete();
        }
        self.put_away();
    }

    fn put_away(&'static self) {
        self.record.clear();
        SEATS.put(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat() -> &'static Seat {
        open("a span of a test", "span.rs", 1).expect("memory")
    }

    fn top() -> Option<u64> {
        TOP.get().map(|seat| seat.span.load(Ordering::Relaxed))
    }

    #[test]
    fn spans_are_left_in_any_order() {
        let (a, b) = (seat(), seat());
        a.enter(7, 1);
        b.enter(7, 2);
        a.enter(7, 1);
        assert_eq!(top(), Some(1));
        exit(7, 2);
        exit(7, 3);
        exit(8, 1);
        assert_eq!(top(), Some(1));
        exit(7, 1);
        assert_eq!(top(), Some(1), "it was entered twice");
        exit(7, 1);
        assert_eq!(top(), None);
        a.end();
        b.end();
    }
}
