//! What each path answers.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{OriginalUri, State},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri, header};
use memscope_export::{PprofKind, html_policy, live_page, live_page_policy};
use memscope_runtime::__server::own;
use tokio::sync::Semaphore;

use crate::{
    connection::Counts,
    events::Events,
    flame,
    guard::{Guard, guard, parameter},
    latest::{Format, latest},
    pictures::{NoPicture, Wanted, picture},
};

/// The most streams of one server or router. A page that gets none asks for single snapshots.
const MOST_STREAMS: usize = 32;

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PAGE: &str = "text/html; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug)]
struct Shared {
    streams: Arc<Semaphore>,
    /// The counts of the server's connections. Mounted routes have none.
    counts: Option<Arc<Counts>>,
}

pub(crate) fn routes(checks: Guard, counts: Option<Arc<Counts>>) -> Router {
    let shared = Shared { streams: Arc::new(Semaphore::new(MOST_STREAMS)), counts };
    let snapshot = |kind, name: Option<&'static str>, format| {
        get(async move || own(|| answer(kind, name, latest().in_format(format))))
    };
    let pictured = |kind, wanted| get(move || pictured(kind, wanted));
    Router::new()
        .route("/", get(root))
        .route("/page", get(page))
        .route("/snapshot.json", snapshot(JSON, None, Format::Json))
        .route("/report.txt", snapshot(PLAIN, None, Format::Text))
        .route("/report.html", get(report))
        .route("/metrics", snapshot(OPEN_METRICS, None, Format::Metrics))
        .route("/debug/pprof/heap", snapshot(BYTES, Some("heap.pb.gz"), Format::Heap))
        .route("/debug/pprof/allocs", snapshot(BYTES, Some("allocs.pb.gz"), Format::Allocs))
        .route("/flamegraph.svg", get(flame_graph))
        .route("/events", get(events))
        .route("/holders.json", pictured(JSON, Wanted::Holders))
        .route("/tasks.json", pictured(JSON, Wanted::Tasks))
        .route("/tasks.txt", pictured(PLAIN, Wanted::TasksText))
        .route("/health", get(health))
        .fallback(nothing)
        .with_state(shared)
        .layer(from_fn_with_state(checks, guard))
}

const BYTES: &str = "application/octet-stream";

/// Makes an answer. `name` is that of the file in which a browser saves it.
fn answer(kind: &'static str, name: Option<&'static str>, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(name) = name
        && let Ok(value) = format!("attachment; filename=\"{name}\"").try_into()
    {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn with_policy(mut response: Response, policy: &str) -> Response {
    // Only a header can refuse frames of another site. A policy inside a page cannot.
    if let Ok(policy) = HeaderValue::try_from(format!("{policy}; frame-ancestors 'none'")) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn say(status: StatusCode, text: impl Into<String>) -> Response {
    let mut text: String = text.into();
    text.push('\n');
    (status, text).into_response()
}

/// Answers the root with the page. The page asks for paths beside its own, so its own path must end
/// in `/`. At a path without it, such as `/memscope`, the answer redirects.
async fn root(OriginalUri(uri): OriginalUri) -> Response {
    if uri.path().ends_with('/') { page().await } else { own(|| to_page(&uri)) }
}

async fn page() -> Response {
    own(|| {
        let page = Bytes::from_static(live_page().as_bytes());
        with_policy(answer(PAGE, None, page), live_page_policy())
    })
}

/// Redirects from the path at which the program has mounted the routes to the page below it.
fn to_page(uri: &Uri) -> Response {
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    // Relative: no host and no scheme can be in it.
    match HeaderValue::try_from(format!("./{last}/page{query}")) {
        Ok(place) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, place)]).into_response(),
        Err(_) => say(StatusCode::NOT_FOUND, "There is no such page."),
    }
}

async fn report() -> Response {
    own(|| with_policy(answer(PAGE, None, latest().in_format(Format::Html)), html_policy()))
}

async fn flame_graph(uri: Uri) -> Response {
    own(|| {
        let kind = match parameter(&uri, "kind").as_deref() {
            None | Some("live") => PprofKind::Live,
            Some("allocated") => PprofKind::Allocated,
            Some(_) => return say(StatusCode::BAD_REQUEST, "`kind` is `live` or `allocated`."),
        };
        let wanted = flame::Wanted { kind, site: parameter(&uri, "site") };
        match flame::draw(latest().snapshot(), &wanted) {
            None => say(StatusCode::NOT_FOUND, "There are no such bytes to draw."),
            Some(graph) => {
                let mut response = answer("image/svg+xml", None, graph.svg.into());
                if let Ok(policy) = HeaderValue::try_from(graph.policy) {
                    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
                }
                response
            }
        }
    })
}

async fn events(State(shared): State<Shared>) -> Response {
    own(|| match Events::new(&shared.streams) {
        None => say(StatusCode::SERVICE_UNAVAILABLE, "There are too many streams of updates."),
        Some(events) => {
            let mut response = Response::new(Body::new(events));
            let kind = HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
    })
}

async fn pictured(kind: &'static str, wanted: Wanted) -> Response {
    let picture = picture(wanted).await;
    own(|| match picture {
        Ok(bytes) => answer(kind, None, bytes),
        Err(NoPicture::Busy) => {
            say(StatusCode::SERVICE_UNAVAILABLE, "Another client asks just now: try again.")
        }
        Err(NoPicture::Failed(why)) => say(StatusCode::SERVICE_UNAVAILABLE, why),
    })
}

async fn health(State(shared): State<Shared>) -> Response {
    own(|| {
        let text = match shared.counts {
            None => "ok\n".to_owned(),
            Some(counts) => format!("ok\n{counts}\n"),
        };
        answer(PLAIN, None, text.into())
    })
}

async fn nothing() -> Response {
    own(|| {
        say(
            StatusCode::NOT_FOUND,
            "There is no such page. There are: / /snapshot.json /report.txt /report.html /metrics \
             /debug/pprof/heap /debug/pprof/allocs /flamegraph.svg /events /holders.json \
             /tasks.txt /tasks.json /health",
        )
    })
}
