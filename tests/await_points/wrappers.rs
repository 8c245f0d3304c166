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
    http::{StatusCode, request::Parts},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, future, stream};
use memscope_rs::async_memory::{AwaitPoint, Scope, TaskType, TrackStream, create_tracked, track};
use sync_wrapper::SyncFuture;
use tokio::{
    runtime::{Handle, Runtime},
    sync::watch,
    task::LocalSet,
    time::timeout,
};
use tokio_util::{
    context::TokioContext,
    either::Either,
    future::FutureExt as Cancel,
    sync::{CancellationToken, ReusableBoxFuture},
    task::TaskTracker,
};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
use tower_http::trace::TraceLayer;
use tracing::{Instrument, instrument::WithSubscriber};

use super::{LEAF, leaf, middle, waits};

pub(super) const LONG: Duration = Duration::from_hours(1);

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
pub(super) fn is_at_the_leaf(point: &AwaitPoint) {
    let Some(at) = point.innermost() else { panic!("{point:#?}") };
    assert_eq!((&*at.function, at.line), ("await_points::leaf", LEAF), "{point:#?}");
    assert!(point.stops.starts_with("waits for core::future::pending::Pending"), "{point:#?}");
}

/// That a wrapper is looked through where it is a task, and where a function awaits it.
#[track_caller]
pub(super) fn looks_through<F: Future>(wrapper: impl Fn() -> F) {
    is_at_the_leaf(&waits(wrapper()));
    let awaited = waits(async { wrapper().await });
    assert!(awaited.frames.len() > 1, "{awaited:#?}");
    is_at_the_leaf(&awaited);
}

pub(super) async fn fallible() -> Result<(), BoxError> {
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
    looks_through(|| TokioContext::new(Box::pin(leaf()), Handle::current()));
    looks_through(|| Either::<_, future::Ready<()>>::Left(Box::pin(leaf())));
    looks_through(|| Either::<future::Ready<()>, _>::Right(leaf()));
    looks_through(|| ReusableBoxFuture::new(leaf()));
    looks_through(|| SyncFuture::new(Box::pin(leaf())));
}

#[test]
fn a_signal_beside_work_is_no_second_work() {
    let (sender, mut receiver) = watch::channel(());
    let mut other = sender.subscribe();
    for point in [
        waits(async {
            tokio::select! {
                () = leaf() => {}
                _ = receiver.changed() => {}
            }
        }),
        waits(async {
            let mut work = pin!(leaf());
            let mut closed = pin!(sender.closed().fuse());
            tokio::select! {
                () = work.as_mut() => {}
                () = &mut closed => {}
            }
        }),
        waits(future::select(Box::pin(leaf()), Box::pin(other.changed()))),
    ] {
        assert_eq!(point.innermost().map(|it| it.line), Some(LEAF), "{point:#?}");
        assert!(point.stops.contains("; this is one of several in ("), "{point:#?}");
    }

    // Two works are two, and a signal alone is what is waited for.
    let point = waits(async {
        tokio::select! {
            () = leaf() => {}
            () = middle() => {}
            _ = receiver.changed() => {}
        }
    });
    assert!(point.stops.contains("3 futures side by side"), "{point:#?}");
    let point = waits(async {
        tokio::select! {
            () = sender.closed() => {}
            _ = receiver.changed() => {}
        }
    });
    assert!(point.stops.contains("2 futures side by side"), "{point:#?}");
    let point = waits(receiver.changed());
    assert!(point.stops.starts_with("waits for tokio::sync::notify::Notified"), "{point:#?}");

    // Here it is waited for both.
    let point = waits(async { tokio::join!(leaf(), receiver.changed()) });
    assert!(point.stops.contains("2 futures side by side"), "{point:#?}");
    let point = waits(future::join(leaf(), receiver.changed()));
    assert!(point.stops.contains("2 futures side by side"), "{point:#?}");
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
    let point = waits(future::join(leaf(), middle()));
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

async fn handler() -> &'static str {
    leaf().await;
    "never"
}

pub(super) fn router() -> Router {
    Router::new().route("/", get(handler))
}

pub(super) fn request() -> Request {
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
