//! `#[derive(Trackable)]`: parses a struct or enum and generates a visit to each of its fields.

mod derive_input;
mod expand;

pub(crate) use expand::derive;
