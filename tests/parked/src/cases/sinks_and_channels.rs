//! The sinks and channels of futures and Tokio.

use std::{convert::Infallible, future::pending, pin::pin, sync::Arc};

use futures::{SinkExt, StreamExt, channel::mpsc as futures_mpsc, sink, stream};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::park::{leaf, parks, tracked, turn};

pub(super) fn spawn() {
    sinks();
    channels();
}

fn sinks() {
    parks("send into a full channel", async {
        let (mut send, _receive) = futures_mpsc::channel(0);
        send.send(1).await.and(send.send(2).await) //~
    });
    parks("feed of a full channel", async {
        let (mut send, _receive) = futures_mpsc::channel::<u8>(0);
        send.feed(1).await?;
        send.feed(2).await //~
    });
    parks("send_all, whose stream waits", async {
        let (mut send, _receive) = futures_mpsc::channel::<u8>(4);
        let mut all = Box::pin(stream::once(async { Ok(leaf::<u8>().await) })); //~ 2 leaf
        send.send_all(&mut all).await //~ 1
    });
    parks("send_all, whose sink is full and whose stream has given", async {
        let (mut send, _receive) = futures_mpsc::channel::<u8>(0);
        let mut all = Box::pin(async_stream::stream! {
            yield Ok(1);
            yield Ok(2);
            leaf::<()>().await;
            yield Ok(3);
        });
        send.send_all(&mut all).await //~
    });
    parks("with, whose future waits", async {
        let into = sink::drain::<u8>();
        let mut into = pin!(into.with(|_: u8| async { Ok::<u8, Infallible>(leaf().await) }));
        //~ 2 leaf
        into.send(1).await.is_ok() //~ 1
    });
    parks("an unfold sink", async {
        let step = |sum: u32, it: u32| async move {
            leaf::<()>().await; //~ 2 leaf
            Ok::<u32, ()>(sum + it)
        };
        pin!(sink::unfold(0, step)).send(1).await //~ 1
    });
    parks("fanout, of which one is full", async {
        let (full, _first) = futures_mpsc::channel::<u8>(0);
        let (empty, _second) = futures_mpsc::channel::<u8>(9);
        let mut both = full.fanout(empty);
        both.send(1).await //~
    });
    parks("flush of a sink with a buffer", async {
        let (full, _receive) = futures_mpsc::channel::<u8>(0);
        let mut full = full.buffer(8);
        full.feed(1).await?;
        full.feed(2).await?;
        full.flush().await //~
    });
}

fn channels() {
    parks("futures: next of a channel", async {
        let (_send, mut receive) = futures_mpsc::channel::<u8>(1);
        receive.next().await //~
    });
    parks("futures: next of an unbounded channel", async {
        let (_send, mut receive) = futures_mpsc::unbounded::<u8>();
        receive.select_next_some().await //~
    });
    parks("futures: a oneshot", async {
        let (_send, receive) = futures::channel::oneshot::channel::<u8>();
        receive.await //~
    });
    parks("futures: cancellation of a oneshot", async {
        let (mut send, _receive) = futures::channel::oneshot::channel::<u8>();
        send.cancellation().await; //~
    });
    tracked("recv", async {
        let (_send, mut receive) = mpsc::channel::<u8>(1);
        receive.recv().await //~
    });
    parks("send into a full channel of Tokio", async {
        let (send, _receive) = mpsc::channel::<u8>(1);
        send.send(1).await?;
        send.send(2).await //~
    });
    parks("reserve", async {
        let (send, _receive) = mpsc::channel::<u8>(1);
        let first = send.reserve().await;
        let second = send.reserve().await; //~
        drop((first, second));
    });
    parks("recv of an unbounded channel", async {
        let (_send, mut receive) = mpsc::unbounded_channel::<u8>();
        receive.recv().await //~
    });
    parks("recv_many", async {
        let (_send, mut receive) = mpsc::channel::<u8>(1);
        receive.recv_many(&mut Vec::new(), 2).await //~
    });
    parks("closed", async {
        let (send, _receive) = mpsc::channel::<u8>(1);
        send.closed().await; //~
    });
    parks("recv of a broadcast", async {
        let (_send, mut receive) = broadcast::channel::<u8>(1);
        receive.recv().await //~
    });
    parks("changed of a watch", async {
        let (_send, mut receive) = watch::channel(1);
        receive.changed().await //~
    });
    parks("wait_for of a watch", async {
        let (_send, mut receive) = watch::channel(1);
        receive.wait_for(|it| *it == 2).await.is_ok() //~
    });
    tracked("a oneshot", async {
        let (_send, receive) = oneshot::channel::<u8>();
        receive.await //~
    });
    parks("closed of a oneshot", async {
        let (mut send, _receive) = oneshot::channel::<u8>();
        send.closed().await; //~
    });
    parks("a second receiver, as the first has its value", async {
        let (send, first) = oneshot::channel::<u8>();
        let (_kept, second) = oneshot::channel::<u8>();
        send.send(1).expect("it is received");
        let it = first.await.expect("a value");
        second.await.map(|other| other + it) //~
    });
    parks("what a received value is handled with", async {
        let (send, mut receive) = mpsc::channel::<Arc<u8>>(1);
        send.send(Arc::new(1)).await.expect("room");
        while let Some(it) = receive.recv().await {
            turn().await;
            leaf::<()>().await; //~ leaf
            drop(it);
        }
    });
    parks("a value of a channel that is a future", async {
        let (send, mut receive) = mpsc::channel(1);
        let sent = Box::pin(async { leaf::<u8>().await }); //~ 2 leaf
        send.send(sent).await.ok().expect("room");
        let received = receive.recv().await.expect("it was sent");
        received.await; //~ 1
        drop(send);
    });
    parks("a future in a channel, while the task waits elsewhere", async {
        let (send, receive) = mpsc::channel(1);
        let mut sent = Box::pin(async { leaf::<u8>().await });
        assert!(futures::poll!(&mut sent).is_pending());
        send.send(sent).await.ok().expect("room");
        pending::<()>().await; //~
        drop((send, receive));
    });
}
