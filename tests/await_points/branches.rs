//! In a dump, each of several futures side by side has its own lines.

use std::{
    future::{Future, pending, poll_fn},
    hint::black_box,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future};
use memscope_rs::async_memory::{AwaitBranch, AwaitPoint, task_dump};
use memscope_tests::{wait_once, workers};
use tokio::task::yield_now;

use super::{
    LEAF, MIDDLE,
    dump::{parked, task},
    leaf, middle,
};

/// The lines of a branch, and those of its branches.
#[derive(Debug, PartialEq, Eq)]
struct Lines(Vec<u32>, Vec<Self>);

fn lines(branches: &[AwaitBranch]) -> Vec<Lines> {
    let of = |branch: &AwaitBranch| {
        let is_own = |file: &str| file.contains("tests/await_points");
        let own = branch.frames.iter().filter(|frame| is_own(&frame.file));
        Lines(own.map(|frame| frame.line).collect(), lines(&branch.branches))
    };
    branches.iter().map(of).collect()
}

fn at(of: &[u32]) -> Lines {
    Lines(of.to_vec(), Vec::new())
}

/// Where a task waits that Tokio has parked.
fn point(future: impl Future<Output = ()> + Send + 'static) -> AwaitPoint {
    let runtime = workers(1);
    let id = runtime.spawn(future).id();
    task(&parked(&[id]), id).await_point.clone().expect("a place")
}

const SECOND: u32 = line!() + 4;

async fn second() {
    yield_now().await;
    leaf().await;
}

#[test]
fn each_branch_of_a_select_has_its_lines() {
    let here = line!() + 2;
    let point = point(async {
        tokio::select! {
            () = second() => {}
            () = middle() => {}
            () = tokio::time::sleep(Duration::from_mins(1)) => {}
            () = pending() => {}
        }
    });
    assert_eq!(point.frames.last().map(|frame| frame.line), Some(here), "{point:#?}");
    // The others have no function. The name of the tuple tells that there are more than two.
    let expected = [at(&[SECOND, LEAF]), at(&[MIDDLE, LEAF])];
    assert_eq!(lines(&point.branches), expected, "{point:#?}");
    assert!(point.stops.contains("2 futures side by side in ("), "{point:#?}");
    assert!(point.stops.contains("::time::sleep::Sleep, "), "{point:#?}");
}

#[test]
fn what_is_over_in_a_join_has_no_branch_and_the_others_have_their_lines() {
    let point = point(async {
        tokio::join!(leaf(), async {}, middle(), wait_once(), second());
    });
    let expected = [at(&[LEAF]), at(&[MIDDLE, LEAF]), at(&[SECOND, LEAF])];
    assert_eq!(lines(&point.branches), expected, "{point:#?}");
}

#[test]
fn branches_have_branches_and_go_on_behind_boxes() {
    let [outer, inner] = [line!() + 6, line!() + 3];
    let point = point(async {
        let inner = async {
            future::join(leaf(), middle()).await;
        };
        let boxed: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(second());
        future::select(Box::pin(inner), boxed).await;
    });
    assert_eq!(point.frames.last().map(|frame| frame.line), Some(outer), "{point:#?}");
    let joined = Lines(vec![inner], vec![at(&[LEAF]), at(&[MIDDLE, LEAF])]);
    assert_eq!(lines(&point.branches), [joined, at(&[SECOND, LEAF])], "{point:#?}");
}

#[test]
fn futures_of_a_list_are_counted_where_they_wait_and_those_that_are_over_are_not() {
    let of = |at: u16| async move {
        match at {
            0 => {}
            1..40 => leaf().await,
            _ => second().await,
        }
    };
    // Up to thirty are in a boxed slice, more in a `FuturesOrdered`.
    for last in [30, 66, 2_000] {
        let point = point(async move {
            future::join_all((25..last).chain([0, 40]).map(of)).await;
        });
        let counts: u64 = point.branches.iter().map(|it| it.futures).sum();
        assert_eq!(counts, u64::from(last) - 25 + 1, "{point:#?}");
        let places = point.branches.iter().map(|it| it.frames.last().map(|it| it.line));
        assert_eq!(places.collect::<Vec<_>>(), [Some(LEAF); 2], "{point:#?}");
        assert!(point.stops.starts_with("waits for the futures in futures_util::"), "{point:#?}");
    }
}

