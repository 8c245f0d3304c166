//! How `track_var!` finds the best description of a type without asking for a trait: by the steps of method lookup.
//!
//! `(&&&Value(&x)).show(…)` takes the first of these that the type of `x` allows: its blocks by [`Trackable`], its own block
//! by [`Handle`], nothing. With one more `&`, `show_deep` tries [`Contents`] before them.

use crate::trackable::{Blocks, Contents, Handle, Trackable};

/// A variable, looked at for the length of one call.
#[derive(Debug)]
pub struct Value<'a, T: ?Sized>(pub &'a T);

/// The type's elements can be looked into.
pub trait ByContents {
    fn show_deep(&self, blocks: &mut Blocks<'_>);
}

impl<T: Contents + ?Sized> ByContents for &&&Value<'_, T> {
    fn show_deep(&self, blocks: &mut Blocks<'_>) {
        self.0.visit_contents(blocks);
    }
}

/// All blocks of the type are known.
pub trait ByParts {
    fn show(&self, blocks: &mut Blocks<'_>);
    fn show_deep(&self, blocks: &mut Blocks<'_>) {
        self.show(blocks);
    }
}

impl<T: Trackable + ?Sized> ByParts for &&Value<'_, T> {
    fn show(&self, blocks: &mut Blocks<'_>) {
        self.0.visit(blocks);
    }
}

/// Only the type's own block is known.
pub trait ByHandle {
    fn show(&self, blocks: &mut Blocks<'_>);
    fn show_deep(&self, blocks: &mut Blocks<'_>) {
        self.show(blocks);
    }
}

impl<T: Handle + ?Sized> ByHandle for &Value<'_, T> {
    fn show(&self, blocks: &mut Blocks<'_>) {
        self.0.visit_own(blocks);
    }
}

/// Nothing is known but size and name.
pub trait ByValue {
    fn show(&self, blocks: &mut Blocks<'_>);
    fn show_deep(&self, blocks: &mut Blocks<'_>) {
        self.show(blocks);
    }
}

impl<T: ?Sized> ByValue for Value<'_, T> {
    fn show(&self, blocks: &mut Blocks<'_>) {
        blocks.opaque();
    }
}
