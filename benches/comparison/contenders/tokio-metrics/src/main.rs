//! tokio-metrics: one `TaskMonitor` for all tasks of a loop; it counts and times polls, and how
//! long tasks wait to be polled.

use std::{future::Future, sync::LazyLock};

use comparison_loops::{Case, Contender, INNER, Inner, Kind, run};
use tokio_metrics::TaskMonitor;

#[global_allocator]
static ALLOCATOR: Inner = INNER;

static MONITOR: LazyLock<TaskMonitor> = LazyLock::new(TaskMonitor::new);

struct Metrics;

impl Contender for Metrics {
    fn can(case: Case) -> bool {
        matches!(case.kind(), Kind::Task | Kind::Tasks)
            && !matches!(case, Case::CurrentTask | Case::Thread)
    }

    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        MONITOR.instrument(future)
    }
}

fn main() {
    run::<Metrics>();
}
