//! Types that are several things at once: a stream and a sink, a reader and a writer, a service and
//! its future. What was polled of the one is not what the other waits for.

use crate::park::{leaf, parks, turn};
use bytes::Bytes;
use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt, TryStreamExt, stream};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

type Lines = Framed<tokio::io::DuplexStream, LinesCodec>;

const LONG: &str = "longer than what the pipe has room for";

/// A pipe of lines in which one has arrived and to which a long one cannot be written; and the
/// other side of it.
async fn lines() -> (Lines, tokio::io::DuplexStream) {
    let (own, mut other) = tokio::io::duplex(4);
    other.write_all(b"a\n").await.expect("room");
    (Framed::new(own, LinesCodec::new()), other)
}

/// A stream and a sink of futures: it reads by the one, and writes by the other.
struct Duplex<R, W> {
    reads: Pin<Box<R>>,
    writes: Option<Pin<Box<W>>>,
    written: u32,
}
impl<R: Future<Output = u8>, W: Future<Output = ()>> Stream for Duplex<R, W> {
    type Item = u8;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<u8>> {
        self.reads.as_mut().poll(context).map(Some)
    }
}
impl<R: Future<Output = u8>, W: Future<Output = ()>> Sink<u8> for Duplex<R, W> {
    type Error = ();
    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        if let Some(writes) = &mut self.writes {
            ready!(writes.as_mut().poll(context));
            self.writes = None;
        }
        Poll::Ready(Ok(()))
    }
    fn start_send(mut self: Pin<&mut Self>, _: u8) -> Result<(), ()> {
        self.written += 1;
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.poll_ready(context)
    }
    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.poll_ready(context)
    }
}

pub(super) fn spawn() {
    streams_that_are_sinks();
    items_that_are_futures();
    of_ones_own();
    readers_and_writers();
}

fn streams_that_are_sinks() {
    parks("send into a then, whose future was polled before", async {
        let (lines, other) = lines().await;
        let mut both = pin!(lines.then(|_| async { leaf::<()>().await }));
        assert!(futures::poll!(both.next()).is_pending());
        let it = SinkExt::<&str>::send(&mut both, LONG).await; //~
        drop(other);
        it
    });
    parks("send into a filter_map, whose future was polled before", async {
        let (lines, other) = lines().await;
        let mut both = pin!(lines.filter_map(|_| async { leaf::<Option<u8>>().await }));
        assert!(futures::poll!(both.next()).is_pending());
        let it = SinkExt::<&str>::send(&mut both, LONG).await; //~
        drop(other);
        it
    });
    parks("flush of a buffered, whose futures were polled before", async {
        let (lines, other) = lines().await;
        let mut both = pin!(lines.map(|_| async { leaf::<()>().await }).buffer_unordered(2));
        assert!(futures::poll!(both.next()).is_pending());
        SinkExt::<&str>::feed(&mut both, LONG).await.expect("room");
        let it = SinkExt::<&str>::flush(&mut both).await; //~
        drop(other);
        it
    });
    parks("close of an and_then, whose future was polled before", async {
        let (lines, other) = lines().await;
        let mut both =
            pin!(lines.and_then(|_| async { leaf::<Result<u8, LinesCodecError>>().await }));
        assert!(futures::poll!(both.next()).is_pending());
        SinkExt::<&str>::feed(&mut both, LONG).await.expect("room");
        let it = SinkExt::<&str>::close(&mut both).await; //~
        drop(other);
        it
    });
    parks("send_all into a then, whose future was polled before", async {
        let (lines, other) = lines().await;
        let mut both = pin!(lines.then(|_| async { leaf::<()>().await }));
        assert!(futures::poll!(both.next()).is_pending());
        let mut all = stream::iter([Ok::<&str, LinesCodecError>(LONG), Ok(LONG)]);
        let it = both.send_all(&mut all).await; //~
        drop(other);
        it
    });
    parks("next of a then, after what was sent", async {
        let (lines, other) = lines().await;
        let mut both = pin!(lines.then(|_| async { leaf::<()>().await })); //~ 2 leaf
        SinkExt::<&str>::send(&mut both, "b").await.expect("room");
        both.next().await; //~ 1
        drop(other);
    });
    parks("next of a with, whose future was polled before", async {
        let (lines, other) = lines().await;
        let mut both =
            pin!(lines.with(|_: u8| async { leaf::<Result<&str, LinesCodecError>>().await }));
        assert!(futures::poll!(both.feed(1)).is_ready());
        assert!(futures::poll!(SinkExt::<u8>::flush(&mut both)).is_pending());
        both.next().await;
        let it = both.next().await.is_some(); //~
        drop(other);
        it
    });
    parks("send into a with, whose future waits", async {
        let (lines, other) = lines().await;
        let make = |_: u8| async { leaf::<Result<&str, LinesCodecError>>().await }; //~ 2 leaf
        let it = pin!(lines.with(make)).send(1).await; //~ 1
        drop(other);
        it
    });
}

