//! Each wrapper that the walk knows, around a future that waits at a known line.

use std::{
    convert::Infallible,
    future::{Future, pending, ready},
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, Request},
    handler::Handler,
    http::{HeaderName, HeaderValue, StatusCode, request::Parts},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, future, stream};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use memscope_rs::async_memory::{AwaitPoint, Scope, TaskType, TrackStream, create_tracked, track};
use memscope_tests::{conserved, poll};
use tokio::{io::AsyncWriteExt, runtime::Runtime, task::LocalSet, time::timeout};
use tokio_util::{future::FutureExt as Cancel, sync::CancellationToken, task::TaskTracker};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::{request_id::MakeRequestUuid, trace::TraceLayer};
use tracing::{Instrument, instrument::WithSubscriber};

use super::{ALLOCATOR, LEAF, leaf, of, on, waits};

const LONG: Duration = Duration::from_hours(1);

/// A runtime whose timers futures of this thread may use.
pub(super) fn with_timers() -> tokio::runtime::EnterGuard<'static> {
    static RUNTIME: std::sync::LazyLock<Runtime> = std::sync::LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    });
    RUNTIME.enter()
}

#[track_caller]
fn is_at_the_leaf(point: &AwaitPoint) {
    let Some(at) = point.innermost() else { panic!("{point:#?}") };
    assert_eq!((&*at.function, at.line), ("await_points::leaf", LEAF), "{point:#?}");
    assert!(point.stops.starts_with("waits for core::future::pending::Pending"), "{point:#?}");
}

/// That a wrapper is looked through where it is a task, and where a function awaits it.
#[track_caller]
fn looks_through<F: Future>(wrapper: impl Fn() -> F) {
    is_at_the_leaf(&waits(wrapper()));
    let awaited = waits(async { wrapper().await });
    assert!(awaited.frames.len() > 1, "{awaited:#?}");
    is_at_the_leaf(&awaited);
}

async fn fallible() -> Result<(), BoxError> {
    leaf().await;
    Ok(())
}

fn fails() -> future::Ready<Result<(), ()>> {
    future::err(())
}

#[test]
fn the_standard_librarys() {
    looks_through(|| Box::pin(leaf()));
    looks_through(|| Box::pin(leaf()) as Pin<Box<dyn Future<Output = ()> + Send>>);
    looks_through(|| AssertUnwindSafe(leaf()));
    looks_through(|| Box::pin(Box::pin(Box::pin(leaf()))));
    let mut lent = Box::pin(leaf());
    is_at_the_leaf(&waits(&mut lent));
    let mut pinned = pin!(leaf());
    is_at_the_leaf(&waits(pinned.as_mut()));
}

#[async_trait::async_trait]
trait Store {
    async fn load(&self);
}

struct Memory;

#[async_trait::async_trait]
impl Store for Memory {
    async fn load(&self) {
        leaf().await;
    }
}

#[test]
fn an_async_traits_boxes() {
    let store: &dyn Store = &Memory;
    looks_through(|| store.load());
}

#[test]
fn this_crates_own() {
    looks_through(|| track(leaf()));
    looks_through(|| create_tracked(leaf(), TaskType::CpuIntensive));
    looks_through(|| leaf().untracked());
    looks_through(|| Scope::shared(leaf(), "wrappers"));
    looks_through(|| {
        let layer = memscope_rs::tower::TrackLayer::new();
        ServiceBuilder::new().layer(layer).service(router().into_service()).oneshot(request())
    });
    let mut tracked = Box::pin(stream::once(leaf()).tracked());
    is_at_the_leaf(&waits(async { tracked.next().await }));
}

#[test]
fn tokios() {
    tokio::task_local! { static NUMBER: u8; }
    let _timers = with_timers();
    looks_through(|| timeout(LONG, leaf()));
    looks_through(|| timeout(LONG, Box::pin(leaf())));
    looks_through(|| tokio::task::unconstrained(leaf()));
    looks_through(|| tokio::task::coop::cooperative(leaf()));
    looks_through(|| NUMBER.scope(1, leaf()));
    looks_through(|| async { LocalSet::new().run_until(leaf()).await });
    let token = CancellationToken::new();
    looks_through(|| token.run_until_cancelled(leaf()));
    looks_through(|| token.clone().run_until_cancelled_owned(leaf()));
    looks_through(|| Cancel::with_cancellation_token(leaf(), &token));
    looks_through(|| Cancel::with_cancellation_token_owned(leaf(), token.clone()));
    looks_through(|| TaskTracker::new().track_future(leaf()));
}

