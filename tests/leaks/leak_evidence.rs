//! The evidence of a finding, to the task and the byte: the tasks that left bytes behind and when,
//! the task that frees another's blocks, what a task's cell and the threads hold, and how the bytes
//! changed from snapshot to snapshot.

use std::{
    collections::HashMap,
    sync::mpsc,
    time::{Duration, Instant},
};

use memscope_rs::async_memory::{
    HandOver, MemorySnapshot, Place, SiteProfile, TaskState, spawn_tracked, track,
};
use memscope_tests::{
    alone, block_on, conserved, conserved_when, poll, record_bytes, row, settled_record_bytes,
    wait_once, workers,
};

memscope_tests::install!();

fn site(snapshot: &MemorySnapshot, name: &str) -> SiteProfile {
    snapshot.sites_named(name).next().unwrap_or_else(|| panic!("no {name}\n{snapshot}")).clone()
}

/// A future that gives out this many bytes at its first poll.
fn leaves(bytes: usize) -> impl Future<Output = Vec<u8>> {
    std::future::poll_fn(move |_| std::task::Poll::Ready(vec![1; bytes]))
}

#[test]
fn tasks_that_follow_one_another_are_waves_and_those_side_by_side_are_one() {
    let _alone = alone();
    block_on(async {
        let mut kept = Vec::new();
        for _ in 0..24 {
            kept.push(track(leaves(100)).named("sequence").await);
        }
        let seen = site(&conserved(&ALLOCATOR), "sequence");
        assert_eq!((seen.retained_tasks, seen.retained_waves), (24, 24));
        assert_eq!((seen.retained_by_eighth, seen.retained_bytes), ([3; 8], 2_400));
        let oldest = seen.oldest_retained_ns.expect("timed");
        // The first six go: what is left is younger, and in the later eighths.
        kept.drain(..6);
        let seen = site(&conserved(&ALLOCATOR), "sequence");
        assert_eq!((seen.retained_tasks, seen.retained_waves), (18, 18));
        assert_eq!(seen.retained_by_eighth, [0, 0, 3, 3, 3, 3, 3, 3]);
        std::thread::sleep(Duration::from_millis(2));
        let later = site(&conserved(&ALLOCATOR), "sequence").oldest_retained_ns.expect("timed");
        assert!(later > seen.oldest_retained_ns.expect("timed") && oldest > 0);
        kept.clear();
        let seen = site(&conserved(&ALLOCATOR), "sequence");
        assert_eq!(
            (seen.retained_tasks, seen.retained_waves, seen.oldest_retained_ns),
            (0, 0, None)
        );

        let side_by_side: Vec<_> =
            (0..24).map(|_| track(leaves(100)).named("side by side")).collect();
        let kept = futures::future::join_all(side_by_side).await;
        let seen = site(&conserved(&ALLOCATOR), "side by side");
        assert_eq!((seen.retained_tasks, seen.retained_waves), (24, 1));
        drop(kept);
    });
}

#[test]
fn bytes_of_a_task_whose_handle_is_held_are_unjoined_until_it_is_joined() {
    let _alone = alone();
    block_on(async {
        let handle = spawn_tracked(async { vec![1u8; 5_000] });
        tokio::task::yield_now().await;
        let snapshot = conserved_when(&ALLOCATOR, |snapshot| {
            snapshot
                .tasks()
                .iter()
                .any(|task| task.live_bytes > 5_000 && task.state == TaskState::Completed)
        });
        let task = snapshot.tasks().iter().find(|task| task.live_bytes > 5_000).expect("ended");
        let seen = snapshot
            .sites()
            .iter()
            .find(|site| site.file == task.file && site.line == task.line)
            .expect("its site");
        assert_eq!(seen.unjoined_bytes, 5_000 + task.cell_bytes);
        assert_eq!((seen.retained_bytes, seen.retained_tasks), (seen.unjoined_bytes, 0));
        let output = handle.await.expect("no panic");
        let (name, line) = (seen.name.clone(), seen.line);
        let snapshot = conserved(&ALLOCATOR);
        let mut sites = snapshot.sites_named(&name);
        let seen = sites.find(|site| site.line == line).expect("its site");
        assert_eq!((seen.unjoined_bytes, seen.retained_bytes, seen.retained_tasks), (0, 5_000, 1));
        drop(output);
    });
}

