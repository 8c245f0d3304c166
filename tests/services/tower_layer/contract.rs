//! The contract of tower's services: readiness is that of the service that is called, through
//! clones, buffers and limits.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum::{
    body::Bytes,
    http::{Request, Response},
};
use http_body_util::{BodyExt, Empty, Full};
use memscope_rs::tower::TrackLayer;
use memscope_tests::conserved;
use tokio::sync::oneshot;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, load_shed::error::Overloaded, service_fn};

use super::{ALLOCATOR, ends, get};

/// Must be polled to be ready before each call, as tower asks. A clone is not ready.
#[derive(Debug, Default)]
struct Strict {
    is_ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<Empty<Bytes>>> for Strict {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called without being ready");
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"answer")))))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

#[test]
fn the_service_that_was_ready_is_the_one_that_is_called() {
    let layer = TrackLayer::new().name_with(|_| "strict".into());
    let answers = runtime().block_on(async {
        let mut service = layer.layer(Strict::default());
        let mut answers = 0;
        for _ in 0..3 {
            let clone = service.clone();
            let ready = service.ready().await.expect("no error");
            let response = ready.call(get("/")).await.expect("no error");
            assert_eq!(response.into_body().collect().await.expect("read").to_bytes(), "answer");
            let response = clone.oneshot(get("/")).await.expect("no error");
            drop(response);
            answers += 2;
        }
        // A buffer drives the service from a task of its own, inside and outside of the layer.
        let inside = layer.layer(ServiceBuilder::new().buffer(8).service(Strict::default()));
        let outside = ServiceBuilder::new().buffer(8).layer(&layer).service(Strict::default());
        for _ in 0..5 {
            let response = inside.clone().oneshot(get("/")).await.expect("no error");
            response.into_body().collect().await.expect("read");
            let response = outside.clone().oneshot(get("/")).await.expect("no error");
            response.into_body().collect().await.expect("read");
            answers += 2;
        }
        answers
    });
    let [spawned, completed, cancelled, panicked] = ends(&conserved(&ALLOCATOR), "strict");
    // Three bodies were dropped unread: their length was known, and none of it was read.
    assert_eq!((spawned, panicked), (answers, 0));
    assert_eq!((completed, cancelled), (answers - 3, 3));
}

#[test]
fn a_request_that_is_shed_never_reaches_the_layer_below() {
    let layer = TrackLayer::new().name_with(|_| "limited".into());
    runtime().block_on(async {
        let (answer, answered) = oneshot::channel::<()>();
        let mut answered = Some(answered);
        let slow = service_fn(move |_: Request<Empty<Bytes>>| {
            let answered = answered.take().expect("one request");
            async move {
                answered.await.expect("it is sent");
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let mut service =
            ServiceBuilder::new().load_shed().concurrency_limit(1).layer(&layer).service(slow);
        let first = service.ready().await.expect("load is shed in `call`").call(get("/"));
        let error = service.ready().await.expect("as before").call(get("/")).await;
        assert!(error.expect_err("it is shed").is::<Overloaded>());
        assert_eq!(ends(&conserved(&ALLOCATOR), "limited"), [1, 0, 0, 0]);
        answer.send(()).expect("received");
        drop(first.await.expect("answered"));
    });
    assert_eq!(ends(&conserved(&ALLOCATOR), "limited"), [1, 1, 0, 0]);

    // Above them, a request that is shed is one with an error as its result.
    let layer = TrackLayer::new().name_with(|_| "shed".into());
    runtime().block_on(async {
        let never = service_fn(|_: Request<Empty<Bytes>>| {
            std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>()
        });
        let mut service =
            ServiceBuilder::new().layer(&layer).load_shed().concurrency_limit(1).service(never);
        let mut first = Box::pin(service.ready().await.expect("ready").call(get("/")));
        assert!(super::poll_once(first.as_mut()).is_pending());
        let second = service.ready().await.expect("ready").call(get("/")).await;
        assert!(second.is_err());
        drop(first);
    });
    assert_eq!(ends(&conserved(&ALLOCATOR), "shed"), [2, 1, 1, 0]);
}
