//! `#[tracked]`: wraps the body of every `async fn` that the attribute applies to.

mod options;
mod check;
mod expand;
mod function;
mod arguments;
mod output_type;
mod interpolated;
mod desugared_async;

pub(crate) use expand::{plain, tracked};
