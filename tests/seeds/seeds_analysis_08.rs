//! A buffer for each task against a pool: what the pool saves, to the byte.

use memscope_tests::{block_on, conserved, workers};

use crate::ALLOCATOR;

#[expect(dead_code, reason = "the example's main is not called, but what it calls")]
#[path = "../../examples/buffer_pool.rs"]
mod seed;

const TASKS: u64 = 1_000;
/// 10,000 numbers of four bytes.
const BUFFER: u64 = 40_000;

#[test]
fn the_pool_makes_one_buffer_where_each_task_made_its_own() {
    let [each, pool] = block_on(seed::tracked_side_by_side());
    let snapshot = conserved(&ALLOCATOR);
    let cells = |name: &str| {
        let mut sites = snapshot.sites().iter().filter(|site| site.name.contains(name));
        let site = sites.next().unwrap_or_else(|| panic!("no {name}\n{snapshot}"));
        assert_eq!((site.spawned, site.completed, site.live_bytes), (TASKS, TASKS, 0), "{site:#?}");
        let task = snapshot.tasks().iter().find(|task| task.line == site.line).expect("a row");
        task.cell_bytes
    };
    let (cell_of_each, cell_of_pool) = (cells("tracked_inefficient"), cells("tracked_efficient"));
    assert_eq!((each.window.task_count, pool.window.task_count), (TASKS, TASKS));
    assert_eq!((each.buffers, pool.buffers), (TASKS, 1));
    assert_eq!(each.window.allocated_bytes, TASKS * (BUFFER + cell_of_each));
    assert_eq!(each.window.allocation_count, 2 * TASKS, "a cell and a buffer for each");
    // On one thread no task meets another at the lock. There is the one buffer, and the list that
    // it waits in.
    let list = pool.window.allocated_bytes - TASKS * cell_of_pool - BUFFER;
    assert_eq!((list, pool.window.allocation_count), (4 * 24, TASKS + 2), "room for four vectors");
    let saved = each.window.allocated_bytes - pool.window.allocated_bytes;
    assert!(saved >= 990 * BUFFER, "{saved}");
    assert_eq!(peak_bytes(each), BUFFER + cell_of_each);
    assert_eq!(peak_bytes(pool), BUFFER + list + cell_of_pool);

    // On four workers some tasks may find the pool empty, but never more are made than there are
    // tasks.
    let [each, pool] = workers(4).block_on(seed::tracked_side_by_side());
    assert_eq!(each.buffers, TASKS);
    assert!((1..=TASKS).contains(&pool.buffers), "{pool:?}");
    let rest = pool.window.allocated_bytes - TASKS * cell_of_pool - pool.buffers * BUFFER;
    assert!(rest <= 2 * 24 * 2 * pool.buffers.max(4), "the list, and the lists before it: {rest}");

    // The code as it was designed, with unannotated tasks: the buffers, and the list of the pool.
    let [each, pool] = block_on(seed::plain_side_by_side());
    assert_eq!((each, pool), (TASKS * BUFFER, BUFFER + 4 * 24));
    let snapshot = conserved(&ALLOCATOR);
    let large = snapshot.variable_sites().iter().find(|site| site.name == "large_buffer");
    let large = large.expect("its row");
    assert_eq!((large.registered, large.ended, large.largest_bytes), (TASKS, TASKS, BUFFER));
    let pool = snapshot.variable_sites().iter().find(|site| site.name == "shared_pool");
    assert_eq!(pool.map(|site| (site.registered, site.ended)), Some((1, 1)));
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and small")]
fn peak_bytes(cost: seed::Cost) -> u64 {
    (cost.window.peak_memory_per_task_mb * 1_048_576.0).round() as u64
}
