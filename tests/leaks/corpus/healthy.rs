//! Services that hold memory for a reason.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use memscope_macros::track_var;
use memscope_rs::analysis::Leaks;
use tokio::{
    sync::{Notify, Semaphore, broadcast, mpsc},
    time::{interval, sleep, timeout},
};

use crate::service::{
    Dice, ROUNDS, Service, judge, lock, passing_work, quiet, requests, rounds, start,
};

macro_rules! services {
    ($($run:ident: $name:literal,)*) => {
        pub(crate) const HEALTHY: &[Service] =
            &[$(Service { name: $name, sickness: None, run: || Box::pin($run()) },)*];
    };
}

services! {
    bounded_cache: "a cache of 64 keys, asked for at random",
    lru_cache: "a cache that evicts what was not asked for",
    ttl_cache: "a cache whose entries are dropped at an age",
    connection_pool: "a pool of 12 connections, opened as needed",
    buffer_pool: "a pool of buffers",
    sleepers: "long sleeps and periodic jobs",
    held_handles: "join handles held, outputs in them",
    keep_alive: "connections kept alive, closed when idle for long",
    idle_connections: "connections that all stay open and idle",
    pub_sub: "pub/sub with bounded channels, steady flow",
    batch: "a batch whose results are all held",
    quick_batch: "a batch of tiny tasks whose results are all held",
    config: "a configuration loaded by a task",
    warm_up: "a warm-up, then nothing more",
    load: "load that rises and falls",
    rising_load: "load that still rises",
    uploads: "uploads into growing buffers, all finished",
    upload_in_progress: "uploads, the last one not finished",
    steady_queue: "an unbounded queue whose consumer keeps up",
    job_results: "results kept until they are fetched",
}

/// A key or the round of its birth, and a value.
type Entry = (usize, Vec<u8>);

async fn bounded_cache() -> Leaks {
    let cache: Arc<Mutex<HashMap<usize, Vec<u8>>>> = Arc::default();
    let mut dice = Dice(1);
    rounds(async |_| {
        requests("handler", 48, |_| {
            let (cache, key) = (Arc::clone(&cache), dice.below(64));
            async move {
                if !lock(&cache).contains_key(&key) {
                    passing_work(4).await;
                    lock(&cache).entry(key).or_insert_with(|| vec![7; 4_096]);
                }
            }
        })
        .await;
    })
    .await;
    judge()
}

async fn lru_cache() -> Leaks {
    let cache: Arc<Mutex<VecDeque<Entry>>> = Arc::default();
    let mut dice = Dice(2);
    rounds(async |_| {
        requests("handler", 48, |_| {
            let (cache, key) = (Arc::clone(&cache), dice.below(200));
            async move {
                passing_work(1).await;
                let mut cache = lock(&cache);
                let known = cache.iter().position(|(other, _)| *other == key);
                let entry = known.and_then(|place| cache.remove(place));
                cache.push_back(entry.unwrap_or_else(|| (key, vec![7; 2_048])));
                if cache.len() > 50 {
                    cache.pop_front();
                }
            }
        })
        .await;
    })
    .await;
    judge()
}

async fn ttl_cache() -> Leaks {
    let cache: Arc<Mutex<Vec<Entry>>> = Arc::default();
    rounds(async |round| {
        lock(&cache).retain(|(born, _)| round - born < 3);
        requests("handler", 32, |_| {
            let cache = Arc::clone(&cache);
            async move {
                passing_work(1).await;
                let entry = vec![7; 2_048];
                track_var!(entry);
                lock(&cache).push((round, entry));
            }
        })
        .await;
    })
    .await;
    judge()
}

