//! Requests over TCP: hang-ups, panics, upgrades, `axum::serve` and hyper by hand.

use std::{convert::Infallible, future::pending, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, Response, StatusCode, header},
    routing::get,
};
use futures::{StreamExt, stream};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use memscope_rs::{
    async_memory::{MemorySnapshot, TaskState},
    tower::TrackLayer,
};
use memscope_tests::{annotated, conserved_when, keep_wanted_panics_quiet, workers};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower::{ServiceBuilder, service_fn};
use tower_http::catch_panic::CatchPanicLayer;

use super::{ALLOCATOR, ends};

async fn serve(router: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = async { axum::serve(listener, router).await.expect("no end") };
    (address, tokio::spawn(server))
}

/// Sends a request, and returns the connection.
async fn ask(address: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n{headers}\r\n");
    connection.write_all(request.as_bytes()).await.expect("sent");
    connection
}

/// Reads until the text has come.
async fn read_until(connection: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let mut piece = [0; 1024];
        let count = connection.read(&mut piece).await.expect("read");
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Waits until the only request with this name has ended.
fn ended(name: &'static str) -> MemorySnapshot {
    conserved_when(&ALLOCATOR, |snapshot| {
        let [spawned, completed, cancelled, panicked] = ends(snapshot, name);
        spawned == 1 && completed + cancelled + panicked == 1
    })
}

#[test]
fn a_streamed_response_is_in_its_row_until_the_last_frame() {
    let runtime = workers(2);
    runtime.block_on(async {
        let pieces = || stream::iter(0..5).map(|_| Ok::<_, Infallible>(vec![b'x'; 1024]));
        let router = Router::new()
            .route("/stream", get(async move || Body::from_stream(pieces())))
            .route("/whole", get(async || "x".repeat(1024)))
            .layer(TrackLayer::new());
        let (address, server) = serve(router).await;
        for path in ["/stream", "/whole"] {
            let mut connection = ask(address, path, "connection: close\r\n").await;
            let mut all = Vec::new();
            connection.read_to_end(&mut all).await.expect("read");
        }
        server.abort();
    });
    let snapshot = ended("GET /stream");
    assert_eq!(ends(&snapshot, "GET /stream"), [1, 1, 0, 0]);
    let site = snapshot.sites_named("GET /stream").next().expect("a row");
    assert!(site.allocated_bytes >= 5 * 1024, "{}", site.allocated_bytes);
    assert_eq!(ends(&ended("GET /whole"), "GET /whole"), [1, 1, 0, 0]);
}

#[test]
fn a_hang_up_in_the_body_cancels_the_request() {
    let runtime = workers(2);
    runtime.block_on(async {
        let body = || {
            let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"the first piece"))]);
            Body::from_stream(first.chain(stream::once(pending())))
        };
        let router =
            Router::new().route("/hang-up", get(async move || body())).layer(TrackLayer::new());
        let (address, server) = serve(router).await;
        let mut connection = ask(address, "/hang-up", "").await;
        read_until(&mut connection, "the first piece").await;
        let open = conserved_when(&ALLOCATOR, |it| ends(it, "GET /hang-up") == [1, 0, 0, 0]);
        let rows = annotated(&open);
        let row = rows.iter().find(|row| row.name == "GET /hang-up").expect("a row");
        assert_eq!(row.state, TaskState::Idle);
        drop(connection);
        assert_eq!(ends(&ended("GET /hang-up"), "GET /hang-up"), [1, 0, 1, 0]);
        server.abort();
    });
}

#[test]
fn a_panic_is_seen_below_and_above_the_layer_that_catches_it() {
    keep_wanted_panics_quiet();
    let runtime = workers(2);
    runtime.block_on(async {
        let panics = || get(async || -> () { panic!("wanted: in a handler") });
        let router = Router::new()
            .route("/uncaught", panics())
            .route("/caught-above", panics())
            .layer(TrackLayer::new());
        let caught = router.clone().layer(CatchPanicLayer::new());
        let below = Router::new()
            .route("/caught-below", panics())
            .layer(ServiceBuilder::new().layer(TrackLayer::new()).layer(CatchPanicLayer::new()));
        for (router, path, status) in [
            (router, "/uncaught", None),
            (caught, "/caught-above", Some("500")),
            (below, "/caught-below", Some("500")),
        ] {
            let (address, server) = serve(router).await;
            let mut connection = ask(address, path, "connection: close\r\n").await;
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.expect("read");
            assert_eq!(answer.split(' ').nth(1), status, "{path}");
            server.abort();
        }
    });
    let of = |name| ends(&ended(name), name);
    assert_eq!(of("GET /uncaught"), [1, 0, 0, 1]);
    assert_eq!(of("GET /caught-above"), [1, 0, 0, 1]);
    assert_eq!(of("GET /caught-below"), [1, 1, 0, 0]);
}

#[test]
fn an_upgraded_request_ends_with_its_101() {
    let upgrade = async |request: Request<Body>| {
        tokio::spawn(async {
            let upgraded = hyper::upgrade::on(request).await.expect("an upgrade");
            let mut io = TokioIo::new(upgraded);
            let mut word = [0; 4];
            io.read_exact(&mut word).await.expect("a word");
            io.write_all(&[&word[..], &vec![b'!'; 50_000]].concat()).await.expect("written");
        });
        let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "echo")];
        (StatusCode::SWITCHING_PROTOCOLS, headers)
    };
    let runtime = workers(2);
    runtime.block_on(async {
        let router = Router::new().route("/socket", get(upgrade)).layer(TrackLayer::new());
        let (address, server) = serve(router).await;
        let headers = "connection: upgrade\r\nupgrade: echo\r\n";
        let mut connection = ask(address, "/socket", headers).await;
        assert!(read_until(&mut connection, "\r\n\r\n").await.starts_with("HTTP/1.1 101"));
        let snapshot = ended("GET /socket");
        assert_eq!(ends(&snapshot, "GET /socket"), [1, 1, 0, 0], "the socket is still open");
        connection.write_all(b"ping").await.expect("sent");
        read_until(&mut connection, "ping!!").await;
        let snapshot = ended("GET /socket");
        let site = snapshot.sites_named("GET /socket").next().expect("a row");
        assert!(site.allocated_bytes < 50_000, "{}", site.allocated_bytes);
        server.abort();
    });
}

#[test]
fn hyper_by_hand_is_tracked_too() {
    let runtime = workers(2);
    let text = runtime.block_on(async {
        let service = ServiceBuilder::new()
            .layer(
                TrackLayer::new().name_with(|request| format!("by hand {}", request.method).into()),
            )
            .service(service_fn(async |_: Request<Incoming>| {
                Ok::<_, Infallible>(Response::new(Body::from("y".repeat(9_000))))
            }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let (connection, _) = listener.accept().await.expect("a connection");
            http1::Builder::new()
                .serve_connection(TokioIo::new(connection), TowerToHyperService::new(service))
                .await
        });
        let mut connection = ask(address, "/any", "connection: close\r\n").await;
        let mut text = String::new();
        connection.read_to_string(&mut text).await.expect("read");
        let answer = tokio::time::timeout(Duration::from_secs(10), server).await;
        answer.expect("in time").expect("no panic").expect("served");
        text
    });
    assert!(text.ends_with(&"y".repeat(9_000)), "{text}");
    let snapshot = ended("by hand GET");
    assert_eq!(ends(&snapshot, "by hand GET"), [1, 1, 0, 0]);
    let site = snapshot.sites_named("by hand GET").next().expect("a row");
    assert!(site.allocated_bytes >= 9_000 && site.live_bytes == 0);
}
