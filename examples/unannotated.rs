//! A server without annotations: axum and hyper, unchanged. Each connection is a Tokio task of
//! hyper with its own row. The row shows what the task holds: here, a body that the handler keeps
//! while its client waits.
//!
//! `cargo run --release --example unannotated`
#![expect(clippy::print_stdout, reason = "the report is its output")]

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    routing::get,
};
use memscope_rs::async_memory::{MemorySnapshot, get_memory_snapshot};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Barrier,
};

const CONNECTIONS: usize = 12;
const KIB: usize = 1024;

/// The number of bytes that the handler of this connection holds.
pub(crate) fn body_of(connection: usize) -> usize {
    (100 + 10 * connection) * KIB
}

/// All handlers meet here twice: when all hold their bodies, and after the snapshot.
type Meeting = Arc<Barrier>;

async fn answer(Path(connection): Path<usize>, State(meeting): State<Meeting>) -> Vec<u8> {
    let body = vec![b'.'; body_of(connection)];
    meeting.wait().await;
    meeting.wait().await;
    body
}

/// A client, which does not use hyper either.
async fn ask(address: std::net::SocketAddr, connection: usize) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET /{connection} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await
}

/// Serves all connections. The snapshot is taken while each handler holds its body.
pub(crate) async fn run() -> Result<MemorySnapshot, Box<dyn std::error::Error>> {
    let meeting = Arc::new(Barrier::new(CONNECTIONS + 1));
    let routes = Router::new().route("/{connection}", get(answer)).with_state(Arc::clone(&meeting));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    let clients: Vec<_> =
        (0..CONNECTIONS).map(|connection| tokio::spawn(ask(address, connection))).collect();
    meeting.wait().await;
    // A thread of memscope looks up the names that a snapshot lacks. Later snapshots have them.
    while get_memory_snapshot().tool().names_awaited != 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let snapshot = get_memory_snapshot();
    meeting.wait().await;
    for (connection, client) in clients.into_iter().enumerate() {
        let received = client.await??;
        assert!(received >= body_of(connection), "the whole body arrives");
    }
    server.abort();
    Ok(snapshot)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A lower limit than in a service, where only large tasks need names.
    memscope_rs::builder().name_tasks_from(64 * 1024).init()?;
    let serving = tokio::time::timeout(Duration::from_secs(30), run());
    println!("{}", serving.await??);
    println!("the handlers held {} to {} bytes each", body_of(0), body_of(CONNECTIONS - 1));
    Ok(())
}
