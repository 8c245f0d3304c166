//! Blocks that change hands: nested tasks, frees and reallocs by other tasks and threads, during
//! and after the owner's life.

use std::{
    future::{Future, poll_fn},
    hint::black_box,
    pin::pin,
    sync::{Mutex, mpsc},
    task::Poll,
};

use memscope_rs::async_memory::{TaskId, TaskState, Tracked, current_task_id, track};
use memscope_tests::{Columns, conserved, panics, poll, row, wait_once};

use crate::ALLOCATOR;

fn id_of<F>(task: &Tracked<F>) -> TaskId {
    task.id().expect("an id")
}

fn now(id: TaskId) -> Columns {
    Columns::now(&ALLOCATOR, id)
}

/// A task that makes `size` bytes at its first poll and gives them out; it ends at its second.
async fn maker(size: usize, out: &Mutex<Option<Vec<u8>>>) {
    let made = vec![1u8; size];
    *out.lock().expect("no panic") = Some(made);
    wait_once().await;
}

fn take(from: &Mutex<Option<Vec<u8>>>) -> Vec<u8> {
    from.lock().expect("no panic").take().expect("made")
}

fn freed_elsewhere(columns: Columns) -> Columns {
    let bytes = columns.live_bytes;
    Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: columns.freed_bytes + bytes,
        freed_elsewhere_bytes: columns.freed_elsewhere_bytes + bytes,
        ..columns
    }
}

#[test]
fn freed_by_another_task_is_taken_off_the_owner() {
    let slot = Mutex::new(None);
    let mut owner = pin!(track(maker(1000, &slot)));
    let mut other = pin!(track(async { drop(take(&slot)) }));
    let (owner_id, other_id) = (id_of(&owner), id_of(&other));
    assert!(poll(&mut owner).is_pending());
    assert!(poll(&mut other).is_ready());
    assert_eq!(now(owner_id), freed_elsewhere(Columns::one_block(TaskState::Idle, 1, 1000)));
    assert_eq!(now(other_id), Columns::nothing(TaskState::Completed, 1));
    assert!(poll(&mut owner).is_ready());
    assert_eq!(now(owner_id), freed_elsewhere(Columns::one_block(TaskState::Completed, 2, 1000)));
}

#[test]
fn freed_by_another_thread_is_taken_off_the_owner() {
    let slot = Mutex::new(None);
    let mut owner = pin!(track(maker(1000, &slot)));
    let id = id_of(&owner);
    assert!(poll(&mut owner).is_pending());
    std::thread::scope(|scope| {
        scope.spawn(|| drop(take(&slot)));
    });
    assert_eq!(now(id), freed_elsewhere(Columns::one_block(TaskState::Idle, 1, 1000)));
}

#[test]
fn freed_after_the_end_is_taken_off_the_ended_task() {
    let slot = Mutex::new(None);
    let mut owner = Box::pin(track(maker(1000, &slot)));
    let id = id_of(&owner);
    assert!(poll(&mut owner).is_pending());
    assert!(poll(&mut owner).is_ready());
    drop(owner);
    assert_eq!(now(id), Columns::one_block(TaskState::Completed, 2, 1000), "retained");
    drop(take(&slot));
    assert_eq!(now(id), freed_elsewhere(Columns::one_block(TaskState::Completed, 2, 1000)));
}

#[test]
fn a_retained_block_is_not_taken_for_a_later_tasks() {
    // The owner's record serves other tasks while its block lives: its account must not.
    let slot = Mutex::new(None);
    let mut owner = Box::pin(track(maker(1000, &slot)));
    let id = id_of(&owner);
    assert!(poll(&mut owner).is_pending());
    drop(owner);
    let mut later = Vec::new();
    for _ in 0..100 {
        let mut task = Box::pin(track(async { drop(vec![0u8; 10]) }));
        later.push(id_of(&task));
        assert!(poll(&mut task).is_ready());
    }
    assert_eq!(now(id), Columns::one_block(TaskState::Cancelled, 1, 1000));
    drop(take(&slot));
    assert_eq!(now(id), freed_elsewhere(Columns::one_block(TaskState::Cancelled, 1, 1000)));
    let snapshot = conserved(&ALLOCATOR);
    for id in later {
        let truth = Columns {
            allocated_bytes: 10,
            allocation_count: 1,
            peak_bytes: 10,
            freed_bytes: 10,
            ..Columns::nothing(TaskState::Completed, 1)
        };
        assert_eq!(Columns::of(row(&snapshot, id)), truth);
    }
}

