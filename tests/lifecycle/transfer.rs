//! Blocks are transferred to another task: both rows, the totals, the peaks and the names follow.
//! Compared with a model, and done by many threads at once.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
};

use memscope_macros::track_var;
use memscope_rs::async_memory::{
    TaskId, TaskState, Tracked, current_task_id, get_memory_snapshot, shared, track, transfer,
    transfer_deep, untracked,
};
use memscope_tests::{Columns, alone, conserved, poll, row, wait_once, workers};
use proptest::prelude::*;

use crate::ALLOCATOR;

/// A task that waits for ever.
fn keeper() -> (Pin<Box<Tracked<impl Future<Output = ()>>>>, TaskId) {
    let task = Box::pin(track(std::future::pending::<()>()));
    let id = task.id().expect("an id");
    (task, id)
}

#[test]
fn the_taker_answers_for_the_block_from_then_on() {
    let _alone = alone();
    let mut maker = pin!(track(async { vec![1u8; 5_000] }));
    let from = maker.id().expect("an id");
    let Poll::Ready(made) = poll(&mut maker) else { panic!("ready") };
    let (_keeper, to) = keeper();
    let before = conserved(&ALLOCATOR).process();
    let moved = transfer(&made, to).expect("it lives");
    assert_eq!((moved.blocks, moved.bytes, moved.is_whole), (1, 5_000, true));
    let snapshot = conserved(&ALLOCATOR);
    let given = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 5_000,
        freed_elsewhere_bytes: 5_000,
        ..Columns::one_block(TaskState::Completed, 1, 5_000)
    };
    let taken = Columns { allocation_count: 0, ..Columns::one_block(TaskState::Idle, 0, 5_000) };
    assert_eq!(Columns::of(row(&snapshot, from)), given);
    assert_eq!(Columns::of(row(&snapshot, to)), taken);
    assert_eq!(row(&snapshot, to).transferred_bytes, 5_000);
    assert_eq!(snapshot.process().tracked_allocated_bytes, before.tracked_allocated_bytes);
    let again = transfer(&made, to).expect("it lives");
    assert_eq!((again.blocks, again.bytes, again.is_whole), (0, 0, true), "it is its own");
    assert_eq!(Columns::now(&ALLOCATOR, to), taken);
    std::thread::spawn(move || drop(made)).join().expect("no panic");
    let freed = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 5_000,
        freed_elsewhere_bytes: 5_000,
        ..taken
    };
    assert_eq!(Columns::now(&ALLOCATOR, to), freed);
}

#[test]
fn a_task_may_give_and_take_by_itself_and_free_what_it_took() {
    let _alone = alone();
    let made = vec![1u8; 700];
    let (_keeper, to) = keeper();
    let mut task = pin!(track(async move {
        let id = current_task_id().expect("in a task");
        transfer(&made, id).expect("it runs");
        wait_once().await;
        drop(made);
        let own = vec![1u8; 300];
        transfer(&own, to).expect("it lives");
        wait_once().await;
        drop(own);
    }));
    let id = task.id().expect("an id");
    assert!(poll(&mut task).is_pending());
    let taken = Columns { allocation_count: 0, ..Columns::one_block(TaskState::Idle, 1, 700) };
    assert_eq!(Columns::now(&ALLOCATOR, id), taken);
    assert!(poll(&mut task).is_pending());
    let given = Columns {
        allocated_bytes: 1_000,
        allocation_count: 1,
        peak_bytes: 700,
        freed_bytes: 1_000,
        ..Columns::nothing(TaskState::Idle, 2)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), given, "all freed by itself");
    assert_eq!(Columns::now(&ALLOCATOR, to).live_bytes, 300);
    assert!(poll(&mut task).is_ready());
    assert_eq!(Columns::now(&ALLOCATOR, to).live_bytes, 0);
    assert_eq!(row(&conserved(&ALLOCATOR), id).transferred_bytes, 700, "it has ended");
}

