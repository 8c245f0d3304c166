//! A snapshot makes its rows of tasks when they are asked for. They describe the moment at which
//! the snapshot was taken.

use std::{
    hint::black_box,
    io::{self, Write},
    pin::Pin,
    sync::mpsc,
    thread,
    time::Duration,
};

use memscope_rs::async_memory::{
    MemorySnapshot, TaskId, TaskMemoryProfile, TaskState, Tracked, get_memory_snapshot, track,
};
use memscope_tests::{alone, conserved, poll, row, wait_once};

use crate::ALLOCATOR;

const TASKS: usize = 3_000;

/// Holds 100 bytes from its first poll on, 700 from its second, and ends at its third.
async fn grows() {
    let mut held = vec![0u8; 100];
    wait_once().await;
    held = black_box(vec![held[0]; 700]);
    wait_once().await;
    drop(held);
}

fn many() -> Vec<Pin<Box<Tracked<impl Future<Output = ()>>>>> {
    let mut tasks: Vec<_> = (0..TASKS).map(|_| Box::pin(track(grows()).named("grows"))).collect();
    for task in &mut tasks {
        assert!(poll(task).is_pending());
    }
    tasks
}

/// Those of `many` that have not ended.
fn grown(snapshot: &MemorySnapshot) -> Vec<&TaskMemoryProfile> {
    let tasks = snapshot.tasks().iter();
    tasks.filter(|task| task.name == "grows" && !task.state.is_ended()).collect()
}

#[test]
fn rows_say_what_was_when_the_snapshot_was_taken_however_late_they_are_asked_for() {
    let _alone = alone();
    let mut tasks = many();
    let id: TaskId = tasks[17].id().expect("an id");
    let [early, asked_at_once] = [(); 2].map(|()| conserved(&ALLOCATOR));
    assert_eq!(row(&asked_at_once, id).live_bytes, 100);
    for task in &mut tasks {
        assert!(poll(task).is_pending());
    }
    let between = conserved(&ALLOCATOR);
    for task in &mut tasks {
        assert!(poll(task).is_ready());
    }
    drop(tasks);
    // Other tasks have their records and sites by now.
    let others = many();
    let timeless =
        |snapshot| TaskMemoryProfile { idle_ns: None, wait_ns: None, ..row(snapshot, id).clone() };
    assert_eq!(timeless(&early), timeless(&asked_at_once));
    for (snapshot, live_bytes, peak_bytes, polls) in
        [(&early, 100, 100, 1), (&between, 700, 800, 2)]
    {
        let rows = grown(snapshot);
        assert_eq!(rows.len(), TASKS);
        assert!(rows.is_sorted_by_key(|task| task.id));
        for task in rows {
            assert_eq!(
                (task.live_bytes, task.peak_bytes, task.poll_count),
                (live_bytes, peak_bytes, polls)
            );
            assert_eq!(task.state, TaskState::Idle);
        }
    }
    assert_eq!(row(&conserved(&ALLOCATOR), id).state, TaskState::Completed);
    drop(others);
}

#[test]
fn copies_comparisons_and_json_have_rows_that_were_not_asked_for_before() {
    let _alone = alone();
    let tasks = many();
    let snapshot = get_memory_snapshot();
    let json = serde_json::to_string(&snapshot).expect("plain data");
    drop(tasks);
    let snapshots = [get_memory_snapshot(), get_memory_snapshot()];
    let copy = snapshots[0].clone();
    assert_eq!(copy, snapshots[0]);
    assert_ne!(snapshots[0], snapshot);
    let read: MemorySnapshot = serde_json::from_str(&json).expect("what was written");
    assert_eq!(read, snapshot);
    assert_eq!(grown(&read).len(), TASKS);
    assert!(format!("{snapshot:?}").contains("\"grows\""));
    conserved(&ALLOCATOR);
}

#[test]
fn threads_that_ask_at_one_time_see_the_same_rows() {
    let _alone = alone();
    let tasks = many();
    for _ in 0..20 {
        let snapshot = get_memory_snapshot();
        let first: Vec<usize> = thread::scope(|scope| {
            let asks = [(); 4].map(|()| scope.spawn(|| snapshot.tasks().as_ptr().addr()));
            asks.into_iter().map(|asked| asked.join().expect("no panic")).collect()
        });
        assert!(first.iter().all(|rows| *rows == first[0]));
        assert_eq!(grown(&snapshot).len(), TASKS);
    }
    conserved(&ALLOCATOR);
    drop(tasks);
}

/// A writer that asks for the rows of the snapshot which is being written to it, when the first of
/// them is written.
struct Looks<'s> {
    snapshot: &'s MemorySnapshot,
    /// The key of the rows has been written.
    is_near: bool,
    seen: Option<usize>,
}

impl Write for Looks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_near |= bytes == b"tasks";
        if self.is_near && bytes == b"{" {
            self.seen.get_or_insert_with(|| self.snapshot.tasks().len());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_may_ask_for_the_rows_of_the_snapshot_that_is_written_to_it() {
    let _alone = alone();
    let tasks = many();
    let snapshot = get_memory_snapshot();
    let (done, is_done) = mpsc::channel();
    // Where it waits for ever, the test fails instead.
    let writes = thread::spawn(move || {
        let mut writer = Looks { snapshot: &snapshot, is_near: false, seen: None };
        serde_json::to_writer(&mut writer, &snapshot).expect("plain data");
        done.send(writer.seen).expect("the test waits");
    });
    let seen = is_done.recv_timeout(Duration::from_mins(1)).expect("it does not wait for ever");
    assert!(seen.is_some_and(|rows| rows >= TASKS), "{seen:?}");
    // The thread holds the snapshot, which the next test would count.
    writes.join().expect("no panic");
    drop(tasks);
}
