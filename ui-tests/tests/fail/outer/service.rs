//! The file of `mod_file.rs`.
