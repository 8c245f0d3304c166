//! A web service that leaks, caches, streams and panics, and the report that shows which task does
//! what.
//!
//! Clients in the same process drive an axum server over TCP. Some of them disconnect mid-request.
//! Each function with `#[tracked]` has a row in the report.
//!
//! ```text
//! cargo run --release --example web_service
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

#[path = "web_service/clients.rs"]
pub(crate) mod clients;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    routing::get,
};
use http_body_util::{Channel, channel::Sender};
use memscope_rs::{
    async_memory::{HumanBytes, MemorySnapshot, get_memory_snapshot},
    tracked,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
    task::JoinSet,
    time::{interval, sleep, timeout},
};

const REQUESTS: usize = 8_000;
const CONNECTIONS: usize = 64;
const KIB: usize = 1024;

/// Tells a client that its search has begun, so that it disconnects while the handler works.
pub(crate) static SEARCHES: [Notify; CONNECTIONS] = [const { Notify::const_new() }; CONNECTIONS];

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The state that the handlers share.
#[derive(Debug, Default)]
pub(crate) struct Shop {
    /// One session for each login. No client ever logs out.
    pub(crate) sessions: Mutex<Vec<Vec<u8>>>,
    /// The answers of the exchange, which are never dropped.
    pub(crate) rates: Mutex<Vec<Vec<u8>>>,
}

fn routes(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/page", get(page))
        .route("/report", get(report))
        .route("/login", get(login))
        .route("/stock/{item}", get(stock))
        .route("/search/{client}", get(search))
        .route("/export", get(export))
        .with_state(shop)
}

#[tracked(task_type = "network", name = "GET /page")]
async fn page() -> String {
    let page = vec![b' '; 16 * KIB];
    sleep(Duration::from_millis(20)).await;
    format!("{} bytes", page.len())
}

#[tracked(task_type = "memory", name = "GET /report")]
async fn report() -> String {
    let rows = vec![0u8; 2048 * KIB];
    sleep(Duration::from_millis(60)).await;
    format!("{} rows", rows.len())
}

#[tracked(task_type = "network", name = "GET /login")]
async fn login(State(shop): State<Arc<Shop>>) -> &'static str {
    let session = Vec::with_capacity(KIB);
    sleep(Duration::from_millis(5)).await;
    lock(&shop.sessions).push(session);
    "welcome"
}

#[tracked(task_type = "io", name = "GET /stock")]
async fn stock(Path(item): Path<String>) -> String {
    let shelf = vec![0u8; 4 * KIB];
    sleep(Duration::from_millis(10)).await;
    let item: usize = item.parse().expect("items have numbers");
    format!("{} left", shelf.len() - item)
}

/// Takes longer than any client waits.
#[tracked(task_type = "cpu", name = "GET /search")]
async fn search(Path(client): Path<usize>) -> String {
    let index = vec![0u8; 256 * KIB];
    SEARCHES[client].notify_one();
    sleep(Duration::from_mins(1)).await;
    format!("nothing in {} bytes", index.len())
}

#[tracked(task_type = "network", name = "GET /export")]
async fn export() -> Body {
    let (pieces, body) = Channel::<Bytes>::new(2);
    tokio::spawn(write_export(pieces));
    Body::new(body)
}

/// Sends half a mebibyte, with only a few pieces in memory at a time.
#[tracked(task_type = "streaming", name = "GET /export, body")]
async fn write_export(mut pieces: Sender<Bytes>) {
    for _ in 0..32 {
        let piece = Bytes::from(vec![b'x'; 16 * KIB]);
        if pieces.send_data(piece).await.is_err() {
            return; // The client is gone.
        }
    }
}

#[tracked(task_type = "background", name = "exchange rates")]
async fn watch_rates(shop: Arc<Shop>) {
    loop {
        lock(&shop.rates).push(vec![0; 8 * KIB]);
        sleep(Duration::from_millis(3)).await;
    }
}

/// Answers `requests` requests over `connections` connections, then closes the service.
///
/// The snapshot is taken after all clients have left, while the background task still runs. Also
/// returns the bytes that the sessions and the rates hold at that moment by their own count.
pub(crate) async fn run(
    shop: &Arc<Shop>,
    requests: usize,
    connections: usize,
) -> Result<(MemorySnapshot, [u64; 2]), Error> {
    let watch = tokio::spawn(watch_rates(Arc::clone(shop)));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (close, closed) = oneshot::channel::<()>();
    let server = axum::serve(listener, routes(Arc::clone(shop)))
        .with_graceful_shutdown(async { closed.await.unwrap_or_default() });
    let server = tokio::spawn(server.into_future());

    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for id in 0..connections.min(CONNECTIONS) {
        clients.spawn(clients::client(id, address, requests, Arc::clone(&next)));
    }
    let start = Instant::now();
    let mut second = interval(Duration::from_secs(1));
    second.tick().await; // The first tick comes at once.
    loop {
        tokio::select! {
            client = clients.join_next() => match client {
                Some(client) => client??,
                None => break,
            },
            _ = second.tick() => {
                let (seconds, made) = (start.elapsed().as_secs_f64(), next.load(Relaxed).min(requests));
                let live = HumanBytes(get_memory_snapshot().live_memory_bytes());
                println!("{seconds:5.1} s  {made:5} of {requests} requests  {live:>10} held by tasks");
            }
        }
    }

    let _ = close.send(());
    let all_gone = async {
        server.await??;
        while get_memory_snapshot().active_task_count() > 1 {
            sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, Error>(())
    };
    timeout(Duration::from_secs(10), all_gone).await??;
    let reading = {
        let (sessions, rates) = (lock(&shop.sessions), lock(&shop.rates));
        (get_memory_snapshot(), [&sessions, &rates].map(|buffers| heap_bytes(buffers)))
    };
    watch.abort();
    let _aborted = watch.await;
    Ok(reading)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the bytes of the buffers and of the list of them.
fn heap_bytes(buffers: &Vec<Vec<u8>>) -> u64 {
    let list = buffers.capacity() * size_of::<Vec<u8>>();
    (list + buffers.iter().map(Vec::capacity).sum::<usize>()) as u64
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    // From here on, a thread collects events as they come.
    memscope_rs::init();
    // The panics are intended: axum closes the connection, and the report counts them.
    std::panic::set_hook(Box::new(|_| ()));
    let shop = Arc::default();
    let start = Instant::now();
    let (snapshot, held) = run(&shop, REQUESTS, CONNECTIONS).await?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "\n{REQUESTS} requests over {CONNECTIONS} connections in {seconds:.1} s\n\n{snapshot}"
    );

    let live = |name| snapshot.sites_named(name).map(|site| site.live_bytes).sum();
    let reported: [u64; 2] = ["GET /login", "exchange rates"].map(live);
    println!(
        "the sessions and the rates hold {held:?} B by their own count, {reported:?} B by the report"
    );
    if held == reported { Ok(()) } else { Err("the report is wrong".into()) }
}
