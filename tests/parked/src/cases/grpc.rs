//! tonic, without generated code.

use std::{convert::Infallible, future::pending, net::SocketAddr};

use bytes::{Buf, BufMut, Bytes};
use futures::stream::{self, BoxStream};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::{io, net::TcpListener};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{self, NamedService, ServerStreamingService, UnaryService},
    service::Routes,
    transport::{Channel, Endpoint, Server},
};

use crate::park::{here, leaf, parks, tracked, turn};

/// Sends and receives bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
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
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// The methods: `unary` never answers, `stream` gives one item and no end.
#[derive(Clone)]
struct Methods;

impl NamedService for Methods {
    const NAME: &'static str = "parked.Methods";
}

type Future<T> = futures::future::BoxFuture<'static, Result<Response<T>, Status>>;

impl UnaryService<Bytes> for Methods {
    type Response = Bytes;
    type Future = Future<Bytes>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(async move {
            if request.get_ref() == "named" {
                here("a method");
                return named().await; //~ 2
            }
            leaf().await
        })
    }
}

impl ServerStreamingService<Bytes> for Methods {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = Future<Self::ResponseStream>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let first = stream::iter([Ok(Bytes::from_static(b"first"))]);
        let all: Self::ResponseStream =
            Box::pin(stream::StreamExt::chain(first, stream::pending()));
        Box::pin(async move { Ok(Response::new(all)) })
    }
}

impl tower::Service<http::Request<Body>> for Methods {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = futures::future::BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut server = server::Grpc::new(Raw);
            Ok(match request.uri().path() {
                "/parked.Methods/unary" => server.unary(Methods, request).await, //~ 1
                _ => server.server_streaming(Methods, request).await,
            })
        })
    }
}

async fn named() -> Result<Response<Bytes>, Status> {
    leaf().await //~ 3 leaf
}

fn path(path: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(path)
}

async fn unary(channel: Channel, request: &'static str) -> Result<Response<Bytes>, Status> {
    let mut client = client::Grpc::new(channel);
    client.ready().await.map_err(|why| Status::unknown(why.to_string()))?;
    let request = Request::new(Bytes::from_static(request.as_bytes()));
    client.unary(request, path("/parked.Methods/unary"), Raw).await
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let all = stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(|it| it.0);
        Some((accepted, listener))
    });
    tokio::spawn(async move {
        let served = Server::builder().add_routes(Routes::new(Methods)).serve_with_incoming(all);
        served.await.expect("it is served");
    });
    address
}

pub(super) async fn spawn() {
    let address = serve().await;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("a channel");
    drop(tokio::spawn(unary(channel.clone(), "named")));
    clients(&channel);
    let never =
        || tower::service_fn(|_: http::Uri| pending::<io::Result<TokioIo<io::DuplexStream>>>());
    parks("connect", async move {
        let endpoint = Endpoint::from_static("http://a");
        endpoint.connect_with_connector(never()).await.is_ok() //~
    });
    parks("a call of a channel that connects", async move {
        let endpoint = Endpoint::from_static("http://a");
        let mut client = client::Grpc::new(endpoint.connect_with_connector_lazy(never()));
        client.ready().await.expect("it has room");
        let request = Request::new(Bytes::new());
        client.unary(request, path("/parked.Methods/unary"), Raw).await.is_ok() //~
    });
}

fn clients(channel: &Channel) {
    let of = |channel: &Channel| client::Grpc::new(channel.clone());
    let mut client = of(channel);
    parks("a call", async move {
        client.ready().await.expect("a channel");
        let request = Request::new(Bytes::new());
        client.unary(request, path("/parked.Methods/unary"), Raw).await.is_ok() //~
    });
    let shared = channel.clone();
    tracked("a call of a function", async move {
        async fn ask(channel: Channel) -> Result<Response<Bytes>, Status> {
            let mut client = client::Grpc::new(channel);
            client.ready().await.map_err(|why| Status::unknown(why.to_string()))?;
            let request = Request::new(Bytes::new());
            client.unary(request, path("/parked.Methods/unary"), Raw).await //~ 2
        }
        ask(shared).await.is_ok() //~ 1
    });
    let mut client = of(channel);
    parks("the second message of a stream", async move {
        client.ready().await.expect("a channel");
        let request = Request::new(Bytes::new());
        let answer = client.server_streaming(request, path("/parked.Methods/stream"), Raw).await;
        let mut all: Streaming<Bytes> = answer.expect("an answer").into_inner();
        while let Ok(Some(it)) = all.message().await {
            //~
            drop(it);
        }
    });
    let mut client = of(channel);
    parks("a stream that is handled", async move {
        client.ready().await.expect("a channel");
        let request = Request::new(Bytes::new());
        let answer = client.server_streaming(request, path("/parked.Methods/stream"), Raw).await;
        let mut all: Streaming<Bytes> = answer.expect("an answer").into_inner();
        while let Ok(Some(it)) = all.message().await {
            turn().await;
            leaf::<()>().await; //~ leaf
            drop(it);
        }
    });
    let mut client = of(channel);
    parks("a client's stream that never ends", async move {
        client.ready().await.expect("a channel");
        let request = Request::new(stream::pending());
        client.client_streaming(request, path("/parked.Methods/unary"), Raw).await.is_ok() //~
    });
}
