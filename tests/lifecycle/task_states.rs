//! A task can end in several ways. Its row says which, and what it held.

use std::{
    cell::RefCell,
    future::{Future, ready},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use memscope_rs::async_memory::{
    TaskError, TaskId, TaskState, TaskType, Tracked, create_tracked, current_task_id, track,
};
use memscope_tests::{Columns, Meter, conserved, cost_of_a_panic, panics, poll, row, wait_once};

use crate::ALLOCATOR;

fn id_of<F>(task: &Tracked<F>) -> TaskId {
    task.id().expect("an id")
}

/// The columns after everything live was freed, `elsewhere` of it not by the task.
fn after_freeing(columns: Columns, elsewhere: u64) -> Columns {
    Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: columns.allocated_bytes,
        freed_elsewhere_bytes: elsewhere,
        ..columns
    }
}

/// Allocates at each poll, keeps it all until it is dropped, allocates and frees once more then.
struct Hoard {
    polls: usize,
    held: Vec<Vec<u8>>,
}

impl Hoard {
    fn new(polls: usize) -> Self {
        Self { polls, held: Vec::with_capacity(polls) }
    }
}

impl Future for Hoard {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.held.push(vec![0u8; 1000]);
        if self.held.len() < self.polls { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Hoard {
    fn drop(&mut self) {
        drop(vec![0u8; 77]);
    }
}

#[test]
fn idle_outside_its_polls_and_running_inside() {
    let mut task = pin!(track(async {
        wait_once().await;
        current_task_id().map(|id| row(&conserved(&ALLOCATOR), id).state)
    }));
    let id = id_of(&task);
    assert_eq!(Columns::now(&ALLOCATOR, id), Columns::nothing(TaskState::Idle, 0));
    assert!(poll(&mut task).is_pending());
    assert_eq!(Columns::now(&ALLOCATOR, id), Columns::nothing(TaskState::Idle, 1));
    assert_eq!(poll(&mut task), Poll::Ready(Some(TaskState::Running)));
    assert_eq!(Columns::now(&ALLOCATOR, id).state, TaskState::Completed);
}

#[test]
fn never_polled_is_cancelled_and_what_it_captured_stays_its_makers() {
    let captured = vec![0u8; 5000];
    let task = track(async move { captured.len() });
    let id = id_of(&task);
    drop(task);
    assert_eq!(Columns::now(&ALLOCATOR, id), Columns::nothing(TaskState::Cancelled, 0));
}

#[test]
fn dropped_half_way_is_cancelled_and_its_drop_frees_as_the_owner() {
    let mut task = Box::pin(track(async {
        let held = vec![0u8; 1234];
        wait_once().await;
        held.len()
    }));
    let id = id_of(&task);
    assert!(poll(&mut task).is_pending());
    assert_eq!(Columns::now(&ALLOCATOR, id), Columns::one_block(TaskState::Idle, 1, 1234));
    drop(task);
    assert_eq!(
        Columns::now(&ALLOCATOR, id),
        after_freeing(Columns::one_block(TaskState::Cancelled, 1, 1234), 0)
    );
}

#[test]
fn a_destructor_allocates_and_frees_for_the_task() {
    let mut task = Box::pin(track(Hoard::new(3)));
    let id = id_of(&task);
    assert!(poll(&mut task).is_pending());
    assert!(poll(&mut task).is_pending());
    drop(task);
    let truth = Columns {
        allocated_bytes: 2077,
        allocation_count: 3,
        peak_bytes: 2077,
        freed_bytes: 2077,
        ..Columns::nothing(TaskState::Cancelled, 2)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), truth);
}

#[test]
fn a_value_dropped_in_a_poll_is_freed_by_the_task_that_polls() {
    let theirs = vec![0u8; 400];
    let mut task = pin!(track(async move {
        let mine = vec![0u8; 600];
        drop(mine);
        drop(theirs);
    }));
    let id = id_of(&task);
    assert!(poll(&mut task).is_ready());
    let truth = after_freeing(Columns::one_block(TaskState::Completed, 1, 600), 0);
    assert_eq!(
        Columns::now(&ALLOCATOR, id),
        truth,
        "what the thread allocated was never the task's"
    );
}

#[test]
fn a_completed_future_holds_until_it_is_dropped() {
    let mut task = Box::pin(track(Hoard::new(1)));
    let id = id_of(&task);
    assert!(poll(&mut task).is_ready());
    assert_eq!(Columns::now(&ALLOCATOR, id), Columns::one_block(TaskState::Completed, 1, 1000));
    let site_retained = |id| {
        let snapshot = conserved(&ALLOCATOR);
        let line = row(&snapshot, id).line;
        let site =
            snapshot.sites().iter().find(|site| site.line == line).expect("its site").clone();
        (site.spawned, site.completed, site.active, site.live_bytes, site.retained_bytes)
    };
    assert_eq!(site_retained(id), (1, 1, 0, 1000, 1000));
    drop(task);
    let truth = Columns {
        allocated_bytes: 1077,
        allocation_count: 2,
        peak_bytes: 1077,
        freed_bytes: 1077,
        ..Columns::nothing(TaskState::Completed, 1)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), truth);
    assert_eq!(site_retained(id), (1, 1, 0, 0, 0));
}