#[test]
fn the_peak_knows_what_was_taken_over() {
    let _alone = alone();
    let mut task = pin!(track(async {
        drop(vec![1u8; 1_000]);
        wait_once().await;
        let own = vec![1u8; 500];
        wait_once().await;
        drop(own);
    }));
    let id = task.id().expect("an id");
    assert!(poll(&mut task).is_pending());
    let small = vec![1u8; 800];
    transfer(&small, id).expect("it lives");
    assert_eq!(Columns::now(&ALLOCATOR, id).peak_bytes, 1_000, "800 now, 1,000 before");
    assert!(poll(&mut task).is_pending());
    assert_eq!(Columns::now(&ALLOCATOR, id).peak_bytes, 1_300, "with 500 of its own");
    let large = vec![1u8; 2_000];
    transfer(&large, id).expect("it lives");
    assert_eq!(Columns::now(&ALLOCATOR, id).peak_bytes, 3_300, "at the transfer itself");
    drop((small, large));
    assert!(poll(&mut task).is_ready());
    assert_eq!(Columns::now(&ALLOCATOR, id).peak_bytes, 3_300);
}

#[test]
fn a_later_task_in_the_same_place_has_taken_nothing() {
    let _alone = alone();
    for _ in 0..10 {
        let (keeper, id) = keeper();
        assert_eq!(Columns::now(&ALLOCATOR, id), Columns::nothing(TaskState::Idle, 0));
        let made = vec![1u8; 100];
        transfer(&made, id).expect("it lives");
        drop((keeper, made));
        let ended = Columns {
            allocated_bytes: 100,
            peak_bytes: 100,
            freed_bytes: 100,
            freed_elsewhere_bytes: 100,
            ..Columns::nothing(TaskState::Cancelled, 0)
        };
        assert_eq!(Columns::now(&ALLOCATOR, id), ended);
    }
}

#[test]
fn names_follow() {
    let _alone = alone();
    let mut named = vec![1u8; 900];
    track_var!(named);
    let (_keeper, to) = keeper();
    transfer(&named, to).expect("it lives");
    let also = &named;
    track_var!(also);
    let (_other, other) = keeper();
    let snapshot = conserved(&ALLOCATOR);
    let task = |snapshot: &memscope_rs::async_memory::MemorySnapshot| {
        let live = snapshot.variables().iter().filter(|variable| variable.live);
        live.map(|variable| (variable.task, variable.heap_bytes)).collect::<Vec<_>>()
    };
    assert_eq!(task(&snapshot), [(Some(to), 900), (Some(to), 900)]);
    transfer(&named, other).expect("it lives");
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(task(&snapshot), [(Some(other), 900), (Some(other), 900)]);
    assert_eq!((row(&snapshot, to).live_bytes, row(&snapshot, other).live_bytes), (0, 900));
    named.reserve_exact(1_100);
    assert_eq!(task(&conserved(&ALLOCATOR)), [(None, 2_000), (None, 2_000)], "reallocated here");
    drop(named);
    assert_eq!(row(&conserved(&ALLOCATOR), other).live_bytes, 0);
}

#[test]
fn from_anywhere_with_or_without_elements() {
    let _alone = alone();
    let (_keeper, to) = keeper();
    let list = shared("given away", || vec![vec![1u8; 100], vec![1u8; 200]]);
    let spine = 2 * size_of::<Vec<u8>>() as u64;
    assert_eq!(transfer(&list, to).expect("it lives").bytes, spine);
    assert_eq!(transfer_deep(&list, to).expect("it lives").bytes, 300);
    assert_eq!(row(&conserved(&ALLOCATOR), to).live_bytes, spine + 300);
    let free = untracked(|| Box::new(7u64));
    assert_eq!(transfer(&free, to).expect("it lives").bytes, 8);
    drop((list, free));
    let columns = Columns::now(&ALLOCATOR, to);
    assert_eq!((columns.live_bytes, columns.freed_bytes), (0, spine + 308));
}

#[test]
fn to_a_task_that_is_over_or_never_was_is_an_error_and_changes_nothing() {
    let _alone = alone();
    let held = vec![1u8; 50];
    let mut maker = Box::pin(track(async { vec![1u8; 60] }));
    let id = maker.id().expect("an id");
    let Poll::Ready(kept) = poll(&mut maker) else { panic!("ready") };
    drop(maker);
    let error = transfer(&held, id).expect_err("it is over").to_string();
    assert_eq!(
        error,
        format!("task #{id} is over or never was: transfer to a task whose future still exists")
    );
    let never: TaskId = serde_json::from_str("999999999").expect("a number");
    transfer(&held, never).expect_err("it never was");
    let columns = Columns::one_block(TaskState::Completed, 1, 60);
    assert_eq!(Columns::now(&ALLOCATOR, id), columns);
    drop((held, kept));
}

