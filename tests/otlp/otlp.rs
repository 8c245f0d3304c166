//! The metrics of a program, sent by OpenTelemetry's own exporter to a collector, which sends them
//! on to a receiver made of OpenTelemetry's published protobuf.
//!
//! `COLLECTOR` is the path of the collector `rotel-agent`, which the Python package `rotel` brings.
//! Without it the exporter sends to the receiver itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header::CONTENT_ENCODING},
    routing::post,
};
use flate2::read::GzDecoder;
use memscope_rs::{
    async_memory::{MemorySnapshot, get_memory_snapshot, track},
    server::opentelemetry::observe,
};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig as _};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{AggregationTemporality, Metric, metric::Data, number_data_point},
};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prost::Message as _;
use tokio::runtime::{self, Runtime};

const LONG: Duration = Duration::from_secs(60);
/// A name with every character that a text format treats apart, and others.
const ODD_NAME: &str = "GET /\"orders\"\n\\ {id=1} ü";

type Received = Arc<Mutex<Vec<Metric>>>;

/// A metric's name and attributes.
type Series = (String, BTreeMap<String, String>);

/// Takes what is sent to `/v1/metrics`, on a runtime of its own.
fn receiver() -> (SocketAddr, Received) {
    let received = Received::default();
    let take = |State(received): State<Received>, headers: HeaderMap, body: Bytes| async move {
        let mut bytes = Vec::new();
        if headers.get(CONTENT_ENCODING).is_some_and(|it| it == "gzip") {
            GzDecoder::new(&body[..]).read_to_end(&mut bytes).expect("gzip");
        } else {
            bytes.extend_from_slice(&body);
        }
        let request = ExportMetricsServiceRequest::decode(&bytes[..]).expect("a request of OTLP");
        let scopes = request.resource_metrics.into_iter().flat_map(|it| it.scope_metrics);
        let ours = scopes.filter(|it| it.scope.as_ref().is_some_and(|it| it.name == "memscope"));
        received.lock().expect("no panic").extend(ours.flat_map(|it| it.metrics));
    };
    let routes = Router::new().route("/v1/metrics", post(take)).with_state(Arc::clone(&received));
    let (started, starts) = mpsc::channel();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let listener = listener.expect("a port");
            started.send(listener.local_addr().expect("an address")).expect("a receiver");
            axum::serve(listener, routes).await.expect("it serves");
        });
    });
    (starts.recv_timeout(LONG).expect("it starts"), received)
}

