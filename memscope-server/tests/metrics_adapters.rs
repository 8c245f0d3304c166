//! The metrics in registries of other libraries, and the files that read them: `docs/grafana`.
//! `ci/export.sh` checks them with promtool if it is installed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{Request, header};
use http_body_util::BodyExt as _;
use memscope_export::{MetricKind, metric_families, metrics, text_of};
use memscope_runtime::async_memory::{get_memory_snapshot, track};
use memscope_server::{Collector, opentelemetry::observe, router};
use memscope_tests::{alone_without_names, conserved};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics},
};
use prometheus_client::{encoding::text::encode, metrics::counter::Counter, registry::Registry};
use regex::{Captures, Regex};
use serde_json::Value;
use tokio::runtime::{self, Runtime};
use tower::ServiceExt as _;

use crate::{
    ALLOCATOR,
    support::{
        figures::{Figures, Series, figures, label},
        standing::standing,
    },
};

/// Long enough for a machine that is busy with other work.
const LONG: Duration = Duration::from_mins(2);
/// A name with every character that a text format escapes.
const ODD_NAME: &str = "GET /\"orders\"\n\\ {id=1} 2";

/// The lines about families.
fn about(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| line.starts_with('#')).collect()
}

/// What `/metrics` answers, from the snapshot of this second.
fn served() -> String {
    let request = Request::get("/metrics").header(header::HOST, "a").body(Body::empty());
    let runtime = runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let answer = router().oneshot(request.expect("a request")).await.expect("an answer");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(body.to_vec()).expect("text")
    })
}

/// What is served, and what `other` makes of the same snapshot.
fn beside_what_is_served<T>(other: impl Fn() -> T) -> (String, T) {
    let start = Instant::now();
    let mut before = served();
    loop {
        let made = other();
        let after = served();
        if after == before {
            return (before, made);
        }
        assert!(start.elapsed() < LONG, "never two requests within a second");
        before = after;
    }
}

/// Starts tasks that hold bytes, and one that has ended and left some bytes.
fn program() -> (Runtime, Vec<u8>) {
    let runtime = standing([("orders", 10_000), (ODD_NAME, 20_000)]);
    let left = runtime.spawn(track(async { vec![1_u8; 5_000] }).named("left"));
    let left = runtime.block_on(left).expect("no panic");
    // An earlier snapshot no longer serves.
    thread::sleep(Duration::from_secs(1));
    (runtime, left)
}

fn shop_registry() -> Registry {
    let mut registry = Registry::default();
    let orders = Counter::<u64>::default();
    orders.inc_by(3);
    registry.register("shop_orders", "Orders", orders);
    registry.register_collector(Box::new(Collector));
    registry
}

fn encoded(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("a string takes all");
    text
}

/// A meter whose figures are read by the names that they have in text.
#[derive(Debug)]
struct Metered {
    provider: SdkMeterProvider,
    exporter: InMemoryMetricExporter,
}

impl Metered {
    fn new() -> Self {
        let exporter = InMemoryMetricExporter::default();
        // The reader collects only when it is flushed.
        let reader = PeriodicReader::builder(exporter.clone()).with_interval(60 * LONG).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        observe(&provider.meter("memscope"));
        Self { provider, exporter }
    }

