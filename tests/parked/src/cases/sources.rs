//! Streams that make a future of each item, and wait for the next one.

use std::pin::pin;

use async_stream::stream;
use futures::{
    FutureExt, Stream, StreamExt, TryStreamExt, future,
    stream::{self, BoxStream},
};
use tokio::{
    select,
    sync::mpsc,
    time::{Duration, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use crate::park::{leaf, parks, turn};

const HOUR: Duration = Duration::from_secs(3_600);

async fn same(it: u8) -> u8 {
    turn().await;
    it
}

/// It has given an item, and would wait then.
fn given() -> impl Stream<Item = u8> {
    stream! {
        yield 1;
        leaf::<()>().await;
    }
}

pub(super) fn spawn() {
    parks("for_each waits for its source, beside a function", async {
        let source = stream::once(async { leaf::<u8>().await }); //~ 2a leaf
        select! { //~ 1
            () = source.for_each(|it| async move { drop(same(it).await) }) => {}
            () = async { leaf().await } => {} //~ 2b leaf
        }
    });
    parks("then waits for its source, beside a function", async {
        let source = stream::once(async { leaf::<u8>().await }); //~ 2a leaf
        let mut all = pin!(source.then(same));
        select! { //~ 1
            _ = all.next() => {}
            () = async { leaf().await } => {} //~ 2b leaf
        }
    });
    parks("fold waits for its source, joined with a function", async {
        let source = stream::once(async { leaf::<u8>().await }); //~ 2a leaf
        let sum = source.fold(0, |sum, it| async move { sum + same(it).await });
        future::join(sum, async { leaf::<()>().await }).await; //~ 1 2b leaf
    });
    parks("for_each waits for a channel, beside a function", async {
        let (_send, receive) = mpsc::channel::<u8>(1);
        let all = ReceiverStream::new(receive).for_each(|it| async move { drop(same(it).await) });
        let one = async { leaf::<()>().await }; //~ 2b leaf
        future::select(Box::pin(all), Box::pin(one)).await; //~ 1a 1b
    });
    parks("for_each waits for its source, beside a timer", async {
        let source = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        select! { //~ 1
            () = source.for_each(|it| async move { drop(same(it).await) }) => {}
            () = sleep(HOUR) => {}
        }
    });
    parks("for_each waits for its source, within a time", async {
        let source = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let all = source.for_each(|it| async move { drop(same(it).await) });
        timeout(HOUR, all).await.ok(); //~ 1
    });
    parks("for_each waits for what it made of an item", async {
        given().for_each(|_| leaf::<()>()).await; //~ leaf
    });
    parks("filter_map of what has given, with a fold that waits for its source", async {
        let all = given().filter_map(|_| {
            let inner = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
            inner.fold(0, |sum, it| async move { sum + same(it).await }).map(Some)
        });
        pin!(all).next().await; //~ 1
    });
    parks("flat_map of what has given, into a then that waits for its source", async {
        let all = given().flat_map(|_| {
            stream::once(async { leaf::<u8>().await }).then(same) //~ 2 leaf
        });
        pin!(all).next().await; //~ 1
    });
    parks("chain, in its second stream", async {
        let first = stream::iter([1]).then(same);
        let second = stream::once(async { leaf::<u8>().await }).then(same); //~ 2 leaf
        let mut all = pin!(first.chain(second));
        all.next().await;
        all.next().await; //~ 1
    });
    parks("try_for_each waits for its source", async {
        let all = stream::once(async { leaf::<Result<u8, ()>>().await }); //~ 2 leaf
        all.try_for_each(|it| async move {
            drop(same(it).await);
            Ok(())
        })
        .await //~ 1
    });
    parks("a boxed stream, beside a function", async {
        let once = stream::once(async { leaf::<u8>().await }); //~ 2a leaf
        let mut all: BoxStream<'static, u8> = once.boxed();
        select! { //~ 1
            _ = all.next() => {}
            () = async { leaf().await } => {} //~ 2b leaf
        }
    });
    parks("a boxed stream that has skipped an item", async {
        let all = stream! {
            yield 1;
            leaf::<()>().await; //~ 2 leaf
        };
        let mut all: BoxStream<'static, u8> = all.skip(1).map(|it| it + 1).boxed();
        all.next().await; //~ 1
    });
}