async fn connection_pool() -> Leaks {
    let idle: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let permits = Arc::new(Semaphore::new(12));
    rounds(async |round| {
        let running: Vec<_> = (0..4 * (round + 1))
            .map(|_| {
                let (idle, permits) = (Arc::clone(&idle), Arc::clone(&permits));
                start("query", async move {
                    let _permit = permits.acquire().await;
                    let connection = lock(&idle).pop().unwrap_or_else(|| vec![0; 16_384]);
                    sleep(Duration::from_millis(1)).await;
                    lock(&idle).push(connection);
                })
            })
            .collect();
        for query in running {
            query.await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn buffer_pool() -> Leaks {
    let pool: Arc<tokio::sync::Mutex<Vec<Vec<i32>>>> = Arc::default();
    rounds(async |_| {
        requests("worker", 80, |_| {
            let pool = Arc::clone(&pool);
            async move {
                let buffer = pool.lock().await.pop().unwrap_or_else(|| vec![0; 10_000]);
                tokio::task::yield_now().await;
                pool.lock().await.push(buffer);
            }
        })
        .await;
    })
    .await;
    judge()
}

async fn sleepers() -> Leaks {
    for _ in 0..10 {
        start("nightly", async {
            let plan = vec![1u8; 8_192];
            track_var!(plan);
            sleep(Duration::from_hours(1)).await;
            assert!(!plan.is_empty());
        });
        start("periodic", async {
            let mut state = vec![0u8; 4_096];
            let mut ticks = interval(Duration::from_millis(35));
            loop {
                ticks.tick().await;
                let report = vec![state[0]; 1_024];
                state[0] = report[0].wrapping_add(1);
            }
        });
    }
    rounds(async |_| requests("handler", 16, |_| passing_work(2)).await).await;
    judge()
}

async fn held_handles() -> Leaks {
    let mut held = Vec::new();
    rounds(async |_| {
        for _ in 0..10 {
            held.push(start("job", async {
                passing_work(2).await;
                vec![7u8; 2_048]
            }));
        }
    })
    .await;
    let leaks = judge();
    for job in held {
        assert_eq!(job.await.expect("no panic").len(), 2_048);
    }
    leaks
}

/// A client asks once or a few times; the server closes a connection that is idle for 200 ms.
async fn keep_alive() -> Leaks {
    let mut clients = Vec::new();
    rounds(async |round| {
        for number in 0..6 {
            let (client, mut requests) = mpsc::channel::<Vec<u8>>(4);
            start("connection", async move {
                let buffer = vec![0u8; 8_192];
                track_var!(buffer);
                while let Ok(Some(request)) =
                    timeout(Duration::from_millis(200), requests.recv()).await
                {
                    assert!(request.len() < buffer.len());
                }
            });
            client.send(vec![1; 100]).await.expect("open");
            // Most hang up at once.
            if number % 3 == 0 {
                clients.push(client);
            }
        }
        for client in clients.iter().rev().take(1 + round % 4) {
            client.try_send(vec![2; 200]).ok();
        }
    })
    .await;
    judge()
}

async fn idle_connections() -> Leaks {
    let mut clients = Vec::new();
    for _ in 0..40 {
        let (client, mut requests) = mpsc::channel::<Vec<u8>>(4);
        start("connection", async move {
            let buffer = vec![0u8; 8_192];
            while let Some(request) = requests.recv().await {
                assert!(request.len() < buffer.len());
            }
        });
        clients.push(client);
    }
    rounds(async |round| {
        if round < 3 {
            for client in &clients {
                client.send(vec![1; 100]).await.expect("open");
            }
        }
    })
    .await;
    judge()
}

async fn pub_sub() -> Leaks {
    let (publisher, _) = broadcast::channel::<Arc<Vec<u8>>>(64);
    for _ in 0..8 {
        let mut messages = publisher.subscribe();
        start("subscriber", async move {
            let mut last = None;
            while let Ok(message) = messages.recv().await {
                last = Some(message);
            }
            drop(last);
        });
    }
    let wanted = Arc::new(Notify::new());
    let asked = Arc::clone(&wanted);
    start("publisher", async move {
        loop {
            asked.notified().await;
            for _ in 0..20 {
                publisher.send(Arc::new(vec![1; 1_000])).ok();
                tokio::task::yield_now().await;
            }
        }
    });
    rounds(async |_| wanted.notify_one()).await;
    judge()
}

async fn batch() -> Leaks {
    let mut results = Vec::new();
    rounds(async |round| {
        if round == 2 {
            let tasks: Vec<_> = (0..200)
                .map(|_| {
                    start("batch", async {
                        sleep(Duration::from_millis(10)).await;
                        vec![1u8; 4_096]
                    })
                })
                .collect();
            for task in tasks {
                results.push(task.await.expect("no panic"));
            }
        }
    })
    .await;
    let leaks = judge();
    assert_eq!(results.len(), 200);
    leaks
}

/// Each is over before the next one is made.
async fn quick_batch() -> Leaks {
    let mut results = Vec::new();
    rounds(async |round| {
        if round == 3 {
            for number in 0..200_u8 {
                results.push(start("batch", async move { vec![number; 1_024] }).await);
            }
        }
    })
    .await;
    let leaks = judge();
    assert_eq!(results.len(), 200);
    leaks
}

async fn config() -> Leaks {
    let parts = start("load", async {
        passing_work(64).await;
        (0..40_u8).map(|part| vec![part; 4_096]).collect::<Vec<_>>()
    });
    let parts = Arc::new(parts.await.expect("no panic"));
    rounds(async |_| {
        requests("handler", 24, |number| {
            let parts = Arc::clone(&parts);
            async move {
                passing_work(2).await;
                assert_eq!(parts[number].len(), 4_096);
            }
        })
        .await;
    })
    .await;
    judge()
}

async fn warm_up() -> Leaks {
    let ready: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (sender, mut numbers) = mpsc::channel::<usize>(8);
    start("index", async move {
        let mut index = Vec::new();
        while let Some(number) = numbers.recv().await {
            if number < 4 {
                index.extend((0..30).map(|_| vec![1u8; 1_024]));
            }
        }
    });
    rounds(async |round| {
        sender.send(round).await.expect("received");
        requests("handler", 32, |_| {
            let ready = (round < 4).then(|| Arc::clone(&ready));
            async move {
                passing_work(2).await;
                if let Some(ready) = ready {
                    lock(&ready).push(vec![7; 1_024]);
                }
            }
        })
        .await;
    })
    .await;
    judge()
}

async fn load() -> Leaks {
    rounds(async |round| {
        let at_once = 10 * (1 + round.min(ROUNDS - 1 - round));
        let running: Vec<_> = (0..at_once)
            .map(|_| {
                start("handler", async {
                    let page = vec![1u8; 4_096];
                    sleep(Duration::from_millis(70)).await;
                    drop(page);
                })
            })
            .collect();
        drop(running);
    })
    .await;
    judge()
}

async fn rising_load() -> Leaks {
    rounds(async |round| {
        for _ in 0..10 * (round + 1) {
            start("handler", async {
                for _ in 0..8 {
                    let page = vec![1u8; 4_096];
                    sleep(Duration::from_millis(12)).await;
                    drop(page);
                }
            });
        }
    })
    .await;
    judge()
}

/// An upload of this many parts, one for each message.
async fn upload(mut parts: mpsc::Receiver<Vec<u8>>) {
    let mut body = Vec::new();
    track_var!(body);
    while let Some(part) = parts.recv().await {
        body.push(part.clone());
    }
    passing_work(1).await;
    assert!(!body.is_empty());
}

async fn uploads() -> Leaks {
    let (sender, parts) = mpsc::channel(4);
    let running = start("upload", upload(parts));
    let mut sender = Some(sender);
    rounds(async |round| {
        if let Some(sender) = &sender {
            sender.send(vec![1; 64 << 10]).await.expect("received");
        }
        if round == ROUNDS - 2 {
            sender = None;
        }
    })
    .await;
    running.await.expect("no panic");
    judge()
}

async fn upload_in_progress() -> Leaks {
    let part = || vec![1; 64 << 10];
    for _ in 0..5 {
        let (sender, parts) = mpsc::channel(4);
        let running = start("upload", upload(parts));
        for _ in 0..40 {
            sender.send(part()).await.expect("received");
        }
        drop(sender);
        running.await.expect("no panic");
    }
    let (sender, parts) = mpsc::channel(4);
    start("upload", upload(parts));
    let maker = start("client", pending::<()>());
    rounds(async |_| sender.send(part()).await.expect("received")).await;
    let leaks = judge();
    maker.abort();
    leaks
}

async fn steady_queue() -> Leaks {
    let (sender, mut jobs) = mpsc::unbounded_channel::<Vec<u8>>();
    start("consumer", async move {
        while let Some(job) = jobs.recv().await {
            passing_work(1).await;
            drop(job);
        }
    });
    rounds(async |_| {
        requests("handler", 24, |_| {
            let sender = sender.clone();
            async move { sender.send(vec![1; 1_024]).expect("received") }
        })
        .await;
    })
    .await;
    judge()
}

/// A client comes back for its result after two rounds.
async fn job_results() -> Leaks {
    let results: Arc<Mutex<HashMap<usize, Vec<u8>>>> = Arc::default();
    rounds(async |round| {
        requests("job", 24, |number| {
            let results = Arc::clone(&results);
            async move {
                passing_work(1).await;
                lock(&results).insert(100 * round + number, vec![7; 2_048]);
            }
        })
        .await;
        requests("fetch", 24, |number| {
            let results = Arc::clone(&results);
            async move {
                let earlier = round.checked_sub(2).map(|earlier| 100 * earlier + number);
                drop(earlier.and_then(|key| lock(&results).remove(&key)));
            }
        })
        .await;
    })
    .await;
    quiet(1).await;
    judge()
}
