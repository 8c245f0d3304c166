//! Every kind of request to the allocator inside one task is counted to the byte.

use std::{
    alloc::{GlobalAlloc, Layout, System, alloc, alloc_zeroed, dealloc, realloc},
    cell::Cell,
    future::Future,
    hint::black_box,
    pin::pin,
    ptr,
};

use memscope_rs::async_memory::{TaskId, TaskState, get_memory_snapshot, track};
use memscope_tests::{Columns, poll, wait_once};

memscope_tests::install!(Failing, Failing);

/// `System`, out of memory on demand of one thread.
struct Failing;

thread_local! {
    static IS_FULL: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: requests are forwarded or refused with null, which the contract allows.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IS_FULL.get() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's contract, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if IS_FULL.get() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's contract, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract, passed on.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if IS_FULL.get() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's contract, passed on.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

/// Runs `work` in a task that completes at its first poll and is dropped: its columns then, and its
/// id.
#[track_caller]
fn in_a_task<T>(work: impl FnOnce() -> T) -> (Columns, T, TaskId) {
    let mut task = Box::pin(track(async { work() }));
    let id = task.id().expect("an id");
    let std::task::Poll::Ready(value) = poll(&mut task) else { panic!("nothing to wait for") };
    drop(task);
    (Columns::now(&ALLOCATOR, id), value, id)
}

const COMPLETED: Columns = Columns::nothing(TaskState::Completed, 1);

fn bytes(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

/// As a program asks, without the optimiser knowing that the block is not used.
fn take(layout: Layout) -> *mut u8 {
    // SAFETY: the tests ask for no empty block.
    black_box(unsafe { alloc(black_box(layout)) })
}

fn take_zeroed(layout: Layout) -> *mut u8 {
    // SAFETY: the tests ask for no empty block.
    black_box(unsafe { alloc_zeroed(black_box(layout)) })
}

fn resize(block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    // SAFETY: the tests pass live blocks with their layouts, and no size of zero.
    black_box(unsafe { realloc(block, layout, black_box(size)) })
}

fn give_back(block: *mut u8, layout: Layout) {
    // SAFETY: the tests pass live blocks with their layouts, each once.
    unsafe { dealloc(block, layout) };
}

#[test]
fn a_task_is_charged_with_what_it_allocates() {
    let task = track(async {
        let held = vec![0u8; 1000];
        drop(vec![0u8; 500]);
        wait_once().await;
        held
    });
    let id = task.id().expect("an id");
    let held = memscope_tests::block_on(task);
    let columns = Columns {
        allocated_bytes: 1500,
        allocation_count: 2,
        live_bytes: 1000,
        live_blocks: 1,
        peak_bytes: 1500,
        freed_bytes: 500,
        ..Columns::nothing(TaskState::Completed, 2)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), columns);
    drop(held);
    let after = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 1500,
        freed_elsewhere_bytes: 1000,
        ..columns
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), after);
}

#[test]
fn growth_frees_the_old_block_and_charges_the_new_one() {
    let (columns, held, _) = in_a_task(|| {
        let mut held = vec![7u8; 100];
        held.reserve_exact(900);
        held
    });
    assert_eq!((held.capacity(), &*held), (1000, &[7u8; 100][..]));
    let truth = Columns {
        allocated_bytes: 1100,
        allocation_count: 2,
        live_bytes: 1000,
        live_blocks: 1,
        peak_bytes: 1000,
        freed_bytes: 100,
        ..COMPLETED
    };
    assert_eq!(columns, truth, "both were never live at one time for the program");
}

#[test]
fn shrinking_keeps_the_peak() {
    let (columns, held, _) = in_a_task(|| {
        let mut held = vec![7u8; 1000];
        held.truncate(10);
        held.shrink_to_fit();
        held
    });
    assert_eq!(&*held, &[7u8; 10]);
    let truth = Columns {
        allocated_bytes: 1010,
        allocation_count: 2,
        live_bytes: 10,
        live_blocks: 1,
        peak_bytes: 1000,
        freed_bytes: 1000,
        ..COMPLETED
    };
    assert_eq!(columns, truth);
}