    /// The figures, and the unit and description of each instrument.
    fn collect(&self) -> (Figures, BTreeMap<String, (String, String)>) {
        self.exporter.reset();
        self.provider.force_flush().expect("collected");
        let exported = self.exporter.get_finished_metrics().expect("metrics");
        let (mut figures, mut about) = (Figures::new(), BTreeMap::new());
        let scopes = exported.iter().flat_map(ResourceMetrics::scope_metrics);
        for metric in scopes.flat_map(ScopeMetrics::metrics) {
            let name = metric.name();
            let described = (metric.unit().to_owned(), metric.description().to_owned());
            about.insert(name.to_owned(), described);
            let AggregatedMetrics::U64(data) = metric.data() else { panic!("{name}") };
            let (name, points): (_, Vec<_>) = match data {
                MetricData::Gauge(gauge) => {
                    let points =
                        gauge.data_points().map(|it| (it.attributes().collect(), it.value()));
                    (name.to_owned(), points.collect())
                }
                MetricData::Sum(sum) => {
                    assert!(sum.is_monotonic(), "{name}");
                    let is_part = name.ends_with("_bucket") || name.ends_with("_count");
                    let name = if is_part { name.to_owned() } else { format!("{name}_total") };
                    let points =
                        sum.data_points().map(|it| (it.attributes().collect(), it.value()));
                    (name, points.collect())
                }
                other => panic!("{name}: {other:?}"),
            };
            for (attributes, number) in points {
                let attributes: Vec<&opentelemetry::KeyValue> = attributes;
                let labels = attributes.iter().map(|it| label(it.key.as_str(), &it.value.as_str()));
                let is_new = figures.insert((name.clone(), labels.collect()), float(number));
                assert!(is_new.is_none(), "{name} {attributes:?} twice");
            }
        }
        (figures, about)
    }
}

#[expect(clippy::cast_precision_loss, reason = "as in a text's reader")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Asserts that both have the same figures, and says which series differ, and how.
#[track_caller]
fn same(found: &Figures, expected: &Figures) {
    let series: BTreeSet<&Series> = found.keys().chain(expected.keys()).collect();
    let pairs = series.iter().map(|it| (it, found.get(*it), expected.get(*it)));
    let different: Vec<_> = pairs.filter(|(_, found, expected)| found != expected).collect();
    assert!(different.is_empty(), "found, expected: {different:#?}");
}

/// The figures by site of tasks that stand still.
fn of_program(figures: &Figures) -> Figures {
    let ours = ["orders", ODD_NAME, "left"];
    let is_ours = |labels: &BTreeMap<_, String>| {
        labels.get("site").is_some_and(|site| ours.contains(&site.as_str()))
    };
    let figures = figures.iter().filter(|((_, labels), _)| is_ours(labels));
    figures.map(|(series, figure)| (series.clone(), *figure)).collect()
}

#[track_caller]
fn shows_the_program(figures: &Figures) {
    let found = of_program(figures);
    same(
        &found,
        &of_program(&crate::support::figures::figures(&text_of(&metrics(&get_memory_snapshot())))),
    );
    let largest = |name: &str, site: &str| {
        let of_site =
            found.iter().filter(|(series, _)| series.0 == name && series.1["site"] == site);
        of_site.map(|(_, figure)| *figure).fold(0.0, f64::max)
    };
    assert!(largest("memscope_live_bytes", ODD_NAME) >= 20_000.0, "{found:?}");
    assert!(largest("memscope_allocated_bytes_total", "orders") >= 10_000.0, "{found:?}");
    assert!(largest("memscope_retained_bytes", "left") >= 5_000.0, "{found:?}");
}

#[test]
fn a_registry_encodes_what_is_served_beside_the_programs_own_families() {
    let _alone = alone_without_names();
    let program = program();
    let (served, encoded) = beside_what_is_served(|| encoded(&shop_registry()));
    assert!(encoded.starts_with("# HELP shop_orders Orders.\n"), "{encoded}");
    assert!(encoded.contains("\nshop_orders_total 3\n") && encoded.ends_with("\n# EOF\n"));
    let mut found = figures(&encoded);
    found.remove(&("shop_orders_total".to_owned(), BTreeMap::new()));
    let sum = found.remove(&("memscope_poll_seconds_sum".to_owned(), BTreeMap::new()));
    assert!(sum.is_some_and(f64::is_nan), "it is not measured: {sum:?}");
    same(&found, &figures(&served));
    shows_the_program(&found);
    let mut about_found = about(&encoded);
    about_found.retain(|line| !line.contains(" shop_orders "));
    assert_eq!(about_found, about(&served));
    drop(program);
}

