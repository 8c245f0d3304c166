//! What the two programs `compare` and `service` share.

pub mod build;
pub mod machine;
pub mod section;
pub mod statistics;
