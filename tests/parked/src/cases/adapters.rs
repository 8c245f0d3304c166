//! Adapters of streams and sinks, of futures, tokio-stream and tokio-util, in what they poll now.

use std::{
    future::{pending, poll_fn},
    pin::pin,
    time::Duration,
};

use futures::{
    FutureExt, SinkExt, Stream, StreamExt, TryStreamExt, future,
    stream::{self, FuturesUnordered, PollNext},
};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_stream::wrappers::{BroadcastStream, IntervalStream, ReceiverStream, WatchStream};

use crate::park::{leaf, parks, tracked, turn};

const HOUR: Duration = Duration::from_hours(1);

#[derive(Clone, Debug, PartialEq)]
struct Message {
    topic: String,
    bytes: Vec<u8>,
}

fn message(at: u8) -> Message {
    Message { topic: String::from("a"), bytes: vec![at] }
}

/// It gives a message, and waits at its next.
fn messages() -> impl Stream<Item = Message> + Send {
    async_stream::stream! {
        yield message(1);
        leaf::<()>().await;
        yield message(2);
    }
}

/// It gives two messages. Before the first one it has asked for another, which does not come.
fn asked() -> impl Stream<Item = Message> + Send {
    let other = stream::once(async { leaf::<Message>().await });
    stream::select(Box::pin(other), stream::iter([message(1), message(2)]))
}

pub(super) fn spawn() {
    peeks();
    of_tokio();
    of_two();
    of_streams();
    of_macros();
}

fn peeks() {
    tracked("peek of messages", async {
        let mut all = pin!(stream::once(async { leaf::<Message>().await }).peekable()); //~ 2 leaf
        all.as_mut().peek().await.is_some() //~ 1
    });
    parks("next_if of messages", async {
        let mut all = pin!(stream::once(async { leaf::<Message>().await }).peekable()); //~ 2 leaf
        all.as_mut().next_if(|it| it.topic.is_empty()).await.is_some() //~ 1
    });
    parks("next of what was peeked", async {
        let all = async_stream::stream! {
            yield message(1);
            leaf::<()>().await; //~ 2 leaf
            yield message(2);
        };
        let mut all = pin!(all.peekable());
        all.as_mut().peek().await;
        StreamExt::next(&mut all).await;
        StreamExt::next(&mut all).await; //~ 1
    });
    parks("a peek, and then a function of the message", async {
        let mut all = pin!(asked().peekable());
        let topic = all.as_mut().peek().await.map(|it| it.topic.clone());
        leaf::<()>().await; //~ leaf
        all.next().await.map(|it| it.topic) == topic
    });
    parks("a peekable in a then", async {
        let mut all = pin!(asked().peekable());
        all.as_mut().peek().await;
        let mut all = pin!(StreamExt::then(all, |_| async { leaf::<()>().await })); //~ 2 leaf
        StreamExt::next(&mut all).await; //~ 1
    });
}