/// A collector that sends what it gets to this address. It ends when this is dropped.
struct Collector {
    process: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Collector {
    fn start(program: &str, to: SocketAddr) -> Self {
        // It takes no port 0.
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let (grpc, http) = (free(), free());
        let [grpc, http] = [grpc, http].map(|it| it.local_addr().expect("an address"));
        let folder = env::temp_dir().join(format!("memscope-otlp-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let process = Command::new(program)
            .arg("start")
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .arg(format!("--log-file={}", folder.join("log").display()))
            .arg(format!("--otlp-grpc-endpoint={grpc}"))
            .arg(format!("--otlp-http-endpoint={http}"))
            .args(["--exporter=otlp", "--otlp-exporter-protocol=http"])
            .arg("--otlp-exporter-request-timeout=30s")
            .arg(format!("--otlp-exporter-endpoint=http://{to}"))
            .stdout(Stdio::null())
            .spawn()
            .expect("the collector");
        let mut it = Self { process, address: http, folder };
        let start = Instant::now();
        while std::net::TcpStream::connect(http).is_err() {
            let end = it.process.try_wait().expect("its state");
            assert!(
                end.is_none() && start.elapsed() < LONG,
                "the collector does not start: {end:?}"
            );
            thread::sleep(Duration::from_millis(50));
        }
        it
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // An error: it has ended, or the folder is gone.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Tasks that hold bytes and stand still, and more sites than are listed.
fn program() -> Runtime {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (started, starts) = mpsc::channel();
    let names = (0..250).map(|number| (format!("site {number}"), 1_000 + number));
    let names = names.chain([("orders".to_owned(), 100_000), (ODD_NAME.to_owned(), 200_000)]);
    let count = names.clone().count();
    for (name, size) in names {
        let started = started.clone();
        let work = async move {
            let held = vec![1_u8; size];
            started.send(()).expect("a receiver");
            std::future::pending::<()>().await;
            drop(held);
        };
        drop(runtime.spawn(track(work).named(name)));
    }
    for _ in 0..count {
        starts.recv_timeout(LONG).expect("it starts");
    }
    runtime
}

fn attributes(of: &[KeyValue]) -> BTreeMap<String, String> {
    let each = of.iter().map(|it| {
        let Some(Value::StringValue(text)) = it.value.as_ref().and_then(|it| it.value.clone())
        else {
            panic!("no text: {it:?}");
        };
        (it.key.clone(), text)
    });
    each.collect()
}

/// The figures by series. No series is there twice.
fn figures(metrics: &[Metric]) -> BTreeMap<Series, i64> {
    let mut figures = BTreeMap::new();
    for metric in metrics {
        let points = match metric.data.as_ref().expect("data") {
            Data::Gauge(gauge) => &gauge.data_points,
            Data::Sum(sum) => {
                assert!(sum.is_monotonic, "{}", metric.name);
                assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
                &sum.data_points
            }
            other => panic!("{}: {other:?}", metric.name),
        };
        for point in points {
            let figure = match point.value {
                Some(number_data_point::Value::AsInt(figure)) => figure,
                // A time, and known to the nanosecond.
                Some(number_data_point::Value::AsDouble(seconds)) if metric.unit == "s" => {
                    (seconds * 1e9).round() as i64
                }
                _ => panic!("{}: {point:?}", metric.name),
            };
            assert!(point.time_unix_nano != 0, "{}: no time", metric.name);
            let series = (metric.name.clone(), attributes(&point.attributes));
            assert!(figures.insert(series.clone(), figure).is_none(), "twice: {series:?}");
        }
    }
    figures
}

/// What has been received since, once a whole collection is there.
fn collected(provider: &SdkMeterProvider, received: &Received) -> Vec<Metric> {
    // Each collection has a snapshot of its own.
    thread::sleep(Duration::from_secs(1));
    received.lock().expect("no panic").clear();
    provider.force_flush().expect("the exporter sends");
    let start = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(50));
        let metrics = received.lock().expect("no panic").clone();
        // The last instrument that is registered, and the last of a collection.
        let own = metrics.iter().any(|it| it.name == "memscope_own_bytes");
        let live = metrics.iter().any(|it| it.name == "memscope_live_bytes");
        if own && live {
            // A collector may send it in two parts.
            thread::sleep(Duration::from_millis(500));
            return received.lock().expect("no panic").clone();
        }
        assert!(start.elapsed() < LONG, "received: {metrics:?}");
    }
}

fn figure_of(snapshot: &MemorySnapshot, site: &str, metric: &str) -> i64 {
    let site = snapshot.sites_named(site).next().expect("a site");
    let figure = match metric {
        "memscope_live_bytes" => site.live_bytes,
        "memscope_allocated_bytes" => site.allocated_bytes,
        other => panic!("{other}"),
    };
    i64::try_from(figure).expect("a figure")
}

#[test]
fn a_collector_gets_each_metric_with_the_figures_of_the_snapshot() {
    let (sink, received) = receiver();
    let collector = env::var("COLLECTOR").ok().filter(|it| !it.is_empty());
    let collector = collector.map(|program| Collector::start(&program, sink));
    let to = collector.as_ref().map_or(sink, |it| it.address);
    let exporter = MetricExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("http://{to}/v1/metrics"))
        .with_timeout(LONG)
        .build()
        .expect("an exporter");
    let reader =
        PeriodicReader::builder(exporter).with_interval(Duration::from_secs(3_600)).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    memscope_rs::init();
    let program = program();
    // Its thread takes a look by itself.
    let start = Instant::now();
    while get_memory_snapshot().tool().longest_look_ns == 0 {
        assert!(start.elapsed() < LONG, "there is a look");
        thread::sleep(Duration::from_millis(1));
    }
    observe(&provider.meter("memscope"));

    let first = collected(&provider, &received);
    let before = figures(&first);
    let snapshot = get_memory_snapshot();
    for site in ["orders", ODD_NAME] {
        for metric in ["memscope_live_bytes", "memscope_allocated_bytes"] {
            let is_it = |(name, attributes): &Series| {
                name == metric && attributes.get("site").is_some_and(|it| it == site)
            };
            let found: Vec<_> = before.iter().filter(|it| is_it(it.0)).collect();
            let expected = figure_of(&snapshot, site, metric);
            assert!(found.len() == 1 && *found[0].1 == expected, "{metric} {expected}: {found:?}");
            assert!(expected >= 100_000, "{site}: {expected}");
        }
    }
    let names: BTreeSet<&str> = first.iter().map(|it| &*it.name).collect();
    for name in [
        "memscope_allocated_bytes",
        "memscope_events_dropped",
        "memscope_live_bytes",
        "memscope_longest_look_seconds",
        "memscope_looks",
        "memscope_own_bytes",
        "memscope_poll_seconds_bucket",
        "memscope_poll_seconds_count",
        "memscope_process_allocated_bytes",
        "memscope_process_resident_bytes",
        "memscope_process_untracked_bytes",
        "memscope_retained_bytes",
        "memscope_tasks",
    ] {
        assert!(names.contains(name), "no {name}: {names:?}");
    }
    for metric in &first {
        let unit = match &*metric.name {
            "memscope_longest_look_seconds" => "s",
            name if name.ends_with("_bytes") => "By",
            _ => "",
        };
        assert_eq!(metric.unit, unit, "{}", metric.name);
        assert!(!metric.description.is_empty(), "{}", metric.name);
    }
    let live = before.keys().filter(|it| it.0 == "memscope_live_bytes");
    let sites: BTreeSet<&String> = live.map(|it| &it.1["site"]).collect();
    assert!(sites.len() == 201 && sites.iter().any(|it| *it == "(other)"), "{}", sites.len());

    // A second collection: no counter falls, and those of what works rise.
    let second = collected(&provider, &received);
    let after = figures(&second);
    let is_counter = |name: &str| {
        first.iter().any(|it| it.name == name && matches!(it.data, Some(Data::Sum(_))))
    };
    let mut risen = BTreeSet::new();
    for (series, before) in before.iter().filter(|it| is_counter(&it.0.0)) {
        // A smaller site leaves the list when a larger one comes.
        let Some(after) = after.get(series) else { continue };
        assert!(after >= before, "{series:?} fell from {before} to {after}");
        if after > before {
            risen.insert(&*series.0);
        }
    }
    let is_kept = |it: &&Series| is_counter(&it.0) && after.contains_key(*it);
    assert!(before.keys().filter(is_kept).count() > 200, "most stay");
    assert!(risen.contains("memscope_process_allocated_bytes"), "{risen:?}");
    let way = if collector.is_some() { "a collector" } else { "the receiver alone" };
    println!("otlp: {} series, through {way}", after.len());
    // It sends once more.
    provider.shutdown().expect("it ends");
    drop((program, collector));
}
