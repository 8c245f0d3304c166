//! Macros that await stand where they are called, and not where they are written.

use std::future::pending;

use memscope_rs::async_memory::{AwaitPoint, track};
use memscope_tests::{conserved, poll};

use super::{ALLOCATOR, LEAF, leaf, middle, of, on, waits};

const SELECTS: u32 = line!() + 4;

async fn selects(first: bool) {
    if first {
        tokio::select! {
            () = leaf() => {}
            () = middle() => {}
        }
    }
    let held = vec![1_u8; 10];
    tokio::select! {
        biased;
        () = leaf() => {}
        () = middle() => drop(held),
    }
}

const JOINS: u32 = line!() + 5;

/// All await futures of the same types, and two are in one line.
async fn joins<T>(which: u8, of: T) -> T {
    match which {
        0 => drop(tokio::join!(leaf(), middle())),
        1 => drop(tokio::join!(leaf(), middle())),
        2 => drop(futures::join!(leaf(), middle())),
        _ => {
            let _ = tokio::try_join!(pending::<Result<(), ()>>(), async {
                leaf().await;
                Ok::<(), ()>(())
            });
        }
    }
    of
}

/// The line of the first frame, which is one of this file.
fn line(point: &AwaitPoint) -> u32 {
    let frame = &point.frames[0];
    assert!(frame.file.ends_with("await_points/macros.rs"), "{point:#?}");
    frame.line
}

#[test]
fn select_stands_where_it_is_called() {
    assert_eq!(line(&waits(selects(true))), SELECTS);
    assert_eq!(line(&waits(selects(false))), SELECTS + 6);
    let here = line!() + 1;
    let point = waits(async { selects(false).await });
    assert_eq!(line(&point), here, "{point:#?}");
    assert_eq!(point.frames[1].line, SELECTS + 6, "{point:#?}");
    assert_eq!(&*point.frames[1].function, "await_points::macros::selects");
}

#[test]
fn join_stands_where_it_is_called() {
    for (which, below) in [(0, 0), (1, 1), (2, 2), (3, 4)] {
        assert_eq!(line(&waits(joins(which, ()))), JOINS + below, "{which}");
        assert_eq!(line(&waits(joins(which, vec![String::new()]))), JOINS + below, "{which}");
    }
}

#[test]
fn the_futures_of_a_select_of_another_crate_are_beside_its_call() {
    use futures::FutureExt;

    let here = line!() + 4;
    let point = waits(async {
        let mut first = Box::pin(leaf().fuse());
        let mut second = Box::pin(middle().fuse());
        futures::select! {
            () = first => {}
            () = second => {}
        }
    });
    assert_eq!(line(&point), here, "{point:#?}");
}

#[test]
fn what_is_over_in_a_join_is_not_waited_for() {
    let point = waits(async { tokio::join!(async {}, leaf()) });
    assert_eq!(point.innermost().map(|at| at.line), Some(LEAF), "{point:#?}");
    assert!(!point.stops.contains("several"), "{point:#?}");
    let point = waits(async { tokio::join!(middle(), std::future::ready(()), async {}) });
    assert_eq!(point.innermost().map(|at| at.line), Some(LEAF), "{point:#?}");
    assert!(point.stops.contains("; this is one of several in ("), "it does not know of `ready`");

    let point = waits(async { tokio::join!(async {}, leaf(), async {}, middle()) });
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    assert!(point.stops.contains("2 futures side by side"), "{point:#?}");
    let futures = "`await_points::leaf`, `await_points::middle`";
    assert!(point.stops.contains(futures), "{point:#?}");

    let point = waits(async { tokio::try_join!(async { Ok::<(), ()>(()) }, fails_later()) });
    let here = point.frames.last().expect("a frame");
    assert_eq!(&*here.function, "await_points::leaf", "{point:#?}");
}

async fn fails_later() -> Result<(), ()> {
    leaf().await;
    Err(())
}

/// A join may end one by one: each poll is asked anew.
#[test]
fn a_join_is_where_it_waits_at_each_poll() {
    on();
    let mut task = Box::pin(track(async {
        tokio::join!(waits_so_often(1), waits_so_often(2), waits_so_often(0));
    }));
    let id = task.id().expect("an id");
    let mut side_by_side = Vec::new();
    while poll(&mut task).is_pending() {
        let snapshot = conserved(&ALLOCATOR);
        side_by_side.push(of(&snapshot, id).expect("a place").stops.contains("2 futures"));
    }
    assert_eq!(side_by_side, [true, false]);
}

async fn waits_so_often(polls: u32) {
    for _ in 0..polls {
        memscope_tests::wait_once().await;
    }
}
