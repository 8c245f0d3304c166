//! A web service: orders as JSON, an echo of bodies, pages from a cache. Without memscope, with
//! memscope linked, with each handler `#[tracked]`, or with `TrackLayer` around them, as the
//! features say.
//!
//! It prints its port, and answers `/usage` with what it has used so far. Arguments: `cpu`, the
//! processor it stays on.

use std::{
    collections::{HashMap, VecDeque},
    env,
    io::{Write, stdout},
    process::exit,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    routing::{get, post},
};
use serde::Serialize;
use tokio::{net::TcpListener, runtime};

/// How many pages the cache keeps.
const PAGES: usize = 1_024;
const PAGE_BYTES: usize = 2_048;

/// Pages by number, the oldest thrown away first.
#[derive(Default)]
struct Cache {
    pages: HashMap<u64, Bytes>,
    order: VecDeque<u64>,
}

type Shop = Arc<Mutex<Cache>>;

#[derive(Serialize)]
struct Order {
    id: u64,
    item: String,
    cents: u64,
    tags: Vec<String>,
}

#[cfg_attr(feature = "tracked", memscope_rs::tracked(task_type = "network", name = "GET /orders"))]
async fn orders(Path(count): Path<u64>) -> Json<Vec<Order>> {
    let order = |id| Order {
        id,
        item: format!("item number {id}"),
        cents: id * 199,
        tags: vec![format!("shelf {}", id % 7), "in stock".to_owned()],
    };
    Json((0..count).map(order).collect())
}

#[cfg_attr(feature = "tracked", memscope_rs::tracked(task_type = "network", name = "POST /echo"))]
async fn echo(body: Bytes) -> Vec<u8> {
    body.to_ascii_uppercase()
}

#[cfg_attr(feature = "tracked", memscope_rs::tracked(task_type = "memory", name = "GET /page"))]
async fn page(State(shop): State<Shop>, Path(number): Path<u64>) -> Bytes {
    if let Some(page) = lock(&shop).pages.get(&number) {
        return page.clone();
    }
    let text = format!("page {number} ");
    let page = Bytes::from(text.repeat(PAGE_BYTES / text.len()));
    let mut cache = lock(&shop);
    if cache.pages.insert(number, page.clone()).is_none() {
        cache.order.push_back(number);
    }
    if cache.order.len() > PAGES
        && let Some(oldest) = cache.order.pop_front()
    {
        cache.pages.remove(&oldest);
    }
    page
}

fn lock(shop: &Shop) -> MutexGuard<'_, Cache> {
    shop.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the process has used so far, all threads together.
#[derive(Serialize)]
struct Usage {
    cpu_ns: u64,
    resident_bytes: i64,
}

async fn usage() -> Json<Usage> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid struct to be written.
    unsafe {
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time);
    }
    let cpu_ns = time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned();
    Json(Usage { cpu_ns, resident_bytes: comparison_loops::anonymous_bytes() })
}

/// Takes a snapshot, as a scrape or the page does.
#[cfg(feature = "memscope")]
async fn look() {
    drop(memscope_rs::async_memory::get_memory_snapshot());
}

/// Ends the service as a signal would, but at once.
async fn quit() {
    exit(0);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(cpu) = env::args().nth(1) {
        comparison_loops::stay_on(cpu.parse()?);
    }
    let routes = Router::new()
        .route("/orders/{count}", get(orders))
        .route("/echo", post(echo))
        .route("/page/{number}", get(page));
    #[cfg(feature = "tower")]
    let routes = routes.layer(memscope_rs::tower::TrackLayer::new());
    #[cfg(feature = "memscope")]
    let routes = routes.route("/look", get(look));
    let routes =
        routes.route("/usage", get(usage)).route("/quit", get(quit)).with_state(Shop::default());
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        stdout().flush()?;
        // In a task, so that it runs on the worker as the connections do.
        tokio::spawn(axum::serve(listener, routes).into_future()).await??;
        Ok(())
    })
}
