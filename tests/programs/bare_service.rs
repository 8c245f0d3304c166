//! A service that depends on memscope and says nothing else of it. Its first argument names what
//! grows in it. `tests/reports/bare_reports.rs` starts it, and reads the report of its end.

#![expect(clippy::print_stdout, reason = "that is how it talks to the test")]

use std::{
    hint::black_box,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::{JoinSet, yield_now},
};

memscope_tests::install!();

static CACHE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// How many tasks wait for what does not come.
static IDLE: AtomicU32 = AtomicU32::new(0);
static QUEUE: Mutex<Option<UnboundedReceiver<Vec<u8>>>> = Mutex::new(None);

#[inline(never)]
fn read_page() -> Vec<u8> {
    black_box(vec![1_u8; 4 << 10])
}

async fn handle_request(head: [u8; 64]) {
    yield_now().await;
    black_box(head);
    CACHE.lock().expect("the cache").push(read_page());
}

#[inline(never)]
async fn produce(queue: UnboundedSender<Vec<u8>>) {
    for number in 0..2_000 {
        queue.send(black_box(vec![1_u8; 4 << 10])).expect("it is open");
        if number % 100 == 0 {
            yield_now().await;
        }
    }
}

async fn idle_connection() {
    let buffer = black_box(vec![1_u8; 32 << 10]);
    IDLE.fetch_add(1, Ordering::Relaxed);
    std::future::pending::<()>().await;
    drop(buffer);
}

#[expect(clippy::large_stack_arrays, reason = "that is its fault")]
async fn large_future() {
    let on_the_stack = black_box([1_u8; 57 << 10]);
    IDLE.fetch_add(1, Ordering::Relaxed);
    std::future::pending::<()>().await;
    black_box(on_the_stack);
}

async fn accept_connections() {
    let mut connections = JoinSet::new();
    for _ in 0..200 {
        connections.spawn(large_future());
        yield_now().await;
    }
    std::future::pending::<()>().await;
    drop(connections);
}

async fn answer() -> Vec<u8> {
    yield_now().await;
    vec![1_u8; 2 << 10]
}

async fn ask_without_end() {
    let mut answers = JoinSet::new();
    for _ in 0..2_000 {
        answers.spawn(answer());
        yield_now().await;
    }
    IDLE.fetch_add(200, Ordering::Relaxed);
    std::future::pending::<()>().await;
    drop(answers);
}

async fn serve(what_grows: &str) {
    match what_grows {
        "cache" => {
            for _ in 0..2_000 {
                tokio::spawn(handle_request([1; 64])).await.expect("no panic");
            }
            IDLE.store(200, Ordering::Relaxed);
        }
        "buffers until a signal" => {
            (0..200).for_each(|_| drop(tokio::spawn(idle_connection())));
            println!("ready");
            std::future::pending::<()>().await;
        }
        "slowly" => {
            for _ in 0..100 {
                tokio::spawn(handle_request([1; 64])).await.expect("no panic");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            IDLE.store(200, Ordering::Relaxed);
        }
        "queue" => {
            let (sender, receiver) = unbounded_channel();
            *QUEUE.lock().expect("the queue") = Some(receiver);
            tokio::spawn(produce(sender)).await.expect("no panic");
            IDLE.store(200, Ordering::Relaxed);
        }
        "buffers" => (0..200).for_each(|_| drop(tokio::spawn(idle_connection()))),
        "one_thread" => {
            for _ in 0..500 {
                tokio::spawn(handle_request([1; 64])).await.expect("no panic");
            }
            (0..200).for_each(|_| drop(tokio::spawn(idle_connection())));
        }
        "futures" => drop(tokio::spawn(accept_connections())),
        "answers" => drop(tokio::spawn(ask_without_end())),
        other => panic!("`{other}` does not grow"),
    }
}

fn main() {
    let what_grows = std::env::args().nth(1).expect("an argument");
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if what_grows == "one_thread" {
        builder = tokio::runtime::Builder::new_current_thread();
    }
    let runtime = builder.worker_threads(1).enable_time().build().expect("a runtime");
    runtime.block_on(async {
        serve(&what_grows).await;
        while IDLE.load(Ordering::Relaxed) != 200 {
            yield_now().await;
        }
        // The service is ended while it works, as a signal ends it.
        std::process::exit(0);
    });
}
