//! Four services inside one `try_join!`.

use memscope_rs::async_memory::TaskType;
use memscope_tests::conserved;

use crate::ALLOCATOR;

#[path = "../../examples/services_together.rs"]
mod seed;

/// Users, payments, metrics, and four a gateway request.
const STRINGS: u64 = 1000 + 500 + 50 + 4 * 100;
/// A batch's vector of 1,000 numbers grows from 4 to 1,024.
const BATCHES: u64 = 50 * 9;
/// Each service's own list grows a few times.
const LISTS: u64 = 4 * 10;

#[test]
fn four_services_gave_everything_back() {
    seed::main().expect("it runs");
    let snapshot = conserved(&ALLOCATOR);

    assert_eq!((snapshot.spawned_task_count(), snapshot.active_task_count()), (4, 0));
    assert_eq!(snapshot.peak_concurrent_tasks(), 4);
    let sites = || snapshot.sites().iter().filter(|site| site.is_annotated);
    assert!(sites().all(|site| site.completed == 1), "{snapshot}");
    let allocations: u64 = sites().map(|site| site.allocation_count).sum();
    // A string may be written in a few steps.
    assert!(
        (STRINGS + BATCHES..2 * STRINGS + BATCHES + LISTS).contains(&allocations),
        "{allocations}"
    );
    let efficiency = snapshot.memory_efficiency_percent();
    assert!(efficiency >= 100.0, "{efficiency}");
    assert_eq!(sites().map(|site| site.live_bytes).sum::<u64>(), 0);

    let peak = |task_type| {
        let tasks = snapshot.tasks().iter().filter(|task| task.task_type == task_type);
        tasks.map(|task| task.peak_bytes).collect::<Vec<_>>()
    };
    // 1,000 users of at least 50 bytes, and their 1,024 handles of 24.
    let [users] = peak(TaskType::IoIntensive)[..] else { panic!("one I/O task\n{snapshot}") };
    assert!((1000 * 50 + 1024 * 24..200_000).contains(&users), "{users}");
    // One batch of 1,024 numbers at a time, and while it grows the smaller one it leaves.
    let [analytics] = peak(TaskType::CpuIntensive)[..] else { panic!("one CPU task\n{snapshot}") };
    assert!((1024 * 8..1024 * 8 + 512 * 8 + 10_000).contains(&analytics), "{analytics}");
    let services = snapshot.get_task_metrics(TaskType::NetworkIntensive);
    assert_eq!(services.task_count, 2);
    assert!(services.completion_rate_percent >= 100.0, "{services:?}");
}
