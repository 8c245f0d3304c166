//! With the feature `enabled` off every name exists and does nothing. `ci/features.sh` runs it; in
//! other builds it is empty.
#![cfg(not(feature = "enabled"))]
#![forbid(unsafe_code)]
#![deny(warnings)]

use memscope_rs::{
    Blocks, Contents, Trackable,
    async_memory::{
        AsyncResourceMonitor, Measured, TaskType, create_tracked, current_task_id,
        get_memory_snapshot, track,
    },
    track_var, tracked,
};

#[tracked(task_type = "cpu", name = "unused")]
async fn marked(bytes: [u8; 100]) -> usize {
    std::future::ready(()).await;
    bytes.len()
}

async fn plain(bytes: [u8; 100]) -> usize {
    std::future::ready(()).await;
    bytes.len()
}

#[test]
fn the_attribute_leaves_the_function_as_it_was() {
    assert_eq!(size_of_val(&marked([0; 100])), size_of_val(&plain([0; 100])));
}

#[tokio::test]
async fn every_call_does_nothing() {
    assert_eq!(marked([0; 100]).await, 100);
    assert_eq!(
        track(async { current_task_id() }).named("n").task_type(TaskType::Mixed).await,
        None
    );
    assert_eq!(create_tracked(async { 1 }, TaskType::Mixed).await, Ok(1));
    let mut monitor = AsyncResourceMonitor::new();
    monitor.start_monitoring().await.expect("as when enabled");
    let analysis = monitor.stop_monitoring().await.expect("as when enabled");
    assert!(!analysis.measured && analysis.peak_memory_per_task_mb.is_nan());
    let snapshot = get_memory_snapshot();
    assert_eq!(snapshot.measured(), Measured::Disabled);
    assert!(snapshot.tasks().is_empty() && snapshot.sites().is_empty());
    assert!(snapshot.to_string().contains("not measured"), "{snapshot}");
}

#[derive(Trackable)]
struct Parts<T> {
    value: T,
    #[trackable(skip)]
    _skipped: u8,
}

#[derive(Trackable)]
enum Choice {
    This,
    That(Never),
}

/// Must not be looked at.
struct Never;

impl Trackable for Never {
    fn visit(&self, _: &mut Blocks<'_>) {
        unreachable!("tracking is off");
    }
}

impl Contents for Never {
    fn visit_contents(&self, _: &mut Blocks<'_>) {
        unreachable!("tracking is off");
    }
}

const fn is_contents<T: Contents>(_: &T) {}

#[tokio::test]
async fn variables_are_type_checked_and_not_looked_at() {
    let mut parts = Parts { value: Never, _skipped: 1 };
    let choices = [Choice::This, Choice::That(Never)];
    track_var!(parts, deep: parts.value, choices[1]);
    is_contents(&parts);
    is_contents(&choices[0]);
    parts.value = Never;
    let empty: Vec<u8> = Vec::new();
    track_var!(empty[0], *std::future::pending::<&u8>().await);
    let only_tracked = 1;
    match only_tracked {
        1 => track_var!(only_tracked),
        _ => track_var!(crate = memscope_rs, parts.value),
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn a_layer_only_forwards() {
    use axum::{Router, body::Body, http::Request, routing::get};
    use memscope_rs::tower::TrackLayer;
    use tower_service::Service as _;

    let layer = TrackLayer::new().name_with(|_| unreachable!("tracking is off"));
    let mut service = Router::new().route("/{id}", get(async || "page")).layer(layer);
    let request = Request::get("/7").body(Body::empty()).expect("a request");
    let Ok(response) = service.call(request).await;
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    assert_eq!(body, "page");
    assert!(get_memory_snapshot().sites().is_empty());
}

#[cfg(feature = "report-file")]
#[test]
fn no_report_is_written() {
    let path = std::env::temp_dir().join(format!("memscope-disabled-{}.json", std::process::id()));
    drop(memscope_rs::report_guard().to(&path).every(std::time::Duration::ZERO));
    assert!(!path.exists());
}

#[memscope_rs::test(peak = 1, allocations = 0, leaks = 0)]
async fn limits_of_a_test_mean_nothing() {
    tokio::task::yield_now().await;
    let (bytes, profile) = memscope_rs::testing::measure(async { vec![1_u8; 100] }).await;
    assert!(!profile.measured);
    memscope_rs::assert_memory!(profile, peak_bytes > 1_000_000);
    std::mem::forget(bytes);
}

#[memscope_rs::test(leaks = 0)]
fn limits_of_a_sync_test_mean_nothing() -> Result<(), std::num::ParseIntError> {
    let (parsed, _) = memscope_rs::testing::measure_sync(|| "1".parse::<u8>());
    parsed.map(|_| std::mem::forget(vec![1_u8; 100]))
}

#[memscope_rs::test(leaks = 0)]
#[tokio::test]
async fn limits_beside_another_attribute_mean_nothing() {
    std::mem::forget(vec![1_u8; 100]);
}
