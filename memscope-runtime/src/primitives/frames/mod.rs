//! Walks up the call stack by rules, which are learned from the compiler's unwind tables.
//!
//! A rule says how to go from a frame to its caller's frame (`rules`). It is learned (`tables`)
//! once a sample has asked for it. A walk takes one rule for each frame (`walk`). Only Linux with
//! glibc on x86-64 has rules. Elsewhere `no_frames.rs` takes the place of this module.

mod rules;
mod tables;
mod walk;

pub(crate) use rules::{held_bytes, note_files};
pub(crate) use tables::learn_wanted;
pub(super) use walk::{Registers, Walk, note_wrong, registers, walk, want};
