//! gRPC: a tonic server and a tonic client, each with rows by service and method.

use std::{convert::Infallible, io};

use axum::http::{self, uri::PathAndQuery};
use futures::future::BoxFuture;
use memscope_rs::tower::TrackLayer;
use memscope_tests::{conserved, conserved_when, workers};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    client::Grpc as Client,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService},
    transport::{Channel, Endpoint, Server},
};
use tower::{Layer, Service, ServiceBuilder, service_fn};

use super::{ALLOCATOR, End, ends, frames, run};

/// Messages are bytes.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(to, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; bytes::Buf::remaining(from)];
        bytes::Buf::copy_to_slice(from, &mut item);
        Ok(Some(item))
    }
}

/// What a code generator would write for a service with one method.
#[derive(Clone, Copy, Debug)]
struct Orders;

impl NamedService for Orders {
    const NAME: &'static str = "shop.Orders";
}

impl Service<http::Request<Body>> for Orders {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path() != "/shop.Orders/List" {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let list = service_fn(async |request: Request<Vec<u8>>| {
                Ok::<_, Status>(Response::new(request.into_inner().repeat(1_000)))
            });
            Ok(Grpc::new(Raw).unary(list, request).await)
        })
    }
}

#[test]
fn server_and_client_have_rows_by_service_and_method() {
    let (server_line, client_line) = (line!() + 1, line!() + 2);
    let server_layer = TrackLayer::new();
    let client_layer = TrackLayer::new();
    let runtime = workers(2);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = Server::builder().layer(server_layer).add_service(Orders);
        let server = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel: Channel = endpoint.connect().await.expect("connected");
        let channel = ServiceBuilder::new().layer(client_layer).service(channel);
        let mut client = Client::new(channel);
        let mut call = async |path| {
            client.ready().await.map_err(|it| Status::unknown(it.to_string()))?;
            let message = Request::new(b"0123456789".to_vec());
            client.unary(message, PathAndQuery::from_static(path), Raw).await
        };
        for _ in 0..3 {
            let answer = call("/shop.Orders/List").await.expect("an answer");
            assert_eq!(answer.into_inner().len(), 10_000);
        }
        let refused = call("/shop.Orders/Drop").await.expect_err("no such method");
        assert_eq!(refused.code(), Code::Unimplemented);
        drop(client);
        server.abort();
    });
    let of = |line, name: &'static str| {
        let find = move |snapshot: &memscope_rs::async_memory::MemorySnapshot| {
            let site = snapshot.sites_named(name).find(|it| it.line == line)?;
            Some((site.spawned, site.completed, site.allocated_bytes))
        };
        let all_ended = |it: &_| find(it).is_some_and(|it| it.0 == it.1);
        find(&conserved_when(&ALLOCATOR, all_ended)).expect("a row")
    };
    // The client's connection reads the answer; a call takes it as it is.
    for (line, least) in [(server_line, 30_000), (client_line, 1)] {
        let (spawned, _, bytes) = of(line, "/shop.Orders/List");
        assert_eq!(spawned, 3);
        assert!(bytes >= least, "{bytes} in line {line}");
        assert_eq!(of(line, "/shop.Orders/Drop").0, 1);
    }
}

#[test]
fn only_what_looks_like_a_grpc_call_is_named_by_its_path() {
    let mut service =
        TrackLayer::new().layer(service_fn(async |_| Ok::<_, io::Error>(frames(0, End::Told))));
    for (method, path, content_type) in [
        ("POST", "/mail.Box/Open", "application/grpc+proto"),
        ("POST", "/mail.Box/Open", "application/json"),
        ("PUT", "/mail.Box/Open", "application/grpc"),
        ("POST", "/mail.Box/Open/7", "application/grpc"),
    ] {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .body(())
            .expect("valid");
        drop(run(service.call(request)).expect("a response"));
    }
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(ends(&snapshot, "/mail.Box/Open"), [1, 1, 0, 0]);
    assert_eq!(ends(&snapshot, "POST (no route)"), [2, 2, 0, 0]);
    assert_eq!(ends(&snapshot, "PUT (no route)"), [1, 1, 0, 0]);
}
