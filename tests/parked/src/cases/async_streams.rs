//! Streams that `async-stream` makes, and generators that others poll.

use std::{future::pending, pin::pin};

use async_stream::{stream, try_stream};
use futures::{Stream, StreamExt, TryStreamExt};

use crate::park::{leaf, parks, tracked, turn};

pub(super) fn spawn() {
    tracked("next, in its first wait", async {
        let mut all = pin!(stream! {
            leaf::<()>().await; //~ 2 leaf
            yield 1;
        });
        all.next().await //~ 1
    });
    parks("next, in its second wait after two items", async {
        let mut all = pin!(stream! {
            for at in 0..2 {
                turn().await;
                yield at;
            }
            leaf::<()>().await; //~ 2 leaf
            yield 9;
        });
        while all.next().await.is_some() {} //~ 1
    });
    parks("suspended, while the task waits elsewhere", async {
        let mut all = pin!(stream! {
            yield 1;
            leaf::<()>().await;
        });
        all.next().await;
        pending::<()>().await; //~
        all.next().await;
    });
    parks("suspended, while a function of the task waits", async {
        let mut all = pin!(stream! {
            yield 1;
            leaf::<()>().await;
        });
        while let Some(1) = all.next().await {
            leaf::<()>().await; //~ leaf
        }
    });
    parks("try_stream with ?", async {
        let mut all = pin!(try_stream! {
            let it = async { Ok::<u8, ()>(1) }.await?;
            yield it;
            let it = leaf::<Result<u8, ()>>().await?; //~ 2 leaf
            yield it;
        });
        let first: Result<Option<u8>, ()> = all.try_next().await;
        first.and(all.try_next().await) //~ 1
    });
    // The `.await` of `for await` is at a line of the macro, in its crate.
    parks("for await over another", async {
        fn inner() -> impl Stream<Item = u8> {
            stream! {
                yield 1;
                turn().await;
                leaf::<()>().await; //~ 3 leaf
                yield 2;
            }
        }
        let mut all = pin!(stream! {
            for await it in inner() {
                yield it + 1;
            }
        });
        all.next().await;
        all.next().await //~ 1
    });
    parks("of a stream that was given what it waits for", async {
        let (send, mut receive) = tokio::sync::mpsc::channel::<u8>(1);
        let mut all = pin!(stream! {
            while let Some(it) = receive.recv().await { //~ 2
                yield it;
            }
        });
        send.send(1).await.expect("room");
        all.next().await;
        all.next().await //~ 1
    });
    parks("boxed, and mapped", async {
        let all = stream! {
            turn().await;
            leaf::<()>().await; //~ 2 leaf
            yield 1;
        };
        let mut all = all.boxed().map(|it: u8| it + 1);
        all.next().await //~ 1
    });
    parks("two of one function", async {
        fn of(waits_first: bool) -> impl Stream<Item = u8> {
            stream! {
                if waits_first {
                    leaf::<()>().await; //~ 2a leaf
                }
                yield 1;
                leaf::<()>().await; //~ 2b leaf
                yield 2;
            }
        }
        let (mut first, mut second) = (Box::pin(of(true)), Box::pin(of(false)));
        second.next().await;
        tokio::join!(first.next(), second.next()) //~ 1
    });
    parks("in select!, of which one is suspended", async {
        let mut given = pin!(stream! {
            yield 1;
            leaf::<()>().await;
        });
        let mut waits = pin!(stream! {
            leaf::<()>().await; //~ 2 leaf
            yield 2;
        });
        given.next().await;
        tokio::select! { //~ 1
            it = waits.next() => it,
            it = pending() => it,
        }
    });
    parks("dropped, and another at its place", async {
        {
            let mut first = pin!(stream! {
                yield 1;
                leaf::<()>().await;
            });
            first.next().await;
        }
        let mut second = pin!(stream! {
            turn().await;
            leaf::<()>().await; //~ 2 leaf
            yield 1;
        });
        second.next().await //~ 1
    });
    parks("polled by hand", async {
        let mut all = Box::pin(stream! {
            yield 1;
            leaf::<()>().await; //~ 2 leaf
        });
        all.next().await;
        std::future::poll_fn(|context| all.as_mut().poll_next(context)).await; //~ 1
    });
}