#[test]
fn realloc_by_another_task_moves_the_block_to_it() {
    let slot = Mutex::new(None);
    let mut owner = pin!(track(maker(1000, &slot)));
    let mut other = pin!(track(async {
        let mut grown = take(&slot);
        grown.reserve_exact(2000);
        wait_once().await;
        drop(grown);
    }));
    let (owner_id, other_id) = (id_of(&owner), id_of(&other));
    assert!(poll(&mut owner).is_pending());
    assert!(poll(&mut other).is_pending());
    assert_eq!(now(owner_id), freed_elsewhere(Columns::one_block(TaskState::Idle, 1, 1000)));
    assert_eq!(now(other_id), Columns::one_block(TaskState::Idle, 1, 3000));
    assert!(poll(&mut other).is_ready());
    let truth = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 3000,
        ..Columns::one_block(TaskState::Completed, 2, 3000)
    };
    assert_eq!(now(other_id), truth);
}

#[test]
fn realloc_outside_every_task_moves_the_block_out_of_the_tasks() {
    let slot = Mutex::new(None);
    let mut owner = Box::pin(track(maker(1000, &slot)));
    let id = id_of(&owner);
    assert!(poll(&mut owner).is_pending());
    drop(owner);
    let mut grown = take(&slot);
    grown.reserve_exact(5000);
    assert_eq!(now(id), freed_elsewhere(Columns::one_block(TaskState::Cancelled, 1, 1000)));
    let mut task = pin!(track(async move {
        grown.truncate(10);
        grown.shrink_to_fit();
        grown
    }));
    let id = id_of(&task);
    let grown = poll(&mut task);
    assert_eq!(
        now(id),
        Columns::one_block(TaskState::Completed, 1, 10),
        "6,000 bytes became 10 in the task"
    );
    drop(grown);
    assert_eq!(now(id), freed_elsewhere(Columns::one_block(TaskState::Completed, 1, 10)));
}

#[test]
fn the_peak_knows_what_others_freed_before() {
    let slot = Mutex::new(None);
    let mut owner = pin!(track(async {
        for _ in 0..5 {
            let piece = vec![1u8; 1000];
            *slot.lock().expect("no panic") = Some(piece);
            wait_once().await;
        }
    }));
    let id = id_of(&owner);
    for polls in 1..=5 {
        assert!(poll(&mut owner).is_pending());
        drop(take(&slot));
        let truth = Columns {
            allocated_bytes: 1000 * polls,
            allocation_count: polls,
            peak_bytes: 1000,
            freed_bytes: 1000 * polls,
            freed_elsewhere_bytes: 1000 * polls,
            ..Columns::nothing(TaskState::Idle, polls)
        };
        assert_eq!(now(id), truth);
    }
}

#[test]
fn what_others_freed_counts_for_the_peak_from_the_next_allocation_on() {
    let slot = Mutex::new(None);
    let mut owner = pin!(track(async {
        let first = vec![1u8; 1000];
        *slot.lock().expect("no panic") = Some(first);
        wait_once().await;
        let second = vec![1u8; 600];
        wait_once().await;
        let third = vec![1u8; 700];
        drop((second, third));
    }));
    let id = id_of(&owner);
    assert!(poll(&mut owner).is_pending());
    drop(take(&slot));
    assert!(poll(&mut owner).is_pending());
    assert_eq!(now(id).peak_bytes, 1000, "600 now, 1,000 before");
    assert!(poll(&mut owner).is_ready());
    let truth = Columns {
        allocated_bytes: 2300,
        allocation_count: 3,
        peak_bytes: 1300,
        freed_bytes: 2300,
        freed_elsewhere_bytes: 1000,
        ..Columns::nothing(TaskState::Completed, 3)
    };
    assert_eq!(now(id), truth);
}

