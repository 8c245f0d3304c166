//! Tracked futures on every executor: what a task holds, how it ends and whose child it is do not
//! depend on who polls it.

#![expect(clippy::useless_vec, reason = "blocks on the heap are what is tested")]

#[path = "runtimes/async_std.rs"]
mod async_std;
#[path = "runtimes/combinators.rs"]
mod combinators;
#[path = "runtimes/common.rs"]
mod common;
#[path = "runtimes/futures.rs"]
mod futures;
#[path = "runtimes/smol.rs"]
mod smol;
#[path = "runtimes/tokio.rs"]
mod tokio;

memscope_tests::install!();
