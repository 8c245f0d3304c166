//! Nearly every block is sampled, so estimates are exact. What happens to a sampled block is
//! compared to the byte: growth, transfers, names, frees elsewhere, panics, deep and small stacks,
//! signals.

use std::{
    alloc::Layout,
    future::Future,
    pin::{Pin, pin},
    sync::{Mutex, mpsc},
    task::Poll,
    thread,
};

use memscope_macros::track_var;
use memscope_rs::{
    __private::{StackReading, stacks, stacks_state},
    Stacks,
    async_memory::{
        MemorySnapshot, StacksState, TaskId, Tracked, get_memory_snapshot, track, transfer,
        untracked,
    },
    builder,
};
use memscope_tests::{Block, alone, conserved, poll, row};

use crate::ALLOCATOR;

/// All that memscope holds, except for the table that grows with the program's addresses.
fn own_bytes(snapshot: &MemorySnapshot) -> u64 {
    let tool = snapshot.tool();
    tool.own_bytes - tool.owner_table_bytes - tool.history_bytes
}

/// The index of the site of threads outside of tasks.
const UNTRACKED: u32 = u32::MAX - 2;

/// Samples every block of 64 bytes and more: one is missed with the probability exp(-64).
fn sample_all() -> std::sync::MutexGuard<'static, ()> {
    let alone = alone();
    builder().stacks(Stacks::EveryBytes(1)).init().expect("possible");
    assert_eq!(stacks_state().2, StacksState::On, "these tests need a glibc of 2.35 or newer");
    alone
}

/// The readings of which this task has all live samples.
fn of(task: TaskId) -> Vec<StackReading> {
    stacks().into_iter().filter(|stack| stack.task == task.as_u64()).collect()
}

fn live(task: TaskId) -> u64 {
    of(task).iter().map(|stack| stack.live_bytes).sum()
}

/// Checks the law, and that the samples of the task are all that it has. Returns how much that is.
#[track_caller]
fn checked(task: TaskId) -> u64 {
    let exact = row(&conserved(&ALLOCATOR), task).live_bytes;
    assert_eq!(live(task), exact);
    exact
}

/// A task that waits for ever.
fn keeper() -> (Pin<Box<Tracked<impl Future<Output = ()>>>>, TaskId) {
    let task = Box::pin(track(std::future::pending::<()>()));
    let id = task.id().expect("an id");
    (task, id)
}

/// Runs `work` in a task, and keeps the task.
fn in_task<T: Unpin>(
    work: impl FnOnce() -> T,
) -> (Pin<Box<Tracked<impl Future<Output = T>>>>, TaskId, T) {
    let mut task = Box::pin(track(async { work() }));
    let id = task.id().expect("an id");
    let Poll::Ready(made) = poll(&mut task) else { panic!("it is ready") };
    (task, id, made)
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("small")
}

#[test]
fn blocks_of_every_layout_are_sampled_while_they_live() {
    let _alone = sample_all();
    let layouts = [(64, 1), (200, 8), (4_088, 8), (4_096, 8), (300_000, 8), (100, 64), (64, 4_096)];
    for is_zeroed in [false, true] {
        let (_task, id, mut blocks) = in_task(|| {
            layouts.map(|(size, align)| Some(Block::new(layout(size, align), is_zeroed)))
        });
        let mut left: u64 = layouts.iter().map(|(size, _)| *size as u64).sum();
        for (block, (size, _)) in blocks.iter_mut().zip(layouts) {
            assert_eq!(checked(id), left);
            block.take().expect("not freed").free();
            left -= size as u64;
        }
        assert_eq!(live(id), 0);
        conserved(&ALLOCATOR);
    }
}

#[test]
fn growth_adds_to_a_block_and_a_shrink_cuts_it_on_both_sides_of_a_page() {
    let _alone = sample_all();
    let (mut task, id) = {
        let mut task = Box::pin(track(async {
            let mut bytes: Vec<u8> = Vec::with_capacity(64);
            let mut sizes = vec![];
            // 80 steps: more than a block has segments for.
            for size in (2..=80).map(|step| 64 * step * step / 8 + 64 * step) {
                bytes.reserve_exact(size);
                sizes.push(size);
                tokio::task::yield_now().await;
            }
            for size in sizes.into_iter().rev() {
                bytes.shrink_to(size);
                tokio::task::yield_now().await;
            }
        }));
        let id = task.id().expect("an id");
        assert!(poll(&mut task).is_pending());
        (task, id)
    };
    let mut most = 0;
    loop {
        // The list of sizes is the task's too, and grows in small steps at first.
        let exact = row(&conserved(&ALLOCATOR), id).live_bytes;
        let estimate = live(id);
        assert!(estimate.abs_diff(exact) <= exact / 500, "{estimate} of {exact}");
        most = most.max(exact);
        if poll(&mut task).is_ready() {
            break;
        }
    }
    assert!(most > 50_000, "{most}");
    assert_eq!(live(id), 0);
}

