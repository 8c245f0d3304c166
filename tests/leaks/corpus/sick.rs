//! Services that lose memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use memscope_macros::track_var;
use memscope_rs::analysis::{
    LeakKind::{Growing, Retained, Stuck},
    Leaks,
};
use tokio::{
    sync::{Barrier, Notify, mpsc, oneshot},
    time::sleep,
};

use crate::service::{
    Service, Sickness, judge, lock, passing_work, quiet, requests, rounds, start,
};

macro_rules! services {
    ($($run:ident: $name:literal, $kind:ident at $site:literal with $variables:expr;)*) => {
        pub(crate) const SICK: &[Service] = &[$(Service {
            name: $name,
            sickness: Some(Sickness { kind: $kind, site: $site, variables: &$variables }),
            run: || Box::pin($run()),
        },)*];
    };
}

services! {
    one_in_ten: "one request in ten stays in a map", Retained at "handler" with ["session"];
    every_request: "every request leaks a little", Retained at "handler" with [];
    slow_consumer: "an unbounded channel, its consumer too slow", Growing at "producer" with [];
    queued_requests: "requests queue jobs faster than they are done", Retained at "handler" with ["job"];
    forgotten_senders: "answers that never come, senders kept", Stuck at "ask" with ["question"];
    own_vec: "a task pushes to its own vector for ever", Growing at "audit" with ["lines"];
    own_bytes: "a task writes to its own buffer for ever", Growing at "audit" with ["log"];
    unbounded_cache: "a cache without bound on its keys", Retained at "handler" with ["page"];
    subscribers: "a list of subscribers that is never pruned", Retained at "connection" with [];
    cycles: "a cycle of `Arc`s per request", Retained at "handler" with [];
    endless_tasks: "a task per request that never ends", Stuck at "watch" with ["buffer"];
    endless_pollers: "a task per request that polls for ever", Growing at "poller" with ["buffer"];
    deadlock: "handlers that wait for each other's locks", Stuck at "transfer" with ["draft"];
    late_leak: "a leak that begins at half time", Retained at "handler" with ["extra"];
}

async fn one_in_ten() -> Leaks {
    static SESSIONS: Mutex<Option<HashMap<usize, Vec<u8>>>> = Mutex::new(None);
    rounds(async |round| {
        requests("handler", 40, |number| async move {
            passing_work(2).await;
            if number % 10 == 3 {
                let session = vec![7; 1_000];
                track_var!(session);
                lock(&SESSIONS).get_or_insert_default().insert(100 * round + number, session);
            }
        })
        .await;
    })
    .await;
    judge()
}

async fn every_request() -> Leaks {
    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    rounds(async |round| {
        requests("handler", 40, |number| async move {
            passing_work(2).await;
            lock(&SEEN).push(format!("GET /item/{round}/{number}"));
        })
        .await;
    })
    .await;
    judge()
}

async fn slow_consumer() -> Leaks {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    let produce = Arc::new(Notify::new());
    let consume = Arc::new(Notify::new());
    let (more, less) = (Arc::clone(&produce), Arc::clone(&consume));
    start("producer", async move {
        loop {
            more.notified().await;
            for _ in 0..20 {
                sender.send(vec![1; 1_024]).ok();
            }
        }
    });
    start("consumer", async move {
        loop {
            less.notified().await;
            for _ in 0..8 {
                drop(receiver.recv().await);
            }
        }
    });
    rounds(async |_| {
        produce.notify_one();
        sleep(Duration::from_millis(5)).await;
        consume.notify_one();
    })
    .await;
    judge()
}

async fn queued_requests() -> Leaks {
    let (sender, mut jobs) = mpsc::unbounded_channel::<Vec<u8>>();
    let allowance = Arc::new(tokio::sync::Semaphore::new(0));
    let allowed = Arc::clone(&allowance);
    start("consumer", async move {
        while let Ok(permit) = allowed.acquire().await {
            permit.forget();
            drop(jobs.recv().await);
            passing_work(1).await;
        }
    });
    rounds(async |_| {
        requests("handler", 40, |_| {
            let sender = sender.clone();
            async move {
                passing_work(1).await;
                let job = vec![1; 1_024];
                track_var!(job);
                sender.send(job).expect("received");
            }
        })
        .await;
        allowance.add_permits(16);
    })
    .await;
    judge()
}

async fn forgotten_senders() -> Leaks {
    type Question = oneshot::Sender<u32>;
    let (backend, mut questions) = mpsc::channel::<(usize, Question)>(16);
    start("backend", async move {
        let mut forgotten = Vec::new();
        while let Some((number, question)) = questions.recv().await {
            if number == 5 {
                forgotten.push(question);
            } else {
                question.send(42).ok();
            }
        }
    });
    rounds(async |round| {
        let asking: Vec<_> = (0..if round < 8 { 20 } else { 0 })
            .map(|number| {
                let backend = backend.clone();
                start("ask", async move {
                    let question = vec![1u8; 2_000];
                    track_var!(question);
                    let (sender, answer) = oneshot::channel();
                    backend.send((number, sender)).await.expect("received");
                    let answer = answer.await;
                    assert!(answer.is_ok() && !question.is_empty());
                })
            })
            .collect();
        for (_, ask) in asking.into_iter().enumerate().filter(|(number, _)| *number != 5) {
            ask.await.expect("no panic");
        }
    })
    .await;
    quiet(8).await;
    judge()
}

