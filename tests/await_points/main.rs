//! Where tasks wait, and why their futures are large, read from this program's own debug
//! information.
//!
//! `ci/await_points.sh` runs it. By hand, in debug and in release:
//!
//! ```text
//! cargo test -p memscope-tests --features layout --test await_points
//! CARGO_PROFILE_RELEASE_DEBUG=2 \
//!     cargo test --release -p memscope-tests --features layout --test await_points
//! ```
#![cfg(target_os = "linux")]

mod branches;
mod by_hand;
mod deep;
mod dump;
mod elsewhere;
mod held_by_variables;
mod vacant_words;
mod macros;
mod offline;
mod queues;
mod servers;
mod towers;
mod wrappers;

use std::{
    future::{Future, pending},
    hint::black_box,
    pin::{Pin, pin},
    sync::{Arc, Once},
    time::Duration,
};

use memscope_rs::{
    Timing,
    analysis::LeakOptions,
    async_memory::{
        AwaitPoint, AwaitPoints, MemorySnapshot, TaskId, Tracked, get_memory_snapshot, track,
    },
    builder,
};
use memscope_tests::{alone, conserved, poll, row, workers};
use tokio::sync::Notify;

memscope_tests::install!();

/// From here on each poll notes where it ends.
fn on() {
    static ON: Once = Once::new();
    ON.call_once(|| {
        builder().await_points(true).timing(Timing::EveryTask).init().expect("the feature is on");
        // Here only, as it needs memory for a moment that is charged to nothing, and other tests
        // look at the law.
        let measured = get_memory_snapshot().await_points_measured().clone();
        assert_eq!(measured, AwaitPoints::On, "this test needs debug information: debug = 2");
    });
}

/// Polls the future once, as a task; where it waits then.
fn waits<F: Future>(future: F) -> AwaitPoint {
    on();
    let mut task = Box::pin(track(future));
    let id = task.id().expect("an id");
    assert!(poll(&mut task).is_pending());
    let snapshot = conserved(&ALLOCATOR);
    of(&snapshot, id).expect("a place").clone()
}

fn of(snapshot: &MemorySnapshot, id: TaskId) -> Option<&AwaitPoint> {
    snapshot.await_point_of(row(snapshot, id))
}

/// The lines of the backtrace, the outermost first; all in these tests.
fn lines(point: &AwaitPoint) -> Vec<u32> {
    let is_own = |file: &str| file.contains("tests/await_points");
    assert!(point.frames.iter().all(|frame| is_own(&frame.file)), "{point:#?}");
    point.frames.iter().map(|frame| frame.line).collect()
}

const LEAF: u32 = line!() + 3;
async fn leaf() {
    let kept = [7_u8; 700];
    pending::<()>().await;
    black_box(&kept);
}

const MIDDLE: u32 = line!() + 3;
async fn middle() {
    let text = String::from("kept");
    leaf().await;
    black_box(&text);
}

const OUTER: u32 = line!() + 2;
async fn outer() {
    middle().await;
}

#[test]
fn a_chain_of_functions_is_a_backtrace_with_what_each_keeps() {
    let point = waits(outer());
    assert_eq!(lines(&point), [OUTER, MIDDLE, LEAF], "{point:#?}");
    let functions: Vec<&str> = point.frames.iter().map(|frame| &*frame.function).collect();
    assert_eq!(
        functions,
        ["await_points::outer", "await_points::middle", "await_points::leaf"],
        "{point:#?}"
    );
    assert!(point.stops.starts_with("waits for core::future::pending::Pending"), "{point:#?}");
    assert_eq!(point.tasks, 1);
    let leaf = point.innermost().expect("a frame");
    let kept = &leaf.locals[0];
    assert_eq!((&*kept.name, &*kept.type_name, kept.bytes), ("kept", "[u8; 700]", 700));
    assert_eq!(kept.line + 1, LEAF);
    assert!(leaf.size_bytes >= 700 && leaf.size_bytes < point.future_size_bytes);
    let (place, largest) = point.largest_locals()[0];
    assert_eq!((place, largest), (2, kept));
}

