//! Services in which something waits to be taken, and too little is.

use std::{
    collections::HashMap,
    hint::black_box,
    mem,
    sync::{Arc, LazyLock, Mutex, OnceLock},
};

use memscope_rs::analysis::Leaks;
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    task::yield_now,
};

use crate::{
    clock::{sleep, sleep_in_thread, spawn_thread},
    service::{Mode, faults, judge, lock, rounds, three_sites},
};

faults! {
    QUEUES in "queues", [Mode::Bare];

    async_channel: "an unbounded channel of async-channel, its consumer too slow", Growing at "producer", Unknown | Queue: "bound the channel", "";
    sent_by_requests: "a page that each request sends to one slow task", Retained at "request", Unknown | Queue: "faster", "worker, or nothing";
    sent_to_thread: "requests that send lines to a slow thread", Retained at "request", Unknown | Queue: "make its consumer faster", "LINES";
    replay: "a broadcast that keeps what it has sent for late subscribers", Growing at "publisher", Queue | Unknown: "bound", "publisher";
    by_three: "three kinds of requests that send boxes to one slow task", Retained at "search", Unknown | Queue: "faster", "worker, or nothing";
    pending: "a map of requests that wait for a reply, without those that are answered", Retained at "call", Map | Unknown: "bound", "PENDING";
}

async fn async_channel(mode: Mode) -> Leaks {
    async fn producer(sender: async_channel::Sender<Vec<u8>>) {
        loop {
            for _ in 0..10 {
                if sender.send(vec![1; 512]).await.is_err() {
                    return;
                }
            }
            sleep(5).await;
        }
    }
    async fn worker(receiver: async_channel::Receiver<Vec<u8>>) {
        while let Ok(message) = receiver.recv().await {
            black_box(message);
            sleep(2).await;
        }
    }
    let (sender, receiver) = ::async_channel::unbounded();
    mode.spawn("producer", producer(sender));
    mode.spawn("worker", worker(receiver));
    rounds(async |_| {}).await;
    judge()
}

async fn sent_by_requests(mode: Mode) -> Leaks {
    async fn request(pages: mpsc::UnboundedSender<Vec<u8>>) {
        let page = vec![1; 2_000];
        yield_now().await;
        assert!(pages.send(page).is_ok());
    }
    async fn worker(mut pages: mpsc::UnboundedReceiver<Vec<u8>>) {
        while let Some(page) = pages.recv().await {
            black_box(page);
            sleep(6).await;
        }
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    mode.spawn("worker", worker(receiver));
    rounds(async |_| {
        for _ in 0..40 {
            mode.spawn("request", request(sender.clone())).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn sent_to_thread(mode: Mode) -> Leaks {
    static LINES: OnceLock<std::sync::mpsc::Sender<String>> = OnceLock::new();
    fn log(number: usize) {
        let line = format!("{number:01000} was served");
        LINES.get().expect("a thread").send(line).expect("it is open");
    }
    async fn request(number: usize) {
        yield_now().await;
        log(number);
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    LINES.set(sender).expect("once");
    spawn_thread(move || {
        for _ in 0..100 {
            black_box(receiver.recv().ok());
            sleep_in_thread(10);
        }
        mem::forget(receiver);
    });
    rounds(async |round| {
        for number in 0..40 {
            mode.spawn("request", request(40 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}

async fn replay(mode: Mode) -> Leaks {
    async fn publisher(sender: broadcast::Sender<Arc<[u8]>>) {
        let mut history: Vec<Arc<[u8]>> = Vec::new();
        loop {
            for _ in 0..4 {
                let event: Arc<[u8]> = vec![1; 700].into();
                history.push(Arc::clone(&event));
                black_box(sender.send(event).ok());
            }
            black_box(&history);
            sleep(2).await;
        }
    }
    async fn subscriber(mut receiver: broadcast::Receiver<Arc<[u8]>>) {
        while let Ok(event) = receiver.recv().await {
            black_box(event);
        }
    }
    let (sender, receiver) = broadcast::channel(16);
    mode.spawn("publisher", publisher(sender));
    mode.spawn("subscriber", subscriber(receiver));
    rounds(async |_| {}).await;
    judge()
}

async fn by_three(mode: Mode) -> Leaks {
    type Event = Box<[usize; 64]>;
    static EVENTS: LazyLock<Mutex<Option<mpsc::UnboundedSender<Event>>>> =
        LazyLock::new(Mutex::default);
    fn send(event: Event) {
        assert!(lock(&EVENTS).as_ref().expect("open").send(event).is_ok());
    }
    async fn login(number: usize) {
        yield_now().await;
        send(Box::new([number; 64]));
    }
    async fn search(number: usize) {
        yield_now().await;
        send(Box::new([number; 64]));
    }
    async fn order(number: usize) {
        yield_now().await;
        send(Box::new([number; 64]));
    }
    async fn worker(mut events: mpsc::UnboundedReceiver<Event>) {
        while let Some(event) = events.recv().await {
            black_box(event);
            sleep(4).await;
        }
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    *lock(&EVENTS) = Some(sender);
    mode.spawn("worker", worker(receiver));
    three_sites(mode, login, search, order).await;
    judge()
}

async fn pending(mode: Mode) -> Leaks {
    type Call = (oneshot::Sender<usize>, Vec<u8>);
    static PENDING: LazyLock<Mutex<HashMap<usize, Call>>> = LazyLock::new(Mutex::default);
    async fn call(number: usize) {
        let (sender, receiver) = oneshot::channel();
        let request = vec![1; 900];
        lock(&PENDING).insert(number, (sender, request));
        // One in three times out, and its entry stays.
        if number.is_multiple_of(3) {
            yield_now().await;
            return;
        }
        yield_now().await;
        if let Some((sender, request)) = lock(&PENDING).remove(&number) {
            black_box(request);
            black_box(sender.send(number).ok());
        }
        black_box(receiver.await.ok());
    }
    rounds(async |round| {
        for number in 0..90 {
            mode.spawn("call", call(90 * round + number)).await.expect("no panic");
        }
    })
    .await;
    judge()
}
