//! One connection: its limits and deadlines. A client that is slow or silent takes a place for a
//! bounded time, and no memory that grows.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_io_timeout::TimeoutStream;

/// How long the server waits for a request's head, and between two requests.
const READ_HEAD: Duration = Duration::from_secs(10);
/// How long the server waits for a client that takes nothing of what is written.
const WRITE: Duration = Duration::from_secs(10);
/// The longest life of a connection. The page then connects again.
const LIFE: Duration = Duration::from_hours(1);

const MOST_HEADERS: usize = 64;
/// The size of the buffers for a request's head and for what is about to be written.
const MOST_BUFFER_BYTES: usize = 16 << 10;

/// How many connections are open, and how many clients were accepted and refused so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) open: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [open, accepted, refused] =
            [&self.open, &self.accepted, &self.refused].map(|it| it.load(Ordering::Relaxed));
        write!(f, "connections: {open} open, {accepted} accepted, {refused} refused as too many")
    }
}

/// Counts a connection as open until dropped.
#[derive(Debug)]
pub(crate) struct Open(pub(crate) Arc<Counts>);

impl Open {
    pub(crate) fn new(counts: &Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Ordering::Relaxed);
        counts.accepted.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counts))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(stream: TcpStream, routes: Router) {
    // Events are small and must not wait for one another.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_HEAD)
        .max_buf_size(MOST_BUFFER_BYTES)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(routes));
    // Ignored: an error here concerns this client alone.
    let _ = timeout(LIFE, connection).await;
}
