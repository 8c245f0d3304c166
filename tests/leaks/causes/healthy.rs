//! Services that hold memory for a reason.

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{Arc, Mutex},
    time::Duration,
};

use memscope_rs::analysis::Leaks;
use tokio::{
    sync::mpsc,
    task::{JoinSet, yield_now},
    time::sleep,
};

use crate::service::{Mode, Service, judge, lock, rounds};

macro_rules! services {
    ($($run:ident: $name:literal;)*) => {
        pub(crate) const HEALTHY: &[Service] =
            &[$(Service { name: $name, fault: None, run: |mode| Box::pin($run(mode)) },)*];
    };
}

services! {
    idle_clients: "clients that come, stay and are idle";
    rising_clients: "clients that still come";
    bounded_map: "a cache of 64 keys, asked for at random";
    drained_set: "a `JoinSet` that is drained in each round";
    burst: "a burst in an unbounded channel, then drained";
    bounded_channel: "a bounded channel, its consumer slow";
    saw_tooth: "a buffer that fills and is flushed";
    warm_up: "a warm-up, then nothing more";
    steady: "requests that free what they allocate";
    one_batch: "a batch of jobs that is joined at its end";
}

/// tungstenite-rs#480: a buffer for each open socket.
async fn connection(mut messages: mpsc::Receiver<()>) {
    let buffer = vec![0u8; 16 << 10];
    while messages.recv().await.is_some() {}
    black_box(buffer);
}

async fn idle_clients(mode: Mode) -> Leaks {
    let mut clients = Vec::new();
    rounds(async |round| {
        if round < 3 {
            for _ in 0..20 {
                let (client, messages) = mpsc::channel(1);
                mode.spawn("connection", connection(messages));
                clients.push(client);
            }
        }
    })
    .await;
    judge()
}

async fn rising_clients(mode: Mode) -> Leaks {
    let mut clients = Vec::new();
    rounds(async |_| {
        for _ in 0..6 {
            let (client, messages) = mpsc::channel(1);
            mode.spawn("connection", connection(messages));
            // What the code around the tasks keeps for each of them.
            clients.push((client, vec![0u8; 8 << 10]));
        }
    })
    .await;
    judge()
}

async fn bounded_map(mode: Mode) -> Leaks {
    async fn request(pages: Arc<Mutex<HashMap<usize, Vec<u8>>>>, key: usize) {
        yield_now().await;
        lock(&pages).entry(key).or_insert_with(|| vec![1; 4_096]);
    }
    let pages: Arc<Mutex<HashMap<usize, Vec<u8>>>> = Arc::default();
    let mut key = 7;
    rounds(async |_| {
        for _ in 0..40 {
            key = key * 1_103_515_245 % 65_537;
            let request = request(Arc::clone(&pages), key % 64);
            mode.spawn("request", request).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn drained_set(mode: Mode) -> Leaks {
    async fn query() -> Vec<u8> {
        yield_now().await;
        vec![1; 4_096]
    }
    rounds(async |_| {
        let mut set = JoinSet::new();
        for _ in 0..40 {
            let query = mode.spawn("query", query());
            set.spawn(async move { query.await.expect("no panic").len() });
        }
        while set.join_next().await.is_some() {}
    })
    .await;
    judge()
}

async fn burst(mode: Mode) -> Leaks {
    async fn consumer(mut receiver: mpsc::UnboundedReceiver<[u8; 512]>) {
        while receiver.recv().await.is_some() {}
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut receiver = Some(receiver);
    rounds(async |round| {
        if round == 2 {
            let sender = sender.clone();
            let send = async move { (0..400).for_each(|_| assert!(sender.send([1; 512]).is_ok())) };
            mode.spawn("producer", send).await.expect("no panic");
        }
        if round == 6 {
            mode.spawn("consumer", consumer(receiver.take().expect("one")));
        }
    })
    .await;
    judge()
}

async fn bounded_channel(mode: Mode) -> Leaks {
    async fn producer(sender: mpsc::Sender<Vec<u8>>) {
        while sender.send(vec![1; 4_096]).await.is_ok() {}
    }
    async fn worker(mut receiver: mpsc::Receiver<Vec<u8>>) {
        while let Some(message) = receiver.recv().await {
            black_box(message);
            sleep(Duration::from_millis(2)).await;
        }
    }
    let (sender, receiver) = mpsc::channel(64);
    mode.spawn("producer", producer(sender));
    mode.spawn("worker", worker(receiver));
    rounds(async |_| {}).await;
    judge()
}

async fn saw_tooth(mode: Mode) -> Leaks {
    async fn writer() {
        let mut lines = Vec::new();
        loop {
            (0..10).for_each(|_| lines.push([1u8; 256]));
            if lines.len() >= 500 {
                lines = Vec::new();
            }
            black_box(&lines);
            sleep(Duration::from_millis(5)).await;
        }
    }
    mode.spawn("writer", writer());
    rounds(async |_| {}).await;
    judge()
}

async fn warm_up(mode: Mode) -> Leaks {
    async fn loader() -> Vec<Vec<u8>> {
        let mut tables = Vec::new();
        for _ in 0..10 {
            tables.push(vec![1; 20_000]);
            sleep(Duration::from_millis(10)).await;
        }
        tables
    }
    let mut tables = Vec::new();
    rounds(async |round| {
        if round == 0 {
            tables = mode.spawn("loader", loader()).await.expect("no panic");
        }
    })
    .await;
    let leaks = judge();
    drop(tables);
    leaks
}

async fn steady(mode: Mode) -> Leaks {
    async fn request() {
        let page = vec![1u8; 10_000];
        yield_now().await;
        black_box(page);
    }
    rounds(async |_| {
        for _ in 0..40 {
            mode.spawn("request", request()).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn one_batch(mode: Mode) -> Leaks {
    async fn job() -> Vec<u8> {
        yield_now().await;
        vec![1; 4_096]
    }
    let mut jobs = Vec::new();
    rounds(async |round| {
        if round == 1 {
            jobs = (0..100).map(|_| mode.spawn("job", job())).collect();
        }
    })
    .await;
    let leaks = judge();
    for job in jobs {
        assert_eq!(job.await.expect("no panic").len(), 4_096);
    }
    leaks
}
