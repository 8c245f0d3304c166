//! What was polled before and is not now, beside what leads to no line.

use super::by_hand_parts::Warm;
use crate::park::{leaf, parks, turn};
use futures::{FutureExt, Stream, StreamExt, future, stream};
use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

struct AnyTwo<A, B> {
    warm: Pin<Box<A>>,
    other: Pin<Box<B>>,
    is_warm: bool,
}
impl<A: Future, B: Future> Future for AnyTwo<A, B> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.is_warm, true) {
            let _ = self.warm.as_mut().poll(context);
        }
        self.other.as_mut().poll(context).map(drop)
    }
}

/// A generator of this program's own: pending once when it has given.
struct Give(bool);
impl Future for Give {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}
type Slot = std::sync::Arc<std::sync::Mutex<Option<u8>>>;
struct Gen<F> {
    body: Pin<Box<F>>,
    slot: Slot,
}
impl<F: Future> Stream for Gen<F> {
    type Item = u8;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<u8>> {
        let it = self.body.as_mut().poll(context);
        match (self.slot.lock().unwrap().take(), it) {
            (Some(it), _) => Poll::Ready(Some(it)),
            (None, Poll::Ready(_)) => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }
}
fn generated() -> impl Stream<Item = u8> {
    let slot = Slot::default();
    let own = slot.clone();
    Gen {
        body: Box::pin(async move {
            for at in 0..9 {
                *own.lock().unwrap() = Some(at);
                Give(false).await;
            }
        }),
        slot,
    }
}

pub(super) fn spawn() {
    parks("an empty buffer over a channel, and what was polled before", async {
        let (send, receive) = futures::channel::mpsc::channel::<u8>(1);
        let conn =
            receive.map(|_| async { leaf::<()>().await }).buffer_unordered(2).collect::<Vec<()>>();
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(conn),
            is_warm: false,
        }
        .await; //~
        drop(send);
    });
    parks("an empty for_each_concurrent over a channel, and what was polled before", async {
        let (send, receive) = futures::channel::mpsc::channel::<u8>(1);
        let conn = receive.for_each_concurrent(2, |_| async { leaf::<()>().await });
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(conn),
            is_warm: false,
        }
        .await; //~
        drop(send);
    });
    parks(
        "a take_until over a channel whose stopper was taken, and what was polled before",
        async {
            let (send, receive) = futures::channel::mpsc::channel::<u8>(1);
            let mut conn =
                Box::pin(receive.map(|_| ()).take_until(Box::pin(async { leaf::<()>().await })));
            let _ = conn.as_mut().get_mut().take_future();
            AnyTwo {
                warm: Box::pin(async { leaf::<()>().await }),
                other: Box::pin(conn.into_future()),
                is_warm: false,
            }
            .await; //~
            drop(send);
        },
    );
    parks("a then over a channel, and what was polled before", async {
        let (send, receive) = futures::channel::mpsc::channel::<u8>(1);
        let conn = Box::pin(receive.then(|_| async { leaf::<()>().await }));
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(conn.into_future()),
            is_warm: false,
        }
        .await; //~
        drop(send);
    });
    parks("a tokio-stream then over a channel, and what was polled before", async {
        let (send, receive) = tokio::sync::mpsc::channel::<u8>(1);
        let conn = tokio_stream::StreamExt::then(
            tokio_stream::wrappers::ReceiverStream::new(receive),
            |_| async { leaf::<()>().await },
        );
        let mut conn = Box::pin(conn);
        let other = async move { conn.next().await };
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(other),
            is_warm: false,
        }
        .await; //~
        drop(send);
    });
    parks("a timeout over a select! of signals, and what was polled before", async {
        let (send, mut receive) = tokio::sync::watch::channel(1_u8);
        let other = async {
            let end = tokio::time::sleep(Duration::from_secs(999));
            tokio::select! { _ = receive.changed() => {}, () = end => {} } //~ 2
        };
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(other),
            is_warm: false,
        }
        .await; //~ 1
        drop(send);
    });
    parks("a service that is not ready, and what was polled before", async {
        use tower::ServiceExt;
        let limit = tower::limit::ConcurrencyLimit::new(
            tower::service_fn(|_: u8| async { leaf::<Result<u8, std::io::Error>>().await }),
            1,
        );
        let mut kept = limit.clone();
        let _ready = kept.ready().await.is_ok();
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(limit.oneshot(1)),
            is_warm: false,
        }
        .await; //~
        drop(kept);
    });
    parks("a lazy service, and what was polled before", async {
        let other = future::lazy(|_| ()).then(|()| tokio::time::sleep(Duration::from_secs(999)));
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(other),
            is_warm: false,
        }
        .await; //~
    });
    parks("an and_then in its second, a timer, and what was polled before", async {
        let other = async { turn().await }.then(|()| tokio::time::sleep(Duration::from_secs(999)));
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(other),
            is_warm: false,
        }
        .await; //~
    });
    parks("an either of a timer, and what was polled before", async {
        let other: future::Either<Boxed, tokio::time::Sleep> =
            future::Either::Right(tokio::time::sleep(Duration::from_secs(999)));
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(other),
            is_warm: false,
        }
        .await; //~
    });
    parks("a join of a done and a timer, and what was polled before", async {
        let other =
            future::join(async { turn().await }, tokio::time::sleep(Duration::from_secs(999)));
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(other),
            is_warm: false,
        }
        .await; //~
    });
    parks("a join! of a done and a timer, and what was polled before", async {
        let other = async { tokio::join!(turn(), tokio::time::sleep(Duration::from_secs(999))) };
        //~ 2
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(other),
            is_warm: false,
        }
        .await; //~ 1
    });
    parks("a select of a done and a channel, and what was polled before", async {
        let (send, receive) = futures::channel::oneshot::channel::<u8>();
        let none: future::OptionFuture<Boxed> = None.into();
        let other = future::select(
            none.then(|it| async move {
                if it.is_none() {
                    pending().await //~ 2
                }
            })
            .boxed(),
            receive,
        );
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(other),
            is_warm: false,
        }
        .await; //~ 1
        drop(send);
    });
    parks("a fuse that is terminated in select with a timer, and what was polled before", async {
        let over = future::Fuse::<Boxed>::terminated();
        let other = future::select(over, Box::pin(tokio::time::sleep(Duration::from_secs(999))));
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(other),
            is_warm: false,
        }
        .await; //~
    });
    parks("a select_next_some of an empty list, and what was polled before", async {
        let mut all = stream::FuturesUnordered::<Boxed>::new();
        let other = async {
            all.next().await;
            tokio::time::sleep(Duration::from_secs(999)).await //~ 2
        };
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(other),
            is_warm: false,
        }
        .await; //~ 1
    });
    parks("an empty StreamMap, and what was polled before", async {
        let (send, receive) = tokio::sync::mpsc::channel::<u8>(1);
        let mut all = tokio_stream::StreamMap::new();
        let rx: Pin<Box<dyn Stream<Item = u8> + Send>> =
            Box::pin(tokio_stream::wrappers::ReceiverStream::new(receive));
        all.insert(0, rx);
        AnyTwo {
            warm: Box::pin(async { leaf::<()>().await }),
            other: Box::pin(all.into_future()),
            is_warm: false,
        }
        .await; //~
        drop(send);
    });
    parks("poll_fn with a background and an idle connection", async {
        let (client, server) = tokio::io::duplex(64);
        let io = hyper_util::rt::TokioIo::new(server);
        let service = hyper::service::service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(hyper::Response::new(String::new()))
        });
        let mut conn = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
        let mut first = Some(Box::pin(async { leaf::<()>().await }));
        poll_fn(move |context| {
            if let Some(it) = &mut first {
                let _ = it.as_mut().poll(context);
            }
            conn.poll_unpin(context).map(drop)
        })
        .await; //~
        drop(client);
    });
    parks("Warm with an auto connection", async {
        let (client, server) = tokio::io::duplex(64);
        let io = hyper_util::rt::TokioIo::new(server);
        let service =
            hyper::service::service_fn(|_: hyper::Request<hyper::body::Incoming>| async {
                Ok::<_, std::convert::Infallible>(hyper::Response::new(String::new()))
            });
        let builder =
            hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
        let conn = Box::pin(builder.serve_connection(io, service));
        Warm { warm: Box::pin(async { leaf::<()>().await }), conn, is_warm: false }.await; //~
        drop(client);
    });
    parks("a full buffer over a generator of one's own", async {
        generated().map(|_| async { leaf::<()>().await }).buffer_unordered(2).next().await;
        //~ 1 2 leaf
    });
    parks("a chain behind a generator of one's own in zip", async {
        let mut all = pin!(generated().zip(stream::once(async { leaf::<u8>().await }))); //~ 2 leaf
        all.next().await; //~ 1
    });
    parks("chunks over a timer-like stream", async {
        let mut all = pin!(generated().chunks(3).then(|_| async { leaf::<()>().await })); //~ 2 leaf
        all.next().await; //~ 1
    });
}