#[test]
fn a_block_that_another_task_reallocates_is_live_there_from_then_on() {
    let _alone = sample_all();
    for (size, bigger) in [(100, 400), (100, 10_000), (10_000, 20_000), (20_000, 100)] {
        let (_first, from, block) = in_task(|| Block::new(layout(size, 8), false));
        assert_eq!(checked(from), size as u64);
        let (_second, to, block) = in_task(|| block.resize(bigger));
        assert_eq!((live(from), checked(to)), (0, bigger as u64));
        block.free();
        assert_eq!(live(to), 0);
        conserved(&ALLOCATOR);
    }
}

#[test]
fn a_block_is_gone_that_another_task_or_thread_frees_also_after_the_tasks_end() {
    let _alone = sample_all();
    for ends_first in [false, true] {
        let (task, id, blocks) = in_task(|| [100, 10_000].map(|size| vec![1u8; size]));
        let [small, large] = blocks;
        let site = of(id)[0].site;
        let live_in_site = || -> u64 {
            let of_site = |stack: &&StackReading| stack.site == site;
            stacks().iter().filter(of_site).map(|stack| stack.live_bytes).sum()
        };
        assert_eq!(live_in_site(), 10_100);
        let task = if ends_first {
            drop(task);
            assert_eq!(live_in_site(), 10_100, "it outlives its task");
            None
        } else {
            assert_eq!(checked(id), 10_100);
            Some(task)
        };
        let _freer = in_task(|| drop(small));
        thread::spawn(|| drop(large)).join().expect("no panic");
        assert_eq!(live_in_site(), 0);
        assert_eq!(live(id), 0);
        drop(task);
        conserved(&ALLOCATOR);
    }
}

#[test]
fn a_transferred_block_is_live_with_the_taker() {
    let _alone = sample_all();
    let (_keeper, to) = keeper();
    let (_maker, from, made) = in_task(|| vec![1u8; 5_000]);
    assert_eq!((checked(from), live(to)), (5_000, 0));
    assert_eq!(transfer(&made, to).expect("it lives").bytes, 5_000);
    assert_eq!((live(from), checked(to)), (0, 5_000));
    drop(made);
    assert_eq!(live(to), 0);
    conserved(&ALLOCATOR);
}

#[test]
fn a_sampled_block_can_be_a_variable_and_a_variable_can_be_sampled_when_it_grows() {
    let _alone = sample_all();
    let variable = |name: &str| {
        let snapshot = get_memory_snapshot();
        let site = snapshot.variable_sites().iter().find(|site| site.name == name).cloned();
        site.map(|site| (site.live, site.live_bytes))
    };
    let (_keeper, to) = keeper();
    let (_task, id, mut sampled) = in_task(|| {
        let sampled = vec![1u8; 3_000];
        track_var!(sampled);
        sampled
    });
    assert_eq!((checked(id), variable("sampled")), (3_000, Some((1, 3_000))));
    sampled.reserve_exact(7_000);
    assert_eq!(variable("sampled"), Some((1, 10_000)));
    conserved(&ALLOCATOR);
    transfer(&sampled, to).expect("it lives");
    assert_eq!((checked(to), variable("sampled")), (10_000, Some((1, 10_000))));
    drop(sampled);
    assert_eq!((live(to), variable("sampled")), (0, Some((0, 0))));

    builder().stacks(Stacks::Off).init().expect("possible");
    let (_task, id, mut named) = in_task(|| {
        let named = vec![1u8; 3_000];
        track_var!(named);
        named
    });
    assert_eq!((live(id), variable("named")), (0, Some((1, 3_000))));
    builder().stacks(Stacks::EveryBytes(1)).init().expect("possible");
    let (_task, id, named) = in_task(|| {
        named.reserve_exact(5_000);
        named
    });
    assert_eq!(row(&conserved(&ALLOCATOR), id).live_bytes, 8_000);
    assert_eq!((live(id), variable("named")), (5_000, Some((1, 8_000))), "it counts its growth");
    drop(named);
    assert_eq!((live(id), variable("named")), (0, Some((0, 0))));
    conserved(&ALLOCATOR);
}

#[test]
fn threads_outside_of_tasks_are_sampled_and_memscope_itself_is_not() {
    let _alone = sample_all();
    let untracked_live = || -> u64 {
        let of_threads = |stack: &StackReading| stack.site == UNTRACKED;
        stacks().iter().filter(|stack| of_threads(stack)).map(|stack| stack.live_bytes).sum()
    };
    let before = untracked_live();
    let kept = untracked(|| vec![1u8; 123_456]);
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(vec![1u8; 100_000])).join().expect("no panic").expect("sent");
    let other = receive.recv().expect("sent");
    // The test harness allocates and frees as well, and far less.
    assert!(untracked_live() - before >= 200_000);
    let with_both = untracked_live();
    let snapshots: Vec<_> = (0..8).map(|_| stacks()).collect();
    drop((kept, other));
    assert!(untracked_live() < with_both - 150_000, "reading is not sampled");
    drop(snapshots);
    conserved(&ALLOCATOR);
}

