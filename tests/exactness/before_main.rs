//! What a program allocates before `main`, tracked or not, is charged like anything else.

use std::sync::Mutex;

use memscope_rs::async_memory::{MemorySnapshot, TaskId, TaskState, track};
use memscope_tests::{Columns, conserved, poll};

memscope_tests::install!();

/// What the program allocated before `main`: memory of its own, and what a tracked task left
/// behind.
static BEFORE_MAIN: Mutex<Option<LeftOver>> = Mutex::new(None);

type LeftOver = (Vec<u8>, Vec<u8>, Option<TaskId>);

extern "C" fn before_main() {
    let untracked = vec![1u8; 7_000];
    let mut task = Box::pin(track(async { vec![2u8; 6_000] }).named("before main"));
    let id = task.id();
    let std::task::Poll::Ready(tracked) = poll(&mut task) else { return };
    *BEFORE_MAIN.lock().expect("no panic") = Some((untracked, tracked, id));
}

// SAFETY: the section holds pointers to functions that the loader calls before `main`;
// `before_main` needs nothing that is set up later.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static CALL_BEFORE_MAIN: extern "C" fn() = before_main;

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "the section has another name there")]
fn allocations_before_main_are_charged_like_any_other() {
    let (untracked, tracked, id) = BEFORE_MAIN.lock().expect("no panic").take().expect("it ran");
    let find = |snapshot: &MemorySnapshot| {
        let row = snapshot.tasks().iter().find(|row| Some(row.id) == id).expect("its row");
        assert_eq!(row.name, "before main");
        Columns::of(row)
    };
    let truth = Columns {
        allocated_bytes: 6_000,
        allocation_count: 1,
        live_bytes: 6_000,
        live_blocks: 1,
        peak_bytes: 6_000,
        ..Columns::nothing(TaskState::Completed, 1)
    };
    assert_eq!(find(&conserved(&ALLOCATOR)), truth);
    drop((untracked, tracked));
    let truth = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 6_000,
        freed_elsewhere_bytes: 6_000,
        ..truth
    };
    assert_eq!(find(&conserved(&ALLOCATOR)), truth);
}
