//! The histogram of the durations of polls.

use memscope_runtime::async_memory::{MemorySnapshot, TaskType};

use super::{MetricFamily, MetricSeries, MetricValue, all::POLLS};

/// The bounds: each is the largest number of nanoseconds with this many binary digits. They go from
/// 1 µs to 17 s. The runtime counts by powers of two, so each of its buckets lies between two
/// neighbouring bounds.
const DIGITS: [u32; 13] = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34];

/// Returns the histogram, or `None` if timing is off.
pub(super) fn family(snapshot: &MemorySnapshot) -> Option<MetricFamily> {
    // This figure is a number unless timing is off.
    if snapshot.get_task_metrics(TaskType::Unspecified).avg_wait_time_ms.is_nan() {
        return None;
    }
    let polls = || snapshot.sites().iter().flat_map(|site| &site.poll_histogram);
    let sum = |up_to: u64| {
        polls()
            .filter(|bucket| bucket.up_to <= up_to)
            .fold(0, |sum: u64, bucket| sum.saturating_add(bucket.count))
    };
    let buckets = DIGITS.map(|digits| {
        let up_to = (1_u64 << digits) - 1;
        (MetricValue::seconds(up_to), sum(up_to))
    });
    let value = MetricValue::Histogram { buckets: buckets.to_vec(), count: sum(u64::MAX) };
    Some(POLLS.with([MetricSeries { labels: Vec::new(), value }]))
}