#[test]
fn futures_that_were_not_polled_yet_are_not_what_a_closure_waits_for() {
    let point = point(async {
        let (mut first, mut second) = (Box::pin(leaf()), Box::pin(middle()));
        poll_fn(|_| {
            black_box((&mut first, &mut second));
            Poll::<()>::Pending
        })
        .await;
    });
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    assert_eq!(point.branches, [], "{point:#?}");
    assert!(point.stops.contains("but for none of the functions in it"), "{point:#?}");
}

#[test]
fn a_branch_that_is_disabled_has_no_lines() {
    let here = line!() + 2;
    let point_of_one = point(async {
        tokio::select! {
            () = leaf(), if false => {}
            () = second() => {}
        }
    });
    let all: Vec<u32> = point_of_one.frames.iter().map(|frame| frame.line).collect();
    assert_eq!(all, [here, SECOND, LEAF], "{point_of_one:#?}");
    assert_eq!(point_of_one.branches, [], "{point_of_one:#?}");

    let point = point(async {
        tokio::select! {
            () = second() => {}
            Some(()) = async { None } => {}
            () = leaf(), if false => {}
            () = middle() => {}
        }
    });
    let expected = [at(&[SECOND, LEAF]), at(&[MIDDLE, LEAF])];
    assert_eq!(lines(&point.branches), expected, "{point:#?}");
    assert!(point.stops.contains("), 2 of them disabled: "), "{point:#?}");
}

#[test]
fn pinned_futures_of_a_select_of_futures_have_their_lines() {
    let here = line!() + 3;
    let point = point(async {
        let (mut first, mut other) = (pin!(second().fuse()), pin!(middle().fuse()));
        futures::select! {
            () = first => {}
            () = other => {}
        }
    });
    assert_eq!(point.frames.last().map(|frame| frame.line), Some(here), "{point:#?}");
    assert!(point.stops.contains("2 futures side by side in "), "{point:#?}");
    assert_eq!(lines(&point.branches), [at(&[SECOND, LEAF]), at(&[MIDDLE, LEAF])], "{point:#?}");
}

/// Polls what it has until another thread says that it shall end.
struct UntilTold<F>(Pin<Box<F>>, Arc<AtomicBool>);

impl<F: Future> Future for UntilTold<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.0.as_mut().poll(context) {
            Poll::Pending if !self.1.load(Ordering::Relaxed) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

/// The same with the two in a variant.
enum Steps<F> {
    Polls(Pin<Box<F>>, Arc<AtomicBool>),
    Over(Arc<AtomicBool>),
}

impl<F: Future> Future for Steps<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (told, is_over) = match &mut *self {
            Self::Polls(future, told) => (told.clone(), future.as_mut().poll(context).is_ready()),
            Self::Over(told) => (told.clone(), true),
        };
        if is_over {
            *self = Self::Over(told);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

#[test]
fn what_a_future_by_hand_perhaps_waits_for_has_its_lines_apart() {
    let here = line!() + 1;
    let until = point(async { UntilTold(Box::pin(second()), Arc::default()).await });
    let there = line!() + 1;
    let steps = point(async { Steps::Polls(Box::pin(second()), Arc::default()).await });
    for (point, line) in [(until, here), (steps, there)] {
        let own: Vec<u32> = point.frames.iter().map(|frame| frame.line).collect();
        assert_eq!(own, [line], "{point:#?}");
        assert!(
            point.stops.contains(", perhaps for `await_points::branches::second` in it"),
            "{point:#?}"
        );
        assert_eq!(lines(&point.branches), [at(&[SECOND, LEAF])], "{point:#?}");
    }
}

/// Polls its first future once, and from then on its second one.
struct Second<A, B>(Pin<Box<A>>, Pin<Box<B>>, bool);

impl<A: Future, B: Future> Future for Second<A, B> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.2, true) {
            let _ = self.0.as_mut().poll(context);
        }
        self.1.as_mut().poll(context).map(drop)
    }
}

