//! The data that tables and details are made from: a report and what goes with it.

use std::collections::HashMap;

use memscope_runtime::{
    analysis::{Leaks, Severity},
    async_memory::{AwaitPoints, HeapGraph, Place, SiteProfile, TaskMemoryProfile},
};

use super::{
    code::CodeView,
    own_code::OwnCode,
    report::{Report, name},
};

/// The shortest time between two readings for which a rate is computed.
const LEAST_SECONDS: f64 = 0.05;

/// The bytes that each site allocates a second, by its key.
pub(super) type Rates = HashMap<String, u64>;

/// A report and what goes with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) report: &'a Report,
    pub(super) rates: &'a Rates,
    /// The worst finding about a row, by its key.
    pub(super) severities: &'a HashMap<String, Severity>,
    /// The graph of what holds the heap, if it was asked for or saved.
    pub(super) graph: Option<&'a HeapGraph>,
    /// The crates of the program.
    pub(super) own_code: &'a OwnCode,
    /// The grouping of rows: one of `Tab::groups`.
    pub(super) group: Option<&'static str>,
    /// The choices of the tab of the code.
    pub(super) code: &'a CodeView,
    /// Whether there is a process that can be asked.
    pub(super) is_live: bool,
}

impl Context<'_> {
    /// The live bytes of the program's heap.
    pub(super) fn whole(&self) -> u64 {
        self.report.snapshot.process().whole_bytes
    }

    /// The worst finding about a row.
    pub(super) fn severity(&self, key: &str) -> Option<Severity> {
        self.severities.get(key).copied()
    }

    /// Returns why it is not known where tasks wait, or `None` if it is known.
    pub(super) fn no_await_points(&self) -> Option<String> {
        match self.report.snapshot.await_points_measured() {
            AwaitPoints::On => None,
            AwaitPoints::Unavailable(why) => Some(name(why)),
            AwaitPoints::Off => Some(
                "Await points are off: the feature `layout` and MEMSCOPE_AWAIT_POINTS=on show them."
                    .to_owned(),
            ),
        }
    }
}

/// The key of a site's row.
pub(super) fn site_key(site: &SiteProfile) -> String {
    format!("site:{} {}:{}", site.name, site.file, site.line)
}

/// The key of the site at this place.
pub(super) fn place_key(place: &Place) -> String {
    format!("site:{} {}:{}", place.name, place.file, place.line)
}

/// The key of a task's site.
pub(super) fn site_of_task(task: &TaskMemoryProfile) -> String {
    format!("site:{} {}:{}", task.name, task.file, task.line)
}

/// Returns the worst finding about each site and task, by the keys of their rows.
pub(super) fn severities(leaks: &Leaks) -> HashMap<String, Severity> {
    let mut worst = HashMap::new();
    for leak in leaks {
        let key = leak.task.map_or_else(|| place_key(&leak.place), |it| format!("task:{it}"));
        let severity = worst.entry(key).or_insert(leak.severity);
        *severity = leak.severity.max(*severity);
    }
    worst
}

/// Returns the bytes that ended tasks of a site have left, or `None` if it is not known which tasks
/// have ended.
pub(super) fn left_bytes(site: &SiteProfile) -> Option<u64> {
    let others = site.active.saturating_add(site.unknown).saturating_add(site.given_up);
    let is_unknown = site.ends_unknown && site.spawned <= others;
    (site.measured && !is_unknown).then_some(site.retained_bytes)
}

/// Returns the rates of all sites, from two readings of one process.
pub(super) fn rates_between(before: &Report, now: &Report, earlier: &Rates) -> Rates {
    let seconds = now.snapshot.observed_seconds() - before.snapshot.observed_seconds();
    if seconds < LEAST_SECONDS {
        return earlier.clone();
    }
    let old: HashMap<String, u64> =
        before.snapshot.sites().iter().map(|it| (site_key(it), it.allocated_bytes)).collect();
    let rate = |site: &SiteProfile| {
        let key = site_key(site);
        // The rate is not known for a row that is new or has less than before.
        let bytes = site.allocated_bytes.checked_sub(*old.get(&key)?)?;
        Some((key, per_second(bytes, seconds)))
    };
    now.snapshot.sites().iter().filter_map(rate).collect()
}

/// Returns the rates of the sites whose points the process keeps, from their last two points.
pub(super) fn rates_kept(report: &Report) -> Rates {
    let snapshot = &report.snapshot;
    let trends = snapshot.trends().iter().chain(&snapshot.timeline().sites);
    let rate = |trend: &memscope_runtime::async_memory::Trend| {
        let last = trend.points.last().filter(|_| trend.task.is_none())?;
        let is_apart = |ns: u64| last.at_ns.saturating_sub(ns) >= 100_000_000;
        let before = trend.points.iter().rev().find(|it| is_apart(it.at_ns))?;
        let bytes = last.allocated_bytes.checked_sub(before.allocated_bytes)?;
        let seconds = std::time::Duration::from_nanos(last.at_ns - before.at_ns).as_secs_f64();
        Some((place_key(&trend.place), per_second(bytes, seconds)))
    };
    trends.filter_map(rate).collect()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is rounded"
)]
fn per_second(bytes: u64, seconds: f64) -> u64 {
    (bytes as f64 / seconds) as u64
}
