//! Ten million unannotated Tokio tasks, on two workers: begins, ends, parents and handles are what
//! Tokio and the program say, and memscope's memory stays where the first tasks left it.
//!
//! `cargo test --release -p memscope-tests --test limits ten_million_spawned:: -- --nocapture` runs
//! ten million and prints how long they took. Without optimisation it runs a fiftieth of them.

use std::{future::pending, time::Instant};

use memscope_rs::{
    async_memory::{MemorySnapshot, SiteProfile, TaskMemoryProfile, TaskState},
    builder,
};
use memscope_tests::{
    alone, cells_learned, conserved, conserved_when, names_found, record_bytes,
    settled_record_bytes, workers,
};
use tokio::{
    runtime::Runtime,
    task::{JoinHandle, yield_now},
};

use crate::ALLOCATOR;

const TASKS: u64 = if cfg!(debug_assertions) { 200_000 } else { 10_000_000 };
/// Tasks of one round, of which each kind has its share.
const ROUND: u64 = 1_000;
/// A byte for each of the tasks would be more.
const MOST_GROWN: u64 = 1 << 20;
/// Bytes that a task holds which waits for ever, and one whose end is not joined.
const OF_WAITING: usize = 1_001;
const OF_FINISHED: usize = 1_003;

/// What the program did itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    spawned: u64,
    active: u64,
    cancelled: u64,
    ended: u64,
}

impl Counts {
    fn of(snapshot: &MemorySnapshot) -> Self {
        let plain = || snapshot.sites().iter().filter(|site| !site.is_annotated);
        assert!(plain().all(|site| !site.ends_unknown && site.unknown + site.given_up == 0));
        let sum = |number: fn(&SiteProfile) -> u64| plain().map(number).sum();
        Self {
            spawned: sum(|site| site.spawned),
            active: sum(|site| site.active),
            cancelled: sum(|site| site.cancelled),
            ended: sum(|site| site.ended_unknown),
        }
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            spawned: self.spawned - earlier.spawned,
            active: self.active - earlier.active,
            cancelled: self.cancelled - earlier.cancelled,
            ended: self.ended - earlier.ended,
        }
    }
}

async fn waits() {
    let held = vec![1_u8; OF_WAITING];
    pending::<()>().await;
    drop(held);
}

async fn finishes() -> Vec<u8> {
    yield_now().await;
    vec![1_u8; OF_FINISHED]
}

/// Spawns one round, and returns what still waits and what has finished without being joined.
async fn round(keeps: bool) -> Vec<JoinHandle<()>> {
    let mut handles = Vec::new();
    for number in 0..ROUND {
        match number % 4 {
            // Never allocates.
            0 => handles.push(tokio::spawn(yield_now())),
            1 => handles.push(tokio::spawn(async { drop(std::hint::black_box(vec![1_u8; 10])) })),
            // Its handle is dropped before it runs.
            2 => drop(tokio::spawn(async {
                yield_now().await;
                drop(std::hint::black_box(vec![1_u8; 20]));
            })),
            _ if number % 100 == 3 => {
                let aborted = tokio::spawn(waits());
                yield_now().await;
                aborted.abort();
                assert!(aborted.await.expect_err("it waits for ever").is_cancelled());
            }
            _ => handles.push(tokio::spawn(async { yield_now().await })),
        }
        if handles.len() == 64 {
            for handle in handles.drain(..) {
                handle.await.expect("no panic");
            }
        }
    }
    for handle in handles.drain(..) {
        handle.await.expect("no panic");
    }
    if keeps { vec![tokio::spawn(waits())] } else { Vec::new() }
}