#[test]
fn nested_tasks_are_charged_each_with_its_own() {
    let mut outer = pin!(track(async {
        let held = vec![0u8; 100];
        let inner = track(async {
            let held = vec![0u8; 2000];
            let innermost = track(async {
                let held = vec![0u8; 30_000];
                wait_once().await;
                (current_task_id(), held.len())
            });
            let (id, _) = innermost.await;
            drop(held);
            (current_task_id(), id)
        });
        let (inner, innermost) = inner.await;
        drop(held);
        let last = vec![0u8; 7];
        (current_task_id(), inner, innermost, last)
    }));
    let outer_id = id_of(&outer);
    assert!(poll(&mut outer).is_pending());
    assert_eq!(current_task_id(), None);
    let Poll::Ready((outer_seen, Some(inner), Some(innermost), last)) = poll(&mut outer) else {
        panic!("ready")
    };
    assert_eq!(outer_seen, Some(outer_id));
    let ended = |bytes| Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: bytes,
        ..Columns::one_block(TaskState::Completed, 2, bytes)
    };
    let snapshot = conserved(&ALLOCATOR);
    let truth = Columns {
        allocated_bytes: 107,
        allocation_count: 2,
        live_bytes: 7,
        live_blocks: 1,
        peak_bytes: 100,
        freed_bytes: 100,
        ..Columns::nothing(TaskState::Completed, 2)
    };
    assert_eq!(Columns::of(row(&snapshot, outer_id)), truth);
    assert_eq!(Columns::of(row(&snapshot, inner)), ended(2000));
    assert_eq!(Columns::of(row(&snapshot, innermost)), ended(30_000));
    assert_eq!(row(&snapshot, outer_id).parent, None);
    assert_eq!(row(&snapshot, inner).parent, Some(outer_id));
    assert_eq!(row(&snapshot, innermost).parent, Some(inner));
    drop(last);
}

#[test]
fn two_hundred_levels_deep_every_task_has_its_own_byte_count() {
    // Each level allocates as many bytes as it has levels below; the slot is restored through all
    // of them.
    fn level(below: usize) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
        if below == 0 {
            return Box::pin(wait_once());
        }
        let inner = level(below - 1);
        Box::pin(
            track(async move {
                let before = vec![0u8; below];
                inner.await;
                let after = vec![0u8; below];
                drop((before, after));
            })
            .named("a level"),
        )
    }
    const LEVELS: usize = 200;
    let mut task = level(LEVELS);
    assert!(poll(&mut task).is_pending());
    assert!(poll(&mut task).is_ready());
    let snapshot = conserved(&ALLOCATOR);
    let mut levels: Vec<_> = snapshot.tasks().iter().filter(|row| row.name == "a level").collect();
    levels.sort_by_key(|row| row.allocated_bytes);
    assert_eq!(levels.len(), LEVELS);
    for (below, level) in (1..).zip(&levels) {
        let truth = Columns {
            allocated_bytes: 2 * below,
            allocation_count: 2,
            peak_bytes: 2 * below,
            freed_bytes: 2 * below,
            ..Columns::nothing(TaskState::Completed, 2)
        };
        assert_eq!(Columns::of(level), truth);
        let parent = levels.get(usize::try_from(below).expect("small")).map(|outer| outer.id);
        assert_eq!(level.parent, parent);
    }
}

#[test]
fn a_child_made_in_one_task_and_polled_in_another_belongs_where_it_is_polled() {
    let mut maker =
        pin!(track(poll_fn(|_| Poll::Ready(Box::pin(track(async { vec![0u8; 50].len() }))))));
    let maker_id = id_of(&maker);
    let Poll::Ready(mut child) = poll(&mut maker) else { panic!("ready") };
    let child_id = child.id().expect("an id");
    assert_eq!(
        row(&conserved(&ALLOCATOR), child_id).parent,
        Some(maker_id),
        "not polled: its maker"
    );
    let mut adopter = pin!(track(async move {
        assert!(poll(&mut child).is_ready());
        drop(child);
    }));
    let adopter_id = id_of(&adopter);
    assert!(poll(&mut adopter).is_ready());
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(row(&snapshot, child_id).parent, Some(adopter_id));
    let truth = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 50,
        ..Columns::one_block(TaskState::Completed, 1, 50)
    };
    assert_eq!(Columns::of(row(&snapshot, child_id)), truth);
    // The child's box was the maker's and was freed in the adopter.
    let boxed = row(&snapshot, maker_id);
    assert_eq!(
        (boxed.allocation_count, boxed.live_bytes, boxed.freed_elsewhere_bytes),
        (1, 0, boxed.allocated_bytes)
    );
    assert_eq!(Columns::of(row(&snapshot, adopter_id)), Columns::nothing(TaskState::Completed, 1));
}