fn of_tokio() {
    parks("then of tokio-stream, whose function waits", async {
        let mut all =
            pin!(tokio_stream::StreamExt::then(asked(), |_| async { leaf::<()>().await }));
        //~ 2 leaf
        StreamExt::next(&mut all).await; //~ 1
    });
    parks("then of tokio-stream, whose source waits", async {
        let source = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let mut all = pin!(tokio_stream::StreamExt::then(source, |_| async { leaf::<()>().await }));
        StreamExt::next(&mut all).await; //~ 1
    });
    parks("throttle, whose source waits", async {
        let source = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let mut all = pin!(tokio_stream::StreamExt::throttle(source, HOUR));
        StreamExt::next(&mut all).await //~ 1
    });
    parks("throttle of what was asked for more, after an item", async {
        let mut all = pin!(tokio_stream::StreamExt::throttle(asked(), HOUR));
        StreamExt::next(&mut all).await;
        StreamExt::next(&mut all).await.is_some() //~
    });
    parks("chunks_timeout, whose source waits", async {
        let source = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let mut all = pin!(tokio_stream::StreamExt::chunks_timeout(source, 4, HOUR));
        StreamExt::next(&mut all).await.is_some() //~ 1
    });
    parks("timeout_repeating, whose source waits", async {
        let source = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let ticks = tokio::time::interval(HOUR);
        let mut all = pin!(tokio_stream::StreamExt::timeout_repeating(source, ticks));
        while let Some(Err(_)) = StreamExt::next(&mut all).await {} //~ 1
    });
    parks("map, filter, take_while and skip of tokio-stream", async {
        let source = stream::iter([1, 2]).chain(stream::once(async { leaf::<u8>().await }));
        //~ 2 leaf
        let all = tokio_stream::StreamExt::map(source, |it| it + 1);
        let all = tokio_stream::StreamExt::filter(all, |it| *it > 9);
        let all = tokio_stream::StreamExt::take_while(all, |it| *it > 1);
        let mut all = pin!(tokio_stream::StreamExt::skip(all, 1));
        StreamExt::next(&mut all).await //~ 1
    });
    parks("all, any and fold of tokio-stream", async {
        let source = pin!(stream::once(async { leaf::<u8>().await })); //~ 2 leaf
        tokio_stream::StreamExt::fold(source, 0, |sum, it| sum + u32::from(it)).await //~ 1
    });
    parks("peekable of tokio-stream", async {
        let source = pin!(stream::once(async { leaf::<u8>().await })); //~ 2 leaf
        tokio_stream::StreamExt::peekable(source).peek().await.is_some() //~ 1
    });
    parks("try_next of tokio-stream, in a timeout", async {
        let mut source = pin!(stream::once(async { leaf::<Result<u8, ()>>().await })); //~ 2 leaf
        tokio::time::timeout(HOUR, tokio_stream::StreamExt::try_next(&mut source)).await.is_ok() //~ 1
    });
    parks("a broadcast, a watch and an interval in select_all", async {
        let (send, receive) = broadcast::channel::<u8>(2);
        let (change, changed) = watch::channel(1_u8);
        let all = [
            BroadcastStream::new(receive).map(drop).boxed(),
            WatchStream::from_changes(changed).map(drop).boxed(),
            IntervalStream::new(tokio::time::interval(HOUR)).skip(1).map(drop).boxed(),
        ];
        stream::select_all(all).next().await; //~
        drop((send, change));
    });
}

fn of_two() {
    parks("zip, of which the second waits and the first was asked for more", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        pin!(asked().zip(second)).next().await.is_some() //~ 1
    });
    parks("zip, of which the first waits and the second has given", async {
        let first = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        pin!(first.zip(asked())).next().await.is_some() //~ 1
    });
    parks("zip of a function and a channel", async {
        let (send, receive) = mpsc::channel::<u8>(1);
        pin!(asked().zip(ReceiverStream::new(receive))).next().await; //~
        drop(send);
    });
    parks("select of streams, of which one is over", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let first = stream::once(async {
            turn().await;
            1
        });
        let mut both = pin!(stream::select(first, second));
        both.next().await;
        both.next().await //~ 1
    });
    parks("select of streams, of which one has given all that is taken of it", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let first = asked().take(2).map(|it| it.bytes[0]);
        let mut both = pin!(stream::select(first, second));
        both.next().await;
        both.next().await;
        both.next().await //~ 1
    });
    parks("merge of streams, of which one has given all that is taken of it", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let first = asked().take(2).map(|it| it.bytes[0]);
        let mut both = pin!(tokio_stream::StreamExt::merge(first, second));
        both.next().await;
        both.next().await;
        both.next().await //~ 1
    });
    parks("select_all of streams, of which one has given all that is taken of it", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let first = asked().take(2).map(|it| it.bytes[0]);
        let mut both = stream::select_all([first.boxed(), second.boxed()]);
        both.next().await;
        both.next().await;
        both.next().await //~ 1
    });
    parks("select of a function and a channel", async {
        let (send, receive) = mpsc::channel::<u8>(1);
        let first = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let mut both = pin!(stream::select(first, ReceiverStream::new(receive)));
        both.next().await; //~ 1
        drop(send);
    });
    parks("select_with_strategy, of which one is over", async {
        let first = stream::iter([1_u8; 0]).boxed();
        let second = stream::once(async { leaf::<u8>().await }).boxed(); //~ 2 leaf
        let right = |_: &mut ()| PollNext::Right;
        stream::select_with_strategy(first, second, right).next().await //~ 1
    });
    parks("chain of tokio-stream, in its first", async {
        let first = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let second = stream::once(async { leaf::<u8>().await });
        StreamExt::next(&mut pin!(tokio_stream::StreamExt::chain(first, second))).await //~ 1
    });
    parks("merge, whose first is over", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        let mut both = pin!(tokio_stream::StreamExt::merge(stream::iter([1]), second));
        StreamExt::next(&mut both).await;
        StreamExt::next(&mut both).await //~ 1
    });
}

