//! How `track_var!` finds the best description of a type without asking for a trait: by the steps of method lookup.
//!
//! `(&&&Value(&x)).__memscope_show(…)` takes the first of these that the type of `x` allows: its blocks by [`Trackable`], its own block
//! by [`Handle`], nothing. With one more `&`, `__memscope_show_deep` tries [`Contents`] before them.

use crate::trackable::{Blocks, Contents, Handle, Trackable};

/// A variable, looked at for the length of one call.
#[derive(Debug)]
pub struct Value<'a, T: ?Sized>(pub &'a T);

/// The type's elements can be looked into.
pub trait ByContents {
    /// Shows what it holds, and what its elements hold.
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>);
}

impl<T: Contents + ?Sized> ByContents for &&&Value<'_, T> {
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>) {
        self.0.visit_contents(blocks);
    }
}

/// All blocks of the type are known.
pub trait ByParts {
    /// Shows what it holds.
    fn __memscope_show(&self, blocks: &mut Blocks<'_>);
    /// Shows what it holds, as far as that is known.
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>) {
        self.__memscope_show(blocks);
    }
}

impl<T: Trackable + ?Sized> ByParts for &&Value<'_, T> {
    fn __memscope_show(&self, blocks: &mut Blocks<'_>) {
        self.0.visit(blocks);
    }
}

/// Only the type's own block is known.
pub trait ByHandle {
    /// Shows what it holds.
    fn __memscope_show(&self, blocks: &mut Blocks<'_>);
    /// Shows what it holds, as far as that is known.
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>) {
        self.__memscope_show(blocks);
    }
}

impl<T: Handle + ?Sized> ByHandle for &Value<'_, T> {
    fn __memscope_show(&self, blocks: &mut Blocks<'_>) {
        self.0.visit_own(blocks);
    }
}

/// Nothing is known but size and name.
pub trait ByValue {
    /// Shows what it holds.
    fn __memscope_show(&self, blocks: &mut Blocks<'_>);
    /// Shows what it holds, as far as that is known.
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>) {
        self.__memscope_show(blocks);
    }
}

impl<T: ?Sized> ByValue for Value<'_, T> {
    fn __memscope_show(&self, blocks: &mut Blocks<'_>) {
        blocks.opaque();
    }
}
