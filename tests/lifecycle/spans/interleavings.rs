//! Random programs that enter and leave spans, poll, scope, drop and panic in any order, on threads
//! that share the spans, against a plain stack.
//!
//! The rule: a thread charges the newest of what it has entered and not left. Leaving a span takes
//! it out of the stack, wherever it lies; the end of a poll or a scope takes out that and all that
//! is above it.

use std::{
    alloc::Layout,
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn},
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    thread,
};

use memscope_rs::async_memory::{
    MemorySnapshot, Scope, TaskId, TaskState, current_task_id, shared, track, untracked,
};
use memscope_tests::{Block, alone, conserved, cost_of_a_panic, poll};
use proptest::{prelude::*, test_runner::Config};
use tracing::{Dispatch, Span, dispatcher, info_span, span::Id};
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use super::{ALLOCATOR, MemoryLayer};

const THREADS: usize = 3;
const SPANS: usize = 3;
const BLOCKS: usize = 8;
/// More than a program's steps.
const WARM: u64 = 64;

#[derive(Clone, Copy, Debug)]
enum Step {
    Enter(usize),
    Exit(usize),
    Alloc { place: usize, size: usize },
    Free { place: usize },
    Begin { frame: Frame, catches: bool },
    End,
    Panic,
}

#[derive(Clone, Copy, Debug)]
enum Frame {
    Untracked,
    Shared,
    Poll,
    PollUntracked,
    PollShared,
    /// The steps run in the destructor of a task's future.
    Drop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let frame = prop_oneof![
        1 => Just(Frame::Untracked),
        1 => Just(Frame::Shared),
        3 => Just(Frame::Poll),
        1 => Just(Frame::PollUntracked),
        1 => Just(Frame::PollShared),
        1 => Just(Frame::Drop),
    ];
    let step = prop_oneof![
        6 => (0..SPANS).prop_map(Step::Enter),
        5 => (0..SPANS).prop_map(Step::Exit),
        4 => (0..BLOCKS, 1..3_000_usize).prop_map(|(place, size)| Step::Alloc { place, size }),
        2 => (0..BLOCKS).prop_map(|place| Step::Free { place }),
        4 => (frame, any::<bool>()).prop_map(|(frame, catches)| Step::Begin { frame, catches }),
        3 => Just(Step::End),
        1 => Just(Step::Panic),
    ];
    prop::collection::vec(step, 0..60)
}

/// What a thread has entered.
#[derive(Clone, Copy, Debug)]
enum Held {
    Span(usize),
    /// The id of the task; `None`: a scope.
    Guard(Option<u64>),
}

/// The spans of one run, and what the model counted for each.
struct Spans {
    dispatch: Dispatch,
    ids: [Id; SPANS],
    /// Another one.
    warm: Id,
    /// What unwinding takes.
    panic_bytes: u64,
    /// The ids of their rows, as soon as one is known.
    rows: [AtomicU64; SPANS],
    allocated: [AtomicU64; SPANS],
    /// Any thread frees them.
    blocks: [Mutex<Option<Block>>; BLOCKS],
    entered: [AtomicU64; SPANS],
}

impl Spans {
    /// Puts a block into a place; returns what was there.
    fn put(&self, place: usize, block: Option<Block>) -> Option<Block> {
        mem::replace(&mut *self.blocks[place].lock().expect("no panic"), block)
    }
}

/// One thread's program and its model. Nothing in here allocates while the steps run, but they
/// themselves.
struct World<'s> {
    spans: &'s Spans,
    steps: &'s [Step],
    at: Cell<usize>,
    stack: RefCell<Vec<Held>>,
    /// Spans as the subscriber sees them: it keeps those whose poll is over.
    not_left: [Cell<usize>; SPANS],
    /// A check in a destructor.
    has_failed: Cell<bool>,
}

