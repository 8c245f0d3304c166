//! Futures of a service that are written by hand: connections, retries, limits and mailboxes, with
//! what such types have beside a future.

use crate::park::{leaf, parks, tracked, turn};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, future::BoxFuture, stream::Stream};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::{Future, poll_fn},
    mem::take,
    net::{Ipv4Addr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Sleep, sleep},
};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

const HOUR: Duration = Duration::from_hours(1);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Greeting,
    Serving,
    Draining,
}

#[derive(Clone, Debug)]
struct Options {
    name: String,
    tries: u32,
    limits: Option<(u32, u64)>,
}

fn options() -> Options {
    Options { name: "a".into(), tries: 3, limits: Some((1, 2)) }
}

/// A connection with all that a server knows of it.
struct Connection<F> {
    handler: Pin<Box<F>>,
    peer: SocketAddr,
    phase: Phase,
    options: Options,
    started: Instant,
    headers: HashMap<String, Vec<u8>>,
    pipeline: VecDeque<Vec<u8>>,
}
impl<F: Future> Future for Connection<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.phase == Phase::Greeting {
            let Options { name, tries, limits } = &self.options;
            let length = name.len() + *tries as usize + usize::from(limits.is_some());
            let port = self.peer.port();
            self.headers.insert("port".into(), port.to_string().into());
            self.pipeline.push_back(vec![0; length]);
            self.phase = Phase::Serving;
        }
        ready!(self.handler.as_mut().poll(context));
        self.phase = if self.started.elapsed() > HOUR { Phase::Draining } else { Phase::Greeting };
        Poll::Ready(())
    }
}
fn connection<F: Future>(handler: F) -> Connection<F> {
    Connection {
        handler: Box::pin(handler),
        peer: (Ipv4Addr::LOCALHOST, 80).into(),
        phase: Phase::Greeting,
        options: options(),
        started: Instant::now(),
        headers: HashMap::new(),
        pipeline: VecDeque::new(),
    }
}

/// One piece of data beside a future.
struct With<F, D>(Pin<Box<F>>, D);
impl<F: Future, D: Unpin> Future for With<F, D> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        std::hint::black_box(&mut self.1);
        self.0.as_mut().poll(context)
    }
}
fn with<F: Future, D>(inner: F, data: D) -> With<F, D> {
    With(Box::pin(inner), data)
}

/// A retry: an attempt, then a pause, then the next one.
enum Retry<F, M> {
    Trying { attempt: Pin<Box<F>>, number: u32, make: M },
    Pausing { until: Pin<Box<Sleep>>, number: u32, make: M },
    GaveUp(Vec<String>),
}
impl<F: Future<Output = Result<(), ()>>, M: Fn(u32) -> F + Clone + Unpin> Future for Retry<F, M> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            *self = match &mut *self {
                Self::Trying { attempt, number, make } => {
                    match ready!(attempt.as_mut().poll(context)) {
                        Ok(()) => return Poll::Ready(()),
                        Err(()) if *number > 5 => Self::GaveUp(vec!["again".into()]),
                        Err(()) => {
                            let pause = if *number % 2 == 0 { Duration::ZERO } else { HOUR };
                            let until = Box::pin(sleep(pause));
                            Self::Pausing { until, number: *number + 1, make: make.clone() }
                        }
                    }
                }
                Self::Pausing { until, number, make } => {
                    ready!(until.as_mut().poll(context));
                    let attempt = Box::pin(make(*number));
                    Self::Trying { attempt, number: *number, make: make.clone() }
                }
                Self::GaveUp(why) => {
                    why.clear();
                    return Poll::Ready(());
                }
            };
        }
    }
}
fn retry<F, M: Fn(u32) -> F>(number: u32, make: M) -> Retry<F, M> {
    Retry::Trying { attempt: Box::pin(make(number)), number, make }
}

/// It acquires a permit, works with it, and tells the result.
enum Limited<A, W> {
    Acquiring { permit: Pin<Box<A>>, work: Option<Pin<Box<W>>> },
    Working { work: Pin<Box<W>>, permit: OwnedSemaphorePermit },
    Telling { reply: Option<oneshot::Sender<u8>>, told: Pin<Box<Sleep>> },
}
impl<A: Future<Output = OwnedSemaphorePermit>, W: Future<Output = u8>> Future for Limited<A, W> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            *self = match &mut *self {
                Self::Acquiring { permit, work } => {
                    let permit = ready!(permit.as_mut().poll(context));
                    let Some(work) = work.take() else { return Poll::Ready(()) };
                    Self::Working { work, permit }
                }
                Self::Working { work, permit } => {
                    std::hint::black_box(permit.num_permits());
                    let _answer = ready!(work.as_mut().poll(context));
                    Self::Telling { reply: None, told: Box::pin(sleep(HOUR)) }
                }
                Self::Telling { reply, told } => {
                    ready!(told.as_mut().poll(context));
                    drop(reply.take());
                    return Poll::Ready(());
                }
            };
        }
    }
}

