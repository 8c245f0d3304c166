//! The combinators of `futures::stream`. A source that has given its item is suspended, and is not
//! what its consumer waits for.

use std::{
    future::{pending, ready},
    pin::pin,
};

use futures::{
    StreamExt, TryStreamExt,
    stream::{self, FuturesOrdered, FuturesUnordered, Stream},
};

use crate::park::{leaf, parks, tracked, turn};

type Outcome = Result<(), ()>;

/// A stream that gives a number, and waits at its next.
fn source() -> impl Stream<Item = u32> + Send {
    async_stream::stream! {
        turn().await;
        yield 1;
        leaf::<()>().await;
        yield 2;
    }
}

/// The same of results.
fn tries() -> impl Stream<Item = Result<u32, ()>> + Send {
    source().map(Ok)
}

/// A stream of one item, which it waits for.
fn waits<T>() -> impl Stream<Item = T> + Send
where
    T: Send,
{
    stream::once(leaf::<T>())
}

pub(super) fn spawn() {
    parks("next of once", async { Box::pin(waits::<()>()).next().await }); //~ leaf
    parks("next of an unfold", async {
        let step = |at: u32| async move { leaf::<Option<(u32, u32)>>().await.map(|it| (it.0, at)) };
        //~ 2 leaf
        pin!(stream::unfold(1, step)).next().await; //~ 1
    });
    tracked("next of the second item of an unfold", async {
        let step = |at: u32| async move {
            if at == 1 {
                turn().await;
            } else {
                leaf::<()>().await; //~ 2 leaf
            }
            Some((at, at + 1))
        };
        let mut all = pin!(stream::unfold(1, step));
        all.next().await;
        all.next().await; //~ 1
    });
    parks("try_unfold", async {
        let step = |_: u32| async { leaf::<Result<Option<(u32, u32)>, ()>>().await }; //~ 2 leaf
        pin!(stream::try_unfold(1, step)).try_next().await.map(drop) //~ 1
    });
    parks("then, whose future waits", async {
        let mut all = pin!(stream::iter([1, 2]).then(|_| leaf::<()>()));
        all.next().await; //~ leaf
    });
    parks("then, whose source is suspended", async {
        let mut all = pin!(source().then(|_| async { leaf::<()>().await })); //~ 2 leaf
        all.next().await; //~ 1
    });
    parks("map", async { pin!(waits::<u8>().map(drop)).next().await }); //~ leaf
    parks("inspect, enumerate, take and skip", async {
        let all = waits::<u8>().inspect(|_| ()).enumerate().take(2).skip(1);
        pin!(all).next().await; //~ leaf
    });
    parks("filter, whose source waits", async {
        let mut all = pin!(waits::<u8>().filter(|_| ready(true)));
        all.next().await; //~ leaf
    });
    parks("filter, whose source is suspended", async {
        let mut all = pin!(source().filter(|_| pending::<bool>()));
        all.next().await; //~
    });
    tracked("filter, whose function waits and whose source is suspended", async {
        let mut all = pin!(source().filter(|_| async { leaf::<bool>().await })); //~ 2 leaf
        all.next().await; //~ 1
    });
    parks("filter_map, whose source is suspended", async {
        let mut all = pin!(source().filter_map(|_| async { leaf::<Option<u8>>().await }));
        //~ 2 leaf
        all.next().await; //~ 1
    });
    parks("take_while, whose source is suspended", async {
        let mut all = pin!(source().take_while(|_| async { leaf::<bool>().await })); //~ 2 leaf
        all.next().await; //~ 1
    });
    parks("skip_while, whose source is suspended", async {
        let mut all = pin!(source().skip_while(|_| pending::<bool>()));
        all.next().await; //~
    });
    parks("for_each, whose source waits", async { waits::<u8>().for_each(|_| ready(())).await });
    //~ leaf
    tracked("for_each, whose source is suspended", async {
        source().for_each(|_| async { leaf::<()>().await }).await; //~ 1 2 leaf
    });
    parks("for_each_concurrent, whose source is suspended", async {
        source()
            .for_each_concurrent(1, |_| async {
                leaf::<()>().await; //~ 2 leaf
            })
            .await; //~ 1
    });
    parks("for_each_concurrent, whose source waits too", async {
        let source = async_stream::stream! {
            yield ();
            leaf::<()>().await; //~ 2 leaf
        };
        source.for_each_concurrent(2, |()| pending::<()>()).await; //~ 1
    });
    parks("fold, whose source is suspended", async {
        source().fold(0, |_, it| async move { it + leaf::<u32>().await }).await; //~ 1 2 leaf
    });
    parks("fold, whose source waits", async { waits::<u8>().fold(0, |sum, _| ready(sum)).await });
    //~ leaf
    parks("collect of a stream that waits", async { waits::<u8>().collect::<Vec<_>>().await });
    //~ leaf
    parks("count of a stream that waits", async { waits::<u8>().count().await }); //~ leaf
    parks("concat of a stream that waits", async { waits::<Vec<u8>>().concat().await }); //~ leaf
    parks("all, whose source is suspended", async { source().all(|_| pending()).await }); //~
    parks("any, whose source is suspended", async {
        source().any(|_| async { leaf::<bool>().await }).await; //~ 1 2 leaf
    });
    parks("zip, of which the first has given", async {
        pin!(source().zip(stream::pending::<u8>())).next().await; //~
    });
    parks("zip, of which both wait", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2b leaf
        pin!(waits::<u8>().zip(second)).next().await; //~ 1 2a=leaf
    });
    parks("chain, in its first", async {
        let second = stream::once(async { leaf::<u8>().await });
        pin!(waits::<u8>().chain(second)).next().await; //~ leaf
    });
    tracked("chain, in its second", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        pin!(stream::iter([1; 0]).chain(second)).next().await; //~ 1
    });
    parks("flatten, whose inner stream waits", async {
        let all = source().map(|_| stream::once(async { leaf::<u8>().await })); //~ 2 leaf
        pin!(all.flatten()).next().await; //~ 1
    });
    parks("flat_map, whose source waits", async {
        pin!(waits::<u8>().flat_map(|_| source())).next().await; //~ leaf
    });
    parks("flatten_unordered", async {
        let all = source().map(|_| Box::pin(stream::once(pending::<u8>())));
        pin!(all.flatten_unordered(1)).next().await; //~
    });
    parks("buffered, whose source is suspended", async {
        pin!(source().map(|_| pending::<u8>()).buffered(1)).next().await; //~
    });
    parks("buffered, whose futures wait", async {
        let all = stream::iter([1, 2]).map(|_| async { leaf::<u8>().await }); //~ 2 leaf
        pin!(all.buffered(2)).next().await; //~ 1
    });
    parks("buffer_unordered, whose source is suspended", async {
        let all = source().map(|_| async { leaf::<u8>().await }); //~ 2 leaf
        pin!(all.buffer_unordered(1)).next().await; //~ 1
    });
    parks("peek", async { pin!(waits::<u8>().peekable()).peek().await.copied() }); //~ leaf
    parks("peek, whose source is suspended and kept", async {
        let mut all = pin!(source().peekable());
        assert!(all.as_mut().peek().await.is_some());
        pending::<()>().await; //~
    });
    parks("chunks, whose source waits for the second", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        pin!(stream::iter([1]).chain(second).chunks(2)).next().await; //~ 1
    });
    parks("ready_chunks", async { pin!(waits::<u8>().ready_chunks(2)).next().await }); //~ leaf
    parks("take_until, whose stopper waits too", async {
        let stopper = async { leaf::<()>().await }; //~ 2b leaf
        pin!(waits::<u8>().take_until(stopper)).next().await; //~ 1 2a=leaf
    });
    parks("fuse", async { pin!(waits::<u8>().fuse()).next().await }); //~ leaf
    parks("cycle", async { stream::pending::<u8>().cycle().next().await }); //~
    parks("scan, whose source is suspended", async {
        let step = |_: &mut u8, _| async { leaf::<Option<u8>>().await }; //~ 2 leaf
        pin!(source().scan(1, step)).next().await; //~ 1
    });
    parks("select of streams", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2b leaf
        pin!(stream::select(waits::<u8>(), second)).next().await; //~ 1 2a=leaf
    });
    parks("select of streams, of which one is suspended and the task elsewhere", async {
        let mut both = pin!(stream::select(source(), stream::pending()));
        both.next().await;
        pending::<()>().await; //~
        drop(both.next());
    });
    parks("select_all of streams", async {
        let all = [waits::<u8>().boxed(), waits().boxed()];
        stream::select_all(all).next().await; //~ leaf
    });
    parks("select_next_some", async { pin!(waits::<u8>().fuse()).select_next_some().await });
    //~ leaf
    parks("into_future of a stream", async { waits::<u8>().boxed().into_future().await.0 });
    //~ leaf
    parks("boxed", async { waits::<u8>().boxed().next().await }); //~ leaf
    parks("catch_unwind", async {
        pin!(std::panic::AssertUnwindSafe(waits::<u8>()).catch_unwind()).next().await.is_some()
        //~ leaf
    });
    parks("abortable", async {
        let (all, handle) = stream::abortable(waits::<u8>());
        pin!(all).next().await; //~ leaf
        drop(handle);
    });
    parks("left_stream", async {
        let which: stream::Once<_> = stream::once(leaf::<u8>());
        let mut which = pin!(which.left_stream::<stream::Empty<u8>>());
        which.next().await; //~ leaf
    });
    parks("forward, whose source waits", async {
        let sink = futures::sink::drain::<u8>();
        waits::<u8>().map(Ok).forward(sink).await.is_ok() //~ leaf
    });
    parks("split, of which a half waits", async {
        let (read, _write) = tokio::io::duplex(8);
        let framed = tokio_util::codec::Framed::new(read, tokio_util::codec::LinesCodec::new());
        let (_sink, mut lines) = futures::StreamExt::split::<String>(framed);
        lines.next().await.is_some() //~
    });
    parks("try_next", async { pin!(waits::<Outcome>()).try_next().await }); //~ leaf
    parks("try_for_each, whose source is suspended", async {
        tries().try_for_each(|_| async { leaf::<Outcome>().await }).await //~ 1 2 leaf
    });
    parks("try_for_each_concurrent", async {
        tries().try_for_each_concurrent(1, |_| pending::<Outcome>()).await //~
    });
    parks("try_fold, whose source is suspended", async {
        tries().try_fold(0, |_, _| async { leaf::<Result<u8, ()>>().await }).await.map(drop)
        //~ 1 2 leaf
    });
    parks("try_collect", async {
        waits::<Result<u8, ()>>().try_collect::<Vec<_>>().await.map(drop) //~ leaf
    });
    parks("try_filter, whose source is suspended", async {
        pin!(tries().try_filter(|_| pending())).try_next().await.map(drop) //~
    });
    parks("try_filter_map, whose source is suspended", async {
        let step = |_| async { leaf::<Result<Option<u8>, ()>>().await }; //~ 2 leaf
        pin!(tries().try_filter_map(step)).try_next().await.map(drop) //~ 1
    });
    parks("try_take_while, whose source is suspended", async {
        pin!(tries().try_take_while(|_| pending())).try_next().await.map(drop) //~
    });
    parks("and_then of a stream, whose source is suspended", async {
        let step = |_| async { leaf::<Outcome>().await }; //~ 2 leaf
        pin!(tries().and_then(step)).try_next().await.map(drop) //~ 1
    });
    parks("try_buffered, whose source is suspended", async {
        let all = tries().map_ok(|_| async { leaf::<Outcome>().await }); //~ 2 leaf
        pin!(all.try_buffered(1)).try_next().await.map(drop) //~ 1
    });
    parks("try_flatten", async {
        let all = tries().map_ok(|_| stream::once(async { leaf::<Outcome>().await })); //~ 2 leaf
        pin!(all.try_flatten()).try_next().await.map(drop) //~ 1
    });
    parks("into_async_read", async {
        use futures::AsyncReadExt;
        let bytes = waits::<std::io::Result<Vec<u8>>>().boxed().into_async_read();
        pin!(bytes).read(&mut [0]).await //~ leaf
    });
    parks("flatten_stream of a future", async {
        use futures::FutureExt;
        let all = async { leaf::<stream::Empty<u8>>().await }.flatten_stream(); //~ 2 leaf
        pin!(all).next().await; //~ 1
    });
    parks("into_stream of a future", async {
        use futures::FutureExt;
        pin!(leaf::<u8>().into_stream()).next().await; //~ leaf
    });
    parks("next of futures in FuturesUnordered", async {
        let mut all: FuturesUnordered<_> = [leaf::<()>(), leaf()].into_iter().collect();
        all.next().await; //~ leaf
    });
    parks("FuturesUnordered, of which one is over", async {
        let late = |at: u32| async move {
            if at == 0 {
                turn().await;
            } else {
                leaf::<()>().await; //~ 2 leaf
            }
        };
        let mut all: FuturesUnordered<_> = (0..3).map(late).collect();
        all.next().await;
        all.next().await; //~ 1
    });
    parks("next of futures in FuturesOrdered", async {
        let mut all: FuturesOrdered<_> = [leaf::<()>(), leaf()].into_iter().collect();
        all.next().await; //~ leaf
    });
    parks("a stream that gave its item to a function", async {
        async fn next<T>(stream: impl Stream<Item = T>) {
            pin!(stream).next().await; //~ 2
        }
        let mut all = pin!(source());
        while let Some(it) = all.next().await {
            turn().await;
            if it == 1 {
                next(stream::once(async { leaf::<()>().await })).await; //~ 1 3 leaf
            }
        }
    });
    parks("a source that waits at its second item", async {
        let mut all = pin!(async_stream::stream! {
            yield 1;
            leaf::<()>().await; //~ 2 leaf
            yield 2;
        });
        all.next().await;
        all.next().await; //~ 1
    });
}
