//! Events come faster than they are taken: no thread waits, no total is wrong, and dropped events
//! are counted.

use std::{
    pin::pin,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use memscope_rs::{
    async_memory::{EventKind, MemorySnapshot, TaskState, get_memory_snapshot, track},
    builder,
};
use memscope_tests::{alone, conserved, panics, poll, record_bytes, wait_once};

use crate::ALLOCATOR;

fn spawned(snapshot: &MemorySnapshot, name: &str) -> (u64, u64, u64) {
    let sites = snapshot.sites_named(name);
    sites.fold((0, 0, 0), |sums, site| {
        (sums.0 + site.spawned, sums.1 + site.completed, sums.2 + site.allocated_bytes)
    })
}

/// The machine may stop a thread in the middle of a poll: no such poll is long here. And only
/// snapshots drain the rings.
fn no_other_events() {
    builder().long_poll(Duration::MAX).sample_every(Duration::ZERO).init().expect("valid settings");
}

/// A task of two events that allocates 10 bytes.
fn short(name: &str) {
    let mut task = Box::pin(track(async { drop(std::hint::black_box(vec![0u8; 10])) }).named(name));
    assert!(poll(&mut task).is_ready());
}

#[test]
fn rings_full_for_seconds_cost_events_and_nothing_else() {
    const THREADS: usize = 2;
    let _alone = alone();
    no_other_events();
    let before = conserved(&ALLOCATOR);
    let go_on = AtomicBool::new(true);
    // A ring is handed on when its thread ends: none does while the other goes on.
    let all_stopped = Barrier::new(THREADS);
    let (tasks, longest) = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let (mut tasks, mut longest) = (0u64, Duration::ZERO);
                    while go_on.load(Ordering::Relaxed) {
                        let start = Instant::now();
                        (0..100).for_each(|_| short("overload"));
                        longest = longest.max(start.elapsed());
                        tasks += 100;
                    }
                    all_stopped.wait();
                    (tasks, longest)
                })
            })
            .collect();
        thread::sleep(Duration::from_secs(3));
        go_on.store(false, Ordering::Relaxed);
        let ended = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        ended.fold((0, Duration::ZERO), |all, (tasks, longest)| (all.0 + tasks, all.1.max(longest)))
    });
    let after = conserved(&ALLOCATOR);
    assert_eq!(spawned(&after, "overload"), (tasks, tasks, 10 * tasks));
    assert!(longest < Duration::from_secs(1), "a hundred tasks took {longest:?}");
    // No thread took any away meanwhile: each ring was full from its first milliseconds on.
    let (seen, dropped) = (
        after.tool().ring_events - before.tool().ring_events,
        after.tool().ring_events_dropped - before.tool().ring_events_dropped,
    );
    assert_eq!(seen + dropped, 2 * tasks, "what was seen and what was dropped is all there was");
    let full = THREADS as u64 * 2_048;
    assert!((full..=2 * full).contains(&seen), "{seen}");
    assert!(dropped > 0 && after.to_string().contains("events dropped"), "{after}");
    // The row of an ended task is missing only where the system stopped a thread in the middle of
    // writing it, and the other thread came round to it meanwhile.
    let missing = after.tool().events_dropped - before.tool().events_dropped;
    assert!(missing <= 10, "{missing} rows of {tasks} are missing");
    assert!(after.events().len() <= 512 + 2 * 64);
    // A ring that was drained takes events again.
    (0..100).for_each(|_| short("afterwards"));
    let last = conserved(&ALLOCATOR);
    assert_eq!(last.tool().ring_events - after.tool().ring_events, 200);
    assert_eq!(last.tool().ring_events_dropped, after.tool().ring_events_dropped);
}

