//! tokio-util and tokio-stream.

use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use ::tokio_util::{
    codec::{FramedRead, LinesCodec},
    context::RuntimeExt,
    either::Either,
    future::FutureExt,
    io::{ReaderStream, StreamReader},
    sync::{CancellationToken, PollSemaphore, PollSender, ReusableBoxFuture},
    task::{JoinMap, TaskTracker},
    time::DelayQueue,
};
use futures::SinkExt;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, mpsc},
    task,
};
use tokio_stream::{StreamExt, StreamMap, wrappers};

use crate::park::{here, is, leaf, on_thread, parks, tracked, turn};

const HOUR: Duration = Duration::from_hours(1);

pub(super) fn spawn() {
    tokens_and_tasks();
    streams();
    on_thread(|started| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            let other = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let other = other.expect("a runtime");
            parks(
                "wrap of another runtime",
                other.wrap(async {
                    turn().await;
                    leaf::<()>().await; //~ leaf
                }),
            );
            turn().await;
            turn().await;
            started.send(()).expect("it waits");
            pending::<()>().await;
        });
    });
}

fn tokens_and_tasks() {
    parks("cancelled", async { CancellationToken::new().cancelled().await }); //~
    parks("cancelled_owned of a child", async {
        CancellationToken::new().child_token().cancelled_owned().await; //~
    });
    parks("run_until_cancelled", async {
        CancellationToken::new().run_until_cancelled(leaf::<()>()).await //~ leaf
    });
    tracked("run_until_cancelled_owned", async {
        let inner = async { leaf::<()>().await }; //~ 2 leaf
        CancellationToken::new().run_until_cancelled_owned(inner).await //~ 1
    });
    parks("with_cancellation_token", async {
        let token = CancellationToken::new();
        leaf::<()>().with_cancellation_token(&token).await //~ leaf
    });
    parks("timeout of tokio-util", async { leaf::<()>().timeout(HOUR).await }); //~ leaf
    parks("a token that is cancelled, and what comes then", async {
        let token = CancellationToken::new();
        token.cancel();
        token.run_until_cancelled(leaf::<()>()).await;
        token.cancelled().await;
        leaf::<()>().await; //~ leaf
    });
    drop(tokio::spawn(async {
        let tracker = TaskTracker::new();
        tracker.spawn(async {
            here("a task of a tracker");
            leaf::<()>().await; //~ leaf
        });
        tracker.close();
        is("wait of a tracker", task::id());
        tracker.wait().await; //~
    }));
    parks("track_future", async { TaskTracker::new().track_future(leaf::<()>()).await }); //~ leaf
    drop(tokio::spawn(async {
        let mut map = JoinMap::new();
        map.spawn("key", async {
            here("a task of a map");
            leaf::<()>().await; //~ leaf
        });
        is("join_next of a map", task::id());
        map.join_next().await.is_some() //~
    }));
    parks("a permit of a PollSemaphore", async {
        let mut permits = PollSemaphore::new(Arc::new(Semaphore::new(0)));
        futures::future::poll_fn(|context| permits.poll_acquire(context)).await.is_some() //~
    });
    parks("send of a PollSender", async {
        let (send, _receive) = mpsc::channel(1);
        let mut send = PollSender::new(send);
        send.send(1).await?;
        send.send(2).await //~
    });
    parks("a ReusableBoxFuture", async { ReusableBoxFuture::new(leaf::<()>()).await }); //~ leaf
    parks("a ReusableBoxFuture that was set again", async {
        let mut kept = ReusableBoxFuture::new(turn());
        (&mut kept).await;
        kept.set(async {
            turn().await;
            leaf::<()>().await; //~ 2 leaf
        });
        kept.await; //~ 1
    });
    parks("left of an Either", async {
        let which: Either<_, std::future::Ready<()>> = Either::Left(leaf::<()>());
        which.await; //~ leaf
    });
    parks("right of an Either of two functions", async {
        async fn first() {
            leaf().await
        }
        async fn second() {
            turn().await;
            leaf().await //~ 2 leaf
        }
        let is_first = std::hint::black_box(false);
        let which = if is_first { Either::Left(first()) } else { Either::Right(second()) };
        which.await; //~ 1
    });
}

fn streams() {
    parks("next of lines", async {
        let (read, _write) = io::duplex(8);
        FramedRead::new(read, LinesCodec::new()).next().await.is_some() //~
    });
    parks("read of a StreamReader", async {
        let chunks = futures::stream::once(async {
            leaf::<io::Result<bytes::Bytes>>().await //~ 2 leaf
        });
        pin!(StreamReader::new(chunks)).read(&mut [0]).await //~ 1
    });
    parks("next of a ReaderStream", async {
        let (read, mut write) = io::duplex(8);
        write.write_all(b"a").await.expect("room");
        let mut chunks = ReaderStream::new(read);
        drop(chunks.next().await);
        chunks.next().await.is_some() //~
    });
    parks("next of a DelayQueue", async {
        let mut queue = DelayQueue::new();
        queue.insert(1, HOUR);
        queue.next().await.is_some() //~
    });
    tracked("next of tokio-stream", async {
        pin!(futures::stream::once(leaf::<u8>())).next().await //~ leaf
    });
    parks("next of a ReceiverStream that is mapped", async {
        let (_send, receive) = mpsc::channel::<u8>(1);
        wrappers::ReceiverStream::new(receive).map(drop).next().await //~
    });
    parks("timeout of a stream", async {
        let all = futures::stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        pin!(all.timeout(HOUR)).next().await.is_some() //~ 1
    });
    parks("merge of two", async {
        let second = futures::stream::once(async { leaf::<u8>().await }); //~ 2b leaf
        let first = futures::stream::once(leaf::<u8>());
        pin!(first.merge(second)).next().await //~ 1 2a=leaf
    });
    parks("chain, in its second, of tokio-stream", async {
        let second = futures::stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        pin!(tokio_stream::empty().chain(second)).next().await //~ 1
    });
    parks("throttle, after an item that it has given", async {
        let all = async_stream::stream! {
            yield 1;
            leaf::<()>().await;
            yield 2;
        };
        let mut all = pin!(all.throttle(HOUR));
        all.next().await;
        all.next().await; //~
    });
    parks("collect of tokio-stream", async {
        futures::stream::once(leaf::<u8>()).collect::<Vec<_>>().await //~ leaf
    });
    parks("a map of streams", async {
        let mut all = StreamMap::new();
        all.insert(1, Box::pin(futures::stream::once(leaf::<u8>())));
        all.insert(2, Box::pin(futures::stream::once(leaf::<u8>())));
        all.next().await //~ leaf
    });
}
