//! `#[derive(Trackable)]`: reads a struct or enum and visits each of its fields.

mod expand;
mod derive_input;

pub(crate) use expand::derive;
