//! Many tasks on four threads that allocate, grow and free each other's blocks at the same time,
//! while snapshots are taken.
//!
//! What happens first is left to the machine, so each operation notes in plain atomics which task
//! owned the block, and which task did what to it.

use std::{
    alloc::Layout,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    thread,
};

use memscope_rs::async_memory::{TaskId, TaskState, track};
use memscope_tests::{Block, Columns, alone, conserved, poll, row};

use crate::ALLOCATOR;

const THREADS: usize = 4;
const PLACES: usize = 64;
const TASKS: usize = 120;
const ROUNDS: usize = 8;

/// What really happened to one task's blocks.
#[derive(Debug, Default)]
struct Truth {
    allocated_bytes: AtomicU64,
    allocations: AtomicU64,
    freed_bytes: AtomicU64,
    frees: AtomicU64,
    freed_elsewhere_bytes: AtomicU64,
}

/// A block with its owner. The task that takes it out of its place has it to itself.
struct Owned {
    block: Block,
    owner: Arc<Truth>,
}

fn add(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

impl Owned {
    fn new(layout: Layout, is_zeroed: bool, by: &Arc<Truth>) -> Self {
        Self::made(Block::new(layout, is_zeroed), by)
    }

    fn made(block: Block, by: &Arc<Truth>) -> Self {
        add(&by.allocated_bytes, block.layout.size());
        add(&by.allocations, 1);
        Self { block, owner: Arc::clone(by) }
    }

    fn gone(&self, by: &Arc<Truth>) {
        add(&self.owner.freed_bytes, self.block.layout.size());
        add(&self.owner.frees, 1);
        if !Arc::ptr_eq(&self.owner, by) {
            add(&self.owner.freed_elsewhere_bytes, self.block.layout.size());
        }
    }

    fn resize(self, size: usize, by: &Arc<Truth>) -> Self {
        self.gone(by);
        Self::made(self.block.resize(size), by)
    }

    fn free(self, by: &Arc<Truth>) {
        self.gone(by);
        self.block.free();
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).expect("it was one")
    }
}

type Places = [Mutex<Option<Owned>>; PLACES];

/// One operation on a random place, by the owner of `by`.
fn operate(random: &mut Random, places: &Places, by: &Arc<Truth>) {
    let place = &places[random.below(PLACES)];
    let take = || place.lock().expect("no panic").take();
    match random.below(4) {
        0 => drop(take().map(|block| block.free(by))),
        1 => {
            let size = 1 + random.below(3_000);
            if let Some(block) = take() {
                let grown = block.resize(size, by);
                put(place, grown, by);
            }
        }
        _ => {
            let layout = Layout::from_size_align(1 + random.below(500), 1 << random.below(8))
                .expect("small");
            put(place, Owned::new(layout, random.below(2) == 0, by), by);
        }
    }
}

/// Puts a block into a place and frees the one that was there.
fn put(place: &Mutex<Option<Owned>>, block: Owned, by: &Arc<Truth>) {
    let before = place.lock().expect("no panic").replace(block);
    if let Some(before) = before {
        before.free(by);
    }
}

/// Runs many tasks, a few at a time, to different ends.
fn run(seed: u64, places: &'static Places) -> Vec<(TaskId, Arc<Truth>, TaskState, u64)> {
    let mut random = Random(seed);
    let mut ended = Vec::with_capacity(TASKS);
    let mut living = Vec::with_capacity(8);
    let mut made = 0;
    while ended.len() < TASKS {
        if living.len() < 8 && made < TASKS {
            made += 1;
            let truth = Arc::new(Truth::default());
            let by = Arc::clone(&truth);
            let mut own = Random(seed ^ (made as u64 * 0x9e37_79b9));
            let task = Box::pin(track(poll_fn(move |_| {
                for _ in 0..own.below(20) {
                    operate(&mut own, places, &by);
                }
                if own.below(10) == 0 { Poll::Ready(()) } else { Poll::Pending }
            })));
            living.push((task, truth, 0));
        }
        let at = random.below(living.len());
        let (task, _, polls) = &mut living[at];
        let state = if random.below(30) == 0 {
            TaskState::Cancelled
        } else {
            *polls += 1;
            if poll(task).is_pending() {
                continue;
            }
            TaskState::Completed
        };
        let (task, truth, polls) = living.swap_remove(at);
        ended.push((task.id().expect("an id"), truth, state, polls));
        drop(task);
    }
    ended
}

