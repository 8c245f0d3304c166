//! `Rc`, `Arc` and their weak handles.

use std::{
    alloc::Layout,
    mem::needs_drop,
    pin::Pin,
    rc::{self, Rc},
    sync::{self, Arc},
};

use crate::variables::{
    std_layout,
    trackable::{Blocks, Contents, Handle, Trackable},
};

macro_rules! counted {
    ($($type:ty, $find:path;)*) => {$(
        impl<T: Trackable + ?Sized> Trackable for $type {
            fn visit(&self, blocks: &mut Blocks<'_>) {
                // SAFETY: the value of a counted pointer lies in its block; the pointer is
                // borrowed.
                unsafe { blocks.own($find(std::ptr::from_ref(&**self).cast(), Layout::for_value(&**self))) };
                blocks.behind(&**self, T::visit);
            }
        }

        impl<T: Contents + ?Sized> Contents for $type {
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                // SAFETY: the value of a counted pointer lies in its block; the pointer is
                // borrowed.
                unsafe { blocks.own($find(std::ptr::from_ref(&**self).cast(), Layout::for_value(&**self))) };
                blocks.behind(&**self, T::visit_contents);
            }
        }

        impl<T: ?Sized> Handle for $type {
            fn visit_own(&self, blocks: &mut Blocks<'_>) {
                // SAFETY: the value of a counted pointer lies in its block; the pointer is
                // borrowed.
                unsafe { blocks.own($find(std::ptr::from_ref(&**self).cast(), Layout::for_value(&**self))) };
                if needs_drop::<T>() {
                    blocks.partial();
                }
            }
        }
    )*};
}

counted! {
    Rc<T>, std_layout::rc::rc;
    Arc<T>, std_layout::rc::arc;
    Pin<Rc<T>>, std_layout::rc::rc;
    Pin<Arc<T>>, std_layout::rc::arc;
}

/// Adds the block that a weak handle keeps, even if the value in it is gone. The value itself is
/// not visited.
///
/// This needs a layout that is known without the value; a `Weak<dyn …>` is opaque.
macro_rules! weak {
    ($($type:ident, $find:path;)*) => {$(
        impl<T> Trackable for $type::Weak<T> {
            fn visit(&self, blocks: &mut Blocks<'_>) {
                if !self.ptr_eq(&Self::new()) {
                    // SAFETY: the handle does not come from `new`, so it has a block, which it
                    // keeps.
                    unsafe { blocks.own($find(self.as_ptr().cast(), Layout::new::<T>())) };
                }
            }
        }

        impl<T> Contents for $type::Weak<T> {
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                self.visit(blocks);
            }
        }
    )*};
}

weak! {
    rc, std_layout::rc::rc;
    sync, std_layout::rc::arc;
}
