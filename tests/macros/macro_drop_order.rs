//! A tracked function drops its arguments, locals and temporaries in the very order of the plain
//! `async fn`.
//!
//! Every function below is compiled twice from the same tokens, plain and tracked. Both are run to
//! every possible end: never polled, dropped at each pause, completed, returned early, left by `?`,
//! panicked.

#![allow(
    clippy::pedantic,
    clippy::too_many_arguments,
    missing_docs,
    unreachable_pub,
    reason = "these are cases, not an interface"
)]

use std::{
    cell::RefCell,
    fmt::Debug,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

thread_local! {
    static DROPPED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

/// Says so when it is dropped.
#[derive(Debug)]
pub struct Loud(&'static str);

impl Loud {
    fn result(&self) -> Result<usize, ()> {
        Ok(self.0.len())
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        DROPPED.with_borrow_mut(|dropped| dropped.push(self.0));
    }
}

#[derive(Debug)]
pub struct Pair {
    x: Loud,
    y: Loud,
}

fn pair(x: &'static str, y: &'static str) -> Pair {
    Pair { x: Loud(x), y: Loud(y) }
}

#[derive(Debug)]
pub struct Unit;

impl Drop for Unit {
    fn drop(&mut self) {
        DROPPED.with_borrow_mut(|dropped| dropped.push("unit"));
    }
}

#[derive(Clone, Copy, Debug)]
pub enum End {
    Tail,
    Return,
    Question,
    Panic,
}

impl End {
    fn reached(self) -> Result<(), ()> {
        match self {
            Self::Question => Err(()),
            Self::Panic => std::panic::resume_unwind(Box::new(())),
            Self::Tail | Self::Return => Ok(()),
        }
    }
}

/// Pending once.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Two locals, two pauses, four ends, and a temporary in the last expression.
macro_rules! rest {
    ($end:ident) => {{
        let _first = Loud("first local");
        pause().await;
        $end.reached()?;
        if matches!($end, End::Return) {
            return Ok(0);
        }
        let _second = Loud("second local");
        pause().await;
        Loud("temporary").result()
    }};
}

macro_rules! twice {
    ($($item:item)*) => {
        #[allow(dead_code, reason = "the plain half")]
        pub mod plain {
            use super::*;
            $($item)*
        }

        pub mod tracked {
            use super::*;
            $(#[memscope_macros::tracked] $item)*
        }

        #[memscope_macros::tracked]
        pub mod tracked_whole {
            use super::*;
            $($item)*
        }
    };
}

twice! {
    pub async fn named(end: End, a: Loud, b: Loud, c: Loud) -> Result<usize, ()> {
        let _ = (&c, &a);
        let _ = b.0;
        rest!(end)
    }

    pub async fn unused(
        _: Loud, end: End, _a: Loud, number: u8, _: Loud, _b: &u8, _c: Loud,
    ) -> Result<usize, ()> {
        let _ = number;
        rest!(end)
    }

    pub async fn patterns(
        a: Loud,
        (b, _): (Loud, Loud),
        _: Loud,
        Pair { x, .. }: Pair,
        [first, .., last]: [Loud; 3],
        (ref d, mut e): (Loud, Loud),
        end: End,
        whole @ (_, _): (Loud, Loud),
        Unit: Unit,
        f: Loud,
    ) -> Result<usize, ()> {
        let _ = (&a, &b, &x, &first, &last, d, &e, &whole, &f);
        e = Loud("e again");
        let _ = &e;
        rest!(end)
    }

    pub async fn pattern_first(
        (b, _): (Loud, Loud), a: Loud, (_, c): (Loud, Loud), end: End,
    ) -> Result<usize, ()> {
        let _ = (&a, &b, &c);
        rest!(end)
    }

    pub async fn moved(end: End, a: Loud, mut b: Loud, c: Loud, d: Loud) -> Result<usize, ()> {
        drop(c);
        if matches!(end, End::Tail) {
            drop(a);
        }
        let _ = &b;
        b = Loud("b again");
        let _ = &b;
        let d = d;
        let _ = &d;
        rest!(end)
    }

    pub async fn mutable_first(mut a: Loud, b: Loud, end: End) -> Result<usize, ()> {
        let _ = (&a, &b);
        a = Loud("a again");
        let _ = &a;
        rest!(end)
    }

    pub async fn parts(a: Pair, b: Pair, c: (Loud, Loud), end: End) -> Result<usize, ()> {
        drop(a.y);
        drop(b.x);
        let _ = &c.1;
        rest!(end)
    }

    pub async fn generic<T, const N: usize>(
        a: T, b: impl Debug, c: [T; N], d: Option<&'static T>, end: End,
    ) -> Result<usize, ()> {
        let _ = (&a, &b, &c, d);
        rest!(end)
    }

    #[must_use = "a reason"]
    pub async fn kept_async(
        a: Loud, (b, mut c): (Loud, Loud), _d: Loud, number: u8, mut e: Loud, _: Loud, end: End,
    ) -> Result<usize, ()> {
        let _ = (&a, &b, &c, &e, number);
        c = Loud("c again");
        e = Loud("e again");
        let _ = (&c, &e);
        rest!(end)
    }

    pub async fn diverging(a: Loud, b: Loud) -> ! {
        let _ = (&a, &b);
        pause().await;
        let _local = Loud("local");
        End::Panic.reached().expect("a panic");
        loop {
            pause().await;
        }
    }
}

pub trait Methods: Sized {
    fn by_value(self, other: Loud, end: End) -> impl Future<Output = Result<usize, ()>>;
    fn by_mut_value(self, other: Loud, end: End) -> impl Future<Output = Result<usize, ()>>;
    fn by_box(self: Box<Self>, other: Loud, end: End) -> impl Future<Output = Result<usize, ()>>;
    fn by_arc(
        self: Arc<Self>,
        _: Loud,
        other: Loud,
        end: End,
    ) -> impl Future<Output = Result<usize, ()>>;
    fn by_ref(&self, other: Loud, last: Loud, end: End) -> impl Future<Output = Result<usize, ()>>;
    fn by_pin(
        self: Pin<&mut Self>,
        other: Loud,
        last: Loud,
        end: End,
    ) -> impl Future<Output = Result<usize, ()>>;
}

macro_rules! methods {
    ($ty:ident, $(#[$attribute:meta])*) => {
        #[derive(Debug)]
        pub struct $ty(Loud, Loud);

        $(#[$attribute])*
        impl Methods for $ty {
            async fn by_value(self, other: Loud, end: End) -> Result<usize, ()> {
                let _ = (&other, &self.1);
                rest!(end)
            }

            async fn by_mut_value(mut self, other: Loud, end: End) -> Result<usize, ()> {
                self.1 = Loud("self.1 again");
                drop(self.0);
                let _ = &other;
                rest!(end)
            }

            async fn by_box(self: Box<Self>, other: Loud, end: End) -> Result<usize, ()> {
                let _ = &other;
                rest!(end)
            }

            async fn by_arc(self: Arc<Self>, _: Loud, other: Loud, end: End) -> Result<usize, ()> {
                let _ = (&self.0, &other);
                rest!(end)
            }

            async fn by_ref(&self, other: Loud, last: Loud, end: End) -> Result<usize, ()> {
                let _ = (&self.0, &other, &last);
                rest!(end)
            }

            async fn by_pin(
                self: Pin<&mut Self>, other: Loud, last: Loud, end: End,
            ) -> Result<usize, ()> {
                let _ = (&self.0, &other, &last);
                rest!(end)
            }
        }
    };
}

methods!(Plain,);
methods!(Tracked, #[memscope_macros::tracked]);

/// What is dropped, and when: everything that happens to a future that is polled `polls` times at
/// most.
fn run<F: Future>(make: impl FnOnce() -> F, polls: usize) -> Vec<&'static str> {
    DROPPED.with_borrow_mut(Vec::clear);
    let note = |text| DROPPED.with_borrow_mut(|dropped| dropped.push(text));
    {
        let mut future = pin!(make());
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            note("| poll:");
            match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(_)) => {
                    note("| ready");
                    break;
                }
                Err(_) => {
                    note("| panicked");
                    break;
                }
            }
        }
        note("| drop:");
    }
    DROPPED.with_borrow_mut(std::mem::take)
}

const ENDS: [End; 4] = [End::Tail, End::Return, End::Question, End::Panic];

macro_rules! assert_same {
    ($($function:ident)::+ ($($argument:expr),* $(,)?), $end:ident) => {
        let name = stringify!($($function)::+);
        for polls in 0..4 {
            for $end in ENDS {
                let expected = run(|| plain::$($function)::+($($argument),*), polls);
                let dropped = expected.iter().filter(|name| !name.starts_with('|')).count();
                assert!(dropped > 1, "the plain one shows an order: {expected:?}");
                let found = run(|| tracked::$($function)::+($($argument),*), polls);
                assert_eq!(found, expected, "{name} after {polls} polls, {:?}", $end);
                let found = run(|| tracked_whole::$($function)::+($($argument),*), polls);
                assert_eq!(found, expected, "{name} in a block after {polls} polls, {:?}", $end);
            }
        }
    };
}

#[test]
fn named_arguments() {
    assert_same!(named(end, Loud("a"), Loud("b"), Loud("c")), end);
    assert_same!(mutable_first(Loud("a"), Loud("b"), end), end);
}

#[test]
fn unused_arguments_live_to_the_end() {
    assert_same!(unused(Loud("1"), end, Loud("2"), 3, Loud("4"), &5, Loud("6")), end);
}

#[test]
fn patterns() {
    assert_same!(
        patterns(
            Loud("a"),
            (Loud("b"), Loud("beside b")),
            Loud("wild"),
            pair("x", "y"),
            [Loud("first"), Loud("middle"), Loud("last")],
            (Loud("d"), Loud("e")),
            end,
            (Loud("whole.0"), Loud("whole.1")),
            Unit,
            Loud("f"),
        ),
        end
    );
    assert_same!(
        pattern_first((Loud("b"), Loud("beside b")), Loud("a"), (Loud("beside c"), Loud("c")), end),
        end
    );
}

#[test]
fn arguments_moved_out_and_assigned_again() {
    assert_same!(moved(end, Loud("a"), Loud("b"), Loud("c"), Loud("d")), end);
}

#[test]
fn arguments_of_which_only_a_part_is_used() {
    assert_same!(
        parts(pair("a.x", "a.y"), pair("b.x", "b.y"), (Loud("c.0"), Loud("c.1")), end),
        end
    );
}

#[test]
fn generic_arguments() {
    assert_same!(generic(Loud("a"), Loud("b"), [Loud("c0"), Loud("c1")], None, end), end);
}

#[test]
fn functions_that_stay_async() {
    assert_same!(
        kept_async(Loud("a"), (Loud("b"), Loud("c")), Loud("d"), 1, Loud("e"), Loud("wild"), end),
        end
    );
    assert_same!(diverging(Loud("a"), Loud("b")), _end);
}

#[test]
fn receivers() {
    macro_rules! both {
        (|$new:ident, $end:ident| $future:expr) => {
            for polls in 0..4 {
                for $end in ENDS {
                    let expected = {
                        let $new = || Plain(Loud("self.0"), Loud("self.1"));
                        run(|| $future, polls)
                    };
                    let found = {
                        let $new = || Tracked(Loud("self.0"), Loud("self.1"));
                        run(|| $future, polls)
                    };
                    assert_eq!(
                        found,
                        expected,
                        "{} after {polls} polls, {:?}",
                        stringify!($future),
                        $end
                    );
                }
            }
        };
    }
    both!(|new, end| new().by_value(Loud("other"), end));
    both!(|new, end| new().by_mut_value(Loud("other"), end));
    both!(|new, end| Box::new(new()).by_box(Loud("other"), end));
    both!(|new, end| Arc::new(new()).by_arc(Loud("wild"), Loud("other"), end));
    both!(|new, end| async move {
        let this = new();
        this.by_ref(Loud("other"), Loud("last"), end).await
    });
    both!(|new, end| async move {
        let this = pin!(new());
        this.by_pin(Loud("other"), Loud("last"), end).await
    });
}
