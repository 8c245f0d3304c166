//! Spans of `tracing` as rows: exact, however they are entered, left and closed.

use std::{
    future::pending,
    hint::black_box,
    pin::pin,
    sync::{Arc, Barrier, mpsc},
};

use memscope_rs::{
    MemoryLayer,
    async_memory::{MemorySnapshot, SiteProfile, TaskMemoryProfile, TaskState, shared, track},
};
use memscope_tests::{
    Columns, alone, conserved, keep_wanted_panics_quiet, panics, poll, row, wait_once, workers,
};
use tracing::{Dispatch, Instrument as _, Span, dispatcher, info_span, instrument};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, filter_fn},
    layer::SubscriberExt as _,
    reload,
};

#[path = "spans/interleavings.rs"]
mod interleavings;

memscope_tests::install!();

/// Runs `work` under a subscriber with the layer, with what `tracing` sets up by itself done before.
fn traced<T>(work: impl FnOnce() -> T) -> T {
    with(Registry::default().with(MemoryLayer::new()).into(), work)
}

#[expect(clippy::needless_pass_by_value, reason = "it goes when the work is done")]
fn with<T>(dispatch: Dispatch, work: impl FnOnce() -> T) -> T {
    dispatcher::with_default(&dispatch, || {
        info_span!("warm").in_scope(|| info_span!("up").in_scope(|| ()));
        work()
    })
}

#[track_caller]
fn of<'s>(snapshot: &'s MemorySnapshot, name: &str) -> Vec<&'s TaskMemoryProfile> {
    snapshot.tasks().iter().filter(|task| task.name == name).collect()
}

#[track_caller]
fn one(name: &str) -> TaskMemoryProfile {
    let snapshot = conserved(&ALLOCATOR);
    let [row] = of(&snapshot, name)[..] else { panic!("not one `{name}`\n{snapshot:#}") };
    row.clone()
}

#[track_caller]
fn site(name: &str) -> SiteProfile {
    let snapshot = conserved(&ALLOCATOR);
    snapshot.sites_named(name).next().unwrap_or_else(|| panic!("{snapshot}")).clone()
}

#[test]
fn a_span_is_a_row_with_what_is_allocated_while_it_is_entered() {
    traced(|| {
        let span = info_span!("simple");
        let line = line!() - 1;
        assert_eq!(Columns::of(&one("simple")), Columns::nothing(TaskState::Idle, 0));
        let first = span.in_scope(|| vec![0u8; 1_000]);
        let outside = vec![0u8; 777];
        let second = span.in_scope(|| {
            let snapshot = conserved(&ALLOCATOR);
            let mut rows = snapshot.tasks().iter().filter(|task| task.name == "simple");
            assert_eq!(rows.next().expect("a row").state, TaskState::Running);
            vec![0u8; 500]
        });
        let truth = Columns {
            live_blocks: 2,
            allocation_count: 2,
            ..Columns::one_block(TaskState::Idle, 2, 1_500)
        };
        let seen = one("simple");
        assert_eq!(Columns::of(&seen), truth);
        assert_eq!((&*seen.file, seen.line, &*seen.future_type), (file!(), line, "tracing::Span"));
        drop(span);
        assert_eq!(Columns::of(&one("simple")), Columns { state: TaskState::Completed, ..truth });
        drop((first, second, outside));
        assert_eq!(one("simple").live_bytes, 0);
    });
}

#[test]
fn spans_nest_and_are_children_of_tasks_and_tasks_of_spans() {
    traced(|| {
        let mut task = pin!(track(async {
            let own = vec![0u8; 10];
            let kept = info_span!("in a task").in_scope(|| {
                let outer = vec![0u8; 200];
                let inner = info_span!("in a span").in_scope(|| vec![0u8; 3_000]);
                let cached = shared("in a span", || vec![0u8; 40_000]);
                let mut nested = pin!(track(async { vec![0u8; 500_000] }).named("task in a span"));
                let nested = poll(&mut nested);
                (outer, inner, cached, nested)
            });
            wait_once().await;
            drop(own);
            kept
        }));
        let id = task.id().expect("an id");
        assert!(poll(&mut task).is_pending());
        let snapshot = conserved(&ALLOCATOR);
        let get = |name| {
            let [row] = of(&snapshot, name)[..] else { panic!("{snapshot:#}") };
            (row.live_bytes, row.parent)
        };
        let id_of = |name| Some(of(&snapshot, name)[0].id);
        assert_eq!(get("in a task"), (200, Some(id)));
        assert_eq!(get("in a span"), (3_000, id_of("in a task")));
        assert_eq!(get("task in a span"), (500_000, id_of("in a task")));
        assert_eq!(row(&snapshot, id).live_bytes, 10);
        drop(poll(&mut task));
    });
}

#[instrument(name = "instrumented")]
async fn instrumented(size: usize) -> Vec<u8> {
    let held = vec![0u8; size];
    wait_once().await;
    drop(held);
    vec![0u8; 1 + size]
}

