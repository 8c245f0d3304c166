//! The layer, its service, and the future of a response.

use std::{
    borrow::Cow,
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request as HttpRequest, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::TrackedBody,
    name,
    request::{Asked, Request},
};
use crate::{
    accounting::{FutureType, Record},
    alloc::poll_guard,
    config::ENABLED,
    model::TaskType,
};

/// Gives each HTTP request a task of its own, from its call to the last frame of its response.
///
/// The layer works with every tower service over HTTP: axum, hyper, tonic, and clients. The task's
/// row is named by the route. So a service has one row of `sites()` for each route and method.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use memscope_runtime::{async_memory::get_memory_snapshot, tower::TrackLayer};
/// use tower_service::Service as _;
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let mut service = Router::new()
///     .route("/orders/{id}", get(|| async { vec![0u8; 100_000] }))
///     .layer(TrackLayer::new());
/// for id in [7, 8] {
///     let request = Request::get(format!("/orders/{id}")).body(Body::empty()).unwrap();
///     let response = service.call(request).await.unwrap();
///     axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
/// }
///
/// let snapshot = get_memory_snapshot();
/// let site = snapshot.sites_named("GET /orders/{id}").next().unwrap();
/// assert_eq!(site.completed, 2);
/// assert!(site.allocated_bytes >= 200_000);
/// # });
/// # }
/// ```
///
/// # The name
///
/// | request | name |
/// |---|---|
/// | axum has found its route (feature `axum`) | `GET /orders/{id}` |
/// | gRPC (feature `tonic`): a `POST` with content type `application/grpc` | `/shop.Orders/List` |
/// | any other | `GET (no route)` |
///
/// A method that HTTP does not define is `OTHER`. A raw path is never a name, so rows are bounded.
/// A gRPC path is a name only if it has the form `/package.Service/Method`. Clients choose it, so
/// the first 256 paths of a process are names, and later ones share `(other gRPC)`.
/// [`name_with`](Self::name_with) names requests of other services.
///
/// axum's route is known to a layer that [`Router::layer`] or `route_layer` applies, after the
/// routes. It is not known outside the router, nor for a service in `nest_service`. In that case
/// apply the layer to the inner router.
///
/// [`Router::layer`]: https://docs.rs/axum/0.8/axum/struct.Router.html#method.layer
///
/// # What belongs to a request
///
/// The request is charged with the inner service's allocations in `call`, in the polls and the drop
/// of its future, and in the polls and the drop of the response's body. `#[tracked]` functions
/// below are its children, and their rows have their own allocations. The server's allocations
/// belong to the connection, as it reads the request's head and writes frames. A task that a
/// handler spawns is another task.
///
/// # How a request ends
///
/// | event | state |
/// |---|---|
/// | The last frame was given, or the response has no body (`HEAD`, 204, 304) | `Completed` |
/// | The service or the body returned an error: that is its result | `Completed` |
/// | The client hung up, or a timeout dropped the request, before its last frame | `Cancelled` |
/// | `call`, the future or the body panicked | `Panicked` |
///
/// A last frame is trailers, an error, or a frame after which `is_end_stream` is true. A body that
/// is dropped after all bytes of its `Content-Length` has ended as well. If a layer *below* this
/// one turns panics into responses, such a request is `Completed`.
///
/// **Upgrades.** A request for a websocket ends with its 101, and one for a tunnel with the
/// response to its `CONNECT`. What comes after belongs to the task that the handler has spawned for
/// it; the memory of that task's cell is the request's.
///
/// # Cost
///
/// A request takes a record and gives it back. It makes its name and looks it up: one allocation,
/// which belongs to no task. `call`, each poll of the future and each poll of the body cost what a
/// poll of [`Tracked`](crate::async_memory::Tracked) does, and each counts as a poll. With tracking
/// compiled out, the layer only forwards.
///
/// # Errors and panics
///
/// Errors and panics of the service and of the body pass through unchanged. The layer adds none.
#[derive(Clone)]
#[must_use = "a layer does nothing unless it is applied to a service"]
pub struct TrackLayer<N = for<'p> fn(&'p Parts) -> Cow<'p, str>> {
    name: N,
    task_type: TaskType,
    place: &'static Location<'static>,
}

impl TrackLayer {
    /// Makes a layer that names requests by their route. The rows carry the place of this call.
    #[track_caller]
    pub fn new() -> Self {
        Self { name: name::of, task_type: TaskType::Unspecified, place: Location::caller() }
    }
}

impl<N> TrackLayer<N> {
    /// Declares what requests mostly do; reports group by it.
    pub fn task_type(self, task_type: TaskType) -> Self {
        Self { task_type, ..self }
    }

