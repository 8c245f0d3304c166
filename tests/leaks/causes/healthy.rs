//! Services that hold memory for a reason.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hint::black_box,
    sync::{Arc, Mutex},
};

use memscope_rs::{analysis::Leaks, async_memory::shared};
use tokio::{
    sync::mpsc,
    task::{JoinSet, spawn_blocking, yield_now},
};

use crate::{
    clock::sleep,
    service::{Mode, healthy, judge, lock, rounds, three_sites},
};

healthy! {
    HEALTHY, Mode::ALL;

    idle_clients: "clients that come, stay and are idle";
    rising_clients: "clients that still come";
    bounded_map: "a cache of 64 keys, asked for at random";
    drained_set: "a `JoinSet` that is drained in each round";
    burst: "a burst in an unbounded channel, then drained";
    bounded_channel: "a bounded channel, its consumer slow";
    saw_tooth: "a buffer that fills and is flushed";
    warm_up: "a warm-up, then nothing more";
    steady: "requests that free what they allocate";
    evicting_map: "a cache that is full and drops its oldest, with keys that never come back";
    kept_capacity: "a list that was long once and keeps its capacity";
    full_shared: "a shared owner that is full";
    drained_flume: "a channel of flume that is drained";
    blocking_jobs: "jobs of `spawn_blocking` that end";
    one_batch: "a batch of jobs that is joined at its end";
    tenants: "a map of 80 tenants, each made at its first request";
    full_table: "a table of 700 peers, all of which have come";
    day_and_night: "sessions that come by day and go by night";
    last_events: "a list of events that requests of three kinds add to, and that is flushed";
    full_by_three: "a map of 500 replies that requests of three kinds fill early";
    evicting_by_ten: "a cache that drops its oldest, which ten handlers fill by one function";
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
            sleep(2).await;
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
            sleep(5).await;
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
            sleep(10).await;
        }
        tables
    }
    let mut loads = None;
    let mut tables = Vec::new();
    rounds(async |round| match round {
        0 => loads = Some(mode.spawn("loader", loader())),
        2 => tables = loads.take().expect("one").await.expect("no panic"),
        _ => {}
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

/// A cache with a capacity, as moka's.
async fn evicting_map(mode: Mode) -> Leaks {
    const MOST: usize = 64;
    type Pages = Arc<Mutex<(HashMap<usize, Vec<u8>>, VecDeque<usize>)>>;
    async fn request(pages: Pages, key: usize) {
        yield_now().await;
        let (pages, order) = &mut *lock(&pages);
        pages.insert(key, vec![1; 4_096]);
        order.push_back(key);
        if order.len() > MOST {
            let oldest = order.pop_front();
            pages.remove(&oldest.expect("more than none"));
        }
    }
    let pages = Pages::default();
    rounds(async |round| {
        for number in 0..40 {
            let request = request(Arc::clone(&pages), 40 * round + number);
            mode.spawn("request", request).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn kept_capacity(mode: Mode) -> Leaks {
    async fn writer() {
        let mut lines: Vec<[u8; 256]> = Vec::new();
        for round in 0_usize.. {
            let rows = if round == 3 { 2_000 } else { 20 };
            lines.clear();
            lines.extend((0..rows).map(|_| [1; 256]));
            sleep(20).await;
        }
    }
    mode.spawn("writer", writer());
    rounds(async |_| {}).await;
    judge()
}

async fn full_shared(mode: Mode) -> Leaks {
    static PAGES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    async fn request(number: usize) {
        yield_now().await;
        shared("cache", || {
            let mut pages = lock(&PAGES);
            let page = vec![1; 4_096];
            if pages.len() < 64 {
                pages.push(page);
            } else {
                pages[number % 64] = page;
            }
        });
    }
    rounds(async |round| {
        for number in 0..40 {
            mode.spawn("request", request(40 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn drained_flume(mode: Mode) -> Leaks {
    async fn producer(sender: flume::Sender<Vec<u8>>) {
        while sender.send_async(vec![1; 1_024]).await.is_ok() {
            sleep(1).await;
        }
    }
    async fn worker(receiver: flume::Receiver<Vec<u8>>) {
        while let Ok(message) = receiver.recv_async().await {
            black_box(message);
        }
    }
    let (sender, receiver) = flume::unbounded();
    mode.spawn("producer", producer(sender));
    mode.spawn("worker", worker(receiver));
    rounds(async |_| {}).await;
    judge()
}

async fn blocking_jobs(mode: Mode) -> Leaks {
    async fn request() {
        let page = vec![1u8; 4_096];
        spawn_blocking(move || black_box(page).len()).await.expect("no panic");
    }
    rounds(async |_| {
        for _ in 0..40 {
            mode.spawn("request", request()).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn tenants(mode: Mode) -> Leaks {
    static TENANTS: Mutex<BTreeMap<usize, Arc<Vec<u8>>>> = Mutex::new(BTreeMap::new());
    async fn request(number: usize) {
        yield_now().await;
        let mut tenants = lock(&TENANTS);
        black_box(Arc::clone(tenants.entry(number).or_insert_with(|| Arc::new(vec![1; 10_000]))));
    }
    rounds(async |round| {
        for number in 0..40 {
            let random = (40 * round + number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let known = (10 + 8 * round).min(80);
            mode.spawn("request", request(random % known)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn full_table(mode: Mode) -> Leaks {
    static PEERS: Mutex<BTreeMap<usize, [usize; 60]>> = Mutex::new(BTreeMap::new());
    async fn hello(number: usize) {
        yield_now().await;
        lock(&PEERS).insert(number, [number; 60]);
    }
    rounds(async |round| {
        for number in 0..90 {
            let number = (90 * round + number) % 700;
            mode.spawn("hello", hello(number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn day_and_night(mode: Mode) -> Leaks {
    static SESSIONS: Mutex<BTreeMap<usize, Vec<u8>>> = Mutex::new(BTreeMap::new());
    async fn request(number: usize, is_day: bool) {
        yield_now().await;
        let mut sessions = lock(&SESSIONS);
        if is_day {
            sessions.insert(number, vec![1; 1_200]);
        } else {
            sessions.pop_first();
            sessions.pop_first();
        }
    }
    rounds(async |round| {
        for number in 0..60 {
            let request = request(60 * round + number, round % 6 < 4);
            mode.spawn("request", request).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn last_events(mode: Mode) -> Leaks {
    static EVENTS: Mutex<Vec<[usize; 16]>> = Mutex::new(Vec::new());
    async fn request(number: usize) {
        yield_now().await;
        let mut events = lock(&EVENTS);
        events.push([number; 16]);
        if events.len() >= 600 {
            *events = Vec::new();
        }
    }
    async fn login(number: usize) {
        request(number).await;
    }
    async fn search(number: usize) {
        request(number).await;
    }
    async fn order(number: usize) {
        request(number).await;
    }
    three_sites(mode, login, search, order).await;
    judge()
}

async fn full_by_three(mode: Mode) -> Leaks {
    static REPLIES: Mutex<BTreeMap<usize, Vec<u8>>> = Mutex::new(BTreeMap::new());
    static TABLE: Mutex<Vec<[usize; 16]>> = Mutex::new(Vec::new());
    async fn request(number: usize) {
        yield_now().await;
        lock(&REPLIES).entry(number % 500).or_insert_with(|| vec![1; 600]);
        let mut table = lock(&TABLE);
        if table.len() < 500 {
            table.push([number; 16]);
        }
    }
    async fn login(number: usize) {
        request(number).await;
    }
    async fn search(number: usize) {
        request(number).await;
    }
    async fn order(number: usize) {
        request(number).await;
    }
    three_sites(mode, login, search, order).await;
    judge()
}

async fn evicting_by_ten(mode: Mode) -> Leaks {
    static RECENT: Mutex<VecDeque<Vec<u8>>> = Mutex::new(VecDeque::new());
    fn remember() {
        let mut recent = lock(&RECENT);
        recent.push_back(black_box(vec![1; 2_000]));
        if recent.len() > 400 {
            recent.pop_front();
        }
    }
    macro_rules! handlers {
        ($($name:ident)*) => {
            $(async fn $name() {
                yield_now().await;
                remember();
            })*
            rounds(async |_| {
                for _ in 0..10 {
                    $(mode.spawn(stringify!($name), $name()).await.expect("no panic");)*
                }
            })
            .await;
        };
    }
    handlers!(list show create update delete search login logout upload report);
    judge()
}
