//! The accuracy table: tasks on four workers hold, hand over, leak and leave behind known bytes,
//! and the report has to say the same.
//!
//! `cargo test -p memscope-tests --test exactness accuracy:: -- --nocapture` prints the table of
//! `docs/ACCURACY.md`.

use std::{
    future::Future,
    hint::black_box,
    sync::Mutex,
    task::{Context, Poll, Waker},
};

use memscope_rs::async_memory::{MemorySnapshot, TaskId, TaskState, Tracked, spawn_tracked, track};
use memscope_tests::{
    Columns, Meter, annotated, conserved, conserved_when, cost_of_a_panic,
    keep_wanted_panics_quiet, row, wait_once, workers,
};
use tokio::{
    runtime::Runtime,
    sync::oneshot::{Receiver, channel},
};

use crate::ALLOCATOR;

/// One line of the table.
struct Case {
    task: &'static str,
    checks: &'static str,
    truth: Columns,
    reported: Columns,
}

type Bytes = Vec<u8>;

static LEAKED: Mutex<Option<Bytes>> = Mutex::new(None);

/// Spawned as it is: its Tokio cell is the spawner's, so that a line shows nothing but what the
/// task did.
fn spawn<F>(runtime: &Runtime, task: Tracked<F>) -> (TaskId, tokio::task::JoinHandle<F::Output>)
where
    F: Future<Output: Send> + Send + 'static,
{
    (task.id().expect("an id"), runtime.spawn(task))
}

/// The snapshot in which the task waits, after this many polls.
fn waiting(id: TaskId, polls: u64) -> MemorySnapshot {
    conserved_when(&ALLOCATOR, |snapshot| {
        let row = row(snapshot, id);
        row.state == TaskState::Idle && row.poll_count == polls
    })
}

fn ended(id: TaskId) -> Columns {
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| row(snapshot, id).state.is_ended());
    Columns::of(row(&snapshot, id))
}

/// Without an allocation, waits until the other end has sent.
async fn receive<T>(receiver: Receiver<T>) -> T {
    receiver.await.expect("sent")
}

fn holds(runtime: &Runtime) -> Vec<Case> {
    let (end, ended) = channel();
    let (id, task) = spawn(
        runtime,
        track(async move {
            let held = vec![0u8; 1 << 20];
            drop(vec![0u8; 1 << 19]);
            receive::<()>(ended).await;
            drop(held);
        }),
    );
    let reported = Columns::of(row(&waiting(id, 1), id));
    end.send(()).expect("it waits");
    runtime.block_on(task).expect("no panic");
    vec![Case {
        task: "holds 1 MiB while it waits, has held 1.5",
        checks: "live, peak",
        truth: Columns {
            live_bytes: 1 << 20,
            live_blocks: 1,
            peak_bytes: (1 << 20) + (1 << 19),
            allocated_bytes: (1 << 20) + (1 << 19),
            allocation_count: 2,
            freed_bytes: 1 << 19,
            ..Columns::nothing(TaskState::Idle, 1)
        },
        reported,
    }]
}

/// Two tasks swap data and each frees the other's; one of them allocates again afterwards.
fn swap(runtime: &Runtime) -> Vec<Case> {
    let (to_b, from_a) = channel::<Bytes>();
    let (to_a, from_b) = channel::<Bytes>();
    let (a, task_a) = spawn(
        runtime,
        track(async move {
            let sent = vec![1u8; 65_536];
            to_b.send(sent).expect("b waits");
            drop(receive(from_b).await);
            drop(vec![2u8; 49_152]);
        }),
    );
    waiting(a, 1);
    let (b, task_b) = spawn(
        runtime,
        track(async move {
            drop(receive(from_a).await);
            to_a.send(vec![3u8; 10_000]).expect("a waits");
        }),
    );
    runtime.block_on(async { (task_a.await.expect("no panic"), task_b.await.expect("no panic")) });
    vec![
        Case {
            task: "hands 64 KiB over, another task frees them, then allocates 48 KiB more",
            checks: "live, peak, elsewhere",
            truth: Columns {
                peak_bytes: 65_536,
                allocated_bytes: 65_536 + 49_152,
                allocation_count: 2,
                freed_bytes: 65_536 + 49_152,
                freed_elsewhere_bytes: 65_536,
                ..Columns::nothing(TaskState::Completed, 2)
            },
            reported: ended(a),
        },
        Case {
            task: "frees those 64 KiB; its own 10,000 are freed by the first",
            checks: "freed, elsewhere",
            truth: Columns {
                peak_bytes: 10_000,
                allocated_bytes: 10_000,
                allocation_count: 1,
                freed_bytes: 10_000,
                freed_elsewhere_bytes: 10_000,
                ..Columns::nothing(TaskState::Completed, 1)
            },
            reported: ended(b),
        },
    ]
}

