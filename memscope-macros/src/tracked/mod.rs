//! `#[tracked]`: wraps the body of every `async fn` that the attribute reaches.

pub(crate) mod options;
mod check;
mod expand;
mod desugared_async;

pub(crate) use expand::{plain, tracked};
