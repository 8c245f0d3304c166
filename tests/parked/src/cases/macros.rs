//! `select!`, `join!`, `try_join!` and their like, of Tokio and of futures.

use std::{
    future::{pending, ready},
    pin::pin,
    time::Duration,
};

use async_stream::{stream, try_stream};
use futures::{FutureExt, StreamExt, TryStreamExt, future, stream};

use crate::park::{leaf, parks, tracked, turn};

type Outcome = Result<(), ()>;

pub(super) fn spawn() {
    of_tokio();
    handlers();
    joins();
    of_futures();
    in_streams();
}

/// The stream's macro makes the block that the other macro stands in.
fn in_streams() {
    parks("join! of futures in a stream!", async {
        let mut all = pin!(stream! {
            yield 1;
            futures::join!( //~ 2
                async { leaf::<()>().await }, //~ 3a leaf
                async { leaf::<()>().await }, //~ 3b leaf
            );
            yield 2;
        });
        all.next().await;
        all.next().await; //~ 1
    });
    parks("select! with one branch in a try_stream!", async {
        let mut all = pin!(try_stream! {
            tokio::select! { //~ 2
                () = async { leaf().await } => {} //~ 3 leaf
            }
            yield Err::<u8, ()>(())?;
        });
        let it: Result<Option<u8>, ()> = all.try_next().await; //~ 1
        it
    });
    parks("try_join! in a stream! of a function", async {
        fn of() -> impl futures::Stream<Item = u8> {
            stream! {
                let _ = tokio::try_join!( //~ 2
                    async { leaf::<Result<(), ()>>().await }, //~ 3a leaf
                    async { leaf::<Result<(), ()>>().await }, //~ 3b leaf
                );
                yield 1;
            }
        }
        pin!(of()).next().await; //~ 1
    });
    parks("join! of ten, of which eight are over", async {
        tokio::join!(
            //~ 1
            turn(),
            async { leaf::<()>().await }, //~ 2a leaf
            turn(),
            turn(),
            turn(),
            turn(),
            turn(),
            turn(),
            turn(),
            async { leaf::<()>().await }, //~ 2b leaf
        )
    });
}

fn of_tokio() {
    parks("select! of two functions", async {
        tokio::select! { //~ 1
            () = leaf() => {} //~ 2a=leaf
            () = async { leaf().await } => {} //~ 2b leaf
        }
    });
    tracked("select! of a function and a timer", async {
        tokio::select! { //~ leaf
            () = leaf() => {}
            () = tokio::time::sleep(Duration::from_hours(1)) => {}
        }
    });
    parks("select! of three channels", async {
        let (_send, mut receive) = tokio::sync::mpsc::channel::<u8>(1);
        let (_other, answer) = tokio::sync::oneshot::channel::<u8>();
        let notify = tokio::sync::Notify::new();
        tokio::select! { //~
            it = receive.recv() => assert!(it.is_none()),
            it = answer => drop(it),
            () = notify.notified() => {}
        }
    });
    parks("a biased select!", async {
        tokio::select! { //~ 1
            biased;
            () = async { leaf().await } => {} //~ 2a leaf
            () = async { leaf().await } => {} //~ 2b leaf
        }
    });
    parks("select! with a disabled branch", async {
        tokio::select! { //~ 1
            () = leaf(), if std::hint::black_box(false) => {}
            () = async { leaf().await } => {} //~ 2 leaf
        }
    });
    parks("select! with a branch whose pattern has not matched", async {
        tokio::select! { //~ 1
            Some(()) = async { turn().await; None } => {}
            () = async { leaf().await } => {} //~ 2 leaf
            else => {}
        }
    });
    parks("select! of pinned variables", async {
        let mut first = pin!(async { leaf::<()>().await }); //~ 2a leaf
        let mut second = Box::pin(async { leaf::<()>().await }); //~ 2b leaf
        tokio::select! { //~ 1
            () = &mut first => {}
            () = &mut second => {}
        }
    });
    parks("select! in select!", async {
        let inner = async {
            tokio::select! { //~ 2ab
                () = leaf() => {} //~ 3a=leaf
                () = async { leaf().await } => {} //~ 3b leaf
            }
        };
        tokio::select! { //~ 1
            () = inner => {}
            () = async { leaf().await } => {} //~ 2c leaf
        }
    });
    parks("the second turn of a loop of select!", async {
        let mut is_first = true;
        let mut kept = pin!(async { leaf::<()>().await }); //~ 2a leaf
        loop {
            let wait = async {
                if is_first {
                    turn().await;
                } else {
                    leaf::<()>().await; //~ 2b leaf
                }
            };
            tokio::select! { //~ 1
                () = &mut kept => break,
                () = wait => {}
            }
            is_first = false;
        }
    });
    parks("the second of two loops of select!", async {
        for at in 0..2_u8 {
            if at == 0 {
                tokio::select! {
                    () = turn() => {}
                    () = leaf() => {}
                }
            } else {
                tokio::select! { //~ 1
                    () = leaf() => {} //~ 2a=leaf
                    () = async { turn().await; leaf().await } => {} //~ 2b leaf
                }
            }
        }
    });
}

