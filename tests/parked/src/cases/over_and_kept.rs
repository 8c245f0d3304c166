//! Streams and futures that are over, or were taken from, and still have what they were polled for
//! before; and candidates within candidates.

use crate::park::{leaf, parks, turn};
use futures::{
    FutureExt, Stream, StreamExt, TryStreamExt, future,
    stream::{self, FuturesUnordered},
};
use futures_concurrency::{future::Race, stream::Merge};
use std::{
    cell::UnsafeCell,
    future::{Future, poll_fn},
    mem::replace,
    pin::{Pin, pin},
    sync::Mutex,
    task::{Context, Poll},
};
use tokio::sync::mpsc;
use tokio_stream::StreamMap;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Two numbers. Before the first one it has asked for another, which does not come: it is over, and
/// has what it waited for.
fn two() -> impl Stream<Item = u8> + Send {
    let other = stream::once(async { leaf::<u8>().await });
    stream::select(Box::pin(other), stream::iter([1, 2])).take(2)
}

/// It has polled the first, and polls the second.
struct Second<A, B> {
    first: Pin<Box<A>>,
    other: B,
    is_first: bool,
}
impl<A: Future, B: Future<Output = ()> + Unpin> Future for Second<A, B> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if replace(&mut self.is_first, false) {
            let _ = self.first.as_mut().poll(context);
        }
        self.other.poll_unpin(context)
    }
}
fn second<A, B>(first: A, other: B) -> Second<A, B> {
    Second { first: Box::pin(first), other, is_first: true }
}

/// A list that polls its last.
struct Stack(Vec<Boxed>);
impl Future for Stack {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.last_mut().map_or(Poll::Ready(()), |it| it.as_mut().poll(context))
    }
}

/// A future in a lock of its own.
struct Locked<F>(Mutex<Pin<Box<F>>>);
impl<F: Future> Future for Locked<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.0.get_mut().unwrap().as_mut().poll(context)
    }
}

/// A future in a cell of its own.
struct Celled<F>(UnsafeCell<Pin<Box<F>>>, u8);
impl<F: Future> Future for Celled<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.1 = self.1.wrapping_add(1);
        self.0.get_mut().as_mut().poll(context)
    }
}

/// It has polled the first of three, and then a message, and polls the third.
struct Three<A, B> {
    first: Pin<Box<A>>,
    messages: mpsc::Receiver<u8>,
    third: Pin<Box<B>>,
    polls: u32,
}
impl<A: Future, B: Future> Future for Three<A, B> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.polls += 1;
        if self.polls == 1 {
            let _ = self.first.as_mut().poll(context);
            let _ = self.messages.poll_recv(context);
        }
        self.third.as_mut().poll(context).map(drop)
    }
}
fn three<A, B>(first: A, messages: mpsc::Receiver<u8>, third: B) -> Three<A, B> {
    Three { first: Box::pin(first), messages, third: Box::pin(third), polls: 0 }
}

/// An attempt, and what there may be beside it.
struct Attempt<F> {
    call: Option<Pin<Box<F>>>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    reply: Option<tokio::sync::oneshot::Sender<u8>>,
    number: u32,
}
impl<F: Future> Future for Attempt<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.number += 1;
        if self.number == 1
            && let Some(call) = &mut self.call
        {
            let _ = call.as_mut().poll(context);
        }
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        if let Some(call) = &mut self.call {
            return call.as_mut().poll(context).map(drop);
        }
        drop(self.reply.take());
        Poll::Ready(())
    }
}

/// A gate that a first future opens, around a second one; it was closed again.
enum Gate<A, B> {
    Closed(Pin<Box<A>>, Pin<Box<B>>),
    Open(Pin<Box<B>>, u8),
    Shut,
}
impl<A: Future<Output = bool>, B: Future> Future for Gate<A, B> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            *self = match replace(&mut *self, Self::Shut) {
                Self::Closed(mut key, inner) => match key.as_mut().poll(context) {
                    Poll::Ready(true) => Self::Open(inner, 1),
                    Poll::Ready(false) => Self::Shut,
                    Poll::Pending => {
                        *self = Self::Closed(key, inner);
                        return Poll::Pending;
                    }
                },
                Self::Open(mut inner, phase) => match inner.as_mut().poll(context) {
                    Poll::Ready(_) => Self::Shut,
                    Poll::Pending => {
                        *self = Self::Open(inner, phase);
                        return Poll::Pending;
                    }
                },
                Self::Shut => return Poll::Ready(()),
            };
        }
    }
}

pub(super) fn spawn() {
    lists();
    sources();
    candidates();
    options();
}