/// The same with both in a tuple, in a box.
struct SecondOfTuple<A, B>(Box<Option<(A, B)>>, bool);

impl<A: Future + Unpin, B: Future + Unpin> Future for SecondOfTuple<A, B> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let was_polled = std::mem::replace(&mut self.1, true);
        let (first, other) = self.0.as_mut().as_mut().expect("it is there");
        if !was_polled {
            let _ = first.poll_unpin(context);
        }
        other.poll_unpin(context).map(drop)
    }
}

#[test]
fn of_two_futures_that_a_type_by_hand_has_it_perhaps_waits_for_one() {
    let here = line!() + 1;
    let inline = point(async { Second(Box::pin(leaf()), Box::pin(second()), false).await });
    let in_tuple = point(async {
        SecondOfTuple(Box::new(Some((Box::pin(leaf()), Box::pin(second())))), false).await;
    });
    let in_closure = point(async {
        let (mut first, mut other, mut is_first) = (Box::pin(leaf()), Box::pin(second()), true);
        poll_fn(move |context| {
            if std::mem::take(&mut is_first) {
                let _ = first.as_mut().poll(context);
            }
            other.as_mut().poll(context)
        })
        .await;
    });
    for (point, line) in [(inline, here), (in_tuple, here + 2), (in_closure, here + 12)] {
        let own: Vec<u32> = point.frames.iter().map(|frame| frame.line).collect();
        assert_eq!(own, [line], "{point:#?}");
        let perhaps =
            ", perhaps for `await_points::leaf` or `await_points::branches::second` in it";
        assert!(point.stops.contains(perhaps), "{point:#?}");
        assert_eq!(lines(&point.branches), [at(&[LEAF]), at(&[SECOND, LEAF])], "{point:#?}");
    }
    // One of its futures was not polled, so it waits for the other.
    let there = line!() + 1;
    let point = point(async { Second(Box::pin(leaf()), Box::pin(second()), true).await });
    let own: Vec<u32> = point.frames.iter().map(|frame| frame.line).collect();
    assert_eq!(own, [there, SECOND, LEAF], "{point:#?}");
}

#[test]
fn the_macros_of_futures_wait_for_all_that_is_not_over() {
    let here = line!() + 2;
    let joined = point(async {
        futures::join!(leaf(), async {}, second());
    });
    let tried = point(async {
        let waits = async {
            second().await;
            Ok::<(), ()>(())
        };
        let _ = futures::try_join!(async { Ok(()) }, waits);
    });
    let selected = point(async {
        let mut over = future::Fuse::<future::Ready<()>>::terminated();
        let mut waits = pin!(second().fuse());
        futures::select_biased! {
            () = over => {}
            () = waits => {}
        }
    });
    assert_eq!(joined.frames.len(), 1, "{joined:#?}");
    assert_eq!(joined.frames[0].line, here, "{joined:#?}");
    let two = "waits for 2 of 3 futures side by side in ";
    assert!(joined.stops.starts_with(two), "{joined:#?}");
    assert_eq!(lines(&joined.branches), [at(&[LEAF]), at(&[SECOND, LEAF])], "{joined:#?}");
    for (point, expected) in
        [(tried, vec![here + 7, here + 4, SECOND, LEAF]), (selected, vec![here + 12, SECOND, LEAF])]
    {
        let own: Vec<u32> = point.frames.iter().map(|frame| frame.line).collect();
        assert_eq!(own, expected, "{point:#?}");
        assert_eq!(point.branches, [], "{point:#?}");
    }
}

#[test]
fn a_closure_that_polls_what_it_borrows_waits_for_it_beside_data() {
    let here = line!() + 3;
    let point = point(async {
        let (mut waits, mut polls) = (pin!(second()), Vec::new());
        poll_fn(|context| {
            polls.push(polls.len());
            waits.as_mut().poll(context)
        })
        .await;
    });
    let own: Vec<u32> = point.frames.iter().map(|frame| frame.line).collect();
    assert!((here..here + 5).contains(&own[0]), "{point:#?}");
    assert_eq!(own[1..], [SECOND, LEAF], "{point:#?}");
    assert_eq!(point.branches, [], "{point:#?}");
}

