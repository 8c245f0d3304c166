//! The memory of a future or closure, for tests: measured, and held to limits.
//!
//! [`measure`] and [`measure_sync`] run code as a task of its own and return its row.
//! [`assert_memory!`](crate::assert_memory) compares that row with limits. The attribute
//! `#[memscope_rs::test]` does both for a whole test. Tests that run at the same time in one
//! process are told apart by their tasks.
//!
//! ```
//! use memscope_runtime::{assert_memory, testing::measure_sync};
//!
//! # #[global_allocator]
//! # static A: memscope_runtime::TrackingAllocator =
//! #     memscope_runtime::TrackingAllocator::new(std::alloc::System);
//! let (parsed, profile) = measure_sync(|| "1,2,3".split(',').map(str::len).collect::<Vec<_>>());
//! assert_memory!(profile, peak_bytes <= 1_024, allocation_count <= 2);
//! assert_memory!(profile, live_bytes <= 64); // `parsed` lives on
//! # drop(parsed);
//! ```
//!
//! # What is measured
//!
//! What the task itself allocates. A tracked future in it has a row of its own, as in every report,
//! and so has a task that it spawns. `#[memscope_rs::test]` adds these up.

pub(crate) mod block_on;
pub(crate) mod condition;
mod failure;
pub(crate) mod limits;
mod measured;
mod set_up;

pub use measured::{Measure, measure, measure_sync};
