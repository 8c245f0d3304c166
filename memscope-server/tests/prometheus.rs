//! A real Prometheus server scrapes a program, and answers what the dashboard and the alerts ask.
//! `ci/export.sh` runs this test if Prometheus is installed.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use memscope_runtime::{Limit, async_memory::track, builder};
use memscope_server::serve;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::{
    LONG,
    figures::{Figures, Series, figures, label},
    get,
    prometheus::Prometheus,
    standing::standing,
};

/// A name with every character that a text format escapes.
const ODD_NAME: &str = "GET /\"orders\"\n\\ {id=1} 2";
/// More sites than are listed.
const SITES: usize = 250;
/// How many minutes of the past the server has. An alert looks back for 40 minutes.
const MINUTES: u64 = 45;
const RULES: &str = "docs/grafana/alerts.yml";
/// Every metric of memscope.
const ALL: &str = r#"{__name__=~"memscope_.+"}"#;

/// Starts tasks that hold bytes and stand still, and tasks that come and go. Returns also the bytes
/// that an ended task has left.
fn program() -> (Runtime, Vec<u8>) {
    let names = (0..SITES).map(|number| (format!("site {number}"), 1_000 + number));
    let names = names.chain([("orders".to_owned(), 100_000), (ODD_NAME.to_owned(), 200_000)]);
    let runtime = standing(names);
    let left = runtime.spawn(track(async { vec![1_u8; 50_000] }).named("left"));
    let left = runtime.block_on(left).expect("no panic");
    drop(runtime.spawn(async {
        loop {
            let work = track(async { drop(vec![1_u8; 1_000]) }).named("busy");
            let _ended = tokio::spawn(work).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }));
    (runtime, left)
}

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// The scrapes of a sick program in the minutes up to `end`. All figures that alerts look at grow,
/// from those of this text on.
fn past(served: &str, instance: &str, end: u64) -> String {
    let mut past = String::new();
    let mut limit = 0;
    let lines: Vec<&str> = served.lines().collect();
    for line in lines.iter().filter(|it| it.starts_with("memscope_process_limit_bytes ")) {
        limit = line.rsplit_once(' ').and_then(|it| it.1.parse().ok()).expect("a figure");
    }
    assert!(limit != 0, "no limit in {served}");
    let mut is_open = false;
    for line in lines {
        if let Some(about) = line.strip_prefix("# TYPE ") {
            let name = about.split(' ').next().expect("a name");
            is_open = [
                "memscope_live_bytes",
                "memscope_process_untracked_bytes",
                "memscope_process_limit_bytes",
                "memscope_process_limit_used_bytes",
                "memscope_events_dropped",
            ]
            .contains(&name);
        }
        if !is_open {
            continue;
        }
        let Some((series, figure)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))
        else {
            writeln!(past, "{line}").expect("a string takes it");
            continue;
        };
        let figure: u64 = figure.parse().expect("a figure");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let comma = if labels == "}" { "" } else { "," };
        for minute in 0..MINUTES {
            let figure = match name {
                "memscope_process_limit_bytes" => limit,
                "memscope_process_limit_used_bytes" => limit / 100 * 96,
                "memscope_events_dropped_total" => figure + minute,
                _ => figure + (minute << 20),
            };
            let at = end - 60 * (MINUTES - 1 - minute);
            writeln!(
                past,
                "{name}{{job=\"shop\",instance=\"{instance}\"{comma}{labels} {figure} {at}"
            )
            .expect("a string takes it");
        }
    }
    past + "# EOF\n"
}

/// The series of a result, without what Prometheus has added, and what `read` sees of each.
fn series<T>(result: &[Value], read: impl Fn(&Value) -> T) -> BTreeMap<Series, T> {
    let each = result.iter().map(|it| {
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in it["metric"].as_object().expect("labels") {
            let (name, value) = label(name, value.as_str().expect("text"));
            labels.insert(name, value);
        }
        assert_eq!(labels.remove("job").as_deref(), Some("shop"), "{it}");
        assert!(labels.remove("instance").is_some(), "{it}");
        let name = labels.remove("__name__").expect("a name");
        ((name, labels), read(it))
    });
    each.collect()
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|it| it.parse().ok()).expect("a number")
}

/// Waits until the rules have been evaluated and the target scraped a few times.
fn wait(prometheus: &Prometheus) {
    let start = Instant::now();
    loop {
        let scrapes = prometheus.query("count_over_time(up{job=\"shop\"}[1m])", None);
        let rules = prometheus.api("rules", &[]);
        let is_evaluated = rules["groups"][0]["rules"]
            .as_array()
            .is_some_and(|rules| rules.iter().all(|rule| rule["health"] != "unknown"));
        if is_evaluated && scrapes.first().is_some_and(|it| number(&it["value"][1]) >= 6.0) {
            return;
        }
        assert!(start.elapsed() < LONG, "{scrapes:?} {rules} {:#?}", prometheus.log());
        thread::sleep(Duration::from_millis(100));
    }
}

