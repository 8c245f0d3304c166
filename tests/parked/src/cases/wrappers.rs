//! What programs wrap their futures in.

use std::{future::Future, pin::Pin};

use async_trait::async_trait;
use futures::{FutureExt, future::BoxFuture};
use memscope_rs::async_memory::track;
use tracing::{Instrument, Span, instrument::WithSubscriber, subscriber::NoSubscriber};

use crate::park::{leaf, parks, tracked, turn};

#[async_trait]
trait Store {
    async fn get(&self) -> u8;

    async fn get_twice(&self) -> u8 {
        self.get().await + self.get().await
    }
}

struct Waits;

#[async_trait]
impl Store for Waits {
    async fn get(&self) -> u8 {
        leaf().await
    }
}

pub(super) fn spawn() {
    of_tracing();
    of_traits();
    parks("track in a plain task", async { track(leaf::<()>()).await }); //~ leaf
    parks("a tracked future alone", track(leaf::<()>())); //~ 1=leaf
    tracked("track in track", async {
        track(async { leaf::<()>().await }).named("inner").await; //~ 1 2 leaf
    });
    parks("a tracked function", async {
        #[memscope_rs::tracked]
        async fn works() {
            turn().await;
            leaf::<()>().await; //~ 2 leaf
        }
        works().await; //~ 1
    });
    parks("many wrappers", async {
        let inner = async { leaf::<()>().await }; //~ 2 leaf
        let wrapped = tokio::task::unconstrained(track(inner).fuse().map(drop).boxed());
        let wrapped = wrapped.instrument(Span::none()).map(|()| 1);
        tokio::time::timeout(std::time::Duration::from_hours(1), wrapped).await //~ 1
    });
}

fn of_tracing() {
    tracked("instrument", async { leaf::<()>().instrument(Span::none()).await }); //~ leaf
    parks(
        "an instrumented future alone",
        async {
            turn().await;
            leaf::<()>().await; //~ leaf
        }
        .instrument(tracing::info_span!("span")),
    );
    parks("in_current_span of a box", async {
        async { leaf::<()>().await }.boxed().in_current_span().await; //~ 1 2 leaf
    });
    parks("with_subscriber", async {
        leaf::<()>().with_subscriber(NoSubscriber::default()).await; //~ leaf
    });
    parks("an #[instrument] function", async {
        #[tracing::instrument] //~ 2
        async fn works(number: u8) -> u8 {
            turn().await;
            number + leaf::<u8>().await //~ 3 leaf
        }
        works(1).await //~ 1
    });
    parks("an #[instrument] function with a result", async {
        #[tracing::instrument(err, ret, skip_all)] //~ 2 3
        async fn works(number: u8) -> Result<u8, String> {
            let waited = leaf::<Result<u8, String>>().await?; //~ 4 leaf
            Ok(number + waited)
        }
        works(1).await //~ 1
    });
}

fn of_traits() {
    parks("a method of a trait object", async {
        struct Second;
        #[async_trait]
        impl Store for Second {
            async fn get(&self) -> u8 {
                turn().await;
                leaf().await //~ 2 leaf
            }
        }
        let store: Box<dyn Store + Send + Sync> = Box::new(Second);
        store.get().await //~ 1
    });
    parks("a method of a trait object that has another", async {
        struct Asks<S>(S);
        #[async_trait]
        impl<S: Store + Send + Sync> Store for Asks<S> {
            async fn get(&self) -> u8 {
                self.0.get_slowly().await //~ 2
            }
        }
        trait Slowly {
            fn get_slowly(&self) -> BoxFuture<'_, u8>;
        }
        impl<S: Store + Send + Sync> Slowly for S {
            fn get_slowly(&self) -> BoxFuture<'_, u8> {
                async { leaf::<u8>().await + self.get().await }.boxed() //~ 3 leaf
            }
        }
        let store: Box<dyn Store + Send + Sync> = Box::new(Asks(Waits));
        store.get().await //~ 1
    });
    parks("a method, in its second await of another", async {
        use std::sync::atomic::{AtomicU8, Ordering};
        struct Counts(AtomicU8);
        #[async_trait]
        impl Store for Counts {
            async fn get(&self) -> u8 {
                if self.0.fetch_add(1, Ordering::Relaxed) == 1 {
                    leaf::<()>().await; //~ 3 leaf
                }
                1
            }
            async fn get_twice(&self) -> u8 {
                let first = self.get().await;
                first + self.get().await //~ 2
            }
        }
        Counts(AtomicU8::new(0)).get_twice().await //~ 1
    });
    parks("an async fn of a trait without a box", async {
        trait Plain {
            fn works(&self) -> impl Future<Output = u8> + Send;
        }
        struct First;
        struct Second;
        impl Plain for First {
            async fn works(&self) -> u8 {
                leaf().await
            }
        }
        impl Plain for Second {
            async fn works(&self) -> u8 {
                turn().await;
                leaf().await //~ 3 leaf
            }
        }
        async fn both(first: bool) -> u8 {
            if first { First.works().await } else { Second.works().await } //~ 2
        }
        both(std::hint::black_box(false)).await //~ 1
    });
    parks("a function in a box that makes a box", async {
        type Handler = Box<dyn Fn(u8) -> Pin<Box<dyn Future<Output = u8> + Send>> + Send + Sync>;
        let handlers: [Handler; 2] = [
            Box::new(|it| Box::pin(async move { it + leaf::<u8>().await })),
            Box::new(|it| Box::pin(async move { it + leaf::<u8>().await })), //~ 2 leaf
        ];
        handlers[std::hint::black_box(1)](1).await //~ 1
    });
}
