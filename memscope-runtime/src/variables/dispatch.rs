//! Picks the best description of a variable's type for `track_var!`, without requiring a trait.
//!
//! Method lookup makes the choice (autoref specialization). `(&&&Value(&x)).__memscope_show(…)`
//! takes the first of these that the type of `x` allows: its blocks by [`Trackable`], its own block
//! by [`Handle`], nothing. With one more `&`, `__memscope_show_deep` tries [`Contents`] before
//! them.
//!
//! The long method names avoid clashes. A user's trait that is implemented for every type, with a
//! method of the same name, would compete in the lookup.

use super::trackable::{Blocks, Contents, Handle, Trackable};

/// A variable, borrowed for one call.
#[derive(Debug)]
pub struct Value<'a, T: ?Sized>(pub &'a T);

/// The type implements [`Contents`]: the blocks of its elements are found too.
pub trait ByContents {
    /// Shows the blocks of the value and of its elements.
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>);
}

impl<T: Contents + ?Sized> ByContents for &&&Value<'_, T> {
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>) {
        self.0.visit_contents(blocks);
    }
}

/// The type implements [`Trackable`]: all of its own blocks are found.
pub trait ByParts {
    /// Shows the blocks of the value, without those of its elements.
    fn __memscope_show(&self, blocks: &mut Blocks<'_>);
    /// Shows the same blocks: the elements cannot be visited.
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>) {
        self.__memscope_show(blocks);
    }
}

impl<T: Trackable + ?Sized> ByParts for &&Value<'_, T> {
    fn __memscope_show(&self, blocks: &mut Blocks<'_>) {
        self.0.visit(blocks);
    }
}

/// The type implements [`Handle`]: only its own block is found.
pub trait ByHandle {
    /// Shows the block of the value.
    fn __memscope_show(&self, blocks: &mut Blocks<'_>);
    /// Shows the same block: the elements cannot be visited.
    fn __memscope_show_deep(&self, blocks: &mut Blocks<'_>) {
        self.__memscope_show(blocks);
    }
}

impl<T: Handle + ?Sized> ByHandle for &Value<'_, T> {
    fn __memscope_show(&self, blocks: &mut Blocks<'_>) {
        self.0.visit_own(blocks);
    }
}

/// Any other type: only its size and name are known.
pub trait ByValue {
    /// Notes that the blocks of the value are not known.
    fn __memscope_show(&self, blocks: &mut Blocks<'_>);
    /// Notes the same: the elements cannot be visited.
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

    /// The results of a plain and a deep visit: whether there are blocks, and whether a part is
    /// opaque.
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

    /// Shows one block, but none when its elements are visited.
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
