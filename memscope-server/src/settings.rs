//! What a program chooses.

use std::net::{SocketAddr, ToSocketAddrs};

use axum::Router;
use memscope_runtime::__server::{own, warn};

use crate::{
    error::Error,
    guard::{Guard, is_loopback},
    routes::routes,
    server::Server,
};

/// The most connections at a time, unless the program says otherwise.
const CONNECTIONS: usize = 64;

/// How a server or a router answers.
///
/// ```
/// let server = memscope_server::builder().token("a long random text").serve("127.0.0.1:0")?;
/// # server.shutdown();
/// # Ok::<(), memscope_server::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    token: Option<String>,
    is_remote: bool,
    connections: usize,
}

/// The defaults: no token, loopback alone, 64 connections.
pub fn builder() -> Builder {
    Builder { token: None, is_remote: false, connections: CONNECTIONS }
}

/// Serves at this address, which must be one of loopback, such as `127.0.0.1:6071`. With port 0 the
/// system chooses a free port, which [`Server::local_address`] returns.
///
/// The server has a thread and a runtime of its own. So it answers when all workers of the program
/// are stuck. The thread takes no signal, and what it allocates is memscope's own memory.
///
/// ```
/// let _server = memscope_server::serve("127.0.0.1:0")?;
/// # Ok::<(), memscope_server::Error>(())
/// ```
///
/// # Errors
///
/// Returns an error if this is not an address, if other hosts could reach it, if the port is taken,
/// or if the system cannot start a thread.
///
/// # Cost
///
/// The server takes a thread and some 40 KiB of heap, and 250 KiB more once the page was asked for.
/// Nothing runs while no client asks. A client that watches the page costs one snapshot a second,
/// which further clients share.
pub fn serve(address: impl ToSocketAddrs) -> Result<Server, Error> {
    builder().serve(address)
}

/// Returns the routes of the server, to mount in the program's own axum, for instance under
/// `/memscope`.
///
/// They then run on the program's workers, and all clients of the program reach them. So put them
/// behind the program's own checks, or behind a [token](Builder::token). They do not check the name
/// of the host: the program must do that. `/events` needs the runtime's timer. The last snapshot
/// stays in memory until the next one, unless a [server](serve) runs as well.
///
/// ```
/// let routes: axum::Router = axum::Router::new().nest("/memscope", memscope_server::router());
/// ```
pub fn router() -> Router {
    builder().router()
}

impl Builder {
    /// Sets the token that each request must bring: `Authorization: Bearer TOKEN`, or
    /// `?token=TOKEN` in the page's address. `/health` needs no token. An empty text means that
    /// there is no token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into()).filter(|token| !token.is_empty());
        self
    }

    /// Allows an address other than loopback, so that other hosts may connect. A line on stderr
    /// then says so. By default it is not allowed.
    #[must_use]
    pub fn remote(mut self, yes: bool) -> Self {
        self.is_remote = yes;
        self
    }

    /// Sets the most connections at a time: 64 by default, at least one. Further connections are
    /// answered with status 503, and `/health` counts them.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = most.clamp(1, 1 << 16);
        self
    }

    /// Serves at this address: see [`serve`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`serve`]. Other hosts may reach the address if
    /// [`remote`](Self::remote) allows it.
    pub fn serve(self, address: impl ToSocketAddrs) -> Result<Server, Error> {
        own(|| {
            let addresses: Vec<SocketAddr> =
                address.to_socket_addrs().map_err(Error::address)?.collect();
            let mut failed = Error::address(std::io::ErrorKind::NotFound.into());
            for address in addresses {
                match self.clone().serve_at(address) {
                    Ok(server) => return Ok(server),
                    Err(error) => failed = error,
                }
            }
            Err(failed)
        })
    }

    fn serve_at(self, address: SocketAddr) -> Result<Server, Error> {
        let is_remote = !is_loopback(address.ip());
        if is_remote && !self.is_remote {
            return Err(Error::remote(address));
        }
        let has_token = self.token.is_some();
        let guard = Guard { token: self.token, checks_host: true };
        let start = |counts| routes(guard, Some(counts));
        #[cfg_attr(not(target_os = "linux"), expect(unused_mut, reason = "it is not announced"))]
        let mut server = Server::start(address, self.connections, start)?;
        #[cfg(target_os = "linux")]
        server.announce(has_token);
        if is_remote {
            let address = server.local_address();
            let how = if has_token { "with the token" } else { "without a token" };
            warn(format_args!(
                "other hosts that reach {address} can read what this process holds, {how}"
            ));
        }
        Ok(server)
    }

    /// Returns the routes with this token: see [`router`]. The other settings apply to a server
    /// alone.
    pub fn router(self) -> Router {
        own(|| routes(Guard { token: self.token, checks_host: false }, None))
    }
}