fn options() {
    parks("a gate that is closed", async {
        let key = Box::pin(async { leaf::<bool>().await }); //~ 2 leaf
        Gate::Closed(key, Box::pin(async { leaf::<()>().await })).await; //~ 1
    });
    parks("a gate that was opened", async {
        let key = Box::pin(async {
            turn().await;
            true
        });
        Gate::Closed(key, Box::pin(async { leaf::<()>().await })).await; //~ 1 2 leaf
    });
    let pause =
        |seconds| Some(Box::pin(tokio::time::sleep(std::time::Duration::from_secs(seconds))));
    let waits = async { leaf::<()>().await };
    parks("an attempt without a pause", async {
        let call = Some(Box::pin(async { leaf::<()>().await })); //~ 2 leaf
        Attempt { call, pause: None, reply: None, number: 0 }.await; //~ 1
    });
    parks("an attempt after its pause", async move {
        let call = Some(Box::pin(async { leaf::<()>().await })); //~ 2 leaf
        Attempt { call, pause: pause(0), reply: None, number: 0 }.await; //~ 1
    });
    parks("an attempt in its pause, which was polled before", async move {
        Attempt { call: Some(Box::pin(waits)), pause: pause(9999), reply: None, number: 0 }.await;
        //~
    });
    parks("an attempt in its pause, without a call", async move {
        let call = None::<Pin<Box<Boxed>>>;
        Attempt { call, pause: pause(9999), reply: None, number: 0 }.await; //~
    });
    parks("an attempt with a reply", async {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let call = Some(Box::pin(async { leaf::<()>().await })); //~ 2 leaf
        Attempt { call, pause: None, reply: Some(reply), number: 0 }.await; //~ 1
        drop(answer);
    });
}

fn lists() {
    parks("for_each_concurrent with room, whose source is over", async {
        two().for_each_concurrent(9, |_| async { leaf::<()>().await }).await; //~ 1 2 leaf
    });
    parks("buffer_unordered with room, whose source is over", async {
        let all = two().map(|_| async { leaf::<()>().await }); //~ 2 leaf
        pin!(all.buffer_unordered(9)).next().await; //~ 1
    });
    parks("try_buffered with room, whose source is over", async {
        let all = two().map(|_| Ok::<_, ()>(async { leaf::<Result<u8, ()>>().await })); //~ 2 leaf
        pin!(all.try_buffered(9)).try_next().await //~ 1
    });
    parks("flatten_unordered with room, whose source is over", async {
        let all = two().map(|_| stream::once(async { leaf::<u8>().await }).boxed()); //~ 2 leaf
        pin!(all.flatten_unordered(9)).next().await //~ 1
    });
    parks("a map of streams, of which one is over", async {
        let mut all = StreamMap::new();
        all.insert(1, two().boxed());
        all.insert(2, stream::once(async { leaf::<u8>().await }).boxed()); //~ 2 leaf
        while StreamExt::next(&mut all).await.is_some() {} //~ 1
    });
    parks("a list of streams and their rests, of which one is over", async {
        let all: FuturesUnordered<_> = [
            two().boxed().into_future(),
            stream::once(async { leaf::<u8>().await }).boxed().into_future(), //~ 2 leaf
        ]
        .into_iter()
        .collect();
        let mut all = pin!(all);
        while let Some((_, rest)) = all.next().await {
            //~ 1
            let (second, rest) = rest.into_future().await;
            assert!(second.is_some());
            assert!(rest.into_future().await.0.is_none());
        }
    });
}