#[test]
fn a_meter_observes_what_is_served() {
    let _alone = alone_without_names();
    let program = program();
    let metered = Metered::new();
    let (served, (found, about)) = beside_what_is_served(|| metered.collect());
    same(&found, &figures(&served));
    shows_the_program(&found);
    for family in metric_families() {
        let unit = if family.unit == "bytes" { "By" } else { "" };
        let is_histogram = family.kind == MetricKind::Histogram;
        let suffixes: &[_] = if is_histogram { &["_bucket", "_count"] } else { &[""] };
        for suffix in suffixes {
            // A figure that the system does not report is absent.
            if let Some(it) = about.get(&format!("{}{suffix}", family.name)) {
                assert_eq!(*it, (unit.to_owned(), family.help.to_owned()), "{}", family.name);
            }
        }
    }
    metered.provider.shutdown().expect("it ends");
    drop(program);
}

#[test]
fn no_counter_falls_when_a_task_takes_its_bytes_to_a_site_of_its_own() {
    let _alone = alone_without_names();
    let mut runtime = runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    // This task stays at the site of all unannotated tasks.
    drop(runtime.spawn(async {
        let held = vec![1_u8; 100];
        std::future::pending::<()>().await;
        drop(held);
    }));
    let (started, starts) = mpsc::channel();
    let work = runtime.spawn(async move {
        drop(vec![1_u8; 10 << 20]);
        let held = vec![1_u8; 1 << 20];
        started.send(()).expect("a receiver");
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(held.clone());
        }
    });
    starts.recv_timeout(LONG).expect("it starts");
    // An earlier snapshot no longer serves.
    thread::sleep(Duration::from_secs(1));
    let (registry, metered) = (shop_registry(), Metered::new());
    let collect = || [figures(&encoded(&registry)), metered.collect().0];
    let before = collect();
    let fallen = |now: &Figures, before: &Figures| {
        let ends = ["_total", "_bucket", "_count"];
        let rising = before.iter().filter(|(it, _)| ends.iter().any(|end| it.0.ends_with(end)));
        let pairs = rising.filter_map(|(it, before)| Some((it.clone(), *before, *now.get(it)?)));
        pairs.filter(|(_, before, now)| now < before).collect::<Vec<_>>()
    };
    memscope_runtime::builder().name_tasks(true).init().expect("good settings");
    let start = Instant::now();
    while fallen(&figures(&text_of(&metrics(&get_memory_snapshot()))), &before[0]).is_empty() {
        assert!(start.elapsed() < LONG, "the task gets no name: {before:?}");
        thread::sleep(Duration::from_millis(10));
    }
    // Each collection has a snapshot of its own.
    thread::sleep(Duration::from_secs(1));
    let after = collect();
    for (after, before) in after.iter().zip(&before) {
        assert_eq!(fallen(after, before), []);
        assert_ne!(after, before);
    }
    work.abort();
    drop(runtime);
    metered.provider.shutdown().expect("it ends");
}

#[test]
fn the_snapshot_is_memscopes_and_the_text_is_the_programs() {
    let _alone = alone_without_names();
    for site in 0..400 {
        // Each site is a row.
        drop(track(async {}).named(format!("site {site}")));
    }
    let registry = shop_registry();
    let mut text = String::with_capacity(4 << 20);
    let mut encode_anew = || {
        // The snapshot of this second has been taken.
        thread::sleep(Duration::from_secs(1));
        text.clear();
        encode(&mut text, &registry).expect("a string takes all");
    };
    encode_anew();
    let outside = || get_memory_snapshot().process().untracked_allocated_bytes;
    let start = outside();
    // This snapshot is the program's memory.
    let of_a_snapshot = outside() - start;
    let before = outside();
    for _ in 0..3 {
        encode_anew();
    }
    let grown = (outside() - before).saturating_sub(of_a_snapshot);
    // The encoder has a buffer of some kilobytes.
    assert!(grown < of_a_snapshot / 2, "{grown} bytes, and a snapshot takes {of_a_snapshot}");
    assert!(conserved(&ALLOCATOR).tool().heap_bytes > 100_000);
    assert!(text.len() < 4 << 20 && text.contains("site=\"site 1\""), "{}", text.len());
}

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).expect(path)
}

