//! Services whose tasks do not end, or whose handles are kept.

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{LazyLock, Mutex},
};

use futures::{StreamExt, stream::FuturesUnordered};
use memscope_rs::analysis::Leaks;
use tokio::{
    sync::{Notify, Semaphore, mpsc, oneshot},
    task::{AbortHandle, JoinSet, yield_now},
};

use crate::{
    clock::sleep,
    service::{Mode, faults, judge, lock, rounds},
};

faults! {
    TASKS in "tasks", [Mode::Annotated];

    permits: "requests that wait for permits which are never given back", Growing | Stuck at "request", Endless: "permit", "";
    no_reply: "requests that wait for a reply which never comes", Growing | Stuck at "request", Endless: "a timeout", "";
    locked: "requests that wait for a lock which a stuck task holds", Growing | Stuck at "request", Endless: "lock", "";
    server_set: "a server that spawns in a `JoinSet` and does not drain it", Unjoined at "answer", Unjoined: "join_next", "server, or nothing";
    abort_handles: "`AbortHandle`s of ended tasks in a map", Unjoined at "job", Wakers | Unjoined: "`AbortHandle`", "ABORTS, or nothing";
    unordered: "a task that pushes futures which never end", Growing at "watcher", Unknown | List: "bound", "watcher, or nothing";
    mutual: "pairs of tasks each of which waits for the other to close", Growing | Stuck at "peer", Endless: "close", "";
    idle_readers: "connections that stay, each with a read buffer", Growing | Stuck at "connection", Endless: "a timeout", "";
}

async fn permits(mode: Mode) -> Leaks {
    static PERMITS: Semaphore = Semaphore::const_new(20);
    async fn request(number: usize) {
        let body = vec![1u8; 4_096];
        let permit = PERMITS.acquire().await.expect("open");
        yield_now().await;
        if number.is_multiple_of(4) {
            permit.forget();
        }
        black_box(body);
    }
    rounds(async |round| {
        for number in 0..20 {
            mode.spawn("request", request(20 * round + number));
        }
    })
    .await;
    judge()
}

async fn no_reply(mode: Mode) -> Leaks {
    static WAITING: LazyLock<Mutex<HashMap<usize, oneshot::Sender<Vec<u8>>>>> =
        LazyLock::new(Mutex::default);
    async fn request(number: usize) {
        let body = vec![1u8; 4_096];
        let (sender, receiver) = oneshot::channel();
        lock(&WAITING).insert(number, sender);
        black_box(receiver.await.ok());
        black_box(body);
    }
    rounds(async |round| {
        for number in 0..12 {
            mode.spawn("request", request(12 * round + number));
        }
        sleep_a_bit().await;
        for number in (0..12).filter(|number| number % 3 != 0) {
            if let Some(sender) = lock(&WAITING).remove(&(12 * round + number)) {
                black_box(sender.send(Vec::new()).ok());
            }
        }
    })
    .await;
    judge()
}

/// Lets the tasks that were spawned run.
async fn sleep_a_bit() {
    for _ in 0..20 {
        yield_now().await;
    }
}

async fn locked(mode: Mode) -> Leaks {
    static STATE: tokio::sync::Mutex<usize> = tokio::sync::Mutex::const_new(0);
    static NEVER: Notify = Notify::const_new();
    async fn request(number: usize) {
        let body = vec![1u8; 4_096];
        let mut state = STATE.lock().await;
        *state += 1;
        if number == 40 {
            NEVER.notified().await;
        }
        black_box(body);
    }
    rounds(async |round| {
        for number in 0..20 {
            mode.spawn("request", request(20 * round + number));
        }
    })
    .await;
    judge()
}

async fn server_set(mode: Mode) -> Leaks {
    async fn answer(number: usize) -> Vec<usize> {
        yield_now().await;
        vec![number; 150]
    }
    async fn server(mode: Mode, mut requests: mpsc::Receiver<usize>) {
        let mut answers = JoinSet::new();
        while let Some(number) = requests.recv().await {
            match mode {
                Mode::Bare | Mode::Held => answers.spawn(answer(number)),
                Mode::Annotated => {
                    answers.spawn(memscope_rs::async_memory::track(answer(number)).named("answer"))
                }
            };
        }
    }
    let (sender, receiver) = mpsc::channel(8);
    mode.spawn("server", server(mode, receiver));
    rounds(async |round| {
        for number in 0..30 {
            sender.send(30 * round + number).await.expect("it is open");
        }
    })
    .await;
    judge()
}

async fn abort_handles(mode: Mode) -> Leaks {
    static ABORTS: LazyLock<Mutex<HashMap<usize, AbortHandle>>> = LazyLock::new(Mutex::default);
    async fn job(number: usize) {
        let page = black_box([number; 150]);
        yield_now().await;
        black_box(page);
    }
    rounds(async |round| {
        for number in 0..30 {
            let number = 30 * round + number;
            let handle = mode.spawn("job", job(number));
            lock(&ABORTS).insert(number, handle.abort_handle());
        }
    })
    .await;
    judge()
}

async fn unordered(mode: Mode) -> Leaks {
    async fn watch(number: usize) {
        let page = vec![number; 80];
        sleep(u64::MAX / 2).await;
        black_box(page);
    }
    async fn watcher() {
        let mut watches = FuturesUnordered::new();
        let mut number = 0;
        loop {
            for _ in 0..4 {
                watches.push(watch(number));
                number += 1;
            }
            tokio::select! {
                Some(()) = watches.next() => {}
                () = sleep(6) => {}
            }
        }
    }
    mode.spawn("watcher", watcher());
    rounds(async |_| {}).await;
    judge()
}

async fn mutual(mode: Mode) -> Leaks {
    async fn peer(keeps: mpsc::Sender<Vec<u8>>, mut messages: mpsc::Receiver<Vec<u8>>) {
        let page = vec![1u8; 3_000];
        while let Some(message) = messages.recv().await {
            if keeps.send(message).await.is_err() {
                break;
            }
        }
        black_box(page);
    }
    rounds(async |_| {
        for _ in 0..6 {
            let (one, messages_of_one) = mpsc::channel(4);
            let (other, messages_of_other) = mpsc::channel(4);
            mode.spawn("peer", peer(other, messages_of_one));
            mode.spawn("peer", peer(one, messages_of_other));
        }
    })
    .await;
    judge()
}

async fn idle_readers(mode: Mode) -> Leaks {
    async fn connection(mut bytes: mpsc::Receiver<u8>) {
        let mut buffer = Vec::with_capacity(8 << 10);
        while let Some(byte) = bytes.recv().await {
            buffer.push(byte);
        }
        black_box(buffer);
    }
    let mut clients = Vec::new();
    rounds(async |_| {
        for _ in 0..8 {
            let (client, bytes) = mpsc::channel(1);
            mode.spawn("connection", connection(bytes));
            client.send(7).await.expect("it is open");
            clients.push(client);
        }
    })
    .await;
    judge()
}
