//! `TrackLayer`: clients choose paths, and no path that they choose makes a row without bound.

use std::convert::Infallible;

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{Request, Response, StatusCode},
    routing::post,
};
use memscope_rs::{
    async_memory::{MemorySnapshot, SiteProfile},
    tower::TrackLayer,
};
use memscope_tests::{block_on, conserved};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::ALLOCATOR;

/// How many requests have this name, and how many of them have completed.
fn ends(snapshot: &MemorySnapshot, name: &str) -> (u64, u64) {
    let of = |it: &SiteProfile| (it.spawned, it.completed);
    snapshot.sites_named(name).map(of).fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
}

#[test]
fn ten_thousand_paths_are_two_rows() {
    let router = Router::new()
        .route("/things/{id}", post(async |Path(id): Path<u64>| id.to_string()))
        .layer(TrackLayer::new());
    let send = async |method: &str, path: String| {
        let request =
            Request::builder().method(method).uri(path).body(Body::empty()).expect("valid");
        let Ok(response) = router.clone().oneshot(request).await;
        let status = response.status();
        axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("read");
        status
    };
    block_on(async {
        for id in 0..5_000 {
            assert_eq!(send("POST", format!("/things/{id}")).await, StatusCode::OK);
            assert_eq!(send("PATCH", format!("/nothing/{id}")).await, StatusCode::NOT_FOUND);
        }
    });
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(ends(&snapshot, "POST /things/{id}"), (5_000, 5_000));
    assert_eq!(ends(&snapshot, "PATCH (no route)"), (5_000, 5_000));
    assert!(snapshot.sites().iter().all(|site| !site.name.contains("/nothing")));
}

#[test]
fn ten_thousand_grpc_paths_are_257_rows() {
    let mut service = TrackLayer::new()
        .layer(service_fn(async |_| Ok::<_, Infallible>(Response::new(Body::empty()))));
    for id in 0..10_000 {
        let request = Request::post(format!("/made.Up/Method{id}"))
            .header("content-type", "application/grpc")
            .body(())
            .expect("valid");
        let Ok(response) = block_on(service.call(request));
        drop(response);
    }
    let snapshot = conserved(&ALLOCATOR);
    let named = snapshot.sites().iter().filter(|it| it.name.starts_with("/made.Up/")).count();
    assert_eq!(named, 256);
    assert_eq!(ends(&snapshot, "(other gRPC)"), (10_000 - 256, 10_000 - 256));
}
