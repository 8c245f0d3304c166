//! The metrics for scrapers: bounded families, and their `OpenMetrics` text.

mod all;
mod family;
mod floors;
mod largest;
mod polls;
mod text;

use std::sync::Arc;

pub use all::metric_families;
pub use family::{MetricFamily, MetricKind, MetricSeries, MetricValue};
pub use floors::CounterFloors;
use largest::Groups;
use memscope_runtime::async_memory::{MemorySnapshot, SiteProfile};
pub use text::text_of;

/// Writes the [`metrics`] of a snapshot in the `OpenMetrics` text format.
///
/// ```
/// use memscope_runtime::async_memory::get_memory_snapshot;
///
/// let text = memscope_export::open_metrics(&get_memory_snapshot());
/// assert!(text.ends_with("# EOF\n"));
/// ```
pub fn open_metrics(snapshot: &MemorySnapshot) -> String {
    text_of(&metrics(snapshot))
}

/// Returns the metrics of a snapshot. A figure that is not measured is absent, never 0.
///
/// In each family the 200 largest sites have a series each, and all others share one with
/// `site="(other)"`. Sites of one name and type are one series. Each family ranks sites by its own
/// figure. So a site's series may come and go. `(other)` never falls as long as no figure falls, as
/// it is the sum of all but the largest.
///
/// A site's counters fall in two cases: an unannotated task gets its name, or tasks end while the
/// snapshot is read. [`CounterFloors`] hides that from scrapers.
pub fn metrics(snapshot: &MemorySnapshot) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    let sites = snapshot.sites().iter();
    let groups = Groups::of(sites.map(|site| (site.name.as_str(), site.task_type)));
    if snapshot.measured().is_yes() {
        families.extend(memory(snapshot, &groups));
    }
    families.push(tasks(snapshot, &groups));
    families.extend(polls::family(snapshot));
    let tool = snapshot.tool();
    let dropped = tool.ring_events_dropped.saturating_add(tool.events_dropped);
    families.push(all::DROPPED.of(dropped));
    families.push(all::LOOKS.of(tool.looks));
    // The figure is 0 until the collector's thread has looked once.
    if tool.longest_look_ns != 0 {
        families.push(all::LONGEST_LOOK.of_nanoseconds(tool.longest_look_ns));
    }
    families.push(all::OWN.of(tool.own_bytes));
    families.extend(resident(snapshot));
    families
}

/// What the system and the allocator say of the process. A figure that is not known is absent.
fn resident(snapshot: &MemorySnapshot) -> impl Iterator<Item = MetricFamily> {
    let it = snapshot.resident();
    let gauges = [
        (all::RESIDENT, it.resident_bytes),
        (all::LIMIT, it.limit_bytes),
        (all::LIMIT_USED, it.limit_used_bytes),
        (all::ALLOCATOR_FREE, it.allocator_free_bytes),
    ];
    gauges.into_iter().filter_map(|(family, bytes)| Some(family.of(bytes?)))
}

/// The families that are absent if sizes are not measured.
fn memory(snapshot: &MemorySnapshot, groups: &Groups<'_>) -> [MetricFamily; 5] {
    let process = snapshot.process();
    let allocated =
        process.tracked_allocated_bytes.saturating_add(process.untracked_allocated_bytes);
    [
        by_site((snapshot, groups), all::LIVE, |site| site.live_bytes),
        // What was handed over was allocated by the giver.
        by_site((snapshot, groups), all::ALLOCATED, |site| {
            site.allocated_bytes.saturating_sub(site.transferred_bytes)
        }),
        retained(snapshot, groups),
        all::UNTRACKED.of(process.untracked_bytes),
        all::PROCESS_ALLOCATED.of(allocated),
    ]
}

fn by_site(
    (snapshot, groups): (&MemorySnapshot, &Groups<'_>),
    family: MetricFamily,
    figure: fn(&SiteProfile) -> u64,
) -> MetricFamily {
    let figures = snapshot.sites().iter().map(|site| Some(figure(site)));
    family.with(groups.largest(figures).map(|([site, task_type], sum)| {
        MetricSeries::new(vec![("site", site), ("task_type", task_type)], sum)
    }))
}

fn retained(snapshot: &MemorySnapshot, groups: &Groups<'_>) -> MetricFamily {
    let figures = snapshot.sites().iter().map(|site| Some(site.retained_bytes));
    let series = groups.largest_names(figures);
    all::RETAINED.with(series.map(|(site, sum)| MetricSeries::new(vec![("site", site)], sum)))
}

/// The name of a state, and how many tasks of a site are in it.
type State = (&'static str, fn(&SiteProfile) -> u64);

/// The states that tasks are counted by. Those after the first four apply to unannotated tasks
/// alone, and are absent if there are none.
const STATES: [State; 7] = [
    ("active", |site| site.active),
    ("completed", |site| site.completed),
    ("cancelled", |site| site.cancelled),
    ("panicked", |site| site.panicked),
    ("ended", |site| site.ended_unknown),
    ("unknown", |site| site.unknown),
    ("given_up", |site| site.given_up),
];
const STATES_OF_ALL: usize = 4;

fn tasks(snapshot: &MemorySnapshot, groups: &Groups<'_>) -> MetricFamily {
    let mut series = Vec::new();
    for (index, (state, count)) in STATES.into_iter().enumerate() {
        let figures = snapshot.sites().iter().map(|site| {
            let count = count(site);
            (index < STATES_OF_ALL || count != 0).then_some(count)
        });
        let state: Arc<str> = state.into();
        series.extend(groups.largest(figures).map(|([site, task_type], sum)| {
            let state = Arc::clone(&state);
            let labels = vec![("site", site), ("task_type", task_type), ("state", state)];
            MetricSeries::new(labels, sum)
        }));
    }
    all::TASKS.with(series)
}
