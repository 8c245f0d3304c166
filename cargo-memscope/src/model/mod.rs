//! Futures as rows: data about each, the reasons for its size, advice, and comparisons.

pub(crate) mod type_name;
mod packages;
mod crate_of_line;
mod advice;
mod rows;
mod why;
mod read;
mod size_changes;
pub(crate) mod aligned;
pub(crate) mod growth;

pub(crate) use crate_of_line::{Origin, relative_path, short_path, short_place};
pub(crate) use packages::Packages;
pub(crate) use rows::{Future, Futures, Hidden, Part, Step};
pub(crate) use size_changes::{Change, SizeChanges, size_changes};
