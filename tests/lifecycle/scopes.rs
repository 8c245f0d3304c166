//! What is allocated in a scope belongs to no task, or to a shared owner, to the byte.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex},
};

use memscope_macros::track_var;
use memscope_rs::async_memory::{
    MemorySnapshot, Scope, SharedProfile, TaskState, current_task_id, shared, spawn_tracked, track,
    untracked,
};
use memscope_tests::{
    Block, Columns, alone, block_on, conserved, conserved_when, keep_wanted_panics_quiet, panics,
    poll, row, wait_once, workers,
};

use crate::ALLOCATOR;

/// The row of a name; names are not used by two tests.
fn of(snapshot: &MemorySnapshot, name: &str) -> Option<SharedProfile> {
    let sum: u64 = snapshot.shared().iter().map(|shared| shared.live_bytes).sum();
    assert_eq!(snapshot.process().shared_bytes, sum);
    assert!(sum <= snapshot.process().untracked_bytes);
    for shared in snapshot.shared() {
        assert_eq!(shared.live_bytes + shared.freed_bytes, shared.allocated_bytes, "{shared:?}");
        assert!(shared.live_bytes <= shared.peak_bytes, "{shared:?}");
        assert!(shared.peak_bytes <= shared.allocated_bytes, "{shared:?}");
        assert_eq!(shared.live_bytes == 0, shared.live_blocks == 0, "{shared:?}");
    }
    snapshot.shared().iter().find(|shared| shared.name == name).cloned()
}

#[track_caller]
fn now(name: &str) -> SharedProfile {
    of(&conserved(&ALLOCATOR), name).expect("a row")
}

/// Live, peak, allocated.
fn sizes(shared: &SharedProfile) -> (u64, u64, u64) {
    (shared.live_bytes, shared.peak_bytes, shared.allocated_bytes)
}

#[test]
fn what_a_task_allocates_untracked_is_not_its_own() {
    let mut task = pin!(track(async {
        let own = vec![0u8; 100];
        let table = untracked(|| {
            assert_eq!(current_task_id(), None);
            vec![0u8; 5_000]
        });
        assert!(current_task_id().is_some());
        wait_once().await;
        drop(own);
        table
    }));
    let id = task.id().expect("an id");
    assert!(poll(&mut task).is_pending());
    assert_eq!(Columns::now(&ALLOCATOR, id), Columns::one_block(TaskState::Idle, 1, 100));
    drop(poll(&mut task));
    assert_eq!(Columns::now(&ALLOCATOR, id).live_bytes, 0);
}

#[test]
fn what_an_unannotated_task_allocates_untracked_is_not_its_own() {
    let _alone = alone();
    let runtime = workers(2);
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let task = runtime.spawn(async move {
        let own = vec![0u8; 70_001];
        let table = untracked(|| vec![0u8; 500_000]);
        let cache = shared("of an unannotated task", || vec![0u8; 600_000]);
        ready.send(()).expect("received");
        receiver.await.ok();
        (own, table, cache)
    });
    is_ready.recv().expect("sent");
    let snapshot = conserved(&ALLOCATOR);
    let task_row = snapshot.tasks().iter().find(|task| task.live_bytes > 70_000).expect("a row");
    assert!(!task_row.is_annotated && task_row.live_bytes < 72_000, "{task_row:?}");
    assert_eq!(of(&snapshot, "of an unannotated task").expect("a row").live_bytes, 600_000);
    sender.send(()).expect("received");
    drop(runtime.block_on(task).expect("no panic"));
    assert_eq!(now("of an unannotated task").live_bytes, 0);
}

