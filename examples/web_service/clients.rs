//! The clients of the web service: hyper over TCP, and a bare socket for clients that hang up.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::body::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http1::SendRequest, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{Error, KIB, SEARCHES};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Visit {
    /// Gets a path and expects an answer.
    Get(&'static str, &'static str),
    /// Gets the long body.
    Export,
    /// Sends a request on which the handler panics.
    Nonsense,
    /// Sends a request and does not wait for the answer.
    HangUp,
}

/// Returns the kind of the `n`-th request.
pub(crate) fn visit(n: usize) -> Visit {
    match n % 20 {
        0 => Visit::HangUp,
        1 => Visit::Export,
        2 | 3 => Visit::Get("/report", "2097152 rows"),
        4..=7 => Visit::Get("/login", "welcome"),
        8 if n % 500 == 8 => Visit::Nonsense,
        8 | 9 => Visit::Get("/stock/96", "4000 left"),
        _ => Visit::Get("/page", "16384 bytes"),
    }
}

/// Makes requests on one connection, which is kept alive, until all are made.
pub(crate) async fn client(
    id: usize,
    server: SocketAddr,
    requests: usize,
    next: Arc<AtomicUsize>,
) -> Result<(), Error> {
    let mut connection = connect(server).await?;
    loop {
        let n = next.fetch_add(1, Relaxed);
        if n >= requests {
            return Ok(());
        }
        let as_expected = match visit(n) {
            Visit::Get(path, answer) => ask(&mut connection, path).await? == answer,
            Visit::Export => ask(&mut connection, "/export").await?.len() == 512 * KIB,
            Visit::Nonsense => ask(&mut connect(server).await?, "/stock/apples").await.is_err(),
            Visit::HangUp => {
                let mut connection = TcpStream::connect(server).await?;
                let request = format!("GET /search/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                connection.write_all(request.as_bytes()).await?;
                timeout(Duration::from_secs(10), SEARCHES[id].notified()).await?;
                sleep(Duration::from_millis(30)).await;
                true
            }
        };
        if !as_expected {
            return Err(format!("request {n}, {:?}: another answer came", visit(n)).into());
        }
    }
}

async fn connect(server: SocketAddr) -> Result<SendRequest<Empty<Bytes>>, Error> {
    let stream = TcpStream::connect(server).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn ask(connection: &mut SendRequest<Empty<Bytes>>, path: &str) -> Result<Bytes, Error> {
    connection.ready().await?;
    let request = Request::get(path).header(HOST, "localhost").body(Empty::new())?;
    let response = connection.send_request(request).await?;
    if !response.status().is_success() {
        return Err(format!("{path}: {}", response.status()).into());
    }
    Ok(response.into_body().collect().await?.to_bytes())
}
