//! A resource monitor: what happened between two moments.

use serde::{Deserialize, Serialize};

use super::{
    MIB, MemorySnapshot, float, get_memory_snapshot,
    live_sample::{self, LiveSample},
    sum,
};
use crate::{
    accounting::Window,
    model::{Error, SiteProfile, TaskType, site_profile::number_or_nan},
    primitives::clock,
};

/// Watches all tracked tasks between `start_monitoring` and `stop_monitoring`.
///
/// ```
/// use memscope_runtime::async_memory::{AsyncResourceMonitor, TaskType, track};
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator =
/// #     memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let mut monitor = AsyncResourceMonitor::new();
/// monitor.start_monitoring().await?;
/// track(async { vec![0u8; 3 << 20].len() }).task_type(TaskType::IoIntensive).await;
/// let analysis = monitor.stop_monitoring().await?;
///
/// assert_eq!(analysis.io_task_count, 1);
/// assert_eq!(analysis.peak_memory_per_task_mb, 3.0);
/// # Ok::<(), memscope_runtime::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Default)]
pub struct AsyncResourceMonitor {
    running: Option<Start>,
}

#[derive(Debug)]
struct Start {
    window: Window,
    at_ns: u64,
    snapshot: MemorySnapshot,
}

/// What happened between the start and the stop of a monitor, and nothing from outside that window.
///
/// Numbers of tasks leave out unannotated ones, because their end is mostly not known; bytes
/// include them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceAnalysis {
    /// Whether sizes are measured. If not, sizes are 0 (the peak is NaN) and mean nothing.
    pub measured: bool,
    /// Whether no task ended while the two snapshots were read; then all sums are exact to the
    /// byte.
    pub is_still: bool,
    /// How long the monitor ran, in milliseconds.
    pub duration_ms: f64,
    /// Tasks created in the window, of any kind.
    pub task_count: u64,
    /// Tasks created in the window with the kind `CpuIntensive`.
    pub cpu_task_count: u64,
    /// Tasks created in the window with the kind `IoIntensive`.
    pub io_task_count: u64,
    /// Tasks created in the window with the kind `NetworkIntensive`.
    pub network_task_count: u64,
    /// Tasks created in the window with the kind `MemoryIntensive`.
    pub memory_task_count: u64,
    /// Tasks created in the window with the kind `Streaming`.
    pub streaming_task_count: u64,
    /// Tasks created in the window with the kind `Background`.
    pub background_task_count: u64,
    /// Tasks created in the window with the kind `Mixed`.
    pub mixed_task_count: u64,
    /// Tasks that were alive when the window opened.
    pub tasks_at_start: u64,
    /// Tasks that were alive when it closed.
    pub tasks_at_end: u64,
    /// Tasks that completed in the window.
    pub completed_count: u64,
    /// Tasks that were cancelled in the window.
    pub cancelled_count: u64,
    /// Tasks that panicked in the window.
    pub panicked_count: u64,
    /// Bytes of all allocations of tasks in the window.
    pub allocated_bytes: u64,
    /// How many allocations those were.
    pub allocation_count: u64,
    /// Live bytes of tasks when the window opened.
    pub live_bytes_at_start: u64,
    /// Live bytes of tasks when it closed.
    pub live_bytes_at_end: u64,
    /// The most that one task held at any time in the window, in MiB. If a poll is running when
    /// this or another monitor starts, the peak of its task counts from its next poll on.
    #[serde(deserialize_with = "number_or_nan")]
    pub peak_memory_per_task_mb: f64,
}

impl AsyncResourceMonitor {
    /// A monitor that is not running.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the window.
    ///
    /// # Errors
    ///
    /// If the monitor is already running; its window stays open.
    #[expect(
        clippy::unused_async,
        reason = "the public contract has it asynchronous, so that it may wait one day"
    )]
    pub async fn start_monitoring(&mut self) -> Result<(), Error> {
        if self.running.is_some() {
            return Err(Error::monitor_running());
        }
        let window = Window::open();
        // NOTE: the window is open by now. So a task that is polled after this walk reports its
        // peak to the window by itself.
        window.add(living_peak(|_| false));
        self.running =
            Some(Start { window, at_ns: clock::now_ns(), snapshot: get_memory_snapshot() });
        Ok(())
    }

    /// Closes the window and says what happened in it.
    ///
    /// # Errors
    ///
    /// If the monitor is not running: it was not started, or it has been stopped.
    #[expect(
        clippy::unused_async,
        reason = "the public contract has it asynchronous, so that it may wait one day"
    )]
    pub async fn stop_monitoring(&mut self) -> Result<ResourceAnalysis, Error> {
        let Some(start) = self.running.take() else { return Err(Error::monitor_not_started()) };
        let end = get_memory_snapshot();
        let living = living_peak(|epoch| start.window.has(epoch));
        let peak = living.max(start.window.peak_bytes());
        Ok(start.analyse(&end, peak))
    }
}

impl Start {
    fn analyse(&self, end: &MemorySnapshot, peak_bytes: u64) -> ResourceAnalysis {
        let start = &self.snapshot;
        let spawned = |task_type| {
            let count = |snapshot: &MemorySnapshot| snapshot.get_task_metrics(task_type).task_count;
            count(end).saturating_sub(count(start))
        };
        let grown = |sum: fn(&MemorySnapshot) -> u64| sum(end).saturating_sub(sum(start));
        let ended = |number: fn(&SiteProfile) -> u64| {
            let all = |snapshot: &MemorySnapshot| {
                let sites = snapshot.sites().iter().filter(|site| site.is_annotated);
                sum(sites.map(number))
            };
            all(end).saturating_sub(all(start))
        };
        let measured = end.measured().is_yes();
        ResourceAnalysis {
            measured,
            is_still: start.is_still() && end.is_still(),
            duration_ms: float(clock::now_ns().saturating_sub(self.at_ns)) / 1e6,
            task_count: grown(MemorySnapshot::spawned_task_count),
            cpu_task_count: spawned(TaskType::CpuIntensive),
            io_task_count: spawned(TaskType::IoIntensive),
            network_task_count: spawned(TaskType::NetworkIntensive),
            memory_task_count: spawned(TaskType::MemoryIntensive),
            streaming_task_count: spawned(TaskType::Streaming),
            background_task_count: spawned(TaskType::Background),
            mixed_task_count: spawned(TaskType::Mixed),
            tasks_at_start: start.active_task_count() as u64,
            tasks_at_end: end.active_task_count() as u64,
            completed_count: ended(|site| site.completed),
            cancelled_count: ended(|site| site.cancelled),
            panicked_count: ended(|site| site.panicked),
            allocated_bytes: grown(MemorySnapshot::total_memory_bytes),
            allocation_count: grown(MemorySnapshot::total_allocations),
            live_bytes_at_start: start.live_memory_bytes(),
            live_bytes_at_end: end.live_memory_bytes(),
            peak_memory_per_task_mb: if measured { float(peak_bytes) / MIB } else { f64::NAN },
        }
    }
}

/// The most that one open task holds now, or held in an epoch of the window.
///
/// A task that was not polled in the window holds at most what it holds now, or what it held at the
/// start; the window already has the latter.
fn living_peak(is_in_window: impl Fn(u32) -> bool) -> u64 {
    let mut most = 0;
    live_sample::for_each(|sample| {
        if let LiveSample::Task { live_bytes, peak: Some((epoch, peak_bytes)), .. } = sample {
            most = most.max(live_bytes).max(if is_in_window(epoch) { peak_bytes } else { 0 });
        }
    });
    most
}
