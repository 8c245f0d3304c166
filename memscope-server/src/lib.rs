#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

// Bottom first: a module imports only from modules above it.
// Why a server cannot start.
mod error;
// One snapshot for all clients of one second, and what is made of it.
mod latest;
// Its metrics, for registries of other libraries.
#[cfg(any(feature = "opentelemetry", feature = "prometheus-client"))]
mod families;
// Metrics in a registry of `prometheus-client`.
#[cfg(feature = "prometheus-client")]
mod collector;
#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
// Flame graphs.
mod flame;
// What holds the heap, and all tasks: asked on a thread of its own.
mod pictures;
// The stream of updates.
mod events;
// Which requests are answered at all.
mod guard;
// One connection: its limits and deadlines.
mod connection;
// What each path answers.
mod routes;
// A file by which clients of this host find a server.
#[cfg(target_os = "linux")]
mod discovery;
// The server and its thread.
mod server;
// What a program chooses.
mod settings;
// The variable `MEMSCOPE_SERVE`.
mod before_main;

#[cfg(feature = "prometheus-client")]
pub use crate::collector::Collector;
pub use crate::{
    error::Error,
    server::Server,
    settings::{Builder, builder, router, serve},
};
