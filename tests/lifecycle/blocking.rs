//! Tracked closures on Tokio's blocking threads: what they hold, how they end, and which task owns
//! their cells.

#![expect(clippy::large_stack_arrays, reason = "Tokio boxes large closures, which is tested")]

use std::sync::{Arc, Barrier, mpsc};

use memscope_rs::async_memory::{
    TaskId, TaskState, TaskType, current_task_id, spawn_blocking_tracked,
    spawn_blocking_tracked_as, track,
};
use memscope_tests::{
    Columns, Meter, alone, conserved, conserved_when, cost_of_a_panic, keep_wanted_panics_quiet,
    row, workers,
};

use crate::ALLOCATOR;

fn here() -> TaskId {
    current_task_id().expect("a task")
}

/// The row of the only task of this kind at this line; each test has its own.
#[track_caller]
fn at(line: u32) -> TaskId {
    let snapshot = conserved(&ALLOCATOR);
    let rows: Vec<_> = snapshot
        .tasks()
        .iter()
        .filter(|row| row.line == line && row.file.ends_with("blocking.rs"))
        .collect();
    assert_eq!(rows.len(), 1, "{snapshot}");
    rows[0].id
}

/// A task that was charged with its cell alone, which Tokio has freed.
fn only_the_cell(state: TaskState, polls: u64, cell: Meter) -> Columns {
    Columns {
        allocated_bytes: cell.allocated_bytes,
        allocation_count: cell.allocations,
        peak_bytes: cell.allocated_bytes,
        freed_bytes: cell.allocated_bytes,
        freed_elsewhere_bytes: cell.allocated_bytes,
        ..Columns::nothing(state, polls)
    }
}

/// Starts a blocking thread and waits until it has nothing to do, so that what Tokio starts it with
/// is over.
fn warm_up(runtime: &tokio::runtime::Runtime) {
    runtime.block_on(async { tokio::task::spawn_blocking(|| ()).await.expect("no panic") });
    std::thread::sleep(std::time::Duration::from_millis(20));
}

#[test]
fn a_closure_has_a_row_with_its_place_and_its_cell() {
    let _alone = alone();
    let runtime = workers(1);
    warm_up(&runtime);
    let _inside = runtime.enter();
    let (cell, work) = Meter::of(|| spawn_blocking_tracked_as(here, TaskType::CpuIntensive));
    let line = line!() - 1;
    let id = runtime.block_on(work).expect("no panic");
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| row(snapshot, id).live_bytes == 0);
    assert_eq!((cell.allocations, cell.frees), (1, 0));
    let row = row(&snapshot, id);
    assert_eq!(Columns::of(row), only_the_cell(TaskState::Completed, 1, cell));
    assert_eq!((row.line, row.task_type, row.parent), (line, TaskType::CpuIntensive, None));
    assert!(row.file.ends_with("blocking.rs"), "{}", row.file);
    assert!(row.name.contains("here"), "{}", row.name);
}

#[test]
fn what_the_closure_holds_is_its_own() {
    let _alone = alone();
    let runtime = workers(1);
    warm_up(&runtime);
    let (sender, holds) = mpsc::sync_channel(1);
    let stop = Arc::new(Barrier::new(2));
    let stopped = Arc::clone(&stop);
    let captured = vec![0u8; 7_000];
    let _inside = runtime.enter();
    let (cell, work) = Meter::of(move || {
        spawn_blocking_tracked(move || {
            drop(vec![0u8; 9_000]);
            let held = vec![0u8; 5_000];
            sender.send(here()).expect("received");
            stopped.wait();
            drop((captured, held));
            vec![0u8; 300]
        })
    });
    let id = holds.recv().expect("sent");
    let own = cell.allocated_bytes;
    let truth = Columns {
        live_bytes: own + 5_000,
        live_blocks: 2,
        peak_bytes: own + 9_000,
        allocated_bytes: own + 14_000,
        allocation_count: 3,
        freed_bytes: 9_000,
        ..Columns::nothing(TaskState::Running, 1)
    };
    let meanwhile = Columns::now(&ALLOCATOR, id);
    stop.wait();
    assert_eq!(meanwhile, truth, "the captured bytes are their maker's");
    let bytes = runtime.block_on(work).expect("no panic");
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| row(snapshot, id).live_bytes == 300);
    let truth = Columns {
        state: TaskState::Completed,
        live_bytes: 300,
        live_blocks: 1,
        allocated_bytes: own + 14_300,
        allocation_count: 4,
        freed_bytes: own + 14_000,
        freed_elsewhere_bytes: own,
        ..truth
    };
    assert_eq!(Columns::of(row(&snapshot, id)), truth);
    drop(bytes);
}

