//! The combinators of `futures::future`.

use std::{
    future::{Future, pending, ready},
    panic::AssertUnwindSafe,
    pin::Pin,
};

use futures::{
    FutureExt, TryFutureExt,
    future::{self, BoxFuture, Either, OptionFuture},
};

use crate::park::{leaf, local, on_local_set, parks, tracked, turn};

type Outcome = Result<(), ()>;

async fn other() {
    turn().await;
    leaf().await
}

pub(super) fn spawn() {
    parks("map", async { leaf().map(|()| 1).await }); //~ leaf
    tracked("map, tracked", async { leaf().map(|()| 1).await }); //~ leaf
    parks("map of map of map", async {
        turn().await;
        leaf().map(|()| 1).map(|it| it + 1).map(drop).await //~ leaf
    });
    parks("then, in its first stage", async { leaf().then(|()| other()).await }); //~ leaf
    parks("then, in its second stage", async {
        turn().then(|()| leaf::<()>()).await; //~ leaf
    });
    tracked("then, after two stages", async {
        turn()
            .then(|()| turn())
            .then(|()| async { leaf::<()>().await }) //~ 2 leaf
            .await; //~ 1
    });
    parks("map_into", async {
        let _: u64 = leaf::<u32>().map_into().await; //~ leaf
    });
    parks("flatten, in its first stage", async {
        let inner = async { leaf::<future::Ready<()>>().await }; //~ 2 leaf
        inner.flatten().await; //~ 1
    });
    parks("flatten, in its second stage", async {
        let inner = async {
            turn().await;
            leaf::<()>()
        };
        inner.flatten().await; //~ leaf
    });
    parks("inspect", async { leaf().inspect(|()| ()).await }); //~ leaf
    parks("fuse", async { leaf::<()>().fuse().await }); //~ leaf
    parks("catch_unwind", async { AssertUnwindSafe(leaf::<()>()).catch_unwind().await }); //~ leaf
    parks("shared", async { leaf::<()>().shared().await }); //~ leaf
    parks("shared, of which a clone is polled before", async {
        let first = leaf::<()>().shared();
        let second = first.clone();
        assert!(first.now_or_never().is_none());
        second.await; //~ leaf
    });
    parks("boxed", async { leaf::<()>().boxed().await }); //~ leaf
    parks("a boxed future alone", leaf::<()>().boxed()); //~ 1=leaf
    parks("unit_error", async { leaf::<()>().unit_error().await }); //~ leaf
    parks("never_error", async { leaf::<()>().never_error().await }); //~ leaf
    parks("left_future", async {
        let which: Either<_, BoxFuture<'static, ()>> = leaf::<()>().left_future();
        which.await; //~ leaf
    });
    parks("right_future", async {
        let inner = async { leaf::<()>().await }; //~ 2 leaf
        let which: Either<future::Ready<()>, _> = inner.right_future();
        which.await; //~ 1
    });
    parks("now_or_never before, then awaited", async {
        let mut kept = Box::pin(leaf::<()>());
        assert!(kept.as_mut().now_or_never().is_none());
        turn().await;
        leaf::<()>().map(drop).await; //~ leaf
        drop(kept);
    });
    parks("select of two", async {
        let second = Box::pin(async { leaf::<()>().await }); //~ 2b leaf
        future::select(Box::pin(leaf::<()>()), second).await; //~ 1 2a=leaf
    });
    parks("select, of which the loser is kept and not awaited", async {
        let (over, left) = (Box::pin(turn()), Box::pin(other()));
        let lost = future::select(over, left).await;
        pending::<()>().await; //~
        drop(lost);
    });
    parks("select, and then what it has left", async {
        let (over, left) = (Box::pin(turn()), Box::pin(async { leaf::<()>().await })); //~ 2 leaf
        let Either::Left((_, left)) = future::select(over, left).await else { unreachable!() };
        left.await; //~ 1
    });
    parks("select_all", async {
        let all = [leaf::<()>().boxed(), leaf().boxed()];
        future::select_all(all).await; //~ leaf
    });
    parks("select_ok", async {
        let all = [leaf::<Outcome>().boxed(), async { Err(()) }.boxed()];
        future::select_ok(all).await.map(drop) //~ leaf
    });
    parks("join of two", async {
        let second = async { leaf::<()>().await }; //~ 2b leaf
        future::join(leaf::<()>(), second).await; //~ 1 2a=leaf
    });
    parks("join, of which one is over", async {
        let second = async { leaf::<()>().await }; //~ 2 leaf
        future::join(turn(), second).await; //~ 1
    });
    parks("join3, of which two are over", async {
        future::join3(turn(), leaf::<()>(), ready(1)).await; //~ leaf
    });
    parks("join5, of which none is over", async {
        let first = async { leaf::<()>().await }; //~ 2a leaf
        let last = async { leaf::<()>().await }; //~ 2b leaf
        future::join5(first, ready(1), turn(), pending::<()>(), last).await; //~ 1
    });
    parks("join_all of two", async {
        future::join_all([leaf::<()>(), leaf()]).await; //~ leaf
    });
    parks("join_all of forty", async {
        future::join_all((0..40).map(|_| leaf::<()>())).await; //~ leaf
    });
    parks("join_all, of which the first is over", async {
        let late = |at: usize| async move {
            if at == 0 {
                turn().await;
            } else {
                leaf::<()>().await; //~ 2 leaf
            }
        };
        future::join_all((0..3).map(late)).await; //~ 1
    });
    parks("try_join, of which one is over", async {
        let over = async {
            turn().await;
            Outcome::Ok(())
        };
        let waits = async { leaf::<Outcome>().await }; //~ 2 leaf
        future::try_join(over, waits).await.map(drop) //~ 1
    });
    parks("try_join3", async {
        let first = async { leaf::<Outcome>().await }; //~ 2a leaf
        let third = async { leaf::<Outcome>().await }; //~ 2b leaf
        future::try_join3(first, ready(Outcome::Ok(())), third).await.map(drop) //~ 1
    });
    parks("try_join_all", async {
        future::try_join_all([leaf::<Outcome>(), leaf()]).await.map(drop) //~ leaf
    });
    parks("abortable", async {
        let (future, handle) = future::abortable(leaf::<()>());
        let end = future.await; //~ leaf
        drop(handle);
        end
    });
    parks("remote_handle, of what is polled by the same task", async {
        let (remote, handle) = leaf::<()>().remote_handle();
        remote.await; //~ leaf
        drop(handle);
    });
    parks("a remote handle", async {
        let (remote, handle) = leaf::<()>().remote_handle();
        tokio::spawn(remote);
        handle.await; //~
    });
    parks("maybe_done", async {
        let mut done = Box::pin(future::maybe_done(leaf::<()>()));
        done.as_mut().await; //~ leaf
    });
    parks("maybe_done that is over and kept", async {
        let mut done = Box::pin(future::maybe_done(async { leaf::<()>() }));
        done.as_mut().await;
        pending::<()>().await; //~
        drop(done);
    });
    parks("an option of a future", async { OptionFuture::from(Some(leaf::<()>())).await }); //~ leaf
    parks("lazy, and then", async { future::lazy(|_| ()).then(|()| leaf::<()>()).await }); //~ leaf
    tracked("and_then, in its first stage", async {
        leaf::<Outcome>().and_then(|()| ready(Ok(()))).await //~ leaf
    });
    parks("and_then, in its second stage", async {
        ready(Outcome::Ok(())).and_then(|()| leaf::<Outcome>()).await //~ leaf
    });
    parks("or_else, in its second stage", async {
        ready(Outcome::Err(())).or_else(|()| leaf::<Outcome>()).await //~ leaf
    });
    parks("map_ok", async { leaf::<Outcome>().map_ok(|()| 1).await }); //~ leaf
    parks("map_err", async { leaf::<Outcome>().map_err(|()| 1).await }); //~ leaf
    parks("map_ok_or_else", async {
        leaf::<Outcome>().map_ok_or_else(|()| 1, |()| 2).await //~ leaf
    });
    parks("err_into and ok_into", async {
        leaf::<Result<u8, u8>>().err_into::<u16>().ok_into::<u32>().await //~ leaf
    });
    parks("inspect_ok and inspect_err", async {
        leaf::<Outcome>().inspect_ok(|()| ()).inspect_err(|()| ()).await //~ leaf
    });
    parks("unwrap_or_else", async { leaf::<Outcome>().unwrap_or_else(|()| ()).await }); //~ leaf
    parks("try_flatten, in its first stage", async {
        leaf::<Result<future::Ready<Outcome>, ()>>().try_flatten().await //~ leaf
    });
    parks("try_flatten, in its second stage", async {
        async { Ok(leaf::<Outcome>()) }.try_flatten().await //~ leaf
    });
    parks("into_future of a try future", async {
        TryFutureExt::into_future(leaf::<Outcome>()).await //~ leaf
    });
    parks("poll_fn over a pinned future", async {
        let mut inner = Box::pin(leaf::<()>());
        future::poll_fn(move |context| inner.as_mut().poll(context)).await; //~ leaf
    });
    parks("poll_immediate, and then", async {
        let was_ready = future::poll_immediate(leaf::<()>()).await;
        pending::<()>().await; //~
        was_ready
    });
    on_local_set(|| {
        local("boxed_local", async { leaf::<()>().boxed_local().await }); //~ leaf
        local("a local boxed future alone", {
            let inner: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
                leaf::<()>().await //~ leaf
            });
            inner
        });
    });
}