#[test]
fn polled_after_completion_panics_as_the_inner_future_and_stays_completed() {
    let inner = panics(|| {
        let mut plain = pin!(async {});
        assert!(poll(&mut plain).is_ready());
        let _ = poll(&mut plain);
    });
    let mut task = Box::pin(track(async {}));
    let id = id_of(&task);
    assert!(poll(&mut task).is_ready());
    let again = panics(|| poll(&mut task));
    assert_eq!(again, inner);
    assert_eq!(current_task_id(), None);
    let now = Columns::now(&ALLOCATOR, id);
    assert_eq!((now.state, now.poll_count), (TaskState::Completed, 2));
    drop(task);
    assert_eq!(Columns::now(&ALLOCATOR, id).state, TaskState::Completed);
}

#[test]
fn polled_after_completion_answers_as_an_inner_future_that_allows_it() {
    let mut task = Box::pin(track(std::future::poll_fn(|_| {
        drop(vec![0u8; 10]);
        Poll::Ready(5)
    })));
    let id = id_of(&task);
    for polls in 1..=3 {
        assert_eq!(poll(&mut task), Poll::Ready(5));
        let truth = Columns {
            allocated_bytes: 10 * polls,
            allocation_count: polls,
            peak_bytes: 10,
            freed_bytes: 10 * polls,
            ..Columns::nothing(TaskState::Completed, polls)
        };
        assert_eq!(Columns::now(&ALLOCATOR, id), truth);
    }
    let snapshot = conserved(&ALLOCATOR);
    let line = row(&snapshot, id).line;
    let site = snapshot.sites().iter().find(|site| site.line == line).expect("its site");
    assert_eq!((site.spawned, site.completed, site.active), (1, 1, 0), "it ended once");
}

#[test]
fn a_panic_in_a_poll_ends_the_task_and_the_thread_goes_on_untracked() {
    let panic = cost_of_a_panic(|| panic!("wanted: in a poll"));
    let mut task = Box::pin(track(async {
        let _held = vec![0u8; 2000];
        wait_once().await;
        panic!("wanted: in a poll");
    }));
    let id = id_of(&task);
    assert!(poll(&mut task).is_pending());
    assert_eq!(panics(|| poll(&mut task)), "wanted: in a poll");
    assert_eq!(current_task_id(), None, "the slot is restored");
    let held = vec![0u8; 10_000];
    // The code that catches the panic frees its memory.
    let truth = Columns {
        allocated_bytes: 2000 + panic.allocated_bytes,
        allocation_count: 1 + panic.allocations,
        peak_bytes: 2000 + panic.allocated_bytes,
        freed_bytes: 2000 + panic.allocated_bytes,
        freed_elsewhere_bytes: panic.allocated_bytes,
        ..Columns::nothing(TaskState::Panicked, 2)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), truth);
    drop(held);
    drop(task);
    assert_eq!(Columns::now(&ALLOCATOR, id), truth);
    let mut next = pin!(track(async { vec![0u8; 10].len() }));
    assert!(poll(&mut next).is_ready(), "the thread polls the next one");
    assert_eq!(Columns::now(&ALLOCATOR, id_of(&next)).allocated_bytes, 10);
}

/// Panics when dropped, holding memory.
struct PanicsInDrop(#[expect(dead_code, reason = "held")] Vec<u8>);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("wanted: in a drop");
    }
}

#[test]
fn a_panic_in_the_drop_of_the_future_closes_the_task_all_the_same() {
    let panic = cost_of_a_panic(|| panic!("wanted: in a drop"));
    let mut task = Box::pin(track(async {
        let _held = PanicsInDrop(vec![0u8; 3000]);
        wait_once().await;
    }));
    let id = id_of(&task);
    assert!(poll(&mut task).is_pending());
    assert_eq!(panics(|| drop(task)), "wanted: in a drop");
    assert_eq!(current_task_id(), None);
    let truth = Columns {
        allocated_bytes: 3000 + panic.allocated_bytes,
        allocation_count: 1 + panic.allocations,
        peak_bytes: 3000 + panic.allocated_bytes,
        freed_bytes: 3000 + panic.allocated_bytes,
        freed_elsewhere_bytes: panic.allocated_bytes,
        ..Columns::nothing(TaskState::Cancelled, 1)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), truth);
}

