//! Ten handlers and a collector: which task allocated, and which one freed.

use memscope_rs::async_memory::TaskType;
use memscope_tests::{annotated, conserved};

use crate::ALLOCATOR;

#[path = "../../examples/web_server.rs"]
mod seed;

const REQUESTS: u64 = 1000;
/// `{"status":"ok","data":["Processed: Request-0-0", … ten times]}`, with ids of one digit.
const SHORTEST_RESPONSE: u64 = 22 + 10 * (2 + 11 + 11) + 9 * 2 + 2;

#[test]
fn ten_handlers_and_one_collector_ran_side_by_side() {
    seed::main().expect("it runs");
    let snapshot = conserved(&ALLOCATOR);

    assert_eq!((snapshot.spawned_task_count(), snapshot.active_task_count()), (11, 0));
    assert_eq!(snapshot.peak_concurrent_tasks(), 11);
    let sites = snapshot.sites().iter().filter(|site| site.is_annotated).count();
    assert_eq!((annotated(&snapshot).len(), sites), (11, 2), "{snapshot}");
    let site = |task_type| {
        let site = snapshot.sites().iter().find(|site| site.task_type == task_type);
        site.unwrap_or_else(|| panic!("no {task_type} site\n{snapshot}"))
    };
    let (handlers, collector) = (site(TaskType::NetworkIntensive), site(TaskType::IoIntensive));
    assert_eq!((handlers.spawned, handlers.completed), (10, 10));
    assert_eq!((collector.spawned, collector.completed), (1, 1));
    assert_eq!((handlers.live_bytes, collector.live_bytes), (0, 0), "{snapshot}");

    // Each request allocates itself, a vector, ten copies, a vector, ten results, and the response.
    assert!(handlers.allocation_count >= REQUESTS * 24, "{handlers:#?}");
    // The responses are the handlers' bytes, wherever they are freed; the collector has but the
    // list of them.
    let given_away: u64 = snapshot
        .tasks()
        .iter()
        .filter(|task| task.task_type == TaskType::NetworkIntensive)
        .map(|task| task.freed_elsewhere_bytes)
        .sum();
    assert!(given_away >= REQUESTS * SHORTEST_RESPONSE, "{given_away}\n{snapshot}");
    assert!((REQUESTS * 24..REQUESTS * 100).contains(&collector.peak_bytes), "{collector:#?}");
    let allocated: u64 = annotated(&snapshot).iter().map(|task| task.allocated_bytes).sum();
    assert_eq!(allocated, handlers.allocated_bytes + collector.allocated_bytes);
}
