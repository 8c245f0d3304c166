//! Why a server cannot start.

use std::{fmt, io, net::SocketAddr};

/// Why a server cannot start. Its `Display` says what to do.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Address(io::Error),
    Remote(SocketAddr),
    Bind(SocketAddr, io::Error),
    Thread(io::Error),
}

impl Error {
    pub(crate) fn address(why: io::Error) -> Self {
        Self { kind: Kind::Address(why) }
    }

    pub(crate) fn remote(address: SocketAddr) -> Self {
        Self { kind: Kind::Remote(address) }
    }

    pub(crate) fn bind(address: SocketAddr, why: io::Error) -> Self {
        Self { kind: Kind::Bind(address, why) }
    }

    pub(crate) fn thread(why: io::Error) -> Self {
        Self { kind: Kind::Thread(why) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Address(why) => {
                write!(f, "that is no address to serve at, such as 127.0.0.1:6071: {why}")
            }
            Kind::Remote(address) => write!(
                f,
                "{address} can be reached from other hosts: serve at 127.0.0.1, or allow it with \
                 `builder().remote(true)` or MEMSCOPE_SERVE_REMOTE=on, best with a token"
            ),
            Kind::Bind(address, why) if why.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "the port of {address} is taken by another process: choose another one, or 0 for \
                 any free one"
            ),
            Kind::Bind(address, why) => write!(f, "cannot serve at {address}: {why}"),
            Kind::Thread(why) => write!(f, "the system cannot start the server's thread: {why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Remote(_) => None,
            Kind::Address(why) | Kind::Bind(_, why) | Kind::Thread(why) => Some(why),
        }
    }
}
