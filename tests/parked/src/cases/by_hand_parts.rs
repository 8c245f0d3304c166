//! Futures that are written by hand, and which of their parts they poll now.

use crate::park::{leaf, parks, turn};
use futures::{
    FutureExt, StreamExt,
    future::{FusedFuture, MaybeDone, maybe_done},
};
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Replaces what it waits for, and keeps what was before.
struct Replacing {
    previous: Option<Boxed>,
    current: Boxed,
    turns: u8,
    make: fn() -> Boxed,
}
impl Future for Replacing {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let it = self.current.as_mut().poll(context);
        if self.turns == 0 {
            self.turns = 1;
            let next: Boxed = (self.make)();
            let before = std::mem::replace(&mut self.current, next);
            self.previous = Some(before);
            return self.current.as_mut().poll(context);
        }
        it
    }
}
/// A machine of boxes.
enum Machine {
    Connect(Boxed),
    Backoff { until: Pin<Box<tokio::time::Sleep>>, kept: Option<Boxed> },
    Run(Boxed, u32),
    Idle(#[allow(dead_code)] Arc<u8>),
}
impl Future for Machine {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            *self = match &mut *self {
                Self::Connect(it) => {
                    ready!(it.as_mut().poll(context));
                    Self::Run(Box::pin(turn()), 1)
                }
                Self::Backoff { until, kept } => {
                    if let Some(it) = kept {
                        let _ = it.as_mut().poll(context);
                    }
                    ready!(until.as_mut().poll(context));
                    Self::Idle(Arc::new(1))
                }
                Self::Run(it, _) => return it.as_mut().poll(context),
                Self::Idle(_) => return Poll::Pending,
            }
        }
    }
}
/// With a buffer.
struct Buffered<F> {
    inner: Pin<Box<F>>,
    buffer: Vec<u8>,
    queue: VecDeque<u32>,
    name: Arc<str>,
}
impl<F: Future> Future for Buffered<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.buffer.push(1);
        let n = self.name.len() as u32;
        self.queue.push_back(n);
        self.inner.as_mut().poll(context)
    }
}
struct Bytes<F> {
    inner: Pin<Box<F>>,
    buffer: Vec<u8>,
}
impl<F: Future> Future for Bytes<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.buffer.push(1);
        self.inner.as_mut().poll(context)
    }
}
/// A connection that is served, and what was polled before it.
pub(super) struct Warm<F, C> {
    pub(super) warm: Pin<Box<F>>,
    pub(super) conn: C,
    pub(super) is_warm: bool,
}
impl<F: Future, C: Future + Unpin> Future for Warm<F, C> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.is_warm, true) {
            let _ = self.warm.as_mut().poll(context);
        }
        self.conn.poll_unpin(context).map(drop)
    }
}

/// Two that may be done.
struct Both<A: Future, B: Future>(MaybeDone<A>, MaybeDone<B>);
impl<A: Future + Unpin, B: Future + Unpin> Future for Both<A, B> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let a = Pin::new(&mut self.0).poll(context).is_ready();
        let b = Pin::new(&mut self.1).poll(context).is_ready();
        if a && b { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Option children, one after another.
struct Stages<A, B> {
    one: Option<Pin<Box<A>>>,
    two: Option<Pin<Box<B>>>,
    at: u8,
}
impl<A: Future, B: Future> Future for Stages<A, B> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(one) = &mut self.one {
            ready!(one.as_mut().poll(context));
            self.one = None;
            self.at = 1
        }
        if let Some(two) = &mut self.two {
            ready!(two.as_mut().poll(context));
        }
        Poll::Ready(())
    }
}
/// A tuple in one field.
struct Tuple<A, B> {
    both: (Pin<Box<A>>, Pin<Box<B>>),
    at: u8,
}
impl<A: Future, B: Future> Future for Tuple<A, B> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.at += 1;
        if self.at == 1 {
            let _ = self.both.0.as_mut().poll(context);
        }
        self.both.1.as_mut().poll(context).map(drop)
    }
}
struct Array {
    all: [Boxed; 2],
    at: usize,
}
impl Future for Array {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let _ = self.all[0].as_mut().poll(context);
        self.at = 1;
        self.all[1].as_mut().poll(context)
    }
}

