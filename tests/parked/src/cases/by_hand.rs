//! Futures and streams that are written by hand.

use std::{
    future::{Future, pending, poll_fn, ready},
    mem::ManuallyDrop,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{FutureExt, Stream, StreamExt};

use crate::park::{leaf, parks, tracked, turn};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls what it has, and has numbers besides.
struct Counted<F> {
    inner: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.polls += 1;
        self.inner.as_mut().poll(context)
    }
}

fn counted<F: Future>(inner: F) -> Counted<F> {
    Counted { inner: Box::pin(inner), polls: 0 }
}

/// Polls its first part once, and then its second.
struct Second<A, B> {
    first: Pin<Box<A>>,
    other: Pin<Box<B>>,
    is_first: bool,
}

impl<A: Future, B: Future> Future for Second<A, B> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.is_first) {
            let _ = self.first.as_mut().poll(context);
        }
        self.other.as_mut().poll(context).map(drop)
    }
}

fn second<A: Future, B: Future>(first: A, other: B) -> Second<A, B> {
    Second { first: Box::pin(first), other: Box::pin(other), is_first: true }
}

/// A future of two steps, and one that keeps what is over.
enum Steps<A: Future, B> {
    First(Pin<Box<A>>, Option<Pin<Box<B>>>),
    Second(Pin<Box<B>>),
    Over(#[allow(dead_code, reason = "it is kept")] A::Output),
}

impl<A: Future, B: Future> Future for Steps<A, B>
where
    A::Output: Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            *self = match &mut *self {
                Self::First(first, second) => match first.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(it) => match second.take() {
                        Some(second) => Self::Second(second),
                        None => Self::Over(it),
                    },
                },
                Self::Second(second) => return second.as_mut().poll(context).map(drop),
                Self::Over(_) => return Poll::Pending,
            };
        }
    }
}

/// Polls what is behind a lock that it shares.
struct Locked<F>(Arc<Mutex<Pin<Box<F>>>>);

impl<F: Future> Future for Locked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut().poll(context)
    }
}

/// Has what it polls in a `ManuallyDrop`.
struct Manual<F: Future + Unpin>(ManuallyDrop<F>, u8);

impl<F: Future + Unpin> Future for Manual<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.1 = self.1.wrapping_add(1);
        self.0.poll_unpin(context)
    }
}

/// A stream that polls a list of futures, the last one first.
struct Stack(Vec<Boxed>);

impl Stream for Stack {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<()>> {
        let Some(last) = self.0.last_mut() else { return Poll::Ready(None) };
        std::task::ready!(last.as_mut().poll(context));
        self.0.pop();
        Poll::Ready(Some(()))
    }
}

/// Awaits through a type that is no future itself.
struct Query<F>(F);

impl<F: Future + Send + 'static> IntoFuture for Query<F> {
    type Output = F::Output;
    type IntoFuture = Pin<Box<dyn Future<Output = F::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.0)
    }
}

pub(super) fn spawn() {
    whole();
    parts();
    shared();
    closures();
}

fn whole() {
    tracked("a box with a number", async { counted(leaf::<()>()).await }); //~ leaf
    parks(
        "a future by hand alone",
        counted(async {
            turn().await;
            leaf::<()>().await; //~ leaf
        }),
    );
    parks("two of them, one in the other", async {
        counted(counted(async { leaf::<()>().await })).await; //~ 1 2 leaf
    });
    parks("one with a trait object", async {
        let inner: Boxed = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        counted(inner).await; //~ 1
    });
    parks("a ManuallyDrop", async {
        Manual(ManuallyDrop::new(Box::pin(leaf::<()>())), 1).await; //~ leaf
    });
    parks("a query", async { Query(leaf::<()>()).await }); //~ leaf
    parks("a query of a query", async {
        Query(async { Query(leaf::<()>()).await }).await; //~ 1 2 leaf
    });
    parks("a list of futures, of which the last is polled", async {
        let of = |waits: bool| -> Boxed {
            Box::pin(async move {
                if waits {
                    leaf::<()>().await; //~ 2 leaf
                } else {
                    turn().await;
                }
            })
        };
        let mut stack = Stack(vec![of(true), of(false)]);
        while stack.next().await.is_some() {} //~ 1
    });
}

fn parts() {
    tracked("the second of two boxes", async {
        second(leaf::<()>(), async { leaf::<()>().await }).await; //~ 1 2 leaf
    });
    parts_of_steps();
    parks("the second of two of one type", async {
        async fn of(number: u8) {
            if number == 1 {
                leaf().await
            } else {
                turn().await;
                leaf().await //~ 2 leaf
            }
        }
        second(of(1), of(2)).await; //~ 1
    });
    parks("the second, which is no function", async {
        second(leaf::<()>(), pending::<()>()).await //~
    });
}

fn parts_of_steps() {
    parks("the first of two steps", async {
        let last = Box::pin(async { leaf::<()>().await });
        Steps::First(Box::pin(leaf::<()>()), Some(last)).await; //~ leaf
    });
    parks("the second of two steps", async {
        let last = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        Steps::First(Box::pin(turn()), Some(last)).await; //~ 1
    });
    parks("steps that are over, and keep a future", async {
        let first = Box::pin(async { Box::pin(leaf::<()>()) });
        Steps::First(first, None::<Pin<Box<std::future::Ready<()>>>>).await; //~
    });
}

fn shared() {
    parks("a future behind an Arc and a Mutex", async {
        Locked(Arc::new(Mutex::new(Box::pin(leaf::<()>())))).await; //~ leaf
    });
    parks("one of two that have a future together", async {
        let shared = Arc::new(Mutex::new(Box::pin(async { leaf::<()>().await }))); //~ 2 leaf
        let kept = Locked(Arc::clone(&shared));
        Locked(shared).await; //~ 1
        drop(kept);
    });
    parks("a future behind a lock that is kept, and the task elsewhere", async {
        let shared = Arc::new(Mutex::new(Box::pin(leaf::<()>())));
        assert!(Locked(Arc::clone(&shared)).now_or_never().is_none());
        pending::<()>().await; //~
        drop(shared);
    });
}

fn closures() {
    tracked("poll_fn that polls a capture", async {
        let mut inner = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        poll_fn(move |context| inner.as_mut().poll(context)).await; //~ 1
    });
    parks("poll_fn that has polled a capture, and waits for another", async {
        let mut first = Box::pin(async { leaf::<()>().await });
        let mut other = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        let mut is_first = true;
        poll_fn(move |context| {
            if std::mem::take(&mut is_first) {
                let _ = first.as_mut().poll(context);
            }
            other.as_mut().poll(context)
        })
        .await; //~ 1
    });
    parks("poll_fn that borrows", async {
        let (mut inner, mut polls) = (pin!(async { leaf::<()>().await }), 0); //~ 2 leaf
        poll_fn(|context| {
            polls += 1;
            inner.as_mut().poll(context)
        })
        .await; //~ 1
    });
    parks("poll_fn that polls nothing", async {
        let kept = leaf::<()>();
        poll_fn(move |_| {
            std::hint::black_box(&kept);
            Poll::<()>::Pending
        })
        .await; //~
    });
    parks("poll_fn of a stream", async {
        let mut all = Box::pin(futures::stream::once(async { leaf::<u8>().await })); //~ 2 leaf
        poll_fn(|context| all.as_mut().poll_next(context)).await; //~ 1
    });
    parks("poll_fn, after what it returned is awaited", async {
        let mut inner = Some(leaf::<()>());
        let given = poll_fn(|_| Poll::Ready(inner.take())).await;
        ready(()).await;
        given.expect("it is there").await; //~ leaf
    });
}
