//! The server and its thread.
//!
//! The thread and its runtime are memscope's own. So no worker of the program is needed to answer,
//! and no byte of the server is in the program's rows.

use std::{
    io::{self, Write},
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering, mpsc},
    time::Duration,
};

use axum::Router;
use memscope_runtime::__server::{own, spawn};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{self, Runtime},
    sync::{Semaphore, oneshot},
    time::sleep,
};

use crate::{
    connection::{self, Counts, Open},
    error::Error,
    latest,
};

/// The pause after a failure to accept. The system then has no descriptor or memory for another
/// connection until one ends.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// How many connections the system keeps until they are accepted.
const MOST_WAITING: u32 = 1_024;

const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A server that runs until this is dropped.
///
/// ```
/// let server = memscope_server::serve("127.0.0.1:0")?;
/// println!("http://{}/", server.local_address());
/// server.shutdown();
/// # Ok::<(), memscope_server::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it ends the server"]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    /// Receives when the thread has ended. It is in a lock, so that the server can be in a static.
    ended: Mutex<mpsc::Receiver<()>>,
    #[cfg(target_os = "linux")]
    announcement: Option<crate::discovery::Announcement>,
}

impl Server {
    /// Starts the server's thread. Must be called inside `own`.
    pub(crate) fn start(
        address: SocketAddr,
        most_connections: usize,
        routes: impl FnOnce(Arc<Counts>) -> Router,
    ) -> Result<Self, Error> {
        let runtime = OwnRuntime::build().map_err(Error::thread)?;
        let listener = {
            let _inside = runtime.0.as_ref().map(Runtime::enter);
            listen(address).map_err(|error| Error::bind(address, error))?
        };
        let address = listener.local_addr().map_err(|error| Error::bind(address, error))?;
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = mpsc::sync_channel(1);
        let counts = Arc::new(Counts::default());
        let routes = routes(Arc::clone(&counts));
        let clients =
            Clients { routes, places: Arc::new(Semaphore::new(most_connections)), counts };
        spawn(Box::new(move || {
            if let Some(runtime) = &runtime.0 {
                runtime.block_on(accept(listener, clients, stopped));
            }
            // Drops all connections.
            drop(runtime);
            latest::forget();
            // An error means that the server was dropped, and nothing waits for its end.
            let _ = end.send(());
        }))
        .map_err(Error::thread)?;
        Ok(Self {
            address,
            stop: Some(stop),
            ended: Mutex::new(ended),
            #[cfg(target_os = "linux")]
            announcement: None,
        })
    }

    /// Lets clients of this host find the server. Must be called inside `own`.
    #[cfg(target_os = "linux")]
    pub(crate) fn announce(&mut self, asks_for_token: bool) {
        self.announcement = crate::discovery::Announcement::write(self.address, asks_for_token);
    }

    /// Tells the thread to end. Must be called inside `own`.
    fn stop(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(announcement) = self.announcement.take() {
            announcement.end();
        }
        self.stop = None;
    }

    /// The address at which it serves, with the port that the system chose for port 0.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the server, and waits until its port is free.
    pub fn shutdown(mut self) {
        own(|| self.stop());
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // An error means that the thread has ended.
        let _ = ended.recv();
    }

    /// Lets the server run as long as the process.
    pub fn detach(mut self) {
        std::mem::forget(self.stop.take());
        // Its file goes when the process exits.
        #[cfg(target_os = "linux")]
        own(|| self.announcement = None);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        own(|| self.stop());
    }
}

/// A runtime that may be dropped anywhere. A caller drops it if the server cannot start, and the
/// caller may be a task of the program. Tokio does not let a task wait for the end of a runtime.
#[derive(Debug)]
struct OwnRuntime(
    /// `Some` until it is dropped.
    Option<Runtime>,
);

impl OwnRuntime {
    fn build() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build();
        runtime.map(|runtime| Self(Some(runtime)))
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What connections share.
#[derive(Debug)]
struct Clients {
    routes: Router,
    places: Arc<Semaphore>,
    counts: Arc<Counts>,
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of an earlier process may still be closing at that port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(MOST_WAITING)
}

/// Accepts connections until the server is stopped. The port is free when this ends.
async fn accept(listener: TcpListener, clients: Clients, stopped: oneshot::Receiver<()>) {
    let (mut stopped, mut tidy) = (pin!(stopped), pin!(latest::tidy()));
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => return,
            () = &mut tidy => {}
            accepted = listener.accept() => clients.take(accepted).await,
        }
    }
}

impl Clients {
    async fn take(&self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let Ok((stream, _)) = accepted else {
            sleep(AFTER_FAILURE).await;
            return;
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            // Writes as much as fits at once, and does not wait for the client.
            if let Ok(mut stream) = stream.into_std() {
                let _ = stream.write(TOO_MANY);
            }
            return;
        };
        let (open, routes) = (Open::new(&self.counts), self.routes.clone());
        tokio::spawn(async move {
            connection::serve(stream, routes).await;
            drop((open, place));
        });
    }
}
