//! Different futures that have one name: a block has functions of its own.

use std::{future::pending, pin::Pin};

use crate::park::{leaf, parks, turn};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) fn spawn() {
    parks("a function of one name, the first", {
        async fn works() {
            turn().await;
            leaf::<()>().await; //~ leaf
        }
        works()
    });
    parks("a function of one name, the second", {
        async fn works() {
            turn().await;
            async { leaf::<()>().await }.await; //~ 1 2 leaf
            leaf::<()>().await;
        }
        works()
    });
    parks("a function of one name and of the first one's size", {
        async fn works() {
            turn().await;
            pending::<()>().await; //~
            leaf::<()>().await;
        }
        works()
    });
    parks("a block of one name, the first", {
        fn makes() -> impl Future<Output = ()> {
            async {
                turn().await;
                leaf::<()>().await; //~ leaf
            }
        }
        makes()
    });
    parks("a block of one name, the second", {
        fn makes() -> impl Future<Output = ()> {
            async {
                leaf::<()>().await; //~ leaf
                turn().await;
            }
        }
        makes()
    });
    parks("a function of one name, boxed, the first", {
        async fn boxed() {
            turn().await;
            leaf::<()>().await; //~ leaf
        }
        let boxed: Boxed = Box::pin(boxed());
        boxed
    });
    parks("a function of one name, boxed, the second", {
        async fn boxed() {
            leaf::<()>().await; //~ leaf
            turn().await;
        }
        let boxed: Boxed = Box::pin(boxed());
        boxed
    });
}
