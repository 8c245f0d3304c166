//! Tasks that wait elsewhere than at the one place that debug information knows below a value: no
//! line is named that would be wrong.

use std::{
    future::{Future, pending, ready},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{join, try_join},
    poll, stream,
};
use memscope_rs::async_memory::AwaitPoint;

use super::{LEAF, leaf, lines, waits, wrappers::with_timers};

/// A stream that gives one item, and waits at its next.
fn source() -> impl stream::Stream<Item = u32> {
    async_stream::stream! {
        yield 1;
        leaf().await;
        yield 2;
    }
}

/// The task waits in this line, and neither at the stream's `yield` nor below it.
#[track_caller]
fn ends_at(line: u32, point: &AwaitPoint, name: &str) {
    assert_eq!(lines(point), [line], "{point:#?}");
    let start = format!("waits for {name}");
    assert!(point.stops.starts_with(&start), "{point:#?}");
    let says = ["perhaps for", "side by side", "is written by hand"];
    assert!(says.iter().any(|it| point.stops.contains(it)), "{point:#?}");
}

#[test]
fn a_stream_that_has_given_its_item_is_not_what_a_combinator_waits_for() {
    let line = line!() + 2;
    let point = waits(async {
        let _ = pin!(source().filter(|_| pending::<bool>())).next().await;
    });
    ends_at(line, &point, "futures_util::stream::stream::filter::Filter<");

    let line = line!() + 2;
    let point = waits(async {
        let _ = pin!(source().take_while(|_| pending())).next().await;
    });
    ends_at(line, &point, "futures_util::stream::stream::take_while::TakeWhile<");

    let line = line!() + 2;
    let point = waits(async {
        let _ = pin!(source().filter_map(|_| pending::<Option<u8>>())).next().await;
    });
    ends_at(line, &point, "futures_util::stream::stream::filter_map::FilterMap<");

    let line = line!() + 1;
    let point = waits(async { source().all(|_| pending()).await });
    ends_at(line, &point, "futures_util::stream::stream::all::All<");

    let line = line!() + 2;
    let point = waits(async {
        source().map(Ok::<u32, ()>).try_for_each(|_| pending::<Result<(), ()>>()).await
    });
    ends_at(line, &point, "futures_util::stream::try_stream::try_for_each::TryForEach<");

    let line = line!() + 2;
    let point = waits(async {
        let _ = pin!(source().zip(stream::pending::<u8>())).next().await;
    });
    ends_at(line, &point, "futures_util::stream::stream::zip::Zip<");
}

#[test]
fn a_snapshot_does_not_say_whether_the_source_of_a_list_is_waited_for() {
    // With room for two, the source is waited for; with room for one, it is not. A snapshot does
    // not read the list, as other threads may write it.
    for room in [1, 2] {
        let line = line!() + 1;
        let each = waits(async move { source().for_each_concurrent(room, |_| pending()).await });
        let buffered = waits(async move {
            let _ = pin!(source().map(|_| pending::<u8>()).buffered(room)).next().await;
        });
        for (line, point) in [(line, &each), (line + 2, &buffered)] {
            assert_eq!(lines(point), [line], "{point:#?}");
            assert!(point.stops.starts_with("waits for futures_util::stream::"), "{point:#?}");
        }
    }
}

/// A future without a state machine, which only numbers tell.
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.0 = true;
        Poll::Pending
    }
}

/// Polls its work once, and then waits for its turn.
struct Retry<F> {
    work: F,
    tries: u32,
    turn: Turn,
}

impl<F: Future + Unpin> Future for Retry<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.tries == 0 {
            self.tries = 1;
            let _ = Pin::new(&mut self.work).poll(context);
        }
        Pin::new(&mut self.turn).poll(context)
    }
}

/// As it, with a variant for each.
enum Backoff<F> {
    Works(F),
    #[expect(dead_code, reason = "what counts is that the type may have it")]
    Waits(Turn),
}

impl<F: Future + Unpin> Future for Backoff<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match &mut *self {
            Self::Works(work) => Pin::new(work).poll(context),
            Self::Waits(_) => Poll::Pending,
        }
    }
}

/// A future that may move, and has a state machine in it.
struct Moves<F>(F);

impl<F: Future> Future for Moves<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the tests do not move it once it is polled.
        unsafe { self.map_unchecked_mut(|it| &mut it.0) }.poll(context)
    }
}

impl<F> Unpin for Moves<F> {}

#[test]
fn a_type_by_hand_with_another_type_in_it_may_wait_for_that() {
    let line = line!() + 1;
    let point = waits(async { Retry { work: Moves(leaf()), tries: 0, turn: Turn(false) }.await });
    ends_at(line, &point, "await_points::elsewhere::Retry<");
    assert!(point.stops.contains("perhaps for `await_points::elsewhere::Moves<"), "{point:#?}");

    let line = line!() + 1;
    let point = waits(async { Backoff::Works(Moves(leaf())).await });
    ends_at(line, &point, "await_points::elsewhere::Backoff<");

    // Nothing but numbers beside: it can wait for nothing else.
    let line = line!() + 1;
    let point = waits(async { Moves(leaf()).await });
    assert_eq!(lines(&point), [line, LEAF], "{point:#?}");
}