fn of_streams() {
    parks("flatten_unordered, whose streams and whose source wait", async {
        let source = stream::iter([1]).chain(stream::once(async { leaf::<u8>().await })); //~ 2a leaf
        let all = source.map(|_| stream::once(async { leaf::<u8>().await }).boxed()); //~ 2b leaf
        pin!(all.flatten_unordered(None)).next().await //~ 1
    });
    parks("flat_map_unordered that is full", async {
        let rest = Box::pin(stream::once(async { leaf::<u8>().await }));
        let source = stream::select(rest, stream::iter([1, 2, 3]));
        let make = |_| stream::once(async { leaf::<u8>().await }).boxed(); //~ 2 leaf
        source.flat_map_unordered(2, make).next().await //~ 1
    });
    parks("try_flatten_unordered", async {
        let make = |_| stream::once(async { leaf::<Result<u8, ()>>().await }).boxed(); //~ 2 leaf
        let source = stream::iter([Ok::<u8, ()>(1)]).map_ok(make);
        source.try_flatten_unordered(None).try_next().await //~ 1
    });
    parks("try_chunks, after some", async {
        let rest = stream::once(async { leaf::<Result<u8, ()>>().await }); //~ 2 leaf
        let all = stream::iter([Ok(1), Ok(2)]).chain(rest).try_chunks(5);
        pin!(all).try_next().await.is_ok() //~ 1
    });
    parks("try_ready_chunks and try_concat", async {
        let rest = stream::once(async { leaf::<Result<Vec<u8>, ()>>().await }); //~ 2 leaf
        stream::iter([Ok(vec![1])]).chain(rest).try_concat().await.is_ok() //~ 1
    });
    parks("unzip and partition", async {
        let all = stream::once(async { leaf::<(u8, u8)>().await }); //~ 2 leaf
        all.unzip::<u8, u8, Vec<u8>, Vec<u8>>().await.0.len() //~ 1
    });
    parks("try_fold in a try_join of a stream of results", async {
        let sum = messages().map(Ok::<Message, ()>).try_fold(0_u32, |sum, it| async move {
            let more = leaf::<Result<u32, ()>>().await?; //~ 2a leaf
            Ok(sum + more + u32::from(it.bytes[0]))
        });
        let other = async { leaf::<Result<(), ()>>().await }; //~ 2b leaf
        future::try_join(sum, other).await.map(drop) //~ 1
    });
    parks("forward, whose sink waits and whose source was asked before", async {
        let step = |(), _: Message| async { leaf::<Result<(), ()>>().await }; //~ 2 leaf
        let into = pin!(futures::sink::unfold((), step));
        asked().map(Ok).forward(into).await //~ 1
    });
    parks("forward, whose source waits and whose sink is done", async {
        let source = stream::iter([1]).chain(stream::once(async { leaf::<u8>().await })); //~ 2 leaf
        let into = pin!(futures::sink::unfold((), |(), _: u8| async {
            turn().await;
            Ok::<(), ()>(())
        }));
        source.map(Ok).forward(into).await //~ 1
    });
    parks("a buffer of a sink, whose sink waits", async {
        let step = |(), _: Message| async { leaf::<Result<(), ()>>().await }; //~ 2 leaf
        let mut into = pin!(futures::sink::unfold((), step).buffer(1));
        into.feed(message(1)).await?;
        into.feed(message(2)).await?;
        into.feed(message(3)).await //~ 1
    });
    parks("fanout of functions, of which one is done", async {
        let step = |waits: bool| {
            futures::sink::unfold((), move |(), _: u8| async move {
                if waits { leaf::<Result<(), ()>>().await } else { Ok(()) } //~ 2 leaf
            })
        };
        let mut both = pin!(step(false).fanout(step(true)));
        both.send(1).await //~ 1
    });
    parks("sink_map_err and with_flat_map", async {
        let step = |(), _: u8| async { leaf::<Result<(), u8>>().await }; //~ 2 leaf
        let into = futures::sink::unfold((), step).sink_map_err(|it| it + 1);
        let mut into = pin!(into.with_flat_map(|it: u8| stream::iter([Ok(it), Ok(it)])));
        into.send(1).await //~ 1
    });
    parks("a list of a list, beside a stream of it", async {
        let group = |_| {
            let all: FuturesUnordered<_> = (0..2).map(|_| leaf::<u8>()).collect(); //~ 2=leaf
            all.into_future()
        };
        (0..2).map(group).collect::<FuturesUnordered<_>>().next().await.is_some() //~ 1
    });
}

