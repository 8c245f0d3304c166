//! Healthy services with several MiB, so that a false alarm would be more than a low one.

use std::{
    collections::{HashMap, VecDeque},
    hint::black_box,
    sync::{LazyLock, Mutex},
};

use bytes::BytesMut;
use dashmap::DashMap;
use memscope_rs::analysis::Leaks;
use tokio::{sync::mpsc, task::yield_now};

use crate::{
    clock::{sleep, sleep_in_thread, spawn_thread},
    service::{Mode, healthy, judge, lock, rounds},
};

healthy! {
    LARGE, [Mode::Bare];

    recent_pages: "a cache of the 400 pages that were asked for last";
    random_pages: "a cache of 300 pages, asked for at random by five handlers";
    aging_pages: "a cache whose entries go after two minutes";
    dash_rows: "a `DashMap` of 2,000 rows that is soon full";
    filled_by_thread: "a table that a thread loads in three minutes";
    full_queue: "a bounded channel of 500 pages that is full after a minute";
    steps: "a load that doubles once, and stays";
    pool: "a pool of 64 buffers, filled as they are needed";
    log_of_last: "a text that is cut to its last half when it is long";
    batch_writer: "rows that are collected and written at once";
    grown_table: "a map of 4,000 users that doubles to its size";
    two_generations: "a cache of two generations, the older of which is dropped";
}

fn random(number: usize, below: usize) -> usize {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % below
}

