//! Finds the heap blocks of a value: `track_var!`, `Trackable`, `transfer`.

pub(crate) mod dispatch;
pub(crate) mod impls;
pub(crate) mod register;
pub(crate) mod std_layout;
pub(crate) mod trackable;
pub(crate) mod transfer;

pub use dispatch::{ByContents, ByHandle, ByParts, ByValue, Value};
pub use trackable::{Blocks, Contents, Found, Handle, Trackable};
pub use transfer::Transferred;