/// A task's block is grown by another one.
fn grow(runtime: &Runtime) -> Vec<Case> {
    let (to_b, from_a) = channel::<Bytes>();
    let (end, to_end) = channel::<()>();
    let (a, task_a) = spawn(
        runtime,
        track(async move {
            let mut sent = Vec::with_capacity(10_000);
            sent.extend([1u8; 10_000]);
            to_b.send(sent).expect("b waits");
        }),
    );
    runtime.block_on(task_a).expect("no panic");
    let (b, task_b) = spawn(
        runtime,
        track(async move {
            let mut grown = receive(from_a).await;
            grown.reserve_exact(20_000);
            receive(to_end).await;
            grown
        }),
    );
    let snapshot = waiting(b, 1);
    let reported = [a, b].map(|id| Columns::of(row(&snapshot, id)));
    end.send(()).expect("b waits");
    drop(runtime.block_on(task_b).expect("no panic"));
    vec![
        Case {
            task: "its 10,000 bytes are reallocated by another task after its end",
            checks: "live, freed, elsewhere",
            truth: Columns {
                peak_bytes: 10_000,
                allocated_bytes: 10_000,
                allocation_count: 1,
                freed_bytes: 10_000,
                freed_elsewhere_bytes: 10_000,
                ..Columns::nothing(TaskState::Completed, 1)
            },
            reported: reported[0],
        },
        Case {
            task: "reallocates those to 30,000",
            checks: "live, allocated",
            truth: Columns {
                live_bytes: 30_000,
                live_blocks: 1,
                peak_bytes: 30_000,
                allocated_bytes: 30_000,
                allocation_count: 1,
                ..Columns::nothing(TaskState::Idle, 1)
            },
            reported: reported[1],
        },
    ]
}

fn leaks(runtime: &Runtime) -> Vec<Case> {
    // What an earlier round leaked stays leaked.
    std::mem::forget(LEAKED.lock().expect("no panic").take());
    let (id, task) = spawn(
        runtime,
        track(async {
            drop(vec![0u8; 1_000]);
            *LEAKED.lock().expect("no panic") = Some(vec![0u8; 4_096]);
        }),
    );
    runtime.block_on(task).expect("no panic");
    vec![Case {
        task: "leaves 4,096 bytes in a static",
        checks: "live (retained)",
        truth: Columns {
            live_bytes: 4_096,
            live_blocks: 1,
            peak_bytes: 4_096,
            allocated_bytes: 5_096,
            allocation_count: 2,
            freed_bytes: 1_000,
            ..Columns::nothing(TaskState::Completed, 1)
        },
        reported: ended(id),
    }]
}

fn panics(runtime: &Runtime) -> Vec<Case> {
    let panic = cost_of_a_panic(|| assert!(black_box(false), "wanted: with 8 KiB"));
    let (id, task) = spawn(
        runtime,
        track(async {
            let held = vec![0u8; 8_192];
            wait_once().await;
            assert!(held.is_empty(), "wanted: with 8 KiB");
        }),
    );
    // The payload is dropped with the error.
    drop(runtime.block_on(task).expect_err("a panic"));
    vec![Case {
        task: "panics while it holds 8 KiB (the panic's own memory is freed by the code that catches it)",
        checks: "state, freed, elsewhere",
        truth: Columns {
            peak_bytes: 8_192 + panic.allocated_bytes,
            allocated_bytes: 8_192 + panic.allocated_bytes,
            allocation_count: 1 + panic.allocations,
            freed_bytes: 8_192 + panic.allocated_bytes,
            freed_elsewhere_bytes: panic.allocated_bytes,
            ..Columns::nothing(TaskState::Panicked, 2)
        },
        reported: ended(id),
    }]
}

