//! A web service as they mostly are: orders in a database, read and changed as JSON, exported as a
//! stream, and asked for over websockets. Without memscope, with memscope linked, with each handler
//! `#[tracked]`, or with `TrackLayer` around them, as the features say.
#![allow(clippy::unused_async, reason = "handlers are async functions")]

use std::{env, error::Error, fs, process};

use axum::{
    Json, Router,
    body::Body,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use comparison_served::{handled, serve};
use serde::{Deserialize, Serialize};
use sqlx::{
    Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

const CUSTOMERS: i64 = 100;
const ORDERS_OF_EACH: i64 = 240;
/// Orders in one piece of an export.
const PIECE: usize = 40;

#[derive(Serialize)]
struct Order {
    number: i64,
    item: String,
    cents: i64,
    note: Option<String>,
}

#[derive(Deserialize)]
struct Change {
    number: i64,
    cents: i64,
}

/// An error of the database.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it away")]
fn failed(error: sqlx::Error) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

const OF_CUSTOMER: &str =
    "SELECT number, item, cents, note FROM orders WHERE customer = ? ORDER BY number";

fn order(row: &sqlx::sqlite::SqliteRow) -> Order {
    Order { number: row.get(0), item: row.get(1), cents: row.get(2), note: row.get(3) }
}

async fn of_customer(pool: &SqlitePool, customer: i64) -> Result<Vec<Order>, sqlx::Error> {
    let rows = sqlx::query(OF_CUSTOMER).bind(customer).fetch_all(pool).await?;
    Ok(rows.iter().map(order).collect())
}

#[cfg_attr(feature = "tracked", memscope_rs::tracked(task_type = "io", name = "GET /orders"))]
async fn orders(
    State(pool): State<SqlitePool>,
    Path(customer): Path<i64>,
) -> Result<Json<Vec<Order>>, (StatusCode, String)> {
    of_customer(&pool, customer).await.map(Json).map_err(failed)
}

#[cfg_attr(feature = "tracked", memscope_rs::tracked(task_type = "io", name = "POST /orders"))]
async fn change(
    State(pool): State<SqlitePool>,
    Path(customer): Path<i64>,
    Json(changes): Json<Vec<Change>>,
) -> Result<Json<i64>, (StatusCode, String)> {
    const CHANGE: &str = "UPDATE orders SET cents = ? WHERE customer = ? AND number = ?";
    let mut transaction = pool.begin().await.map_err(failed)?;
    for Change { number, cents } in changes {
        let query = sqlx::query(CHANGE).bind(cents).bind(customer).bind(number);
        query.execute(&mut *transaction).await.map_err(failed)?;
    }
    let sum = sqlx::query("SELECT sum(cents) FROM orders WHERE customer = ?").bind(customer);
    let sum = sum.fetch_one(&mut *transaction).await.map_err(failed)?.get(0);
    transaction.commit().await.map_err(failed)?;
    Ok(Json(sum))
}

/// Streams the orders as lines of JSON, some at a time.
#[cfg_attr(feature = "tracked", memscope_rs::tracked(task_type = "io", name = "GET /export"))]
async fn export(State(pool): State<SqlitePool>, Path(customer): Path<i64>) -> Response {
    let (pieces, body) = mpsc::channel::<Result<Vec<u8>, sqlx::Error>>(2);
    tokio::spawn(async move {
        let mut rows = sqlx::query(OF_CUSTOMER).bind(customer).fetch(&pool);
        let mut piece = Vec::new();
        let mut count = 0;
        while let Some(row) = rows.next().await {
            let written = row.map(|row| serde_json::to_writer(&mut piece, &order(&row)));
            piece.push(b'\n');
            count += 1;
            let failed = written.err();
            let is_last = failed.is_some();
            if is_last || count % PIECE == 0 {
                let piece = failed.map_or(Ok(std::mem::take(&mut piece)), Err);
                if pieces.send(piece).await.is_err() || is_last {
                    return;
                }
            }
        }
        if !piece.is_empty() {
            // The client may have gone.
            let _ = pieces.send(Ok(piece)).await;
        }
    });
    Response::new(Body::from_stream(ReceiverStream::new(body)))
}

/// Answers each message, the number of a customer, with the customer's orders.
async fn live(State(pool): State<SqlitePool>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| answer(socket, pool))
}

#[cfg_attr(feature = "tracked", memscope_rs::tracked(task_type = "network", name = "websocket"))]
async fn answer(mut socket: WebSocket, pool: SqlitePool) {
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        let customer = text.parse().unwrap_or(0);
        let Ok(orders) = of_customer(&pool, customer).await else { return };
        let Ok(answer) = serde_json::to_string(&orders) else { return };
        if socket.send(Message::text(answer)).await.is_err() {
            return;
        }
    }
}

/// A database in a file that is gone when the service ends.
async fn database() -> Result<SqlitePool, Box<dyn Error>> {
    let file = env::temp_dir().join(format!("contender-shop-{}.sqlite", process::id()));
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Memory)
        .synchronous(SqliteSynchronous::Off);
    let pool = SqlitePoolOptions::new().min_connections(2).max_connections(2);
    let pool = pool.connect_with(options).await?;
    let table = "CREATE TABLE orders (customer INTEGER, number INTEGER, item TEXT, cents INTEGER,
        note TEXT, PRIMARY KEY (customer, number)) WITHOUT ROWID";
    sqlx::query(table).execute(&pool).await?;
    let mut transaction = pool.begin().await?;
    for customer in 0..CUSTOMERS {
        for number in 0..ORDERS_OF_EACH {
            let note = (number % 3 == 0).then(|| format!("to be packed with care, no. {number}"));
            sqlx::query("INSERT INTO orders VALUES (?, ?, ?, ?, ?)")
                .bind(customer)
                .bind(number)
                .bind(format!("item {} of shelf {}", number * 7, customer % 9))
                .bind(number * 199)
                .bind(note)
                .execute(&mut *transaction)
                .await?;
        }
    }
    transaction.commit().await?;
    // Both connections are open by now.
    while pool.size() < 2 {
        tokio::task::yield_now().await;
    }
    fs::remove_file(file)?;
    Ok(pool)
}

async fn routes() -> Result<Router, Box<dyn Error>> {
    let routes = Router::new()
        .route("/orders/{customer}", get(|pool, customer| handled(orders(pool, customer))))
        .route(
            "/orders/{customer}",
            post(|pool, customer, changes| handled(change(pool, customer, changes))),
        )
        .route("/export/{customer}", get(|pool, customer| handled(export(pool, customer))))
        .route("/live", get(live));
    #[cfg(feature = "tower")]
    let routes = routes.layer(memscope_rs::tower::TrackLayer::new());
    Ok(routes.with_state(database().await?))
}

fn main() -> Result<(), Box<dyn Error>> {
    serve(routes)
}
