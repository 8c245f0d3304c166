//! The file that `mod_file.rs` names.