/// Runs this many tasks on two tasks that spawn. Returns the handles of those that wait, and of
/// those that have finished.
fn run(
    runtime: &Runtime,
    tasks: u64,
    keeps: bool,
) -> (Vec<JoinHandle<()>>, Vec<JoinHandle<Vec<u8>>>) {
    let spawners = (0..2).map(|_| {
        runtime.spawn(async move {
            let (mut waiting, mut finished) = (Vec::new(), Vec::new());
            for _ in 0..tasks / 2 / ROUND {
                waiting.extend(round(keeps).await);
                if keeps {
                    finished.push(tokio::spawn(finishes()));
                }
            }
            (waiting, finished)
        })
    });
    let (mut waiting, mut finished) = (Vec::new(), Vec::new());
    for spawner in spawners.collect::<Vec<_>>() {
        let of_one = runtime.block_on(spawner).expect("no panic");
        waiting.extend(of_one.0);
        finished.extend(of_one.1);
    }
    (waiting, finished)
}

/// Waits until Tokio says that this many tasks live: what is detached ends by itself.
#[track_caller]
fn alive_becomes(runtime: &Runtime, tasks: usize) {
    let began = Instant::now();
    while runtime.metrics().num_alive_tasks() != tasks {
        assert!(began.elapsed().as_secs() < 60, "{}", runtime.metrics().num_alive_tasks());
        std::thread::yield_now();
    }
}

fn holding(snapshot: &MemorySnapshot, bytes: usize) -> impl Iterator<Item = &TaskMemoryProfile> {
    let is_it = move |task: &&TaskMemoryProfile| task.live_bytes == bytes as u64;
    snapshot.tasks().iter().filter(|task| !task.is_annotated).filter(is_it)
}

#[test]
#[cfg(target_os = "linux")]
#[expect(clippy::print_stdout, reason = "figures for the documentation")]
fn ten_million_tasks_begin_and_end_as_they_do_for_tokio() {
    let _alone = alone();
    builder().sample_every(std::time::Duration::ZERO).init().expect("valid settings");
    cells_learned();
    let runtime = workers(2);
    drop(run(&runtime, 20_000, false));
    let settled = settled_record_bytes(|| {
        drop(run(&runtime, 2_000, false));
        names_found();
        conserved(&ALLOCATOR)
    });
    alive_becomes(&runtime, 0);
    let before = Counts::of(&conserved_when(&ALLOCATOR, |snapshot| {
        Counts::of(snapshot).active == Counts::of(snapshot).active.min(2)
    }));

    let began = Instant::now();
    drop(run(&runtime, TASKS, false));
    let took = began.elapsed();
    let all = Counts {
        spawned: TASKS + 2,
        active: 0,
        cancelled: TASKS / 100,
        ended: TASKS - TASKS / 100 + 2,
    };
    let is_over = |snapshot: &MemorySnapshot| Counts::of(snapshot).since(before) == all;
    let after = conserved_when(&ALLOCATOR, is_over);
    alive_becomes(&runtime, 0);
    // As many tasks at once as the scheduler lets there be: a record each, and none for a task
    // more.
    let grown = record_bytes(&after).saturating_sub(settled);
    assert!(grown < MOST_GROWN, "memscope's memory has grown by {grown} bytes");
    assert_eq!(after.tool().tasks_split + after.tool().task_cells_refused, 0);

    // Some that live on, and some that nothing joins.
    let kept = 2 * ROUND * 20;
    let (waiting, finished) = run(&runtime, kept, true);
    alive_becomes(&runtime, waiting.len());
    let is_there = |snapshot: &MemorySnapshot| {
        holding(snapshot, OF_WAITING).count() == waiting.len()
            && holding(snapshot, OF_FINISHED).count() == finished.len()
            && holding(snapshot, OF_FINISHED).all(|task| task.state == TaskState::Ended)
    };
    let last = conserved_when(&ALLOCATOR, is_there);
    assert_eq!((waiting.len(), finished.len()), (40, 40));
    let parents: std::collections::BTreeSet<_> =
        holding(&last, OF_WAITING).map(|task| task.parent.expect("a task spawned it")).collect();
    assert_eq!(parents.len(), 2, "the two that spawn");
    assert!(holding(&last, OF_WAITING).all(|task| task.state == TaskState::Idle));
    assert!(holding(&last, OF_FINISHED).all(|task| task.has_handle == Some(true)), "{last}");
    println!(
        "{TASKS} tasks took {:.1} s; memscope's records have {} bytes",
        took.as_secs_f64(),
        record_bytes(&after)
    );
}