#[test]
fn a_child_dropped_in_its_parent_frees_as_the_child() {
    let mut outer = pin!(track(async {
        let mut inner = Box::pin(track(async {
            let held = vec![0u8; 2000];
            wait_once().await;
            drop(held);
        }));
        let id = inner.id();
        assert!(poll(&mut inner).is_pending());
        drop(inner);
        (id, current_task_id())
    }));
    let outer_id = id_of(&outer);
    let Poll::Ready((Some(inner), after)) = poll(&mut outer) else { panic!("ready") };
    assert_eq!(after, Some(outer_id));
    let truth = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 2000,
        ..Columns::one_block(TaskState::Cancelled, 1, 2000)
    };
    assert_eq!(now(inner), truth);
    let outer = now(outer_id);
    assert_eq!(
        (outer.allocation_count, outer.live_bytes, outer.freed_elsewhere_bytes),
        (1, 0, 0),
        "the child's box"
    );
}

#[test]
fn a_panic_in_a_child_that_its_parent_catches_leaves_the_parent_current() {
    memscope_tests::keep_wanted_panics_quiet();
    let mut outer = pin!(track(async {
        let mut inner = Box::pin(track(async { panic!("wanted: in a child") }));
        let id = inner.id();
        let message = panics(|| -> Poll<()> { poll(&mut inner) });
        assert_eq!(message, "wanted: in a child");
        let held = vec![0u8; 4000];
        (id, current_task_id(), held.len())
    }));
    let outer_id = id_of(&outer);
    let Poll::Ready((Some(inner), after, _)) = poll(&mut outer) else { panic!("ready") };
    assert_eq!(after, Some(outer_id));
    assert_eq!(now(inner).state, TaskState::Panicked);
    assert_eq!((now(inner).live_bytes, now(outer_id).live_bytes), (0, 0));
    assert!(now(outer_id).peak_bytes >= 4000);
    assert!(now(inner).allocated_bytes < 1000);
}

#[test]
fn a_panic_through_parent_and_child_ends_both() {
    let child = Mutex::new(None);
    let mut outer = Box::pin(track(async {
        let inner = track(async {
            let _held = black_box(vec![0u8; 10]);
            panic!("wanted: through both")
        });
        *child.lock().expect("no panic") = inner.id();
        inner.await;
    }));
    let id = id_of(&outer);
    assert_eq!(panics(|| poll(&mut outer)), "wanted: through both");
    assert_eq!(current_task_id(), None);
    let inner = child.lock().expect("no panic").expect("an id");
    assert_eq!((now(id).state, now(inner).state), (TaskState::Panicked, TaskState::Panicked));
    assert_eq!(now(id), Columns::nothing(TaskState::Panicked, 1));
    drop(outer);
    assert_eq!((now(id).live_bytes, now(inner).live_bytes), (0, 0));
}

#[test]
fn a_task_polled_on_four_threads_in_turn_is_one_task() {
    let mut task = Box::pin(track(async {
        let mut held = Vec::with_capacity(4);
        for size in [10, 200, 3000, 40_000] {
            held.push(vec![0u8; size]);
            wait_once().await;
        }
    }));
    let id = task.id().expect("an id");
    for _ in 0..4 {
        task = std::thread::spawn(move || {
            assert!(poll(&mut task).is_pending());
            task
        })
        .join()
        .expect("no panic");
    }
    let spine = 4 * size_of::<Vec<u8>>() as u64;
    let truth = Columns {
        allocated_bytes: 43_210 + spine,
        allocation_count: 5,
        live_bytes: 43_210 + spine,
        live_blocks: 5,
        peak_bytes: 43_210 + spine,
        ..Columns::nothing(TaskState::Idle, 4)
    };
    assert_eq!(now(id), truth);
    std::thread::spawn(move || drop(task)).join().expect("no panic");
    let truth = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 43_210 + spine,
        state: TaskState::Cancelled,
        ..truth
    };
    assert_eq!(now(id), truth, "dropped as the owner, on a fifth thread");
}

#[test]
fn a_threads_blocks_freed_in_a_task_are_not_the_tasks() {
    let mine = vec![0u8; 9000];
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(vec![0u8; 8000]).expect("received"))
        .join()
        .expect("no panic");
    let theirs = receive.recv().expect("sent");
    let mut task = pin!(track(async move { drop((mine, theirs)) }));
    let id = id_of(&task);
    assert!(poll(&mut task).is_ready());
    assert_eq!(now(id), Columns::nothing(TaskState::Completed, 1));
}