#[test]
fn zeroed_blocks_are_charged_and_zero_to_the_last_byte() {
    let sizes: u64 = (1..=64).sum::<u64>() + (1 << 20);
    let (columns, (), _) = in_a_task(|| {
        for size in (1..=64).chain([1 << 20]) {
            // Memory used before, so that zeroes do not come by chance.
            let layout = bytes(size, 1);
            let block = take_zeroed(layout);
            // SAFETY: the block has `size` bytes, all initialised.
            let content = unsafe { std::slice::from_raw_parts_mut(block, size) };
            assert!(content.iter().all(|byte| *byte == 0), "{size}");
            content.fill(0xff);
            give_back(block, layout);
        }
    });
    let truth = Columns {
        allocated_bytes: sizes,
        allocation_count: 65,
        peak_bytes: 1 << 20,
        freed_bytes: sizes,
        ..COMPLETED
    };
    assert_eq!(columns, truth);
}

#[test]
fn every_size_and_alignment_keeps_its_bytes_through_growth() {
    let mut truth = COMPLETED;
    let (columns, (), _) = in_a_task(|| {
        for align in [1, 2, 4, 8, 16, 32, 64, 4096, 1 << 16] {
            for size in (1..=70).chain([255, 256, 257, 4095, 4096, 4097, 100_001]) {
                let layout = bytes(size, align);
                let block = take(layout);
                assert_eq!(block.addr() % align, 0, "{layout:?}");
                // SAFETY: the block has `size` bytes.
                unsafe { block.write_bytes(0xab, size) };
                let grown = resize(block, layout, size + 13);
                assert_eq!(grown.addr() % align, 0, "{layout:?}");
                // SAFETY: `realloc` kept the first `size` bytes.
                let kept = unsafe { std::slice::from_raw_parts(grown, size) };
                assert!(kept.iter().all(|byte| *byte == 0xab), "{layout:?}");
                // SAFETY: the block has 13 bytes more now; filling them must not reach what
                // memscope keeps of another.
                unsafe { grown.write_bytes(0xcd, size + 13) };
                give_back(grown, bytes(size + 13, align));
                truth.allocated_bytes += 2 * size as u64 + 13;
                truth.freed_bytes += 2 * size as u64 + 13;
                truth.allocation_count += 2;
                truth.peak_bytes = truth.peak_bytes.max(size as u64 + 13);
            }
        }
    });
    assert_eq!(columns, truth);
}

#[test]
fn a_huge_request_is_refused_and_nothing_is_counted() {
    const MOST: usize = isize::MAX.cast_unsigned();
    let small = bytes(40, 8);
    let (columns, block, _) = in_a_task(|| {
        for (size, align) in
            [(MOST, 1), (MOST - 7, 8), (MOST - 4095, 4096), (MOST - 100, 1), (1 << 62, 1 << 12)]
        {
            let layout = bytes(size, align);
            assert!(take(layout).is_null(), "{layout:?}");
            assert!(take_zeroed(layout).is_null(), "{layout:?}");
        }
        let block = take(small);
        for size in [MOST - 7, MOST - 15, MOST - 100, 1 << 62] {
            assert!(resize(block, small, size).is_null(), "{size}");
        }
        // Sizes that no alignment above 1 may be rounded up to.
        let unaligned = take(bytes(40, 1));
        for size in [MOST, MOST - 3, MOST - 7] {
            assert!(resize(unaligned, bytes(40, 1), size).is_null(), "{size}");
        }
        give_back(unaligned, bytes(40, 1));
        block
    });
    let truth = Columns {
        allocated_bytes: 80,
        freed_bytes: 40,
        allocation_count: 2,
        live_bytes: 40,
        live_blocks: 1,
        peak_bytes: 80,
        ..COMPLETED
    };
    assert_eq!(columns, truth);
    give_back(block, small);
}

