//! Every form of place that `track_var!` takes, under strict lints, and the description of a type
//! that it finds.

#![forbid(unsafe_code, unused_imports, unused_variables)]
#![deny(warnings, clippy::pedantic, single_use_lifetimes)]
#![allow(unreachable_pub, reason = "`clippy::redundant_pub_crate` wants the opposite")]

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    pin::pin,
    rc::Rc,
    sync::{Mutex, OnceLock},
    task::{Context, Poll, Waker},
};

use memscope_macros::track_var;
use memscope_rs::{__private::Handle, Blocks, Contents, Trackable};

thread_local! {
    static VISITED: Cell<[u32; 3]> = const { Cell::new([0; 3]) };
}

/// How many values were looked at since the last call: by their parts, with what their elements
/// hold, by their own block.
fn visited() -> [u32; 3] {
    VISITED.take()
}

fn count(index: usize) {
    let mut visited = VISITED.get();
    visited[index] += 1;
    VISITED.set(visited);
}

/// Knows all of its blocks.
#[derive(Clone, Default)]
struct Parts {
    inner: Option<Box<Self>>,
    pair: ((u8, Vec<u8>), u8),
}

impl Trackable for Parts {
    fn visit(&self, _: &mut Blocks<'_>) {
        count(0);
    }
}

impl Contents for Parts {
    fn visit_contents(&self, _: &mut Blocks<'_>) {
        count(1);
    }
}

/// As a `Box`: has a block of its own whatever is in it.
struct Pointer<T>(T);

impl<T> Handle for Pointer<T> {
    fn visit_own(&self, _: &mut Blocks<'_>) {
        count(2);
    }
}

impl<T: Trackable> Trackable for Pointer<T> {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        self.visit_own(blocks);
        Trackable::visit(&self.0, blocks);
    }
}

/// Says nothing about itself.
struct Plain;

/// Blanket methods of the user's are no rivals of those that the macro calls.
#[expect(dead_code, reason = "they need only be in scope")]
trait Show {
    fn show(&self) {}
    fn show_deep(&self) {}
    fn visit(&self) {}
    fn visit_contents(&self) {}
}

impl<T: ?Sized> Show for T {}

#[test]
fn the_best_description_of_a_type_is_taken() {
    let parts = Parts::default();
    track_var!(parts);
    assert_eq!(visited(), [1, 0, 0], "by its parts");
    let of_parts = Pointer(Parts::default());
    track_var!(of_parts);
    assert_eq!(visited(), [1, 0, 1], "a pointer to what is known, by all of its parts");
    let of_plain = Pointer(Plain);
    track_var!(of_plain, of_plain.0);
    assert_eq!(visited(), [0, 0, 1], "a pointer to what is not, by its own block");
    let list = vec![Parts::default(), Parts::default()];
    track_var!(list);
    assert_eq!(visited(), [0, 0, 0], "a list, without a look at its elements");
    let number = 1;
    let function = || ();
    let text = "";
    track_var!(number, function, text, *text);
    function();
    assert_eq!(visited(), [0, 0, 0], "anything else");
}

#[test]
fn deep_looks_at_elements_where_it_can() {
    let list = vec![Parts::default(), Parts::default()];
    let plain = vec![Plain];
    let of_plain = Pointer(Plain);
    track_var!(deep: list);
    assert_eq!(visited(), [0, 2, 0], "each element");
    track_var!(deep: plain);
    assert_eq!(visited(), [0, 0, 0], "elements without a description");
    track_var!(deep: of_plain);
    assert_eq!(visited(), [0, 0, 1], "a pointer to what has none");
    track_var!(deep: plain, list);
    track_var!(plain, deep: list[0], list[1]);
    assert_eq!(visited(), [1, 1, 0], "`deep` is for the variable behind it");
}

fn generic<T, U: Contents>(unknown: &T, known: &U) {
    let list: Vec<&T> = vec![unknown];
    track_var!(*unknown, deep: *unknown, list, deep: list);
    assert_eq!(visited(), [0, 0, 0], "a parameter without a bound");
    track_var!(*known, deep: *known);
    assert_eq!(visited(), [1, 1, 0], "a parameter with one");
}

#[test]
fn in_a_generic_function_only_its_bounds_are_known() {
    generic(&Parts::default(), &Parts::default());
}

static POOL: Mutex<Vec<Parts>> = Mutex::new(Vec::new());

mod state {
    pub fn track() {
        memscope_macros::track_var!(crate::track_var_forms::POOL, super::POOL, CACHE);
    }

