//! Counts unannotated tasks and compares them with what Tokio says and with what was spawned.
//! Prints whether the layout of cells was learned.

use std::{
    alloc::System,
    future::pending,
    time::{Duration, Instant},
};

use memscope_runtime::{
    TrackingAllocator,
    async_memory::{MemorySnapshot, SiteProfile, TaskCells, get_memory_snapshot, track},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinSet, LocalSet, spawn_local, yield_now},
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

/// Alive, cancelled, otherwise ended, finished with a handle, finished without one.
type Counts = [u64; 5];

fn counts(snapshot: &MemorySnapshot) -> Counts {
    let sites = || snapshot.sites().iter().filter(|site| !site.is_annotated);
    let sum = |field: fn(&SiteProfile) -> u64| sites().map(field).sum();
    [
        sum(|site| site.active),
        sum(|site| site.cancelled),
        sum(|site| site.ended_unknown),
        sum(|site| site.unjoined_tasks),
        sum(|site| site.kept_tasks),
    ]
}

fn since(before: Counts) -> Counts {
    let now = counts(&get_memory_snapshot());
    std::array::from_fn(|at| now[at].wrapping_sub(before[at]))
}

fn run(runtime: &Runtime) {
    runtime.block_on(async {
        for _ in 0..4 {
            yield_now().await;
        }
    });
}

async fn allocates() {
    drop(vec![1_u8; 100]);
    yield_now().await;
}

async fn holds() {
    let held = vec![1_u8; 1_000];
    pending::<()>().await;
    drop(held);
}

fn on_one_thread() {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let before = counts(&get_memory_snapshot());
    let waiting: Vec<_> = (0..7).map(|_| runtime.spawn(holds())).collect();
    let quiet: Vec<_> = (0..5).map(|_| runtime.spawn(pending::<()>())).collect();
    let unjoined: Vec<_> = (0..3).map(|_| runtime.spawn(allocates())).collect();
    let kept: Vec<_> = (0..2).map(|_| runtime.spawn(async {}).abort_handle()).collect();
    run(&runtime);
    assert_eq!(runtime.metrics().num_alive_tasks(), 12);
    assert_eq!(since(before), [12, 0, 5, 3, 2]);
    waiting[0].abort();
    quiet[0].abort();
    run(&runtime);
    assert_eq!(runtime.metrics().num_alive_tasks(), 10);
    assert_eq!(since(before), [10, 2, 5, 5, 2]);
    drop((waiting, quiet, unjoined, kept));
    assert_eq!(since(before), [10, 2, 5, 0, 0]);
    let tracked = runtime.spawn(track(pending::<()>()));
    run(&runtime);
    assert_eq!(since(before), [10, 2, 5, 0, 0], "a tracked task has a row of its own");
    LocalSet::new().block_on(&runtime, async {
        spawn_local(allocates()).await.expect("no panic");
        let mut set = JoinSet::new();
        (0..4).for_each(|_| drop(set.spawn(allocates())));
        while set.join_next().await.is_some() {}
    });
    let panics = runtime.spawn(async { std::panic::resume_unwind(Box::new(allocates())) });
    assert!(runtime.block_on(panics).is_err_and(|error| error.is_panic()));
    assert_eq!(since(before), [10, 2, 11, 0, 0]);
    drop(runtime);
    assert_eq!(since(before), [0, 12, 11, 0, 0]);
    drop(tracked);
}

fn on_workers(tasks: u64) {
    let before = counts(&get_memory_snapshot());
    let runtime = Builder::new_multi_thread().worker_threads(8).build().expect("a runtime");
    let spawners: Vec<_> = (0..8)
        .map(|_| {
            runtime.spawn(async move {
                for _ in 0..tasks / 8 {
                    tokio::spawn(allocates()).await.expect("no panic");
                    tokio::spawn(async {}).await.expect("no panic");
                }
            })
        })
        .collect();
    for spawner in spawners {
        runtime.block_on(spawner).expect("no panic");
    }
    drop(runtime);
    // For Tokio a worker is a blocking task. Its cell may go a moment after its runtime, and one
    // that has not begun by then is cancelled.
    let expected = 2 * (tasks / 8 * 8) + 8 + 8;
    let is_over = |[alive, cancelled, ended, unjoined, kept]: Counts| {
        (alive, unjoined, kept) == (0, 0, 0) && cancelled <= 8 && cancelled + ended == expected
    };
    let start = Instant::now();
    while !is_over(since(before)) && start.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    assert!(is_over(since(before)), "{:?} of {expected}", since(before));
}

fn main() {
    let tasks = std::env::args().nth(1).map_or(4_000, |it| it.parse().expect("how many tasks"));
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async { tokio::spawn(async {}).await.expect("no panic") });
    let state = get_memory_snapshot().tool().task_cells;
    if state == TaskCells::Learned {
        on_one_thread();
        on_workers(tasks);
    }
    println!("{state:?}");
}
