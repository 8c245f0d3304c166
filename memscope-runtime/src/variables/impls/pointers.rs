//! Boxes, references and `Cow`.

use std::{alloc::Layout, borrow::Cow, mem::needs_drop, pin::Pin};

use crate::variables::trackable::{Blocks, Contents, Handle, Trackable};

/// Adds the block of the box that holds `value`.
///
/// # Safety
///
/// `value` must be the value of a `Box`.
#[inline]
unsafe fn boxed<T: ?Sized>(value: &T, blocks: &mut Blocks<'_>) {
    // SAFETY: `Box` documents that it allocates `Layout::for_value` with the global allocator, and
    // nothing for a value without size. The value is borrowed, so the block stays live.
    unsafe { blocks.block(std::ptr::from_ref(value).cast(), Layout::for_value(value)) };
}

macro_rules! boxes {
    ($($type:ty),*) => {$(
        impl<T: Trackable + ?Sized> Trackable for $type {
            fn visit(&self, blocks: &mut Blocks<'_>) {
                // SAFETY: this is the value of a `Box`.
                unsafe { boxed(&**self, blocks) };
                blocks.behind(&**self, T::visit);
            }
        }

        impl<T: Contents + ?Sized> Contents for $type {
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                // SAFETY: this is the value of a `Box`.
                unsafe { boxed(&**self, blocks) };
                blocks.behind(&**self, T::visit_contents);
            }
        }

        impl<T: ?Sized> Handle for $type {
            fn visit_own(&self, blocks: &mut Blocks<'_>) {
                // SAFETY: this is the value of a `Box`.
                unsafe { boxed(&**self, blocks) };
                if needs_drop::<T>() {
                    blocks.partial();
                }
            }
        }
    )*};
}

boxes!(Box<T>, Pin<Box<T>>);

macro_rules! references {
    ($($type:ty),*) => {$(
        impl<T: Trackable + ?Sized> Trackable for $type {
            const IS_PLAIN: bool = T::IS_PLAIN;

            fn visit(&self, blocks: &mut Blocks<'_>) {
                blocks.through(&**self, T::visit);
            }
        }

        impl<T: Contents + ?Sized> Contents for $type {
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                blocks.through(&**self, T::visit_contents);
            }
        }

        impl<T: Handle + ?Sized> Handle for $type {
            fn visit_own(&self, blocks: &mut Blocks<'_>) {
                blocks.through(&**self, T::visit_own);
            }
        }
    )*};
}

references!(&T, &mut T, Pin<&T>, Pin<&mut T>);

/// Visits an owned value only: a borrowed value has another owner.
impl<T: ToOwned<Owned: Trackable> + ?Sized> Trackable for Cow<'_, T> {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        if let Cow::Owned(value) = self {
            value.visit(blocks);
        }
    }
}

impl<T: ToOwned<Owned: Contents> + ?Sized> Contents for Cow<'_, T> {
    fn visit_contents(&self, blocks: &mut Blocks<'_>) {
        if let Cow::Owned(value) = self {
            value.visit_contents(blocks);
        }
    }
}
