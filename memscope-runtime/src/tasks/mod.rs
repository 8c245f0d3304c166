//! Wrappers that make a task current: futures, streams, spawns, scopes, spans.

pub(crate) mod budget;
pub(crate) mod excess;
pub(crate) mod future;
pub(crate) mod scope;
#[cfg(feature = "tokio")]
pub(crate) mod spawn;
#[cfg(feature = "stream")]
pub(crate) mod stream;
#[cfg(all(feature = "tokio", tokio_unstable))]
pub(crate) mod tokio_hooks;
#[cfg(feature = "tower")]
pub(crate) mod tower;
#[cfg(feature = "tracing")]
pub(crate) mod tracing_layer;

pub use future::{CatchPanic, Tracked};
pub use scope::{Scope, Scoped};
#[cfg(feature = "stream")]
pub use stream::{TrackStream, TrackedStream};
#[cfg(feature = "tracing")]
pub use tracing_layer::MemoryLayer;

#[cfg(all(test, feature = "layout", feature = "stream", feature = "tower"))]
mod tests {
    use std::{any::type_name, future::Ready};

    use super::{CatchPanic, Scoped, Tracked, TrackedStream, tower::TrackedResponse};
    use crate::await_points::known;

    /// The path of a type without its parameters.
    fn path_of<T>() -> &'static str {
        let name = type_name::<T>();
        name.split('<').next().unwrap_or(name)
    }

    #[test]
    fn await_points_know_all_wrappers_by_their_paths() {
        let mut there = [
            path_of::<CatchPanic<Ready<()>>>(),
            path_of::<Tracked<Ready<()>>>(),
            path_of::<Scoped<Ready<()>>>(),
            path_of::<TrackedStream<Ready<()>>>(),
            path_of::<TrackedResponse<Ready<()>>>(),
        ];
        let mut known = known::own_wrappers();
        there.sort_unstable();
        known.sort_unstable();
        assert_eq!(there, *known);
    }
}