#[test]
fn a_cache_belongs_to_no_request_and_shrinks_when_others_evict() {
    const NAME: &str = "page cache";
    let _alone = alone();
    let runtime = workers(4);
    let cache = Arc::new(Mutex::new(HashMap::<usize, Vec<u8>>::new()));
    let requests: Vec<_> = (0..200_usize)
        .map(|number| {
            let cache = Arc::clone(&cache);
            let request = async move {
                let answer = vec![1u8; 3_000];
                wait_once().await;
                shared(NAME, || {
                    let page = vec![0u8; 1_000 + number];
                    cache.lock().expect("no panic").insert(number, page);
                });
                drop(answer);
            };
            runtime.spawn(track(request).named("request of a page"))
        })
        .collect();
    runtime.block_on(async {
        for request in requests {
            request.await.expect("no panic");
        }
    });
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| snapshot.active_task_count() == 0);
    let pages: u64 = (0..200).map(|number| 1_000 + number).sum();
    let held = of(&snapshot, NAME).expect("a row");
    // The table of the map is in it too.
    assert!(held.live_bytes > pages && held.live_bytes < pages + 20_000, "{held:?}");
    assert_eq!(held.live_blocks, 201);
    let site = snapshot.sites_named("request of a page").next().expect("a site");
    assert_eq!((site.live_bytes, site.allocated_bytes), (0, 200 * 3_000));
    let evictor = runtime.spawn(track({
        let cache = Arc::clone(&cache);
        async move { cache.lock().expect("no panic").retain(|number, _| number % 2 == 0) }
    }));
    runtime.block_on(evictor).expect("no panic");
    let odd: u64 = (0..200).filter(|number| number % 2 == 1).map(|number| 1_000 + number).sum();
    assert_eq!(now(NAME).live_bytes, held.live_bytes - odd);
    std::thread::spawn(move || drop(cache)).join().expect("no panic");
    assert_eq!(sizes(&now(NAME)), (0, held.peak_bytes, held.allocated_bytes));
}

#[test]
fn the_innermost_scope_counts_and_a_task_inside_is_itself() {
    let held = shared("outer", || {
        let outer = vec![0u8; 10];
        let inner = shared("inner", || vec![0u8; 200]);
        let mut task = Box::pin(track(async {
            let own = vec![0u8; 3_000];
            let innermost = shared("innermost", || vec![0u8; 40_000]);
            let free = untracked(|| vec![0u8; 500_000]);
            wait_once().await;
            drop(own);
            (innermost, free)
        }));
        let id = task.id().expect("an id");
        assert!(poll(&mut task).is_pending());
        assert_eq!(Columns::now(&ALLOCATOR, id), Columns::one_block(TaskState::Idle, 1, 3_000));
        let last = vec![0u8; 1];
        let parts = poll(&mut task);
        (outer, inner, last, parts)
    });
    let snapshot = conserved(&ALLOCATOR);
    let live = |name| of(&snapshot, name).map(|shared| shared.live_bytes);
    assert_eq!((live("inner"), live("innermost")), (Some(200), Some(40_000)));
    assert_eq!(live("outer"), Some(11), "the task's box is gone");
    drop(held);
    assert_eq!((now("outer").live_bytes, now("innermost").live_bytes), (0, 0));
}

#[test]
fn a_panic_ends_the_scope() {
    keep_wanted_panics_quiet();
    let mut task = pin!(track(async {
        let message = panics(|| -> () {
            shared("of a panic", || {
                let _held = std::hint::black_box(vec![0u8; 700]);
                untracked(|| panic!("wanted: in a scope"));
            });
        });
        assert_eq!(message, "wanted: in a scope");
        drop(message);
        assert!(current_task_id().is_some());
        let own = vec![0u8; 8_000];
        wait_once().await;
        drop(own);
    }));
    let id = task.id().expect("an id");
    assert!(poll(&mut task).is_pending());
    assert_eq!(row(&conserved(&ALLOCATOR), id).live_bytes, 8_000);
    assert_eq!(sizes(&now("of a panic")), (0, 700, 700));
}

/// Allocates when it is dropped.
struct Farewell(Arc<Mutex<Vec<u8>>>);

impl Drop for Farewell {
    fn drop(&mut self) {
        *self.0.lock().expect("no panic") = vec![0u8; 2_000];
    }
}

