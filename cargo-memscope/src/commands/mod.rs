//! The subcommands of `cargo memscope`, and the build that `futures` starts.

mod builds;
mod cargo_build;
pub(crate) mod diff;
pub(crate) mod futures;
pub(crate) mod holders;
pub(crate) mod report_calls;
mod report_formats;
mod report_sites;
pub(crate) mod report;
pub(crate) mod served;
mod task_layouts;
pub(crate) mod tasks;
