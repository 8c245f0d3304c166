//! Closures, traits, services and sinks.

use crate::park::{leaf, parks, turn};
use futures::{
    FutureExt, SinkExt, StreamExt, TryStreamExt,
    future::{self, Shared},
    stream,
};
use std::{
    future::{Future, pending},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};
use tower::{Service, ServiceExt};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

trait Store {
    async fn get(&self) -> u8 {
        self.miss().await
    }
    fn miss(&self) -> impl Future<Output = u8> + Send;
}

#[async_trait::async_trait]
trait Boxing {
    async fn go(&self) -> u8;
}

pub(super) fn spawn() {
    parks("an async closure that is called once", async {
        async fn of<F: AsyncFnOnce(u8)>(f: F) {
            f(1).await; //~ 2
        }
        let text = String::from("a");
        of(async move |at: u8| {
            leaf::<()>().await; //~ 3 leaf
            drop((text, at));
        })
        .await; //~ 1
    });
    parks("an async closure of FnMut, by value", async {
        async fn of<F: AsyncFnOnce(u8)>(f: F) {
            f(1).await; //~ 2
        }
        let mut n = 0_u8;
        let f = async move |at: u8| {
            n += at;
            leaf::<()>().await; //~ 3 leaf
            drop(n);
        };
        of(f).await; //~ 1
    });
    parks("an async fn of a trait, by default", async {
        struct One;
        impl Store for One {
            fn miss(&self) -> impl Future<Output = u8> + Send {
                async { leaf::<u8>().await } //~ 3 leaf
            }
        }
        async fn of(it: &impl Store) -> u8 {
            it.miss().await //~ 2
        }
        of(&One).await; //~ 1
    });
    parks("async_trait in async_trait", async {
        struct A;
        struct B(Box<dyn Boxing + Send + Sync>);
        #[async_trait::async_trait]
        impl Boxing for A {
            async fn go(&self) -> u8 {
                leaf().await //~ 3 leaf
            }
        }
        #[async_trait::async_trait]
        impl Boxing for B {
            async fn go(&self) -> u8 {
                self.0.go().await //~ 2
            }
        }
        B(Box::new(A)).go().await //~ 1
    });
    parks("a recursion of two functions", async {
        fn even(n: u8) -> Boxed {
            Box::pin(async move { if n == 0 { leaf().await } else { odd(n - 1).await } })
            //~ 2 4 leaf
        }
        fn odd(n: u8) -> Boxed {
            Box::pin(async move { even(n - 1).await }) //~ 3
        }
        even(2).await; //~ 1
    });
    parks("a cached connection, whose future is shared", async {
        let cell = tokio::sync::OnceCell::new();
        let of = || async { async { leaf::<u8>().await }.boxed().shared() };
        let it: &Shared<future::BoxFuture<'static, u8>> = cell.get_or_init(of).await;
        let mut again = it.clone();
        assert!(futures::poll!(&mut again).is_pending());
        tokio::join!(it.clone(), async { leaf::<()>().await }) //~ 1 2 leaf
    });
    parks("a weak shared, and its task elsewhere", async {
        let shared = Box::pin(async { leaf::<()>().await }).shared();
        let weak = shared.downgrade();
        assert!(futures::poll!(shared.clone()).is_pending());
        drop(shared);
        assert!(weak.and_then(|it| it.upgrade()).is_none());
        pending::<()>().await; //~
    });
    parks("a remote handle in select!, beside the remote", async {
        let (remote, handle) = async { leaf::<()>().await }.remote_handle(); //~ 2a leaf
        tokio::select! { //~ 1
            () = remote => {}
            () = handle => {}
            () = async { leaf().await } => {} //~ 2b leaf
        }
    });
    parks("an abortable that was aborted in join!", async {
        let (it, handle) = future::abortable(async { leaf::<()>().await });
        tokio::join!(it, async {
            //~ 1
            handle.abort();
            leaf::<()>().await //~ 2 leaf
        })
    });
    parks("catch_unwind of a panic, and then", async {
        std::panic::set_hook(Box::new(|_| {}));
        let it = std::panic::AssertUnwindSafe(async {
            turn().await;
            panic!("x")
        })
        .catch_unwind()
        .await;
        let _: Result<(), _> = it;
        leaf::<()>().await; //~ leaf
    });
    parks("and_then, or_else and map over blocks", async {
        use futures::TryFutureExt;
        let it = async {
            turn().await;
            Err::<u8, u8>(1)
        };
        it.and_then(|_| async { leaf::<Result<u8, u8>>().await })
            .or_else(|_| async move { leaf::<Result<u8, u8>>().await }) //~ 2 leaf
            .map_ok(|it| it + 1)
            .await //~ 1
    });
    parks("a member that moved into another box, by replace", async {
        let mut it: Boxed = Box::pin(turn());
        (&mut it).await;
        let _old = std::mem::replace(&mut it, Box::pin(async { leaf::<()>().await })); //~ 2 leaf
        it.await; //~ 1
    });
    parks("generic functions of one code", async {
        trait T: Send {
            const N: u8;
        }
        struct A;
        struct B;
        struct C<X>(X);
        impl T for A {
            const N: u8 = 1;
        }
        impl T for B {
            const N: u8 = 1;
        }
        impl<X: T> T for C<X> {
            const N: u8 = X::N;
        }
        async fn of<X: T, Y: Future<Output = ()>>(y: Y) {
            y.await //~ 2 3
        }
        of::<A, _>(of::<C<B>, _>(async { leaf::<()>().await })).await; //~ 1 4 leaf
    });
    parks("select_with_strategy", async {
        let a = stream::once(async { leaf::<u8>().await }).boxed(); //~ 2a leaf
        let b = stream::once(async { leaf::<u8>().await }).boxed(); //~ 2b leaf
        fn left(_: &mut ()) -> stream::PollNext {
            stream::PollNext::Left
        }
        stream::select_with_strategy(a, b, left).next().await //~ 1
    });
    parks("peekable that is peeked and its stream in a buffer", async {
        let mut all = pin!(stream::iter(0..3_u8).peekable());
        all.as_mut().peek().await;
        all.as_mut().next_if_eq(&0).await;
        leaf::<()>().await; //~ leaf
    });
    parks("flatten_unordered of two", async {
        stream::iter(0..2_u8)
            .map(|_| stream::once(async { leaf::<u8>().await }).boxed()) //~ 2 leaf
            .flatten_unordered(None)
            .next()
            .await //~ 1
    });
    parks("chunks_timeout", async {
        let source = stream::iter(0..1_u8).chain(stream::once(async { leaf::<u8>().await }));
        //~ 2 leaf
        let mut all =
            pin!(tokio_stream::StreamExt::chunks_timeout(source, 4, Duration::from_secs(999)));
        all.next().await //~ 1
    });
    parks("try_unfold in its second", async {
        let mut all = pin!(stream::try_unfold(0_u8, |at| async move {
            if at == 1 {
                leaf::<()>().await //~ 2 leaf
            }
            Ok::<_, ()>(Some((at, at + 1)))
        }));
        let _ = all.try_next().await;
        let it = all.try_next().await; //~ 1
        it
    });
    parks("skip_while, whose future waits", async {
        let mut all = pin!(stream::iter(0..2_u8).skip_while(|_| async { leaf::<bool>().await }));
        //~ 2 leaf
        all.next().await //~ 1
    });
    parks("forward into an unfold sink that waits", async {
        let sink = futures::sink::unfold((), |(), _: u8| async { leaf::<Result<(), ()>>().await });
        //~ 2 leaf
        let source = stream::iter(0..9_u8).map(Ok);
        source.forward(pin!(sink)).await //~ 1
    });
    parks("forward of a merge into a sink that waits", async {
        let sink = futures::sink::unfold((), |(), _: u8| async { leaf::<Result<(), ()>>().await });
        //~ 2 leaf
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        let mut source = pin!(tokio_stream::StreamExt::merge(stream::iter(0..9_u8), rest).map(Ok));
        let _ = source.next().await;
        let _ = source.next().await;
        source.forward(pin!(sink)).await //~ 1
    });
    parks("send_all of a merge into a sink that waits", async {
        let mut sink =
            pin!(futures::sink::unfold((), |(), _: u8| async { leaf::<Result<(), ()>>().await }));
        //~ 2 leaf
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        let mut source = pin!(tokio_stream::StreamExt::merge(stream::iter(0..9_u8), rest).map(Ok));
        let _ = source.next().await;
        let _ = source.next().await;
        sink.send_all(&mut source).await //~ 1
    });
    parks("a with sink over a full channel", async {
        let (send, receive) = futures::channel::mpsc::channel::<u8>(0);
        let mut sink = pin!(send.with(|it: u8| async move {
            turn().await;
            Ok::<u8, futures::channel::mpsc::SendError>(it)
        }));
        let it = sink.send(1).await; //~
        drop(receive);
        it
    });
    parks("fanout of two unfolds", async {
        let of = || {
            futures::sink::unfold((), |(), at: u8| async move {
                if at == 1 { leaf::<Result<(), ()>>().await } else { Ok(()) } //~ 2 leaf
            })
        };
        let mut sink = pin!(of().fanout(of()));
        let _ = sink.send(1).await; //~ 1
    });
    parks("get_or_init behind another", async {
        let cell = Arc::new(tokio::sync::OnceCell::new());
        let mut first = Box::pin(cell.get_or_init(|| async { leaf::<u8>().await }));
        assert!(futures::poll!(&mut first).is_pending());
        cell.get_or_init(|| async { leaf::<u8>().await }).await; //~
    });
    parks("reserve_many of a full channel", async {
        let (send, receive) = tokio::sync::mpsc::channel::<u8>(1);
        let _permit = send.reserve().await;
        send.reserve_many(1).await.map(drop).unwrap(); //~
        drop(receive);
    });
    parks("acquire_many in run_until_cancelled of a child", async {
        let semaphore = tokio::sync::Semaphore::new(1);
        let token = tokio_util::sync::CancellationToken::new().child_token();
        token.run_until_cancelled(async { semaphore.acquire_many(2).await.map(drop) }).await //~ 1 2
    });
    parks("a drop guard, and a tracker's wait in select!", async {
        let tracker = tokio_util::task::TaskTracker::new();
        let token = tokio_util::sync::CancellationToken::new();
        let _guard = token.clone().drop_guard();
        tokio::select! { //~ 1
            () = tracker.wait() => {}
            () = token.cancelled() => {}
            () = async { leaf().await } => {} //~ 2 leaf
        }
    });
    parks("ready of a service with a future", async {
        struct Warmed {
            fut: Option<Boxed>,
            n: u8,
        }
        impl Service<u8> for Warmed {
            type Response = u8;
            type Error = ();
            type Future = future::Ready<Result<u8, ()>>;
            fn poll_ready(
                &mut self,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Result<(), ()>> {
                self.n += 1;
                self.fut.as_mut().unwrap().as_mut().poll(context).map(Ok)
            }
            fn call(&mut self, at: u8) -> Self::Future {
                future::ready(Ok(at))
            }
        }
        let service = Warmed { fut: Some(Box::pin(async { leaf().await })), n: 0 }; //~ 2 leaf
        let it = service.oneshot(1).await; //~ 1
        it
    });
    parks("timeout of a concurrency limit of a block", async {
        let service =
            tower::service_fn(|_: u8| async { leaf::<Result<u8, std::io::Error>>().await });
        //~ 2 leaf
        let service = tower::ServiceBuilder::new()
            .timeout(Duration::from_secs(999))
            .concurrency_limit(1)
            .service(service);
        service.oneshot(1).await.map_err(drop) //~ 1
    });
    parks("buffer of a service that is busy", async {
        let service =
            tower::service_fn(|_: u8| async { leaf::<Result<u8, std::io::Error>>().await });
        let mut service =
            tower::buffer::Buffer::new(tower::limit::ConcurrencyLimit::new(service, 1), 1);
        let first = tokio::spawn(service.ready().await.unwrap().call(1));
        turn().await;
        let it = service.ready().await.unwrap().call(2).await; //~
        drop(first);
        it.map_err(drop)
    });
    parks("copy_bidirectional in select!, with a duplex", async {
        let (mut a, _a) = tokio::io::duplex(9);
        let (mut b, _b) = tokio::io::duplex(9);
        tokio::select! { //~ 1
            _ = tokio::io::copy_bidirectional(&mut a, &mut b) => {}
            () = async { leaf().await } => {} //~ 2 leaf
        }
    });
    parks("a Framed that waits for a line", async {
        let (a, _a) = tokio::io::duplex(9);
        let mut lines = tokio_util::codec::Framed::new(a, tokio_util::codec::LinesCodec::new());
        let it = async { lines.next().await }.await.is_some(); //~ 1 2
        it
    });
    parks("a hyper body that streams", async {
        let (client, server) = tokio::io::duplex(64);
        let service = hyper::service::service_fn(|_| async {
            let all = stream::once(async {
                leaf::<Result<hyper::body::Frame<bytes::Bytes>, std::convert::Infallible>>().await
            });
            Ok::<_, std::convert::Infallible>(hyper::Response::new(
                http_body_util::StreamBody::new(Box::pin(all)),
            ))
        });
        use tokio::io::AsyncWriteExt;
        let mut client = client;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let io = hyper_util::rt::TokioIo::new(server);
        let it = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        //~ 1
        drop(client);
        it.is_ok()
    });
    parks("an idle connection in join! with a function", async {
        let (client, server) = tokio::io::duplex(64);
        let io = hyper_util::rt::TokioIo::new(server);
        let service = hyper::service::service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(hyper::Response::new(String::new()))
        });
        let conn = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
        let it = tokio::join!(conn, async { leaf::<()>().await }).0; //~ 1ab 2b leaf
        drop(client);
        it.is_ok()
    });
}
