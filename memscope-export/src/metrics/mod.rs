//! What a scraper sees: bounded families of metrics, and their `OpenMetrics` text.

mod family;
mod floors;
mod largest;
mod polls;
mod text;

pub use family::{MetricFamily, MetricKind, MetricSeries, MetricValue};
pub use floors::CounterFloors;
use largest::Sums;
use memscope_runtime::async_memory::{MemorySnapshot, SiteProfile};
pub use text::text_of;

/// The snapshot in the `OpenMetrics` text format: [`metrics`], as text.
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

/// The metrics of a snapshot. What is not measured is absent, never 0.
///
/// Of each family the 200 largest sites are series, and all others are one series with
/// `site="(other)"`. Sites of one name and type are one series. Each family ranks sites by its own
/// figure. So a site may come and go, and `(other)` never falls as long as no figure does: it is
/// the sum of all but the largest.
///
/// A site's counters fall in two cases: an unannotated task gets its name, or tasks end while the
/// snapshot is read. [`CounterFloors`] keeps that from scrapers.
pub fn metrics(snapshot: &MemorySnapshot) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    if snapshot.measured().is_yes() {
        families.extend(memory(snapshot));
    }
    families.push(tasks(snapshot));
    families.extend(polls::family(snapshot));
    let tool = snapshot.tool();
    families.push(MetricFamily::single(
        MetricKind::Counter,
        "memscope_events_dropped",
        "",
        "Events and rows of ended tasks that were dropped. No sum depends on them.",
        tool.ring_events_dropped.saturating_add(tool.events_dropped),
    ));
    families.push(MetricFamily::single(
        MetricKind::Gauge,
        "memscope_own_bytes",
        "bytes",
        "Memory of memscope's own records, sites and history.",
        tool.own_bytes,
    ));
    families.extend(resident(snapshot));
    families
}

/// What the system and the allocator say of the process; each is absent where it is not known.
fn resident(snapshot: &MemorySnapshot) -> impl Iterator<Item = MetricFamily> {
    let it = snapshot.resident();
    let gauges = [
        (
            "memscope_process_resident_bytes",
            "Memory of the process that is in RAM.",
            it.resident_bytes,
        ),
        (
            "memscope_process_limit_bytes",
            "The nearest limit of the process's memory.",
            it.limit_bytes,
        ),
        (
            "memscope_process_limit_used_bytes",
            "What counts against that limit.",
            it.limit_used_bytes,
        ),
        (
            "memscope_process_allocator_free_bytes",
            "Memory that the program has freed and the allocator keeps.",
            it.allocator_free_bytes,
        ),
    ];
    gauges.into_iter().filter_map(|(name, help, bytes)| {
        Some(MetricFamily::single(MetricKind::Gauge, name, "bytes", help, bytes?))
    })
}

/// What is absent where sizes are not measured.
fn memory(snapshot: &MemorySnapshot) -> [MetricFamily; 5] {
    let process = snapshot.process();
    [
        by_site(
            snapshot,
            MetricKind::Gauge,
            "memscope_live_bytes",
            "Bytes that the tasks of a site have allocated and that are not freed.",
            |site| site.live_bytes,
        ),
        by_site(
            snapshot,
            MetricKind::Counter,
            "memscope_allocated_bytes",
            "Bytes of all allocations of the tasks of a site.",
            // What was handed over was allocated by the giver.
            |site| site.allocated_bytes.saturating_sub(site.transferred_bytes),
        ),
        retained(snapshot),
        MetricFamily::single(
            MetricKind::Gauge,
            "memscope_process_untracked_bytes",
            "bytes",
            "Live bytes that were allocated outside every task.",
            process.untracked_bytes,
        ),
        MetricFamily::single(
            MetricKind::Counter,
            "memscope_process_allocated_bytes",
            "bytes",
            "Bytes of all allocations, in tasks and outside of them.",
            process.tracked_allocated_bytes.saturating_add(process.untracked_allocated_bytes),
        ),
    ]
}

fn by_site(
    snapshot: &MemorySnapshot,
    kind: MetricKind,
    name: &'static str,
    help: &'static str,
    figure: fn(&SiteProfile) -> u64,
) -> MetricFamily {
    let mut sums = Sums::default();
    for site in snapshot.sites() {
        sums.add((&site.name, site.task_type.as_str()), figure(site));
    }
    let series = sums.largest().map(|((site, task_type), sum)| {
        MetricSeries::new(&[("site", site), ("task_type", task_type)], sum)
    });
    MetricFamily { kind, name, unit: "bytes", help, series: series.collect() }
}

fn retained(snapshot: &MemorySnapshot) -> MetricFamily {
    let mut sums = Sums::default();
    for site in snapshot.sites() {
        sums.add((&site.name, ""), site.retained_bytes);
    }
    let series = sums.largest().map(|((site, _), sum)| MetricSeries::new(&[("site", site)], sum));
    MetricFamily {
        kind: MetricKind::Gauge,
        name: "memscope_retained_bytes",
        unit: "bytes",
        help: "Live bytes of the ended tasks of a site.",
        series: series.collect(),
    }
}

/// The word for a state, and how many tasks of a site are in it.
type State = (&'static str, fn(&SiteProfile) -> u64);

/// The states that tasks are counted by. Those after the first four are of unannotated tasks, and
/// absent where there are none.
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

fn tasks(snapshot: &MemorySnapshot) -> MetricFamily {
    let mut series = Vec::new();
    for (index, (state, count)) in STATES.into_iter().enumerate() {
        let mut sums = Sums::default();
        for site in snapshot.sites() {
            let count = count(site);
            if index < STATES_OF_ALL || count != 0 {
                sums.add((&site.name, site.task_type.as_str()), count);
            }
        }
        series.extend(sums.largest().map(|((site, task_type), sum)| {
            let labels = [("site", site), ("task_type", task_type), ("state", state)];
            MetricSeries::new(&labels, sum)
        }));
    }
    MetricFamily {
        kind: MetricKind::Gauge,
        name: "memscope_tasks",
        unit: "",
        help: "Tasks of a site: active ones, and ended ones by how they ended.",
        series,
    }
}
