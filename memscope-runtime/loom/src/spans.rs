//! Threads that enter, leave and close one span.

use loom::{sync::Arc, thread};

use crate::{
    Plain,
    accounting::span::inside::{Inside, Interval, Role},
};

/// A span whose record is not atomic. Loom reports a race if two threads write it, or if one writes
/// it without having seen what the last one wrote.
struct Span {
    inside: Inside,
    /// The intervals that have begun, and those that are over.
    begun: Plain,
    over: Plain,
    /// Written by each thread that holds the turn.
    counted: Plain,
    /// What each thread counts while it is inside, and what it does while it saves a pointer.
    inside_by: [Plain; 2],
    saved_by: [Plain; 2],
    written: Plain,
    is_free: Plain,
}

impl Interval for Span {
    fn stop(&self) {
        add(&self.over, 1);
        assert_eq!(self.over.get(), self.begun.get(), "it has begun");
    }

    fn resume(&self) {
        add(&self.begun, 1);
    }
}

fn add(number: &Plain, more: u32) {
    number.replace(number.get() + more);
}

impl Span {
    fn new() -> Arc<Self> {
        let new = Plain::new;
        let inside = Inside::new();
        inside.open();
        let (begun, over, counted) = (new(), new(), new());
        let (inside_by, saved_by) = ([new(), new()], [new(), new()]);
        let (written, is_free) = (new(), new());
        Arc::new(Self { inside, begun, over, counted, inside_by, saved_by, written, is_free })
    }

    fn enter(&self) -> Option<Role> {
        let (role, is_first) = self.inside.enter(|| false)?;
        if is_first {
            add(&self.begun, 1);
            assert_eq!(self.begun.get(), self.over.get() + 1, "no other one goes on");
        }
        if role == Role::Writer {
            add(&self.counted, 1);
        }
        Some(role)
    }

    fn leave(&self, role: Role) {
        if self.inside.leave(role, false, self) {
            self.write_down();
        }
    }

    /// Leaves under a guard, which still saves a pointer to the span.
    fn leave_buried(&self, role: Role, thread: usize) {
        add(&self.inside_by[thread], 1);
        if self.inside.leave(role, true, self) {
            self.write_down();
        }
        add(&self.saved_by[thread], 1);
        if self.inside.unbury() {
            self.give_back();
        }
    }

    fn close(&self) {
        if self.inside.close() {
            self.write_down();
        }
    }

    fn write_down(&self) {
        assert_eq!(self.over.get(), self.begun.get(), "nothing goes on");
        assert_eq!(self.written.replace(1), 0, "once");
        assert!(self.inside_by.iter().all(|counted| counted.get() <= 1), "all of it is seen");
        if self.inside.written() {
            self.give_back();
        }
    }

    fn give_back(&self) {
        assert!(self.saved_by.iter().all(|saved| saved.get() <= 1), "all of it is seen");
        assert_eq!((self.written.get(), self.is_free.replace(1)), (1, 0), "once, and last");
    }
}

#[test]
fn a_span_has_one_writer_at_a_time_and_its_intervals_do_not_overlap() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let span = Span::new();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let span = Arc::clone(&span);
                thread::spawn(move || {
                    let role = span.enter().expect("open");
                    span.leave(role);
                })
            })
            .collect();
        let role = span.enter().expect("open");
        span.leave(role);
        for other in others {
            other.join().expect("no panic");
        }
        span.close();
        assert_eq!(span.is_free.get(), 1);
        assert!(span.enter().is_none(), "it is over");
    });
}

#[test]
fn a_span_is_written_down_once_and_given_back_once_and_last() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let span = Span::new();
        let role = span.enter().expect("open");
        let other = {
            let span = Arc::clone(&span);
            thread::spawn(move || {
                if let Some(role) = span.enter() {
                    span.leave_buried(role, 1);
                }
            })
        };
        let closer = {
            let span = Arc::clone(&span);
            thread::spawn(move || span.close())
        };
        span.leave_buried(role, 0);
        other.join().expect("no panic");
        closer.join().expect("no panic");
        assert_eq!((span.written.get(), span.is_free.get()), (1, 1));
    });
}