/// Two threads hand the same shared blocks back and forth, named and not, while tasks that take
/// them allocate.
#[test]
fn shared_blocks_handed_about_by_many_threads_are_counted_once() {
    let _alone = alone();
    let runtime = workers(4);
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..3_usize)
        .map(|number| {
            let stop = Arc::clone(&stop);
            let task = track(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut held = Vec::new();
                    for size in 0..50 {
                        held.push(vec![0u8; 1 + size * number]);
                    }
                    drop(held);
                    tokio::task::yield_now().await;
                }
            });
            (task.id().expect("an id"), runtime.spawn(task))
        })
        .collect();
    let ids: Vec<TaskId> = tasks.iter().map(|(id, _)| *id).collect();
    let named = Arc::new(vec![0u8; 100_000]);
    track_var!(named);
    let plain = Arc::new(vec![0u8; 200_000]);
    let movers: Vec<_> = (0..3_usize)
        .map(|mover| {
            let (ids, named, plain) = (ids.clone(), Arc::clone(&named), Arc::clone(&plain));
            std::thread::spawn(move || {
                for round in 0..3_000_usize {
                    let to = ids[(round * (mover + 1)) % 3];
                    transfer(&named, to).expect("it runs");
                    transfer(&plain, to).expect("it runs");
                    if round % 100 == 0 {
                        let alias = &plain;
                        track_var!(alias);
                    }
                }
            })
        })
        .collect();
    for _ in 0..20 {
        conserved(&ALLOCATOR);
    }
    for mover in movers {
        mover.join().expect("no panic");
    }
    stop.store(true, Ordering::Relaxed);
    for (_, task) in tasks {
        runtime.block_on(task).expect("no panic");
    }
    drop((named, plain));
    drop(runtime);
    let snapshot = conserved(&ALLOCATOR);
    for id in ids {
        assert_eq!(row(&snapshot, id).live_bytes, 0);
    }
}

/// Tasks end while others hand them blocks.
#[test]
fn a_task_may_end_while_it_is_given_something() {
    let _alone = alone();
    let runtime = workers(2);
    for round in 0..500_u32 {
        let (keeper, id) = keeper_that_sends();
        let task = runtime.spawn(keeper);
        let blocks: Vec<Vec<u8>> = (1..20).map(|size| vec![0u8; size * 10]).collect();
        let giver = runtime.spawn_blocking(move || {
            for block in &blocks {
                if transfer(block, id).is_err() {
                    break;
                }
            }
            blocks
        });
        for _ in 0..round % 50 {
            std::hint::spin_loop();
        }
        task.abort();
        task.is_finished();
        let blocks = runtime.block_on(giver).expect("no panic");
        runtime.block_on(task).expect_err("aborted");
        if round % 25 == 0 {
            conserved(&ALLOCATOR);
        }
        drop(blocks);
        if round % 25 == 0 {
            assert_eq!(row(&conserved(&ALLOCATOR), id).live_bytes, 0);
        }
    }
}

fn keeper_that_sends() -> (Tracked<impl Future<Output = ()> + Send>, TaskId) {
    let task = track(std::future::pending::<()>());
    let id = task.id().expect("an id");
    (task, id)
}

/// The one that does a step: a task or no task, in a scope or not.
#[derive(Clone, Copy, Debug)]
struct Actor {
    task: usize,
    scope: usize,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Make { actor: Actor, place: usize, size: usize },
    Grow { actor: Actor, place: usize, by: usize },
    Free { actor: Actor, place: usize },
    Transfer { actor: Actor, place: usize, to: usize },
}

const TASKS: usize = 3;
const PLACES: usize = 8;
const SHARED: [&str; 2] = ["model a", "model b"];

