//! Spans of `tracing` are exact rows, however they are entered, left and closed.

use std::{
    future::pending,
    hint::black_box,
    pin::pin,
    sync::{Arc, Barrier, Condvar, Mutex, mpsc},
};

use memscope_rs::{
    MemoryLayer,
    async_memory::{
        AsyncResourceMonitor, EventKind, MemorySnapshot, Scope, SiteProfile, TaskMemoryProfile,
        TaskState, current_task_id, get_memory_snapshot, shared, track, untracked,
    },
};
use memscope_tests::{
    Columns, alone, block_on, conserved, keep_wanted_panics_quiet, panics, poll, row, wait_once,
    workers,
};
use tracing::{
    Dispatch, Instrument as _, Span, dispatcher, info_span, instrument, span::EnteredSpan,
};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, filter_fn},
    layer::SubscriberExt as _,
    reload,
};

use crate::ALLOCATOR;

mod interleavings;

/// Runs `work` under a subscriber with the layer, with what `tracing` sets up by itself done
/// before.
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
fn a_span_that_is_never_entered_has_its_begin_and_its_end_among_the_events() {
    let _alone = alone();
    traced(|| {
        let never = info_span!("never_entered");
        let task = one("never_entered").id;
        drop(never);
        let snapshot = conserved(&ALLOCATOR);
        let events = snapshot.events().iter().filter(|event| event.task == task);
        let kinds: Vec<EventKind> = events.map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Spawned, EventKind::Completed]);
    });
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
            // The law is checked outside: what that allocates would be the span's.
            let snapshot = get_memory_snapshot();
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
fn a_span_entered_by_many_threads_at_once_is_one_row_to_the_byte() {
    const THREADS: usize = 8;
    const ROUNDS: u64 = 500;
    let _alone = alone();
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    let span = with(dispatch.clone(), || info_span!("crowded"));
    let all_in = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (dispatch, span, all_in) = (dispatch.clone(), span.clone(), Arc::clone(&all_in));
            std::thread::spawn(move || {
                with(dispatch, || {
                    all_in.wait();
                    for _ in 0..ROUNDS {
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
    let live = held.iter().map(|held| held.len() as u64).sum::<u64>();
    let allocated = live + THREADS as u64 * ROUNDS * (1..50).sum::<u64>();
    let truth = Columns {
        state: TaskState::Idle,
        poll_count: 8 * (ROUNDS + 1),
        live_bytes: live,
        live_blocks: 8,
        // They were held at one time, with nothing else.
        peak_bytes: live,
        allocated_bytes: allocated,
        allocation_count: 8 * (ROUNDS * 49 + 1),
        freed_bytes: allocated - live,
        freed_elsewhere_bytes: 0,
    };
    assert_eq!(Columns::of(&one("crowded")), truth);
    drop(span);
    assert_eq!(Columns::of(&one("crowded")), Columns { state: TaskState::Completed, ..truth });
    let crowded = site("crowded");
    assert_eq!((crowded.spawned, crowded.completed, crowded.active), (1, 1, 0));
    assert_eq!((crowded.peak_bytes, crowded.peak_sum_bytes), (live, live));
    drop(held);
    assert_eq!(site("crowded").live_bytes, 0);
}

type Deed = Box<dyn FnOnce(&mut Vec<Vec<u8>>) + Send>;

/// What a [`Hand`] is told: a deed, or `None` to go; done when nothing is there.
type Told = Arc<(Mutex<Option<Option<Deed>>>, Condvar)>;

/// A thread that does what it is told, step by step, and allocates nothing else.
struct Hand {
    told: Told,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Hand {
    fn new(dispatch: &Dispatch) -> Self {
        let told: Told = Arc::default();
        let (dispatch, hears) = (dispatch.clone(), Arc::clone(&told));
        let thread = std::thread::spawn(move || {
            with(dispatch, || {
                let (step, changed) = &*hears;
                let mut held = Vec::with_capacity(64);
                loop {
                    let there = step.lock().expect("no panic");
                    let mut there =
                        changed.wait_while(there, |step| step.is_none()).expect("no panic");
                    if let Some(Some(deed)) = there.take() {
                        deed(&mut held);
                        changed.notify_all();
                    } else {
                        return changed.notify_all();
                    }
                }
            });
        });
        Self { told, thread: Some(thread) }
    }

    fn is_told(&self, deed: Option<Deed>) {
        let (step, changed) = &*self.told;
        *step.lock().expect("no panic") = Some(deed);
        changed.notify_all();
        drop(changed.wait_while(step.lock().expect("no panic"), |step| step.is_some()));
    }

    fn does(&self, deed: impl FnOnce(&mut Vec<Vec<u8>>) + Send + 'static) {
        self.is_told(Some(Box::new(deed)));
    }

    fn holds(&self, bytes: usize) {
        self.does(move |held| held.push(vec![0u8; bytes]));
    }

    fn frees(&self) {
        self.does(|held| drop(held.pop()));
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.is_told(None);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

#[test]
fn the_peak_of_a_span_is_what_all_threads_in_it_held_at_one_time() {
    let _alone = alone();
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    let span = with(dispatch.clone(), || info_span!("peak of threads"));
    let id = span.id().expect("enabled");
    let [a, b, c] = [(); 3].map(|()| Hand::new(&dispatch));
    let enter = |hand: &Hand| {
        let (dispatch, id) = (dispatch.clone(), id.clone());
        hand.does(move |_| dispatch.enter(&id));
    };
    let exit = |hand: &Hand| {
        let (dispatch, id) = (dispatch.clone(), id.clone());
        hand.does(move |_| dispatch.exit(&id));
    };
    let sizes = || {
        let row = one("peak of threads");
        (row.live_bytes, row.peak_bytes, row.allocated_bytes)
    };
    // The boxed steps are freed where they run: what they take is freed elsewhere, and never the
    // span's.
    enter(&a);
    a.holds(1_000);
    enter(&b);
    b.holds(20_000);
    assert_eq!(sizes(), (21_000, 21_000, 21_000));
    a.frees();
    assert_eq!(sizes(), (20_000, 21_000, 21_000));
    enter(&c);
    c.holds(900);
    assert_eq!(sizes(), (20_900, 21_000, 21_900), "a guest below the peak");
    a.holds(300);
    assert_eq!(sizes(), (21_200, 21_200, 22_200), "the writer raises it by what guests hold");
    exit(&a);
    assert_eq!(one("peak of threads").state, TaskState::Running, "two are inside");
    a.holds(5_000_000);
    assert_eq!(sizes(), (21_200, 21_200, 22_200), "the writer has left");
    enter(&a);
    a.holds(40_000);
    assert_eq!(sizes(), (61_200, 61_200, 62_200), "and is inside again");
    b.frees();
    c.holds(1_000);
    assert_eq!(sizes(), (42_200, 61_200, 63_200));
    exit(&a);
    exit(&c);
    let seen = one("peak of threads");
    assert_eq!((seen.state, seen.poll_count), (TaskState::Running, 4));
    exit(&b);
    let seen = one("peak of threads");
    assert_eq!((seen.state, seen.freed_elsewhere_bytes), (TaskState::Idle, 0));
    c.frees();
    assert_eq!(one("peak of threads").freed_elsewhere_bytes, 1_000, "by a thread outside");
    drop(span);
    assert_eq!(one("peak of threads").state, TaskState::Completed);
    drop((a, b, c));
    assert_eq!(sizes(), (0, 61_200, 63_200));
}

#[test]
fn a_monitor_sees_what_a_guest_held_in_its_window() {
    let _alone = alone();
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    let span = with(dispatch.clone(), || info_span!("window"));
    let id = span.id().expect("enabled");
    let [writer, guest] = [(); 2].map(|()| Hand::new(&dispatch));
    for hand in [&writer, &guest] {
        let (dispatch, id) = (dispatch.clone(), id.clone());
        hand.does(move |_| dispatch.enter(&id));
    }
    guest.holds(90_000_000);
    guest.frees();
    let mut monitor = AsyncResourceMonitor::new();
    block_on(monitor.start_monitoring()).expect("starts");
    guest.holds(70_000_000);
    guest.frees();
    let metrics = block_on(monitor.stop_monitoring()).expect("stops");
    let peak_mb = 70_000_000.0 / f64::from(1 << 20);
    assert!((metrics.peak_memory_per_task_mb - peak_mb).abs() < 1e-6, "{metrics:?}");
    drop(span);
    drop((writer, guest));
}

#[test]
fn a_call_whose_span_a_blocking_thread_enters_is_one_call() {
    const CALLS: u64 = 1_000;
    let _alone = alone();
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    with(dispatch.clone(), || ());
    let runtime = workers(2);
    let call = |dispatch: Dispatch| async move {
        let held = vec![0u8; 3_000];
        let span = Span::current();
        let work = tokio::task::spawn_blocking(move || {
            dispatcher::with_default(&dispatch, || {
                span.in_scope(|| drop(black_box(vec![0u8; 500])));
            });
        });
        // The caller is in its span while the other thread enters it.
        while !work.is_finished() {
            std::thread::yield_now();
        }
        work.await.expect("no panic");
        held
    };
    let _subscriber = dispatcher::set_default(&dispatch);
    runtime.block_on(async {
        for _ in 0..CALLS {
            drop(call(dispatch.clone()).instrument(info_span!("call")).await);
        }
    });
    drop(runtime);
    let site = site("call");
    assert_eq!((site.spawned, site.completed, site.live_bytes), (CALLS, CALLS, 0), "{site:?}");
    // Tokio's cell of the work is in it too, and in the first call the thread for it.
    let per_call = site.peak_sum_bytes / CALLS;
    assert!((3_500..5_000).contains(&per_call), "{per_call}: {site:?}");
    assert!((per_call..20_000).contains(&site.peak_bytes), "{site:?}");
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
        let get = |name| {
            let [row] = of(&snapshot, name)[..] else { panic!("not one `{name}`\n{snapshot:#}") };
            (row.live_bytes, row.peak_bytes, row.poll_count)
        };
        let own = 600_000 + 8 * size_of::<Vec<u8>>() as u64;
        assert_eq!(row(&snapshot, id).live_bytes, own);
        // `a` was left once while it was entered twice: it is one row all the same.
        assert_eq!(get("order a"), (54_301, 54_301, 2));
        assert_eq!(get("order b"), (20, 20, 1));
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

/// What is allocated where no task and no span is, after `leave` has left a span inside something.
#[track_caller]
fn nothing_is_current_after(name: &str, leave: impl FnOnce(EnteredSpan)) {
    traced(|| {
        let entered = info_span!("left inside", form = name).entered();
        leave(entered);
        assert_eq!(current_task_id(), None, "{name}");
        let kept: Vec<Vec<u8>> = (0..10).map(|_| vec![1u8; 1_000]).collect();
        let snapshot = conserved(&ALLOCATOR);
        assert_eq!(of(&snapshot, "left inside").last().expect("a row").state, TaskState::Completed);
        drop(kept);
        // Records that are used again: by one task after another, and by many at once.
        for size in 1..20 {
            drop(poll(&mut Box::pin(track(async move { vec![1u8; size] }))));
        }
        let others: Vec<_> = (0..100_usize)
            .map(|size| {
                let mut task = Box::pin(track(async move {
                    let held = vec![1u8; size];
                    pending::<()>().await;
                    drop(held);
                }));
                assert!(poll(&mut task).is_pending());
                task
            })
            .collect();
        let own: Vec<Vec<u8>> = (0..100).map(|number| vec![1u8; number * 10]).collect();
        drop(others);
        drop(own);
        let snapshot = conserved(&ALLOCATOR);
        let sites: u64 = snapshot.sites().iter().map(|site| site.live_bytes).sum();
        assert_eq!(snapshot.process().tracked_bytes, sites, "{name}");
        assert!(sites < 1 << 30, "{name}");
    });
}

#[test]
fn a_span_that_is_left_inside_what_began_after_it_is_over_for_good() {
    let _alone = alone();
    nothing_is_current_after("untracked", |entered| untracked(|| drop(entered)));
    nothing_is_current_after("shared", |entered| shared("left inside", || drop(entered)));
    nothing_is_current_after("a poll", |entered| {
        let _ = poll(&mut Box::pin(track(async move { drop(entered) })));
    });
    nothing_is_current_after("a scoped future", |entered| {
        let _ = poll(&mut Box::pin(async move { drop(entered) }.untracked()));
    });
    nothing_is_current_after("a future that is dropped", |entered| {
        let mut task = Box::pin(track(async move {
            let _entered = entered;
            pending::<()>().await;
        }));
        assert!(poll(&mut task).is_pending());
    });
    nothing_is_current_after("a scope of a scope", |entered| {
        shared("left inside", || untracked(|| untracked(|| drop(entered))));
    });
    nothing_is_current_after("a nested runtime", |entered| {
        let mut task = Box::pin(track(async move {
            std::thread::yield_now();
            block_on(track(async move {
                wait_once().await;
                drop(entered);
            }));
        }));
        assert!(poll(&mut task).is_ready());
    });
    keep_wanted_panics_quiet();
    nothing_is_current_after("a panic", |entered| {
        panics(|| {
            untracked(|| {
                let _entered = entered;
                panic!("wanted: leaves the span");
            });
        });
    });
    nothing_is_current_after("two spans, the outer one first", |entered| {
        let inner = info_span!("left inside").entered();
        untracked(|| {
            drop(entered);
            shared("left inside", || drop(inner));
        });
    });
    nothing_is_current_after("a scope that it is carried out of", |entered| {
        let carried = shared("left inside", || (entered, info_span!("left inside").entered()));
        drop(carried);
    });
}

#[test]
fn what_is_under_a_span_that_was_left_is_charged_before_and_after_the_scope_ends() {
    traced(|| {
        let mut task = pin!(track(async {
            let span = info_span!("left early").entered();
            let first = vec![0u8; 1_000];
            let (second, third) = untracked(|| {
                let second = vec![0u8; 20_000];
                drop(span);
                assert_eq!(one("left early").state, TaskState::Completed, "at once");
                (second, vec![0u8; 300_000])
            });
            let own = vec![0u8; 7];
            wait_once().await;
            drop((first, second, third, own));
        }));
        let id = task.id().expect("an id");
        assert!(poll(&mut task).is_pending());
        assert_eq!(row(&conserved(&ALLOCATOR), id).live_bytes, 7);
        assert_eq!(one("left early").live_bytes, 1_000);
        assert!(poll(&mut task).is_ready());
    });
}

#[test]
fn a_span_that_a_poll_enters_and_keeps_is_not_entered_outside_of_it() {
    traced(|| {
        let mut task = pin!(track(async {
            let _entered = info_span!("kept").entered();
            let first = vec![0u8; 1_000];
            wait_once().await;
            let second = vec![0u8; 20_000];
            wait_once().await;
            drop((first, second));
        }));
        let id = task.id().expect("an id");
        assert!(poll(&mut task).is_pending());
        assert_eq!(current_task_id(), None);
        assert_eq!((one("kept").state, one("kept").live_bytes), (TaskState::Idle, 1_000));
        assert!(poll(&mut task).is_pending());
        assert_eq!(
            row(&conserved(&ALLOCATOR), id).live_bytes,
            20_000,
            "the next poll is the task's"
        );
        assert!(poll(&mut task).is_ready());
        assert_eq!((one("kept").state, one("kept").live_bytes), (TaskState::Completed, 0));
        // Guards that are never dropped do not pile up either.
        let forgotten = info_span!("forgotten");
        for _ in 0..1_000 {
            let _ = poll(&mut pin!(track(async { std::mem::forget(forgotten.enter()) })));
        }
        assert_eq!((one("forgotten").state, one("forgotten").poll_count), (TaskState::Idle, 1_000));
        std::mem::forget(forgotten);
    });
}

/// Leaves a span in its destructor.
struct Leaves(Dispatch, tracing::span::Id);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.exit(&self.1);
    }
}

#[test]
fn a_span_that_is_left_while_a_task_is_being_spawned_is_over_for_good() {
    let _alone = alone();
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    with(dispatch.clone(), || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let handle = runtime.handle().clone();
        drop(runtime);
        // Tokio drops the future of a runtime that is over, inside of `spawn`.
        let _inside = handle.enter();
        let span = info_span!("spawner");
        dispatch.enter(&span.id().expect("enabled"));
        let leaves = Leaves(dispatch.clone(), span.id().expect("enabled"));
        let work = async move {
            let _leaves = leaves;
            pending::<()>().await;
        };
        let task = track(work).named("spawned too late").spawn();
        assert_eq!(current_task_id(), None);
        drop((task, span));
        assert_eq!(one("spawner").state, TaskState::Completed);
        assert_eq!(one("spawned too late").state, TaskState::Cancelled);
        let own = vec![0u8; 10_000];
        for size in 1..20 {
            drop(poll(&mut Box::pin(track(async move { vec![1u8; size] }))));
        }
        drop(own);
        assert_eq!(site("spawner").live_bytes, 0);
    });
}

/// Does something while its thread's destructors run.
struct AtTheEnd(Box<dyn FnMut() + Send>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        (self.0)();
    }
}

thread_local! {
    static AT_THE_END: std::cell::RefCell<Option<AtTheEnd>> =
        const { std::cell::RefCell::new(None) };
}

#[test]
fn spans_and_scopes_in_a_threads_destructors_end_as_elsewhere() {
    let _alone = alone();
    let dispatch: Dispatch = Registry::default().with(MemoryLayer::new()).into();
    let span = with(dispatch.clone(), || info_span!("at the end"));
    let id = span.id().expect("enabled");
    let (sender, receiver) = mpsc::channel();
    // The thread is known before its destructor is registered, after that, or not at all.
    for known in [-1, 1, 0] {
        let (dispatch, id, sender) = (dispatch.clone(), id.clone(), sender.clone());
        // Everything that the destructor uses is made here.
        let work = AtTheEnd(Box::new(move || {
            dispatch.enter(&id);
            let mut task = pin!(
                track(async {
                    let own = vec![0u8; 1_000];
                    dispatch.exit(&id);
                    let not_own = untracked(|| vec![0u8; 20_000]);
                    let more = vec![0u8; 300];
                    wait_once().await;
                    drop((own, not_own, more));
                })
                .named("at the end of a thread")
            );
            assert!(poll(&mut task).is_pending());
            let row = row(&conserved(&ALLOCATOR), task.id().expect("an id")).clone();
            assert_eq!(current_task_id(), None);
            sender.send(row.live_bytes).expect("received");
        }));
        std::thread::spawn(move || {
            if known == -1 {
                drop(black_box(vec![0u8; 10]));
            }
            AT_THE_END.with(|end| *end.borrow_mut() = Some(work));
            if known == 1 {
                drop(black_box(vec![0u8; 10]));
            }
        })
        .join()
        .expect("no panic");
        assert_eq!(receiver.recv(), Ok(1_300));
    }
    assert_eq!((one("at the end").state, one("at the end").poll_count), (TaskState::Idle, 3));
    drop(span);
    assert_eq!(one("at the end").state, TaskState::Completed);
}
