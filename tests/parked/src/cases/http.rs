//! hyper, hyper-util and reqwest.

use std::{convert::Infallible, future::pending, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Channel, Empty, Full, combinators::BoxBody};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::{TcpListener, TcpStream};

use crate::park::{here, is, leaf, parks, tracked, turn};

type Body = BoxBody<Bytes, Infallible>;
type Answer = Result<Response<Body>, Infallible>;

/// A server of this thread's runtime whose connections this function serves.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A server that does not answer, or not wholly: by the path.
async fn silent() -> SocketAddr {
    listen(|stream| async {
        let answer = |request: Request<Incoming>| async move {
            if request.uri().path() == "/never" {
                return pending::<Answer>().await;
            }
            // The body that is sent has a part, and never its end.
            let (mut send, body) = Channel::new(1);
            send.send_data(Bytes::from_static(b"part")).await.expect("room");
            std::mem::forget(send);
            Answer::Ok(Response::new(body.boxed()))
        };
        let served = auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service_fn(answer))
            .await;
        drop(served);
    })
    .await
}

/// Asks the server, and leaves the answer.
fn ask(address: SocketAddr, is_http2: bool) {
    tokio::spawn(async move {
        let stream = TokioIo::new(TcpStream::connect(address).await.expect("a connection"));
        let request = Request::get("http://a/").body(Empty::<Bytes>::new()).expect("a request");
        if is_http2 {
            let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
            let (mut send, connection) = builder.handshake(stream).await.expect("a connection");
            tokio::spawn(connection);
            drop(send.send_request(request).await);
        } else {
            let (mut send, connection) =
                hyper::client::conn::http1::handshake(stream).await.expect("a connection");
            tokio::spawn(connection);
            drop(send.send_request(request).await);
        }
    });
}

pub(super) async fn spawn() {
    let address = silent().await;
    servers().await;
    clients(address);
    of_reqwest(address);
}

async fn servers() {
    let address = listen(|stream| async {
        let answer = |_: Request<Incoming>| async {
            here("a handler of HTTP/1");
            turn().await;
            leaf::<Result<Response<Full<Bytes>>, Infallible>>().await //~ 2 leaf
        };
        let builder = hyper::server::conn::http1::Builder::new();
        let served = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await; //~ 1
        drop(served);
    })
    .await;
    ask(address, false);
    let address = listen(|stream| async {
        let answer = |_: Request<Incoming>| async {
            here("a handler of HTTP/2");
            turn().await;
            leaf::<Result<Response<Full<Bytes>>, Infallible>>().await //~ leaf
        };
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        is("a connection of HTTP/2", tokio::task::id());
        let served = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await; //~
        drop(served);
    })
    .await;
    ask(address, true);
    let address = listen(|stream| async {
        let answer = |request: Request<Incoming>| async {
            here("a handler that reads a body");
            let body = request.into_body().collect().await; //~ 2
            drop(body);
            leaf::<Result<Response<Full<Bytes>>, Infallible>>().await
        };
        let builder = auto::Builder::new(TokioExecutor::new());
        let served = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await; //~ 1
        drop(served);
    })
    .await;
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc";
    tokio::io::AsyncWriteExt::write_all(&mut stream, head).await.expect("it is sent");
    std::mem::forget(stream);
    let address = listen(|stream| async {
        let answer = |_: Request<Incoming>| async {
            leaf::<Result<Response<Full<Bytes>>, Infallible>>().await
        };
        here("a connection without a request");
        let builder = hyper::server::conn::http1::Builder::new();
        let served = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await; //~
        drop(served);
    })
    .await;
    std::mem::forget(TcpStream::connect(address).await.expect("a connection"));
}

fn clients(address: SocketAddr) {
    parks("send_request of HTTP/1", async move {
        let stream = TokioIo::new(TcpStream::connect(address).await.expect("a connection"));
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(stream).await.expect("a connection");
        tokio::spawn(connection);
        let request = Request::get("/never").body(Empty::<Bytes>::new()).expect("a request");
        send.send_request(request).await.is_ok() //~
    });
    drop(tokio::spawn(async move {
        let stream = TokioIo::new(TcpStream::connect(address).await.expect("a connection"));
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(stream).await.expect("a connection");
        tokio::spawn(async {
            here("a connection of a client");
            connection.await.is_ok() //~
        });
        let request = Request::get("/never").body(Empty::<Bytes>::new()).expect("a request");
        send.send_request(request).await.is_ok()
    }));
    parks("send_request of HTTP/2", async move {
        let stream = TokioIo::new(TcpStream::connect(address).await.expect("a connection"));
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (mut send, connection) = builder.handshake(stream).await.expect("a connection");
        tokio::spawn(connection);
        let request = Request::get("http://a/never").body(Empty::<Bytes>::new());
        send.send_request(request.expect("a request")).await.is_ok() //~
    });
    tracked("a request of the client of hyper-util", async move {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        client.get(format!("http://{address}/never").parse().expect("an address")).await.is_ok() //~
    });
    parks("frame of a body", async move {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let address = format!("http://{address}/part").parse().expect("an address");
        let mut answer = client.get(address).await.expect("an answer");
        while let Some(frame) = answer.frame().await {
            //~
            drop(frame);
        }
    });
    parks("collect of a body", async move {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let address = format!("http://{address}/part").parse().expect("an address");
        client.get(address).await.expect("an answer").collect().await.is_ok() //~
    });
}

fn of_reqwest(address: SocketAddr) {
    tracked("reqwest: send", async move {
        let client = reqwest::Client::new();
        client.get(format!("http://{address}/never")).send().await.is_ok() //~
    });
    parks("reqwest: get", async move {
        reqwest::get(format!("http://{address}/never")).await.is_ok() //~
    });
    parks("reqwest: send with a time", async move {
        let client = reqwest::Client::new();
        client
            .post(format!("http://{address}/never"))
            .timeout(Duration::from_hours(1))
            .body("body")
            .send()
            .await //~
            .is_ok()
    });
    parks("reqwest: text", async move {
        let answer = reqwest::get(format!("http://{address}/part")).await.expect("an answer");
        answer.text().await.is_ok() //~
    });
    parks("reqwest: bytes of a function", async move {
        async fn load(address: SocketAddr) -> reqwest::Result<Bytes> {
            let answer = reqwest::get(format!("http://{address}/part")).await?;
            answer.error_for_status()?.bytes().await //~ 2
        }
        load(address).await.is_ok() //~ 1
    });
    parks("reqwest: the second chunk", async move {
        let address = format!("http://{address}/part");
        let mut answer = reqwest::get(address).await.expect("an answer");
        let first = answer.chunk().await;
        let second = answer.chunk().await; //~
        drop((first, second));
    });
    parks("reqwest: bytes_stream", async move {
        use futures::StreamExt;
        let address = format!("http://{address}/part");
        let answer = reqwest::get(address).await.expect("an answer");
        let mut all = answer.bytes_stream().map(|it| it.map(|it| it.len()));
        while let Some(it) = all.next().await {
            //~
            drop(it);
        }
    });
}