#[test]
fn an_instrumented_function_is_charged_at_each_poll_on_four_workers() {
    let _alone = alone();
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    with(dispatch.clone(), || ());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .on_thread_start({
            let dispatch = dispatch.clone();
            move || std::mem::forget(dispatcher::set_default(&dispatch))
        })
        .build()
        .expect("a runtime");
    let tasks: Vec<_> = (0..200_usize)
        .map(|number| {
            runtime.spawn(async move {
                let size = 1_000 + number;
                let made = instrumented(size).await;
                drop(made);
            })
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).expect("no panic");
    }
    drop(runtime);
    let site = site("instrumented");
    assert_eq!((site.spawned, site.completed, site.live_bytes), (200, 200, 0));
    // `size` is a field of the span: formatting it is none of ours, and the registry's.
    let allocated: u64 = (0..200).map(|number| 2 * (1_000 + number) + 1).sum();
    assert_eq!((site.allocated_bytes, site.allocation_count), (allocated, 400));
}

#[test]
fn a_span_entered_by_many_threads_at_once_has_a_row_for_each() {
    const THREADS: usize = 8;
    let _alone = alone();
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    let span = with(dispatch.clone(), || info_span!("crowded"));
    let all_in = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (dispatch, span, all_in) = (dispatch.clone(), span.clone(), Arc::clone(&all_in));
            std::thread::spawn(move || {
                with(dispatch, || {
                    for _ in 0..100 {
                        let _entered = span.enter();
                        for size in 1..50 {
                            drop(black_box(vec![0u8; size]));
                        }
                    }
                    let _entered = span.enter();
                    all_in.wait();
                    black_box(vec![0u8; 1_000 + number])
                })
            })
        })
        .collect();
    let held: Vec<Vec<u8>> =
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    let snapshot = conserved(&ALLOCATOR);
    let mut rows = of(&snapshot, "crowded");
    // Two threads may add a seat at the same time: one of these is never used, but has ended.
    let with_unused = rows.len() as u64;
    rows.retain(|row| row.poll_count != 0);
    assert_eq!(rows.len(), THREADS, "{snapshot:#}");
    let polls: u64 = rows.iter().map(|row| row.poll_count).sum();
    assert_eq!(polls, 808);
    let live: u64 = rows.iter().map(|row| row.live_bytes).sum();
    assert_eq!(live, held.iter().map(|held| held.len() as u64).sum::<u64>());
    let allocations: u64 = rows.iter().map(|row| row.allocation_count).sum();
    assert_eq!(allocations, 8 * (100 * 49 + 1));
    drop(span);
    assert_eq!(site("crowded").completed, with_unused);
    drop(held);
    assert_eq!(site("crowded").live_bytes, 0);
}

#[test]
fn a_span_may_be_entered_again_inside_itself_and_left_in_any_order() {
    traced(|| {
        let (a, b) = (info_span!("order a"), info_span!("order b"));
        let mut task = pin!(track(async {
            let mut held = vec![Vec::new(); 8];
            let in_a = a.enter();
            held[0] = vec![0u8; 1];
            let in_b = b.enter();
            held[1] = vec![0u8; 20];
            let again = a.enter();
            held[2] = vec![0u8; 300];
            drop(in_b);
            held[3] = vec![0u8; 4_000];
            drop(in_a);
            held[4] = vec![0u8; 50_000];
            drop(again);
            held[5] = vec![0u8; 600_000];
            held
        }));
        let id = task.id().expect("an id");
        let held = poll(&mut task);
        let snapshot = conserved(&ALLOCATOR);
        let live = |name| -> u64 { of(&snapshot, name).iter().map(|row| row.live_bytes).sum() };
        let own = 600_000 + 8 * size_of::<Vec<u8>>() as u64;
        assert_eq!(row(&snapshot, id).live_bytes, own + live("order a") + live("order b") - 54_321);
        assert_eq!((live("order b"), of(&snapshot, "order a").len()), (20, 2));
        // `a` was left once while it was entered twice: which one is the same to everybody.
        assert_eq!(live("order a"), 54_301);
        drop(held);
    });
}

#[test]
fn a_panic_leaves_the_span() {
    keep_wanted_panics_quiet();
    traced(|| {
        let mut task = pin!(track(async {
            let message = panics(|| {
                info_span!("of a panic").in_scope(|| -> () {
                    let _held = black_box(vec![0u8; 700]);
                    panic!("wanted: in a span")
                });
            });
            drop(message);
            let own = vec![0u8; 9_000];
            wait_once().await;
            drop(own);
        }));
        let id = task.id().expect("an id");
        assert!(poll(&mut task).is_pending());
        assert_eq!(row(&conserved(&ALLOCATOR), id).live_bytes, 9_000);
        let span = one("of a panic");
        assert_eq!((span.live_bytes, span.state), (0, TaskState::Completed));
        assert!(span.allocated_bytes >= 700);
    });
}