#[test]
fn a_large_closure_that_tokio_boxes_is_charged_with_its_box_too() {
    let _alone = alone();
    let runtime = workers(1);
    warm_up(&runtime);
    let _inside = runtime.enter();
    let large = [1u8; 40_000];
    let (cell, work) = Meter::of(|| {
        spawn_blocking_tracked(move || {
            std::hint::black_box(&large);
            here()
        })
    });
    assert!(cell.allocated_bytes > 40_000 && cell.allocations == 2, "{cell:?}");
    let id = runtime.block_on(work).expect("no panic");
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| row(snapshot, id).live_bytes == 0);
    assert_eq!(
        Columns { freed_elsewhere_bytes: 0, ..Columns::of(row(&snapshot, id)) },
        Columns { freed_elsewhere_bytes: 0, ..only_the_cell(TaskState::Completed, 1, cell) }
    );
    assert_eq!(row(&snapshot, id).future_size_bytes, 40_000);
}

#[test]
fn a_panic_ends_it_and_is_in_the_handle() {
    let _alone = alone();
    keep_wanted_panics_quiet();
    let panic = cost_of_a_panic(|| panic!("wanted: in a closure"));
    let runtime = workers(1);
    warm_up(&runtime);
    let _inside = runtime.enter();
    let (cell, work) =
        Meter::of(|| spawn_blocking_tracked(|| -> () { panic!("wanted: in a closure") }));
    let line = line!() - 1;
    assert!(runtime.block_on(work).expect_err("it panics").is_panic());
    let id = at(line);
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| row(snapshot, id).live_bytes == 0);
    let bytes = cell.allocated_bytes + panic.allocated_bytes;
    let truth = Columns {
        allocated_bytes: bytes,
        allocation_count: 1 + panic.allocations,
        peak_bytes: bytes,
        freed_bytes: bytes,
        freed_elsewhere_bytes: bytes,
        ..Columns::nothing(TaskState::Panicked, 1)
    };
    assert_eq!(Columns::of(row(&snapshot, id)), truth);
    let next = spawn_blocking_tracked(here);
    assert_ne!(runtime.block_on(next).expect("no panic"), id, "the thread runs the next one");
}

#[test]
fn what_never_runs_is_cancelled_by_abort_and_by_the_runtimes_end() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    let inside = runtime.enter();
    let (runs, stop) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (running, stopped) = (Arc::clone(&runs), Arc::clone(&stop));
    let first = spawn_blocking_tracked(move || {
        running.wait();
        stopped.wait();
        here()
    });
    runs.wait();
    // The only thread is taken.
    let captured = vec![0u8; 1_000];
    let aborted = spawn_blocking_tracked(move || captured.len());
    let aborted_id = at(line!() - 1);
    aborted.abort();
    stop.wait();
    let first_id = runtime.block_on(first).expect("no panic");
    assert!(runtime.block_on(aborted).expect_err("aborted").is_cancelled());
    let handle = runtime.handle().clone();
    drop(inside);
    drop(runtime);
    let late = {
        let _inside = handle.enter();
        spawn_blocking_tracked(|| drop(vec![0u8; 1_000]))
    };
    let late_id = at(line!() - 2);
    drop((late, handle));
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(row(&snapshot, first_id).state, TaskState::Completed);
    for id in [aborted_id, late_id] {
        let row = row(&snapshot, id);
        assert_eq!((row.state, row.poll_count, row.live_bytes), (TaskState::Cancelled, 0, 0));
        assert!(row.allocated_bytes < 1_000, "the cell: {row:?}");
    }
}

#[test]
fn its_parent_is_the_task_that_spawned_it() {
    let _alone = alone();
    let runtime = workers(1);
    let (outer, (inner, nested)) = runtime.block_on(track(async {
        let inside = spawn_blocking_tracked(|| {
            let nested = memscope_tests::block_on(track(async { here() }));
            (here(), nested)
        });
        (here(), inside.await.expect("no panic"))
    }));
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(row(&snapshot, inner).parent, Some(outer));
    assert_eq!(row(&snapshot, nested).parent, Some(inner));
}