#[test]
fn a_cell_is_as_large_as_what_the_spawn_allocated_and_a_large_future_is_boxed() {
    let _alone = alone();
    block_on(async {
        let (small, large) = ([1u8; 100], [1u8; 10_000]);
        let holds_small = async move {
            wait_once().await;
            assert_eq!(small[0], 1);
        };
        let holds_large = async move {
            wait_once().await;
            assert_eq!(large[0], 1);
        };
        let small = track(holds_small).named("small cell");
        let large = track(holds_large).named("large cell");
        let ids = [small.id(), large.id()].map(|id| id.expect("an id"));
        let handles = [small.spawn(), large.spawn()];
        let snapshot = conserved(&ALLOCATOR);
        for id in ids {
            let task = row(&snapshot, id);
            assert_eq!((task.cell_bytes, task.state), (task.live_bytes, TaskState::Idle));
            assert!(task.cell_bytes > task.future_size_bytes, "{task:?}");
        }
        assert_eq!(site(&snapshot, "small cell").boxed_by_tokio, 0);
        assert_eq!(site(&snapshot, "large cell").boxed_by_tokio, 1);
        let runtime = snapshot.runtime();
        let around = |id| row(&snapshot, id).cell_bytes - row(&snapshot, id).future_size_bytes;
        assert_eq!((runtime.cells, runtime.cell_overhead_bytes), (2, ids.map(around).iter().sum()));
        for handle in handles {
            handle.await.expect("no panic");
        }
        assert_eq!(conserved(&ALLOCATOR).runtime().cells, 0);
    });
}

fn by_names(snapshot: &MemorySnapshot) -> HashMap<(&str, &str), (u64, u64)> {
    fn name(place: Option<&Place>) -> &str {
        place.map_or("untracked", |place| &place.name)
    }
    let mut sums = HashMap::new();
    for HandOver { from, to, blocks, bytes } in snapshot.hand_overs() {
        let sum: &mut (u64, u64) =
            sums.entry((name(from.as_ref()), name(to.as_ref()))).or_default();
        *sum = (sum.0 + blocks, sum.1 + bytes);
    }
    sums
}