#[test]
fn boxes_trait_objects_pinned_variables_and_tracked_futures_are_followed() {
    let line = line!() + 1;
    let point = waits(async { Box::pin(outer()).await });
    assert_eq!(lines(&point), [line, OUTER, MIDDLE, LEAF], "{point:#?}");

    let line = line!() + 3;
    let point = waits(async {
        let object: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(middle());
        object.await;
    });
    assert_eq!(lines(&point), [line, MIDDLE, LEAF], "{point:#?}");

    let line = line!() + 3;
    let point = waits(async {
        let mut pinned = pin!(leaf());
        (&mut pinned).await;
    });
    assert_eq!(lines(&point), [line, LEAF], "{point:#?}");

    let line = line!() + 1;
    let point = waits(async { track(middle()).await });
    assert_eq!(lines(&point), [line, MIDDLE, LEAF], "{point:#?}");

    let mut borrowed = Box::pin(leaf());
    let line = line!() + 1;
    let point = waits(async { (&mut borrowed).await });
    assert_eq!(lines(&point), [line, LEAF], "{point:#?}");

    // A task of its own in a box: the root is no state machine.
    let boxed: Pin<Box<dyn Future<Output = ()>>> = Box::pin(leaf());
    let point = waits(boxed);
    assert_eq!(lines(&point), [LEAF], "{point:#?}");
}

#[test]
fn one_trait_object_after_another_is_told_by_its_vtable() {
    on();
    let object = |which: bool| -> Pin<Box<dyn Future<Output = ()>>> {
        if which { Box::pin(leaf()) } else { Box::pin(middle()) }
    };
    for (which, expected) in [(true, vec![LEAF]), (false, vec![MIDDLE, LEAF]), (true, vec![LEAF])] {
        let point = waits(async move { object(which).await });
        assert_eq!(lines(&point)[1..], expected, "{point:#?}");
    }
}

#[test]
fn a_task_that_awaits_one_trait_object_after_another_is_where_each_waits() {
    async fn first() {
        memscope_tests::wait_once().await;
    }
    async fn second() {
        memscope_tests::wait_once().await;
    }
    let line = line!() - 5;
    on();
    let mut task = Box::pin(track(async {
        for which in [true, false, true] {
            let object: Pin<Box<dyn Future<Output = ()>>> =
                if which { Box::pin(first()) } else { Box::pin(second()) };
            object.await;
        }
    }));
    let id = task.id().expect("an id");
    for expected in [line, line + 3, line] {
        assert!(poll(&mut task).is_pending());
        let snapshot = conserved(&ALLOCATOR);
        let point = of(&snapshot, id).expect("a place");
        assert_eq!(point.frames[1].line, expected, "{point:#?}");
    }
    assert!(poll(&mut task).is_ready());
}

#[test]
fn futures_side_by_side_are_where_a_backtrace_ends_and_it_says_so() {
    let line = line!() + 2;
    let point = waits(async {
        tokio::join!(leaf(), middle());
    });
    assert_eq!(lines(&point), [line], "{point:#?}");
    assert!(point.stops.contains("2 futures side by side"), "{point:#?}");

    let point = waits(async {
        tokio::select! {
            () = leaf() => {}
            () = middle() => {}
            () = outer() => {}
        }
    });
    assert_eq!(point.frames.len(), 1, "{point:#?}");
    assert!(point.stops.contains("3 futures side by side"), "{point:#?}");
    assert!(point.stops.contains("`await_points::middle`"), "{point:#?}");

    // Of these only one has a state machine.
    let point = waits(async {
        tokio::select! {
            () = leaf() => {}
            () = pending() => {}
        }
    });
    assert_eq!(point.innermost().map(|frame| frame.line), Some(LEAF), "{point:#?}");
    assert!(point.stops.contains("; this is one of several in ("), "{point:#?}");
    assert_eq!(point.own().0, point.innermost());
}

