//! The wrappers of tower and tower-http, around a future that waits at a known line.

use std::future::{Future, ready};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode},
};
use futures::future;
use memscope_rs::async_memory::track;
use memscope_tests::{conserved, poll};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::{request_id::MakeRequestUuid, trace::TraceLayer};

use super::{
    ALLOCATOR, of, on,
    wrappers::{LONG, fallible, is_at_the_leaf, looks_through, request, router, with_timers},
};

const X: HeaderName = HeaderName::from_static("x");

#[test]
fn towers() {
    let _timers = with_timers();
    let service = || service_fn(|(): ()| fallible());
    let layers = ServiceBuilder::new;
    looks_through(|| service().oneshot(()));
    looks_through(|| service().map_response(drop).oneshot(()));
    looks_through(|| service().map_err(BoxError::from).oneshot(()));
    looks_through(|| service().map_result(|it: Result<(), BoxError>| it).oneshot(()));
    looks_through(|| service().then(ready::<Result<(), BoxError>>).oneshot(()));
    looks_through(|| service().and_then(|()| ready(Ok::<(), BoxError>(()))).oneshot(()));
    looks_through(|| service().boxed().oneshot(()));
    looks_through(|| layers().timeout(LONG).service(service()).oneshot(()));
    looks_through(|| layers().concurrency_limit(1).service(service()).oneshot(()));
    looks_through(|| layers().load_shed().service(service()).oneshot(()));
    looks_through(|| layers().filter(Ok::<(), BoxError>).service(service()).oneshot(()));
    let checks = |(): ()| ready(Ok::<(), BoxError>(()));
    looks_through(|| layers().filter_async(checks).service(service()).oneshot(()));
    let waits_first = |(): ()| fallible();
    looks_through(|| layers().filter_async(waits_first).service(service()).oneshot(()));
    looks_through(|| tower::retry::Retry::new(Never, service()).oneshot(()));
    looks_through(|| {
        tower::util::option_layer(None::<tower::layer::util::Identity>).layer_on(service())
    });
    looks_through(|| tower::util::Optional::new(Some(service())).oneshot(()));
    looks_through(|| {
        let completion = tower::load::CompleteOnResponse::default();
        tower::load::completion::TrackCompletionFuture::new(completion, (), fallible())
    });
}

/// A policy by which nothing is tried again.
#[derive(Clone)]
struct Never;

impl<T, E> tower::retry::Policy<(), T, E> for Never {
    type Future = future::Ready<()>;
    fn retry(&mut self, (): &mut (), _: &mut Result<T, E>) -> Option<Self::Future> {
        None
    }
    fn clone_request(&mut self, (): &()) -> Option<()> {
        Some(())
    }
}

trait LayerOn<S> {
    type Future: Future;
    fn layer_on(self, service: S) -> Self::Future;
}

impl<L: tower::Layer<S>, S> LayerOn<S> for L
where
    L::Service: Service<()>,
{
    type Future = tower::util::Oneshot<L::Service, ()>;
    fn layer_on(self, service: S) -> Self::Future {
        self.layer(service).oneshot(())
    }
}

#[test]
fn towers_buffer() {
    on();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut buffered = ServiceBuilder::new().buffer(1).service(service_fn(|(): ()| fallible()));
        let mut task = Box::pin(track(buffered.ready().await.expect("it is ready").call(())));
        let id = task.id().expect("an id");
        assert!(poll(&mut task).is_pending());
        // The worker calls the service.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        assert!(poll(&mut task).is_pending());
        is_at_the_leaf(of(&conserved(&ALLOCATOR), id).expect("a place"));
    });
}

#[test]
fn tower_https() {
    let _timers = with_timers();
    let layers = ServiceBuilder::new;
    let service = || router().into_service::<Body>();
    looks_through(|| {
        layers().layer(TraceLayer::new_for_http()).service(service()).oneshot(request())
    });
    looks_through(|| {
        let layer = tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::OK, LONG);
        layers().layer(layer).service(service()).oneshot(request())
    });
    looks_through(|| {
        let layer = tower_http::cors::CorsLayer::permissive();
        layers().layer(layer).service(service()).oneshot(request())
    });
    looks_through(|| {
        let layer = tower_http::limit::RequestBodyLimitLayer::new(1000);
        let service = service().map_request(|it: axum::http::Request<_>| it.map(Body::new));
        layers().layer(layer).service(service).oneshot(request())
    });
    looks_through(|| {
        let layer = tower_http::catch_panic::CatchPanicLayer::new();
        layers().layer(layer).service(service()).oneshot(request())
    });
    looks_through(|| {
        layers()
            .layer(tower_http::request_id::SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(tower_http::request_id::PropagateRequestIdLayer::x_request_id())
            .service(service())
            .oneshot(request())
    });
    looks_through(|| {
        let value = HeaderValue::from_static("y");
        let layer = tower_http::set_header::SetResponseHeaderLayer::overriding(X, value);
        layers().layer(layer).service(service()).oneshot(request())
    });
    looks_through(|| {
        let headers = vec![(X, HeaderValue::from_static("y")).into()];
        let layer =
            tower_http::set_header::response::SetMultipleResponseHeadersLayer::overriding(headers);
        layers().layer(layer).service(service()).oneshot(request())
    });
    looks_through(|| {
        let layer = tower_http::map_response_body::MapResponseBodyLayer::new(|it: Body| it);
        layers().layer(layer).service(service()).oneshot(request())
    });
    looks_through(|| {
        let layer = tower_http::propagate_header::PropagateHeaderLayer::new(X);
        layers().layer(layer).service(service()).oneshot(request())
    });
    looks_through(|| {
        let layer = tower_http::sensitive_headers::SetSensitiveHeadersLayer::new([X]);
        layers().layer(layer).service(service()).oneshot(request())
    });
    looks_through(|| {
        let layer = tower_http::set_status::SetStatusLayer::new(StatusCode::OK);
        layers().layer(layer).service(service()).oneshot(request())
    });
    looks_through(|| {
        let layer = tower_http::timeout::ResponseBodyTimeoutLayer::new(LONG);
        layers().layer(layer).service(service()).oneshot(request())
    });
}
