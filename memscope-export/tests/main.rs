//! What is written of a snapshot, in each format.

mod support;

mod metrics;
mod profiles;
mod properties;
mod update;