#[test]
fn what_is_shared_is_not_looked_into() {
    use futures::FutureExt;
    let line = line!() + 1;
    let point = waits(async { outer().shared().await });
    assert_eq!(lines(&point), [line], "{point:#?}");
}

#[test]
fn a_task_is_where_its_last_poll_left_it_and_nowhere_while_it_is_polled() {
    on();
    let line = line!() + 3;
    let mut task = Box::pin(track(async {
        let inside = get_memory_snapshot();
        memscope_tests::wait_once().await;
        memscope_tests::wait_once().await;
        inside
    }));
    let id = task.id().expect("an id");
    assert_eq!(row(&conserved(&ALLOCATOR), id).await_point, None, "it was not polled");
    for line in [line, line + 1] {
        assert!(poll(&mut task).is_pending());
        let snapshot = conserved(&ALLOCATOR);
        assert_eq!(of(&snapshot, id).expect("a place").frames[0].line, line);
    }
    let std::task::Poll::Ready(inside) = poll(&mut task) else { panic!("it waits twice") };
    assert_eq!(row(&inside, id).await_point, None, "it was being polled");
    assert_eq!(row(&conserved(&ALLOCATOR), id).await_point, None, "it is over");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Second,
    Nested,
}

/// Goes from worker to worker for a while, and then waits at one of three places.
async fn traveller(place: Place, rounds: usize, gate: Arc<Notify>) {
    let load = vec![0_u8; 1_000];
    for _ in 0..rounds {
        tokio::task::yield_now().await;
    }
    match place {
        Place::First => gate.notified().await,
        Place::Second => gate.as_ref().notified().await,
        Place::Nested => Box::pin(nested(&gate)).await,
    }
    black_box(&load);
}
const FIRST: u32 = line!() - 6;

const NESTED: u32 = line!() + 2;
async fn nested(gate: &Notify) {
    gate.notified().await;
}