#[test]
fn a_future_is_in_its_scope_at_each_poll_and_while_it_is_dropped() {
    let future = async {
        let first = vec![0u8; 1_000];
        wait_once().await;
        let second = vec![0u8; 500];
        wait_once().await;
        drop((first, second));
    };
    let mut task = Box::pin(track(async {
        let own = vec![0u8; 60];
        future.shared("of a future").await;
        drop(own);
    }));
    let id = task.id().expect("an id");
    assert!(poll(&mut task).is_pending() && poll(&mut task).is_pending());
    assert_eq!(Columns::now(&ALLOCATOR, id), Columns::one_block(TaskState::Idle, 2, 60));
    assert_eq!(sizes(&now("of a future")), (1_500, 1_500, 1_500));
    drop(task);
    assert_eq!(sizes(&now("of a future")), (0, 1_500, 1_500));

    let place = Arc::new(Mutex::new(Vec::new()));
    let farewell = Farewell(Arc::clone(&place));
    let mut task = pin!(track(
        async move {
            let _farewell = farewell;
            wait_once().await;
        }
        .untracked()
    ));
    let id = task.id().expect("an id");
    assert!(poll(&mut task).is_pending() && poll(&mut task).is_ready());
    assert_eq!(Columns::now(&ALLOCATOR, id), Columns::nothing(TaskState::Completed, 2));
    assert_eq!(place.lock().expect("no panic").len(), 2_000);
}

#[test]
fn the_peak_is_of_what_was_live_at_one_time() {
    let block = |size| shared("peaks", || Block::new(layout(size), false));
    let first = block(1_000);
    first.free();
    let second = block(600);
    std::thread::spawn(move || second.free()).join().expect("no panic");
    let third = block(700);
    let fourth = block(400);
    assert_eq!(sizes(&now("peaks")), (1_100, 1_100, 2_700));
    let grown = shared("peaks", || fourth.resize(500));
    let moved = third.resize(300);
    assert_eq!(sizes(&now("peaks")), (500, 1_200, 3_200), "reallocated outside: not its own");
    assert_eq!(now("peaks").allocation_count, 5);
    moved.free();
    shared("other peaks", || grown.free());
    assert_eq!(sizes(&now("peaks")), (0, 1_200, 3_200));
}

fn layout(size: usize) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(size, 8).expect("a small size")
}

#[test]
fn a_variable_in_a_cache_keeps_its_name_and_leaves_when_it_is_freed() {
    let _alone = alone();
    let mut cached = shared("with a variable", || vec![0u8; 900]);
    track_var!(cached);
    assert_eq!(now("with a variable").live_bytes, 900);
    shared("with a variable", || cached.reserve_exact(1_000));
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(of(&snapshot, "with a variable").expect("a row").live_bytes, 1_900);
    let variable = snapshot.variables().iter().find(|variable| variable.live).expect("it lives");
    assert_eq!((variable.heap_bytes, variable.task), (1_900, None));
    drop(cached);
    assert_eq!(now("with a variable").live_bytes, 0);
}

#[test]
fn a_task_spawned_in_a_scope_has_its_cell_and_the_scope_the_rest() {
    let _alone = alone();
    block_on(async {
        let task = shared("of a spawner", || {
            let task = spawn_tracked(async { vec![0u8; 123].len() });
            (task, vec![0u8; 50])
        });
        let (task, held) = task;
        assert_eq!(task.await.expect("no panic"), 123);
        assert_eq!(now("of a spawner").live_bytes, held.len() as u64);
    });
}

#[test]
fn many_threads_are_inside_at_one_time() {
    let _alone = alone();
    let threads: Vec<_> = (0..8_usize)
        .map(|thread| {
            std::thread::spawn(move || {
                shared("crowded", || {
                    let mut held: Vec<Block> = Vec::with_capacity(100);
                    for round in 0..10_000_usize {
                        let block = Block::new(layout(1 + (round * 7 + thread) % 300), false);
                        if held.len() == 100 {
                            held.swap_remove(round % 100_usize).free();
                        }
                        held.push(block);
                    }
                    held
                })
            })
        })
        .collect();
    let held: Vec<Vec<Block>> =
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    let spines = (8 * 100 * size_of::<Block>()) as u64;
    let bytes: usize = held.iter().flatten().map(|block| block.layout.size()).sum();
    let seen = now("crowded");
    assert_eq!((seen.live_bytes, seen.live_blocks), (bytes as u64 + spines, 808));
    assert_eq!(seen.allocation_count, 80_008);
    held.into_iter().flatten().for_each(Block::free);
    assert_eq!(now("crowded").live_bytes, 0);
}