    /// Names each request by what `name` says of its head.
    ///
    /// A name should carry no id: requests with one name share a row of `sites()`. There are
    /// [`Builder::site_rows`] rows; later names share `(other)`. What `name` allocates belongs to
    /// no task. A panic in it goes to the caller, and the request has no row.
    ///
    /// ```
    /// # use std::{convert::Infallible, future::ready, task::{Context, Poll}};
    /// use http::{Request, Response};
    /// use memscope_runtime::{async_memory::get_memory_snapshot, tower::TrackLayer};
    /// use tower_layer::Layer as _;
    /// use tower_service::Service as _;
    ///
    /// # #[derive(Clone)]
    /// # struct Pages;
    /// # impl tower_service::Service<Request<()>> for Pages {
    /// #     type Response = Response<String>;
    /// #     type Error = Infallible;
    /// #     type Future = std::future::Ready<Result<Response<String>, Infallible>>;
    /// #     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
    /// #         Poll::Ready(Ok(()))
    /// #     }
    /// #     fn call(&mut self, _: Request<()>) -> Self::Future {
    /// #         ready(Ok(Response::new(String::new())))
    /// #     }
    /// # }
    /// # #[global_allocator]
    /// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
    /// # futures::executor::block_on(async {
    /// let layer = TrackLayer::new().name_with(|request| match request.uri.path() {
    ///     "/health" => "health".into(),
    ///     _ => format!("{} page", request.method).into(),
    /// });
    /// let mut service = layer.layer(Pages);
    /// for path in ["/health", "/a", "/b"] {
    ///     service.call(Request::get(path).body(()).unwrap()).await.unwrap();
    /// }
    ///
    /// let snapshot = get_memory_snapshot();
    /// let count = |name| snapshot.sites_named(name).next().unwrap().completed;
    /// assert_eq!((count("health"), count("GET page")), (1, 2));
    /// # });
    /// ```
    ///
    /// [`Builder::site_rows`]: crate::Builder::site_rows
    pub fn name_with<F>(self, name: F) -> TrackLayer<F>
    where
        F: for<'p> Fn(&'p Parts) -> Cow<'p, str>,
    {
        TrackLayer { name, task_type: self.task_type, place: self.place }
    }
}

impl Default for TrackLayer {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl<N> fmt::Debug for TrackLayer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackLayer")
            .field("task_type", &self.task_type)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl<S, N: Clone> Layer<S> for TrackLayer<N> {
    type Service = TrackService<S, N>;

    fn layer(&self, inner: S) -> Self::Service {
        TrackService { inner, layer: self.clone() }
    }
}

/// A service whose requests are tasks; made by [`TrackLayer`].
#[derive(Clone)]
pub struct TrackService<S, N = for<'p> fn(&'p Parts) -> Cow<'p, str>> {
    inner: S,
    layer: TrackLayer<N>,
}

impl<S: fmt::Debug, N> fmt::Debug for TrackService<S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackService")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}

impl<S, N, B, R> Service<HttpRequest<B>> for TrackService<S, N>
where
    S: Service<HttpRequest<B>, Response = Response<R>>,
    N: for<'p> Fn(&'p Parts) -> Cow<'p, str>,
    R: Body,
{
    type Response = Response<TrackedBody<R>>;
    type Error = S::Error;
    type Future = TrackedResponse<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let asked = Asked::by(request.method());
        if !ENABLED {
            let future = Some(self.inner.call(request));
            return TrackedResponse { future, request: Request::without_row(), asked };
        }
        let (parts, body) = request.into_parts();
        let TrackLayer { name, task_type, place } = &self.layer;
        let future_type = FutureType::of::<S::Future>();
        let open = Request::open(|| name(&parts), *task_type, place, future_type);
        let request = HttpRequest::from_parts(parts, body);
        let running = open.record().map(Record::run_apart);
        let future = Some(self.inner.call(request));
        if let Some(running) = running {
            running.finish(false);
        }
        TrackedResponse { future, request: open, asked }
    }
}

pin_project! {
    /// The future of a response, polled inside the request's task; made by [`TrackService`].
    ///
    /// It gives the same result and panics when the service's future does.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct TrackedResponse<F> {
        // `None` once it has given the response.
        #[pin]
        future: Option<F>,
        request: Request,
        asked: Asked,
    }

    impl<F> PinnedDrop for TrackedResponse<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.request.close(false, || this.future.set(None));
        }
    }
}

impl<F, R, E> Future for TrackedResponse<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<TrackedBody<R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(mut future) = this.future.as_mut().as_pin_mut() else {
            panic!("`TrackedResponse` polled after it has given its response");
        };
        let Some(record) = this.request.record() else {
            let Poll::Ready(result) = future.poll(context) else { return Poll::Pending };
            return Poll::Ready(result.map(|it| it.map(TrackedBody::without_row)));
        };
        poll_guard::note_tracked();
        let running = record.run_apart();
        let Poll::Ready(result) = future.as_mut().poll(context) else {
            #[cfg(feature = "layout")]
            crate::await_points::tree::note(record, future);
            running.finish(false);
            return Poll::Pending;
        };
        this.future.set(None);
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                running.finish(true);
                return Poll::Ready(Err(error));
            }
        };
        let is_over = this.asked.gets_no_body(&response) || response.body().is_end_stream();
        #[cfg(feature = "layout")]
        record.note_await_point(0);
        running.finish(is_over);
        let request = this.request.take();
        Poll::Ready(Ok(TrackedBody::of(response, request)))
    }
}

impl<F> fmt::Debug for TrackedResponse<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedResponse").finish_non_exhaustive()
    }
}