fn aborted(runtime: &Runtime) -> Vec<Case> {
    let (id, task) = spawn(
        runtime,
        track(async {
            let held = vec![0u8; 32_768];
            std::future::pending::<()>().await;
            drop(held);
        }),
    );
    waiting(id, 1);
    task.abort();
    assert!(runtime.block_on(task).expect_err("aborted").is_cancelled());
    vec![Case {
        task: "is aborted while it holds 32 KiB",
        checks: "state, freed as the owner",
        truth: Columns {
            peak_bytes: 32_768,
            allocated_bytes: 32_768,
            allocation_count: 1,
            freed_bytes: 32_768,
            ..Columns::nothing(TaskState::Cancelled, 1)
        },
        reported: ended(id),
    }]
}

fn nested(runtime: &Runtime) -> Vec<Case> {
    let (outer, task) = spawn(
        runtime,
        track(async {
            let held = vec![0u8; 1_000];
            let inner = track(async {
                let held = vec![0u8; 2_000];
                wait_once().await;
                drop(vec![0u8; 300]);
                drop(held);
            });
            let id = inner.id().expect("an id");
            inner.await;
            drop(held);
            id
        }),
    );
    let inner = runtime.block_on(task).expect("no panic");
    assert_eq!(row(&conserved(&ALLOCATOR), inner).parent, Some(outer));
    vec![
        Case {
            task: "allocates 1,000 around a nested task",
            checks: "exclusive of the nested one's",
            truth: Columns {
                peak_bytes: 1_000,
                allocated_bytes: 1_000,
                allocation_count: 1,
                freed_bytes: 1_000,
                ..Columns::nothing(TaskState::Completed, 2)
            },
            reported: ended(outer),
        },
        Case {
            task: "the nested one allocates 2,300",
            checks: "its own row, its parent",
            truth: Columns {
                peak_bytes: 2_300,
                allocated_bytes: 2_300,
                allocation_count: 2,
                freed_bytes: 2_300,
                ..Columns::nothing(TaskState::Completed, 2)
            },
            reported: ended(inner),
        },
    ]
}

fn returns(runtime: &Runtime) -> Vec<Case> {
    let (id, task) = spawn(runtime, track(async { vec![0u8; 5_000] }));
    let kept = runtime.block_on(task).expect("no panic");
    let retained = ended(id);
    assert_eq!((retained.live_bytes, retained.freed_bytes), (5_000, 0));
    drop(kept);
    vec![Case {
        task: "returns 5,000 bytes, which its caller frees later",
        checks: "elsewhere, live falls to 0",
        truth: Columns {
            peak_bytes: 5_000,
            allocated_bytes: 5_000,
            allocation_count: 1,
            freed_bytes: 5_000,
            freed_elsewhere_bytes: 5_000,
            ..Columns::nothing(TaskState::Completed, 1)
        },
        reported: ended(id),
    }]
}

fn blocking(runtime: &Runtime) -> Vec<Case> {
    let (send, receiver) = channel::<Bytes>();
    let thread = runtime.spawn_blocking(move || {
        let theirs = vec![0u8; 100_000];
        drop(receiver.blocking_recv().expect("sent"));
        drop(theirs);
    });
    let (id, task) = spawn(
        runtime,
        track(async move {
            let kept = vec![0u8; 700];
            send.send(vec![0u8; 20_000]).expect("the thread waits");
            drop(kept);
        }),
    );
    runtime.block_on(async {
        task.await.expect("no panic");
        thread.await.expect("no panic");
    });
    vec![Case {
        task: "hands 20,000 bytes to a blocking thread",
        checks: "elsewhere",
        truth: Columns {
            peak_bytes: 20_700,
            allocated_bytes: 20_700,
            allocation_count: 2,
            freed_bytes: 20_700,
            freed_elsewhere_bytes: 20_000,
            ..Columns::nothing(TaskState::Completed, 1)
        },
        reported: ended(id),
    }]
}

fn cell(runtime: &Runtime) -> Vec<Case> {
    let entered = runtime.enter();
    let (meter, task) =
        Meter::of(|| spawn_tracked(async { memscope_rs::async_memory::current_task_id() }));
    drop(entered);
    let id = runtime.block_on(task).expect("no panic").expect("tracked");
    // The worker lets its share of the cell go a moment later.
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| row(snapshot, id).live_bytes == 0);
    vec![Case {
        task: "does nothing, spawned by `spawn_tracked`: Tokio's cell is its own",
        checks: "allocated",
        truth: Columns {
            peak_bytes: meter.allocated_bytes,
            allocated_bytes: meter.allocated_bytes,
            allocation_count: 1,
            freed_bytes: meter.allocated_bytes,
            freed_elsewhere_bytes: meter.allocated_bytes,
            ..Columns::nothing(TaskState::Completed, 1)
        },
        reported: Columns::of(row(&snapshot, id)),
    }]
}