#[test]
fn create_tracked_turns_a_panic_into_an_error_with_its_message() {
    memscope_tests::keep_wanted_panics_quiet();
    let mut formatted = Box::pin(create_tracked(
        async {
            let number = std::hint::black_box(7);
            panic!("wanted: number {number}")
        },
        TaskType::CpuIntensive,
    ));
    let id = formatted.id().expect("an id");
    let error: Poll<Result<(), _>> = poll(&mut formatted);
    assert_eq!(error, Poll::Ready(Err(TaskError::Panicked("wanted: number 7".into()))));
    let mut literal =
        pin!(create_tracked(async { panic!("wanted: literal") }, TaskType::IoIntensive));
    let error: Poll<Result<(), _>> = poll(&mut literal);
    assert_eq!(error, Poll::Ready(Err(TaskError::Panicked("wanted: literal".into()))));
    let mut other =
        pin!(create_tracked(async { std::panic::resume_unwind(Box::new(5)) }, TaskType::Mixed));
    let error: Poll<Result<(), _>> = poll(&mut other);
    assert!(
        matches!(&error, Poll::Ready(Err(TaskError::Panicked(message))) if !message.is_empty()),
        "{error:?}"
    );
    let mut fine = pin!(create_tracked(async { vec![0u8; 50].len() }, TaskType::Mixed));
    assert_eq!(poll(&mut fine), Poll::Ready(Ok(50)));
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(
        (row(&snapshot, id).state, row(&snapshot, id).task_type),
        (TaskState::Panicked, TaskType::CpuIntensive)
    );
    assert_eq!(Columns::of(row(&snapshot, fine.id().expect("an id"))).allocated_bytes, 50);
    assert_eq!(current_task_id(), None);
}

#[test]
fn create_tracked_charges_the_error_to_the_polling_task() {
    let mut task = Box::pin(create_tracked(async { panic!("wanted: short") }, TaskType::Mixed));
    let id = task.id().expect("an id");
    let panic = cost_of_a_panic(|| panic!("wanted: short"));
    let error: Poll<Result<(), _>> = poll(&mut task);
    drop(task);
    let truth = Columns {
        allocated_bytes: panic.allocated_bytes,
        allocation_count: panic.allocations,
        peak_bytes: panic.allocated_bytes,
        freed_bytes: panic.allocated_bytes,
        freed_elsewhere_bytes: panic.allocated_bytes,
        ..Columns::nothing(TaskState::Panicked, 1)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), truth);
    assert!(matches!(error, Poll::Ready(Err(_))));
}

#[test]
fn a_forgotten_task_holds_for_ever() {
    let mut task = Box::pin(track(Hoard::new(5)));
    let id = id_of(&task);
    assert!(poll(&mut task).is_pending());
    std::mem::forget(task);
    assert_eq!(Columns::now(&ALLOCATOR, id), Columns::one_block(TaskState::Idle, 1, 1000));
}

/// Dropped when its thread ends: then it polls once more what it holds, and drops it.
struct AtThreadExit(RefCell<Option<Pin<Box<Tracked<Hoard>>>>>);

impl Drop for AtThreadExit {
    fn drop(&mut self) {
        let mut task = self.0.take().expect("a task");
        assert!(poll(&mut task).is_pending());
        drop(task);
    }
}

thread_local! {
    static AT_EXIT: AtThreadExit = const { AtThreadExit(RefCell::new(None)) };
}

#[test]
fn a_task_polled_and_dropped_while_its_thread_ends_is_counted_to_its_end() {
    let id = std::thread::spawn(|| {
        let mut task = Box::pin(track(Hoard::new(5)));
        let id = id_of(&task);
        assert!(poll(&mut task).is_pending());
        AT_EXIT.with(|slot| slot.0.replace(Some(task)));
        id
    })
    .join()
    .expect("no panic");
    let truth = Columns {
        allocated_bytes: 2077,
        allocation_count: 3,
        peak_bytes: 2077,
        freed_bytes: 2077,
        ..Columns::nothing(TaskState::Cancelled, 2)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), truth);
}

#[test]
fn the_meter_and_the_row_agree_on_any_future() {
    // Work of the standard library whose sizes the test does not know: the thread's independent
    // count does.
    let mut task = Box::pin(track(async {
        let mut map = std::collections::BTreeMap::new();
        for key in 0..500 {
            map.insert(key, key.to_string());
            if key % 100 == 0 {
                wait_once().await;
            }
        }
        map.retain(|key, _| key % 3 == 0);
        let text: Vec<String> = map.into_values().collect();
        text.join(", ")
    }));
    let id = id_of(&task);
    let mut polls = 0;
    let (meter, text) = Meter::of(|| {
        loop {
            polls += 1;
            if let Poll::Ready(text) = poll(&mut task) {
                return text;
            }
        }
    });
    assert!(text.starts_with("0, 3, 6"));
    let now = Columns::now(&ALLOCATOR, id);
    let truth = Columns {
        allocated_bytes: meter.allocated_bytes,
        allocation_count: meter.allocations,
        live_bytes: meter.allocated_bytes - meter.freed_bytes,
        live_blocks: meter.allocations - meter.frees,
        freed_bytes: meter.freed_bytes,
        peak_bytes: now.peak_bytes,
        ..Columns::nothing(TaskState::Completed, polls)
    };
    assert_eq!(now, truth);
    assert_eq!(now.live_blocks, 1, "the text");
}

