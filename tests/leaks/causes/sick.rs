//! Services with a fault, after public reports of growth.

use std::{
    collections::{BTreeMap, HashMap, LinkedList},
    future::poll_fn,
    hint::black_box,
    sync::{Arc, Condvar, LazyLock, Mutex},
    task::{Poll, Waker},
    thread as threads,
};

use bytes::{Bytes, BytesMut};
use futures::stream::FuturesUnordered;
use memscope_rs::{
    analysis::Leaks,
    async_memory::{shared, track},
};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet, spawn_blocking, yield_now},
};

use crate::{
    clock::{sleep, sleep_in_thread, spawn_thread},
    service::{Mode, faults, judge, lock, rounds},
};

faults! {
    SICK in "sick", Mode::ALL;

    statements: "a cache of statements, each text in it once", Retained at "request", Map: "a capacity or an age", "STATEMENTS";
    sessions: "sessions in a tree that are never removed", Retained at "login", Map: "must lose an entry", "SESSIONS";
    join_set: "a `JoinSet` that is not drained", Unjoined at "query", Unjoined: "join_next", "";
    handles: "a list of `JoinHandle`s", Unjoined at "job", Unjoined: "detaches", "HANDLES";
    futures_unordered: "`FuturesUnordered` that is polled at shutdown", Unjoined at "call", Unjoined: "join", "the stack of main, or nothing";
    wakers: "wakers of ended tasks in a list", Unjoined at "waits", Wakers | Unjoined: "a waker", "KEPT";
    slow_consumer: "an unbounded channel, its consumer too slow", Growing at "producer", Queue: "faster", "";
    own_list: "a task that adds lines to its own list for ever", Growing at "audit", Unknown: "empty it as it goes", "audit";
    own_queue: "a task that queues what it never takes", Growing at "planner", Queue: "bound the channel or queue", "planner";
    endless: "a task per client that does not end", Growing at "watch", Endless: "a cancellation token", "";
    large_futures: "a task per client that does not end, with a large future", Growing at "watch", Endless: "a cancellation token", "";
    accepted: "a task that spawns one with a large future per client, which does not end", Growing at "watch", Endless: "a cancellation token", "";
    zombies: "requests of which one in three waits for ever", Growing | Stuck at "request", Endless: "a timeout", "";
    slices: "slices that keep the buffers they were cut from", Retained at "upload", Buffer: "copy what is kept", "NAMES";
    thread: "a thread that adds to a map for ever", Growing at "(outside every task)", Map: "a capacity or an age", "";
    beside_list: "a thread that adds to a map for ever, beside a larger list that stays", Growing at "(outside every task)", Map: "a capacity or an age", "";
    two_threads: "a thread that adds to a map for ever, and one that takes too little from its channel", Growing at "(outside every task)", Map: "as well", "";
    beside_swings: "a thread that adds to a map for ever, beside a larger cache that comes and goes", Growing at "(outside every task)", Map: "a capacity or an age", "";
    uploads: "forty clients that stay, each with a buffer that only grows", Growing at "upload", Unknown | List: "empty it as it goes", "upload";
    diaries: "forty clients that stay, each with a list that grows by less than 64 KiB", Growing at "client", Unknown | List: "empty it as it goes", "client";
    kept_room: "forty connections, each of which keeps the room of its largest message", Growing at "connection", Unknown | List: "shrink_to", "connection";
    cycles: "sessions and peers that hold each other", Retained at "session", Unknown | Cycle: "a `Weak`", "nothing";
    shared_cache: "a shared owner that only grows", Growing at "cache", Map: "a capacity or an age", "PAGES";
    blocking: "jobs of `spawn_blocking` that do not end", Retained at "request", Unknown: "end each", "request";
    flume_queue: "a channel of flume, its consumer too slow", Growing at "producer", Unknown | Queue: "bound the channel", "";
    crossbeam_queue: "a channel of crossbeam, its consumer too slow", Growing at "producer", Queue: "faster", "";
    peak: "a peak of which one block in a hundred stays", Kept at "(process)", Unknown: "malloc_trim", "";
    runtimes: "runtimes that come and go, and leave a block of one task in ten", Retained at "work", Unknown: "what a task has put", "LEFT";
    inline_table: "a map that keeps its values in its table, filled by each login", Growing at "login", Map: "a capacity or an age", "LOGINS";
    early_cache: "a cache that was full early, and a list that each request adds to", Retained | Growing at "request", List | Unknown: "bound", "";
    std_queue: "a channel of the standard library, its thread too slow", Growing at "producer", Unknown | Queue: "bound the channel", "producer";
}

