//! The types that a walk may enter, and the fields to which it may go on: the only list of them.

use memscope_layout::{Field, FutureType, Layouts, Select, Shape, TypeId};

/// The fields of a type to which a walk may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// All that lead to futures. The type is a part of the value that it stands in, whose rule
    /// counts.
    Part,
    /// These, which the type polls.
    Polls(&'static [&'static str]),
    /// The type was written by hand, by the program's authors or in a crate that was not read.
    ByHand,
}

/// Types of the standard library that are only what they are made of. What is in the last two may
/// be dropped or shared: a walk ends there.
const PARTS: [&str; 6] = [
    "core::mem::maybe_dangling::MaybeDangling",
    "core::option::Option",
    "core::panic::unwind_safe::AssertUnwindSafe",
    "core::pin::Pin",
    "core::cell::UnsafeCell",
    "core::mem::manually_drop::ManuallyDrop",
];

/// Wrappers, each by its whole path, with the fields that it polls.
///
/// What is required of a wrapper: between two polls only its own `poll` touches the field. That
/// `poll` polls the field, if it is there, without asking another thread first. So the field is
/// lent to no thread, and a thread that has the wrapper for itself has the field too.
///
/// Each entry was read in the source of the version named above it. If a type has no field of this
/// name, it is from another version, and the walk ends there.
const POLLERS: &[(&str, &[&str])] = &[
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
    ("tokio_stream::stream_ext::next::Next", &["stream"]),
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
    ("futures_util::future::try_maybe_done::TryMaybeDone", &["__0"]),
    ("futures_util::stream::once::Once", &["future"]),
    ("futures_util::stream::stream::fold::Fold", &["future"]),
    ("futures_util::stream::stream::for_each::ForEach", &["future"]),
    ("futures_util::stream::stream::next::Next", &["stream"]),
    ("futures_util::stream::stream::then::Then", &["future"]),
    ("futures_util::stream::try_stream::try_next::TryNext", &["stream"]),
    ("futures_util::stream::unfold::Unfold", &["state"]),
    ("futures_util::unfold_state::UnfoldState", &["future"]),
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
    ("hyper::proto::h1::dispatch::Server", &["in_flight"]),
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

/// Functions that wait until another task says something or a time is over, each by the start and
/// the end of its path; between them is the number of an `impl`. Beside the work that they may end
/// they count as `Notified` and `Sleep` do, which have no state machine.
///
/// Each was read in the source of the version named above it: it awaits nothing but that signal.
const SIGNALS: [(&str, &str); 3] = [
    // tokio 1.54: a channel's other side changes its value, or goes away.
    ("tokio::sync::watch::", "::changed::{async_fn_env#0}"),
    ("tokio::sync::watch::", "::closed::{async_fn_env#0}"),
    // tonic 0.14: the age at which a connection is closed.
    ("tonic::transport::server::", "connection_timeout_future::{async_fn_env#0}"),
];

/// It drops its future when that is over.
const FUSE: &str = "futures_util::future::future::fuse::Fuse";

/// It keeps what it polls in a `ManuallyDrop`, which only its own destructor drops.
const INSTRUMENTED: &str = "tracing::instrument::Instrumented";

/// A type's path, without its generic arguments.
fn path(future: &FutureType) -> &str {
    future.name.split('<').next().unwrap_or_default()
}

/// Whether what a type polls is alive as long as its value, even in a `ManuallyDrop`.
pub(super) fn drops_last(future: &FutureType) -> bool {
    path(future) == INSTRUMENTED
}

/// Whether the type is a closure.
fn is_closure(future: &FutureType) -> bool {
    path(future).rsplit("::").next().is_some_and(|it| it.starts_with("{closure_env#"))
}

/// The rule of a struct or an enum.
pub(super) fn rule(layouts: &Layouts, future: &FutureType) -> Rule {
    let path = path(future);
    // Tuples are only what they are made of.
    if path.starts_with('(') || PARTS.contains(&path) {
        return Rule::Part;
    }
    if let Some((_, fields)) = POLLERS.iter().find(|it| it.0 == path) {
        return Rule::Polls(fields);
    }
    closure(layouts, future).unwrap_or(Rule::ByHand)
}

/// The rule of a closure that a macro has made; `None` for any other. The others are written by
/// hand, and so is what they do with their captures.
fn closure(layouts: &Layouts, future: &FutureType) -> Option<Rule> {
    const SELECT: Rule = Rule::Polls(&["_ref__futures"]);
    const JOIN: Rule = Rule::Polls(&["futures"]);
    if future.select == Some(Select::OfTokio) {
        return Some(SELECT);
    }
    if is_of_futures(layouts, future) {
        return Some(Rule::Part);
    }
    // `tokio::join!` keeps its futures in a type that no other code can name.
    let Shape::Struct(fields) = &future.shape else { return None };
    let [field] = &fields[..] else { return None };
    let Shape::Pointer { to, .. } = layouts.future_type(field.future_type)?.shape else {
        return None;
    };
    let Shape::Struct(futures) = &layouts.future_type(to)?.shape else { return None };
    let is_joined = |it: &Field| layouts.future_type(it.future_type).is_some_and(is_joined);
    (is_closure(future) && &*field.name == "futures" && futures.iter().all(is_joined))
        .then_some(JOIN)
}

/// Whether this is the closure of a macro of futures-util, which polls all of its futures that are
/// not over: of `select!`, `join!` or `try_join!`. The last two have nothing but futures, under
/// names and numbers that the macro gives them; those without functions are not among the fields.
pub(super) fn is_of_futures(layouts: &Layouts, future: &FutureType) -> bool {
    let Shape::Struct(fields) = &future.shape else { return false };
    let inside = |field: &Field| layouts.future_type(inside_pointers(layouts, field.future_type));
    if future.select == Some(Select::OfFutures) {
        // It passes over a future that is terminated. A `Fuse` has dropped its own then. The source
        // of a stream such as `TakeUntil` may still wait.
        return fields.iter().all(|it| inside(it).is_some_and(|it| path(it) == FUSE));
    }
    let is_joined = |(at, field): (usize, &Field)| {
        let number = field.name.strip_prefix("_fut").and_then(|it| it.parse::<usize>().ok());
        number >= Some(at) && inside(field).is_some_and(|it| MAYBE_DONE.contains(&path(it)))
    };
    is_closure(future) && !fields.is_empty() && fields.iter().enumerate().all(is_joined)
}

/// Whether a listed type has in this variant what its future has returned. That may be a future,
/// too, but the type does not poll it. The field has the name of the one that it polls.
pub(super) fn is_output(future: &FutureType, variant: &str) -> bool {
    MAYBE_DONE.contains(&path(future)) && variant == "Done"
}

/// Whether what the type holds is all of a single field.
pub(super) fn is_option(future: &FutureType) -> bool {
    path(future) == "core::option::Option"
}

/// The futures of a `join` of futures-util, which may be over.
const MAYBE_DONE: [&str; 2] = [
    "futures_util::future::maybe_done::MaybeDone",
    "futures_util::future::try_maybe_done::TryMaybeDone",
];

/// How many fields the type polls at each poll. Debug information may have layouts of some only.
pub(super) fn polls(future: &FutureType) -> usize {
    let rule = POLLERS.iter().find(|it| it.0 == path(future));
    let is_struct = matches!(future.shape, Shape::Struct(_));
    rule.filter(|_| is_struct).map_or(0, |it| it.1.len())
}

/// The variant that a type of [`may_be_over`] is in as long as it is not over.
pub(super) const JOINED_FUTURE: &str = "Future";

/// Whether the type is one of the futures of a join, which may be over.
pub(super) fn may_be_over(future: &FutureType) -> bool {
    is_joined(future) || MAYBE_DONE.contains(&path(future))
}

/// Whether the type is one of the futures of a `tokio::join!`, which no other code can name.
fn is_joined(future: &FutureType) -> bool {
    path(future) == "tokio::future::maybe_done::MaybeDone"
}

/// The future in such a type.
pub(super) fn joined_future(layouts: &Layouts, id: TypeId) -> Option<TypeId> {
    let future = layouts.future_type(id).filter(|it| may_be_over(it))?;
    let Shape::Enum { variants, .. } = &future.shape else { return None };
    let variant = variants.iter().find(|it| &*it.name == JOINED_FUTURE)?;
    Some(variant.fields.first()?.future_type)
}

/// The future behind pointers and in types that are only what they are made of.
pub(super) fn inside(layouts: &Layouts, id: TypeId) -> TypeId {
    let id = inside_pointers(layouts, id);
    joined_future(layouts, id).map_or(id, |joined| inside_pointers(layouts, joined))
}

/// The same up to one of the futures of a join.
fn inside_pointers(layouts: &Layouts, mut id: TypeId) -> TypeId {
    /// The most of them.
    const MOST: u32 = 8;

    for _ in 0..MOST {
        let Some(future) = layouts.future_type(id) else { return id };
        id = match &future.shape {
            Shape::Pointer { to, .. } => *to,
            Shape::Struct(fields) => match &fields[..] {
                [field] if PARTS.contains(&path(future)) => field.future_type,
                _ => return id,
            },
            _ => return id,
        };
    }
    id
}

/// Whether all that a value of this type can wait for is a signal.
pub(super) fn is_signal(layouts: &Layouts, id: TypeId) -> bool {
    /// The most wrappers around one.
    const MOST: u32 = 8;
    fn leads_to_signals(layouts: &Layouts, id: TypeId, depth: u32) -> bool {
        let Some(future) = layouts.future_type(id).filter(|it| depth < MOST && !may_be_over(it))
        else {
            return false;
        };
        let all = |fields: &[Field]| {
            fields.iter().all(|it| leads_to_signals(layouts, it.future_type, depth + 1))
        };
        match &future.shape {
            Shape::Coroutine(_) => {
                let path = path(future);
                SIGNALS.iter().any(|it| path.starts_with(it.0) && path.ends_with(it.1))
            }
            Shape::Pointer { to, .. } => leads_to_signals(layouts, *to, depth + 1),
            _ if rule(layouts, future) == Rule::ByHand => false,
            Shape::Struct(fields) => all(fields),
            Shape::Enum { variants, .. } => variants.iter().all(|it| all(&it.fields)),
            _ => false,
        }
    }
    leads_to_signals(layouts, id, 0)
}

/// The paths of the wrappers that are memscope's own.
#[cfg(all(test, feature = "layout", feature = "stream", feature = "tower"))]
pub(crate) fn own_wrappers() -> Vec<&'static str> {
    let paths = POLLERS.iter().map(|(path, _)| *path);
    paths.filter(|path| path.starts_with("memscope_runtime::")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrapper_is_listed_once_by_a_whole_path() {
        for (at, (path, fields)) in POLLERS.iter().enumerate() {
            assert!(!fields.is_empty(), "{path}");
            let (own_crate, name) = path.split_once("::").expect("a crate");
            assert!(own_crate.starts_with(|it: char| it.is_lowercase()), "{path}");
            let last = name.rsplit("::").next().expect("a name");
            assert!(last.starts_with(|it: char| it.is_uppercase()), "{path}");
            assert!(!POLLERS[..at].iter().any(|it| it.0 == *path), "{path} is there twice");
        }
    }
}
