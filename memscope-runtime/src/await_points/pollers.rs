//! Known wrappers: which of their fields they poll.

/// Wrappers, each by its whole path, with the fields that it polls.
///
/// What is required of a wrapper: between two polls only its own `poll` touches the field. That
/// `poll` polls the field, if it is there, without asking another thread first. So the field is
/// lent to no thread, and a thread that has the wrapper for itself has the field too.
///
/// Each entry was read in the source of the version named above it. If a type has no field of this
/// name, it is from another version, and the walk ends there.
pub(super) const POLLERS: &[(&str, &[&str])] = &[
    // The standard library: it calls the closure, and `closure` decides about that.
    ("core::future::poll_fn::PollFn", &["f"]),
    // This crate: each enters the task or scope, and polls.
    ("memscope_runtime::tasks::future::CatchPanic", &["tracked"]),
    ("memscope_runtime::tasks::future::Tracked", &["future"]),
    ("memscope_runtime::tasks::scope::Scoped", &["future"]),
    ("memscope_runtime::tasks::stream::TrackedStream", &["tracked"]),
    ("memscope_runtime::tasks::tower::layer::TrackedResponse", &["future"]),
    // tokio 1.54: they set a budget or a task-local value, and poll. Some also ask a timer, or run
    // a local set.
    ("tokio::future::maybe_done::MaybeDone", &["future"]),
    ("tokio::future::try_join::TryJoin3", &["future1", "future2", "future3"]),
    ("tokio::task::coop::Coop", &["fut"]),
    ("tokio::task::coop::unconstrained::Unconstrained", &["inner"]),
    ("tokio::task::local::RunUntil", &["future"]),
    ("tokio::task::task_local::TaskLocalFuture", &["future"]),
    ("tokio::time::timeout::Timeout", &["value"]),
    // tokio-stream 0.1, async-stream 0.3: they poll the stream, which polls its generator.
    ("async_stream::async_stream::AsyncStream", &["generator"]),
    ("async_stream::next::Next", &["stream"]),
    ("tokio_stream::stream_ext::all::AllFuture", &["stream"]),
    ("tokio_stream::stream_ext::any::AnyFuture", &["stream"]),
    ("tokio_stream::stream_ext::chunks_timeout::ChunksTimeout", &["stream"]),
    ("tokio_stream::stream_ext::collect::Collect", &["stream"]),
    ("tokio_stream::stream_ext::filter::Filter", &["stream"]),
    ("tokio_stream::stream_ext::filter_map::FilterMap", &["stream"]),
    ("tokio_stream::stream_ext::fold::FoldFuture", &["stream"]),
    ("tokio_stream::stream_ext::fuse::Fuse", &["stream"]),
    ("tokio_stream::stream_ext::map::Map", &["stream"]),
    ("tokio_stream::stream_ext::map_while::MapWhile", &["stream"]),
    ("tokio_stream::stream_ext::merge::Merge", &["a", "b"]),
    ("tokio_stream::stream_ext::next::Next", &["stream"]),
    ("tokio_stream::stream_ext::peekable::Peekable", &["stream"]),
    ("tokio_stream::stream_ext::skip::Skip", &["stream"]),
    ("tokio_stream::stream_ext::skip_while::SkipWhile", &["stream"]),
    ("tokio_stream::stream_ext::take::Take", &["stream"]),
    ("tokio_stream::stream_ext::take_while::TakeWhile", &["stream"]),
    // Before its time is over it has no stream: its flag says that.
    ("tokio_stream::stream_ext::throttle::Throttle", &["stream"]),
    ("tokio_stream::stream_ext::timeout::Timeout", &["stream"]),
    ("tokio_stream::stream_ext::timeout_repeating::TimeoutRepeating", &["stream"]),
    ("tokio_stream::stream_ext::try_next::TryNext", &["inner"]),
    // tokio-util 0.7: they poll. Some also ask a token, or enter a runtime.
    ("tokio_util::context::TokioContext", &["inner"]),
    ("tokio_util::either::Either", &["__0"]),
    (
        "tokio_util::future::with_cancellation_token::WithCancellationTokenFuture",
        &["run_until_cancelled"],
    ),
    (
        "tokio_util::future::with_cancellation_token::WithCancellationTokenFutureOwned",
        &["run_until_cancelled"],
    ),
    ("tokio_util::sync::cancellation_token::RunUntilCancelledFuture", &["future"]),
    ("tokio_util::sync::cancellation_token::RunUntilCancelledFutureOwned", &["future"]),
    ("tokio_util::sync::reusable_box::ReusableBoxFuture", &["boxed"]),
    ("tokio_util::task::task_tracker::TrackedFuture", &["future"]),
    // sync_wrapper 1: what is in it is used only through a `&mut` of the whole.
    ("sync_wrapper::SyncFuture", &["inner"]),
    ("sync_wrapper::SyncWrapper", &["__0"]),
    // tracing 0.1: they enter the span or the dispatcher, and poll.
    (INSTRUMENTED, &["inner"]),
    ("tracing::instrument::WithDispatch", &["inner"]),
    // futures-util 0.3: a type with a variant for each stage polls the future of that stage.
    // Closures are called with what is ready.
    ("futures_util::abortable::Abortable", &["task"]),
    ("futures_util::future::either::Either", &["__0"]),
    ("futures_util::future::future::Flatten", &["inner"]),
    ("futures_util::future::future::Inspect", &["inner"]),
    ("futures_util::future::future::Map", &["inner"]),
    ("futures_util::future::future::MapInto", &["inner"]),
    ("futures_util::future::future::NeverError", &["inner"]),
    ("futures_util::future::future::Then", &["inner"]),
    ("futures_util::future::future::UnitError", &["inner"]),
    ("futures_util::future::future::catch_unwind::CatchUnwind", &["future"]),
    ("futures_util::future::future::flatten::Flatten", &["f"]),
    (FUSE, &["inner"]),
    ("futures_util::future::future::map::Map", &["future"]),
    ("futures_util::future::join::Join", &["Fut1", "Fut2"]),
    // Which of the two it is depends on how many there are.
    ("futures_util::future::join_all::JoinAll", &["kind"]),
    ("futures_util::future::join_all::JoinAllKind", &["elems", "fut"]),
    ("futures_util::future::join::Join3", &["Fut1", "Fut2", "Fut3"]),
    ("futures_util::future::join::Join4", &["Fut1", "Fut2", "Fut3", "Fut4"]),
    ("futures_util::future::join::Join5", &["Fut1", "Fut2", "Fut3", "Fut4", "Fut5"]),
    ("futures_util::future::maybe_done::MaybeDone", &["__0"]),
    ("futures_util::future::option::OptionFuture", &["inner"]),
    // As that of the standard library.
    ("futures_util::future::poll_fn::PollFn", &["f"]),
    ("futures_util::future::select::Select", &["inner"]),
    ("futures_util::future::try_future::AndThen", &["inner"]),
    ("futures_util::future::try_future::ErrInto", &["inner"]),
    ("futures_util::future::try_future::InspectErr", &["inner"]),
    ("futures_util::future::try_future::InspectOk", &["inner"]),
    ("futures_util::future::try_future::MapErr", &["inner"]),
    ("futures_util::future::try_future::MapOk", &["inner"]),
    ("futures_util::future::try_future::MapOkOrElse", &["inner"]),
    ("futures_util::future::try_future::OkInto", &["inner"]),
    ("futures_util::future::try_future::OrElse", &["inner"]),
    ("futures_util::future::try_future::TryFlatten", &["inner"]),
    ("futures_util::future::try_future::UnwrapOrElse", &["inner"]),
    ("futures_util::future::try_future::into_future::IntoFuture", &["future"]),
    ("futures_util::future::try_future::try_flatten::TryFlatten", &["f"]),
    ("futures_util::future::try_future::try_flatten_err::TryFlattenErr", &["f"]),
    ("futures_util::future::try_join::TryJoin", &["Fut1", "Fut2"]),
    ("futures_util::future::try_join::TryJoin3", &["Fut1", "Fut2", "Fut3"]),
    ("futures_util::future::try_join::TryJoin4", &["Fut1", "Fut2", "Fut3", "Fut4"]),
    ("futures_util::future::try_join::TryJoin5", &["Fut1", "Fut2", "Fut3", "Fut4", "Fut5"]),
    ("futures_util::future::try_join_all::TryJoinAll", &["kind"]),
    ("futures_util::future::try_join_all::TryJoinAllKind", &["elems", "fut"]),
    ("futures_util::future::try_maybe_done::TryMaybeDone", &["__0"]),
    // A list of futures, and types that poll one. What they take from a stream they add to the
    // list: the stream is polled as long as there is room.
    ("futures_util::stream::futures_ordered::FuturesOrdered", &["in_progress_queue"]),
    ("futures_util::stream::futures_ordered::OrderWrapper", &["data"]),
    ("futures_util::stream::select_all::SelectAll", &["inner"]),
    (
        "futures_util::stream::stream::buffer_unordered::BufferUnordered",
        &["stream", "in_progress_queue"],
    ),
    ("futures_util::stream::stream::buffered::Buffered", &["stream", "in_progress_queue"]),
    (
        "futures_util::stream::stream::for_each_concurrent::ForEachConcurrent",
        &["stream", "futures"],
    ),
    // Its source, when that is over, is not polled again: its flag says that.
    (FLATTENED, &["stream", "inner_streams"]),
    ("futures_util::stream::stream::flatten_unordered::PollStreamFut", &["stream"]),
    ("futures_util::stream::stream::FlatMapUnordered", &["inner"]),
    ("futures_util::stream::try_stream::try_flatten_unordered::TryFlattenUnordered", &["inner"]),
    (
        "futures_util::stream::try_stream::try_flatten_unordered::\
         NestedTryStreamIntoEitherTryStream",
        &["stream"],
    ),
    (
        "futures_util::stream::try_stream::try_buffer_unordered::TryBufferUnordered",
        &["stream", "in_progress_queue"],
    ),
    (
        "futures_util::stream::try_stream::try_buffered::TryBuffered",
        &["stream", "in_progress_queue"],
    ),
    (
        "futures_util::stream::try_stream::try_for_each_concurrent::TryForEachConcurrent",
        &["stream", "futures"],
    ),
    ("futures_util::stream::once::Once", &["future"]),
    ("futures_util::stream::select::Select", &["inner"]),
    // What is over it does not poll again: its state says that.
    (TWO_STREAMS, &["stream1", "stream2"]),
    ("futures_util::stream::stream::FlatMap", &["inner"]),
    ("futures_util::stream::stream::Flatten", &["inner"]),
    ("futures_util::stream::stream::Inspect", &["inner"]),
    ("futures_util::stream::stream::chunks::Chunks", &["stream"]),
    ("futures_util::stream::stream::collect::Collect", &["stream"]),
    ("futures_util::stream::stream::concat::Concat", &["stream"]),
    ("futures_util::stream::stream::count::Count", &["stream"]),
    ("futures_util::stream::stream::enumerate::Enumerate", &["stream"]),
    (FUSED_STREAM, &["stream"]),
    ("futures_util::stream::stream::into_future::StreamFuture", &["stream"]),
    ("futures_util::stream::stream::map::Map", &["stream"]),
    ("futures_util::stream::stream::next::Next", &["stream"]),
    // With an item that was peeked at they are ready.
    ("futures_util::stream::stream::peek::Peek", &["inner"]),
    ("futures_util::stream::stream::peek::PeekMut", &["inner"]),
    ("futures_util::stream::stream::peek::Peekable", &["stream"]),
    ("futures_util::stream::stream::ready_chunks::ReadyChunks", &["stream"]),
    ("futures_util::stream::stream::select_next_some::SelectNextSome", &["stream"]),
    ("futures_util::stream::stream::skip::Skip", &["stream"]),
    ("futures_util::stream::stream::take::Take", &["stream"]),
    // Without the future that ends it, it is over or goes on without one.
    ("futures_util::stream::stream::take_until::TakeUntil", &["stream", "fut"]),
    ("futures_util::stream::try_stream::into_async_read::IntoAsyncRead", &["stream"]),
    ("futures_util::stream::try_stream::into_stream::IntoStream", &["stream"]),
    ("futures_util::stream::stream::unzip::Unzip", &["stream"]),
    ("futures_util::stream::try_stream::try_chunks::TryChunks", &["stream"]),
    ("futures_util::stream::try_stream::try_collect::TryCollect", &["stream"]),
    ("futures_util::stream::try_stream::try_concat::TryConcat", &["stream"]),
    ("futures_util::stream::try_stream::try_next::TryNext", &["stream"]),
    ("futures_util::stream::try_stream::try_ready_chunks::TryReadyChunks", &["stream"]),
    ("futures_util::stream::try_stream::try_unfold::TryUnfold", &["fut"]),
    ("futures_util::stream::unfold::Unfold", &["state"]),
    ("futures_util::unfold_state::UnfoldState", &["future"]),
    // futures-concurrency 7: they poll all of them each time.
    ("futures_concurrency::future::race::tuple::Race2", &["A", "B"]),
    ("futures_concurrency::future::race::tuple::Race3", &["A", "B", "C"]),
    ("futures_concurrency::future::race::tuple::Race4", &["A", "B", "C", "D"]),
    ("futures_concurrency::future::race::tuple::Race5", &["A", "B", "C", "D", "E"]),
    // async-std 1.13, futures-lite 2.6: they poll as those do.
    ("async_std::future::timeout::TimeoutFuture", &["future"]),
    ("futures_lite::future::CatchUnwind", &["inner"]),
    ("futures_lite::future::Or", &["future1", "future2"]),
    ("futures_lite::future::Race", &["future1", "future2"]),
    ("futures_lite::future::Zip", &["future1", "future2"]),
    // tower 0.5: each stage polls its future. The polling thread uses services and requests; a walk
    // does not follow them.
    ("tower::buffer::future::ResponseFuture", &["state"]),
    ("tower::buffer::future::ResponseState", &["fut"]),
    ("tower::filter::future::AsyncResponseFuture", &["state"]),
    ("tower::filter::future::ResponseFuture", &["inner"]),
    ("tower::filter::future::State", &["check", "response"]),
    ("tower::limit::concurrency::future::ResponseFuture", &["inner"]),
    ("tower::load::completion::TrackCompletionFuture", &["future"]),
    ("tower::load_shed::future::ResponseFuture", &["state"]),
    ("tower::load_shed::future::ResponseState", &["fut"]),
    ("tower::retry::future::ResponseFuture", &["state"]),
    ("tower::retry::future::State", &["future", "waiting"]),
    ("tower::timeout::future::ResponseFuture", &["response"]),
    ("tower::util::and_then::AndThenFuture", &["inner"]),
    ("tower::util::either::EitherResponseFuture", &["kind"]),
    ("tower::util::either::Kind", &["inner"]),
    ("tower::util::map_err::MapErrFuture", &["inner"]),
    ("tower::util::map_response::MapResponseFuture", &["inner"]),
    ("tower::util::map_result::MapResultFuture", &["inner"]),
    ("tower::util::oneshot::Oneshot", &["state"]),
    ("tower::util::oneshot::State", &["fut"]),
    ("tower::util::optional::future::ResponseFuture", &["inner"]),
    ("tower::util::then::ThenFuture", &["inner"]),
    // tower-http 0.6: they poll, and change what is ready.
    ("tower_http::catch_panic::Kind", &["future"]),
    ("tower_http::catch_panic::ResponseFuture", &["kind"]),
    ("tower_http::compression::future::ResponseFuture", &["inner"]),
    ("tower_http::cors::Kind", &["future"]),
    ("tower_http::cors::ResponseFuture", &["inner"]),
    ("tower_http::limit::future::ResponseFuture", &["inner"]),
    ("tower_http::limit::future::ResponseFutureInner", &["future"]),
    ("tower_http::map_response_body::ResponseFuture", &["inner"]),
    ("tower_http::propagate_header::ResponseFuture", &["future"]),
    ("tower_http::request_id::PropagateRequestIdResponseFuture", &["inner"]),
    ("tower_http::sensitive_headers::SetSensitiveResponseHeadersResponseFuture", &["future"]),
    ("tower_http::set_header::response::multiple_headers::ResponseFuture", &["future"]),
    ("tower_http::set_header::response::single_header::ResponseFuture", &["future"]),
    ("tower_http::set_status::ResponseFuture", &["inner"]),
    ("tower_http::timeout::service::ResponseBodyTimeoutFuture", &["inner"]),
    ("tower_http::timeout::service::ResponseFuture", &["inner"]),
    ("tower_http::trace::future::ResponseFuture", &["inner"]),
    // hyper 1, hyper-util 0.1: the thread that polls a connection polls the response in flight,
    // which is in a box of the connection's own. In HTTP/2 each stream is a task with its response,
    // and also asks whether the client has reset the stream.
    ("hyper::proto::h1::dispatch::Dispatcher", &["dispatch"]),
    (CONNECTION, &["in_flight"]),
    ("hyper::proto::h2::server::H2Stream", &["state"]),
    ("hyper::proto::h2::server::H2StreamState", &["fut", "pipe"]),
    ("hyper::server::conn::http1::Connection", &["conn"]),
    ("hyper::server::conn::http1::UpgradeableConnection", &["inner"]),
    ("hyper_util::client::legacy::client::ResponseFuture", &["inner"]),
    ("hyper_util::client::legacy::connect::http::HttpConnecting", &["fut"]),
    ("hyper_util::common::lazy::Inner", &["fut"]),
    ("hyper_util::common::lazy::Lazy", &["inner"]),
    ("hyper_util::common::sync::SyncWrapper", &["__0"]),
    ("hyper_util::server::conn::auto::ConnState", &["conn"]),
    ("hyper_util::server::conn::auto::Connection", &["state"]),
    ("hyper_util::server::conn::auto::UpgradeableConnState", &["conn"]),
    ("hyper_util::server::conn::auto::UpgradeableConnection", &["state"]),
    // It also asks for a signal, of which it only tells the connection.
    ("hyper_util::server::graceful::GracefulConnectionFuture", &["conn"]),
    ("hyper_util::service::glue::TowerToHyperServiceFuture", &["future"]),
    ("hyper_util::service::oneshot::Oneshot", &["fut"]),
    // axum 0.8: they poll, and make a response of what is ready.
    ("axum::error_handling::future::HandleErrorFuture", &["future"]),
    ("axum::handler::future::IntoServiceFuture", &["future"]),
    ("axum::handler::future::LayeredFuture", &["inner"]),
    ("axum::middleware::from_extractor::ResponseFuture", &["state"]),
    ("axum::middleware::from_extractor::State", &["future"]),
    ("axum::middleware::from_fn::ResponseFuture", &["inner"]),
    ("axum::middleware::map_request::ResponseFuture", &["inner"]),
    ("axum::middleware::map_response::ResponseFuture", &["inner"]),
    ("axum::middleware::response_axum_body::ResponseAxumBodyFuture", &["inner"]),
    ("axum::routing::route::InfallibleRouteFuture", &["future"]),
    ("axum::routing::route::RouteFuture", &["inner"]),
    ("axum::serve::private::ServeFuture", &["__0"]),
    ("axum::util::MapIntoResponseFuture", &["inner"]),
    // tonic 0.14: they poll, and make a response of what is ready. One also asks a timer.
    ("tonic::service::interceptor::Kind", &["__0"]),
    ("tonic::service::interceptor::ResponseFuture", &["kind"]),
    ("tonic::service::recover_error::ResponseFuture", &["inner"]),
    ("tonic::service::router::RoutesFuture", &["__0"]),
    ("tonic::transport::channel::ResponseFuture", &["inner"]),
    ("tonic::transport::channel::service::reconnect::Inner", &["__0"]),
    ("tonic::transport::channel::service::reconnect::ResponseFuture", &["inner"]),
    ("tonic::transport::server::Fuse", &["inner"]),
    ("tonic::transport::server::SvcFuture", &["inner"]),
    ("tonic::transport::service::grpc_timeout::ResponseFuture", &["inner"]),
];

