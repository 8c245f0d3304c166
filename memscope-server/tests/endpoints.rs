//! What each path answers.

use std::{
    future::Future,
    io::Read,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Waker},
};

use memscope_runtime::async_memory::{MemorySnapshot, TaskType, track};
use memscope_server::{Server, serve};

use crate::support::{events, get, request};

const HELD: usize = 3 << 20;
/// The name of a site that would be markup if it were not escaped.
const HOSTILE: &str = "</script><script>alert(1)</script>\"&<img src=x onerror=alert(1)>";

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn holds(bytes: usize) {
    let held = vec![1_u8; bytes];
    std::future::pending::<()>().await;
    drop(held);
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let mut tasks: Vec<Task> = Vec::new();
    for name in ["GET /orders", HOSTILE] {
        let task = track(holds(HELD)).task_type(TaskType::NetworkIntensive).named(name.to_owned());
        tasks.push(Box::pin(task));
    }
    for task in &mut tasks {
        let _ = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    // They hold their bytes as long as the process runs.
    std::mem::forget(tasks);
    serve("127.0.0.1:0").expect("a server")
});

fn site<'s>(
    snapshot: &'s MemorySnapshot,
    name: &str,
) -> &'s memscope_runtime::async_memory::SiteProfile {
    snapshot.sites_named(name).next().expect("a site")
}

fn fetched(path: &str, kind: &str) -> crate::support::Answer {
    let answer = get(SERVER.local_address(), path);
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), Some(kind), "{path}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    let is_open = policy.contains("script-src 'unsafe-inline'") || policy.contains("unsafe-eval");
    assert!(!is_open, "{path}: {policy}");
    answer
}

#[test]
fn the_page_is_whole_and_its_policy_allows_its_own_script_alone() {
    let page = fetched("/", "text/html; charset=utf-8");
    assert_eq!(page.text(), memscope_export::live_page());
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("script-src 'sha256-") && policy.contains("connect-src 'self'"));
}

#[test]
fn the_snapshot_is_a_report_that_can_be_read_again() {
    let json = fetched("/snapshot.json", "application/json");
    let snapshot = MemorySnapshot::from_json(json.text()).expect("a report");
    for name in ["GET /orders", HOSTILE] {
        let row = site(&snapshot, name);
        assert!(row.live_bytes >= HELD as u64 && row.active == 1, "{row:?}");
    }
    let process = snapshot.process();
    assert_eq!(process.tracked_bytes + process.untracked_bytes, process.whole_bytes);
    let value: serde_json::Value = serde_json::from_str(json.text()).expect("JSON");
    assert!(value["leaks"].is_object(), "the page shows what stands out");
}

#[test]
fn the_reports_name_the_sites_and_no_name_becomes_markup() {
    let text = fetched("/report.txt", "text/plain; charset=utf-8");
    assert!(text.text().contains("GET /orders"));
    let page = fetched("/report.html", "text/html; charset=utf-8");
    assert!(page.text().starts_with("<!doctype html>") && page.text().contains("GET /orders"));
    assert!(!page.text().contains("<img"));
}

#[test]
fn metrics_are_open_metrics() {
    let metrics = fetched("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let line = "memscope_live_bytes{site=\"GET /orders\",task_type=\"network\"} ";
    let figure = metrics.text().lines().find_map(|it| it.strip_prefix(line)).expect("a series");
    assert!(figure.parse::<usize>().expect("a figure") >= HELD);
    assert!(metrics.text().ends_with("# EOF\n"));
}

#[test]
fn profiles_are_gzipped_and_have_the_bytes_of_the_sites() {
    for (path, name) in
        [("/debug/pprof/heap", "heap.pb.gz"), ("/debug/pprof/allocs", "allocs.pb.gz")]
    {
        let profile = fetched(path, "application/octet-stream");
        let disposition = profile.header("content-disposition").expect("a name");
        assert!(disposition.contains(name), "{disposition}");
        let mut whole = Vec::new();
        flate2::read::GzDecoder::new(&*profile.body).read_to_end(&mut whole).expect("gzip");
        let has = |text: &str| whole.windows(text.len()).any(|it| it == text.as_bytes());
        assert!(has("GET /orders") && has("bytes"), "{path}");
    }
}

#[test]
fn a_flame_graph_shows_a_site_alone_and_escapes_names() {
    for path in ["/flamegraph.svg", "/flamegraph.svg?kind=live", "/flamegraph.svg?kind=allocated"] {
        let graph = fetched(path, "image/svg+xml");
        assert!(graph.text().contains("GET_/orders"), "{path}");
        assert!(
            !graph.text().contains("<img") && !graph.text().contains("<script>alert"),
            "{path}"
        );
    }
    let graph = fetched("/flamegraph.svg?site=GET%20%2Forders", "image/svg+xml");
    assert!(graph.text().contains("GET_/orders") && !graph.text().contains("onerror"));
    let address = SERVER.local_address();
    assert_eq!(get(address, "/flamegraph.svg?site=none").status, 404);
    assert_eq!(get(address, "/flamegraph.svg?kind=other").status, 400);
}

#[test]
fn events_come_one_after_the_other_and_each_is_a_report() {
    let stream = events(SERVER.local_address(), |text| text.matches("\n\n\r\n").count() >= 4);
    assert!(stream.contains("content-type: text/event-stream"), "{}", &stream[..400]);
    assert!(stream.contains("retry: 2000\n\n"));
    let updates: Vec<_> = stream
        .split("event: snapshot\ndata: ")
        .skip(1)
        .filter_map(|it| it.split_once("\n\n"))
        .collect();
    assert!(updates.len() >= 2, "{}", updates.len());
    for (json, _) in updates {
        let snapshot = MemorySnapshot::from_json(json).expect("a report");
        assert!(site(&snapshot, "GET /orders").live_bytes >= HELD as u64);
    }
}

#[test]
fn the_heap_graph_says_plainly_why_there_is_none() {
    let answer = get(SERVER.local_address(), "/holders.json");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("MEMSCOPE_HOLDERS"), "{}", answer.text());
}

#[test]
fn health_counts_the_connections_and_unknown_paths_name_the_known_ones() {
    let health = fetched("/health", "text/plain; charset=utf-8");
    assert!(health.text().starts_with("ok\nconnections: "), "{}", health.text());
    let address = SERVER.local_address();
    for path in ["/none", "//", "/../etc/passwd", "/%2e%2e/x", "/metrics/", "/snapshot.json%00"] {
        let answer = get(address, path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains("/snapshot.json"), "{path}");
    }
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let address = SERVER.local_address();
    for path in ["/", "/metrics", "/events"] {
        let answer = request(address, "HEAD", path, "");
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}