/// A mailbox: messages that arrived, and what is done with the one before.
struct Mailbox<F> {
    messages: mpsc::Receiver<u8>,
    handling: Option<Pin<Box<F>>>,
    handle: fn(u8) -> F,
}
impl<F: Future> Future for Mailbox<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(handling) = &mut self.handling {
                ready!(handling.as_mut().poll(context));
                self.handling = None;
            }
            match ready!(self.messages.poll_recv(context)) {
                Some(it) => self.handling = Some(Box::pin((self.handle)(it))),
                None => return Poll::Ready(()),
            }
        }
    }
}

/// A deadline beside work; and work that was hedged by a second one.
struct Hedged<A, B> {
    first: Pin<Box<A>>,
    hedge: Option<Pin<Box<B>>>,
    until: Option<Pin<Box<Sleep>>>,
}
impl<A: Future, B: Future> Future for Hedged<A, B> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.first.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if let Some(until) = &mut self.until {
            ready!(until.as_mut().poll(context));
            self.until = None;
        }
        match &mut self.hedge {
            Some(hedge) => hedge.as_mut().poll(context).map(drop),
            None => Poll::Pending,
        }
    }
}

/// A stream of batches, by hand.
struct Batches<S: Stream> {
    stream: Pin<Box<S>>,
    batch: Vec<S::Item>,
    most: usize,
}
impl<S: Stream> Stream for Batches<S>
where
    S::Item: Unpin,
{
    type Item = Vec<S::Item>;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.stream.as_mut().poll_next(context)) {
                Some(it) => self.batch.push(it),
                None => return Poll::Ready(None),
            }
            if self.batch.len() >= self.most {
                return Poll::Ready(Some(take(&mut self.batch)));
            }
        }
    }
}

/// Two streams in step: it keeps an item of the first until the second has one.
struct InStep<A: Stream, B> {
    first: Pin<Box<A>>,
    second: Pin<Box<B>>,
    kept: Option<A::Item>,
}
impl<A: Stream, B: Stream> Stream for InStep<A, B>
where
    A::Item: Unpin,
{
    type Item = (A::Item, B::Item);
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.kept.is_none() {
            self.kept = ready!(self.first.as_mut().poll_next(context));
        }
        let second = ready!(self.second.as_mut().poll_next(context));
        Poll::Ready(self.kept.take().zip(second))
    }
}

pub(super) fn spawn() {
    connections();
    data();
    machines();
    several();
}

fn connections() {
    tracked("a connection with all that is known of it", async {
        connection(async { leaf::<()>().await }).await; //~ 1 2 leaf
    });
    parks("a connection as a task", connection(async { leaf::<()>().await })); //~ leaf
    parks("a connection in a connection", async {
        connection(connection(async {
            turn().await;
            leaf::<()>().await; //~ 2 leaf
        }))
        .await; //~ 1
    });
}

fn data() {
    parks("beside a Vec of text", async {
        with(async { leaf::<()>().await }, vec![String::from("a")]).await; //~ 1 2 leaf
    });
    parks("beside an Arc of text", async {
        with(async { leaf::<()>().await }, Arc::<str>::from("a")).await; //~ 1 2 leaf
    });
    parks("beside options of one's own", async {
        with(async { leaf::<()>().await }, options()).await; //~ 1 2 leaf
    });
    parks("beside shared options of one's own", async {
        with(async { leaf::<()>().await }, Arc::new(options())).await; //~ 1 2 leaf
    });
    parks("beside an enum of one's own", async {
        with(async { leaf::<()>().await }, Phase::Draining).await; //~ 1 2 leaf
    });
    parks("beside Bytes and BytesMut", async {
        let data = (Bytes::from_static(b"a"), BytesMut::new());
        with(async { leaf::<()>().await }, data).await; //~ 1 2 leaf
    });
    parks("beside a tree and a boxed slice", async {
        let data = (BTreeMap::from([(1_u8, String::new())]), Box::<[u8]>::from([1]));
        with(async { leaf::<()>().await }, data).await; //~ 1 2 leaf
    });
    parks("beside a Waker of another", async {
        with(async { leaf::<()>().await }, Waker::noop().clone()).await; //~ 1 2 leaf
    });
    parks("beside a sender and a permit", async {
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await;
        let (reply, _answer) = oneshot::channel::<u8>();
        with(async { leaf::<()>().await }, (reply, permit)).await; //~ 1 2 leaf
    });
    parks("poll_fn that counts and borrows", async {
        let (mut polls, mut seen) = (0_u32, Vec::new());
        let mut inner = pin!(async { leaf::<()>().await }); //~ 2 leaf
        poll_fn(|context| {
            polls += 1;
            seen.push(polls);
            inner.as_mut().poll(context)
        })
        .await; //~ 1
    });
}

