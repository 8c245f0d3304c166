//! A workload of known sizes on four workers: small and large blocks, over-aligned, zeroed, grown
//! and handed over.

use std::{alloc::Layout, sync::mpsc};

use memscope_rs::async_memory::{TaskState, track};
use memscope_tests::{Block, Columns, Independent, conserved, row, wait_once, workers};

const TASKS: usize = 400;

/// A block that is freed where it is dropped.
struct Held(Block);

impl Held {
    fn new((size, align): (usize, usize), is_zeroed: bool) -> Self {
        Self(Block::new(Layout::from_size_align(size, align).expect("small"), is_zeroed))
    }

    fn size(&self) -> usize {
        self.0.layout.size()
    }

    fn resize(&mut self, size: usize) {
        self.0 = self.0.resize(size);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.free();
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
    let (send, receive) = mpsc::sync_channel::<Held>(TASKS);
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let send = send.clone();
            let task = track(async move {
                let [small, aligned, zeroed, large] = sizes(number);
                let mut small = Held::new(small, false);
                wait_once().await;
                let mut aligned = Held::new(aligned, false);
                let zeroed = Held::new(zeroed, true);
                wait_once().await;
                let large = Held::new(large, number % 2 == 0);
                wait_once().await;
                drop(large);
                small.resize(small.size() + 5_000);
                aligned.resize(aligned.size() * 2 + 100);
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
        let last = aligned_end.size() as u64;
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
    let ids: Vec<_> = kept.iter().map(|(id, _)| *id).collect();
    drop(kept);
    let snapshot = conserved(allocator);
    for id in ids {
        assert_eq!(row(&snapshot, id).live_bytes, 0);
    }
    // Tokio's own threads may hold something for ever: what its locks made when two met.
    let sites = snapshot.sites().iter().filter(|site| site.is_annotated);
    assert_eq!(sites.map(|site| site.live_bytes).sum::<u64>(), 0, "{snapshot}");
}
