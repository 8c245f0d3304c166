//! Owned text.

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
            // SAFETY: a `String` documents that it stores its bytes in a `Vec<u8>`, and it is
            // borrowed.
            unsafe { blocks.block(self.as_ptr(), layout) };
        }
    }
}

impl Trackable for OsString {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        // SAFETY: a block that `vectors` finds is the string's, which is borrowed.
        unsafe { blocks.own(std_layout::vec_backed::os_string(self)) };
    }
}

impl Trackable for PathBuf {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        // SAFETY: a block that `vectors` finds is the path's, which is borrowed.
        unsafe { blocks.own(std_layout::vec_backed::path(self)) };
    }
}

impl Trackable for CString {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        // SAFETY: a block that `vectors` finds is the string's, which is borrowed.
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