/// Recurses so deep, then runs `work`.
#[inline(never)]
fn deep<T>(levels: usize, work: impl FnOnce() -> T) -> T {
    let value = if levels == 0 { work() } else { deep_boxed(levels - 1, Box::new(work)) };
    std::hint::black_box(value)
}

#[inline(never)]
fn deep_boxed<T>(levels: usize, work: Box<dyn FnOnce() -> T + '_>) -> T {
    let value = if levels == 0 { work() } else { deep_boxed(levels - 1, work) };
    std::hint::black_box(value)
}

#[test]
fn a_recursion_of_a_thousand_calls_is_cut_and_a_thread_of_16_kib_is_sampled() {
    let _alone = sample_all();
    let (_task, id, block) = in_task(|| deep(1_000, || vec![1u8; 777]));
    assert_eq!(checked(id), 777);
    let cut = of(id);
    assert!(cut.iter().all(|stack| stack.is_cut && stack.frames.len() == 96), "{cut:?}");
    drop(block);
    let small = thread::Builder::new().stack_size(16 << 10).spawn(|| {
        let block = std::hint::black_box(Box::new([1u8; 200]));
        let grown = std::hint::black_box(vec![1u8; 9_000]);
        block.len() + grown.len()
    });
    assert_eq!(small.expect("a thread").join().expect("no panic"), 9_200);
    conserved(&ALLOCATOR);
}

static KEPT: Mutex<Option<Vec<u8>>> = Mutex::new(None);

extern "C" fn on_signal(_: libc::c_int) {
    if let Ok(mut kept) = KEPT.try_lock() {
        *kept = Some(vec![1u8; 600]);
    }
}

#[test]
fn what_a_signal_handler_allocates_is_sampled_through_its_frame() {
    let _alone = sample_all();
    let handler: extern "C" fn(libc::c_int) = on_signal;
    // SAFETY: the handler allocates, which is allowed here: the signal is raised by the thread
    // itself, outside of the allocator.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    // SAFETY: it has a handler.
    let (_task, id, raised) = in_task(|| unsafe { libc::raise(libc::SIGUSR1) });
    assert_eq!((raised, checked(id)), (0, 600));
    let deepest = of(id).iter().map(|stack| stack.frames.len()).max();
    assert!(deepest > Some(20), "the interrupted frames are there too: {deepest:?}");
    drop(KEPT.lock().expect("no panic").take());
    assert_eq!(live(id), 0);
}

struct AllocatesWhenDropped(Vec<Vec<u8>>);

impl Drop for AllocatesWhenDropped {
    fn drop(&mut self) {
        assert!(thread::panicking());
        for size in [100, 10_000] {
            self.0.push(vec![1u8; size]);
        }
        drop(vec![1u8; 5_000]);
        std::mem::forget(std::mem::take(&mut self.0[0]));
    }
}

#[test]
fn what_is_allocated_while_a_panic_unwinds_is_sampled_and_the_panic_goes_on() {
    let _alone = sample_all();
    let mut task = pin!(track(async {
        let _kept = AllocatesWhenDropped(Vec::with_capacity(4));
        deep(100, || std::panic::resume_unwind(Box::new("wanted")));
    }));
    let id = task.id().expect("an id");
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut task)));
    assert!(panic.is_err_and(|panic| panic.downcast_ref() == Some(&"wanted")));
    // The 100 bytes that were forgotten are all that is left, besides the boxed payload's.
    let exact = row(&conserved(&ALLOCATOR), id).live_bytes;
    assert!(exact >= 100 && live(id) >= 100, "{exact}, {}", live(id));
}

#[test]
fn more_samples_come_and_go_than_there_are_records() {
    let _alone = sample_all();
    let before = stacks_state().1;
    for _ in 0..70_000 {
        drop(std::hint::black_box(vec![1u8; 100]));
    }
    assert_eq!(stacks_state().1, before);
    conserved(&ALLOCATOR);
}

#[test]
fn ten_thousand_short_threads_leave_memscopes_memory_where_it_was() {
    let _alone = sample_all();
    let run = |threads: usize| {
        for _ in 0..threads {
            thread::spawn(|| std::hint::black_box(vec![1u8; 300]).len()).join().expect("no panic");
        }
    };
    run(300);
    let before = own_bytes(&get_memory_snapshot());
    run(if cfg!(debug_assertions) { 2_000 } else { 10_000 });
    let grown = own_bytes(&get_memory_snapshot()) - before;
    assert!(grown < 64 << 10, "{grown}");
    conserved(&ALLOCATOR);
}
