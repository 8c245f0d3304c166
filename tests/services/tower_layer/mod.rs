//! `TrackLayer`: a request is a task from its call to its last frame, to the byte, and its row is
//! named by its route.

#![expect(clippy::useless_vec, reason = "blocks on the heap are what is tested")]

mod contract;
mod grpc;
mod routes;
mod wire;

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Future, pending, poll_fn, ready},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use axum::{
    body::Bytes,
    http::{Method, Request, Response, StatusCode, header::CONTENT_LENGTH},
};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Frame, SizeHint};
use memscope_rs::{
    async_memory::{
        MemorySnapshot, SiteProfile, TaskId, TaskState, TaskType, current_task_id, track,
    },
    tower::{TrackLayer, TrackedBody},
};
use memscope_tests::{Columns, conserved, panics, row, wait_once};
use tower::{Layer, Service, ServiceBuilder, service_fn};

use crate::ALLOCATOR;

/// The rows of all sites with this name, summed up: spawned, completed, cancelled, panicked.
fn ends(snapshot: &MemorySnapshot, name: &str) -> [u64; 4] {
    let ends = |it: &SiteProfile| [it.spawned, it.completed, it.cancelled, it.panicked];
    snapshot
        .sites_named(name)
        .map(ends)
        .fold([0; 4], |sum, it| std::array::from_fn(|at| sum[at] + it[at]))
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls until the end, without a runtime that would allocate.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll_once(future.as_mut()) {
            return output;
        }
    }
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).expect("a request")
}

/// A body of 1 KiB frames, each made when it is polled. Its size is not known. At its end it gives
/// what `end` says.
#[derive(Debug)]
struct Frames {
    left: usize,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Nothing,
    Trailers,
    Error,
    Panic,
    /// `is_end_stream` tells it, after the last frame.
    Told,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left > 0 {
            self.left -= 1;
            return Poll::Ready(Some(Ok(Frame::data(vec![b'x'; 1024].into()))));
        }
        Poll::Ready(match self.end {
            End::Nothing | End::Told => None,
            End::Trailers => Some(Ok(Frame::trailers(axum::http::HeaderMap::new()))),
            End::Error => Some(Err(io::ErrorKind::Other.into())),
            End::Panic => panic!("wanted: the body"),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.end == End::Told && self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.left as u64);
        hint
    }
}

/// The response to a request at a service that gives this body, and the id of the request's task.
fn respond(method: Method, response: Response<Frames>) -> (TaskId, Response<TrackedBody<Frames>>) {
    let mut response = Some(response);
    let mut id = None;
    let mut service = TrackLayer::new().layer(service_fn(|_| {
        id = current_task_id();
        ready(Ok::<_, Infallible>(response.take().expect("one request")))
    }));
    let mut request = get("/");
    *request.method_mut() = method;
    let Ok(response) = run(service.call(request));
    (id.expect("a task"), response)
}

fn frames(left: usize, end: End) -> Response<Frames> {
    Response::new(Frames { left, end })
}

fn state(id: TaskId) -> TaskState {
    row(&conserved(&ALLOCATOR), id).state
}

fn read(body: &mut TrackedBody<Frames>) -> Option<io::Result<Frame<Bytes>>> {
    run(body.frame())
}

#[test]
fn call_future_and_body_are_charged_to_the_byte() {
    let (id, kept) = (Cell::new(None), &Cell::new(None));
    let mut service = TrackLayer::new().layer(service_fn(|_| {
        id.set(current_task_id());
        let in_call = vec![1u8; 100];
        async move {
            drop(vec![1u8; 4000]);
            wait_once().await;
            kept.set(Some(vec![1u8; 500]));
            drop(in_call);
            Ok::<_, Infallible>(frames(5, End::Nothing))
        }
    }));
    let Ok(response) = run(service.call(get("/")));
    let id = id.get().expect("a task");
    let open = Columns {
        state: TaskState::Idle,
        poll_count: 3,
        live_bytes: 500,
        live_blocks: 1,
        peak_bytes: 4100,
        allocated_bytes: 4600,
        allocation_count: 3,
        freed_bytes: 4100,
        freed_elsewhere_bytes: 0,
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), open);

    let mut body = response.into_body();
    for frame in 1..=5 {
        let data = read(&mut body).expect("a frame").expect("no error").into_data();
        let during = Columns {
            poll_count: 3 + frame,
            live_bytes: 1524,
            live_blocks: 2,
            allocated_bytes: 4600 + frame * 1024,
            allocation_count: 3 + frame,
            freed_bytes: 4100 + (frame - 1) * 1024,
            freed_elsewhere_bytes: (frame - 1) * 1024,
            ..open
        };
        assert_eq!(Columns::now(&ALLOCATOR, id), during);
        drop(data);
    }
    assert!(read(&mut body).is_none());
    drop(body);
    let ended = Columns {
        state: TaskState::Completed,
        poll_count: 9,
        allocated_bytes: 4600 + 5 * 1024,
        allocation_count: 8,
        freed_bytes: 4100 + 5 * 1024,
        freed_elsewhere_bytes: 5 * 1024,
        ..open
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), ended);
    drop(kept.take());
    let row = Columns::now(&ALLOCATOR, id);
    assert_eq!((row.live_bytes, row.freed_elsewhere_bytes), (0, 5 * 1024 + 500));
}

