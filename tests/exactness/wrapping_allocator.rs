//! An allocator around memscope's may ask for other sizes than the program did. Every report says
//! "not measured" then.

use std::alloc::{GlobalAlloc, Layout, System};

use memscope_macros::track_var;
use memscope_rs::{
    TrackingAllocator,
    async_memory::{Measured, TaskState, get_memory_snapshot, track},
};
use memscope_tests::{block_on, wait_once, workers};

/// Asks for 16 bytes more than it is asked for, and writes to them.
struct Padding(TrackingAllocator);

#[global_allocator]
static ALLOCATOR: Padding = Padding(TrackingAllocator::new(System));

fn padded(layout: Layout) -> Layout {
    Layout::from_size_align(layout.size() + 16, layout.align()).expect("small")
}

// SAFETY: every block is taken and given back with the same, larger layout.
unsafe impl GlobalAlloc for Padding {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is not zero.
        let block = unsafe { self.0.alloc(padded(layout)) };
        // SAFETY: the block has 16 bytes behind those asked for.
        let padding = unsafe { block.add(layout.size()) };
        // SAFETY: as above.
        unsafe { padding.write_bytes(0xee, 16) };
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: taken with the same layout.
        unsafe { self.0.dealloc(block, padded(layout)) };
    }
}

#[test]
fn variables_are_not_looked_into_where_the_words_of_blocks_lie_elsewhere() {
    let boxed: Box<[u8]> = vec![1u8; 64].into_boxed_slice();
    let map: std::collections::HashMap<u64, u64> = (0..100).map(|key| (key, key)).collect();
    let shared = std::sync::Arc::new(std::sync::Mutex::new(vec![1u8; 10]));
    for _ in 0..100 {
        track_var!(boxed, map, shared, deep: shared);
    }
    drop((boxed, map, shared));
    let snapshot = get_memory_snapshot();
    for name in ["boxed", "map", "shared"] {
        let mut rows = snapshot.variables().iter().filter(|variable| variable.name == name);
        let row = rows.next().expect("a row");
        assert!(!row.live && !row.extent.is_followed() && row.heap_bytes == 0, "{row:?}");
    }
}

#[test]
fn a_wrapped_allocator_is_found_out_and_nothing_breaks() {
    let mut ids = Vec::new();
    let runtime = workers(4);
    for number in 0..200 {
        let task = track(async move {
            let mut held = vec![0u8; 100 + number];
            wait_once().await;
            held.extend_from_within(..);
            held
        });
        ids.push(task.id().expect("an id"));
        drop(runtime.block_on(runtime.spawn(task)).expect("no panic"));
    }
    drop(runtime);
    let snapshot = get_memory_snapshot();
    assert_eq!(snapshot.measured(), Measured::Wrapped);
    assert!(!snapshot.process().measured);
    for id in ids {
        let row = snapshot.task(id).expect("its row");
        assert_eq!((row.measured, row.state, row.poll_count), (false, TaskState::Completed, 2));
        assert_eq!((row.live_bytes, row.allocated_bytes, row.peak_bytes), (0, 0, 0));
    }
    assert_eq!(
        (snapshot.total_memory_bytes(), snapshot.live_memory_bytes(), snapshot.total_allocations()),
        (0, 0, 0)
    );
    let shown = snapshot.to_string();
    assert!(shown.contains("not measured") && shown.contains("wraps"), "{shown}");
    assert!(block_on(async { get_memory_snapshot() }).memory_efficiency_percent().is_nan());
}