fn storm(round: u64) {
    let places: &'static Places = Box::leak(Box::new([const { Mutex::new(None) }; PLACES]));
    let is_over = AtomicBool::new(false);
    let ended: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS as u64)
            .map(|thread| scope.spawn(move || run(1 + round * 1_000 + thread, places)))
            .collect();
        // The law holds in the middle of it all.
        let watcher = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                conserved(&ALLOCATOR);
                thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let ended =
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
        is_over.store(true, Ordering::Relaxed);
        watcher.join().expect("the law holds");
        ended
    });
    compare(&ended);
    let no_task = Arc::new(Truth::default());
    for place in places {
        if let Some(block) = place.lock().expect("no panic").take() {
            block.free(&no_task);
        }
    }
    compare(&ended);
}

fn compare(ended: &[(TaskId, Arc<Truth>, TaskState, u64)]) {
    let snapshot = conserved(&ALLOCATOR);
    for (id, truth, state, polls) in ended {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let reported = Columns::of(row(&snapshot, *id));
        let (allocated_bytes, freed_bytes) = (get(&truth.allocated_bytes), get(&truth.freed_bytes));
        let truth = Columns {
            allocated_bytes,
            allocation_count: get(&truth.allocations),
            live_bytes: allocated_bytes - freed_bytes,
            live_blocks: get(&truth.allocations) - get(&truth.frees),
            freed_bytes,
            freed_elsewhere_bytes: get(&truth.freed_elsewhere_bytes),
            // It depends on which thread came first. `conserved` checks that it is neither below
            // live nor above allocated.
            peak_bytes: reported.peak_bytes,
            ..Columns::nothing(*state, *polls)
        };
        assert_eq!(reported, truth, "task {id} (left: reported, right: true)");
    }
}

#[test]
fn at_the_same_time_on_four_threads_nothing_is_lost_or_counted_twice() {
    let _alone = alone();
    for round in 0..ROUNDS as u64 {
        storm(round);
    }
}

#[test]
fn tasks_that_end_on_four_threads_at_once_are_all_in_the_sums_of_their_site() {
    const EACH: u64 = 50_000;
    let _alone = alone();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..EACH {
                    // Most allocate nothing, so that ends follow each other as closely as can be.
                    let mut task = std::pin::pin!(
                        track(poll_fn(|_| {
                            if number.is_multiple_of(100) {
                                drop(std::hint::black_box(vec![0u8; 10]));
                            }
                            if number.is_multiple_of(2) { Poll::Ready(()) } else { Poll::Pending }
                        }))
                        .named("ends")
                    );
                    assert_eq!(poll(&mut task).is_ready(), number.is_multiple_of(2));
                }
            });
        }
    });
    let snapshot = conserved(&ALLOCATOR);
    let site = snapshot.sites().iter().find(|site| site.name == "ends").expect("a row");
    let all = THREADS as u64 * EACH;
    assert_eq!((site.spawned, site.active), (all, 0));
    assert_eq!((site.completed, site.cancelled, site.panicked), (all / 2, all / 2, 0));
    assert_eq!((site.allocation_count, site.allocated_bytes), (all / 100, all / 10));
    assert_eq!((site.peak_bytes, site.peak_sum_bytes), (10, all / 10));
    assert_eq!(site.peak_histogram.iter().map(|bucket| bucket.count).sum::<u64>(), all);
}