async fn generic<T: Default>() -> T {
    tokio::select! {
        () = leaf() => T::default(),
        it = pending::<T>() => it,
    }
}

#[test]
fn tokios_macros() {
    for point in [
        waits(async { tokio::join!(leaf(), pending::<()>()) }),
        waits(async { tokio::join!(pending::<()>(), Box::pin(leaf())) }),
        waits(async { tokio::try_join!(fallible(), pending::<Result<(), BoxError>>()) }),
        waits(async {
            tokio::select! {
                () = pending() => {}
                () = Box::pin(leaf()) => {}
            }
        }),
    ] {
        let at = point.innermost().expect("a frame");
        assert_eq!((&*at.function, at.line), ("await_points::leaf", LEAF), "{point:#?}");
        assert!(point.stops.contains("; this is one of several in ("), "{point:#?}");
    }

    // A future that is polled in a loop, by reference.
    let point = waits(async {
        let mut work = pin!(leaf());
        loop {
            tokio::select! {
                biased;
                () = &mut work => break,
                () = pending() => {}
            }
        }
    });
    assert_eq!(point.innermost().map(|it| it.line), Some(LEAF), "{point:#?}");

    for point in [waits(generic::<u8>()), waits(generic::<Vec<(u8, String)>>())] {
        assert_eq!(point.innermost().map(|it| it.line), Some(LEAF), "{point:#?}");
    }
}

#[tracing::instrument]
async fn instrumented(number: u8) -> u8 {
    leaf().await;
    number
}

#[test]
fn tracings() {
    looks_through(|| leaf().instrument(tracing::Span::none()));
    looks_through(|| Box::pin(leaf()).instrument(tracing::info_span!("request")));
    looks_through(|| leaf().with_subscriber(tracing::subscriber::NoSubscriber::default()));

    looks_through(|| instrumented(1));
}

#[test]
fn futures_own() {
    looks_through(|| leaf().map(drop));
    looks_through(|| Box::pin(leaf()).map(drop));
    looks_through(|| leaf().map_into::<()>());
    looks_through(|| leaf().inspect(|()| {}));
    looks_through(|| leaf().then(ready));
    looks_through(|| ready(()).then(|()| leaf()));
    looks_through(|| ready(leaf()).flatten());
    looks_through(|| leaf().fuse());
    looks_through(|| leaf().never_error());
    looks_through(|| leaf().unit_error());
    looks_through(|| AssertUnwindSafe(leaf()).catch_unwind());
    looks_through(|| future::OptionFuture::from(Some(leaf())));
    looks_through(|| future::maybe_done(leaf()));
    looks_through(|| leaf().left_future::<future::Ready<()>>());
    looks_through(|| leaf().right_future::<future::Ready<()>>());
    looks_through(|| future::abortable(leaf()).0);
    looks_through(|| leaf().boxed());
}

#[test]
fn futures_fallible_ones() {
    looks_through(|| fallible().map_ok(drop));
    looks_through(|| fallible().map_err(drop));
    looks_through(|| fallible().map_ok_or_else(drop, drop));
    looks_through(|| fallible().unwrap_or_else(drop));
    looks_through(|| fallible().and_then(future::ok));
    looks_through(|| future::ok::<(), BoxError>(()).and_then(|()| fallible()));
    looks_through(|| fails().or_else(|()| fallible()));
    looks_through(|| future::ok::<_, BoxError>(fallible()).try_flatten());
    looks_through(|| fallible().err_into::<BoxError>());
    looks_through(|| fallible().ok_into::<()>());
    looks_through(|| fallible().inspect_ok(|()| {}));
    looks_through(|| fallible().inspect_err(|_| {}));
    looks_through(|| future::try_maybe_done(fallible()));
}

#[test]
fn futures_of_two() {
    let never = pending::<()>;
    for point in [
        waits(future::join(leaf(), never())),
        waits(future::try_join(fallible(), pending::<Result<(), BoxError>>())),
        waits(future::join(Box::pin(leaf()), never())),
        waits(future::select(Box::pin(leaf()), never())),
        waits(smol::future::or(leaf(), never())),
        waits(smol::future::race(leaf(), never())),
        waits(smol::future::zip(leaf(), never())),
    ] {
        assert_eq!(point.innermost().map(|it| it.line), Some(LEAF), "{point:#?}");
    }
    let point = waits(future::join(leaf(), super::middle()));
    assert!(point.stops.contains("2 futures side by side"), "{point:#?}");
}

