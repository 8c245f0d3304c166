//! One line names every request of a web service: `.layer(TrackLayer::new())`.
//!
//! Clients in the same process drive an axum server over TCP. One of them hangs up while its
//! response is streamed. The report has one row for each route and method.
//!
//! ```text
//! cargo run --example tower_service --features axum
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    routing::{get, post},
};
use memscope_rs::{
    async_memory::{MemorySnapshot, get_memory_snapshot},
    tower::TrackLayer,
    tracked,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_stream::{StreamExt as _, iter, pending};

pub(crate) const ORDERS: usize = 20;
pub(crate) const LOGINS: usize = 10;
const KIB: usize = 1024;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// One session for each login. No client ever logs out.
type Sessions = Arc<Mutex<Vec<Vec<u8>>>>;

fn routes(sessions: Sessions) -> Router {
    let shop = Router::new().route("/orders/{id}", get(order)).route("/export", get(export));
    Router::new()
        .nest("/shop", shop)
        .route("/login", post(login))
        .route("/events", get(events))
        .with_state(sessions)
        .layer(TrackLayer::new()) // The one line.
}

async fn order(Path(id): Path<usize>) -> String {
    let rows = read_rows(id).await;
    format!("{} bytes of order {id}", rows.len())
}

/// A tracked function below the layer: its calls are children of the requests.
#[tracked]
async fn read_rows(id: usize) -> Vec<u8> {
    sleep(Duration::from_millis(1)).await;
    vec![0; 16 * KIB + id]
}

async fn login(State(sessions): State<Sessions>) -> &'static str {
    let session = vec![0; KIB];
    sessions.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    "welcome"
}

/// Five pieces of 64 KiB, each made when the server asks for it. The pieces are the request's
/// memory.
async fn export() -> Body {
    Body::from_stream(iter(0..5).map(|_| Ok::<_, Infallible>(vec![b'x'; 64 * KIB])))
}

/// A stream that has one event and does not end.
async fn events() -> Body {
    Body::from_stream(iter([Ok::<_, Infallible>("started")]).chain(pending()))
}

async fn ask(address: SocketAddr, request: &str) -> Result<TcpStream, Error> {
    let mut connection = TcpStream::connect(address).await?;
    let head = format!("{request} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
    connection.write_all(head.as_bytes()).await?;
    Ok(connection)
}

/// Sends a request and reads the whole answer. Returns its length.
async fn send(address: SocketAddr, request: &str) -> Result<usize, Error> {
    let mut answer = Vec::new();
    Ok(ask(address, request).await?.read_to_end(&mut answer).await?)
}

/// Answers all requests, and returns the report of the moment when all have ended.
pub(crate) async fn run() -> Result<MemorySnapshot, Error> {
    let sessions = Arc::new(Mutex::new(Vec::with_capacity(LOGINS)));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(axum::serve(listener, routes(Arc::clone(&sessions))).into_future());

    for id in 0..ORDERS {
        send(address, &format!("GET /shop/orders/{id}")).await?;
    }
    for _ in 0..LOGINS {
        send(address, "POST /login").await?;
    }
    if send(address, "GET /shop/export").await? < 5 * 64 * KIB {
        return Err("the export is too short".into());
    }
    // No route has these paths.
    for path in ["/admin", "/.env", "/wp-login.php"] {
        send(address, &format!("GET {path}")).await?;
    }
    let mut events = ask(address, "GET /events").await?;
    let mut read = String::new();
    while !read.contains("started") {
        read.push(char::from(events.read_u8().await?));
    }
    drop(events); // The client hangs up.

    let all_gone = async {
        while get_memory_snapshot().active_task_count() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), all_gone).await?;
    let snapshot = get_memory_snapshot();
    server.abort();
    drop(sessions);
    Ok(snapshot)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    println!("{}", run().await?);
    Ok(())
}