#[test]
fn a_closure_that_polls_what_it_borrows_perhaps_waits_for_it_beside_a_flag() {
    let here = line!() + 4;
    let point = point(async {
        let is_closed = AtomicBool::new(false);
        let mut waits = pin!(second());
        poll_fn(|context| {
            is_closed.store(false, Ordering::Relaxed);
            waits.as_mut().poll(context)
        })
        .await;
    });
    assert!((here..here + 5).contains(&point.frames[0].line), "{point:#?}");
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    let perhaps = ", perhaps for `await_points::branches::second` in it";
    assert!(point.stops.contains(perhaps), "{point:#?}");
    assert_eq!(lines(&point.branches), [at(&[SECOND, LEAF])], "{point:#?}");
}

#[test]
fn what_may_have_other_functions_has_no_lines_of_those_that_are_known() {
    /// It has polled the first, and polls the rest.
    struct Rest<A>(Pin<Box<A>>, Vec<Pin<Box<dyn Future<Output = ()> + Send>>>, bool);
    impl<A: Future> Future for Rest<A> {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if !std::mem::replace(&mut self.2, true) {
                let _ = self.0.as_mut().poll(context);
            }
            self.1.last_mut().map_or(Poll::Ready(()), |it| it.as_mut().poll(context))
        }
    }
    let point = point(async { Rest(Box::pin(leaf()), vec![Box::pin(second())], false).await });
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    assert!(point.stops.contains(", perhaps for `await_points::leaf` in it"), "{point:#?}");
    assert!(point.stops.ends_with("there may be other functions"), "{point:#?}");
    assert_eq!(point.branches, [], "{point:#?}");
}

#[test]
fn a_branch_that_is_surely_not_awaited_is_left_out_and_an_only_one_is_the_chain() {
    let here = line!() + 2;
    let zipped = point(async {
        smol::future::zip(async {}, second()).await;
    });
    let there = line!() + 3;
    let chained = point(async {
        let none = futures::stream::once(async {}).filter(|()| future::ready(false));
        let mut all = pin!(none.chain(futures::stream::once(second())));
        all.next().await;
    });
    // A chain polls its second stream once the first one is over.
    for (point, line, is_one_of_several) in [(zipped, here, true), (chained, there + 1, false)] {
        let own: Vec<u32> = point.frames.iter().map(|frame| frame.line).collect();
        assert_eq!(own, [line, SECOND, LEAF], "{point:#?}");
        assert_eq!(point.branches, [], "{point:#?}");
        let says = point.stops.contains("this is one of several in ");
        assert_eq!(says, is_one_of_several, "{point:#?}");
    }
}

#[test]
fn a_stream_that_has_given_its_item_is_no_branch() {
    let here = line!() + 2;
    let point = point(async {
        let items = async_stream::stream! {
            yield 1;
            leaf().await;
        };
        let _ = pin!(items.filter(|_| pending::<bool>())).next().await;
    });
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    assert!(point.frames[0].line > here, "{point:#?}");
    assert_eq!(point.branches, [], "{point:#?}");
}

#[test]
fn the_text_of_a_dump_has_a_line_for_each_branch() {
    let runtime = workers(1);
    let id = runtime.spawn(async { tokio::join!(leaf(), second()) }).id();
    parked(&[id]);
    let text = task_dump().expect("a dump").to_string();
    for (function, line) in [
        ("1 of 2: await_points::leaf (", format!("tests/await_points/main.rs:{LEAF})")),
        ("2 of 2: await_points::branches::second (", format!("branches.rs:{SECOND})")),
    ] {
        let is_it = |it: &str| it.contains(function) && it.contains(&line);
        assert!(text.lines().any(is_it), "{function}…{line}\n{text}");
    }
}
