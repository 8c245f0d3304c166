//! The subcommands of `cargo memscope`, and the build that `futures` starts.

pub(crate) mod futures;
pub(crate) mod report;
mod report_sites;
mod cargo_build;
