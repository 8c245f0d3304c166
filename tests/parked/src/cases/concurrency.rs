//! futures-concurrency.

use std::{
    future::{pending, ready},
    pin::pin,
};

use futures::{StreamExt, stream};
use futures_concurrency::{
    future::{FutureGroup, Join, Race, RaceOk, TryJoin},
    prelude::{ConcurrentStream, IntoConcurrentStream},
    stream::{Chain, Merge, StreamGroup, Zip},
};

use crate::park::{leaf, parks, tracked, turn};

type Outcome = Result<(), ()>;

pub(super) fn spawn() {
    futures();
    streams();
}

fn futures() {
    tracked("join of a tuple", async {
        let second = async { leaf::<()>().await }; //~ 2b leaf
        (leaf::<()>(), second).join().await //~ 1 2a=leaf
    });
    parks("join of a tuple, of which one is over", async {
        let second = async { leaf::<()>().await }; //~ 2 leaf
        (turn(), second).join().await //~ 1
    });
    parks("join of an array", async { [leaf::<()>(), leaf()].join().await }); //~ leaf
    parks("join of a Vec, of which the first is over", async {
        let late = |at: usize| async move {
            if at == 0 {
                turn().await;
            } else {
                leaf::<()>().await; //~ 2 leaf
            }
        };
        (0..3).map(late).collect::<Vec<_>>().join().await //~ 1
    });
    parks("race of a tuple", async {
        let second = async { leaf::<()>().await }; //~ 2b leaf
        (leaf::<()>(), second).race().await //~ 1 2a=leaf
    });
    parks("race of an array", async { [leaf::<()>(), leaf()].race().await }); //~ leaf
    parks("after a race that is over", async {
        (turn(), leaf::<()>()).race().await;
        pending::<()>().await; //~
    });
    parks("race_ok, of which one has failed", async {
        let second = async { leaf::<Outcome>().await }; //~ 2 leaf
        (ready(Outcome::Err(())), second).race_ok().await.is_ok() //~ 1
    });
    parks("try_join of a tuple, of which one is over", async {
        let second = async { leaf::<Outcome>().await }; //~ 2 leaf
        (ready(Outcome::Ok(())), second).try_join().await.is_ok() //~ 1
    });
    parks("try_join of a Vec", async {
        vec![leaf::<Outcome>(), leaf()].try_join().await.is_ok() //~ leaf
    });
    parks("a group of futures, of which one is over", async {
        let late = |at: usize| async move {
            if at == 0 {
                turn().await;
            } else {
                leaf::<()>().await; //~ 2 leaf
            }
        };
        let mut group = FutureGroup::new();
        group.insert(Box::pin(late(0)));
        group.insert(Box::pin(late(1)));
        group.next().await;
        group.next().await //~ 1
    });
}

fn streams() {
    parks("merge of a tuple", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2b leaf
        pin!((stream::once(leaf::<u8>()), second).merge()).next().await //~ 1 2a=leaf
    });
    parks("merge, of which one is suspended", async {
        let given = async_stream::stream! {
            yield 1;
            leaf::<()>().await;
        };
        let mut both = pin!((given, stream::pending()).merge());
        both.next().await;
        pending::<()>().await; //~
        both.next().await;
    });
    parks("chain of a tuple, in its second", async {
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        pin!((stream::iter([1; 0]), second).chain()).next().await //~ 1
    });
    parks("zip of a tuple, of which the first has given", async {
        let first = async_stream::stream! {
            yield 1;
            leaf::<()>().await;
        };
        let second = stream::once(async { leaf::<u8>().await }); //~ 2 leaf
        pin!((first, second).zip()).next().await //~ 1
    });
    parks("a group of streams", async {
        let mut group = StreamGroup::new();
        group.insert(Box::pin(stream::once(leaf::<u8>())));
        group.next().await //~ leaf
    });
    parks("a concurrent stream of a Vec", async {
        vec![1, 2].into_co_stream().for_each(|_| async { leaf::<()>().await }).await; //~ 1 2 leaf
    });
    parks("a concurrent stream that is collected", async {
        let all = vec![1, 2].into_co_stream().map(|_| async { leaf::<u8>().await }); //~ 2 leaf
        all.collect::<Vec<_>>().await //~ 1
    });
}