#[test]
fn rows_count_tasks_that_moved_between_workers() {
    // Its places are the first of the report.
    let _alone = alone();
    on();
    let runtime = workers(4);
    let gate = Arc::new(Notify::new());
    let counts = [(Place::First, 50_u64), (Place::Second, 70), (Place::Nested, 90)];
    let mut ids: Vec<(Place, TaskId)> = Vec::new();
    let mut tasks = Vec::new();
    for (place, count) in counts {
        for round in 0..count {
            let rounds = usize::try_from(round).expect("small") % 40;
            let task = track(traveller(place, rounds, Arc::clone(&gate))).named("traveller");
            ids.push((place, task.id().expect("an id")));
            tasks.push(runtime.spawn(task));
        }
    }
    let expected = |place| match place {
        Place::First => vec![FIRST],
        Place::Second => vec![FIRST + 1],
        Place::Nested => vec![FIRST + 2, NESTED],
    };
    let arrived = |snapshot: &MemorySnapshot| {
        ids.iter().all(|(place, id)| {
            let point = of(snapshot, *id);
            point.is_some_and(|point| lines_or_none(point) == expected(*place))
        })
    };
    let start = std::time::Instant::now();
    let snapshot = loop {
        let snapshot = conserved(&ALLOCATOR);
        if arrived(&snapshot) {
            break snapshot;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{snapshot:#}");
        std::thread::sleep(Duration::from_millis(5));
    };
    for (place, count) in counts {
        let found: Vec<&AwaitPoint> = snapshot
            .await_points()
            .iter()
            .filter(|point| lines_or_none(point) == expected(place))
            .collect();
        let [point] = found[..] else { panic!("{found:#?}") };
        assert_eq!(point.tasks, count);
        let all = || ids.iter().filter(|it| it.0 == place).map(|it| row(&snapshot, it.1));
        assert_eq!(point.live_bytes, all().map(|task| task.live_bytes).sum::<u64>());
        assert!(point.live_bytes >= count * 1_000);
        let mut idle: Vec<u64> = all().filter_map(|task| task.idle_ns).collect();
        idle.sort_unstable();
        assert_eq!((point.timed, point.waited_sum_ns), (idle.len() as u64, idle.iter().sum()));
        assert_eq!(point.timed, count, "each of its polls was timed");
        assert_eq!(point.waited_p50_ns, Some(idle[idle.len().div_ceil(2) - 1]));
        assert_eq!(point.waited_p99_ns, Some(idle[(idle.len() * 99).div_ceil(100) - 1]));
        assert!(point.stops.contains("tokio::sync::notify::Notified"), "{point:#?}");
    }
    let shown = format!("{snapshot:#}");
    assert!(shown.contains("where tasks wait\n"), "{shown}");
    assert!(shown.contains("in await_points::nested ("), "{shown}");
    let header = shown.lines().find(|line| line.starts_with("TASK ")).expect("a table of tasks");
    assert!(header.ends_with("POLLS  WAITS"), "{header}");
    assert!(
        shown.lines().any(|line| line.contains(" traveller ") && line.ends_with(" @0")),
        "{shown}"
    );

    // Nothing of the kind ever ended, and they hold bytes: a limit of its own makes them findings,
    // with their place.
    let leaks = snapshot.leaks_with(&LeakOptions::new().stuck_after(Duration::ZERO));
    let stuck = leaks.iter().find(|leak| leak.place.name == "traveller").expect("a finding");
    let waits_at = stuck.waits_at.as_deref().expect("a place");
    assert!(waits_at.contains("main.rs:"), "{waits_at}");
    assert!(stuck.to_string().contains(" wait at "), "{stuck}");

    let json = serde_json::to_string(&snapshot).expect("JSON");
    assert_eq!(serde_json::from_str::<MemorySnapshot>(&json).expect("a snapshot"), snapshot);

    gate.notify_waiters();
    for task in tasks {
        runtime.block_on(task).expect("it ends");
    }
    let later = conserved(&ALLOCATOR);
    assert!(ids.iter().all(|(_, id)| of(&later, *id).is_none()), "they are over");
    assert_eq!(later.tool().await_points_refused, 0);
}

fn lines_or_none(point: &AwaitPoint) -> Vec<u32> {
    point.frames.iter().map(|frame| frame.line).collect()
}

#[test]
fn sites_have_the_state_machines_of_their_futures() {
    let task: Tracked<_> = track(outer()).named("machine");
    let snapshot = conserved(&ALLOCATOR);
    let site = snapshot.sites_named("machine").next().expect("a site");
    let program = snapshot.program().expect("a program");
    assert_eq!(program.path, std::env::current_exe().expect("a path").to_string_lossy());
    assert!(site.future_vtable.is_some());
    let machine = site.state_machine.as_ref().expect("a state machine");
    assert_eq!(machine.path, "await_points::outer::{async_fn_env#0}");
    assert_eq!(machine.size_bytes, site.future_size_bytes);
    assert_eq!(machine.states, 4);
    let widest = machine.widest.as_ref().expect("it waits");
    assert_eq!((widest.line, &*widest.locals[0].name), (OUTER, "__awaitee"));
    assert_eq!(site.state_machine_unknown, None);
    assert!(format!("{snapshot:#}").contains("why futures are large\n"));
    drop(task);

    // One that is written by hand, and a stream, which is no future.
    let task = track(pending::<()>()).named("by hand");
    let snapshot = conserved(&ALLOCATOR);
    let site = snapshot.sites_named("by hand").next().expect("a site");
    assert_eq!(site.state_machine, None);
    assert!(site.state_machine_unknown.is_some(), "{site:#?}");
    drop(task);
}
