//! The copy of the process: what the program notices of it, and what hurts it.

use std::{
    alloc::System,
    collections::{BTreeMap, HashSet},
    hint::black_box,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use memscope_rs::{
    TrackingAllocator,
    async_memory::{get_memory_snapshot, heap_graph},
    builder,
};
use memscope_tests::{alone, programs::is_with_variable};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

fn start() {
    builder().holders(true).init().expect("settings");
}

static CHILDREN_ENDED: AtomicU32 = AtomicU32::new(0);

extern "C" fn child_ended(_: libc::c_int) {
    CHILDREN_ENDED.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn neither_a_handler_of_sigchld_nor_a_wait_for_any_child_sees_the_copy() {
    let _alone = alone();
    start();
    let handler: extern "C" fn(libc::c_int) = child_ended;
    // SAFETY: the handler counts in an atomic.
    let before = unsafe { libc::signal(libc::SIGCHLD, handler as libc::sighandler_t) };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut seen = 0;
            while !is_over.load(Ordering::SeqCst) {
                // SAFETY: null: the status is not wanted.
                let ended = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
                seen += u32::from(ended > 0);
                thread::sleep(Duration::from_micros(100));
            }
            seen
        });
        for _ in 0..5 {
            heap_graph().expect("a graph");
        }
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(waits.join().expect("no panic"), 0);
    });
    // SAFETY: as it was.
    unsafe { libc::signal(libc::SIGCHLD, before) };
    assert_eq!(CHILDREN_ENDED.load(Ordering::SeqCst), 0);
    // No copy is left.
    // SAFETY: null: the status is not wanted.
    let left = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WALL | libc::WNOHANG) };
    assert!(left <= 0, "{left}");
}

#[test]
fn ten_callers_share_their_pictures_and_each_gets_one() {
    let _alone = alone();
    start();
    let many: Vec<_> = (0..20_000_u32).map(|it| Box::new([it; 8])).collect();
    let graphs: Vec<_> = thread::scope(|scope| {
        let callers: Vec<_> =
            (0..10).map(|_| scope.spawn(|| heap_graph().expect("a graph"))).collect();
        callers.into_iter().map(|caller| caller.join().expect("no panic")).collect()
    });
    assert!(graphs.iter().all(|graph| graph.blocks > 20_000));
    let pictures: HashSet<_> = graphs.iter().map(|it| (it.pause_ns, it.taken_ns)).collect();
    assert!(pictures.len() < 10, "no picture was shared");
    drop(many);
}

#[test]
fn blocks_and_bytes_are_those_that_are_counted_while_other_threads_allocate() {
    if !is_with_variable("MEMSCOPE_HOLDERS", "on") {
        return;
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let allocating = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut kept: Vec<Vec<u8>> = Vec::new();
                let mut next = 1_usize;
                while !is_over.load(Ordering::SeqCst) {
                    next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    if kept.len() > 500 {
                        kept.swap_remove(next % kept.len());
                    }
                    kept.push(vec![1; next % 9_000]);
                    if let Some(grown) = kept.first_mut() {
                        grown.resize(next % 20_000, 2);
                    }
                }
            })
        });
        for _ in 0..10 {
            let graph = heap_graph().expect("a graph");
            let alone: u64 = graph.roots.iter().map(|root| root.retained_bytes).sum();
            let sum = alone + graph.shared_bytes + graph.unreachable_bytes();
            assert_eq!(graph.bytes, sum, "{graph}");
        }
        is_over.store(true, Ordering::SeqCst);
        // Until the threads have ended, and with them what they free last.
        for thread in allocating {
            thread.join().expect("no panic");
        }
    });
    let process = get_memory_snapshot().process();
    let graph = heap_graph().expect("a graph");
    let seen = (graph.blocks + graph.blocks_from_before, graph.bytes + graph.bytes_from_before);
    assert_eq!(seen, (process.whole_blocks, process.whole_bytes), "{graph}");
}

#[test]
fn a_pause_above_the_limit_is_refused_with_its_reason() {
    let _alone = alone();
    start();
    builder().holders(true).holders_pause(Duration::from_nanos(1)).init().expect("settings");
    let refused = heap_graph().expect_err("too long").to_string();
    assert!(refused.contains("would stop the process"), "{refused}");
    builder().holders(true).init().expect("settings");
    heap_graph().expect("allowed again");
}

#[test]
fn without_the_setting_there_is_no_graph_and_blocks_of_that_time_are_from_before() {
    // In a process of its own, where no other thread allocates.
    if !is_with_variable("MEMSCOPE_HOLDERS", "on") {
        return;
    }
    let listed = heap_graph().expect("a graph");
    builder().holders(false).init().expect("settings");
    let refused = heap_graph().expect_err("it is off").to_string();
    assert!(refused.contains("MEMSCOPE_HOLDERS=on"), "{refused}");
    drop(refused);
    let unlisted: Vec<_> = (0..1_000).map(|_| Box::new([1_u8; 77])).collect();
    start();
    let graph = heap_graph().expect("a graph");
    assert_eq!(graph.blocks_from_before - listed.blocks_from_before, 1_000, "{graph}");
    assert_eq!(graph.bytes_from_before - listed.bytes_from_before, 77_000, "{graph}");
    drop(black_box(unlisted));
}

#[test]
fn the_copy_takes_at_most_64_bytes_a_block() {
    let _alone = alone();
    start();
    let blocks: BTreeMap<usize, Vec<u8>> = (0..1_000_000).map(|key| (key, vec![7; 64])).collect();
    let graph = heap_graph().expect("a graph");
    assert!(graph.blocks > 1_000_000, "{graph}");
    // What lies between the blocks may hold them, as there are blocks from before.
    assert!(graph.blocks_from_before > 0, "{graph}");
    let of_a_block = graph.copy_bytes / graph.blocks;
    assert!(of_a_block <= 64, "{of_a_block} bytes of {} blocks", graph.blocks);
    drop(black_box(blocks));
}