pub(super) fn spawn() {
    parks("a machine of boxes in its first state", async {
        Machine::Connect(Box::pin(async { leaf::<()>().await })).await; //~ 1 2 leaf
    });
    parks("a machine of boxes, which backs off", async {
        Machine::Backoff {
            until: Box::pin(tokio::time::sleep(Duration::from_secs(9999))),
            kept: None,
        }
        .await; //~
    });
    parks("a machine of boxes, which is idle", async {
        Machine::Backoff {
            until: Box::pin(tokio::time::sleep(Duration::from_secs(0))),
            kept: Some(Box::pin(async { leaf().await })),
        }
        .await; //~
    });
    parks("with several buffers", async {
        Buffered {
            inner: Box::pin(async { leaf::<()>().await }), //~ 2 leaf
            buffer: Vec::new(),
            queue: VecDeque::new(),
            name: "a".into(),
        }
        .await; //~ 1
    });
    parks("with a Vec of bytes", async {
        Bytes { inner: Box::pin(async { leaf::<()>().await }), buffer: Vec::new() }.await;
        //~ 1 2 leaf
    });
    parks("an idle connection and what was polled before", async {
        let (client, server) = tokio::io::duplex(64);
        let io = hyper_util::rt::TokioIo::new(server);
        let service = hyper::service::service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(hyper::Response::new(String::new()))
        });
        let conn = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
        Warm { warm: Box::pin(async { leaf::<()>().await }), conn, is_warm: false }.await; //~
        drop(client);
    });
    parks("a receiver and what was polled before", async {
        let (send, receive) = tokio::sync::oneshot::channel::<u8>();
        Warm { warm: Box::pin(async { leaf::<()>().await }), conn: receive, is_warm: false }.await;
        //~
        drop(send);
    });
    parks("two that may be done, of which one is", async {
        let waits = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        Both(maybe_done(Box::pin(turn())), maybe_done(waits)).await; //~ 1
    });
    parks("stages of options, in the first", async {
        Stages {
            one: Some(Box::pin(async { leaf::<()>().await })), //~ 2 leaf
            two: Some(Box::pin(leaf::<()>())),
            at: 0,
        }
        .await; //~ 1
    });
    parks("stages of options, in the second", async {
        Stages {
            one: Some(Box::pin(turn())),
            two: Some(Box::pin(async { leaf::<()>().await })), //~ 2 leaf
            at: 0,
        }
        .await; //~ 1
    });
    parks("a tuple in a field", async {
        let it = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        Tuple { both: (Box::pin(leaf::<()>()), it), at: 0 }.await; //~ 1
    });
    parks("an array in a field", async {
        let it = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        Array { all: [Box::pin(leaf::<()>()), it], at: 0 }.await; //~ 1
    });
    closures();
}