#[test]
fn a_request_ends_with_its_last_frame() {
    for end in [End::Nothing, End::Trailers, End::Error, End::Told] {
        let (id, response) = respond(Method::GET, frames(2, end));
        let mut body = response.into_body();
        let mut count = 2 + usize::from(end != End::Told);
        while count > 0 {
            assert_eq!(state(id), TaskState::Idle, "{end:?}, {count} frames to come");
            let frame = read(&mut body);
            count -= 1;
            match (count, end) {
                (0, End::Nothing) => assert!(frame.is_none()),
                (0, End::Error) => assert!(frame.expect("a frame").is_err()),
                (0, End::Trailers) => {
                    assert!(frame.expect("a frame").expect("no error").is_trailers());
                }
                _ => assert!(frame.expect("a frame").expect("no error").is_data()),
            }
        }
        assert_eq!(state(id), TaskState::Completed, "{end:?}");
        drop(body);
        assert_eq!(state(id), TaskState::Completed, "{end:?}");
    }
    let (id, response) = respond(Method::GET, frames(0, End::Told));
    assert_eq!(state(id), TaskState::Completed, "an empty body");
    drop(response);
}

#[test]
fn a_body_that_is_not_sent_need_not_be_read() {
    let with = |status| {
        let mut response = frames(1, End::Nothing);
        *response.status_mut() = status;
        response
    };
    for (method, response, over) in [
        (Method::HEAD, with(StatusCode::OK), true),
        (Method::GET, with(StatusCode::NO_CONTENT), true),
        (Method::GET, with(StatusCode::NOT_MODIFIED), true),
        (Method::GET, with(StatusCode::SWITCHING_PROTOCOLS), true),
        (Method::CONNECT, with(StatusCode::OK), true),
        (Method::CONNECT, with(StatusCode::NOT_FOUND), false),
        (Method::GET, with(StatusCode::OK), false),
    ] {
        let what = format!("{method} {}", response.status());
        let (id, response) = respond(method, response);
        let now = if over { TaskState::Completed } else { TaskState::Idle };
        assert_eq!(state(id), now, "{what}");
        drop(response);
        let ended = if over { TaskState::Completed } else { TaskState::Cancelled };
        assert_eq!(state(id), ended, "{what}");
    }
}

#[test]
fn a_body_is_whole_after_its_content_length() {
    for (read_first, ended) in [(1, TaskState::Cancelled), (2, TaskState::Completed)] {
        let mut response = frames(2, End::Nothing);
        response.headers_mut().insert(CONTENT_LENGTH, 2048.into());
        let (id, response) = respond(Method::GET, response);
        let mut body = response.into_body();
        for _ in 0..read_first {
            drop(read(&mut body));
        }
        assert_eq!(state(id), TaskState::Idle);
        drop(body);
        assert_eq!(state(id), ended, "{read_first} of 2 frames");
    }
}

#[test]
fn a_request_that_is_dropped_before_its_response_is_cancelled() {
    let mut id = None;
    let mut service = TrackLayer::new().layer(service_fn(|_| {
        id = current_task_id();
        let held = vec![1u8; 100];
        async move {
            pending::<()>().await;
            drop(held);
            Ok::<_, Infallible>(frames(0, End::Nothing))
        }
    }));
    {
        let mut response = pin!(service.call(get("/")));
        assert!(poll_once(response.as_mut()).is_pending());
    }
    let truth = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 100,
        ..Columns::one_block(TaskState::Cancelled, 2, 100)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id.expect("a task")), truth);
}