/// deadpool#281: the text has the value in it.
async fn statements(mode: Mode) -> Leaks {
    static STATEMENTS: Mutex<Option<HashMap<usize, Vec<u8>>>> = Mutex::new(None);
    async fn request(number: usize) {
        yield_now().await;
        lock(&STATEMENTS).get_or_insert_default().entry(number).or_insert_with(|| vec![7; 2_048]);
    }
    rounds(async |round| {
        for number in 0..20 {
            mode.spawn("request", request(20 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn sessions(mode: Mode) -> Leaks {
    static SESSIONS: Mutex<BTreeMap<usize, [u8; 1024]>> = Mutex::new(BTreeMap::new());
    async fn login(number: usize) {
        yield_now().await;
        lock(&SESSIONS).insert(number, [7; 1024]);
    }
    rounds(async |round| {
        for number in 0..40 {
            mode.spawn("login", login(40 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

/// hickory-dns#1809.
async fn join_set(mode: Mode) -> Leaks {
    async fn query(number: u8) -> Vec<u8> {
        yield_now().await;
        vec![number; 1_024]
    }
    let mut set = JoinSet::new();
    rounds(async |_| {
        for number in 0..20 {
            match mode {
                Mode::Bare | Mode::Held => set.spawn(query(number)),
                Mode::Annotated => set.spawn(track(query(number)).named("query")),
            };
        }
    })
    .await;
    let leaks = judge();
    drop(set);
    leaks
}

/// sim-ln#221, irpc#40.
async fn handles(mode: Mode) -> Leaks {
    static HANDLES: Mutex<Vec<JoinHandle<Vec<u8>>>> = Mutex::new(Vec::new());
    async fn job() -> Vec<u8> {
        yield_now().await;
        vec![1; 2_000]
    }
    rounds(async |_| {
        for _ in 0..20 {
            lock(&HANDLES).push(mode.spawn("job", job()));
        }
    })
    .await;
    judge()
}

/// jsonrpsee#1204.
async fn futures_unordered(mode: Mode) -> Leaks {
    async fn call() -> Vec<u8> {
        yield_now().await;
        vec![1; 1_000]
    }
    let pending = FuturesUnordered::new();
    rounds(async |_| {
        for _ in 0..20 {
            pending.push(mode.spawn("call", call()));
        }
    })
    .await;
    let leaks = judge();
    drop(pending);
    leaks
}

/// tokio#5861: a waker keeps the whole cell.
async fn wakers(mode: Mode) -> Leaks {
    static KEPT: Mutex<Vec<Waker>> = Mutex::new(Vec::new());
    async fn waits() {
        let page = black_box([1u8; 1_000]);
        poll_fn(|context| {
            lock(&KEPT).push(context.waker().clone());
            Poll::Ready(())
        })
        .await;
        yield_now().await;
        black_box(page);
    }
    rounds(async |_| {
        for _ in 0..10 {
            mode.spawn("waits", waits()).await.expect("no panic");
        }
    })
    .await;
    judge()
}

/// futures-rs#2052.
async fn slow_consumer(mode: Mode) -> Leaks {
    async fn producer(sender: mpsc::UnboundedSender<[u8; 512]>) {
        loop {
            for number in 0..10 {
                if sender.send([number; 512]).is_err() {
                    return;
                }
            }
            sleep(5).await;
        }
    }
    async fn worker(mut receiver: mpsc::UnboundedReceiver<[u8; 512]>) {
        while let Some(message) = receiver.recv().await {
            black_box(message);
            sleep(2).await;
        }
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    mode.spawn("producer", producer(sender));
    mode.spawn("worker", worker(receiver));
    rounds(async |_| {}).await;
    judge()
}

async fn own_list(mode: Mode) -> Leaks {
    async fn audit() {
        let mut lines = Vec::new();
        loop {
            (0..40).for_each(|number: u8| lines.push(vec![number; 200]));
            black_box(&lines);
            sleep(5).await;
        }
    }
    mode.spawn("audit", audit());
    rounds(async |_| {}).await;
    judge()
}

async fn own_queue(mode: Mode) -> Leaks {
    async fn planner() {
        let mut queue = LinkedList::new();
        loop {
            (0..200).for_each(|number: u64| queue.push_back([number; 8]));
            black_box(&queue);
            sleep(5).await;
        }
    }
    mode.spawn("planner", planner());
    rounds(async |_| {}).await;
    judge()
}

async fn endless(mode: Mode) -> Leaks {
    async fn watch() {
        let mut page = vec![1u8; 8_000];
        loop {
            page[0] ^= 1;
            sleep(20).await;
        }
    }
    rounds(async |_| {
        for _ in 0..4 {
            mode.spawn("watch", watch());
        }
    })
    .await;
    judge()
}

/// What a task keeps across an `.await` is in its cell.
async fn client(beats: u64) {
    let mut page = black_box([1u8; 8_000]);
    let mut list = vec![1u8; 2_000];
    loop {
        page[0] ^= 1;
        list[0] ^= page[0];
        sleep(beats).await;
        black_box(&page);
    }
}

/// The cells are outside of tasks, and the lists in them.
async fn large_futures(mode: Mode) -> Leaks {
    async fn watch() {
        client(20).await;
    }
    rounds(async |_| {
        for _ in 0..8 {
            match mode {
                Mode::Bare | Mode::Held => tokio::spawn(watch()),
                Mode::Annotated => track(watch()).named("watch").spawn(),
            };
        }
    })
    .await;
    judge()
}

/// The cells are in the task that spawns, and the lists in those that it has spawned.
async fn accepted(mode: Mode) -> Leaks {
    async fn watch() {
        client(20).await;
    }
    let accept = async move {
        loop {
            for _ in 0..8 {
                match mode {
                    Mode::Bare | Mode::Held => tokio::spawn(watch()),
                    Mode::Annotated => track(watch()).named("watch").spawn(),
                };
            }
            sleep(60).await;
        }
    };
    mode.spawn("accept", accept);
    rounds(async |_| {}).await;
    judge()
}

/// After a report of tasks that outlive their clients.
async fn zombies(mode: Mode) -> Leaks {
    async fn request(is_gone: bool) {
        let page = black_box(vec![1u8; 4_096]);
        sleep(if is_gone { u64::MAX / 2 } else { 1 }).await;
        black_box(page);
    }
    rounds(async |round| {
        for number in 0..12 {
            mode.spawn("request", request((12 * round + number) % 3 == 0));
        }
    })
    .await;
    judge()
}

async fn slices(mode: Mode) -> Leaks {
    static NAMES: Mutex<Vec<Bytes>> = Mutex::new(Vec::new());
    async fn upload() {
        let mut buffer = BytesMut::new();
        yield_now().await;
        buffer.extend_from_slice(&[7; 4_096]);
        let name = buffer.freeze().slice(..16);
        lock(&NAMES).push(name);
    }
    rounds(async |_| {
        for _ in 0..20 {
            mode.spawn("upload", upload()).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn thread(mode: Mode) -> Leaks {
    let seen: Arc<Mutex<BTreeMap<u64, [u8; 256]>>> = Arc::default();
    let of_thread = Arc::downgrade(&seen);
    spawn_thread(move || {
        let mut number = 0;
        while let Some(seen) = of_thread.upgrade() {
            for _ in 0..40 {
                number += 1;
                lock(&seen).insert(number, [1; 256]);
            }
            drop(seen);
            sleep_in_thread(5);
        }
    });
    rounds(async |_| mode.spawn("tick", async {}).await.expect("no panic")).await;
    let leaks = judge();
    drop(seen);
    leaks
}

/// Most bytes outside of tasks are the list's, and none of those that come.
async fn beside_list(mode: Mode) -> Leaks {
    let pages: LinkedList<[u8; 256]> = (0..16_384).map(|_| [1; 256]).collect();
    let seen: Arc<Mutex<BTreeMap<u64, [u8; 256]>>> = Arc::default();
    let of_thread = Arc::downgrade(&seen);
    spawn_thread(move || {
        let mut number = 0;
        while let Some(seen) = of_thread.upgrade() {
            for _ in 0..40 {
                number += 1;
                lock(&seen).insert(number, [1; 256]);
            }
            drop(seen);
            sleep_in_thread(5);
        }
    });
    rounds(async |_| mode.spawn("tick", async {}).await.expect("no panic")).await;
    let leaks = judge();
    black_box((&pages, &seen));
    leaks
}

/// Two causes in one sum: the finding has a cure for each.
async fn two_threads(mode: Mode) -> Leaks {
    let seen: Arc<Mutex<BTreeMap<u64, [u8; 256]>>> = Arc::default();
    let of_thread = Arc::downgrade(&seen);
    spawn_thread(move || {
        let mut number = 0;
        while let Some(seen) = of_thread.upgrade() {
            for _ in 0..40 {
                number += 1;
                lock(&seen).insert(number, [1; 256]);
            }
            drop(seen);
            sleep_in_thread(5);
        }
    });
    let (sender, receiver) = std::sync::mpsc::channel();
    let done = Arc::downgrade(&seen);
    spawn_thread(move || {
        while done.strong_count() != 0 {
            (0..30).for_each(|number: u8| sender.send([number; 256]).expect("it is open"));
            sleep_in_thread(5);
        }
    });
    rounds(async |_| {
        mode.spawn("tick", async {}).await.expect("no panic");
        black_box(receiver.try_recv().ok());
    })
    .await;
    let leaks = judge();
    drop(seen);
    black_box(&receiver);
    leaks
}

/// The sum of the bytes outside of tasks rises and falls.
async fn beside_swings(mode: Mode) -> Leaks {
    let seen: Arc<Mutex<BTreeMap<u64, [u8; 256]>>> = Arc::default();
    let of_thread = Arc::downgrade(&seen);
    spawn_thread(move || {
        let mut number = 0;
        while let Some(seen) = of_thread.upgrade() {
            for _ in 0..40 {
                number += 1;
                lock(&seen).insert(number, [1; 256]);
            }
            drop(seen);
            sleep_in_thread(5);
        }
    });
    let mut pages: LinkedList<[u8; 256]> = LinkedList::new();
    rounds(async |round| {
        mode.spawn("tick", async {}).await.expect("no panic");
        let len = [40_000, 5_000, 30_000, 8_000, 45_000, 3_000][round % 6];
        pages = (0..len).map(|_| [1; 256]).collect();
    })
    .await;
    let leaks = judge();
    black_box((&pages, &seen));
    leaks
}

/// Their number stays, and each of them grows.
async fn uploads(mode: Mode) -> Leaks {
    async fn upload() {
        let mut parts = Vec::new();
        loop {
            (0..8).for_each(|number: u8| parts.push(vec![number; 200]));
            black_box(&parts);
            sleep(5).await;
        }
    }
    for _ in 0..40 {
        mode.spawn("upload", upload());
    }
    rounds(async |_| {}).await;
    judge()
}

/// As [`uploads`], by less than what a finding about one task needs.
async fn diaries(mode: Mode) -> Leaks {
    async fn client() {
        let mut lines = Vec::new();
        loop {
            lines.push(vec![1u8; 150]);
            black_box(&lines);
            sleep(5).await;
        }
    }
    for _ in 0..40 {
        mode.spawn("client", client());
    }
    rounds(async |_| {}).await;
    judge()
}

/// Their number stays, and no buffer has more than a few bytes in it.
async fn kept_room(mode: Mode) -> Leaks {
    async fn connection(number: u64) {
        let mut buffer = Vec::new();
        for beat in 0.. {
            let is_large = beat == 10 + 24 * number;
            buffer.resize(if is_large { 32_000 } else { 200 }, 1u8);
            black_box(&buffer);
            buffer.clear();
            sleep(1).await;
        }
    }
    for number in 0..40 {
        mode.spawn("connection", connection(number));
    }
    rounds(async |_| {}).await;
    judge()
}

/// Nothing leads to the sessions any more, and each keeps its peer.
async fn cycles(mode: Mode) -> Leaks {
    struct Session {
        peer: Mutex<Option<Arc<Session>>>,
        page: Vec<u8>,
    }
    async fn session() {
        let make = || Arc::new(Session { peer: Mutex::new(None), page: vec![1; 1_024] });
        let (one, other) = (make(), make());
        yield_now().await;
        *lock(&one.peer) = Some(Arc::clone(&other));
        *lock(&other.peer) = Some(Arc::clone(&one));
        black_box(&one.page);
    }
    rounds(async |_| {
        for _ in 0..20 {
            mode.spawn("session", session()).await.expect("no panic");
        }
    })
    .await;
    judge()
}

/// The cache has a name, and no task is charged for it.
async fn shared_cache(mode: Mode) -> Leaks {
    static PAGES: Mutex<BTreeMap<usize, [u8; 1024]>> = Mutex::new(BTreeMap::new());
    async fn request(number: usize) {
        yield_now().await;
        shared("cache", || {
            lock(&PAGES).insert(number, [7; 1024]);
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

/// The handle is dropped, and the job waits for ever: it cannot be aborted.
async fn blocking(mode: Mode) -> Leaks {
    static IS_OVER: Mutex<bool> = Mutex::new(false);
    static END: Condvar = Condvar::new();
    fn job(page: Vec<u8>) {
        drop(END.wait_while(lock(&IS_OVER), |is_over| !*is_over));
        black_box(page);
    }
    async fn request() {
        let page = vec![1u8; 4_096];
        yield_now().await;
        drop(spawn_blocking(move || job(page)));
    }
    rounds(async |_| {
        for _ in 0..6 {
            mode.spawn("request", request()).await.expect("no panic");
        }
    })
    .await;
    let leaks = judge();
    *lock(&IS_OVER) = true;
    END.notify_all();
    leaks
}

async fn flume_queue(mode: Mode) -> Leaks {
    async fn producer(sender: flume::Sender<Vec<u8>>) {
        loop {
            for _ in 0..10 {
                if sender.send(vec![1; 512]).is_err() {
                    return;
                }
            }
            sleep(5).await;
        }
    }
    async fn worker(receiver: flume::Receiver<Vec<u8>>) {
        while let Ok(message) = receiver.recv_async().await {
            black_box(message);
            sleep(2).await;
        }
    }
    let (sender, receiver) = flume::unbounded();
    mode.spawn("producer", producer(sender));
    mode.spawn("worker", worker(receiver));
    rounds(async |_| {}).await;
    judge()
}

async fn crossbeam_queue(mode: Mode) -> Leaks {
    async fn producer(sender: crossbeam_channel::Sender<[u8; 512]>) {
        loop {
            for number in 0..10 {
                if sender.send([number; 512]).is_err() {
                    return;
                }
            }
            sleep(5).await;
        }
    }
    async fn worker(receiver: crossbeam_channel::Receiver<[u8; 512]>) {
        loop {
            black_box(receiver.try_recv().ok());
            sleep(2).await;
        }
    }
    let (sender, receiver) = crossbeam_channel::unbounded();
    mode.spawn("producer", producer(sender));
    mode.spawn("worker", worker(receiver));
    rounds(async |_| {}).await;
    judge()
}

async fn std_queue(mode: Mode) -> Leaks {
    async fn producer(sender: std::sync::mpsc::Sender<Vec<u8>>) {
        loop {
            for _ in 0..10 {
                if sender.send(vec![1; 512]).is_err() {
                    return;
                }
            }
            sleep(5).await;
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    spawn_thread(move || {
        while let Ok(message) = receiver.recv() {
            black_box(message);
            sleep_in_thread(2);
        }
    });
    let producer = mode.spawn("producer", producer(sender));
    rounds(async |_| {}).await;
    let leaks = judge();
    producer.abort();
    leaks
}

/// grpc-rust#797, axum#347, hyper#1790: live bytes fall, and the C library keeps what was freed.
async fn peak(mode: Mode) -> Leaks {
    const BLOCKS: usize = 16_000;
    async fn query() -> Vec<Vec<u8>> {
        let mut rows: Vec<Vec<u8>> = (0..BLOCKS).map(|_| black_box(vec![1; 8_000])).collect();
        yield_now().await;
        let mut numbers = 1..;
        rows.retain(|_| numbers.next().is_some_and(|number| number % 100 == 0));
        rows.shrink_to_fit();
        rows
    }
    let mut kept = Vec::new();
    rounds(async |round| {
        if round == 0 {
            kept = mode.spawn("query", query()).await.expect("no panic");
        }
    })
    .await;
    let leaks = judge();
    drop(kept);
    leaks
}

/// tokio#3473.
async fn runtimes(mode: Mode) -> Leaks {
    static LEFT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    async fn work(number: usize) {
        let block = vec![1u8; 4_096];
        yield_now().await;
        if number.is_multiple_of(10) {
            lock(&LEFT).push(block);
        }
    }
    rounds(async |_| {
        let of_its_own = move || {
            let runtime = memscope_tests::workers(2);
            for number in 0..50 {
                runtime
                    .block_on(async { mode.spawn("work", work(number)).await })
                    .expect("no panic");
            }
        };
        threads::spawn(of_its_own).join().expect("no panic");
    })
    .await;
    judge()
}

async fn inline_table(mode: Mode) -> Leaks {
    static LOGINS: LazyLock<Mutex<HashMap<usize, [usize; 16]>>> = LazyLock::new(Mutex::default);
    async fn login(number: usize) {
        yield_now().await;
        lock(&LOGINS).insert(number, [number; 16]);
    }
    rounds(async |round| {
        for number in 0..150 {
            mode.spawn("login", login(150 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn early_cache(mode: Mode) -> Leaks {
    static PAGES: Mutex<BTreeMap<usize, Vec<u8>>> = Mutex::new(BTreeMap::new());
    static AUDIT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    fn page(number: usize) {
        lock(&PAGES).entry(number % 60).or_insert_with(|| vec![1; 60_000]);
    }
    fn audit() {
        let line = vec![1; 1_000];
        lock(&AUDIT).push(line);
    }
    async fn request(number: usize) {
        page(number);
        yield_now().await;
        audit();
    }
    rounds(async |round| {
        for number in 0..60 {
            mode.spawn("request", request(60 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}