#[test]
fn a_failed_request_counts_nothing_and_leaves_the_block() {
    let layout = bytes(100, 1);
    let (columns, block, id) = in_a_task(|| {
        let block = take(layout);
        // SAFETY: the block has that many bytes.
        unsafe { block.write_bytes(0x5a, 100) };
        IS_FULL.set(true);
        let refused = [
            take(layout),
            take_zeroed(layout),
            resize(block, layout, 200),
            resize(block, layout, 10),
        ];
        IS_FULL.set(false);
        assert!(refused.iter().all(|block| block.is_null()));
        block
    });
    let truth = Columns {
        allocated_bytes: 100,
        allocation_count: 1,
        live_bytes: 100,
        live_blocks: 1,
        peak_bytes: 100,
        ..COMPLETED
    };
    assert_eq!(columns, truth);
    // SAFETY: a refused `realloc` leaves the block as it was.
    let content = unsafe { std::slice::from_raw_parts(block, 100) };
    assert!(content.iter().all(|byte| *byte == 0x5a));
    give_back(block, layout);
    let after = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 100,
        freed_elsewhere_bytes: 100,
        ..truth
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), after, "its owner was not touched by the refusals");
}

#[test]
fn zero_sized_values_are_not_seen() {
    let (columns, _held, _) = in_a_task(|| {
        let mut units = vec![(); 1000];
        units.push(());
        (units, Box::new(()), Vec::<u64>::new(), String::new())
    });
    assert_eq!(columns, COMPLETED);
}

#[test]
fn what_happens_between_two_polls_is_not_the_tasks() {
    let mut task = pin!(track(async {
        let held = vec![1u8; 300];
        wait_once().await;
        held.len()
    }));
    let id = task.id().expect("an id");
    assert!(poll(&mut task).is_pending());
    let waiting = Columns {
        allocated_bytes: 300,
        allocation_count: 1,
        live_bytes: 300,
        live_blocks: 1,
        peak_bytes: 300,
        ..Columns::nothing(TaskState::Idle, 1)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), waiting);
    // Untracked futures that allocate while the tracked one waits.
    let held = memscope_tests::block_on(async {
        let held = vec![0u8; 1 << 20];
        wait_once().await;
        held
    });
    assert_eq!(Columns::now(&ALLOCATOR, id), waiting);
    drop(held);
    assert!(poll(&mut task).is_ready());
    let done = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 300,
        ..Columns { state: TaskState::Completed, poll_count: 2, ..waiting }
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), done);
}

#[test]
fn an_untracked_task_allocating_while_a_tracked_one_waits_adds_nothing_to_it() {
    memscope_tests::block_on(async {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let task = track(async {
            let held = vec![1u8; 300];
            let _ = ended.await;
            drop(held);
        });
        let id = task.id().expect("an id");
        let tracked = tokio::spawn(task);
        wait_once().await;
        let before = Columns::now(&ALLOCATOR, id);
        assert_eq!(
            (before.live_bytes, before.peak_bytes, before.state),
            (300, 300, TaskState::Idle)
        );
        tokio::spawn(async {
            let mut held = Vec::new();
            for size in 1..1000 {
                held.push(vec![0u8; size]);
                wait_once().await;
            }
        })
        .await
        .expect("no panic");
        assert_eq!(Columns::now(&ALLOCATOR, id), before);
        end.send(()).expect("it waits");
        tracked.await.expect("no panic");
        let done = Columns { live_bytes: 0, live_blocks: 0, freed_bytes: 300, ..before };
        let done = Columns { state: TaskState::Completed, poll_count: 2, ..done };
        assert_eq!(Columns::now(&ALLOCATOR, id), done);
    });
}

/// Other threads of the harness may allocate meanwhile, so it is no fewer.
#[test]
fn allocations_outside_every_task_are_counted() {
    let count = || {
        let process = get_memory_snapshot().process();
        process.untracked_allocation_count.expect("it is counted")
    };
    let before = count();
    for _ in 0..10_000 {
        drop(black_box(Box::new(1_u64)));
    }
    assert!(count() - before >= 10_000);
}

fn is_send_sync_unpin<F: Future + Send + Sync + Unpin>(_: &F) {}

#[test]
fn a_tracked_ready_future_is_send_sync_and_unpin() {
    is_send_sync_unpin(&track(std::future::ready(1)));
}