#[test]
fn events_name_their_tasks_and_stand_in_order() {
    let _alone = alone();
    no_other_events();
    let mut completes = Box::pin(
        track(async {
            wait_once().await;
            drop(std::hint::black_box(vec![0u8; 3 << 20]));
        })
        .named("completes"),
    );
    let mut is_dropped = Box::pin(track(wait_once()).named("is dropped"));
    let mut panicking = Box::pin(
        track(async {
            panic!("wanted: by the test");
        })
        .named("panics"),
    );
    let never = track(async {}).named("never polled");
    let ids = [completes.id(), is_dropped.id(), panicking.id(), never.id()];
    assert!(poll(&mut completes).is_pending() && poll(&mut is_dropped).is_pending());
    panics(|| poll(&mut panicking));
    drop((is_dropped, never));
    assert!(poll(&mut completes).is_ready());
    let snapshot = conserved(&ALLOCATOR);
    let of = |task| -> Vec<EventKind> {
        snapshot
            .events()
            .iter()
            .filter(|event| Some(event.task) == task)
            .map(|event| event.kind)
            .collect()
    };
    assert_eq!(of(ids[0]), [EventKind::Spawned, EventKind::LargeBlock, EventKind::Completed]);
    assert_eq!(of(ids[1]), [EventKind::Spawned, EventKind::Cancelled]);
    assert_eq!(of(ids[2]), [EventKind::Spawned, EventKind::Panicked]);
    assert_eq!(of(ids[3]), [EventKind::Spawned, EventKind::Cancelled]);
    assert!(snapshot.events().is_sorted_by_key(|event| event.at_ns));
    let large = snapshot.events().iter().find(|event| event.kind == EventKind::LargeBlock);
    let large = large.expect("the large block");
    assert_eq!((large.bytes, large.took_ns), (Some(3 << 20), None));
    let place = large.place.as_ref().expect("a site");
    assert!(place.name == "completes" && place.file.ends_with("overload.rs"), "{place:?}");
    let end = snapshot.events().iter().rfind(|event| Some(event.task) == ids[0]).expect("its end");
    assert!(end.took_ns.is_some(), "it was timed: {end:?}");
    let row = snapshot.task(ids[0].expect("an id")).expect("its row");
    assert_eq!((row.state, row.scheduled_ns), (TaskState::Completed, None));
}

#[test]
fn a_thread_that_never_allocates_outside_of_tasks_loses_none_of_their_events() {
    let _alone = alone();
    no_other_events();
    // The thread of another test may still be on its way to its end.
    let before = loop {
        let before = conserved(&ALLOCATOR);
        if before.runtime().worker_threads == 0 {
            break before;
        }
        thread::yield_now();
    };
    let workers = thread::spawn(|| {
        let mut task = pin!(track(async { drop(std::hint::black_box(vec![0u8; 10])) }));
        assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        get_memory_snapshot().runtime().worker_threads
    });
    let workers = workers.join().expect("no panic");
    let after = conserved(&ALLOCATOR);
    assert_eq!(after.tool().ring_events - before.tool().ring_events, 2);
    assert_eq!(after.tool().ring_events_dropped, before.tool().ring_events_dropped);
    assert_eq!(workers, 1);
}

#[test]
fn long_polls_are_listed_with_their_task() {
    let _alone = alone();
    builder().sample_every(Duration::ZERO).init().expect("the defaults");
    let mut blocks = Box::pin(
        track(async {
            thread::sleep(Duration::from_millis(20));
            wait_once().await;
        })
        .named("blocks its worker"),
    );
    let id = blocks.id();
    assert!(poll(&mut blocks).is_pending());
    thread::sleep(Duration::from_millis(5));
    assert!(poll(&mut blocks).is_ready());
    let snapshot = conserved(&ALLOCATOR);
    let mut long = snapshot.long_polls().filter(|event| Some(event.task) == id);
    let only = long.next().expect("the first poll");
    assert!(only.took_ns >= Some(20_000_000) && long.next().is_none(), "{only:?}");
    assert_eq!(only.place.as_ref().map(|place| place.name.as_str()), Some("blocks its worker"));
    let site = snapshot.sites_named("blocks its worker").next().expect("a row");
    let [idle, life] = [&site.idle_histogram, &site.lifetime_histogram].map(|histogram| {
        assert_eq!(histogram.iter().map(|bucket| bucket.count).sum::<u64>(), 1, "{histogram:?}");
        histogram[0].up_to
    });
    assert!(idle >= 5_000_000 && life >= 25_000_000, "{idle} {life}");
}

#[test]
fn ten_thousand_threads_with_events_leave_a_few_rings_and_lose_only_what_is_counted() {
    const THREADS: u64 = 10_000;
    let _alone = alone();
    no_other_events();
    // The rows of ended tasks are there before it starts.
    (0..5_000).for_each(|_| drop(track(async {})));
    let live = |count: u64| {
        for _ in 0..count / 8 {
            let threads: Vec<_> = (0..8).map(|_| thread::spawn(|| short("of a thread"))).collect();
            for thread in threads {
                thread.join().expect("no panic");
            }
        }
        conserved(&ALLOCATOR)
    };
    let before = live(80);
    let after = live(THREADS);
    let seen = after.tool().ring_events - before.tool().ring_events;
    let dropped = after.tool().ring_events_dropped - before.tool().ring_events_dropped;
    assert_eq!(seen + dropped, 2 * THREADS);
    // A ring is handed on with what is in it. No collector runs here, so of a burst stays what the
    // rings of the threads that lived at one time can hold.
    assert!(seen >= 2_048, "{seen} seen, {dropped} dropped");
    let sums = |snapshot| spawned(snapshot, "of a thread");
    assert_eq!(sums(&after).1 - sums(&before).1, THREADS);
    let grown = record_bytes(&after) - record_bytes(&before);
    assert!(grown <= 8 * (66 << 10), "{grown} bytes");
}
