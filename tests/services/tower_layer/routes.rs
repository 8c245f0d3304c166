//! Names by axum's routes, and tracked handlers below the layer.

use std::collections::BTreeMap;

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{Request, StatusCode},
    routing::get,
};
use memscope_macros::tracked;
use memscope_rs::{
    async_memory::{TaskState, current_task_id},
    tower::TrackLayer,
};
use memscope_tests::{annotated, block_on, conserved, row};
use tower::ServiceExt;

use super::ALLOCATOR;

/// Sends a request and reads the response to its end.
async fn send(router: &Router, method: &str, path: &str) -> (StatusCode, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("valid");
    let Ok(response) = router.clone().oneshot(request).await;
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("read");
    // A copy: the request's own blocks are freed.
    (status, body.to_vec())
}

#[test]
fn rows_are_named_by_templates() {
    let line = line!() + 1;
    let layer = TrackLayer::new();
    let orders = Router::new().route("/{id}", get(async || "order").delete(async || ()));
    let deep = Router::new().route("/{year}/{month}", get(async || "sum"));
    let other = Router::new().route("/health", get(async || "fine").options(async || ()));
    let inner = Router::new().route("/files/{*rest}", get(async || "file"));
    let router = Router::new()
        .nest("/orders", orders.nest("/sums", deep))
        .merge(other)
        .nest_service("/service", inner)
        .fallback(async || (StatusCode::NOT_FOUND, "nothing"))
        .layer(layer);
    let mut truth = BTreeMap::new();
    block_on(async {
        for (method, path, status, name) in [
            ("GET", "/orders/7", 200, "GET /orders/{id}"),
            ("GET", "/orders/8", 200, "GET /orders/{id}"),
            ("HEAD", "/orders/9", 200, "HEAD /orders/{id}"),
            ("DELETE", "/orders/9", 200, "DELETE /orders/{id}"),
            ("POST", "/orders/9", 405, "POST /orders/{id}"),
            ("GET", "/orders/sums/2026/11", 200, "GET /orders/sums/{year}/{month}"),
            ("GET", "/health", 200, "GET /health"),
            ("OPTIONS", "/health", 200, "OPTIONS /health"),
            ("BREW", "/health", 405, "OTHER /health"),
            ("GET", "/service/files/a/b", 200, "GET (no route)"),
            ("GET", "/orders", 404, "GET (no route)"),
            ("GET", "/secret?token=1", 404, "GET (no route)"),
            ("BREW", "/secret", 404, "OTHER (no route)"),
        ] {
            assert_eq!(send(&router, method, path).await.0, status, "{method} {path}");
            *truth.entry(name.to_owned()).or_insert(0) += 1;
        }
    });
    let snapshot = conserved(&ALLOCATOR);
    let here =
        snapshot.sites().iter().filter(|it| it.line == line && it.file.ends_with("routes.rs"));
    let rows: BTreeMap<String, u64> = here.map(|it| (it.name.clone(), it.completed)).collect();
    assert_eq!(rows, truth);
}

#[test]
fn a_request_holds_what_its_handler_keeps_to_the_byte() {
    let router = Router::new()
        .route(
            "/keep/{bytes}",
            get(async |Path(bytes): Path<usize>| {
                let id = current_task_id().expect("a request");
                std::mem::forget(vec![1u8; bytes]);
                drop(vec![1u8; 3 * bytes]);
                id.to_string()
            }),
        )
        .layer(TrackLayer::new());
    let [small, large] = block_on(async {
        // The router's first request builds what all others share.
        send(&router, "GET", "/keep/1").await;
        [send(&router, "GET", "/keep/20000").await.1, send(&router, "GET", "/keep/90000").await.1]
    });
    let snapshot = conserved(&ALLOCATOR);
    let of = |id: &[u8]| {
        let id = String::from_utf8_lossy(id);
        let rows = annotated(&snapshot);
        (*rows.iter().find(|row| row.id.to_string() == id).expect("a row")).clone()
    };
    let (small, large) = (of(&small), of(&large));
    assert_eq!((small.state, large.state), (TaskState::Completed, TaskState::Completed));
    assert_eq!(small.live_bytes, 20_000);
    assert_eq!(large.live_bytes, 90_000);
    assert_eq!(large.allocated_bytes - small.allocated_bytes, 4 * 70_000);
    assert_eq!(large.freed_bytes - small.freed_bytes, 3 * 70_000);
}

#[tracked(name = "find order")]
async fn find_order() -> String {
    std::mem::forget(vec![1u8; 1234]);
    current_task_id().expect("a task").to_string()
}

#[test]
fn a_tracked_handler_is_a_child_of_the_request() {
    let router = Router::new()
        .route(
            "/children",
            get(async || {
                let child = find_order().await;
                format!("{} {child}", current_task_id().expect("a request"))
            }),
        )
        .layer(TrackLayer::new());
    let (_, ids) = block_on(send(&router, "GET", "/children"));
    let snapshot = conserved(&ALLOCATOR);
    let ids = String::from_utf8(ids).expect("text");
    let rows = annotated(&snapshot);
    let ids: Vec<_> = ids
        .split(' ')
        .map(|id| rows.iter().find(|row| row.id.to_string() == id).expect("a row").id)
        .collect();
    let (request, child) = (row(&snapshot, ids[0]), row(&snapshot, ids[1]));
    assert_eq!((&*request.name, &*child.name), ("GET /children", "find order"));
    assert_eq!(child.parent, Some(request.id));
    assert_eq!((request.live_bytes, child.live_bytes), (0, 1234));
}