fn no_scrape_fails(prometheus: &Prometheus) {
    let targets = prometheus.api("targets", &[]);
    let target = &targets["activeTargets"][0];
    assert_eq!((&target["health"], &target["lastError"]), (&"up".into(), &"".into()), "{targets}");
    let lowest = prometheus.query("min_over_time(up[1m])", None);
    assert!(lowest.iter().all(|it| number(&it["value"][1]) >= 1.0), "{lowest:?}");
    let log = prometheus.log();
    let is_wrong =
        |line: &&String| ["level=warn", "level=error"].iter().any(|it| line.contains(it));
    let wrong: Vec<_> = log.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Asserts that each figure of the tasks that stand still is the one that is served.
fn figures_are_those_that_are_served(prometheus: &Prometheus, served: &str) {
    let found = series(&prometheus.query(ALL, None), |it| number(&it["value"][1]));
    let served = figures(served);
    let names = |figures: &Figures| figures.keys().map(|it| it.0.clone()).collect::<BTreeSet<_>>();
    assert_eq!(names(&found), names(&served));
    for name in ["orders", ODD_NAME, "left", "site 249"] {
        let of_site = |figures: &Figures| {
            let is_it = |labels: &BTreeMap<String, String>| {
                labels.get("site").is_some_and(|site| site == name)
            };
            let figures = figures.iter().filter(|((_, labels), _)| is_it(labels));
            figures.map(|(series, figure)| (series.clone(), *figure)).collect::<Figures>()
        };
        let (found, served) = (of_site(&found), of_site(&served));
        assert!(served.len() >= 4, "{name:?}: {served:?}");
        assert_eq!(found, served);
    }
    let live = |site: &str| {
        let it = found.iter().find(|((name, labels), _)| {
            name == "memscope_live_bytes" && labels.get("site").is_some_and(|it| it == site)
        });
        *it.unwrap_or_else(|| panic!("no live bytes of {site}")).1
    };
    assert!(live("orders") >= 100_000.0 && live(ODD_NAME) >= 200_000.0);
}

fn each_metric_has_few_sites(prometheus: &Prometheus) {
    let all = series(&prometheus.query(ALL, None), |_| ());
    let mut sites: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, labels) in all.keys() {
        sites.entry(name).or_default().extend(labels.get("site").map(|it| &**it));
        let known = ["le", "site", "state", "task_type"];
        assert!(labels.keys().all(|label| known.contains(&&**label)), "{name} {labels:?}");
    }
    assert_eq!(sites["memscope_live_bytes"].len(), 201);
    assert!(sites["memscope_live_bytes"].contains("(other)"));
    // Each of the seven states has the largest sites of its own.
    let most = |name: &str| if name == "memscope_tasks" { 7 * 201 } else { 201 };
    assert!(sites.iter().all(|(name, sites)| sites.len() <= most(name)), "{sites:?}");
    // A hundred series of one site of 250, and no series for each task that has been.
    assert!(all.len() < 3_000, "{} series", all.len());
}

fn no_counter_falls(prometheus: &Prometheus) {
    let scrapes = prometheus.query(&format!("{ALL}[10s]"), None);
    let mut risen = BTreeSet::new();
    let counters = series(&scrapes, |it| {
        let figures = it["values"].as_array().expect("figures");
        figures.iter().map(|it| number(&it[1])).collect::<Vec<_>>()
    });
    let ends = ["_total", "_bucket", "_count"];
    for ((name, labels), figures) in counters {
        if ends.iter().any(|end| name.ends_with(end)) {
            assert!(figures.is_sorted(), "{name} {labels:?}: {figures:?}");
            if figures.first() < figures.last() {
                risen.insert(name);
            }
        }
    }
    for name in ["memscope_allocated_bytes_total", "memscope_process_allocated_bytes_total"] {
        assert!(risen.contains(name), "{name} stands still: {risen:?}");
    }
}

/// Asserts that each query of the dashboard has figures, with the labels that its legend names.
fn panels_show_figures(prometheus: &Prometheus) {
    let dashboard = fs::read_to_string(file("docs/grafana/memscope.json")).expect("a file");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let (start, end) = ((now() - 4).to_string(), now().to_string());
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let mut asked = 0;
    for target in targets {
        let expression = target["expr"].as_str().expect("an expression");
        let expression = expression
            .replace("$job", ".*")
            .replace("$instance", ".*")
            .replace("$__rate_interval", "8s");
        assert!(!expression.contains('$'), "a variable that is not known here: {expression}");
        let range = [("query", &*expression), ("start", &*start), ("end", &*end), ("step", "1")];
        let found = prometheus.api("query_range", &range);
        let found = found["result"].as_array().expect("a result");
        let figures = found.iter().flat_map(|it| it["values"].as_array().expect("figures"));
        assert!(figures.clone().count() >= 3, "{expression}: {found:?}");
        assert!(figures.clone().any(|it| !number(&it[1]).is_nan()), "{expression}: {found:?}");
        let legend = target["legendFormat"].as_str().unwrap_or_default();
        let labels = legend.split("{{").skip(1).map(|it| it.split("}}").next().expect("an end"));
        for label in labels {
            let has_it = |it: &Value| it["metric"][label.trim()].is_string();
            assert!(found.iter().all(has_it), "no label {label}: {expression}: {found:?}");
        }
        asked += 1;
    }
    assert!(asked >= 15, "{asked} queries");
    let mut variables = 0;
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let query = query.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
        let (metric, label) = query.and_then(|it| it.rsplit_once(", ")).expect("a query");
        let metric = metric.replace("$job", ".*");
        let values = prometheus.api(&format!("label/{label}/values"), &[("match[]", &*metric)]);
        assert_eq!(values.as_array().map(Vec::len), Some(1), "{label}: {values}");
        variables += 1;
    }
    assert_eq!(variables, 2);
}