fn of_macros() {
    parks("futures::select! over next of two streams", async {
        let mut first = pin!(stream::once(async { leaf::<u8>().await }).fuse()); //~ 2a leaf
        let mut second = pin!(stream::once(async { leaf::<u8>().await }).fuse()); //~ 2b leaf
        futures::select! { //~ 1
            it = first.next() => it,
            it = second.next() => it,
        }
    });
    parks("futures::select! over next of two streams, of which one is over", async {
        let mut first = pin!(stream::iter([1_u8; 0]).fuse());
        let mut second = pin!(stream::once(async { leaf::<u8>().await }).fuse()); //~ 2 leaf
        assert!(first.next().await.is_none());
        futures::select! { //~ 1
            it = first.select_next_some() => Some(it),
            it = second.next() => it,
        }
    });
    parks("futures::select! over select_next_some of a list that was filled", async {
        let mut jobs = FuturesUnordered::new();
        let mut incoming = pin!(stream::iter([1_u8]).chain(stream::pending()).fuse());
        loop {
            futures::select! { //~ 1
                _ = incoming.select_next_some() => {
                    jobs.push(async { leaf::<()>().await }); //~ 2 leaf
                }
                () = jobs.select_next_some() => break,
                complete => break,
            }
        }
    });
    parks("futures::select_biased! with a default before", async {
        let mut first = pin!(async { leaf::<()>().await }.fuse()); //~ 2a leaf
        let mut second = pin!(async { leaf::<()>().await }.fuse()); //~ 2b leaf
        futures::select_biased! {
            () = first => {}
            () = second => {}
            default => turn().await,
        }
        futures::select_biased! { //~ 1
            () = first => {}
            () = second => {}
        }
    });
    parks("tokio's select! over biased streams in a loop", async {
        let more = stream::once(async { leaf::<u8>().await }); //~ 2c leaf
        let mut urgent = pin!(StreamExt::chain(stream::iter([1_u8]), more));
        let mut rest = pin!(stream::once(async { leaf::<u8>().await })); //~ 2b leaf
        let mut seen = 0;
        loop {
            tokio::select! { //~ 1
                biased;
                Some(_) = StreamExt::next(&mut urgent) => seen += 1,
                Some(it) = StreamExt::next(&mut rest) => seen += it,
                () = async { leaf().await }, if seen > 0 => break, //~ 2a leaf
                else => break,
            }
        }
    });
    parks("a stream_select! of three", async {
        let first = Box::pin(stream::once(async { leaf::<u8>().await })); //~ 2a leaf
        let second = Box::pin(stream::once(async { leaf::<u8>().await })); //~ 2b leaf
        let third = stream::pending::<u8>();
        futures::stream_select!(first, second, third).next().await //~ 1
    });
    parks("a poll_fn over a stream, and what else it has", async {
        let mut all = pin!(stream::once(async { leaf::<u8>().await })); //~ 2 leaf
        let (mut had, mut log) = (0_u32, Vec::<Message>::new());
        poll_fn(|context| {
            had += 1;
            log.push(message(1));
            all.as_mut().poll_next(context)
        })
        .await //~ 1
    });
    parks("a pending beside what was polled by poll!", async {
        let mut kept = pin!(async { leaf::<()>().await });
        assert!(futures::poll!(kept.as_mut()).is_pending());
        future::select(kept.map(drop), pending::<()>()).now_or_never();
        pending::<()>().await; //~
    });
}