#[test]
fn the_future_is_dropped_in_the_request_before_the_body_goes_on() {
    let id = Cell::new(None);
    let mut service = TrackLayer::new().layer(service_fn(|_| {
        id.set(current_task_id());
        let held = vec![1u8; 100];
        // Unlike an `async` block, this holds its captures until it is dropped.
        poll_fn(move |_| {
            assert_eq!(held.len(), 100);
            Poll::Ready(Ok::<_, Infallible>(frames(1, End::Nothing)))
        })
    }));
    let Ok(response) = run(service.call(get("/")));
    let truth = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 100,
        ..Columns::one_block(TaskState::Idle, 2, 100)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id.get().expect("a task")), truth);
    drop(response);
}

#[test]
fn a_name_belongs_to_no_task() {
    let mut service = TrackLayer::new()
        .name_with(|request| request.uri.path().repeat(20).into())
        .layer(service_fn(|_| ready(Ok::<_, Infallible>(frames(0, End::Told)))));
    let request = get("/name");
    let outer = track(async { service.call(request).await });
    let id = outer.id().expect("an id");
    let Ok(response) = run(outer);
    drop(response);
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(row(&snapshot, id).allocated_bytes, 0);
    let site = snapshot.sites_named(&"/name".repeat(20)).next().expect("a row");
    assert_eq!((site.completed, site.allocated_bytes), (1, 0));
}

#[test]
fn an_error_of_the_service_is_its_result() {
    let mut id = None;
    let mut service = TrackLayer::new().layer(service_fn(|_| {
        id = current_task_id();
        ready(Err::<Response<Frames>, _>(io::ErrorKind::Other))
    }));
    assert_eq!(run(service.call(get("/"))).err(), Some(io::ErrorKind::Other));
    assert_eq!(state(id.expect("a task")), TaskState::Completed);
}

#[test]
fn a_panic_in_call_future_or_body_is_the_requests() {
    for place in ["call", "future", "body"] {
        let mut id = None;
        let mut service = TrackLayer::new().layer(service_fn(|_| {
            id = current_task_id();
            assert!(place != "call", "wanted: the call");
            async move {
                assert!(place != "future", "wanted: the future");
                Ok::<_, Infallible>(frames(1, End::Panic))
            }
        }));
        let message = panics(|| {
            let Ok(response) = run(service.call(get("/")));
            run(response.into_body().collect())
        });
        assert_eq!(message, format!("wanted: the {place}"));
        assert_eq!(state(id.expect("a task")), TaskState::Panicked, "{place}");
        assert_eq!(current_task_id(), None, "the task is left");
    }
}

#[test]
fn size_hint_and_end_pass_through() {
    let (_, response) = respond(Method::GET, frames(3, End::Told));
    let mut body = response.into_body();
    assert_eq!((body.size_hint().lower(), body.is_end_stream()), (3, false));
    for _ in 0..3 {
        drop(read(&mut body));
    }
    assert_eq!((body.size_hint().lower(), body.is_end_stream()), (0, true));
}

#[test]
fn names_and_types_can_be_chosen() {
    let name = String::from("page");
    let layer = TrackLayer::new().task_type(TaskType::NetworkIntensive).name_with(move |request| {
        match request.uri.path() {
            "/health" => "health".into(),
            path => format!("{} {name} of {}", request.method, path.len()).into(),
        }
    });
    let mut service = ServiceBuilder::new()
        .layer(layer)
        .service_fn(|_| ready(Ok::<_, Infallible>(frames(0, End::Told))));
    for path in ["/health", "/a", "/b"] {
        let Ok(response) = run(service.call(get(path)));
        drop(response);
    }
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(ends(&snapshot, "health"), [1, 1, 0, 0]);
    assert_eq!(ends(&snapshot, "GET page of 2"), [2, 2, 0, 0]);
    let site = snapshot.sites_named("health").next().expect("a row");
    assert_eq!(site.task_type, TaskType::NetworkIntensive);
    assert!(site.file.ends_with("tower_layer/mod.rs"), "the place of `new`: {}", site.file);
    assert_eq!(site.allocated_bytes, 0, "the name is not the request's");
}
