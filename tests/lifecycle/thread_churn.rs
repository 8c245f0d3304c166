//! Ten thousand threads come and go, each with leftovers; allocations while threads start and while
//! they end.

use std::{
    cell::RefCell,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use memscope_rs::async_memory::{TaskState, track};
use memscope_tests::{Columns, Meter, alone, conserved, poll, record_bytes, row};

use crate::ALLOCATOR;

/// Holds memory until its thread's destructors run, and then allocates, frees and leaves some
/// behind.
struct Last {
    held: Vec<u8>,
    leftovers: mpsc::Sender<Vec<u8>>,
}

impl Drop for Last {
    fn drop(&mut self) {
        drop(std::hint::black_box(vec![0u8; 321]));
        self.held.reserve_exact(1_000);
        let _ = self.leftovers.send(vec![0u8; 55]);
    }
}

/// Without a destructor call at its first use, so that it is registered before anything else of its
/// thread.
struct Early(RefCell<Vec<Last>>);

thread_local! {
    static EARLY: Early = const { Early(RefCell::new(Vec::new())) };
    static LATE: RefCell<Option<Last>> = const { RefCell::new(None) };
}

impl Drop for Early {
    fn drop(&mut self) {
        drop(std::mem::take(self.0.get_mut()));
        std::hint::black_box(vec![0u8; 11]);
    }
}

fn thread_life(number: usize, leftovers: &mpsc::Sender<Vec<u8>>) {
    let last = |size| Last { held: vec![0u8; size], leftovers: leftovers.clone() };
    EARLY.with(|early| early.0.borrow_mut().push(last(100)));
    LATE.with(|late| late.replace(Some(last(200 + number % 50))));
    // A leftover that another thread frees, and one that stays.
    leftovers.send(vec![0u8; 1 + number % 300]).expect("the test receives");
    std::mem::forget(vec![0u8; 3]);
    let mut task = Box::pin(track(async move { vec![0u8; 1 + number % 100] }).named("of a thread"));
    let std::task::Poll::Ready(block) = poll(&mut task) else { panic!("ready") };
    leftovers.send(block).expect("the test receives");
}

#[test]
fn ten_thousand_threads_with_leftovers_leave_memscopes_memory_bounded_and_the_sums_whole() {
    const AT_ONCE: usize = 8;
    let _alone = alone();
    // The rows of ended tasks are there before it starts.
    (0..5_000).for_each(|_| drop(track(async {})));
    let mut own_bytes = Vec::new();
    let mut tasks = 0;
    let mut task_bytes = 0;
    let (send, receive) = mpsc::channel();
    for round in 0..1_250 {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|place| {
                let number = round * AT_ONCE + place;
                tasks += 1;
                task_bytes += 1 + number as u64 % 100;
                let send = send.clone();
                thread::spawn(move || thread_life(number, &send))
            })
            .collect();
        // Half of the leftovers are freed while threads end, half at the end of the test.
        if round % 2 == 0 {
            receive.try_iter().for_each(drop);
        }
        for thread in threads {
            thread.join().expect("no panic");
        }
        if round % 125 == 124 {
            own_bytes.push(record_bytes(&conserved(&ALLOCATOR)));
        }
    }
    let snapshot = conserved(&ALLOCATOR);
    let site = snapshot.sites().iter().find(|site| site.name == "of a thread").expect("a row");
    assert_eq!((site.spawned, site.completed, site.allocated_bytes), (tasks, tasks, task_bytes));
    assert!(site.live_bytes > 0, "leftovers of ended tasks on ended threads");
    drop(send);
    receive.iter().for_each(drop);
    let snapshot = conserved(&ALLOCATOR);
    let site = snapshot.sites().iter().find(|site| site.name == "of a thread").expect("a row");
    assert_eq!((site.live_bytes, site.retained_bytes, site.live_blocks), (0, 0, 0));
    own_bytes.push(record_bytes(&snapshot));
    // Accounts of tasks with leftovers are needed as long as those live; beyond them nothing grows
    // with the threads.
    let (first, last) = (own_bytes[0], own_bytes[own_bytes.len() - 1]);
    // A ring of events for each thread at one time.
    let rings = AT_ONCE as u64 * (66 << 10);
    assert!(last <= first + (64 << 10) + rings, "{own_bytes:?}");
}

#[test]
fn threads_without_tasks_leave_nothing_of_memscopes_behind() {
    let _alone = alone();
    let round = || {
        for _ in 0..500 {
            thread::spawn(|| std::mem::forget(vec![0u8; 3])).join().expect("no panic");
        }
        record_bytes(&conserved(&ALLOCATOR))
    };
    let first = round();
    assert_eq!([round(), round()], [first, first]);
}

/// Allocates while its thread's destructors run, after memscope has let the thread go.
struct AfterTheEnd;

static AT_THE_END: AtomicU64 = AtomicU64::new(0);

impl Drop for AfterTheEnd {
    fn drop(&mut self) {
        let (meter, ()) = Meter::of(|| std::mem::forget(vec![0u8; 1_111]));
        AT_THE_END.fetch_add(meter.allocated_bytes, Ordering::SeqCst);
    }
}

thread_local! {
    static AFTER_THE_END: AfterTheEnd = const { AfterTheEnd };
}

#[test]
fn what_destructors_leave_behind_is_untracked_and_counted() {
    let _alone = alone();
    let before = conserved(&ALLOCATOR).process();
    for _ in 0..50 {
        thread::spawn(|| AFTER_THE_END.with(|_| ())).join().expect("no panic");
    }
    let after = conserved(&ALLOCATOR).process();
    assert_eq!(AT_THE_END.load(Ordering::SeqCst), 50 * 1_111);
    assert_eq!(after.tracked_bytes, before.tracked_bytes);
    // libtest's main thread may free a little meanwhile.
    assert!(
        after.untracked_bytes + 5_000 >= before.untracked_bytes + 50 * 1_111,
        "{before:?} {after:?}"
    );
}

#[test]
fn a_task_handed_from_thread_to_ending_thread_stays_one_task() {
    let _alone = alone();
    let mut task = Box::pin(
        track(async {
            for _ in 0..100 {
                std::mem::forget(vec![0u8; 9]);
                memscope_tests::wait_once().await;
            }
        })
        .named("handed on"),
    );
    let id = task.id().expect("an id");
    for _ in 0..100 {
        task = thread::spawn(move || {
            assert!(poll(&mut task).is_pending());
            task
        })
        .join()
        .expect("no panic");
    }
    let truth = Columns {
        allocated_bytes: 900,
        allocation_count: 100,
        live_bytes: 900,
        live_blocks: 100,
        peak_bytes: 900,
        ..Columns::nothing(TaskState::Idle, 100)
    };
    assert_eq!(Columns::of(row(&conserved(&ALLOCATOR), id)), truth);
}
