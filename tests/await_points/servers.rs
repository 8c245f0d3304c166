//! Servers and clients: a connection is where its handler waits, in each version of HTTP.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::pin,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http, routing::get};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use memscope_rs::async_memory::{AwaitPoint, task_dump};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};
use tower::{BoxError, Service, ServiceExt, service_fn};

use super::{
    LEAF, leaf, on, waits,
    wrappers::{is_at_the_leaf, router, with_timers},
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Where the task waits that runs a function of this name, once there is one.
async fn place_of(function: &str) -> AwaitPoint {
    let start = Instant::now();
    loop {
        let tasks = task_dump().expect("a dump").tasks;
        let mut points = tasks.into_iter().filter_map(|it| it.await_point);
        let found =
            points.find(|it| it.frames.iter().any(|frame| frame.function.starts_with(function)));
        if let Some(point) = found {
            return point;
        }
        let in_time = start.elapsed() < Duration::from_secs(20);
        assert!(in_time, "no task is in {function}: {:#}", task_dump().expect("a dump"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[track_caller]
fn is_in_turn(point: &AwaitPoint, functions: &[&str]) {
    let mut frames = point.frames.iter();
    for function in functions {
        assert!(frames.any(|it| it.function.starts_with(function)), "{function}: {point:#?}");
    }
    assert_eq!(point.innermost().map(|it| it.line), Some(LEAF), "{point:#?}");
}

/// Sends a request over HTTP/2, and waits for no answer.
async fn ask_over_http2(address: SocketAddr) {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let executor = TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::get(format!("http://{address}/")).body(Body::empty());
    tokio::spawn(async move { sender.send_request(request.expect("a request")).await });
}

async fn over_http1() -> &'static str {
    leaf().await;
    "never"
}

async fn over_http2() -> &'static str {
    leaf().await;
    "never"
}

#[test]
fn a_connection_of_axum_serve_says_where_its_handler_waits() {
    on();
    run(async {
        let (listener, address) = listen().await;
        let service = Router::new().route("/", get(over_http1));
        tokio::spawn(axum::serve(listener, service).into_future());
        let mut client = TcpStream::connect(address).await.expect("a connection");
        client.write_all(GET).await.expect("sent");
        let point = place_of("await_points::servers::over_http1").await;
        let connection = "axum::serve::handle_connection";
        is_in_turn(&point, &[connection, "await_points::servers::over_http1"]);
        assert!(point.stops.contains("; this is one of several in ("), "{point:#?}");
    });
}

#[test]
fn a_stream_of_http2_says_where_its_handler_waits() {
    on();
    run(async {
        let (listener, address) = listen().await;
        let service = Router::new().route("/", get(over_http2));
        tokio::spawn(axum::serve(listener, service).into_future());
        ask_over_http2(address).await;
        let point = place_of("await_points::servers::over_http2").await;
        is_in_turn(&point, &["await_points::servers::over_http2"]);
        assert!(!point.stops.contains("one of several"), "{point:#?}");
    });
}

#[test]
fn axums_server() {
    let _timers = with_timers();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(listener).expect("a socket");
    let point = waits(axum::serve(listener, router()).into_future());
    assert!(point.frames[0].function.starts_with("axum::serve::"), "{point:#?}");
    assert!(point.frames.last().expect("it accepts").function.contains("tokio::"), "{point:#?}");
}

/// A service of hyper that answers by the router.
macro_rules! service {
    () => {
        TowerToHyperService::new(
            router().map_request(|it: hyper::Request<Incoming>| it.map(Body::new)),
        )
    };
}

/// Polls a server's end of a connection once, after a request.
async fn serves<F: Future>(
    serve: impl FnOnce(TokioIo<tokio::io::DuplexStream>) -> F,
) -> AwaitPoint {
    let (mut client, server) = tokio::io::duplex(1000);
    client.write_all(GET).await.expect("room");
    let point = waits(serve(TokioIo::new(server)));
    drop(client);
    point
}

#[test]
fn a_connection_of_hyper_is_where_its_handler_waits() {
    on();
    run(async {
        let http = hyper::server::conn::http1::Builder::new();
        let auto = auto::Builder::new(TokioExecutor::new());
        let only = auto.clone().http1_only();
        let graceful = GracefulShutdown::new();
        for point in [
            serves(|io| http.serve_connection(io, service!())).await,
            serves(|io| http.serve_connection(io, service!()).with_upgrades()).await,
            serves(|io| auto.serve_connection(io, service!())).await,
            serves(|io| only.serve_connection(io, service!())).await,
            serves(|io| auto.serve_connection_with_upgrades(io, service!())).await,
            serves(|io| auto.serve_connection(io, TowerToHyperService::new(router()))).await,
            serves(async |io| {
                let service = TowerToHyperService::new(router());
                drop(pin!(auto.serve_connection(io, service)).await);
            })
            .await,
            serves(|io| graceful.watch(auto.serve_connection(io, service!()).into_owned())).await,
        ] {
            let functions: Vec<_> = point.frames.iter().map(|it| &*it.function).collect();
            assert!(functions.contains(&"await_points::wrappers::handler"), "{point:#?}");
            is_at_the_leaf(&point);
        }
    });
}

#[test]
fn a_connection_without_a_request_is_in_no_handler() {
    on();
    run(async {
        let auto = auto::Builder::new(TokioExecutor::new());
        let (_client, server) = tokio::io::duplex(1000);
        let point = waits(auto.serve_connection(TokioIo::new(server), service!()));
        let name = "waits for hyper_util::server::conn::auto::ConnState<";
        assert!(point.stops.starts_with(name), "{point:#?}");
        assert!(!point.stops.contains("holds no future"), "{point:#?}");
        assert_eq!(point.frames.len(), 0, "{point:#?}");
    });
}

#[test]
fn a_request_of_hypers_client_is_where_its_connector_waits() {
    let _timers = with_timers();
    let connector = service_fn(|_: http::Uri| {
        Box::pin(async {
            leaf().await;
            Err::<TokioIo<TcpStream>, BoxError>("never".into())
        })
    });
    let client = Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let point = waits(client.get(http::Uri::from_static("http://127.0.0.1/")));
    let function = "hyper_util::client::legacy::client::";
    is_in_turn(&point, &[function, "await_points::servers::", "await_points::leaf"]);
    assert!(point.stops.contains("; this is one of several in ("), "{point:#?}");

    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let point = waits(client.get(http::Uri::from_static("http://localhost:1/")));
    let last = point.innermost().expect("a frame");
    let resolves = "hyper_util::client::legacy::connect::dns::resolve<";
    assert!(last.function.starts_with(resolves), "{point:#?}");
}

/// What a code generator would write for a service of which each method waits.
#[derive(Clone, Copy, Debug)]
struct Orders;

impl tonic::server::NamedService for Orders {
    const NAME: &'static str = "shop.Orders";
}

impl Service<http::Request<tonic::body::Body>> for Orders {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(over_grpc())
    }
}

async fn over_grpc() -> Result<http::Response<tonic::body::Body>, Infallible> {
    leaf().await;
    Ok(http::Response::default())
}

async fn asks(mut channel: tonic::transport::Channel, address: SocketAddr) {
    let uri = format!("http://{address}/shop.Orders/List");
    let request = http::Request::post(uri).body(tonic::body::Body::empty());
    let channel = channel.ready().await.expect("a connection");
    drop(channel.call(request.expect("a request")).await);
}

#[test]
fn a_call_of_tonic_says_where_its_method_waits() {
    on();
    run(async {
        let (listener, address) = listen().await;
        let pass = |it: tonic::Request<()>| Ok::<_, tonic::Status>(it);
        let orders = tonic::service::interceptor::InterceptedService::new(Orders, pass);
        let server = Server::builder().timeout(Duration::from_hours(1)).add_service(orders);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.connect().await.expect("connected");
        tokio::spawn(asks(channel, address));
        let point = place_of("await_points::servers::over_grpc").await;
        is_in_turn(&point, &["await_points::servers::over_grpc"]);
        // A timer and a signal are beside the connection.
        let point = place_of("tonic::transport::server::serve_connection").await;
        let name = "waits for hyper_util::server::conn::auto::ConnState<";
        assert!(point.stops.starts_with(name), "{point:#?}");
        assert!(point.stops.contains("; this is one of several in ("), "{point:#?}");
        let point = place_of("await_points::servers::asks").await;
        let last = point.innermost().expect("a frame");
        assert!(last.function.starts_with("hyper::client::conn::http2::"), "{point:#?}");
    });
}
