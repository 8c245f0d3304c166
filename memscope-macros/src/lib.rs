//! The macros of memscope-rs.
