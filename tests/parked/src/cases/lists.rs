//! Lists of futures: each future in one is awaited, until it is over.

use std::{
    future::{Future, pending},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use futures::{
    FutureExt, StreamExt, TryStreamExt, future,
    stream::{self, FuturesUnordered, Stream},
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{StreamMap, wrappers::ReceiverStream};

use crate::park::{leaf, parks, tracked, turn};

type Outcome = Result<(), ()>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// It polls a list, and counts what it has had.
struct Counts<F> {
    all: FuturesUnordered<F>,
    had: usize,
}

impl<F: Future> Future for Counts<F> {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
        while let Poll::Ready(it) = self.all.poll_next_unpin(context) {
            match it {
                Some(_) => self.had += 1,
                None => return Poll::Ready(self.had),
            }
        }
        Poll::Pending
    }
}

pub(super) fn spawn() {
    parks("join_all of futures at two places", async {
        let of = |at: u8| async move {
            if at < 2 {
                leaf::<()>().await; //~ 2a leaf
            } else {
                leaf::<()>().await; //~ 2b leaf
            }
        };
        future::join_all((0..5).map(of)).await; //~ 1
    });
    tracked("join_all of fifty futures at two places, of which some are over", async {
        let of = |at: u8| async move {
            match at % 3 {
                0 => turn().await,
                1 => leaf::<()>().await, //~ 2a leaf
                _ => leaf::<()>().await, //~ 2b leaf
            }
        };
        future::join_all((0..50).map(of)).await; //~ 1
    });
    parks("join_all in join_all", async {
        let of = |_| async {
            let inner = |_| async { leaf::<()>().await }; //~ 3 leaf
            future::join_all((0..2).map(inner)).await //~ 2
        };
        future::join_all((0..3).map(of)).await; //~ 1
    });
    parks("try_join_all of forty, of which one is over", async {
        let of = |at: u8| async move {
            if at == 7 {
                turn().await;
                return Ok(());
            }
            leaf::<Outcome>().await //~ 2 leaf
        };
        future::try_join_all((0..40).map(of)).await.map(drop) //~ 1
    });
    parks("boxed futures of two functions", async {
        async fn reads() {
            leaf::<()>().await; //~ 2a leaf
        }
        async fn writes() {
            leaf::<()>().await; //~ 2b leaf
        }
        let all: [Boxed<()>; 3] = [Box::pin(reads()), Box::pin(writes()), Box::pin(reads())];
        let mut all: FuturesUnordered<_> = all.into_iter().collect();
        all.next().await; //~ 1
    });
    parks("a list that was filled again", async {
        let of = |at: u8| async move {
            if at == 0 {
                turn().await;
            } else {
                leaf::<()>().await; //~ 2 leaf
            }
        };
        let mut all = FuturesUnordered::new();
        all.push(of(0));
        all.next().await;
        all.push(of(1));
        all.push(of(0));
        all.next().await;
        all.next().await; //~ 1
    });
    parks("a list beside a timer", async {
        let of = |_| async { leaf::<()>().await }; //~ 2 leaf
        let mut all: FuturesUnordered<_> = (0..2).map(of).collect();
        tokio::select! { //~ 1
            _ = all.next() => {}
            () = pending() => {}
        }
    });
    parks("a list beside a function", async {
        let of = |_| async { leaf::<()>().await }; //~ 2a leaf
        let mut all: FuturesUnordered<_> = (0..2).map(of).collect();
        tokio::select! { //~ 1
            _ = all.next() => {}
            () = async { leaf::<()>().await } => {} //~ 2b leaf
        }
    });
    parks("buffer_unordered of what is at hand", async {
        let get = |_| async { leaf::<u8>().await }; //~ 2 leaf
        let all = stream::iter(0..100).map(get).buffer_unordered(10);
        all.collect::<Vec<_>>().await.len() //~ 1
    });
    parks("buffered, of which the first is over", async {
        let get = |at: u8| async move {
            if at == 0 {
                turn().await;
                return 0;
            }
            leaf::<u8>().await //~ 2 leaf
        };
        let mut all = pin!(stream::iter(0..100).map(get).buffered(10));
        all.next().await;
        all.next().await //~ 1
    });
    parks("try_buffer_unordered of what is at hand", async {
        let get = |_| async { leaf::<Result<u8, ()>>().await }; //~ 2 leaf
        let all = stream::iter(0..9).map(|it: u8| Ok(get(it))).try_buffer_unordered(3);
        all.try_collect::<Vec<_>>().await.map(drop) //~ 1
    });
    tracked("buffer_unordered of a source that was told to stop", async {
        let (stop, stopped) = oneshot::channel::<()>();
        let source = async_stream::stream! {
            yield 1;
            leaf::<()>().await;
        };
        let get = |_| async { leaf::<u8>().await }; //~ 2 leaf
        let mut all = pin!(source.take_until(stopped).map(get).buffer_unordered(4));
        assert!(futures::poll!(all.next()).is_pending());
        stop.send(()).expect("it waits");
        all.next().await //~ 1
    });
    parks("for_each_concurrent, whose source is a channel", async {
        let (sender, receiver) = mpsc::channel(4);
        sender.send(1_u8).await.expect("room");
        let work = |_| async { leaf::<()>().await }; //~ 2 leaf
        ReceiverStream::new(receiver).for_each_concurrent(4, work).await; //~ 1
        drop(sender);
    });
    parks("for_each_concurrent, whose source is over", async {
        let work = |_| async { leaf::<()>().await }; //~ 2 leaf
        stream::iter([1, 2, 3]).for_each_concurrent(None, work).await; //~ 1
    });
    parks("for_each_concurrent, whose list is empty", async {
        let all = async_stream::stream! {
            turn().await;
            yield 1;
            leaf::<()>().await; //~ 2 leaf
        };
        all.skip(1).for_each_concurrent(2, |_| async { leaf::<()>().await }).await; //~ 1
    });
    parks("select_all of futures at two places", async {
        let of = |at: u8| {
            async move {
                if at == 0 {
                    leaf::<()>().await; //~ 2a leaf
                } else {
                    leaf::<()>().await; //~ 2b leaf
                }
            }
            .boxed()
        };
        future::select_all((0..3).map(of)).await; //~ 1
    });
    parks("select_ok, of which one has failed", async {
        let of = |at: u8| {
            async move {
                if at == 0 {
                    turn().await;
                    return Err(());
                }
                leaf::<Outcome>().await //~ 2 leaf
            }
            .boxed()
        };
        future::select_ok((0..3).map(of)).await.map(drop) //~ 1
    });
    parks("a map of two streams", async {
        let mut all: StreamMap<u8, Pin<Box<dyn Stream<Item = u8> + Send>>> = StreamMap::new();
        all.insert(1, stream::once(async { leaf::<u8>().await }).boxed()); //~ 2a leaf
        all.insert(2, stream::once(async { leaf::<u8>().await }).boxed()); //~ 2b leaf
        all.next().await //~ 1
    });
    parks("a type of one's own that polls a list", async {
        let of = |_| async { leaf::<()>().await }; //~ 2 leaf
        Counts { all: (0..2).map(of).collect(), had: 0 }.await //~ 1
    });
    parks("futures of a list that was not asked yet, and another", async {
        let first: FuturesUnordered<_> = (0..2).map(|_| leaf::<()>()).collect();
        leaf::<()>().await; //~ leaf
        drop(first);
    });
}
