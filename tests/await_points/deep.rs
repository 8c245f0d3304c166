//! A future that is twenty functions deep: what it waits for is looked at again by comparing, and
//! any of these functions may have gone on.

use memscope_rs::async_memory::track;
use memscope_tests::{conserved, poll, wait_once};

use super::{ALLOCATOR, of, on};

/// How often each function waits at its own `.await`: the second time at the same place.
const WAITS: usize = 2;

/// A function that awaits another one, and then waits itself.
macro_rules! around {
    ($inner:expr) => {
        async {
            $inner.await;
            for _ in 0..WAITS {
                wait_once().await;
            }
        }
    };
}

/// The same, with the inner function in a box, as a trait object.
macro_rules! boxed {
    ($inner:expr) => {
        around!({
            let object: std::pin::Pin<Box<dyn Future<Output = ()>>> = Box::pin($inner);
            object
        })
    };
}

macro_rules! five {
    ($around:ident, $inner:expr) => {
        $around!($around!($around!($around!($around!($inner)))))
    };
}

/// How many functions the backtrace has after each poll.
fn depths(future: impl Future<Output = ()>) -> Vec<usize> {
    on();
    let mut task = Box::pin(track(future));
    let id = task.id().expect("an id");
    let mut depths = Vec::new();
    while poll(&mut task).is_pending() {
        let snapshot = conserved(&ALLOCATOR);
        let point = of(&snapshot, id).expect("a place");
        depths.push(point.frames.len());
    }
    depths
}

#[test]
fn each_of_twenty_functions_is_seen_as_it_goes_on() {
    let expected: Vec<usize> = (1..=20).rev().flat_map(|depth| [depth + 1; WAITS]).collect();
    for _ in 0..2 {
        let inline = five!(around, five!(around, five!(around, five!(around, async {}))));
        assert_eq!(depths(inline), expected, "from the innermost outwards");
        let boxed = five!(boxed, five!(around, five!(boxed, five!(around, async {}))));
        assert_eq!(depths(boxed), expected, "behind boxes");
    }
}