fn actor() -> impl Strategy<Value = Actor> {
    // The last task is none; scopes: none, untracked, two shared ones.
    (0..=TASKS, 0..4_usize).prop_map(|(task, scope)| Actor { task, scope })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (actor(), 0..PLACES, 1..3_000_usize, 0..TASKS, 0..10_u8).prop_map(
        |(actor, place, size, to, kind)| match kind {
            0..4 => Step::Make { actor, place, size },
            4..6 => Step::Grow { actor, place, by: size },
            6..8 => Step::Free { actor, place },
            _ => Step::Transfer { actor, place, to },
        },
    );
    proptest::collection::vec(step, 1..60)
}

/// What one owner should have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Truth {
    live: u64,
    peak: u64,
    allocated: u64,
    freed_elsewhere: u64,
    transferred: u64,
    count: u64,
}

impl Truth {
    fn add(&mut self, bytes: u64) {
        self.live += bytes;
        self.allocated += bytes;
        self.peak = self.peak.max(self.live);
    }
}

/// Tasks, then no task, then the shared owners.
type Owners = [Truth; TASKS + 1 + SHARED.len()];

impl Actor {
    fn owner(self) -> usize {
        match self.scope {
            0 => self.task,
            1 => TASKS,
            shared => TASKS + shared - 1,
        }
    }

    fn run<T>(self, work: impl FnOnce() -> T) -> T {
        match self.scope {
            0 => work(),
            1 => untracked(work),
            name => shared(SHARED[name - 2], work),
        }
    }
}

type Held = [Cell<Vec<u8>>; PLACES];

fn perform(step: Step, held: &Held, ids: &[TaskId]) {
    match step {
        Step::Make { actor, place, size } => {
            actor.run(|| drop(held[place].replace(vec![0u8; size])));
        }
        Step::Grow { actor, place, by } => actor.run(|| {
            let mut block = held[place].take();
            block.reserve_exact(block.capacity() + by);
            // Its length is its capacity, as the model has it.
            block.resize(block.capacity(), 0);
            held[place].set(block);
        }),
        Step::Free { actor, place } => actor.run(|| drop(held[place].take())),
        Step::Transfer { actor, place, to } => actor.run(|| {
            let block = held[place].take();
            transfer(&block, ids[to]).expect("it lives");
            held[place].set(block);
        }),
    }
}

