//! Types whose values lie inside them, behind no pointer: they hold what their values hold.

use std::{
    cmp::Reverse,
    io::Cursor,
    mem::ManuallyDrop,
    num::{Saturating, Wrapping},
    ops::{Bound, ControlFlow, Range, RangeFrom, RangeInclusive, RangeTo, RangeToInclusive},
    panic::AssertUnwindSafe,
    task::Poll,
};

use crate::variables::trackable::{Blocks, Contents, Handle, Trackable};

/// Implements the traits for types with values of one type.
macro_rules! transparent {
    ($([$($size:tt)*] $type:ty, |$this:ident| $values:expr;)*) => {$(
        impl<T: Trackable $($size)*> Trackable for $type {
            const IS_PLAIN: bool = T::IS_PLAIN;

            #[inline]
            fn visit(&self, blocks: &mut Blocks<'_>) {
                let $this = self;
                for value in $values {
                    T::visit(value, blocks);
                }
            }
        }

        impl<T: Contents $($size)*> Contents for $type {
            #[inline]
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                let $this = self;
                for value in $values {
                    T::visit_contents(value, blocks);
                }
            }
        }

        impl<T: Handle $($size)*> Handle for $type {
            #[inline]
            fn visit_own(&self, blocks: &mut Blocks<'_>) {
                let $this = self;
                for value in $values {
                    T::visit_own(value, blocks);
                }
            }
        }
    )*};
}

transparent! {
    [] Option<T>, |this| this.as_slice();
    [] Poll<T>, |this| match this { Poll::Ready(value) => Some(value), Poll::Pending => None }.into_iter();
    [] Bound<T>, |this| match this {
        Bound::Included(value) | Bound::Excluded(value) => Some(value),
        Bound::Unbounded => None,
    }.into_iter();
    [] Reverse<T>, |this| [&this.0];
    [] Wrapping<T>, |this| [&this.0];
    [] Saturating<T>, |this| [&this.0];
    [] AssertUnwindSafe<T>, |this| [&this.0];
    [+ ?Sized] ManuallyDrop<T>, |this| [&**this];
    [] Cursor<T>, |this| [this.get_ref()];
    [] Range<T>, |this| [&this.start, &this.end];
    [] RangeInclusive<T>, |this| [this.start(), this.end()];
    [] RangeFrom<T>, |this| [&this.start];
    [] RangeTo<T>, |this| [&this.end];
    [] RangeToInclusive<T>, |this| [&this.end];
}

impl<T: Trackable, const N: usize> Trackable for [T; N] {
    const IS_PLAIN: bool = T::IS_PLAIN || N == 0;

    fn visit(&self, blocks: &mut Blocks<'_>) {
        if !Self::IS_PLAIN {
            for value in self {
                value.visit(blocks);
            }
        }
    }
}

impl<T: Contents, const N: usize> Contents for [T; N] {
    fn visit_contents(&self, blocks: &mut Blocks<'_>) {
        self.as_slice().visit_contents(blocks);
    }
}

/// A slice is the elements of a collection: it holds no block itself.
impl<T> Trackable for [T] {
    fn visit(&self, _: &mut Blocks<'_>) {}
}

impl<T: Contents> Contents for [T] {
    fn visit_contents(&self, blocks: &mut Blocks<'_>) {
        if !T::IS_PLAIN {
            for value in self {
                value.visit_contents(blocks);
            }
        }
    }
}

macro_rules! either {
    ($($type:ident { $first:ident, $second:ident })*) => {$(
        impl<T: Trackable, E: Trackable> Trackable for $type<E, T> {
            const IS_PLAIN: bool = T::IS_PLAIN && E::IS_PLAIN;

            #[inline]
            fn visit(&self, blocks: &mut Blocks<'_>) {
                match self {
                    Self::$first(value) => value.visit(blocks),
                    Self::$second(value) => value.visit(blocks),
                }
            }
        }

        impl<T: Contents, E: Contents> Contents for $type<E, T> {
            #[inline]
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                match self {
                    Self::$first(value) => value.visit_contents(blocks),
                    Self::$second(value) => value.visit_contents(blocks),
                }
            }
        }
    )*};
}

either! {
    Result { Ok, Err }
    ControlFlow { Break, Continue }
}

impl<T: Handle, E> Handle for Result<T, E> {
    fn visit_own(&self, blocks: &mut Blocks<'_>) {
        match self {
            Ok(value) => value.visit_own(blocks),
            Err(_) => blocks.opaque(),
        }
    }
}

macro_rules! tuples {
    ($($type:ident $place:tt)*) => {
        impl<$($type: Trackable),*> Trackable for ($($type,)*) {
            const IS_PLAIN: bool = $($type::IS_PLAIN)&&*;

            #[inline]
            fn visit(&self, blocks: &mut Blocks<'_>) {
                $(self.$place.visit(blocks);)*
            }
        }

        impl<$($type: Contents),*> Contents for ($($type,)*) {
            #[inline]
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                $(self.$place.visit_contents(blocks);)*
            }
        }
    };
}

tuples!(A 0);
tuples!(A 0 B 1);
tuples!(A 0 B 1 C 2);
tuples!(A 0 B 1 C 2 D 3);
tuples!(A 0 B 1 C 2 D 3 E 4);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10);
tuples!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11);
