//! The loops that every contender runs, so that they are the same code in each.
//!
//! A contender is a program: it names its global allocator, says in [`Contender`] how it is used,
//! and calls [`run`]. Each process runs one [`Case`] and prints one [`Measurement`] as a line of
//! JSON.

mod case;
mod contender;
mod inner_allocator;
mod background_thread;
mod repetitions;
mod measurement;
mod allocation;
mod task;
mod resident;
mod footprint;
mod process;
mod processor;

pub use case::{Case, Kind};
pub use contender::Contender;
pub use inner_allocator::{INNER, Inner};
pub use measurement::Measurement;
pub use process::{run, variant};
pub use processor::stay_on;
pub use resident::anonymous_bytes;
pub use task::block_on;