/// A type that polls the future of what its source has given, and without one its source.
#[derive(Debug)]
pub(super) struct Sourced {
    pub(super) path: &'static str,
    /// The future: an `Option`.
    pub(super) fields: &'static [&'static str],
    /// The source, which may lead to no function.
    pub(super) source: &'static str,
    /// Which argument of the type is the future.
    pub(super) argument: usize,
}

const fn sourced(
    path: &'static str,
    fields: &'static [&'static str],
    source: &'static str,
) -> Sourced {
    Sourced { path, fields, source, argument: 1 }
}

/// What is required of them is what is required of [`POLLERS`].
pub(super) const SOURCED: &[Sourced] = &[
    // futures-util 0.3: they poll the stream for the next item, of which they make the future.
    sourced("futures_util::stream::stream::all::All", &["future"], "stream"),
    sourced("futures_util::stream::stream::any::Any", &["future"], "stream"),
    // The second stream is polled once the first one is over, and dropped.
    Sourced {
        argument: 0,
        ..sourced("futures_util::stream::stream::chain::Chain", &["first"], "second")
    },
    sourced("futures_util::stream::stream::filter::Filter", &["pending_fut"], "stream"),
    sourced("futures_util::stream::stream::filter_map::FilterMap", &["pending"], "stream"),
    sourced("futures_util::stream::stream::flatten::Flatten", &["next"], "stream"),
    sourced("futures_util::stream::stream::fold::Fold", &["future"], "stream"),
    sourced("futures_util::stream::stream::for_each::ForEach", &["future"], "stream"),
    // Its second argument is its state.
    Sourced {
        argument: 2,
        ..sourced("futures_util::stream::stream::scan::Scan", &["future"], "stream")
    },
    sourced("futures_util::stream::stream::skip_while::SkipWhile", &["pending_fut"], "stream"),
    sourced("futures_util::stream::stream::take_while::TakeWhile", &["pending_fut"], "stream"),
    sourced("futures_util::stream::stream::then::Then", &["future"], "stream"),
    sourced("futures_util::stream::try_stream::and_then::AndThen", &["future"], "stream"),
    sourced("futures_util::stream::try_stream::or_else::OrElse", &["future"], "stream"),
    sourced("futures_util::stream::try_stream::try_filter::TryFilter", &["pending_fut"], "stream"),
    sourced(
        "futures_util::stream::try_stream::try_filter_map::TryFilterMap",
        &["pending"],
        "stream",
    ),
    sourced("futures_util::stream::try_stream::try_flatten::TryFlatten", &["next"], "stream"),
    sourced("futures_util::stream::try_stream::try_fold::TryFold", &["future"], "stream"),
    sourced("futures_util::stream::try_stream::try_for_each::TryForEach", &["future"], "stream"),
    sourced(
        "futures_util::stream::try_stream::try_skip_while::TrySkipWhile",
        &["pending_fut"],
        "stream",
    ),
    sourced(
        "futures_util::stream::try_stream::try_take_while::TryTakeWhile",
        &["pending_fut"],
        "stream",
    ),
    // tokio-stream 0.1.
    sourced("tokio_stream::stream_ext::then::Then", &["future"], "stream"),
];

