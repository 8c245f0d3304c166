//! `select!` with branches that are disabled, kept or over.

use crate::park::{leaf, parks, turn};
use futures::{FutureExt, StreamExt, TryStreamExt, future, stream};
use std::{
    future::{Future, pending},
    pin::{Pin, pin},
    time::Duration,
};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) async fn spawn() {
    parks("a pinned future that the current select! has not", async {
        let mut kept = pin!(async { leaf::<()>().await });
        let mut other = pin!(async { leaf::<()>().await }); //~ 2a leaf
        loop {
            tokio::select! {
                () = &mut kept => {}
                () = turn() => {}
            }
            tokio::select! { //~ 1
                () = &mut other => break,
                () = async { leaf().await } => {} //~ 2b leaf
            }
        }
        kept.await;
    });
    parks("a biased select! whose polled branch is disabled now", async {
        let mut kept = pin!(async { leaf::<()>().await });
        let mut is_on = true;
        let mut other = pin!(async {
            turn().await;
            leaf::<()>().await //~ 2 leaf
        });
        loop {
            tokio::select! { //~ 1
                biased;
                () = &mut kept, if is_on => break,
                () = turn(), if is_on => is_on = false,
                () = &mut other => break,
            }
        }
    });
    parks("select! in a loop with a stream that is over", async {
        let mut done = false;
        let mut all = pin!(stream::iter(0..2_u8));
        let mut other = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
        loop {
            tokio::select! { //~ 1
                it = all.next(), if !done => done = it.is_none(),
                () = &mut other => break,
            }
        }
    });
    parks("select! of an option that is none, and a function", async {
        let mut none: future::OptionFuture<Boxed> = None.into();
        tokio::select! { //~ 1
            Some(()) = &mut none => {}
            () = async { leaf().await } => {} //~ 2 leaf
        }
    });
    parks("select! of an option that waits, after it was taken", async {
        let mut first: Option<Boxed> = Some(Box::pin(async { leaf().await }));
        let mut second: Option<Boxed> = Some(Box::pin(async { leaf().await })); //~ 3 leaf
        for at in 0..2 {
            let it = async { first.as_mut().unwrap().await }; //~ 2
            if at == 0 {
                tokio::select! { () = it => {}, () = turn() => {} }
                first = second.take();
                continue;
            }
            tokio::select! { () = it => {} } //~ 1
        }
    });
    parks("a timeout in join!", async {
        tokio::join!(
            //~ 1
            tokio::time::timeout(Duration::from_secs(0), async { leaf::<()>().await }),
            tokio::time::timeout(Duration::from_secs(9999), async { leaf::<()>().await }),
            //~ 2 leaf
        )
    });
    parks("select! in join! in select!", async {
        tokio::select! { //~ 1
            ((), ()) = async { tokio::join!( //~ 2ab
                async { tokio::select! { () = leaf() => {}, () = pending() => {} } }, //~ 3a leaf
                async { leaf().await }, //~ 3b leaf
            ) } => {}
            () = async { turn().await; leaf().await } => {} //~ 2c leaf
        }
    });
    parks("futures::select! over a list and a future that is over", async {
        let mut all: stream::FuturesUnordered<_> =
            [0_u8, 1].into_iter().map(|_| async { leaf::<()>().await }).collect(); //~ 2a leaf
        let mut over = pin!(turn().fuse());
        let mut other = pin!(async { leaf::<()>().await }.fuse()); //~ 2b leaf
        loop {
            futures::select! { //~ 1
                () = all.select_next_some() => {}
                () = over => {}
                () = other => break,
            }
        }
    });
    parks("futures::select! with two next of streams", async {
        let mut a = stream::once(async { leaf::<u8>().await }).boxed().fuse(); //~ 2a leaf
        let mut b = stream::once(async { leaf::<u8>().await }).boxed().fuse(); //~ 2b leaf
        futures::select! { //~ 1
            it = a.next() => it,
            it = b.next() => it,
        }
    });
    parks("futures::select! of a stream that is over", async {
        let mut a = stream::iter(0..1_u8).fuse();
        let mut b = stream::once(async { leaf::<u8>().await }).boxed().fuse(); //~ 2 leaf
        loop {
            futures::select! { //~ 1
                _ = a.select_next_some() => {}
                it = b.select_next_some() => break it,
            }
        }
    });
    parks("select! with a yield in its handler, over a merge", async {
        let source = async_stream::try_stream! {
            let mut kept = pin!(async { leaf::<()>().await });
            loop {
                tokio::select! {
                    () = &mut kept => break,
                    () = turn() => { yield 1_u8; }
                }
            }
            if false { Err(())? }
        };
        let source: Pin<Box<dyn futures::Stream<Item = Result<u8, ()>> + Send>> = Box::pin(source);
        let it = source
            .map_ok(|_| async { leaf::<Result<(), ()>>().await }) //~ 2 leaf
            .try_buffer_unordered(1)
            .try_next()
            .await; //~ 1
        it
    });
    parks("the else of select! in a loop", async {
        let mut n = 0;
        loop {
            tokio::select! {
                Some(()) = async { turn().await; None::<()> }, if n == 0 => {}
                else => { n += 1; if n > 1 { leaf::<()>().await } } //~ leaf
            }
        }
    });
    parks("select of two, then the other half again in select!", async {
        let a = Box::pin(async { leaf::<()>().await }); //~ 2a leaf
        let b = Box::pin(turn());
        if let future::Either::Right(((), rest)) = future::select(a, b).await {
            tokio::select! { //~ 1
                () = rest => {}
                () = async { leaf().await } => {} //~ 2b leaf
            }
        }
    });
    parks("join! of a list that is empty and a function", async {
        let mut all = stream::FuturesUnordered::<Boxed>::new();
        tokio::join!(
            //~ 1
            async {
                all.next().await;
                leaf::<()>().await //~ 2a leaf
            },
            async { leaf::<()>().await }, //~ 2b leaf
        )
    });
    parks("join! of maybe_done and its output", async {
        let inner = async { Box::pin(async { leaf::<()>().await }) as Boxed };
        let mut kept = future::maybe_done(Box::pin(inner));
        (&mut kept).await;
        let mut it = Pin::new(&mut kept).take_output().unwrap();
        assert!(futures::poll!(&mut it).is_pending());
        let other = async { it };
        tokio::join!(other, async { leaf::<()>().await }) //~ 1 2 leaf
    });
    {
        for mask in 1..=199_u8 {
            tokio::spawn(of(mask));
        }
        tokio::time::sleep(Duration::from_millis(900)).await;
        tokio::task::spawn_blocking(|| {
            let _ = memscope_rs::async_memory::task_dump();
        })
        .await
        .unwrap();
        parks("the many masks of a select!", of(0));
        async fn of(mask: u8) {
            let mut on: Boxed = Box::pin(async { leaf::<()>().await }); //~ 2 leaf
            let mut all: Vec<Boxed> =
                (0..8).map(|_| -> Boxed { Box::pin(async { leaf::<()>().await }) }).collect();
            for it in &mut all {
                assert!(futures::poll!(it).is_pending());
            }
            let [a, b, c, d, e, f, g, h] = &mut all[..] else { return };
            let is = |bit: u8| mask & (1 << bit) != 0;
            tokio::select! { //~ 1
                () = a, if is(0) => {}
                () = b, if is(1) => {}
                () = c, if is(2) => {}
                () = d, if is(3) => {}
                () = e, if is(4) => {}
                () = f, if is(5) => {}
                () = g, if is(6) => {}
                () = h, if is(7) => {}
                () = &mut on => {}
            }
        }
    }
}