fn items_that_are_futures() {
    parks("a future that was polled before, and is sent into a full channel", async {
        let (mut send, receive) = futures::channel::mpsc::channel(0);
        let of = || Box::pin(async { leaf::<()>().await });
        let mut sent = of();
        assert!(futures::poll!(&mut sent).is_pending());
        send.feed(of()).await.ok();
        let it = send.send(sent).await.is_ok(); //~
        drop(receive);
        it
    });
    parks("a future that was polled before, and is sent into a full buffer", async {
        let (send, receive) = futures::channel::mpsc::channel(0);
        let of = || Box::pin(async { leaf::<()>().await });
        let mut sent = of();
        assert!(futures::poll!(&mut sent).is_pending());
        let mut send = send.buffer(1);
        send.feed(of()).await.ok();
        send.feed(of()).await.ok();
        let it = send.send(sent).await.is_ok(); //~
        drop(receive);
        it
    });
    parks("a future that was polled before, and is sent into a function", async {
        let step = |(), _| async { leaf::<Result<(), ()>>().await }; //~ 2 leaf
        let mut into = pin!(futures::sink::unfold((), step));
        let of = || Box::pin(async { leaf::<()>().await });
        let mut sent = of();
        assert!(futures::poll!(&mut sent).is_pending());
        into.feed(of()).await?;
        into.send(sent).await //~ 1
    });
}

fn of_ones_own() {
    parks("a stream and a sink by hand, read before and written now", async {
        let mut both = Duplex {
            reads: Box::pin(async { leaf::<u8>().await }),
            writes: Some(Box::pin(async { leaf::<()>().await })), //~ 2 leaf
            written: 0,
        };
        assert!(futures::poll!(both.next()).is_pending());
        both.send(1).await //~ 1
    });
    parks("a stream and a sink by hand, written before and read now", async {
        let mut both = Duplex {
            reads: Box::pin(async { leaf::<u8>().await }), //~ 2 leaf
            writes: Some(Box::pin(async { leaf::<()>().await })),
            written: 0,
        };
        assert!(futures::poll!(both.send(1)).is_pending());
        both.next().await //~ 1
    });
    parks("a stream and a sink by hand, in a map, written now", async {
        let both = Duplex {
            reads: Box::pin(async { leaf::<u8>().await }),
            writes: Some(Box::pin(async { leaf::<()>().await })), //~ 2 leaf
            written: 0,
        };
        let mut both = both.map(|it| it + 1);
        assert!(futures::poll!(both.next()).is_pending());
        both.send(1).await //~ 1
    });
    parks("a fused stream that is over, and written now", async {
        let both = Duplex {
            reads: Box::pin(async { leaf::<u8>().await }),
            writes: Some(Box::pin(async { leaf::<()>().await })), //~ 2 leaf
            written: 0,
        };
        let mut both = both.take(0).fuse();
        assert!(both.next().await.is_none());
        both.send(1).await //~ 1
    });
    parks("a forward from a stream and a sink into another", async {
        let of = |is_source: bool| Duplex {
            reads: Box::pin(async move { if is_source { 1 } else { leaf::<u8>().await } }),
            writes: Some(Box::pin(async { leaf::<()>().await })), //~ 2 leaf
            written: 0,
        };
        let mut into = of(false);
        assert!(futures::poll!(into.next()).is_pending());
        of(true).map(Ok).forward(into).await //~ 1
    });
}

fn readers_and_writers() {
    parks("a reader of a stream whose bytes were read, in a copy to a full writer", async {
        let (mut full, other) = tokio::io::duplex(1);
        let rest = stream::once(async { leaf::<std::io::Result<Bytes>>().await });
        let all = stream::iter([Ok(Bytes::from_static(b"many bytes"))]).chain(rest);
        let mut read = pin!(tokio_util::io::StreamReader::new(all));
        let it = tokio::io::copy_buf(&mut read, &mut full).await; //~
        drop(other);
        it
    });
    parks("a copy whose reader waits", async {
        let (mut full, other) = tokio::io::duplex(99);
        let rest = stream::once(async { leaf::<std::io::Result<Bytes>>().await }); //~ 2 leaf
        let all = stream::iter([Ok(Bytes::from_static(b"many bytes"))]).chain(rest);
        let mut read = pin!(tokio_util::io::StreamReader::new(all));
        let it = tokio::io::copy(&mut read, &mut full).await; //~ 1
        drop(other);
        it
    });
    parks("a join of a reader that was read before, and a writer that is full", async {
        let rest = stream::once(async { leaf::<std::io::Result<Bytes>>().await });
        let read = Box::pin(tokio_util::io::StreamReader::new(rest));
        let (full, other) = tokio::io::duplex(1);
        let mut both = tokio::io::join(read, full);
        assert!(futures::poll!(both.read_u8().boxed()).is_pending());
        let it = both.write_all(b"ab").await; //~
        drop(other);
        it
    });
    parks("a writer of a sink whose future waits", async {
        let into = futures::sink::unfold((), |(), _: Bytes| async {
            leaf::<std::io::Result<()>>().await //~ 2 leaf
        });
        let into = tokio_util::io::CopyToBytes::new(into);
        let mut write = pin!(tokio_util::io::SinkWriter::new(into));
        write.write_all(b"a").await?;
        let it = write.write_all(b"b").await; //~ 1
        it
    });
    parks("a poll_fn that asks a sink for room, and a stream before", async {
        let mut both = Duplex {
            reads: Box::pin(async { leaf::<u8>().await }),
            writes: Some(Box::pin(async {
                turn().await;
                leaf::<()>().await //~ 2 leaf
            })),
            written: 0,
        };
        assert!(futures::poll!(both.next()).is_pending());
        poll_fn(|context| both.poll_ready_unpin(context)).await //~ 1
    });
}