/// Asserts that each rule is loaded and evaluated. No rule fires on the program, and each fires on
/// the sick one.
fn alerts_fire_on_a_sick_program_alone(prometheus: &Prometheus, sick: u64) {
    let rules = prometheus.api("rules", &[]);
    let rules = rules["groups"][0]["rules"].as_array().expect("rules").clone();
    let names: Vec<_> = rules.iter().map(|rule| rule["name"].as_str().expect("a name")).collect();
    let text = fs::read_to_string(file(RULES)).expect("a file");
    let written: Vec<_> =
        text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(names, written);
    for rule in &rules {
        assert_eq!((&rule["health"], &rule["state"]), (&"ok".into(), &"inactive".into()), "{rule}");
        let found = prometheus.query(rule["query"].as_str().expect("a query"), Some(sick));
        assert!(!found.is_empty(), "it does not fire: {rule}");
        let is_of_site = |it: &Value| it["metric"]["site"] == ODD_NAME;
        let names_sites = rule["name"] == "MemscopeSiteGrows";
        assert!(!names_sites || found.iter().any(is_of_site), "{found:?}");
    }
}

/// The example `live_page`, as the documents say to run it; it ends when this is dropped.
#[derive(Debug)]
struct Example {
    process: Child,
    address: SocketAddr,
    /// Kept open, so that the example may print more.
    _said: BufReader<ChildStdout>,
}

impl Example {
    fn start() -> Self {
        let own = env::current_exe().expect("this program");
        let folder = own.parent().and_then(Path::parent).expect("a folder of builds");
        let path = folder.join("examples/live_page");
        let mut process = Command::new(&path)
            .args(["--address", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|why| panic!("build {} before: {why}", path.display()));
        let mut line = String::new();
        let mut said = BufReader::new(process.stdout.take().expect("a pipe"));
        said.read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("the page is at http://");
        let address = address.and_then(|it| it.strip_suffix('/')).expect("an address");
        Self { address: address.parse().expect("an address"), process, _said: said }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}

#[test]
#[ignore = "needs prometheus, and the example `live_page`"]
fn prometheus_scrapes_the_example_while_it_serves() {
    let example = Example::start();
    let prometheus = Prometheus::start(example.address, &file(RULES), None);
    wait(&prometheus);
    no_scrape_fails(&prometheus);
    no_counter_falls(&prometheus);
    let found = series(&prometheus.query(ALL, None), |_| ());
    let metrics: BTreeSet<_> = found.keys().map(|it| &*it.0).collect();
    let served = figures(get(example.address, "/metrics").text());
    assert_eq!(metrics, served.keys().map(|it| &*it.0).collect());
    let sites: BTreeSet<_> = found.keys().filter_map(|it| it.1.get("site")).collect();
    for site in ["GET /login", "GET /search", "exchange rates"] {
        assert!(sites.iter().any(|it| *it == site), "{site} is not among {sites:?}");
    }
    no_scrape_fails(&prometheus);
}

#[test]
#[ignore = "needs prometheus"]
fn prometheus_stores_what_is_served_and_answers_the_dashboard_and_the_alerts() {
    builder().memory_limit(Limit::Bytes(8 << 30)).init().expect("good settings");
    let program = program();
    let server = serve("127.0.0.1:0").expect("a server");
    let target = server.local_address();
    // This is so long ago that no alert's range has both the sick program and what is scraped.
    let sick = now() - 11 * 60;
    let past = past(get(target, "/metrics").text(), &target.to_string(), sick);
    let prometheus = Prometheus::start(target, &file(RULES), Some(&past));
    wait(&prometheus);
    no_scrape_fails(&prometheus);
    figures_are_those_that_are_served(&prometheus, get(target, "/metrics").text());
    each_metric_has_few_sites(&prometheus);
    no_counter_falls(&prometheus);
    panels_show_figures(&prometheus);
    alerts_fire_on_a_sick_program_alone(&prometheus, sick);
    no_scrape_fails(&prometheus);
    drop(prometheus);
    server.shutdown();
    drop(program);
}
