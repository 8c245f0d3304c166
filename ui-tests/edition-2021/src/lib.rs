//! The tests of `#[tracked]`, in a crate of the 2021 edition.
