//! A monitor over three tasks of three types, inside one window of the test's own.

use futures::executor::block_on;
use memscope_rs::async_memory::{AsyncResourceMonitor, TaskType};
use memscope_tests::conserved;

use crate::ALLOCATOR;

#[path = "../../examples/monitor_window.rs"]
mod seed;

const MEBIBYTE: f64 = 1024.0 * 1024.0;
/// `vec![0u64; 1_000_000]`, all that the CPU task ever holds.
const NUMBERS: u64 = 8_000_000;

#[test]
fn the_window_has_one_task_of_each_type_and_the_largest_peak() {
    let mut monitor = AsyncResourceMonitor::new();
    block_on(monitor.start_monitoring()).expect("it starts");
    seed::main().expect("it runs");
    let analysis = block_on(monitor.stop_monitoring()).expect("it stops");
    let snapshot = conserved(&ALLOCATOR);

    assert_eq!(
        (analysis.cpu_task_count, analysis.io_task_count, analysis.network_task_count),
        (1, 1, 1)
    );
    assert_eq!(
        (analysis.task_count, analysis.completed_count, analysis.cancelled_count),
        (3, 3, 0)
    );
    assert_eq!((analysis.tasks_at_start, analysis.tasks_at_end), (0, 0));
    let peak = analysis.peak_memory_per_task_mb * MEBIBYTE;
    assert!((peak - 8_000_000.0).abs() < 1e-3, "{peak}");
    assert_eq!(analysis.allocated_bytes, snapshot.total_memory_bytes());

    let task = |task_type| {
        let mut found = snapshot.tasks().iter().filter(|task| task.task_type == task_type);
        let task = found.next().unwrap_or_else(|| panic!("no {task_type} task\n{snapshot}"));
        assert!(found.next().is_none(), "one task of a type\n{snapshot}");
        assert_eq!((task.live_bytes, task.freed_bytes), (0, task.allocated_bytes), "{task:#?}");
        task
    };
    let cpu = task(TaskType::CpuIntensive);
    assert_eq!((cpu.allocated_bytes, cpu.allocation_count, cpu.peak_bytes), (NUMBERS, 1, NUMBERS));

    // 100 strings of 8 or 9 bytes in a vector of 24-byte handles that grew to 128.
    let io = task(TaskType::IoIntensive);
    assert!((890 + 128 * 24..20_000).contains(&io.peak_bytes), "{io:#?}");
    assert!(io.allocation_count >= 100 && io.poll_count >= 100, "{io:#?}");

    // 50 responses of 1,024 letters and a heading, held together; each `repeat` is a kibibyte more
    // in passing.
    let network = task(TaskType::NetworkIntensive);
    assert!((50 * 1024..50 * 2 * 1024 + 10_000).contains(&network.peak_bytes), "{network:#?}");
    assert!(network.allocated_bytes >= 50 * 2 * 1024, "{network:#?}");
    assert!(network.poll_count >= 50, "{network:#?}");
}
