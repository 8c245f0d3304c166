//! tower.

use std::{convert::Infallible, future::ready, time::Duration};

use futures::future::BoxFuture;
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt,
    retry::{Policy, Retry},
    service_fn,
    util::BoxService,
};

use crate::park::{leaf, local, on_local_set, tracked, turn};

type Answer = Result<u8, BoxError>;

const HOUR: Duration = Duration::from_hours(1);

#[derive(Clone)]
struct Again(u32);

impl Policy<u8, u8, BoxError> for Again {
    type Future = BoxFuture<'static, ()>;

    fn retry(&mut self, _: &mut u8, _: &mut Answer) -> Option<Self::Future> {
        self.0 = self.0.checked_sub(1)?;
        Some(Box::pin(ready(())))
    }

    fn clone_request(&mut self, request: &u8) -> Option<u8> {
        Some(*request)
    }
}

pub(super) fn spawn() {
    // What tower boxes of errors keeps their futures from being known as `Send`.
    on_local_set(|| {
        calls();
        stacks();
    });
}

fn calls() {
    tracked("oneshot", async {
        let works = service_fn(|_: u8| async { leaf::<Answer>().await }); //~ 2 leaf
        works.oneshot(1).await //~ 1
    });
    local("ready and call, the second time", async {
        let mut works = service_fn(|it: u8| async move {
            if it == 1 {
                turn().await;
                return Ok(1);
            }
            leaf::<Answer>().await //~ 2 leaf
        });
        works.ready().await?.call(1).await?;
        works.ready().await?.call(2).await //~ 1
    });
    local("ready of what is at its limit", async {
        let works = service_fn(|_: u8| leaf::<Answer>());
        let mut works = ServiceBuilder::new().concurrency_limit(1).service(works);
        let first = works.ready().await?.call(1);
        let is_ready = works.ready().await.is_ok(); //~
        drop(first);
        Ok::<bool, BoxError>(is_ready)
    });
    local("ready of what has a limit for a time", async {
        let works = service_fn(|_: u8| ready(Answer::Ok(1)));
        let mut works = ServiceBuilder::new().rate_limit(1, HOUR).service(works);
        works.ready().await?.call(1).await?;
        works.ready().await.map(drop) //~
    });
    local("a boxed service", async {
        let works = BoxService::new(service_fn(|_: u8| async { leaf::<Answer>().await }));
        //~ 2 leaf
        works.oneshot(1).await //~ 1
    });
    local("a cloned boxed service", async {
        let works = service_fn(|_: u8| async { leaf::<Answer>().await }).boxed_clone(); //~ 2 leaf
        works.clone().oneshot(1).await //~ 1
    });
    local("call_all", async {
        use futures::StreamExt;
        let works = service_fn(|_: u8| async { leaf::<Answer>().await }); //~ 2 leaf
        works.call_all(futures::stream::iter([1, 2])).next().await //~ 1
    });
    local("spawn_ready", async {
        let works = service_fn(|_: u8| async { leaf::<Answer>().await }); //~ 2 leaf
        tower::spawn_ready::SpawnReady::new(works).oneshot(1).await //~ 1
    });
}

fn stacks() {
    local("a buffer, whose service waits", async {
        let works = service_fn(|_: u8| async { leaf::<Answer>().await }); //~ 2 leaf
        ServiceBuilder::new().buffer(4).service(works).oneshot(1).await //~ 1
    });
    local("a timeout and a limit", async {
        let works = service_fn(|_: u8| async { leaf::<Answer>().await }); //~ 2 leaf
        let builder = ServiceBuilder::new().timeout(HOUR).concurrency_limit(2);
        builder.service(works).oneshot(1).await //~ 1
    });
    local("load_shed", async {
        let works = service_fn(|_: u8| async { leaf::<Answer>().await }); //~ 2 leaf
        ServiceBuilder::new().load_shed().service(works).oneshot(1).await //~ 1
    });
    local("the second try of a retry", async {
        let mut tries = 0;
        let works = ServiceBuilder::new().buffer(4).service(service_fn(move |_: u8| {
            tries += 1;
            let is_first = tries == 1;
            async move {
                if is_first {
                    turn().await;
                    return Answer::Ok(1);
                }
                leaf::<Answer>().await //~ 2 leaf
            }
        }));
        Retry::new(Again(2), works).oneshot(1).await //~ 1
    });
    local("a filter that waits", async {
        let works = service_fn(|_: u8| async { leaf::<Answer>().await });
        let check = |it: u8| async move {
            leaf::<()>().await; //~ 2 leaf
            Ok::<u8, BoxError>(it)
        };
        ServiceBuilder::new().filter_async(check).service(works).oneshot(1).await //~ 1
    });
    local("and_then of a service, in its second", async {
        let works = service_fn(|it: u8| async move {
            turn().await;
            Answer::Ok(it)
        });
        let works = works.and_then(|_| async { leaf::<Answer>().await }); //~ 2 leaf
        works.oneshot(1).await //~ 1
    });
    local("then of a service", async {
        let works = service_fn(|_: u8| ready(Answer::Ok(1)));
        let works = works.then(|_: Answer| async { leaf::<Answer>().await }); //~ 2 leaf
        works.oneshot(1).await //~ 1
    });
    local("map_response, map_request and map_err", async {
        let works = service_fn(|_: u8| async { leaf::<Answer>().await }); //~ 2 leaf
        let works = works.map_request(|it: u8| it).map_response(|it| it + 1);
        works.map_err(|why| why.to_string()).oneshot(1).await //~ 1
    });
    local("map_future", async {
        let works = service_fn(|_: u8| ready(Ok::<u8, Infallible>(1)));
        let works = works.map_future(|before| async {
            let it = before.await;
            leaf::<()>().await; //~ 2 leaf
            it
        });
        works.oneshot(1).await //~ 1
    });
    local("option_layer and Either", async {
        let works = service_fn(|_: u8| async { leaf::<Answer>().await }); //~ 2 leaf
        let timeout = Some(tower::timeout::TimeoutLayer::new(HOUR));
        ServiceBuilder::new().option_layer(timeout).service(works).oneshot(1).await //~ 1
    });
}
