//! Tracked streams are tasks like futures. Their items are counted, and their bytes to the byte.

#![expect(clippy::useless_vec, reason = "blocks on the heap are what is tested")]

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
};

use futures::{
    FutureExt, SinkExt, Stream, StreamExt, TryStreamExt,
    channel::mpsc,
    executor::block_on,
    stream::{self, FusedStream},
};
use memscope_rs::async_memory::{
    Items, MemorySnapshot, TaskId, TaskState, TaskType, TrackStream, TrackedStream,
    current_task_id, track,
};
use memscope_tests::{Columns, alone, conserved, cost_of_a_panic, panics, row, wait_once, workers};

use crate::ALLOCATOR;

fn id_of<S>(stream: &TrackedStream<S>) -> TaskId {
    stream.id().expect("an id")
}

fn next<S: Stream + Unpin>(stream: &mut S) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn items(id: TaskId) -> Items {
    row(&conserved(&ALLOCATOR), id).items.expect("a stream")
}

/// Blocks of these sizes.
fn blocks(sizes: &[usize]) -> impl Stream<Item = Vec<u8>> + Unpin {
    stream::iter(sizes).map(|size| vec![1u8; *size])
}

#[test]
fn items_are_counted_with_what_their_polls_allocated() {
    let mut blocks = blocks(&[1_000, 50, 3_000]).tracked();
    let id = id_of(&blocks);
    assert_eq!(items(id), Items::default());
    let mut kept = Vec::new();
    for (count, sum) in [(1, 1_000), (2, 1_050), (3, 4_050)] {
        let Poll::Ready(Some(block)) = next(&mut blocks) else { panic!("an item") };
        kept.push(block);
        let truth = Items {
            count,
            allocated_bytes: sum,
            largest_bytes: if count == 3 { 3_000 } else { 1_000 },
            net_bytes: sum.cast_signed(),
        };
        assert_eq!(items(id), truth);
        let columns = Columns::now(&ALLOCATOR, id);
        assert_eq!((columns.state, columns.live_bytes), (TaskState::Idle, sum));
    }
    assert_eq!(next(&mut blocks), Poll::Ready(None));
    let truth = Columns {
        state: TaskState::Completed,
        poll_count: 4,
        live_bytes: 4_050,
        live_blocks: 3,
        peak_bytes: 4_050,
        allocated_bytes: 4_050,
        allocation_count: 3,
        ..Columns::nothing(TaskState::Completed, 4)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), truth, "the end is no item");
    drop(kept);
    drop(blocks);
    let truth = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 4_050,
        freed_elsewhere_bytes: 4_050,
        ..truth
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), truth);
    let left = items(id);
    assert_eq!((left.count, left.allocated_bytes, left.net_bytes), (3, 4_050, 4_050));
    assert!((left.mean_bytes() - 1_350.0).abs() < f64::EPSILON);
}

#[test]
fn what_is_freed_again_and_what_pending_polls_do_is_not_the_items() {
    // Pending first, which allocates 10,000; then an item of 100 in a poll that also frees those;
    // then one from the buffer of 500.
    let mut step = 0;
    let mut buffer: Vec<Vec<u8>> = Vec::with_capacity(4);
    let mut stream = stream::poll_fn(move |_| {
        step += 1;
        match step {
            1 => {
                buffer.push(vec![0u8; 10_000]);
                Poll::Pending
            }
            2 => {
                buffer.clear();
                buffer.push(vec![0u8; 500]);
                drop(vec![0u8; 70]);
                Poll::Ready(Some(vec![0u8; 100]))
            }
            3 => Poll::Ready(buffer.pop()),
            _ => Poll::Ready(None),
        }
    })
    .tracked();
    let id = id_of(&stream);
    assert!(next(&mut stream).is_pending());
    assert_eq!(items(id), Items::default());
    let Poll::Ready(Some(first)) = next(&mut stream) else { panic!("an item") };
    let truth =
        Items { count: 1, allocated_bytes: 670, largest_bytes: 670, net_bytes: 600 - 10_000 };
    assert_eq!(items(id), truth);
    let Poll::Ready(Some(second)) = next(&mut stream) else { panic!("an item") };
    assert_eq!(items(id), Items { count: 2, ..truth }, "the second was made before");
    assert_eq!((first.len(), second.len()), (100, 500));
    assert_eq!(Columns::now(&ALLOCATOR, id).allocated_bytes, 10_670);
}

#[test]
fn dropped_before_its_end_it_is_cancelled_and_frees_as_the_owner() {
    let mut held = Vec::new();
    let mut stream = stream::repeat_with(move || held.push(vec![0u8; 100])).tracked();
    let id = id_of(&stream);
    let never = blocks(&[1]).tracked();
    let never_id = id_of(&never);
    assert!(next(&mut stream).is_ready());
    assert!(next(&mut stream).is_ready());
    drop((stream, never));
    let columns = Columns::now(&ALLOCATOR, id);
    assert_eq!((columns.state, columns.poll_count), (TaskState::Cancelled, 2));
    assert_eq!((columns.live_bytes, columns.freed_elsewhere_bytes), (0, 0));
    assert_eq!(items(id).count, 2);
    assert_eq!(Columns::now(&ALLOCATOR, never_id), Columns::nothing(TaskState::Cancelled, 0));
    assert_eq!(items(never_id), Items::default());
}

