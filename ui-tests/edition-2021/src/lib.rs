//! Tests of the macros in a crate of the 2021 edition.
