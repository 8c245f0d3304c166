//! Owned strings and paths.

use std::{
    alloc::Layout,
    ffi::{CString, OsString},
    path::PathBuf,
};

use crate::variables::{
    std_layout,
    trackable::{Blocks, Contents, Trackable},
};

impl Trackable for String {
    #[inline]
    fn visit(&self, blocks: &mut Blocks<'_>) {
        if let Ok(layout) = Layout::array::<u8>(self.capacity()) {
            // SAFETY: `String` documents that it keeps its bytes in a `Vec<u8>`. It is borrowed, so
            // the block stays live.
            unsafe { blocks.block(self.as_ptr(), layout) };
        }
    }
}

impl Trackable for OsString {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        // SAFETY: the block that `os_string` finds is that of the string, which is borrowed.
        unsafe { blocks.own(std_layout::vec_backed::os_string(self)) };
    }
}

impl Trackable for PathBuf {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        // SAFETY: the block that `path` finds is that of the path, which is borrowed.
        unsafe { blocks.own(std_layout::vec_backed::path(self)) };
    }
}

impl Trackable for CString {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        // SAFETY: the block that `c_string` finds is that of the string, which is borrowed.
        unsafe { blocks.own(std_layout::vec_backed::c_string(self)) };
    }
}

macro_rules! no_elements {
    ($($type:ty),*) => {$(
        impl Contents for $type {
            #[inline]
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                self.visit(blocks);
            }
        }
    )*};
}

no_elements!(String, OsString, PathBuf, CString);