fn machines() {
    parks("a retry in its first attempt", async {
        retry(1, |_| async { leaf::<Result<(), ()>>().await }).await; //~ 1 2 leaf
    });
    parks("a retry in its pause", async {
        let make =
            |at: u32| async move { if at == 1 { Err(()) } else { leaf::<Result<(), ()>>().await } };
        retry(1, make).await; //~
    });
    parks("a retry in its second attempt", async {
        let make = |at: u32| async move {
            turn().await;
            if at == 2 { Err(()) } else { leaf::<Result<(), ()>>().await } //~ 2 leaf
        };
        retry(2, make).await; //~ 1
    });
    parks("a limited one that acquires", async {
        let permits = Arc::new(Semaphore::new(0));
        let permit = Box::pin(async move { permits.acquire_owned().await.expect("open") }); //~ 2
        let work = Some(Box::pin(async { leaf::<u8>().await }));
        Limited::Acquiring { permit, work }.await; //~ 1
    });
    parks("a limited one that works", async {
        let permits = Arc::new(Semaphore::new(1));
        let permit = Box::pin(async move { permits.acquire_owned().await.expect("open") });
        let work = Some(Box::pin(async { leaf::<u8>().await })); //~ 2 leaf
        Limited::Acquiring { permit, work }.await; //~ 1
    });
    parks("a limited one that tells", async {
        let permits = Arc::new(Semaphore::new(1));
        let permit = Box::pin(async move { permits.acquire_owned().await.expect("open") });
        Limited::Acquiring { permit, work: Some(Box::pin(async { 1 })) }.await; //~
    });
    parks("a mailbox that waits for a message", async {
        let (send, messages) = mpsc::channel(2);
        send.send(1).await.expect("room");
        fn handle(_: u8) -> BoxFuture<'static, ()> {
            Box::pin(turn())
        }
        Mailbox { messages, handling: None, handle }.await; //~
        drop(send);
    });
    parks("a mailbox that handles a message", async {
        let (send, messages) = mpsc::channel(2);
        send.send(1).await.expect("room");
        fn handle(_: u8) -> BoxFuture<'static, ()> {
            Box::pin(async { leaf::<()>().await }) //~ 2 leaf
        }
        Mailbox { messages, handling: None, handle }.await; //~ 1
        drop(send);
    });
}

fn several() {
    parks("hedged work, before its time", async {
        Hedged {
            first: Box::pin(async { leaf::<()>().await }), //~ 2 leaf
            hedge: Some(Box::pin(async { leaf::<()>().await })),
            until: Some(Box::pin(sleep(HOUR))),
        }
        .await; //~ 1
    });
    parks("hedged work, with both", async {
        Hedged {
            first: Box::pin(async { leaf::<()>().await }), //~ 2a leaf
            hedge: Some(Box::pin(async { leaf::<()>().await })), //~ 2b leaf
            until: Some(Box::pin(sleep(Duration::ZERO))),
        }
        .await; //~ 1
    });
    parks("hedged work, without a hedge", async {
        Hedged {
            first: Box::pin(async { leaf::<()>().await }), //~ 2 leaf
            hedge: None::<Pin<Box<Boxed>>>,
            until: None,
        }
        .await; //~ 1
    });
    parks("batches of a stream that waits", async {
        let stream = futures::stream::iter([1, 2, 3])
            .chain(futures::stream::once(async { leaf::<u8>().await })); //~ 2 leaf
        let mut all = Batches { stream: Box::pin(stream), batch: Vec::new(), most: 2 };
        all.next().await;
        all.next().await; //~ 1
    });
    parks("in step, in the first", async {
        let first = Box::pin(futures::stream::once(async { leaf::<u8>().await })); //~ 2 leaf
        let second = Box::pin(futures::stream::once(async { leaf::<u8>().await }));
        InStep { first, second, kept: None }.next().await; //~ 1
    });
    parks("in step, in the second", async {
        let other = futures::stream::once(leaf::<u8>());
        let first = futures::stream::select(other, futures::stream::iter([1_u8]));
        let second = Box::pin(futures::stream::once(async { leaf::<u8>().await })); //~ 2 leaf
        InStep { first: Box::pin(first), second, kept: None }.next().await; //~ 1
    });
    parks("in step, in the second, which is a channel", async {
        let (send, mut receive) = mpsc::channel::<u8>(1);
        let first = Box::pin(async_stream::stream! {
            yield 1;
            leaf::<()>().await;
        });
        let second = Box::pin(futures::stream::poll_fn(move |context| receive.poll_recv(context)));
        InStep { first, second, kept: None }.next().await; //~
        drop(send);
    });
}