fn sources() {
    parks("a chain, whose first is over", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        pin!(two().chain(second)).skip(2).next().await //~ 1
    });
    parks("a chain of tokio-stream, whose first is over", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let mut all = pin!(tokio_stream::StreamExt::chain(two(), second));
        while StreamExt::next(&mut all).await.is_some() {} //~ 1
    });
    parks("futures::select! of a stream that is over and one that waits", async {
        let mut first = pin!(two().fuse());
        let mut second = pin!(stream::once(async { leaf::<u8>().await }).fuse()); //~ 2 leaf
        loop {
            futures::select! { //~ 1
                _ = first.next() => {}
                it = second.select_next_some() => break it,
            }
        }
    });
    parks("select! of a stream that is over, by its pattern", async {
        let mut first = pin!(two());
        let mut second = pin!(stream::once(async { leaf::<u8>().await })); //~ 2 leaf
        let mut is_open = true;
        loop {
            tokio::select! { //~ 1
                it = first.next(), if is_open => is_open = it.is_some(),
                it = second.next() => break it,
            }
        }
    });
    parks("join! of a stream that is over and one that waits", async {
        let first = two().for_each(|_| turn());
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        tokio::join!(first, second.for_each(|_| turn())); //~ 1
    });
    parks("merge of futures-concurrency, of which one is over", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let mut all = pin!((two(), second).merge());
        while all.next().await.is_some() {} //~ 1
    });
    parks("race of three, of which one is a timer", async {
        let first = async { leaf::<()>().await }; //~ 2a leaf
        let second = async { leaf::<()>().await }; //~ 2b leaf
        let timer = tokio::time::sleep(std::time::Duration::from_hours(1));
        (first, timer, second).race().await; //~ 1
    });
    parks("race of a Vec", async {
        let of = |at: u8| async move {
            if at == 0 {
                leaf::<()>().await; //~ 2a leaf
            } else {
                leaf::<()>().await; //~ 2b leaf
            }
        };
        (0..3).map(of).collect::<Vec<_>>().race().await; //~ 1
    });
    parks("a flatten of streams that are over, and one that waits", async {
        let last = stream::once(async { leaf::<u8>().await }).boxed(); //~ 2 leaf
        let mut all = stream::iter([two().boxed(), last]).flatten();
        while all.next().await.is_some() {} //~ 1
    });
    parks("a fold over what is over, and then a function", async {
        let sum = two().fold(0, |sum, it| future::ready(sum + it)).await;
        leaf::<()>().await; //~ leaf
        sum
    });
    parks("a stream that is over and kept, in a poll_fn with another", async {
        let (mut first, mut is_over) = (pin!(two()), false);
        let mut rest = pin!(async { leaf::<()>().await }); //~ 2 leaf
        poll_fn(|context| {
            while !is_over {
                match first.as_mut().poll_next(context) {
                    Poll::Ready(it) => is_over = it.is_none(),
                    Poll::Pending => return Poll::Pending,
                }
            }
            rest.as_mut().poll(context)
        })
        .await; //~ 1
    });
}

fn candidates() {
    parks("a boxed list, and what was polled before", async {
        let last: Boxed = Box::pin(async { leaf().await }); //~ 2 leaf
        let stack: Boxed = Box::pin(Stack(vec![last]));
        second(async { leaf::<()>().await }, stack).await; //~ 1
    });
    parks("a lock, and what was polled before", async {
        let locked = Locked(Mutex::new(Box::pin(async { leaf::<()>().await }))); //~ 2 leaf
        second(async { leaf::<()>().await }, locked).await; //~ 1
    });
    parks("a cell, and what was polled before", async {
        let celled = Celled(UnsafeCell::new(Box::pin(async { leaf::<()>().await })), 1); //~ 2 leaf
        second(async { leaf::<()>().await }, celled).await; //~ 1
    });
    parks("one of three, and what was polled before", async {
        let (send, messages) = mpsc::channel(1);
        let inner = three(
            async { leaf::<()>().await },
            messages,
            async { leaf::<()>().await }, //~ 2 leaf
        );
        second(async { leaf::<()>().await }, inner).await; //~ 1
        drop(send);
    });
    parks("one of three in a box, and what was polled before", async {
        let (send, messages) = mpsc::channel(1);
        let inner: Boxed = Box::pin(three(
            async { leaf::<()>().await },
            messages,
            async { leaf::<()>().await }, //~ 2 leaf
        ));
        second(async { leaf::<()>().await }, inner).await; //~ 1
        drop(send);
    });
    parks("one of three in an Option in three, of which the last is polled", async {
        let (send, messages) = mpsc::channel(1);
        let (other_send, other) = mpsc::channel(1);
        let inner = three(
            async { leaf::<()>().await },
            messages,
            async { leaf::<()>().await }, //~ 2 leaf
        );
        three(async { leaf::<()>().await }, other, inner).await; //~ 1
        drop((send, other_send));
    });
    parks("a list of futures, and what was polled before", async {
        let mut all = FuturesUnordered::new();
        all.push(async { leaf::<()>().await }); //~ 3 leaf
        let all = Box::pin(async move { while all.next().await.is_some() {} }); //~ 2
        second(async { leaf::<()>().await }, all).await; //~ 1
    });
    parks("a list of futures by hand, and what was polled before", async {
        let of = |at: u8| async move {
            if at == 0 {
                leaf::<()>().await; //~ 2a leaf
            } else {
                leaf::<()>().await; //~ 2b leaf
            }
        };
        let all: FuturesUnordered<_> = (0..3).map(of).collect();
        let all = all.into_future().map(drop);
        second(async { leaf::<()>().await }, all).await; //~ 1
    });
}
