//! Services, clients and databases in the middle of their work.

use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, future, future::BoxFuture, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{Request, Response, body::Frame, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, mpsc},
};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use crate::park::{leaf, local, on_local_set, parks, turn};

const HOUR: Duration = Duration::from_hours(1);

type Reply = Result<Response<Full<Bytes>>, Infallible>;

pub(super) fn spawn() {
    servers();
    clients();
    on_local_set(layers);
    databases();
}

fn servers() {
    parks("a handler that reads a body of which a part is there", async {
        let (mut client, server) = tokio::io::duplex(256);
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc";
        client.write_all(head).await.expect("room");
        let service = service_fn(|request: Request<Incoming>| async move {
            let body = request.into_body().collect().await; //~ 2
            Reply::Ok(Response::new(Full::from(
                body.map_or(Bytes::new(), http_body_util::Collected::to_bytes),
            )))
        });
        let io = TokioIo::new(server);
        let it = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        //~ 1
        drop(client);
        it.is_ok()
    });
    parks("the second request of a connection", async {
        let (mut client, server) = tokio::io::duplex(256);
        let two = b"GET /a HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n";
        client.write_all(two).await.expect("room");
        let service = service_fn(|request: Request<Incoming>| async move {
            if request.uri().path() == "/b" {
                leaf::<()>().await; //~ 2 leaf
            }
            Reply::Ok(Response::new(Full::from("a")))
        });
        let io = TokioIo::new(server);
        let it = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        //~ 1
        drop(client);
        it.is_ok()
    });
    parks("a connection whose client does not read, with a second request", async {
        let (mut client, server) = tokio::io::duplex(128);
        let two = b"GET /a HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n";
        client.write_all(two).await.expect("room");
        let service = service_fn(|request: Request<Incoming>| async move {
            if request.uri().path() == "/b" {
                leaf::<()>().await;
            }
            Reply::Ok(Response::new(Full::from(vec![0; 1 << 20])))
        });
        let io = TokioIo::new(server);
        let it = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        //~
        drop(client);
        it.is_ok()
    });
    parks("a body that is sent from a stream, after its first frame", async {
        let (mut client, server) = tokio::io::duplex(256);
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("room");
        let service = service_fn(|_: Request<Incoming>| async {
            turn().await;
            let all = async_stream::stream! {
                yield Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a")));
                leaf::<()>().await; //~ 2 leaf
                yield Ok(Frame::data(Bytes::from_static(b"b")));
            };
            Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(all))))
        });
        let io = TokioIo::new(server);
        let it = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        //~ 1
        drop(client);
        it.is_ok()
    });
    parks("a connection in a select! with its shutdown", async {
        let (mut client, server) = tokio::io::duplex(256);
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("room");
        let service = service_fn(|_: Request<Incoming>| async { leaf::<Reply>().await }); //~ 2 leaf
        let token = tokio_util::sync::CancellationToken::new();
        let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection(TokioIo::new(server), service);
        let mut connection = pin!(connection);
        loop {
            tokio::select! { //~ 1
                it = connection.as_mut() => break it.is_ok(),
                () = token.cancelled() => connection.as_mut().graceful_shutdown(),
            }
        }
    });
}

fn clients() {
    parks("a client that waits for the rest of a body", async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await?;
            let mut request = [0; 999];
            drop(socket.read(&mut request).await);
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await?;
            leaf::<()>().await;
            drop(socket);
            std::io::Result::Ok(())
        });
        let answer = reqwest::get(format!("http://{address}/")).await.expect("an answer");
        let bytes = answer.bytes().await; //~
        drop(server);
        drop(bytes);
        std::io::Result::Ok(())
    });
    parks("a client with a body of a stream that waits", async {
        let (client, server) = tokio::io::duplex(256);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(client)).await?;
        let body = stream::once(async { leaf::<Result<Frame<Bytes>, Infallible>>().await });
        tokio::spawn(connection);
        let request = Request::post("/").header("host", "a").body(StreamBody::new(body.boxed()));
        let it = sender.send_request(request.expect("a request")).await; //~
        drop(server);
        it.map(drop)
    });
}

fn layers() {
    local("a service that works with its permit, in a stack", async {
        /// A service that keeps what makes it ready, and what it counts.
        #[derive(Clone)]
        struct Gated<S> {
            inner: S,
            permits: Arc<Semaphore>,
            called: u32,
        }
        impl<S> Service<u8> for Gated<S>
        where
            S: Service<u8, Error = BoxError> + Clone + Send + 'static,
            S::Future: Send,
        {
            type Response = S::Response;
            type Error = BoxError;
            type Future = BoxFuture<'static, Result<S::Response, BoxError>>;
            fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
                self.inner.poll_ready(context)
            }
            fn call(&mut self, it: u8) -> Self::Future {
                self.called += 1;
                let (permits, mut inner) = (Arc::clone(&self.permits), self.inner.clone());
                Box::pin(async move {
                    let _permit = permits.acquire().await?;
                    inner.call(it).await //~ 2
                })
            }
        }
        let works = tower::service_fn(|_: u8| async { leaf::<Result<u8, BoxError>>().await });
        //~ 3 leaf
        let gated = Gated { inner: works, permits: Arc::new(Semaphore::new(1)), called: 0 };
        let stack = ServiceBuilder::new()
            .load_shed()
            .timeout(HOUR)
            .map_err(BoxError::from)
            .map_response(|it: u8| it + 1);
        stack.service(gated).oneshot(1).await.map(drop) //~ 1
    });
}

fn databases() {
    parks("a row of a query, in for_each", async {
        let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.expect("a pool");
        let rows = sqlx::query("SELECT 1 UNION ALL SELECT 2").fetch(&pool);
        rows.try_for_each(|_| async { leaf::<sqlx::Result<()>>().await }).await //~ 1 2 leaf
    });
    parks("a query in a transaction of a function, beside a channel", async {
        async fn save(pool: &sqlx::SqlitePool, stop: &mut mpsc::Receiver<()>) -> sqlx::Result<()> {
            let mut begun = pool.begin().await?;
            tokio::select! {
                it = sqlx::query("SELECT 1").execute(&mut *begun) => { it?; }
                _ = future::pending::<()>() => {}
            }
            turn().await;
            tokio::select! { //~ 2
                _ = stop.recv() => {}
                () = async { leaf().await } => {} //~ 3 leaf
            }
            begun.commit().await
        }
        let (send, mut stop) = mpsc::channel(1);
        let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.expect("a pool");
        let it = save(&pool, &mut stop).await; //~ 1
        drop(send);
        it
    });
    parks("an acquire in a timeout, in a retry", async {
        let options = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
        let pool = options.acquire_timeout(HOUR).connect("sqlite::memory:").await.expect("a pool");
        let kept = pool.acquire().await;
        for _ in 0..3 {
            let query = sqlx::query("SELECT 1").fetch_optional(&pool).boxed();
            if tokio::time::timeout(HOUR, query).await.is_ok() {
                //~
                break;
            }
        }
        drop(kept);
    });
}
