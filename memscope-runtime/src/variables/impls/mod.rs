//! `Trackable` for types of the standard library, of Tokio and of `bytes`.

#[cfg(feature = "bytes")]
pub(crate) mod bytes;
pub(crate) mod cells;
pub(crate) mod collections;
pub(crate) mod pointers;
pub(crate) mod rc;
pub(crate) mod scalars;
pub(crate) mod strings;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;
pub(crate) mod wrappers;