#[test]
fn the_dashboard_and_the_alerts_name_metrics_that_exist() {
    let mut exist = BTreeSet::new();
    for family in metric_families() {
        let suffixes: &[&str] = match family.kind {
            MetricKind::Gauge => &[""],
            MetricKind::Counter => &["_total"],
            MetricKind::Histogram => &["_bucket", "_count"],
        };
        exist.extend(suffixes.iter().map(|suffix| format!("{}{suffix}", family.name)));
    }
    let pattern = Regex::new("memscope_[a-z_]+").expect("a pattern");
    let mut shown = BTreeSet::new();
    for path in ["docs/grafana/memscope.json", "docs/grafana/alerts.yml"] {
        let text = read(path);
        let found = pattern.find_iter(&text).map(|it| it.as_str().to_owned());
        let names: BTreeSet<_> = found.collect();
        assert!(names.len() >= 5, "{path}: {names:?}");
        shown.extend(names);
    }
    let unknown: Vec<_> = shown.difference(&exist).collect();
    assert!(unknown.is_empty(), "they do not exist: {unknown:?}");
    let not_shown: Vec<_> = exist.difference(&shown).collect();
    assert!(not_shown.is_empty(), "no panel shows them: {not_shown:?}");
}

#[test]
fn every_panel_asks_the_source_that_is_chosen_at_the_top() {
    let dashboard: Value = serde_json::from_str(&read("docs/grafana/memscope.json")).expect("JSON");
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let source = variables.iter().find(|it| it["type"] == "datasource").expect("a source");
    assert_eq!((&source["name"], &source["query"]), (&"datasource".into(), &"prometheus".into()));
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{panel}");
        for asked in targets.iter().chain([panel]) {
            assert_eq!(asked["datasource"]["uid"], "${datasource}", "{panel}");
        }
        let is_chosen = |it: &Value| {
            let query = it["expr"].as_str().unwrap_or_default();
            query.matches("memscope_").count()
                == query.matches(r#"{job=~"$job", instance=~"$instance"}"#).count()
        };
        assert!(targets.iter().all(is_chosen), "of the chosen jobs alone: {panel}");
        assert!(ids.insert(panel["id"].as_u64()), "{panel}");
    }
    assert!(panels.len() >= 8, "{} panels", panels.len());
}

fn promtool(arguments: &[&str], input: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool");
    promtool.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("its end");
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
}

#[test]
#[ignore = "needs promtool"]
fn promtool_finds_nothing_wrong_with_what_a_registry_encodes() {
    let _alone = alone_without_names();
    let program = program();
    let text = encoded(&shop_registry());
    // promtool reads the older text format, in which a counter has `_total` in its name.
    let older = Regex::new("(?m)^# (TYPE|HELP) ([a-z_]+) (.*)$").expect("a pattern");
    let is_counter = |name: &str| text.contains(&format!("# TYPE {name} counter\n"));
    let older = older.replace_all(&text, |line: &Captures<'_>| {
        let total = if is_counter(&line[2]) { "_total" } else { "" };
        format!("# {} {}{total} {}", &line[1], &line[2], &line[3])
    });
    promtool(&["check", "metrics"], &older);
    drop(program);
}

#[test]
#[ignore = "needs promtool"]
fn promtool_takes_the_alerts_and_they_fire_when_they_should() {
    let (alerts, rules) =
        (file("docs/grafana/alerts.yml"), file("memscope-server/tests/alerts/rules.yml"));
    promtool(&["check", "rules", alerts.to_str().expect("UTF-8")], "");
    promtool(&["test", "rules", rules.to_str().expect("UTF-8")], "");
}