#[test]
fn every_free_for_another_is_in_the_matrix_of_sites() {
    let _alone = alone();
    let runtime = workers(4);
    let (sender, receiver) = mpsc::channel::<Box<[u8; 64]>>();
    let producers: Vec<_> = (0..8)
        .map(|_| {
            let sender = sender.clone();
            runtime.spawn(
                track(async move {
                    for step in 0..500 {
                        let block = Box::new([0u8; 64]);
                        if step % 5 == 0 {
                            drop(block);
                        } else {
                            sender.send(block).expect("received");
                        }
                        if step % 50 == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                })
                .named("producer"),
            )
        })
        .collect();
    drop(sender);
    for producer in producers {
        runtime.block_on(producer).expect("no panic");
    }
    // 3,200 blocks were sent: 1,000 are freed by a consumer, 2,000 by another, the others outside.
    block_on(async {
        track(async { (0..1_000).for_each(|_| drop(receiver.recv())) })
            .named("first consumer")
            .await;
        track(async { (0..2_000).for_each(|_| drop(receiver.recv())) })
            .named("second consumer")
            .await;
    });
    (0..200).for_each(|_| drop(receiver.recv()));
    drop(runtime);
    let snapshot = conserved(&ALLOCATOR);
    let matrix = by_names(&snapshot);
    // The channel's own blocks, which producers allocate too, are on top; they are larger.
    for (consumer, blocks) in
        [("first consumer", 1_000), ("second consumer", 2_000), ("untracked", 200)]
    {
        let (found, bytes) = matrix[&("producer", consumer)];
        assert!(found >= blocks && found < blocks + blocks / 10 + 10, "{consumer}: {found}");
        assert!(bytes >= 64 * blocks, "{consumer}: {bytes}");
    }
    assert!(!matrix.contains_key(&("first consumer", "producer")), "{matrix:?}");
    // Of each site: all that was freed elsewhere is in its line of the matrix.
    for name in ["producer", "first consumer", "second consumer"] {
        let elsewhere: u64 = snapshot
            .tasks()
            .iter()
            .filter(|task| task.name == name)
            .map(|task| task.freed_elsewhere_bytes)
            .sum();
        let line: u64 =
            matrix.iter().filter(|((from, _), _)| *from == name).map(|(_, (_, bytes))| bytes).sum();
        assert_eq!(line, elsewhere, "{name}");
    }
}

/// A first look does not know how long the task was not polled since then. If the collector has
/// looked before, it is known from that on.
#[track_caller]
fn assert_first_look(idle_ns: Option<u64>, since: Instant) {
    let most = since.elapsed().as_nanos();
    assert!(idle_ns.is_none_or(|idle_ns| u128::from(idle_ns) <= most), "{idle_ns:?} of {most}");
}

#[test]
fn how_long_a_task_was_not_polled_is_known_from_its_polls_or_from_two_looks() {
    let _alone = alone();
    let since = Instant::now();
    let mut rests = Box::pin(track(async {
        wait_once().await;
        wait_once().await;
    }));
    let id = rests.id().expect("an id");
    let idle = || row(&conserved(&ALLOCATOR), id).idle_ns;
    assert_first_look(idle(), since);
    assert!(idle().expect("seen before") > 0);
    assert!(poll(&mut rests).is_pending());
    std::thread::sleep(Duration::from_millis(5));
    assert!(idle().expect("its poll was timed") >= 5_000_000);
    assert!(poll(&mut rests).is_pending());
    assert!(idle().expect("its poll was timed") < 5_000_000_000);
    assert!(poll(&mut rests).is_ready());
    assert_eq!(idle(), None, "ended");

    let mut often = Box::pin(track(async {
        for _ in 0..200 {
            wait_once().await;
        }
    }));
    let id = often.id().expect("an id");
    let since = Instant::now();
    for _ in 0..100 {
        assert!(poll(&mut often).is_pending());
    }
    let idle = || row(&conserved(&ALLOCATOR), id).idle_ns;
    // The hundredth poll was not timed.
    assert_first_look(idle(), since);
    std::thread::sleep(Duration::from_millis(2));
    assert!(idle().expect("not polled since") >= 2_000_000);
    let since = Instant::now();
    assert!(poll(&mut often).is_pending());
    assert_first_look(idle(), since);
}

#[test]
fn trends_follow_the_largest_from_snapshot_to_snapshot_in_a_fixed_space() {
    let _alone = alone();
    let (sender, receiver) = mpsc::channel();
    let mut grows = Box::pin(
        track(async move {
            let mut held = Vec::new();
            while let Ok(bytes) = receiver.recv() {
                held.push(vec![0u8; bytes]);
                wait_once().await;
            }
        })
        .named("grows"),
    );
    let id = grows.id();
    let mut expected = Vec::new();
    for _ in 0..100 {
        sender.send(1_000_usize).expect("received");
        assert!(poll(&mut grows).is_pending());
        let snapshot = conserved(&ALLOCATOR);
        let task = row(&snapshot, id.expect("an id"));
        expected.push((task.live_bytes, task.allocated_bytes));
        let mut trends = snapshot.trends().iter().filter(|trend| trend.task == id);
        let trend = trends.next().expect("the largest task");
        assert_eq!(trend.place.name, "grows");
        assert!(trend.points.len() <= 16 && trend.points.is_sorted_by_key(|point| point.at_ns));
        let points: Vec<(u64, u64)> =
            trend.points.iter().map(|point| (point.live_bytes, point.allocated_bytes)).collect();
        assert_eq!(points.last(), expected.last(), "the last one is this snapshot");
        assert!(points.iter().all(|point| expected.contains(point)), "{points:?}");
        let sites = || snapshot.trends().iter().filter(|trend| trend.task.is_none());
        let site = sites().find(|trend| trend.place.name == "grows").expect("its site");
        assert_eq!(site.points.last().map(|point| point.live_bytes), Some(task.live_bytes));
    }
    // The names of other tests' types may still come.
    let own_bytes = settled_record_bytes(|| conserved(&ALLOCATOR));
    (0..100).for_each(|_| drop(conserved(&ALLOCATOR)));
    assert_eq!(record_bytes(&conserved(&ALLOCATOR)), own_bytes);
    drop(sender);
    drop(grows);
    let snapshot = conserved(&ALLOCATOR);
    assert!(snapshot.trends().iter().all(|trend| trend.task != id), "it is over");
}

#[test]
fn what_worker_threads_hold_outside_tasks_is_the_runtimes() {
    let _alone = alone();
    let runtime = workers(2);
    let (go, wait) = mpsc::channel::<()>();
    let (sender, receiver) = mpsc::channel();
    // On a worker thread: a tracked poll, then a block that the unannotated task keeps.
    runtime.spawn(async move {
        track(async {}).await;
        let held = vec![0u8; 30_000];
        sender.send(()).expect("received");
        wait.recv().ok();
        drop(held);
    });
    receiver.recv().expect("sent");
    let during = conserved(&ALLOCATOR);
    assert!(during.runtime().worker_threads >= 1);
    let plain = during.tasks().iter().find(|task| !task.is_annotated && task.live_bytes >= 30_000);
    assert!(plain.is_some(), "what the plain task holds is its own\n{during}");
    assert!(during.runtime().worker_bytes <= during.process().untracked_bytes);
    drop(go);
    drop(runtime);
    let during = during.runtime().worker_threads;
    conserved_when(&ALLOCATOR, |snapshot| snapshot.runtime().worker_threads < during);
}

#[test]
fn arguments_by_value_are_summed_up_by_the_macro() {
    #[memscope_macros::tracked]
    async fn takes(buffer: [u8; 100], name: &str, (left, right): (u32, u32)) -> usize {
        wait_once().await;
        buffer.len() + name.len() + usize::from(left == right)
    }
    let _alone = alone();
    block_on(async { assert_eq!(takes([0; 100], "name", (1, 2)).await, 104) });
    let snapshot = conserved(&ALLOCATOR);
    let seen = site(&snapshot, "takes");
    assert_eq!(seen.argument_bytes, Some(100 + 16 + 8));
    assert!(seen.future_size_bytes >= 124);
    block_on(track(async {}).named("unknown"));
    assert_eq!(site(&conserved(&ALLOCATOR), "unknown").argument_bytes, None);
}