#[test]
fn a_panic_ends_it_and_is_no_item() {
    let panic = cost_of_a_panic(|| panic!("wanted: in a stream"));
    let mut polls = 0;
    let mut stream = stream::poll_fn(move |_| -> Poll<Option<u8>> {
        polls += 1;
        assert!(polls == 1, "wanted: in a stream");
        Poll::Ready(Some(1))
    })
    .tracked();
    let id = id_of(&stream);
    assert_eq!(next(&mut stream), Poll::Ready(Some(1)));
    assert_eq!(panics(|| next(&mut stream)), "wanted: in a stream");
    assert_eq!(current_task_id(), None);
    drop(stream);
    let columns = Columns::now(&ALLOCATOR, id);
    assert_eq!((columns.state, columns.poll_count), (TaskState::Panicked, 2));
    assert_eq!(columns.allocated_bytes, panic.allocated_bytes);
    assert_eq!(items(id), Items { count: 1, ..Items::default() });
}

#[test]
fn its_row_says_where_and_what_it_is() {
    let line = line!() + 1;
    let plain = blocks(&[1]).tracked();
    let named = blocks(&[1]).tracked().named("events").task_type(TaskType::NetworkIntensive);
    let snapshot = conserved(&ALLOCATOR);
    let row_of = |stream| row(&snapshot, stream);
    let (plain_row, named_row) = (row_of(id_of(&plain)), row_of(id_of(&named)));
    assert_eq!((plain_row.line, plain_row.task_type), (line, TaskType::Streaming));
    assert!(plain_row.file.ends_with("streams.rs"));
    assert_eq!(
        (named_row.name.as_str(), named_row.task_type),
        ("events", TaskType::NetworkIntensive)
    );
    assert_eq!(named_row.future_size_bytes, size_of_val(&blocks(&[1])) as u64);
    assert_eq!(format!("{named:?}"), format!("TrackedStream {{ id: {:?}, .. }}", named.id()));
}

#[test]
fn it_tells_what_the_stream_in_it_tells() {
    let mut three = stream::iter([1, 2, 3]).fuse().tracked();
    assert_eq!(three.size_hint(), (3, Some(3)));
    assert!(!three.is_terminated());
    assert_eq!(block_on(three.by_ref().collect::<Vec<_>>()), [1, 2, 3]);
    assert!(three.is_terminated());
    assert_eq!(three.size_hint(), (0, Some(0)));
    assert_eq!(block_on(three.next()), None, "polled again, it answers again");
    let columns = Columns::now(&ALLOCATOR, id_of(&three));
    assert_eq!((columns.state, columns.poll_count), (TaskState::Completed, 5));
}

fn is_send<T: Send + Sync + Unpin>(_: &T) {}

#[test]
fn it_is_send_as_the_stream_in_it_is() {
    is_send(&stream::iter([1]).tracked());
    let local = std::rc::Rc::new(5);
    assert_eq!(block_on(stream::iter([local]).tracked().count()), 1);
}

#[test]
fn streams_and_futures_nest_and_each_has_its_own_bytes() {
    let outer = track(async {
        let inner = blocks(&[1_000; 5]).tracked();
        let inner_id = id_of(&inner);
        let middle = pin!(
            inner
                .then(|block| {
                    track(async move {
                        let held = vec![0u8; 200];
                        wait_once().await;
                        (current_task_id().expect("a task"), block.len() + held.len())
                    })
                })
                .tracked()
        );
        let middle_id = id_of(&middle);
        let parts: Vec<(TaskId, usize)> = middle.collect().await;
        (current_task_id().expect("a task"), middle_id, inner_id, parts)
    });
    let (outer, middle, inner, parts) = block_on(outer);
    let snapshot = conserved(&ALLOCATOR);
    let of = |id| (row(&snapshot, id).parent, row(&snapshot, id).allocated_bytes);
    assert_eq!(of(middle), (Some(outer), 0));
    assert_eq!(of(inner), (Some(middle), 5_000));
    assert_eq!(row(&snapshot, middle).items, Some(Items { count: 5, ..Items::default() }));
    assert_eq!(row(&snapshot, inner).items.expect("a stream").count, 5);
    for (part, _) in &parts {
        assert_eq!(of(*part), (Some(middle), 200));
        assert_eq!(row(&snapshot, *part).items, None, "a future");
    }
}

fn site_of(snapshot: &MemorySnapshot, name: &str) -> Items {
    let site = snapshot.sites().iter().find(|site| site.name == name).expect("a row");
    site.items.expect("of streams")
}