fn follow(step: Step, owners: &mut Owners, blocks: &mut [Option<(usize, u64)>; PLACES]) {
    let free = |owners: &mut Owners, by: usize, block: Option<(usize, u64)>| {
        if let Some((owner, bytes)) = block {
            owners[owner].live -= bytes;
            if owner != by {
                owners[owner].freed_elsewhere += bytes;
            }
        }
    };
    let make = |owners: &mut Owners, by: usize, bytes: u64| {
        owners[by].add(bytes);
        owners[by].count += 1;
        Some((by, bytes))
    };
    match step {
        Step::Make { actor, place, size } => {
            // The new one is made before the old one goes.
            let new = make(owners, actor.owner(), size as u64);
            free(owners, actor.owner(), std::mem::replace(&mut blocks[place], new));
        }
        Step::Grow { actor, place, by } => {
            let old = blocks[place].take();
            let bytes = old.map_or(0, |(_, bytes)| bytes);
            free(owners, actor.owner(), old);
            // `reserve_exact` of twice the capacity is beyond the length.
            blocks[place] = make(owners, actor.owner(), bytes * 2 + by as u64);
        }
        Step::Free { actor, place } => free(owners, actor.owner(), blocks[place].take()),
        Step::Transfer { actor, place, to } => {
            if let Some((owner, bytes)) = blocks[place].filter(|(owner, _)| *owner != to) {
                owners[to].add(bytes);
                owners[to].transferred += bytes;
                free(owners, actor.owner(), Some((owner, bytes)));
                blocks[place] = Some((to, bytes));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_scopes_and_transfers_fit_a_plain_model(steps in steps()) {
        let _alone = alone();
        let held: Rc<Held> = Rc::default();
        let next = Rc::new(Cell::new(None));
        let ids = Rc::new(Cell::new(Vec::new()));
        let mut tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let (held, next, ids) = (Rc::clone(&held), Rc::clone(&next), Rc::clone(&ids));
                Box::pin(track(poll_fn(move |_| -> Poll<()> {
                    let all = ids.take();
                    next.take().into_iter().for_each(|step| perform(step, &held, &all));
                    ids.set(all);
                    Poll::Pending
                })))
            })
            .collect();
        let all: Vec<TaskId> = tasks.iter().map(|task| task.id().expect("an id")).collect();
        ids.set(all.clone());
        let before = conserved(&ALLOCATOR);
        let of_shared = |snapshot: &memscope_rs::async_memory::MemorySnapshot, name: &str| {
            snapshot.shared().iter().find(|shared| shared.name == name).cloned()
        };
        let (mut owners, mut blocks) = (Owners::default(), [None; PLACES]);
        for (number, step) in steps.iter().enumerate() {
            let (Step::Make { actor, .. }
            | Step::Grow { actor, .. }
            | Step::Free { actor, .. }
            | Step::Transfer { actor, .. }) = *step;
            match tasks.get_mut(actor.task) {
                Some(task) => {
                    next.set(Some(*step));
                    prop_assert!(poll(task).is_pending());
                }
                None => perform(*step, &held, &all),
            }
            follow(*step, &mut owners, &mut blocks);
            if number % 8 != 0 && number + 1 != steps.len() {
                continue;
            }
            let snapshot = conserved(&ALLOCATOR);
            for (id, truth) in all.iter().zip(owners) {
                let seen = row(&snapshot, *id);
                let seen = Truth {
                    live: seen.live_bytes,
                    peak: seen.peak_bytes,
                    allocated: seen.allocated_bytes,
                    freed_elsewhere: seen.freed_elsewhere_bytes,
                    transferred: seen.transferred_bytes,
                    count: seen.allocation_count,
                };
                prop_assert_eq!(seen, truth);
            }
            for (name, truth) in SHARED.iter().zip(&owners[TASKS + 1..]) {
                let now = of_shared(&snapshot, name);
                let earlier = of_shared(&before, name);
                let get = |of: fn(&memscope_rs::async_memory::SharedProfile) -> u64| {
                    now.as_ref().map_or(0, of) - earlier.as_ref().map_or(0, of)
                };
                prop_assert_eq!(
                    (
                        get(|row| row.live_bytes),
                        get(|row| row.allocated_bytes),
                        get(|row| row.allocation_count),
                    ),
                    (truth.live, truth.allocated, truth.count)
                );
            }
        }
        held.iter().for_each(|place| drop(place.take()));
    }
}

/// Records and accounts are used again at once, so a transfer often meets the next task there.
#[test]
fn a_transfer_that_comes_too_late_takes_nothing_from_the_next_task() {
    const TASKS: u64 = 60_000;
    let _alone = alone();
    let last: Mutex<Option<TaskId>> = Mutex::new(None);
    let (ended, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                for number in 0..TASKS / 2 {
                    let mut task = pin!(track(async {}).named("too late"));
                    *last.lock().expect("no panic") = task.id();
                    for _ in 0..number % 50 {
                        std::hint::spin_loop();
                    }
                    assert!(poll(&mut task).is_ready());
                    if ended.fetch_add(1, Ordering::Relaxed) + 1 == TASKS {
                        over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        for _ in 0..3 {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let block = vec![1_u8; 100];
                    let Some(task) = *last.lock().expect("no panic") else { continue };
                    // The task is mostly over.
                    let _ = transfer(&block, task);
                }
            });
        }
        while !over.load(Ordering::Relaxed) {
            let snapshot = get_memory_snapshot();
            for row in snapshot.tasks().iter().filter(|row| row.name == "too late") {
                let most = 1 << 40;
                let is_right = row.transferred_bytes < most && row.allocated_bytes < most;
                assert!(is_right && row.freed_bytes < most, "{row:#?}");
            }
        }
    });
    let snapshot = conserved(&ALLOCATOR);
    let site = snapshot.sites_named("too late").next().expect("a site");
    assert_eq!((site.completed, site.live_bytes), (TASKS, 0), "{site:#?}");
    assert_eq!(site.allocated_bytes, site.transferred_bytes, "{site:#?}");
}