/// A future that keeps what it waits for elsewhere.
enum Ask {
    New,
    Asked,
}

impl Future for Ask {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<bool> {
        *self = match *self {
            Self::New | Self::Asked => Self::Asked,
        };
        Poll::Pending
    }
}

/// Polls its work once, and then one of these.
struct Asks<F> {
    work: F,
    is_polled: bool,
    turns: [Ask; 2],
}

impl<F: Future + Unpin> Future for Asks<F> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        if !self.is_polled {
            self.is_polled = true;
            let _ = Pin::new(&mut self.work).poll(context);
        }
        Pin::new(&mut self.turns[0]).poll(context)
    }
}

#[test]
fn an_enum_without_fields_may_be_what_a_task_waits_for() {
    let line = line!() + 2;
    let point = waits(async {
        let _ = pin!(source().filter(|_| Ask::New)).next().await;
    });
    ends_at(line, &point, "futures_util::stream::stream::filter::Filter<");

    let line = line!() + 2;
    let point = waits(async {
        Asks { work: Moves(leaf()), is_polled: false, turns: [Ask::New, Ask::New] }.await
    });
    ends_at(line, &point, "await_points::elsewhere::Asks<");
}

/// Lets one item through, and waits for an hour, of which a thread tells.
struct Rate<S>(S, Option<Instant>);

impl<S: stream::Stream + Unpin> stream::Stream for Rate<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if self.1.is_some() {
            return Poll::Pending;
        }
        self.1 = Some(Instant::now());
        self.0.poll_next_unpin(context)
    }
}

#[test]
fn a_stream_that_has_given_its_item_is_never_waited_for() {
    let line = line!() + 4;
    let point = waits(async {
        let mut items = pin!(Rate(Box::pin(source()), None));
        let _ = items.next().await;
        let _ = items.next().await;
    });
    // Where sampled memory is read, a box that a type by hand has is not followed.
    assert_eq!(lines(&point), [line], "{point:#?}");

    let line = line!() + 5;
    let point = waits(async {
        let source = pin!(source());
        let mut items = Rate(source, None);
        let _ = items.next().await;
        let _ = items.next().await;
    });
    assert_eq!(lines(&point), [line], "{point:#?}");
}

#[test]
fn a_stage_without_a_function_is_named_by_its_type() {
    let _timers = with_timers();
    let long = || tokio::time::sleep(Duration::from_hours(1));
    let line = line!() + 1;
    let point = waits(async { long().then(|()| leaf()).await });
    assert_eq!(lines(&point), [line], "{point:#?}");
    assert!(!point.stops.contains("holds no future"), "{point:#?}");
    assert!(point.stops.starts_with("waits for futures_util::future::"), "{point:#?}");

    let line = line!() + 4;
    let point = waits(async {
        let mut over = pin!(ready(()).then(|()| async {}).fuse());
        over.as_mut().await;
        tokio::select! { () = over => {} () = long() => {} }
    });
    assert_eq!(lines(&point), [line], "{point:#?}");
    let start = "waits for another of several in (";
    assert!(point.stops.starts_with(start), "{point:#?}");
    assert!(point.stops.contains("Sleep) than "), "{point:#?}");
}

/// A future that returns a future, which waits.
async fn gives_a_waiting_one() -> Pin<Box<dyn Future<Output = ()>>> {
    let mut inner: Pin<Box<dyn Future<Output = ()>>> = Box::pin(leaf());
    assert!(poll!(&mut inner).is_pending());
    inner
}

#[test]
fn what_a_joined_future_has_returned_is_not_waited_for() {
    let _timers = with_timers();
    let long = || tokio::time::sleep(Duration::from_hours(1));
    let line = line!() + 2;
    let point = waits(async {
        let _ = join(gives_a_waiting_one(), long()).await;
    });
    assert_eq!(lines(&point), [line], "{point:#?}");
    assert!(point.stops.starts_with("waits for futures_util::future::join::Join<"), "{point:#?}");
    assert!(!point.stops.contains("side by side"), "{point:#?}");

    let line = line!() + 6;
    let point = waits(async {
        let _ = try_join(
            async { Ok::<_, ()>(gives_a_waiting_one().await) },
            pending::<Result<(), _>>(),
        )
        .await;
    });
    assert_eq!(lines(&point), [line], "{point:#?}");

    // The one that is not over is.
    let line = line!() + 2;
    let point = waits(async {
        let _ = join(leaf(), ready(1)).await;
    });
    assert_eq!(lines(&point), [line, LEAF], "{point:#?}");
    assert!(point.stops.contains("this is one of several in"), "{point:#?}");
}
