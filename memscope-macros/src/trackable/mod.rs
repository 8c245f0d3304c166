//! `#[derive(Trackable)]`: parses a struct or enum and generates a visit to each of its fields.

mod expand;
mod derive_input;

pub(crate) use expand::derive;
