//! `#[test]`: a test whose memory is measured and held to limits.

mod options;
mod expand;

pub(crate) use expand::test;