impl World<'_> {
    /// Runs steps up to the end of a frame.
    fn run(&self) {
        while let Some(step) = self.steps.get(self.at.get()).copied() {
            self.at.set(self.at.get() + 1);
            match step {
                Step::Enter(span) => self.enter(span),
                Step::Exit(span) => self.exit(span),
                Step::Alloc { place, size } => self.alloc(place, size),
                Step::Free { place } => self.free(place),
                Step::Begin { frame, catches } => self.begin(frame, catches),
                Step::End => return,
                Step::Panic if self.is_in_a_frame() => self.unwind(),
                Step::Panic => {}
            }
            self.check();
        }
    }

    fn enter(&self, span: usize) {
        self.spans.dispatch.enter(&self.spans.ids[span]);
        self.stack.borrow_mut().push(Held::Span(span));
        self.not_left[span].set(self.not_left[span].get() + 1);
        self.spans.entered[span].fetch_add(1, Ordering::Relaxed);
    }

    fn exit(&self, span: usize) {
        self.spans.dispatch.exit(&self.spans.ids[span]);
        let mut stack = self.stack.borrow_mut();
        let newest = stack.iter().rposition(|held| matches!(held, Held::Span(at) if *at == span));
        if let Some(newest) = newest {
            stack.remove(newest);
        }
        self.not_left[span].set(self.not_left[span].get().saturating_sub(1));
    }

    fn alloc(&self, place: usize, size: usize) {
        self.free(place);
        let layout = Layout::from_size_align(size, 8).expect("a small size");
        let block = Block::new(layout, false);
        self.count(size as u64);
        let last = self.spans.put(place, Some(block));
        last.into_iter().for_each(Block::free);
    }

    fn free(&self, place: usize) {
        self.spans.put(place, None).into_iter().for_each(Block::free);
    }

    /// Whether the current task is what the model says.
    fn check(&self) {
        let current = current_task_id().map_or(0, TaskId::as_u64);
        match self.stack.borrow().last() {
            None => assert_eq!(current, 0, "outside of all"),
            Some(Held::Guard(id)) => assert_eq!(current, id.unwrap_or(0), "a guard is the newest"),
            Some(Held::Span(span)) => {
                let row = &self.spans.rows[*span];
                let known = row.compare_exchange(0, current, Ordering::Relaxed, Ordering::Relaxed);
                assert_eq!(known.err().unwrap_or(current), current, "one row for each span");
                assert_ne!(current, 0);
            }
        }
    }

    fn begin(&self, frame: Frame, catches: bool) {
        let ended = catch_unwind(AssertUnwindSafe(|| match frame {
            Frame::Untracked => untracked(|| self.inside(None)),
            Frame::Shared => shared("of interleavings", || self.inside(None)),
            Frame::PollUntracked => {
                let _ = poll(&mut pin!(self.future().untracked()));
            }
            Frame::PollShared => {
                let _ = poll(&mut pin!(self.future().shared("of interleavings")));
            }
            Frame::Poll => {
                let _ = poll(&mut pin!(track(self.future()).named("poll of interleavings")));
            }
            Frame::Drop => {
                let armed = Armed(self);
                let mut task = pin!(
                    track(async move {
                        let _armed = armed;
                        pending::<()>().await;
                    })
                    .named("drop of interleavings")
                );
                let _ = poll(&mut task);
            }
        }));
        // The guard is gone, and with it what was entered under it.
        let mut stack = self.stack.borrow_mut();
        let guard = stack.iter().rposition(|held| matches!(held, Held::Guard(_)));
        stack.truncate(guard.expect("that of this frame"));
        drop(stack);
        self.check();
        match ended {
            Err(payload) if !payload.is::<()>() => resume_unwind(payload),
            Err(_) if !catches && self.is_in_a_frame() => self.unwind(),
            _ => {}
        }
    }

    fn is_in_a_frame(&self) -> bool {
        self.stack.borrow().iter().any(|held| matches!(held, Held::Guard(_)))
    }

    fn unwind(&self) -> ! {
        self.count(self.spans.panic_bytes);
        resume_unwind(Box::new(()))
    }

    /// Charges bytes to the newest, if it is a span.
    fn count(&self, bytes: u64) {
        if let Some(Held::Span(span)) = self.stack.borrow().last().copied() {
            self.spans.allocated[span].fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// The steps in a frame.
    fn inside(&self, task: Option<u64>) {
        self.stack.borrow_mut().push(Held::Guard(task));
        self.run();
    }

    fn future(&self) -> impl Future<Output = ()> {
        poll_fn(|_| {
            self.inside(current_task_id().map(TaskId::as_u64));
            Poll::Ready(())
        })
    }
}

struct Armed<'w>(&'w World<'w>);

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        let task = current_task_id().map(TaskId::as_u64);
        // A second panic would abort.
        let ended = catch_unwind(AssertUnwindSafe(|| self.0.inside(task)));
        self.0
            .has_failed
            .set(ended.is_err_and(|payload| !payload.is::<()>()) || self.0.has_failed.get());
    }
}

