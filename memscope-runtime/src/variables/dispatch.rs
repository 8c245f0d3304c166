//! How `track_var!` finds the best description of a type without asking for a trait: by the steps
//! of method lookup.
//!
//! `(&&&Value(&x)).__memscope_show(…)` takes the first of these that the type of `x` allows: its
//! blocks by [`Trackable`], its own block by [`Handle`], nothing. With one more `&`,
//! `__memscope_show_deep` tries [`Contents`] before them.
//!
//! The methods' names are such that no trait of the user's has them: one that is implemented for
//! every type would be a rival.

use super::trackable::{Blocks, Contents, Handle, Trackable};

/// A variable, looked at for the length of one call.
#[derive(Debug)]
pub struct Value<'a, T: ?Sized>(pub &'a T);

/// The type's elements can be looked into.
pub trait ByContents {
    /// Shows what is held, and what elements hold.
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>);
}

impl<T: Contents + ?Sized> ByContents for &&&Value<'_, T> {
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>) {
        self.0.visit_contents(blocks);
    }
}

/// All blocks of the type are known.
pub trait ByParts {
    /// Shows what is held, elements aside.
    fn __memscope_show(&self, blocks: &mut Blocks<'_>);
    /// Shows no more than that.
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
    /// Shows what is held, elements aside.
    fn __memscope_show(&self, blocks: &mut Blocks<'_>);
    /// Shows no more than that.
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
    /// Shows what is held, elements aside.
    fn __memscope_show(&self, blocks: &mut Blocks<'_>);
    /// Shows no more than that.
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>) {
        self.__memscope_show(blocks);
    }
}

impl<T: ?Sized> ByValue for Value<'_, T> {
    fn __memscope_show(&self, blocks: &mut Blocks<'_>) {
        blocks.opaque();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, plainly and deep: whether there were blocks, and whether there was a part of
    /// which nothing is known.
    macro_rules! found {
        ($value:expr) => {{
            let mut ignore = |_| ();
            let mut plain = Blocks::new(&mut ignore);
            (&&&Value(&$value)).__memscope_show(&mut plain);
            let plain = (plain.has_blocks(), plain.is_opaque());
            let mut deep = Blocks::new(&mut ignore);
            (&&&&Value(&$value)).__memscope_show_deep(&mut deep);
            (plain, (deep.has_blocks(), deep.is_opaque()))
        }};
    }

    const BLOCKS: (bool, bool) = (true, false);
    const NOTHING: (bool, bool) = (false, true);

    struct Plain(#[expect(dead_code, reason = "it has a size")] u8);

    /// Has a block to show, and with its elements none.
    struct Known(Vec<u8>);

    impl Trackable for Known {
        fn visit(&self, blocks: &mut Blocks<'_>) {
            blocks.visit(&self.0);
        }
    }

    impl Contents for Known {
        fn visit_contents(&self, _: &mut Blocks<'_>) {}
    }

    fn generic<T, U: Contents>(unknown: T, known: &U) {
        assert_eq!(found!(unknown), (NOTHING, NOTHING), "a parameter without a bound");
        assert_eq!(found!(*known), (BLOCKS, (false, false)), "one with a bound");
        let list = vec![unknown];
        assert_eq!(found!(list), (BLOCKS, BLOCKS), "a list needs none");
    }

    #[test]
    fn the_best_description_is_taken() {
        assert_eq!(found!(vec![1_i32]), (BLOCKS, BLOCKS), "by its parts");
        assert_eq!(found!(vec![Plain(1)]), (BLOCKS, BLOCKS), "the list, without its elements");
        assert_eq!(found!(Box::new(vec![1_i32])), (BLOCKS, BLOCKS), "by its parts");
        assert_eq!(found!(Box::new(Plain(1))), (BLOCKS, BLOCKS), "by its own block");
        assert_eq!(found!(Plain(1)), (NOTHING, NOTHING));
        assert_eq!(found!(*Box::<dyn Fn()>::from(Box::new(|| ()))), (NOTHING, NOTHING), "unsized");
        generic(Plain(1), &Known(vec![1]));
    }
}