#[test]
fn a_site_sums_up_the_living_and_the_ended() {
    let _alone = alone();
    let make = |sizes: &'static [usize]| blocks(sizes).tracked().named("summed");
    block_on(make(&[10, 20]).for_each(async |_| ()));
    block_on(make(&[1_000]).for_each(async |_| ()));
    let mut living = make(&[400, 500]);
    let block = next(&mut living);
    let truth = Items { count: 4, allocated_bytes: 1_430, largest_bytes: 1_000, net_bytes: 1_430 };
    assert_eq!(site_of(&conserved(&ALLOCATOR), "summed"), truth);
    drop(living);
    assert_eq!(site_of(&conserved(&ALLOCATOR), "summed"), truth);
    drop(block);
}

/// A record and a row of the history serve one task after another: what is no stream has no items.
#[test]
fn a_task_that_takes_the_place_of_a_stream_has_no_items() {
    let _alone = alone();
    for _ in 0..3_000 {
        let stream = blocks(&[10]).tracked().named("short");
        let id = id_of(&stream);
        block_on(stream.for_each(async |_| ()));
        let task = track(async {});
        let task_id = task.id().expect("an id");
        block_on(task);
        if id.as_u64().is_multiple_of(97) {
            let snapshot = conserved(&ALLOCATOR);
            assert_eq!(row(&snapshot, id).items.expect("a stream").count, 1);
            assert_eq!(row(&snapshot, task_id).items, None);
        }
    }
    assert_eq!(site_of(&conserved(&ALLOCATOR), "short").count, 3_000);
}

#[test]
fn items_are_shown_where_there_are_some_and_go_through_serde() {
    let _alone = alone();
    let mut stream = blocks(&[2_048; 7]).tracked().named("shown");
    let id = id_of(&stream);
    block_on(stream.by_ref().for_each(async |_| ()));
    let snapshot = conserved(&ALLOCATOR);
    for text in [format!("{snapshot}"), format!("{snapshot:#}")] {
        assert_eq!(text.matches("PER ITEM").count(), 2, "{text}");
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("shown")).collect();
        assert!(lines.iter().filter(|line| line.ends_with("7   2.0 KiB")).count() >= 2, "{text}");
    }
    let json = serde_json::to_value(&snapshot).expect("JSON");
    let read: MemorySnapshot = serde_json::from_value(json.clone()).expect("a snapshot");
    assert_eq!(read.task(id), snapshot.task(id));
    assert_eq!(read.task(id).and_then(|row| row.items).expect("items").count, 7);
    // As it was written before there were items.
    let mut old = json;
    for rows in ["tasks", "sites"] {
        for row in old[rows].as_array_mut().expect("rows") {
            row.as_object_mut().expect("a row").remove("items");
        }
    }
    let old: MemorySnapshot = serde_json::from_value(old).expect("a snapshot");
    assert!(old.tasks().iter().all(|row| row.items.is_none()));
    assert!(!old.to_string().contains("ITEM"), "{old}");
}

/// Pipelines on four threads: what each stage's items took, against what was sent.
#[test]
fn pipelines_on_several_threads_count_every_item() {
    static SENT: AtomicU64 = AtomicU64::new(0);
    let _alone = alone();
    let runtime = workers(4);
    let pipelines: Vec<_> = (0..16_usize)
        .map(|seed| {
            let (mut sender, receiver) = mpsc::channel::<usize>(3);
            runtime.spawn(async move {
                for number in 0..200 {
                    let size = 1 + (seed * 977 + number * 131) % 2_000;
                    SENT.fetch_add(size as u64, Ordering::Relaxed);
                    sender.send(size).await.expect("received");
                }
            });
            let blocks = receiver.map(|size| vec![0u8; size]).tracked().named("pipeline");
            let id = id_of(&blocks);
            let handle = runtime.spawn(
                blocks
                    .map(Ok::<_, ()>)
                    .try_fold(0, |sum, block| async move { Ok(sum + block.len()) }),
            );
            (id, handle)
        })
        .collect();
    let mut all = 0;
    for (id, handle) in pipelines {
        let bytes = runtime.block_on(handle).expect("no panic").expect("no error");
        let items = items(id);
        assert_eq!((items.count, items.allocated_bytes), (200, bytes as u64));
        all += bytes as u64;
    }
    assert_eq!(all, SENT.load(Ordering::Relaxed));
    let site = site_of(&conserved(&ALLOCATOR), "pipeline");
    assert_eq!((site.count, site.allocated_bytes), (3_200, all));
}

#[test]
fn select_polls_streams_as_themselves() {
    let mut merged = stream::select(blocks(&[100; 4]).tracked(), blocks(&[30; 4]).tracked());
    let ids = {
        let (a, b) = merged.get_ref();
        [id_of(a), id_of(b)]
    };
    block_on(poll_fn(|context| merged.poll_next_unpin(context)).map(drop));
    let sum = block_on(merged.fold(0, async |sum, block| sum + block.len()));
    assert!(sum == 4 * 130 - 100 || sum == 4 * 130 - 30);
    assert_eq!(ids.map(|id| items(id).allocated_bytes), [400, 120]);
}
