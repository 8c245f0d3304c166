//! `#[tracked]`: wraps the body of every `async fn` that the attribute applies to.

mod options;
mod desugared_async;
mod check;
mod output_type;
mod interpolated;
mod arguments;
mod function;
mod expand;

pub(crate) use expand::{plain, tracked};
