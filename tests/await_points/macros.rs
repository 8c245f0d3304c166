//! Macros that await stand where they are called, and not where they are written.

use std::future::pending;

use memscope_rs::async_memory::AwaitPoint;

use super::{leaf, middle, waits};

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
            let _ =
                tokio::try_join!(pending::<Result<(), ()>>(), async { Ok::<(), ()>(leaf().await) });
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
    for (which, below) in [(0, 0), (1, 1), (2, 2), (3, 5)] {
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