    pub static CACHE: std::sync::OnceLock<super::Parts> = std::sync::OnceLock::new();
}

struct Service {
    parts: Vec<Parts>,
    by_name: HashMap<&'static str, Parts>,
    nested: (u8, (Parts, Plain)),
    r#type: Parts,
    shared: Rc<RefCell<Parts>>,
}

impl Service {
    fn new() -> Self {
        Self {
            parts: vec![Parts::default(), Parts::default()],
            by_name: HashMap::from([("a", Parts::default())]),
            nested: (0, (Parts::default(), Plain)),
            r#type: Parts::default(),
            shared: Rc::default(),
        }
    }

    fn track(&mut self, i: usize) {
        track_var!(self.parts[i + 1], self.parts[i].pair.0.1, self.nested.1.0, self.r#type);
        assert_eq!(visited(), [3, 0, 0]);
        track_var!(self.by_name["a"], self.nested, *self, self);
        assert_eq!(visited(), [1, 0, 0]);
        self.parts.clear();
    }

    async fn hold(&mut self) -> usize {
        track_var!(self.r#type);
        let text = String::from("held");
        track_var!(text);
        let mut waited = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        track_var!(text, self.r#type);
        drop(text);
        self.parts.len()
    }
}

#[test]
fn parts_of_variables() {
    let point = (Parts::default(), 1);
    let boxed = Box::new(Parts::default());
    let items = [Parts::default()];
    let twice = &&items;
    track_var!(point.0, *boxed, items[0], (items)[0], (**twice)[0], POOL, state::CACHE,);
    assert_eq!(visited(), [5, 0, 0]);
    state::track();
    Service::new().track(0);
}

#[test]
fn behind_guards() {
    POOL.lock().expect("no test panics with it").push(Parts::default());
    track_var!(POOL.lock().expect("no test panics with it")[0]);
    assert!(POOL.try_lock().is_ok(), "the guard is gone");
    let service = Service::new();
    let shared = service.shared.clone();
    track_var!(*shared.borrow(), *service.shared.borrow_mut(), shared.borrow().inner);
    assert!(shared.try_borrow_mut().is_ok(), "the guard is gone");
    assert_eq!(visited(), [3, 0, 0]);
}

/// The last expression of a block: in the 2021 edition its temporaries live longer than its
/// variables.
#[expect(clippy::semicolon_if_nothing_returned, reason = "that is what is tested")]
fn at_the_end() {
    let cell = RefCell::new(Parts::default());
    track_var!(*cell.borrow())
}

#[test]
fn as_statement_and_as_expression() {
    at_the_end();
    let x = Parts::default();
    let track = || track_var!(x);
    track();
    match 1 {
        1 => track_var!(x),
        _ => track_var! { x },
    }
    let returned: fn(&Parts) -> () = |x| track_var!(*x, *x);
    returned(&x);
    for i in 0..3 {
        if i > 0 {
            track_var![x];
        }
    }
    assert_eq!(visited(), [7, 0, 0]);
}

#[test]
fn nothing_is_moved_and_no_borrow_is_held() {
    let mut x = Parts::default();
    let mutable = &mut x;
    track_var!(*mutable);
    mutable.pair.1 = 1;
    track_var!(x);
    let moved = x;
    let in_closure = move || track_var!(moved.pair.0.1, moved);
    in_closure();
    assert_eq!(visited(), [3, 0, 0]);
}

#[test]
fn unsized_places() {
    let any: Box<dyn Fn()> = Box::new(|| ());
    let slice: Box<[Parts]> = Box::default();
    track_var!(any, *any, slice, *slice, deep: *slice, slice[..]);
    any();
}

const fn assert_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn in_async_code() {
    let mut service = Parts::default();
    let cell = Cell::new(1);
    let mut sent = pin!(assert_send(async move {
        track_var!(service, cell);
        service.pair.1 = 1;
        std::future::ready(()).await;
        track_var!(service.pair, service, *std::future::ready(&service).await);
    }));
    let mut context = Context::from_waker(Waker::noop());
    assert!(sent.as_mut().poll(&mut context).is_ready());
    assert_eq!(visited(), [3, 0, 0]);
    let mut service = Service::new();
    let mut held = pin!(service.hold());
    assert!(held.as_mut().poll(&mut context).is_pending());
    assert!(held.as_mut().poll(&mut context).is_ready());
    assert_eq!(visited(), [2, 0, 0]);
}

macro_rules! track_all {
    ($($x:expr),*) => { track_var!($($x),*) };
}

macro_rules! track_parts {
    ($x:ident, $y:expr, $self:ident . $field:ident, $($any:tt)*) => {
        let hygienic = Parts::default();
        track_var!($x, hygienic, $y.inner, $self.$field, deep: $y, $($any)*);
    };
    ($p:path, $i:literal, $n:tt) => { track_var!($p, $p.$n, $p.1[$i], $p.1[$i + 0]) };
}

mod through {
    macro_rules! track_through {
        ($($x:tt)*) => { memscope_macros::track_var!(crate = $crate::track_var_forms::memory::facade, $($x)*) };
    }
    pub(super) use track_through;
}

/// Where another crate would hand the facade on.
mod memory {
    pub mod facade {
        pub use memscope_rs::__private;
    }
}

#[test]
fn in_other_macros() {
    let x = Parts::default();
    let boxed = Box::new(Parts::default());
    let service = Service::new();
    let pair = (Parts::default(), [Parts::default()], Plain);
    track_all!(x, *boxed, service.nested.1.0, service.parts[1]);
    assert_eq!(visited(), [4, 0, 0]);
    track_parts!(x, *boxed, service.r#type, x, x.pair.0.1);
    assert_eq!(visited(), [4, 1, 0]);
    track_parts!(pair, 0, 0);
    assert_eq!(visited(), [3, 0, 0]);
    through::track_through!(x, deep: *boxed);
    track_var!(x, crate = memory::facade);
    assert_eq!(visited(), [2, 1, 0]);
}

#[test]
fn a_missing_element_panics_as_it_would_without_the_macro() {
    let empty: OnceLock<Vec<Parts>> = OnceLock::from(Vec::new());
    let panicked = std::panic::catch_unwind(|| track_var!(empty.get().expect("set")[0]));
    assert!(panicked.is_err());
}

/// A facade that notes what it is told.
mod listener {
    use std::{cell::RefCell, fmt::Write as _};

    thread_local! {
        pub static HEARD: RefCell<String> = const { RefCell::new(String::new()) };
    }

    pub mod __private {
        pub use memscope_rs::__private::{ByContents, ByHandle, ByParts, ByValue, Value};
        use memscope_rs::Blocks;

        pub struct VariableCallsite(&'static str, &'static str, u32, u32);

        impl VariableCallsite {
            pub const fn new(
                name: &'static str,
                file: &'static str,
                line: u32,
                column: u32,
            ) -> Self {
                Self(name, file, line, column)
            }
        }

        pub fn track_value<T: ?Sized>(
            callsite: &'static VariableCallsite,
            _: &T,
            _: impl FnOnce(&mut Blocks<'_>),
        ) {
            let VariableCallsite(name, file, line, column) = *callsite;
            assert_eq!(file, file!());
            let name_of_type = std::any::type_name::<T>();
            super::hear(line, column, name, name_of_type);
        }
    }

    fn hear(line: u32, column: u32, name: &str, name_of_type: &str) {
        HEARD
            .with_borrow_mut(|heard| writeln!(heard, "{line}:{column} {name}: {name_of_type}"))
            .expect("a string takes everything");
    }
}

#[test]
#[rustfmt::skip]
fn each_place_has_its_name_location_and_type() {
    macro_rules! track {
        ($x:expr, $of:ident . $field:tt) => {
            track_var!(crate = listener, $x, ($x).0, $of . $field, *$x . 1);
        };
    }
    let (items, r#type, i) = ([(1_u8, Box::new('a')), (2, Box::new('b'))], Box::new(2_u16), 0);
    let pair = (true,);
    let line = line!();
    track_var!(crate = listener, items[ i+1 ] .0,
        *r#type, items
            [0]
            .1,
    );
    track!(items[i], pair . 0);
    let heard = [
        (line + 1, 34, "items[i + 1].0: u8"),
        (line + 2, 9, "*type: u16"),
        (line + 2, 18, "items[0].1: alloc::boxed::Box<char>"),
        (line + 6, 12, "items[i]: (u8, alloc::boxed::Box<char>)"),
        (line - 5, 46, "(items[i]).0: u8"),
        (line + 6, 22, "pair.0: bool"),
        (line - 5, 68, "*items[i].1: char"),
    ]
    .map(|(line, column, what)| format!("{line}:{column} {what}"));
    assert_eq!(listener::HEARD.take().lines().collect::<Vec<_>>(), heard);
}
