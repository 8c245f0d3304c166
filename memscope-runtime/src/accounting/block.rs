//! A heap block as a value shows it.

use std::alloc::Layout;

/// One heap block of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) start: *mut u8,
    pub(crate) layout: Layout,
    /// 0: the variable holds it directly.
    pub(crate) depth: u32,
}