fn handlers() {
    parks("the handler of select!", async {
        tokio::select! {
            () = turn() => leaf::<()>().await, //~ leaf
            () = async { leaf().await } => {}
        }
    });
    parks("the handler of select!, with the loser kept", async {
        let mut kept = pin!(async { leaf::<()>().await });
        tokio::select! {
            () = &mut kept => {}
            () = turn() => {
                turn().await;
                pending::<()>().await; //~
            }
        }
        kept.await;
    });
    parks("after select!, with the loser awaited", async {
        let mut kept = pin!(async { leaf::<()>().await }); //~ 2 leaf
        tokio::select! {
            () = &mut kept => {}
            () = turn() => {}
        }
        kept.await; //~ 1
    });
    parks("the else of select!", async {
        tokio::select! {
            Some(()) = ready(None) => {}
            else => leaf::<()>().await, //~ leaf
        }
    });
    parks("the condition of select! awaits", async {
        let is_on = async { leaf::<bool>().await }; //~ 2 leaf
        tokio::select! {
            () = pending(), if is_on.await => {} //~ 1
            () = leaf() => {}
        }
    });
}

fn joins() {
    parks("join! of two functions", async {
        tokio::join!(
            //~ 1
            leaf::<()>(),                 //~ 2a=leaf
            async { leaf::<()>().await }, //~ 2b leaf
        )
    });
    tracked("join!, of which two are over", async {
        tokio::join!(
            //~ 1
            turn(),
            async { leaf::<()>().await }, //~ 2 leaf
            ready(1),
        )
    });
    parks("join! in join!, of which parts are over", async {
        let inner = async {
            tokio::join!(
                //~ 2ab
                leaf::<()>(), //~ 3a=leaf
                turn(),
                async { leaf::<()>().await }, //~ 3b leaf
            )
        };
        tokio::join!(
            //~ 1
            inner,
            async {
                turn().await;
                leaf::<()>().await; //~ 2c leaf
            },
        )
    });
    parks("try_join!, of which one is over", async {
        tokio::try_join!(
            //~ 1
            async {
                turn().await;
                Outcome::Ok(())
            },
            async { leaf::<Outcome>().await }, //~ 2 leaf
        )
    });
    parks("try_join! of three", async {
        tokio::try_join!(
            //~ 1
            leaf::<Outcome>(),                 //~ 2a=leaf
            async { leaf::<Outcome>().await }, //~ 2b leaf
            pending::<Outcome>(),
        )
    });
    parks("join! of what returns a future", async {
        let (inner, ()) = tokio::join!(async { leaf::<()>() }, turn());
        let _kept = inner;
        pending::<()>().await; //~
    });
}

fn of_futures() {
    parks("select! of futures", async {
        let mut first = pin!(async { leaf::<()>().await }.fuse()); //~ 2a leaf
        let mut second = pin!(leaf::<()>().fuse());
        futures::select! { //~ 1
            () = first => {}
            () = second => {} //~ 2b=leaf
        }
    });
    parks("select_biased! of futures, of which one is over", async {
        let mut over = future::Fuse::<future::Ready<()>>::terminated();
        let mut waits = pin!(async { leaf::<()>().await }.fuse()); //~ 2 leaf
        futures::select_biased! { //~ 1
            () = over => {}
            () = waits => {}
        }
    });
    parks("the second turn of a loop of select! of futures", async {
        let mut ends = pin!(turn().fuse());
        let mut waits = pin!(async { leaf::<()>().await }.fuse()); //~ 2 leaf
        loop {
            futures::select! { //~ 1
                () = ends => {}
                () = waits => break,
            }
        }
    });
    parks("select! of futures beside a stream that was told to stop", async {
        let source = async_stream::stream! {
            leaf::<()>().await;
            yield ();
        };
        let mut stopped = pin!(source.take_until(turn()));
        let mut waits = pin!(async { leaf::<()>().await }.fuse()); //~ 2 leaf
        loop {
            futures::select! { //~ 1
                _ = stopped.next() => {}
                () = waits => break,
            }
        }
    });
    parks("the handler of select! of futures", async {
        let mut waits = pin!(async { leaf::<()>().await }.fuse());
        futures::select! {
            () = pin!(turn().fuse()) => {
                leaf::<()>().await; //~ leaf
            }
            () = waits => {}
        }
    });
    parks("join! of futures", async {
        futures::join!(
            //~ 1
            leaf::<()>(),                 //~ 2a=leaf
            async { leaf::<()>().await }, //~ 2b leaf
        )
    });
    parks("try_join! of futures, of which one is over", async {
        futures::try_join!(
            //~ 1
            ready(Outcome::Ok(())),
            async { leaf::<Outcome>().await }, //~ 2 leaf
        )
    });
    parks("stream_select!", async {
        let first = Box::pin(stream::once(async { leaf::<u8>().await })); //~ 2a leaf
        let second = Box::pin(stream::once(leaf::<u8>()));
        futures::stream_select!(first, second).next().await //~ 1 2b=leaf
    });
    parks("pending!", async {
        futures::pending!(); //~
    });
    parks("poll!, and then", async {
        let mut kept = Box::pin(leaf::<()>());
        let _ = futures::poll!(&mut kept);
        turn().await;
        futures::pending!(); //~
        kept.await;
    });
}
