//! Frames of the stack, by rules: where they come from, and walks up the stack by them.
//!
//! A rule says how to go from a frame to its caller's (`rules`). It is learned from the compiler's
//! tables (`tables`), once a sample has asked for it. A walk takes a rule a frame (`walk`). Linux
//! with glibc on x86-64 alone has them; elsewhere `no_frames.rs` stands in.

mod rules;
mod tables;
mod walk;

pub(crate) use rules::{held_bytes, note_files};
pub(crate) use tables::learn_wanted;
pub(super) use walk::{Registers, Walk, note_wrong, registers, walk, want};
