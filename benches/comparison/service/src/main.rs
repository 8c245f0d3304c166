//! A web service: orders as JSON, an echo of bodies, pages from a cache. Without memscope, with
//! memscope linked, with each handler `#[tracked]`, with `TrackLayer` around them, or with another
//! tool, as the features say.
#![allow(clippy::unused_async, reason = "handlers are async functions")]

use std::{
    collections::{HashMap, VecDeque},
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    routing::{get, post},
};
use comparison_served::{handled, serve};
use serde::Serialize;

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
#[cfg_attr(feature = "measured", hotpath::measure)]
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
#[cfg_attr(feature = "measured", hotpath::measure)]
async fn echo(body: Bytes) -> Vec<u8> {
    body.to_ascii_uppercase()
}

#[cfg_attr(feature = "tracked", memscope_rs::tracked(task_type = "memory", name = "GET /page"))]
#[cfg_attr(feature = "measured", hotpath::measure)]
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

async fn routes() -> Result<Router, Box<dyn Error>> {
    let routes = Router::new()
        .route("/orders/{count}", get(|count| handled(orders(count))))
        .route("/echo", post(|body| handled(echo(body))))
        .route("/page/{number}", get(|shop, number| handled(page(shop, number))));
    #[cfg(feature = "tower")]
    let routes = routes.layer(memscope_rs::tower::TrackLayer::new());
    Ok(routes.with_state(Shop::default()))
}

fn main() -> Result<(), Box<dyn Error>> {
    serve(routes)
}