/// A future of `N` bytes with the alignment of `A`.
struct Bytes<A, const N: usize>([u8; N], [A; 0]);

impl<A, const N: usize> Future for Bytes<A, N> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

#[repr(align(32))]
struct Align32;

fn added<F: Future>(future: F) -> usize {
    let plain = size_of_val(&future);
    let tracked = size_of_val(&track(future));
    tracked - plain
}

#[test]
fn tracking_adds_at_most_32_bytes_to_a_future() {
    let added = [
        added(ready(())),
        added(ready(1u8)),
        added(ready(1u64)),
        added(ready(1u128)),
        added(ready(Box::new(1))),
        added(async {}),
        added(async { wait_once().await }),
        added(async {
            let held = [0u8; 1000];
            wait_once().await;
            std::hint::black_box(held);
        }),
        added(async {
            let held = std::hint::black_box(1u128);
            wait_once().await;
            std::hint::black_box(held);
        }),
        added(Box::pin(async {})),
        added(std::future::pending::<String>()),
        added(std::future::poll_fn(|_| Poll::Ready(()))),
        added(Bytes::<u8, 0>([0; 0], [])),
        added(Bytes::<u8, 1>([0; 1], [])),
        added(Bytes::<u8, 7>([0; 7], [])),
        added(Bytes::<u8, 9>([0; 9], [])),
        added(Bytes::<u16, 100>([0; 100], [])),
        added(Bytes::<u64, 4096>([0; 4096], [])),
        added(Bytes::<u128, 64>([0; 64], [])),
    ];
    assert!(added.iter().all(|added| *added <= 32), "{added:?}");
    // A future of a rarer alignment grows by at most two steps of it.
    assert!(size_of::<Tracked<Bytes<Align32, 64>>>() - size_of::<Bytes<Align32, 64>>() <= 64);
}

fn is_send<F: Send>(_: &F) {}

/// `$type: $auto` or not, at compile time.
macro_rules! auto_traits {
    ($($auto:ident: $has:ident, $lacks:ident;)+) => {
        $(
            /// `true` where the bound holds, by the inherent function that then hides the trait's.
            struct $has<T>(std::marker::PhantomData<T>);
            trait $lacks { const HOLDS: bool = false; }
            impl<T> $lacks for $has<T> {}
            impl<T: $auto> $has<T> { const HOLDS: bool = true; }
        )+
    };
}

auto_traits! {
    Send: IsSend, NotSend;
    Sync: IsSync, NotSync;
    Unpin: IsUnpin, NotUnpin;
}

macro_rules! same_as_inner {
    ($($inner:ty),+ $(,)?) => {
        $(
            const {
                assert!(IsSend::<Tracked<$inner>>::HOLDS == IsSend::<$inner>::HOLDS);
                assert!(IsSync::<Tracked<$inner>>::HOLDS == IsSync::<$inner>::HOLDS);
                assert!(IsUnpin::<Tracked<$inner>>::HOLDS == IsUnpin::<$inner>::HOLDS);
            }
        )+
    };
}

#[test]
fn send_sync_and_unpin_are_the_inner_futures() {
    type NotAny = (std::rc::Rc<u8>, std::marker::PhantomPinned);
    const {
        assert!(IsSend::<u8>::HOLDS && IsSync::<u8>::HOLDS && IsUnpin::<u8>::HOLDS);
        assert!(!IsSend::<NotAny>::HOLDS && !IsSync::<NotAny>::HOLDS && !IsUnpin::<NotAny>::HOLDS);
    }
    same_as_inner!(
        std::future::Ready<u8>,
        std::future::Ready<std::rc::Rc<u8>>,
        std::future::Ready<std::cell::Cell<u8>>,
        std::future::Pending<std::sync::MutexGuard<'static, u8>>,
        Pin<Box<dyn Future<Output = ()>>>,
        Pin<Box<dyn Future<Output = ()> + Send>>,
        Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
        std::future::Ready<std::marker::PhantomPinned>,
        (std::marker::PhantomPinned, u8),
        *const u8,
        NotAny,
    );
    is_send(&track(async { wait_once().await }));
}
