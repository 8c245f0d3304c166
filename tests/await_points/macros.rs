//! Macros that await stand where they are called, and not where they are written.

use std::future::pending;

use memscope_rs::async_memory::{AwaitPoint, track};
use memscope_tests::{conserved, poll, wait_once};

use super::{ALLOCATOR, LEAF, MIDDLE, leaf, lines, middle, of, on, outer, waits};

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
fn a_disabled_branch_of_a_select_is_not_waited_for() {
    let here = line!() + 2;
    let point = waits(async {
        tokio::select! {
            () = leaf(), if false => {}
            () = middle() => {}
        }
    });
    assert_eq!(lines(&point), [here, MIDDLE, LEAF], "{point:#?}");
    assert!(!point.stops.contains("several"), "{point:#?}");

    let here = line!() + 2;
    let point = waits(async {
        tokio::select! {
            () = middle() => {}
            Some(()) = async { None } => {}
        }
    });
    assert_eq!(lines(&point), [here, MIDDLE, LEAF], "its pattern did not match: {point:#?}");

    let point = waits(async {
        tokio::select! {
            () = leaf() => {}
            () = middle(), if false => {}
            () = outer() => {}
        }
    });
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    let stops = "), 1 of them disabled: `await_points::leaf`, `await_points::outer`";
    assert!(point.stops.starts_with("waits for 2 futures side by side in ("), "{point:#?}");
    assert!(point.stops.ends_with(stops), "{point:#?}");

    let point = waits(async {
        tokio::select! {
            () = leaf(), if false => {}
            () = pending() => {}
            () = middle(), if false => {}
        }
    });
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    assert_eq!(point.stops, "waits for core::future::pending::Pending<()>");
}

/// Branches are disabled while a `select!` waits, and others in its next turn.
#[test]
fn a_select_is_where_it_waits_at_each_poll() {
    on();
    let here = line!() + 5;
    let mut task = Box::pin(track(async {
        let mut turn = 0;
        loop {
            let is_over = wait_so_often(2);
            tokio::select! {
                biased;
                () = leaf(), if turn % 2 == 0 => {}
                () = middle(), if turn % 2 == 1 => {}
                Some(()) = async { wait_once().await; None } => {}
                () = is_over => turn += 1,
            }
        }
    }));
    let id = task.id().expect("an id");
    let mut seen = Vec::new();
    for _ in 0..8 {
        assert!(poll(&mut task).is_pending());
        let snapshot = conserved(&ALLOCATOR);
        let point = of(&snapshot, id).expect("a place");
        assert_eq!(point.frames[0].line, here, "{point:#?}");
        let disabled = point.stops.split(", ").find_map(|it| it.split_once(" of them disabled"));
        let also = if point.stops.contains("`await_points::leaf`") { "leaf" } else { "middle" };
        seen.push((disabled.expect("one at least").0.to_owned(), also));
    }
    let turn = |also| [("1".to_owned(), also), ("2".to_owned(), also)];
    let expected = [turn("leaf"), turn("middle"), turn("leaf"), turn("middle")].concat();
    assert_eq!(seen, expected);
}

/// Each set of disabled branches has nodes of its own, up to a number.
#[test]
fn a_select_with_many_sets_of_disabled_branches_says_that_there_were_too_many() {
    on();
    let mut task = Box::pin(track(async {
        for set in 0..128_u8 {
            tokio::select! {
                biased;
                () = leaf() => {}
                () = leaf(), if set & 1 == 0 => {}
                () = leaf(), if set & 2 == 0 => {}
                () = leaf(), if set & 4 == 0 => {}
                () = leaf(), if set & 8 == 0 => {}
                () = leaf(), if set & 16 == 0 => {}
                () = leaf(), if set & 32 == 0 => {}
                () = middle(), if set & 64 == 0 => {}
                () = wait_once() => {}
            }
        }
    }));
    let id = task.id().expect("an id");
    for set in 0..128_u8 {
        assert!(poll(&mut task).is_pending());
        let snapshot = conserved(&ALLOCATOR);
        let point = of(&snapshot, id).expect("a place");
        if set >= 64 {
            assert!(point.stops.contains("there were too many ways"), "{set}: {point:#?}");
            continue;
        }
        let disabled = set.count_ones();
        let text = format!("waits for {} futures side by side in (", 9 - disabled);
        assert!(point.stops.starts_with(&text), "{set}: {point:#?}");
        let says = point.stops.contains(&format!("), {disabled} of them disabled: "));
        assert_eq!(says, disabled > 0, "{set}: {point:#?}");
        assert_eq!(point.stops.ends_with(", and 1 more"), disabled == 0, "{set}: {point:#?}");
    }
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

#[test]
fn what_is_over_in_a_join_of_another_crate_is_not_waited_for() {
    use futures::future::{join, join3, join5, try_join, try_join3};

    let ends_in = |point: &AwaitPoint, expected: &[u32]| {
        assert_eq!(lines(point)[1..], *expected, "{point:#?}");
        assert!(!point.stops.contains("several"), "{point:#?}");
    };
    ends_in(&waits(async { join(async {}, leaf()).await }), &[LEAF]);
    ends_in(&waits(async { join3(async {}, middle(), async {}).await }), &[MIDDLE, LEAF]);
    let over = || async { Ok::<(), ()>(()) };
    let point = waits(async { try_join(over(), fails_later()).await });
    assert_eq!(point.innermost().map(|at| at.line), Some(LEAF), "{point:#?}");
    let point = waits(async { try_join3(fails_later(), over(), over()).await });
    assert_eq!(point.innermost().map(|at| at.line), Some(LEAF), "{point:#?}");

    let point = waits(async { join5(leaf(), async {}, middle(), async {}, outer()).await });
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    assert!(point.stops.starts_with("waits for 3 futures side by side in "), "{point:#?}");

    // Functions that are over, beside a future that is none.
    for point in [
        waits(async { join(async {}, pending::<()>()).await }),
        waits(async { tokio::join!(async {}, pending::<()>()) }),
    ] {
        assert_eq!(point.frames.len(), 1, "{point:#?}");
        assert!(point.stops.starts_with("waits for "), "{point:#?}");
        assert!(point.stops.contains("core::future::pending::Pending<()>"), "{point:#?}");
        assert!(!point.stops.contains("holds no future"), "{point:#?}");
    }
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
        tokio::join!(wait_so_often(1), wait_so_often(2), wait_so_often(0));
    }));
    let id = task.id().expect("an id");
    let mut side_by_side = Vec::new();
    while poll(&mut task).is_pending() {
        let snapshot = conserved(&ALLOCATOR);
        side_by_side.push(of(&snapshot, id).expect("a place").stops.contains("2 futures"));
    }
    assert_eq!(side_by_side, [true, false]);
}

async fn wait_so_often(polls: u32) {
    for _ in 0..polls {
        wait_once().await;
    }
}