/// Ends the runtime while a task waits in it, whose data outlives both.
fn shutdown(runtime: Runtime) -> Vec<Case> {
    let (send, mut receiver) = channel::<Bytes>();
    let (id, task) = spawn(
        &runtime,
        track(async move {
            let held = vec![0u8; 16_384];
            send.send(vec![0u8; 3_000]).expect("the test waits");
            std::future::pending::<()>().await;
            drop(held);
        }),
    );
    waiting(id, 1);
    drop(runtime);
    assert!(task.is_finished());
    let kept = receiver.try_recv().expect("sent");
    let reported = ended(id);
    drop(kept);
    assert_eq!(ended(id).live_bytes, 0);
    vec![Case {
        task: "is cancelled by the runtime's end with 16 KiB; 3,000 bytes outlive both",
        checks: "state, live (retained)",
        truth: Columns {
            live_bytes: 3_000,
            live_blocks: 1,
            peak_bytes: 19_384,
            allocated_bytes: 19_384,
            allocation_count: 2,
            freed_bytes: 16_384,
            ..Columns::nothing(TaskState::Cancelled, 1)
        },
        reported,
    }]
}

/// Tracked and untracked tasks that allocate and free all the time on the same workers.
fn noise(runtime: &Runtime) {
    async fn busy() {
        for size in 1.. {
            let held = black_box(vec![0u8; 1 + size % 5_000]);
            wait_once().await;
            drop(held);
            if size % 64 == 0 {
                tokio::time::sleep(std::time::Duration::from_micros(200)).await;
            }
        }
    }
    for number in 0..6 {
        if number % 2 == 0 {
            runtime.spawn(busy());
        } else {
            runtime.spawn(track(busy()).named("noise"));
        }
    }
}

const ROUNDS: u64 = 10;

fn round() -> Vec<Case> {
    let runtime = workers(4);
    noise(&runtime);
    let cases = [holds, swap, grow, leaks, panics, aborted, nested, returns, blocking, cell];
    let mut table: Vec<Case> = cases.iter().flat_map(|case| case(&runtime)).collect();
    table.extend(shutdown(runtime));
    table
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn cells(columns: &Columns) -> String {
    let sizes = [
        columns.live_bytes,
        columns.peak_bytes,
        columns.allocated_bytes,
        columns.freed_bytes,
        columns.freed_elsewhere_bytes,
    ];
    format!("{} / {}", sizes.map(thousands).join(" / "), columns.state)
}

#[expect(clippy::print_stdout, reason = "the table is for docs/ACCURACY.md")]
fn print(table: &[Case]) {
    println!("Bytes, as live / peak / allocated / freed / of these freed elsewhere / state:\n");
    println!("| a task that … | checks | true | memscope reports |");
    println!("|---|---|---|---|");
    for Case { task, checks, truth, reported } in table {
        println!("| {task} | {checks} | {} | {} |", cells(truth), cells(reported));
    }
}

#[test]
fn reported_is_true_to_the_byte_in_every_column() {
    keep_wanted_panics_quiet();
    for number in 0..ROUNDS {
        let table = round();
        if number == 0 {
            print(&table);
        }
        for Case { task, truth, reported, .. } in table {
            assert_eq!(reported, truth, "round {number}: {task} (left: reported, right: true)");
        }
    }
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(snapshot.active_task_count(), 0, "{snapshot}");
    // All but what was leaked is free again.
    let live: u64 = annotated(&snapshot).iter().map(|task| task.live_bytes).sum();
    assert_eq!(live, ROUNDS * 4_096);
}

#[test]
fn the_tests_own_receive_allocates_nothing() {
    let (send, receiver) = channel::<Bytes>();
    let (meter, ()) = Meter::of(|| {
        let mut future = std::pin::pin!(receive(receiver));
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        send.send(Vec::new()).expect("it waits");
        assert!(matches!(future.as_mut().poll(&mut context), Poll::Ready(_)));
    });
    assert_eq!((meter.allocations, meter.allocated_bytes), (0, 0));
}
