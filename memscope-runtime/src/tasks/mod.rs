//! Wrappers that make a task current: futures, streams, spawns, scopes, spans.

pub(crate) mod future;
pub(crate) mod scope;
#[cfg(feature = "tokio")]
pub(crate) mod spawn;
#[cfg(feature = "stream")]
pub(crate) mod stream;
#[cfg(all(feature = "tokio", tokio_unstable))]
pub(crate) mod tokio_hooks;
#[cfg(feature = "tracing")]
pub(crate) mod tracing_layer;

pub use future::{CatchPanic, Tracked};
pub use scope::{Scope, Scoped};
#[cfg(feature = "stream")]
pub use stream::{TrackStream, TrackedStream};
#[cfg(feature = "tracing")]
pub use tracing_layer::MemoryLayer;