fn closures() {
    parks("poll_fn with three and an index", async {
        let mut a = Box::pin(async { leaf::<()>().await });
        let mut b = Box::pin(async { leaf::<()>().await });
        let mut c = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        let mut at = 0_u8;
        poll_fn(move |context| {
            at += 1;
            match at {
                1 => {
                    let _ = a.as_mut().poll(context);
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                2 => {
                    let _ = b.as_mut().poll(context);
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                _ => c.as_mut().poll(context),
            }
        })
        .await; //~ 1
    });
    parks("poll_fn of a background and a receiver", async {
        let (send, mut receive) = tokio::sync::mpsc::channel::<u8>(1);
        let mut a = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        poll_fn(|context| {
            let _ = a.as_mut().poll(context);
            receive.poll_recv(context)
        })
        .await; //~ 1
        drop(send);
    });
    parks("poll_fn with a Vec", async {
        let mut all: Vec<Boxed> = vec![Box::pin(turn()), Box::pin(async { leaf::<()>().await })];
        //~ 2 leaf
        poll_fn(|context| {
            let mut is_pending = false;
            for it in &mut all {
                is_pending |= it.as_mut().poll(context).is_pending();
            }
            if is_pending { Poll::Pending } else { Poll::Ready(()) }
        })
        .await; //~ 1
    });
    parks("poll_fn that drops a child and goes on with another", async {
        let mut first = Some(Box::pin(async { leaf::<()>().await }));
        let mut other = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        poll_fn(move |context| {
            if let Some(it) = &mut first {
                let _ = it.as_mut().poll(context);
            }
            first = None;
            other.as_mut().poll(context)
        })
        .await; //~ 1
    });
    parks("a closure of one path, with select! of futures", {
        async fn of() {
            let mut a = Box::pin(async { leaf::<()>().await }.fuse()); //~ 2a leaf
            let mut b = Box::pin(async { leaf::<()>().await }.fuse()); //~ 2b leaf
            futures::select! { //~ 1
                () = a => {}
                () = b => {}
            }
        }
        of()
    });
    parks("a closure of one path, by hand", {
        async fn of() {
            let mut a = Box::pin(async { leaf::<()>().await }.fuse());
            let mut b = Box::pin(async { leaf::<()>().await }.fuse()); //~ 2 leaf
            let mut at = 0;
            futures::future::poll_fn(move |context| {
                at += 1;
                if at == 1 && !a.is_terminated() {
                    let _ = a.as_mut().poll(context);
                }
                b.as_mut().poll(context)
            })
            .await //~ 1
        }
        of()
    });
    parks("a child that is replaced, and kept", async {
        fn make() -> Boxed {
            Box::pin(async { leaf::<()>().await }) //~ 2 leaf
        }
        let current: Boxed = Box::pin(async { leaf::<()>().await });
        Replacing { previous: None, current, turns: 0, make }.await; //~ 1
    });
    parks("a child that is replaced by one that is not polled yet", async {
        fn make() -> Boxed {
            Box::pin(turn())
        }
        let current: Boxed = Box::pin(async { leaf::<()>().await });
        Replacing { previous: None, current, turns: 0, make }.await;
        leaf::<()>().await; //~ leaf
    });
    parks("async with a self that has futures", async {
        struct Worker {
            a: Boxed,
            b: Boxed,
            n: u8,
        }
        impl Worker {
            fn poll_it(&mut self, context: &mut Context<'_>) -> Poll<()> {
                self.n += 1;
                let _ = self.a.as_mut().poll(context);
                self.b.as_mut().poll(context)
            }
            async fn run(&mut self) {
                poll_fn(|context| self.poll_it(context)).await //~ 2
            }
        }
        let a = Box::pin(async { leaf::<()>().await }); //~ 3a leaf
        let b = Box::pin(async { leaf::<()>().await }); //~ 3b leaf
        Worker { a, b, n: 0 }.run().await; //~ 1
    });
    parks("a future polled by hand, and then a channel", async {
        let mut kept = Box::pin(async { leaf::<()>().await });
        assert!(futures::poll!(&mut kept).is_pending());
        let (send, mut receive) = tokio::sync::mpsc::channel::<u8>(1);
        receive.recv().await; //~
        drop((kept, send));
    });
    parks("a pinned future beside a stream that is peeked", async {
        let mut kept = pin!(async { leaf::<()>().await });
        assert!(futures::poll!(kept.as_mut()).is_pending());
        let mut all = pin!(futures::stream::once(async { leaf::<u8>().await }).peekable());
        //~ 2 leaf
        let it = all.as_mut().peek().await.is_some(); //~ 1
        kept.await;
        it
    });
}