/// Futures of the next item of a stream. They are terminated as their stream is.
pub(super) const OF_FUSED_STREAMS: [&str; 2] = [
    "futures_util::stream::stream::next::Next",
    "futures_util::stream::stream::select_next_some::SelectNextSome",
];

/// Types that have items beside what they poll, and wait for nothing else. They are no pollers, as
/// what they poll is a sink.
pub(super) const WITH_ITEMS: [&str; 2] =
    ["futures_util::sink::buffer::Buffer", "futures_util::sink::feed::Feed"];

/// A list of futures. It is terminated if it has none.
pub(super) const UNORDERED: &str = "futures_util::stream::futures_unordered::FuturesUnordered";

/// It keeps its source when that is over, and has a flag for it.
pub(super) const FLATTENED: &str =
    "futures_util::stream::stream::flatten_unordered::FlattenUnorderedWithFlowController";

/// It keeps its streams when they are over, and has a state for it.
pub(super) const TWO_STREAMS: &str =
    "futures_util::stream::select_with_strategy::SelectWithStrategy";

/// It keeps its stream when that is over, and has a flag for it.
pub(super) const FUSED_STREAM: &str = "futures_util::stream::stream::fuse::Fuse";

/// It drops its future when that is over.
pub(super) const FUSE: &str = "futures_util::future::future::fuse::Fuse";

/// It keeps what it polls in a `ManuallyDrop`, which only its own destructor drops.
pub(super) const INSTRUMENTED: &str = "tracing::instrument::Instrumented";

/// The server of an HTTP/1 connection. Without a request in flight the connection waits for its
/// socket.
pub(super) const CONNECTION: &str = "hyper::proto::h1::dispatch::Server";
