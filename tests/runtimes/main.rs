//! Tracked futures on every executor: what a task holds, how it ends and whose child it is do not
//! depend on the executor that polls it.

#![expect(clippy::useless_vec, reason = "blocks on the heap are what is tested")]

mod async_std;
mod combinators;
mod common;
mod futures;
mod smol;
mod tokio;

memscope_tests::install!();