async fn own_vec() -> Leaks {
    let (sender, mut events) = mpsc::channel::<usize>(64);
    start("audit", async move {
        let mut lines = Vec::with_capacity(64);
        track_var!(lines);
        while let Some(number) = events.recv().await {
            lines.push(format!("{number:01000}"));
        }
    });
    rounds(async |_| {
        for number in 0..20 {
            sender.send(number).await.expect("received");
        }
    })
    .await;
    judge()
}

async fn own_bytes() -> Leaks {
    let (sender, mut events) = mpsc::channel::<usize>(64);
    start("audit", async move {
        let mut log = Vec::with_capacity(1_024);
        track_var!(log);
        while let Some(number) = events.recv().await {
            log.extend_from_slice(format!("{number:01024}").as_bytes());
        }
    });
    rounds(async |round| {
        // More and more, as a log does that is written by more and more users.
        for number in 0..1 << round {
            sender.send(number).await.expect("received");
        }
    })
    .await;
    judge()
}

async fn unbounded_cache() -> Leaks {
    let cache: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
    rounds(async |round| {
        requests("handler", 40, |number| {
            let cache = Arc::clone(&cache);
            // Each session has a name of its own in the address; one in four asks twice.
            let key = format!("/search?session={}", 100 * round + number - number % 4 / 3);
            async move {
                if !lock(&cache).contains_key(&key) {
                    passing_work(2).await;
                    let page = vec![7; 2_048];
                    track_var!(page);
                    lock(&cache).insert(key, page);
                }
            }
        })
        .await;
    })
    .await;
    judge()
}

async fn subscribers() -> Leaks {
    let list: Arc<Mutex<Vec<mpsc::Sender<u64>>>> = Arc::default();
    rounds(async |round| {
        requests("connection", 30, |_| {
            let list = Arc::clone(&list);
            async move {
                let (sender, mut news) = mpsc::channel(16);
                lock(&list).push(sender);
                passing_work(2).await;
                assert!(news.try_recv().is_ok_and(|_| true) || news.is_empty());
            }
        })
        .await;
        for subscriber in lock(&list).iter() {
            subscriber.try_send(round as u64).ok();
        }
    })
    .await;
    judge()
}

struct Node {
    page: Vec<u8>,
    other: Mutex<Option<Arc<Node>>>,
}

async fn cycles() -> Leaks {
    rounds(async |_| {
        requests("handler", 40, |_| async {
            passing_work(1).await;
            let node = |bytes| Arc::new(Node { page: vec![1; bytes], other: Mutex::default() });
            let (request, response) = (node(300), node(700));
            *request.other.lock().unwrap_or_else(PoisonError::into_inner) = Some(response.clone());
            assert_eq!(response.page.len(), 700);
            *lock(&response.other) = Some(request);
        })
        .await;
    })
    .await;
    judge()
}

async fn endless_tasks() -> Leaks {
    let never = Arc::new(Notify::new());
    rounds(async |_| {
        requests("handler", 10, |_| {
            let never = Arc::clone(&never);
            async move {
                passing_work(2).await;
                start("watch", async move {
                    let buffer = vec![0u8; 4_096];
                    track_var!(buffer);
                    never.notified().await;
                    drop(buffer);
                });
            }
        })
        .await;
    })
    .await;
    judge()
}

async fn endless_pollers() -> Leaks {
    rounds(async |_| {
        requests("handler", 10, |_| async {
            passing_work(2).await;
            start("poller", async {
                let buffer = vec![0u8; 4_096];
                track_var!(buffer);
                loop {
                    sleep(Duration::from_millis(20)).await;
                    assert_eq!(buffer[0], 0);
                }
            });
        })
        .await;
    })
    .await;
    judge()
}

async fn deadlock() -> Leaks {
    let accounts: Arc<Vec<tokio::sync::Mutex<u64>>> = Arc::new((0..16).map(Into::into).collect());
    let mut lost = Vec::new();
    rounds(async |round| {
        let pair = |from: usize, to: usize, both: Option<Arc<Barrier>>| {
            let accounts = Arc::clone(&accounts);
            start("transfer", async move {
                let draft = vec![1u8; 3_000];
                track_var!(draft);
                let mut from = accounts[from].lock().await;
                if let Some(both) = both {
                    both.wait().await;
                }
                let mut to = accounts[to].lock().await;
                (*from, *to) = (*from + 1, *to + 1);
                assert!(!draft.is_empty());
            })
        };
        let fine: Vec<_> =
            (0..if round < 6 { 30 } else { 0 }).map(|_| pair(14, 15, None)).collect();
        for transfer in fine {
            transfer.await.expect("no panic");
        }
        if round < 3 {
            let both = Arc::new(Barrier::new(2));
            let (one, other) = (2 * round, 2 * round + 1);
            lost.push(pair(one, other, Some(Arc::clone(&both))));
            lost.push(pair(other, one, Some(both)));
            // And one that comes later, and waits for one of these.
            lost.push(pair(one, 13, None));
        }
    })
    .await;
    quiet(8).await;
    judge()
}

async fn late_leak() -> Leaks {
    static LEFT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    rounds(async |round| {
        requests("handler", 40, |number| async move {
            passing_work(2).await;
            if round >= 6 && number % 2 == 0 {
                let extra = vec![1; 1_500];
                track_var!(extra);
                lock(&LEFT).push(extra);
            }
        })
        .await;
    })
    .await;
    judge()
}
