//! A heap block that belongs to a value.

use std::alloc::Layout;

/// One heap block of a value, as `Trackable` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) start: *mut u8,
    pub(crate) layout: Layout,
    /// How many pointers lead to it: 0 if the value holds the block directly.
    pub(crate) depth: u32,
}
