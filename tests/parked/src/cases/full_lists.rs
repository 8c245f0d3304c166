//! Lists that are full: what fills them is not waited for.

use crate::park::{leaf, parks, turn};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

/// Gives numbers, and asks a timer of its own each time.
struct Ticking<F> {
    tick: Pin<Box<F>>,
    left: u32,
}
impl<F: Future> Stream for Ticking<F> {
    type Item = u32;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<u32>> {
        if self.tick.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        if self.left == 0 {
            return Poll::Pending;
        }
        self.left -= 1;
        Poll::Ready(Some(self.left))
    }
}

fn two<S: Stream<Item = u8>>(rest: S) -> impl Stream<Item = u8> {
    tokio_stream::StreamExt::merge(stream::iter(0..9_u8), rest)
}

pub(super) fn spawn() {
    parks("buffer_unordered that is full, over a merge", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        two(rest)
            .map(|_| async { leaf::<()>().await }) //~ 2 leaf
            .buffer_unordered(3)
            .next()
            .await; //~ 1
    });
    parks("buffer_unordered with room, over a merge", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await })); //~ 2a leaf
        two(rest)
            .take(20)
            .map(|_| async { leaf::<()>().await }) //~ 2b leaf
            .buffer_unordered(30)
            .next()
            .await; //~ 1
    });
    parks("buffered that is full, over a merge, whose second is over", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        two(rest)
            .map(|at| async move { if at == 1 { turn().await } else { leaf::<()>().await } })
            //~ 2 leaf
            .buffered(3)
            .next()
            .await; //~ 1
    });
    parks("for_each_concurrent that is full, over a select_all", async {
        let rest = stream::once(async { leaf::<u8>().await }).boxed();
        stream::select_all([stream::iter(0..9_u8).boxed(), rest])
            .for_each_concurrent(4, |_| async { leaf::<()>().await }) //~ 2 leaf
            .await; //~ 1
    });
    parks("for_each_concurrent without a limit, over a merge", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await })); //~ 2a leaf
        two(rest)
            .for_each_concurrent(None, |_| async { leaf::<()>().await }) //~ 2b leaf
            .await; //~ 1
    });
    parks("buffer_unordered that is full, over a take_until", async {
        stream::iter(0..9_u8)
            .take_until(Box::pin(async { leaf::<()>().await }))
            .map(|_| async { leaf::<()>().await }) //~ 2 leaf
            .buffer_unordered(1)
            .next()
            .await; //~ 1
    });
    parks("for_each_concurrent that is full, over a take_until of an unfold", async {
        stream::unfold(0_u8, |at| async move { Some((at, at + 1)) })
            .take_until(Box::pin(async { leaf::<()>().await }))
            .for_each_concurrent(2, |_| async { leaf::<()>().await }) //~ 2 leaf
            .await; //~ 1
    });
    parks("try_buffer_unordered that is full, over a merge", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        let it = two(rest)
            .map(|_| Ok::<_, ()>(async { leaf::<Result<(), ()>>().await })) //~ 2 leaf
            .try_buffer_unordered(3)
            .try_next()
            .await; //~ 1
        it
    });
    parks("try_buffered that is full, over a merge", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        let it = two(rest)
            .map(|_| Ok::<_, ()>(async { leaf::<Result<(), ()>>().await })) //~ 2 leaf
            .try_buffered(3)
            .try_next()
            .await; //~ 1
        it
    });
    parks("try_for_each_concurrent that is full, over a merge", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        let it = two(rest)
            .map(Ok::<_, ()>)
            .try_for_each_concurrent(3, |_| async { leaf::<Result<(), ()>>().await }) //~ 2 leaf
            .await; //~ 1
        it
    });
    parks("buffer_unordered that is full, over a stream by hand", async {
        Ticking { tick: Box::pin(async { leaf::<()>().await }), left: 9 }
            .map(|_| async { leaf::<()>().await }) //~ 2 leaf
            .buffer_unordered(2)
            .next()
            .await; //~ 1
    });
    parks("buffer_unordered with room, over a stream by hand", async {
        Ticking { tick: Box::pin(async { leaf::<()>().await }), left: 1 } //~ 2a leaf
            .map(|_| async { leaf::<()>().await }) //~ 2b leaf
            .buffer_unordered(2)
            .next()
            .await; //~ 1
    });
    parks("buffer_unordered that is full, over a FuturesUnordered", async {
        let all: stream::FuturesUnordered<_> = (0..4_u8)
            .map(|at| async move {
                if at == 1 || at == 2 {
                    leaf::<()>().await
                }
            })
            .collect();
        all.map(|_| async { leaf::<()>().await }) //~ 2 leaf
            .buffer_unordered(2)
            .next()
            .await; //~ 1
    });
    parks("buffer_unordered that is full, over a StreamMap", async {
        let mut map = tokio_stream::StreamMap::new();
        map.insert(0, stream::once(async { leaf::<u8>().await }).boxed());
        map.insert(1, stream::iter(0..9_u8).boxed());
        map.map(|_| async { leaf::<()>().await }) //~ 2 leaf
            .buffer_unordered(6)
            .next()
            .await; //~ 1
    });
    parks("buffer_unordered, whose place is free again", async {
        let mut all = pin!(
            two(Box::pin(stream::once(async { leaf::<u8>().await })))
                .take(2)
                .chain(stream::once(async { leaf::<u8>().await })) //~ 2a leaf
                .map(|at| async move { if at == 0 { turn().await } else { leaf::<()>().await } })
                //~ 2b leaf
                .buffer_unordered(9)
        );
        all.next().await;
        all.next().await; //~ 1
    });
    parks("scan whose state is a stream at hand, and whose future is a timer", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        let mut all = pin!(two(rest).scan(stream::iter(0..1_u8), |_, at| {
            tokio::time::sleep(Duration::from_secs(if at > 1 { 9999 } else { 0 }))
                .map(|()| Some(1_u8))
        }));
        while all.next().await.is_some() {} //~
    });
    parks("scan whose future waits, over a merge", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        let mut all = pin!(two(rest).scan(0_u8, |_, at| async move {
            if at > 2 {
                leaf::<()>().await //~ 2 leaf
            }
            Some(1_u8)
        }));
        while all.next().await.is_some() {} //~ 1
    });
    parks("filter of a timer, over a merge", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        let mut all = pin!(two(rest).filter(|at| {
            tokio::time::sleep(Duration::from_secs(if *at > 1 { 9999 } else { 0 })).map(|()| true)
        }));
        while all.next().await.is_some() {} //~
    });
    parks("zip of a merge that has given, and a stream", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        let other = stream::iter(0..3_u8).chain(stream::once(async { leaf::<u8>().await }));
        //~ 2 leaf
        let mut all = pin!(two(rest).zip(other));
        while all.next().await.is_some() {} //~ 1
    });
    parks("then over a merge", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        let mut all = pin!(tokio_stream::StreamExt::then(two(rest), |at| async move {
            if at > 2 {
                leaf::<()>().await //~ 2 leaf
            }
        }));
        while all.next().await.is_some() {} //~ 1
    });
    parks("flat_map of iter over merge, in a buffer", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        two(rest)
            .flat_map(|_| stream::iter(0..2_u8))
            .map(|_| async { leaf::<()>().await }) //~ 2 leaf
            .buffer_unordered(7)
            .next()
            .await; //~ 1
    });
}