#[test]
fn streams_and_what_polls_them() {
    let mut once = Box::pin(stream::once(leaf()));
    is_at_the_leaf(&waits(async { once.next().await }));
    is_at_the_leaf(&waits(async { tokio_stream::StreamExt::next(&mut once).await }));
    let mut once = Box::pin(stream::once(fallible()));
    is_at_the_leaf(&waits(async { once.try_next().await }));
    let mut unfold = Box::pin(stream::unfold((), |()| leaf().map(|()| Some(((), ())))));
    is_at_the_leaf(&waits(async { unfold.next().await }));
    let mut then = Box::pin(stream::iter([1]).then(|_| leaf()));
    is_at_the_leaf(&waits(async { then.next().await }));
    let mut generated = Box::pin(async_stream::stream! {
        leaf().await;
        yield 1;
    });
    is_at_the_leaf(&waits(async { generated.next().await }));
    looks_through(|| stream::iter([1]).for_each(|_| leaf()));
    looks_through(|| stream::iter([1]).fold((), |(), _| leaf()));
}

#[test]
fn async_stds_and_smols() {
    looks_through(|| async { async_std::future::timeout(LONG, leaf()).await });
    looks_through(|| smol::future::FutureExt::catch_unwind(AssertUnwindSafe(leaf())));
}

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

async fn handler() -> &'static str {
    leaf().await;
    "never"
}

fn router() -> Router {
    Router::new().route("/", get(handler))
}

fn request() -> Request {
    Request::new(Body::empty())
}

/// Lets everything through.
struct Anything;

impl<S: Sync> FromRequestParts<S> for Anything {
    type Rejection = Infallible;
    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

/// Waits before it lets anything through.
struct Slow;

impl<S: Sync> FromRequestParts<S> for Slow {
    type Rejection = Infallible;
    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        leaf().await;
        Ok(Self)
    }
}

#[test]
fn axums() {
    looks_through(|| router().oneshot(request()));
    looks_through(|| get(handler).call(request(), ()));
    looks_through(|| handler.call(request(), ()));
    looks_through(|| handler.layer(tower::layer::util::Identity::new()).call(request(), ()));
    let pass = |request: Request, next: Next| next.run(request);
    looks_through(|| router().layer(middleware::from_fn(pass)).oneshot(request()));
    let same = |it: Request| ready(it);
    looks_through(|| router().layer(middleware::map_request(same)).oneshot(request()));
    let same = |it: Response| ready(it);
    looks_through(|| router().layer(middleware::map_response(same)).oneshot(request()));
    looks_through(|| router().layer(middleware::ResponseAxumBodyLayer).oneshot(request()));
    looks_through(|| {
        router().route_layer(middleware::from_extractor::<Anything>()).oneshot(request())
    });
    looks_through(|| router().route_layer(middleware::from_extractor::<Slow>()).oneshot(request()));
    looks_through(|| {
        let failed = |_: BoxError| ready(StatusCode::REQUEST_TIMEOUT);
        axum::error_handling::HandleError::new(
            service_fn(|_: Request| fallible().map_ok(|()| "never")),
            failed,
        )
        .oneshot(request())
    });
    looks_through(|| {
        let inner = router().layer(middleware::from_fn(pass)).layer(TraceLayer::new_for_http());
        Router::new().fallback_service(inner).oneshot(request())
    });
}

#[test]
fn axums_server() {
    let _timers = with_timers();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    let point = waits(axum::serve(listener, router()).into_future());
    assert!(point.frames[0].function.starts_with("axum::serve::"), "{point:#?}");
    assert!(point.frames.last().expect("it accepts").function.contains("tokio::"), "{point:#?}");
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
        let (name, value) = (HeaderName::from_static("x"), HeaderValue::from_static("y"));
        let layer = tower_http::set_header::SetResponseHeaderLayer::overriding(name, value);
        layers().layer(layer).service(service()).oneshot(request())
    });
}

#[test]
fn a_connection_of_hyper_is_where_its_handler_waits() {
    on();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let http = hyper::server::conn::http1::Builder::new();
        for upgrades in [false, true] {
            let (mut client, server) = tokio::io::duplex(1000);
            client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("room");
            let service = TowerToHyperService::new(
                router().map_request(|it: hyper::Request<hyper::body::Incoming>| it.map(Body::new)),
            );
            let connection = http.serve_connection(TokioIo::new(server), service);
            let point =
                if upgrades { waits(connection.with_upgrades()) } else { waits(connection) };
            let functions: Vec<_> = point.frames.iter().map(|it| &*it.function).collect();
            assert!(functions.contains(&"await_points::wrappers::handler"), "{point:#?}");
            is_at_the_leaf(&point);
            drop(client);
        }
    });
}