#[test]
fn an_aborted_future_is_dropped_inside_its_span() {
    traced(|| {
        let future = async {
            let held = vec![0u8; 4_000];
            pending::<()>().await;
            drop(held);
        };
        let mut task = Box::pin(track(future.instrument(info_span!("aborted"))));
        assert!(poll(&mut task).is_pending());
        assert_eq!(Columns::of(&one("aborted")), Columns::one_block(TaskState::Idle, 1, 4_000));
        drop(task);
        let seen = one("aborted");
        assert_eq!((seen.live_bytes, seen.freed_elsewhere_bytes), (0, 0));
        assert_eq!(seen.state, TaskState::Completed);
    });
}

#[test]
fn made_on_one_thread_entered_on_another_closed_on_a_third() {
    let _alone = alone();
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    let span = with(dispatch.clone(), || info_span!("traveller"));
    let (held, span) = std::thread::spawn({
        let dispatch = dispatch.clone();
        move || with(dispatch, || (span.in_scope(|| vec![0u8; 1_234]), span))
    })
    .join()
    .expect("no panic");
    assert_eq!(Columns::of(&one("traveller")), Columns::one_block(TaskState::Idle, 1, 1_234));
    std::thread::spawn(move || drop(span)).join().expect("no panic");
    assert_eq!(one("traveller").state, TaskState::Completed);
    drop(held);
}

#[test]
fn a_thread_may_end_inside_a_span_and_a_span_may_stay_open() {
    let _alone = alone();
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    let span = with(dispatch.clone(), || info_span!("never left"));
    let (sender, receiver) = mpsc::channel();
    let inside = span.clone();
    std::thread::spawn(move || {
        std::mem::forget(dispatcher::set_default(&dispatch));
        sender.send(Vec::<u8>::new()).expect("received");
        std::mem::forget(inside.entered());
        let held = vec![0u8; 2_000];
        sender.send(held).expect("received");
    })
    .join()
    .expect("no panic");
    let held: Vec<Vec<u8>> = receiver.try_iter().collect();
    let seen = one("never left");
    assert!(seen.live_bytes >= 2_000 && seen.state == TaskState::Idle, "{seen:?}");
    let again = span.in_scope(|| vec![0u8; 100]);
    assert_eq!(one("never left").live_bytes, seen.live_bytes + 100, "it can be entered again");
    std::mem::forget(span);
    drop((held, again));
    conserved(&ALLOCATOR);
}

#[test]
fn filters_choose_spans_and_may_change_while_spans_are_entered() {
    // By the layer's own filter.
    let only = MemoryLayer::new().only(|metadata| metadata.name().starts_with("chosen"));
    with(Registry::default().with(only).into(), || {
        let (a, b) = (info_span!("chosen by name"), info_span!("not chosen"));
        let held = a.in_scope(|| (vec![0u8; 10], b.in_scope(|| vec![0u8; 200])));
        assert_eq!(one("chosen by name").live_bytes, 210, "it is the innermost with a row");
        assert!(of(&conserved(&ALLOCATOR), "not chosen").is_empty());
        drop(held);
    });
    // By one of `tracing-subscriber`, with other layers beside it.
    let (filter, handle) = reload::Layer::new(LevelFilter::INFO);
    let subscriber = Registry::default()
        .with(MemoryLayer::new().with_filter(filter))
        .with(MemoryLayer::new().with_filter(filter_fn(|metadata| metadata.name() == "second")));
    with(subscriber.into(), || {
        let before = info_span!("before the change");
        let entered = before.enter();
        let held = vec![0u8; 100];
        handle.modify(|level| *level = LevelFilter::OFF).expect("it is installed");
        let after = info_span!("after the change").in_scope(|| vec![0u8; 2_000]);
        let second = info_span!("second").in_scope(|| vec![0u8; 30_000]);
        drop(entered);
        handle.modify(|level| *level = LevelFilter::INFO).expect("it is installed");
        let both = info_span!("second").in_scope(|| vec![0u8; 400_000]);
        assert!(of(&conserved(&ALLOCATOR), "after the change").is_empty());
        assert_eq!(one("before the change").live_bytes, 2_100);
        let snapshot = conserved(&ALLOCATOR);
        let mut sizes: Vec<u64> =
            of(&snapshot, "second").iter().map(|row| row.live_bytes).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [30_000, 400_000], "two layers, one row for each span");
        drop((held, after, second, both));
    });
}

#[test]
fn ten_thousand_spans_leave_nothing_open() {
    let _alone = alone();
    let runtime = workers(2);
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let dispatch = dispatch.clone();
            runtime.spawn_blocking(move || {
                with(dispatch, || {
                    for size in 0..5_000_usize {
                        info_span!("short").in_scope(|| drop(black_box(vec![0u8; 1 + size % 100])));
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        runtime.block_on(thread).expect("no panic");
    }
    let site = site("short");
    assert_eq!((site.spawned, site.completed, site.active), (10_000, 10_000, 0));
    assert_eq!((site.live_bytes, site.allocation_count), (0, 10_000));
    drop(Span::none());
}