async fn recent_pages(mode: Mode) -> Leaks {
    type Pages = (HashMap<usize, Vec<u8>>, VecDeque<usize>);
    static PAGES: LazyLock<Mutex<Pages>> = LazyLock::new(Mutex::default);
    async fn request(key: usize) {
        yield_now().await;
        let (pages, order) = &mut *lock(&PAGES);
        order.retain(|it| *it != key);
        pages.entry(key).or_insert_with(|| vec![1; 16_000]);
        order.push_back(key);
        if order.len() > 400 {
            let oldest = order.pop_front();
            pages.remove(&oldest.expect("more than none"));
        }
    }
    rounds(async |round| {
        for number in 0..150 {
            let key = random(150 * round + number, 3_000);
            mode.spawn("request", request(key)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn random_pages(mode: Mode) -> Leaks {
    static PAGES: LazyLock<Mutex<HashMap<usize, Vec<u8>>>> = LazyLock::new(Mutex::default);
    fn page(key: usize) {
        lock(&PAGES).entry(key).or_insert_with(|| vec![1; 20_000]);
    }
    macro_rules! handlers {
        ($($name:ident)*) => {
            $(async fn $name(key: usize) {
                yield_now().await;
                page(key);
            })*
            rounds(async |round| {
                for number in 0..30 {
                    let key = random(30 * round + number, 300);
                    $(mode.spawn(stringify!($name), $name(key)).await.expect("no panic");)*
                }
            })
            .await;
        };
    }
    handlers!(list show search update export);
    judge()
}

async fn aging_pages(mode: Mode) -> Leaks {
    static PAGES: Mutex<VecDeque<(usize, Vec<u8>)>> = Mutex::new(VecDeque::new());
    async fn request(round: usize) {
        yield_now().await;
        let mut pages = lock(&PAGES);
        pages.push_back((round, vec![1; 20_000]));
        while pages.front().is_some_and(|(made, _)| made + 4 < round) {
            pages.pop_front();
        }
    }
    rounds(async |round| {
        for _ in 0..60 {
            mode.spawn("request", request(round)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn dash_rows(mode: Mode) -> Leaks {
    static ROWS: LazyLock<DashMap<usize, [usize; 200]>> = LazyLock::new(DashMap::new);
    async fn request(key: usize) {
        yield_now().await;
        ROWS.entry(key).or_insert([key; 200]);
    }
    rounds(async |round| {
        for number in 0..400 {
            let key = (400 * round + number) % 2_000;
            mode.spawn("request", request(key)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn filled_by_thread(mode: Mode) -> Leaks {
    spawn_thread(|| {
        let mut rows = Vec::new();
        for _ in 0..300 {
            rows.push(vec![1u8; 20_000]);
            sleep_in_thread(1);
        }
        loop {
            black_box(&rows);
            sleep_in_thread(500);
        }
    });
    rounds(async |_| mode.spawn("tick", async {}).await.expect("no panic")).await;
    judge()
}

async fn full_queue(mode: Mode) -> Leaks {
    async fn producer(sender: mpsc::Sender<Vec<u8>>) {
        loop {
            for _ in 0..5 {
                if sender.send(vec![1; 10_000]).await.is_err() {
                    return;
                }
            }
            sleep(1).await;
        }
    }
    async fn worker(mut receiver: mpsc::Receiver<Vec<u8>>) {
        while let Some(page) = receiver.recv().await {
            black_box(page);
            sleep(1).await;
        }
    }
    let (sender, receiver) = mpsc::channel(500);
    mode.spawn("producer", producer(sender));
    mode.spawn("worker", worker(receiver));
    rounds(async |_| {}).await;
    judge()
}

async fn client(beats: u64, bytes: usize) {
    let page = vec![1u8; bytes];
    sleep(beats).await;
    black_box(page);
}

async fn steps(mode: Mode) -> Leaks {
    rounds(async |round| {
        let clients = if round < 7 { 60 } else { 120 };
        for _ in 0..clients {
            mode.spawn("client", client(90, 40_000));
        }
    })
    .await;
    judge()
}

async fn pool(mode: Mode) -> Leaks {
    static POOL: Mutex<Vec<BytesMut>> = Mutex::new(Vec::new());
    async fn request(number: usize) {
        let free = lock(&POOL).pop();
        let mut buffer = free.unwrap_or_else(|| BytesMut::with_capacity(60_000));
        buffer.extend_from_slice(&[1; 1_000]);
        sleep(1 + (number % 3) as u64).await;
        buffer.clear();
        lock(&POOL).push(buffer);
    }
    rounds(async |round| {
        for number in 0..(10 + 9 * round).min(64) {
            mode.spawn("request", request(number));
        }
    })
    .await;
    judge()
}

async fn log_of_last(mode: Mode) -> Leaks {
    static LOG: Mutex<String> = Mutex::new(String::new());
    async fn request(number: usize) {
        yield_now().await;
        let mut log = lock(&LOG);
        let line = format!("{number:01000} was served\n");
        log.push_str(&line);
        if log.len() > 3 << 20 {
            *log = log.split_off((3 << 20) / 2);
        }
    }
    rounds(async |round| {
        for number in 0..400 {
            mode.spawn("request", request(400 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn batch_writer(mode: Mode) -> Leaks {
    static ROWS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    async fn request() {
        yield_now().await;
        let mut rows = lock(&ROWS);
        rows.push(vec![1; 8_000]);
        if rows.len() == 700 {
            rows.clear();
        }
    }
    rounds(async |_| {
        for _ in 0..120 {
            mode.spawn("request", request()).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn grown_table(mode: Mode) -> Leaks {
    static USERS: LazyLock<Mutex<HashMap<usize, [usize; 60]>>> = LazyLock::new(Mutex::default);
    async fn login(number: usize) {
        yield_now().await;
        lock(&USERS).insert(number, [number; 60]);
    }
    rounds(async |round| {
        for number in 0..400 {
            let number = random(400 * round + number, 4_000);
            mode.spawn("login", login(number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn two_generations(mode: Mode) -> Leaks {
    type Pages = HashMap<usize, Vec<u8>>;
    static PAGES: LazyLock<Mutex<(Pages, Pages)>> = LazyLock::new(Mutex::default);
    async fn request(key: usize) {
        yield_now().await;
        let (young, old) = &mut *lock(&PAGES);
        let page = old.remove(&key).unwrap_or_else(|| vec![1; 12_000]);
        young.insert(key, page);
        if young.len() > 300 {
            *old = std::mem::take(young);
        }
    }
    rounds(async |round| {
        for number in 0..100 {
            let key = random(100 * round + number, 4_000);
            mode.spawn("request", request(key)).await.expect("no panic");
        }
    })
    .await;
    judge()
}
