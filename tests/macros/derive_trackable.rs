//! `#[derive(Trackable)]` on every kind of type, under strict lints: the fields that it looks at,
//! and how deep.

#![forbid(unsafe_code, unused_imports, unused_variables)]
#![deny(warnings, clippy::pedantic, missing_docs, single_use_lifetimes, unused_lifetimes)]

use std::{
    cell::Cell, collections::HashMap, convert::Infallible, marker::PhantomData, rc::Rc, sync::Arc,
};

use memscope_macros::{Trackable, track_var};
use memscope_rs::{Blocks, Contents, Trackable};

thread_local! {
    static VISITED: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// How many probes were looked at since the last call: plainly, and with what their elements hold.
fn visited() -> (u32, u32) {
    VISITED.take()
}

/// Notes that it was looked at.
#[derive(Default)]
struct Probe;

impl Trackable for Probe {
    fn visit(&self, _: &mut Blocks<'_>) {
        let (plain, deep) = VISITED.get();
        VISITED.set((plain + 1, deep));
    }
}

impl Contents for Probe {
    fn visit_contents(&self, _: &mut Blocks<'_>) {
        let (plain, deep) = VISITED.get();
        VISITED.set((plain, deep + 1));
    }
}

/// Says nothing about itself.
#[derive(Default)]
struct Plain;

#[derive(Trackable)]
struct Unit;

#[derive(Trackable)]
struct Empty {}

#[derive(Trackable)]
struct Tuple(Probe, Vec<Probe>, #[trackable(skip)] Probe, Plain);

#[derive(Trackable)]
struct Named {
    first: Probe,
    r#type: Probe,
    /// A comment, and a comma inside of a type.
    plain: HashMap<u8, (Plain, u8)>,
    #[trackable(skip)]
    _skipped: Probe,
    function: fn(u8, u8) -> u8,
    tuple: Tuple,
}

#[test]
fn structs() {
    let (unit, empty) = (Unit, Empty {});
    track_var!(unit, empty, deep: unit, deep: empty);
    let tuple = || Tuple(Probe, vec![Probe, Probe], Probe, Plain);
    let value = tuple();
    track_var!(value);
    assert_eq!(visited(), (1, 0), "a list's elements are not looked at");
    track_var!(deep: value);
    assert_eq!(visited(), (0, 3), "here they are");
    let value = Named {
        first: Probe,
        r#type: Probe,
        plain: HashMap::from([(1, (Plain, 1))]),
        _skipped: Probe,
        function: |a, b| a + b,
        tuple: tuple(),
    };
    track_var!(value);
    assert_eq!(visited(), (3, 0));
    track_var!(deep: value);
    assert_eq!(visited(), (0, 5));
}

#[derive(Trackable)]
#[repr(isize)]
enum Shape {
    Unit = 1 << 3,
    Tuple(Probe, #[trackable(skip)] Probe, Vec<Probe>) = Self::last::<(u8, u16)>() << 2,
    Named { a: Probe, b: Plain, c: Probe },
    Empty {},
    Nothing(),
}

impl Shape {
    const fn last<T>() -> isize {
        if align_of::<T>() > 1 { 5 } else { 6 }
    }
}

#[derive(Trackable)]
enum Never {}

#[test]
fn enums() {
    let shapes = [
        (Shape::Unit, (0, 0)),
        (Shape::Tuple(Probe, Probe, vec![Probe]), (1, 2)),
        (Shape::Named { a: Probe, b: Plain, c: Probe }, (2, 2)),
        (Shape::Empty {}, (0, 0)),
        (Shape::Nothing(), (0, 0)),
    ];
    for (shape, (plain, deep)) in &shapes {
        track_var!(*shape);
        assert_eq!(visited(), (*plain, 0));
        track_var!(deep: *shape);
        assert_eq!(visited(), (0, *deep));
    }
    let never: Option<Never> = None;
    track_var!(never);
}

trait Interface {
    type Item;
}

impl Interface for u8 {
    type Item = Probe;
}

#[derive(Trackable)]
struct Generic<'a, 'b: 'a, T: Clone + 'a = u8, U: ?Sized = [Probe], const N: usize = { 1 + 1 }>
where
    T: Interface<Item = Probe>,
    fn(T) -> u8: Fn(T) -> u8,
    'a: 'static,
{
    borrowed: &'a &'b T,
    item: T::Item,
    array: [Probe; N],
    last: U,
}

#[derive(Trackable)]
struct Wrapper<T>(T)
where
    T: Sized;

#[derive(Default, Trackable)]
struct List<T> {
    value: T,
    next: Option<Box<Self>>,
    also: Vec<Self>,
    marker: PhantomData<T>,
}

#[derive(Trackable)]
struct Skipped<F: Fn() -> Vec<u8>, const C: char = 'c'>(#[trackable(skip)] F);

#[test]
fn generics() {
    let (known, unknown) = (Wrapper(Probe), Wrapper(Plain));
    track_var!(known, unknown, deep: known, deep: unknown);
    assert_eq!(visited(), (1, 1), "a parameter that is not `Trackable` makes the type so");
    let wrapped = Wrapper(Wrapper(Probe));
    track_var!(wrapped);
    assert_eq!(visited(), (1, 0));
    let list = List { also: vec![List::default(), List::default()], ..List::<Probe>::default() };
    track_var!(list, list.next, list.marker);
    visited();
    let generic: Generic<'_, '_, u8, Probe> =
        Generic { borrowed: &&1, item: Probe, array: [Probe, Probe], last: Probe };
    track_var!(generic, generic.item);
    visited();
    let skipped: Skipped<_> = Skipped(Vec::new);
    track_var!(skipped);
}

/// Nothing of the prelude, of the crate's names or of the user's traits is in the way.
mod hostile {
    #![no_implicit_prelude]

    use ::memscope_macros::Trackable;

    trait Visit {
        #[expect(dead_code, reason = "it need only be in scope")]
        fn visit(&self) {}
    }

    impl<T: ?::core::marker::Sized> Visit for T {}

    struct Value;
    struct Blocks;

    #[derive(Trackable)]
    #[trackable(crate = crate::derive_trackable::memory::facade)]
    pub(super) struct Inside {
        blocks: Blocks,
        value: Value,
    }

    pub(super) const fn inside() -> Inside {
        Inside { blocks: Blocks, value: Value }
    }
}

/// Where another crate would hand the facade on.
mod memory {
    pub(crate) mod facade {
        pub(crate) use memscope_rs::{__private, Blocks, Contents, Trackable};
    }
}

macro_rules! define {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Trackable)]
        $vis struct $name { $($field: $type,)* }
    };
}

define! {
    /// Written by a macro.
    pub(crate) struct Defined { a: Probe, b: Rc<Plain>, c: Arc<Infallible>, }
}

#[test]
fn anywhere() {
    #[derive(Trackable)]
    struct Local(Probe);

    let (local, inside) = (Local(Probe), hostile::inside());
    track_var!(local, inside);
    assert_eq!(visited(), (1, 0));
    let defined: Option<Defined> = None;
    track_var!(defined);
}