fn play(spans: &Spans, steps: &[Step], everyone: &Barrier) {
    // What the subscriber keeps for each thread grows here, not in a span.
    for _ in 0..WARM {
        spans.dispatch.enter(&spans.warm);
    }
    for _ in 0..WARM {
        spans.dispatch.exit(&spans.warm);
    }
    let world = World {
        spans,
        steps,
        at: Cell::new(0),
        stack: RefCell::new(Vec::with_capacity(128)),
        not_left: [const { Cell::new(0) }; SPANS],
        has_failed: Cell::new(false),
    };
    everyone.wait();
    while world.at.get() < steps.len() {
        world.run();
    }
    for (id, not_left) in spans.ids.iter().zip(&world.not_left) {
        (0..not_left.get()).for_each(|_| spans.dispatch.exit(id));
    }
    assert_eq!(current_task_id(), None, "all is left");
    assert!(!world.has_failed.get(), "see the message before");
}

/// Spawned, completed, live bytes, allocated bytes of a site.
fn sums(snapshot: &MemorySnapshot, name: &str) -> [u64; 4] {
    snapshot.sites_named(name).next().map_or([0; 4], |site| {
        [site.spawned, site.completed, site.live_bytes, site.allocated_bytes]
    })
}

const NAMES: [&str; SPANS] = ["interleaved 0", "interleaved 1", "interleaved 2"];

fn run(programs: &[Vec<Step>]) {
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    let before = conserved(&ALLOCATOR);
    let handles: [Span; SPANS] = dispatcher::with_default(&dispatch, || {
        [info_span!("interleaved 0"), info_span!("interleaved 1"), info_span!("interleaved 2")]
    });
    let warm = dispatcher::with_default(&dispatch, || info_span!("warm"));
    let spans = Spans {
        dispatch,
        ids: [0, 1, 2].map(|span: usize| handles[span].id().expect("a span")),
        warm: warm.id().expect("a span"),
        panic_bytes: cost_of_a_panic(|| resume_unwind(Box::new(()))).allocated_bytes,
        rows: [const { AtomicU64::new(0) }; SPANS],
        allocated: [const { AtomicU64::new(0) }; SPANS],
        blocks: [const { Mutex::new(None) }; BLOCKS],
        entered: [const { AtomicU64::new(0) }; SPANS],
    };
    let everyone = Barrier::new(programs.len());
    thread::scope(|scope| {
        for steps in programs {
            scope.spawn(|| play(&spans, steps, &everyone));
        }
    });
    (0..BLOCKS).filter_map(|place| spans.put(place, None)).for_each(Block::free);
    let open = conserved(&ALLOCATOR);
    drop(handles);
    let closed = conserved(&ALLOCATOR);
    for (span, name) in NAMES.into_iter().enumerate() {
        let get = |counter: &[AtomicU64; SPANS]| counter[span].load(Ordering::Relaxed);
        let [spawned, completed, live, allocated] = sums(&before, name);
        let allocated = allocated + get(&spans.allocated);
        assert_eq!(sums(&open, name), [spawned + 1, completed, live, allocated], "{name}");
        assert_eq!(sums(&closed, name), [spawned + 1, completed + 1, live, allocated], "{name}");
        // Known if the span was ever current.
        let id = get(&spans.rows);
        if let Some(row) = open.tasks().iter().find(|task| task.id.as_u64() == id) {
            assert_eq!((row.state, row.live_bytes), (TaskState::Idle, 0), "{name}");
            assert_eq!(row.poll_count, get(&spans.entered), "{name}");
            assert_eq!(row.allocated_bytes, get(&spans.allocated), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 150, failure_persistence: None, ..Config::default() })]

    #[test]
    fn whatever_ends_first_the_newest_that_was_not_left_is_charged(
        programs in prop::collection::vec(steps(), 1..=THREADS)
    ) {
        let _alone = alone();
        run(&programs);
    }
}
