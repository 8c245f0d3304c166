//! A mixed workload on four workers whose sizes are known: small and large, over-aligned, zeroed, grown and handed over.

use std::{
    alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc},
    sync::mpsc,
};

use memscope_rs::async_memory::{TaskState, track};
use memscope_tests::{Columns, Independent, conserved, row, wait_once, workers};

const TASKS: usize = 400;

struct Block {
    address: usize,
    layout: Layout,
}

impl Block {
    fn pointer(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    fn new(size: usize, align: usize, is_zeroed: bool) -> Self {
        let layout = Layout::from_size_align(size, align).expect("small");
        // SAFETY: the size is not zero.
        let block = unsafe { if is_zeroed { alloc_zeroed(layout) } else { alloc(layout) } };
        assert!(!block.is_null() && block.addr().is_multiple_of(align), "{layout:?}");
        if is_zeroed {
            // SAFETY: the block has that many bytes, all of them initialised.
            let bytes = unsafe { std::slice::from_raw_parts(block, size) };
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
        // SAFETY: as above.
        unsafe { block.write_bytes(0x3c, size) };
        Self { address: block.expose_provenance(), layout }
    }

    fn resize(&mut self, size: usize) {
        // SAFETY: a live block with its layout; the size is not zero.
        let block = unsafe { realloc(self.pointer(), self.layout, size) };
        let kept = size.min(self.layout.size());
        // SAFETY: `realloc` kept that many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(block, kept) };
        assert!(bytes.iter().all(|byte| *byte == 0x3c));
        // SAFETY: the block has that many bytes now.
        unsafe { block.write_bytes(0x3c, size) };
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("small");
        assert!(block.addr().is_multiple_of(self.layout.align()), "{:?}", self.layout);
        self.address = block.expose_provenance();
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: a live block with its layout.
        unsafe { dealloc(self.pointer(), self.layout) };
    }
}

/// Size and alignment of a task's four blocks: small, over-aligned, zeroed and large.
fn sizes(number: usize) -> [(usize, usize); 4] {
    [
        (1 + number % 256, 1),
        (1 + number * 7 % 3_000, 16 << (number % 9)),
        (1 + number * 131 % 100_000, 8),
        ((1 << 20) + number, 4_096),
    ]
}

/// Runs it and compares every task with what it did.
pub(crate) fn check<A>(allocator: &Independent<A>) {
    let runtime = workers(4);
    let (send, receive) = mpsc::sync_channel::<Block>(TASKS);
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let send = send.clone();
            let task = track(async move {
                let [small, aligned, zeroed, large] = sizes(number);
                let mut small = Block::new(small.0, small.1, false);
                wait_once().await;
                let mut aligned = Block::new(aligned.0, aligned.1, false);
                let zeroed = Block::new(zeroed.0, zeroed.1, true);
                wait_once().await;
                let large = Block::new(large.0, large.1, number % 2 == 0);
                wait_once().await;
                drop(large);
                small.resize(small.layout.size() + 5_000);
                aligned.resize(aligned.layout.size() * 2 + 100);
                wait_once().await;
                aligned.resize(1 + number % 50);
                send.send(zeroed).expect("there is room");
                wait_once().await;
                send.send(small).expect("there is room");
                drop(send);
                aligned
            });
            (task.id().expect("an id"), runtime.spawn(task))
        })
        .collect();
    drop(send);
    let freer = std::thread::spawn(move || receive.into_iter().for_each(drop));
    let kept: Vec<_> = tasks
        .into_iter()
        .map(|(id, task)| (id, runtime.block_on(task).expect("no panic")))
        .collect();
    freer.join().expect("no panic");
    drop(runtime);
    let snapshot = conserved(allocator);
    for (number, (id, aligned_end)) in kept.iter().enumerate() {
        let [small, aligned, zeroed, large] = sizes(number).map(|(size, _)| size as u64);
        let last = aligned_end.layout.size() as u64;
        let (small_end, aligned_grown) = (small + 5_000, aligned * 2 + 100);
        let allocated_bytes = small + aligned + zeroed + large + small_end + aligned_grown + last;
        let truth = Columns {
            allocated_bytes,
            allocation_count: 7,
            live_bytes: last,
            live_blocks: 1,
            peak_bytes: small + aligned + zeroed + large,
            freed_bytes: allocated_bytes - last,
            freed_elsewhere_bytes: zeroed + small_end,
            ..Columns::nothing(TaskState::Completed, 6)
        };
        assert_eq!(Columns::of(row(&snapshot, *id)), truth, "{number}");
    }
    drop(kept);
    assert_eq!(conserved(allocator).live_memory_bytes(), 0);
}
