//! Unannotated tasks of any size are named by their futures, once for each type of future.

use std::{future::Future, pin::Pin, thread};

use futures::FutureExt;
use memscope_rs::async_memory::{
    HandOver, MemorySnapshot, Place, SiteProfile, TaskCells, TaskMemoryProfile, get_memory_snapshot,
};
use memscope_tests::{cells_learned, conserved_when, names_found, workers};
use tokio::sync::{
    broadcast::{Receiver, channel},
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use crate::ALLOCATOR;

async fn holds_little(mut stopped: Receiver<()>) {
    let held = vec![1u8; 200];
    stopped.recv().await.ok();
    drop(held);
}

async fn is_boxed(mut stopped: Receiver<()>) {
    let held = vec![1u8; 300];
    stopped.recv().await.ok();
    drop(held);
}

async fn is_boxed_too(mut stopped: Receiver<()>) {
    let held = vec![1u8; 350];
    stopped.recv().await.ok();
    drop(held);
}

async fn is_mapped(mut stopped: Receiver<()>) -> usize {
    let held = vec![1u8; 400];
    stopped.recv().await.ok();
    held.len()
}

/// Each of these tasks has the address of a trait object's table at another place, as bytes that a
/// future does not use have by chance.
async fn has_a_table_somewhere(place: usize, mut stopped: Receiver<()>) {
    let object: &dyn std::fmt::Debug = &1_u8;
    // SAFETY: such a reference is two addresses: that of the value, and that of its table.
    let [_, table] = unsafe { std::mem::transmute::<&dyn std::fmt::Debug, [usize; 2]>(object) };
    let mut words = [0; 40];
    words[place] = table;
    let held = vec![1u8; 450];
    stopped.recv().await.ok();
    drop(held);
    std::hint::black_box(words);
}

fn blocks(stopped: &std::sync::mpsc::Receiver<()>) {
    let held = vec![1u8; 500];
    stopped.recv().ok();
    drop(held);
}

async fn comes_and_goes() {
    let held = [1u8; 100];
    drop(held.to_vec());
    tokio::task::yield_now().await;
    std::hint::black_box(held);
}

fn named<'s>(snapshot: &'s MemorySnapshot, name: &str) -> Vec<&'s TaskMemoryProfile> {
    snapshot.tasks().iter().filter(|task| !task.is_annotated && task.name == name).collect()
}

fn active(snapshot: &MemorySnapshot, name: &str) -> (usize, u64) {
    let rows: Vec<_> = snapshot.sites_named(name).collect();
    (rows.len(), rows.iter().map(|site| site.active).sum())
}

/// [`conserved_when`], where names have to be looked up before.
fn named_when(is_named: impl Fn(&MemorySnapshot) -> bool) -> MemorySnapshot {
    for _ in 0..1_000 {
        if is_named(&get_memory_snapshot()) {
            break;
        }
        names_found();
        thread::sleep(std::time::Duration::from_millis(5));
    }
    conserved_when(&ALLOCATOR, is_named)
}

#[test]
fn small_tasks_have_the_name_of_their_future() {
    const TYPES: [(&str, u64, u64); 5] = [
        ("unannotated::type_names::holds_little", 20, 200),
        ("unannotated::type_names::is_boxed", 3, 300),
        // The same type of task as the one before.
        ("unannotated::type_names::is_boxed_too", 2, 350),
        ("unannotated::type_names::is_mapped", 2, 400),
        // The closure that was handed to the blocking pool stands there.
        ("unannotated::type_names::small_tasks_have_the_name_of_their_future", 1, 500),
    ];
    cells_learned();
    let runtime = workers(2);
    let (stop, _) = channel::<()>(1);
    let (stop_blocking, stopped) = std::sync::mpsc::channel();
    let mut tasks: Vec<_> =
        (0..20).map(|_| runtime.spawn(holds_little(stop.subscribe()))).collect();
    for _ in 0..3 {
        let boxed: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(is_boxed(stop.subscribe()));
        tasks.push(runtime.spawn(boxed));
    }
    for _ in 0..2 {
        let boxed: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(is_boxed_too(stop.subscribe()));
        tasks.push(runtime.spawn(boxed));
    }
    for _ in 0..2 {
        tasks.push(runtime.spawn(is_mapped(stop.subscribe()).map(drop)));
    }
    tasks.push(runtime.spawn_blocking(move || blocks(&stopped)));
    let is_named = |snapshot: &MemorySnapshot| {
        TYPES.iter().all(|(name, count, _)| active(snapshot, name) == (1, *count))
    };
    let snapshot = named_when(is_named);
    for (name, count, bytes) in TYPES {
        let rows = named(&snapshot, name);
        assert_eq!(rows.len() as u64, count);
        assert!(rows.iter().all(|task| task.live_bytes >= bytes), "{rows:?}");
    }
    let is_odd = |site: &SiteProfile| site.name.contains("Condvar") || site.name == "T";
    assert!(!snapshot.sites().iter().any(is_odd), "{snapshot}");
    assert_eq!(snapshot.tool().task_cells, TaskCells::Learned);
    let unnamed: Vec<_> = named(&snapshot, "(unannotated)");
    // A worker that has not allocated has no row.
    assert!(unnamed.len() as u64 <= snapshot.tool().unnamed_tasks, "{snapshot}");
    let bytes: u64 = unnamed.iter().map(|task| task.live_bytes).sum();
    assert_eq!(bytes, snapshot.tool().unnamed_bytes);

    // Tasks that are gone before their name is there: the type has it in the end.
    for _ in 0..1_000 {
        runtime.block_on(runtime.spawn(comes_and_goes())).expect("no panic");
        if get_memory_snapshot().sites_named("unannotated::type_names::comes_and_goes").count() == 1
        {
            break;
        }
        thread::sleep(std::time::Duration::from_millis(5));
    }
    let before = get_memory_snapshot();
    let row = before
        .sites_named("unannotated::type_names::comes_and_goes")
        .next()
        .expect("a row")
        .spawned;
    for _ in 0..500 {
        runtime.block_on(runtime.spawn(comes_and_goes())).expect("no panic");
    }
    conserved_when(&ALLOCATOR, |snapshot| {
        snapshot.sites_named("unannotated::type_names::comes_and_goes").any(|site| {
            (site.spawned, site.active, site.ended_unknown) == (row + 500, 0, row + 500)
        })
    });

    // Those that came before any stack was taken have the name too.
    let mut came = 0;
    let mut all_are_named = false;
    while !all_are_named && came < 1_000 {
        let first = if came == 0 { 40 } else { 1 };
        for place in (0..40).take(first) {
            tasks.push(runtime.spawn(has_a_table_somewhere(place, stop.subscribe())));
            came += 1;
        }
        thread::sleep(std::time::Duration::from_millis(5));
        names_found();
        let named =
            active(&get_memory_snapshot(), "unannotated::type_names::has_a_table_somewhere");
        all_are_named = named == (1, came);
    }
    assert!(all_are_named, "{}", get_memory_snapshot());

    stop.send(()).expect("received");
    drop(stop_blocking);
    for task in tasks {
        runtime.block_on(task).expect("no panic");
    }
    conserved_when(&ALLOCATOR, |snapshot| {
        TYPES.iter().all(|(name, count, _)| {
            snapshot.sites_named(name).all(|site| (site.spawned, site.active) == (*count, 0))
        })
    });
}

async fn sends(to: UnboundedSender<Vec<u8>>, mut batches: UnboundedReceiver<usize>) {
    while let Some(blocks) = batches.recv().await {
        for _ in 0..blocks {
            to.send(vec![1; 5_000]).expect("received");
        }
    }
}

/// Allocates nothing itself.
async fn only_frees(mut queue: UnboundedReceiver<Vec<u8>>) {
    while queue.recv().await.is_some() {}
}

#[test]
fn a_task_that_only_frees_is_named_beside_what_it_frees() {
    const SENDS: &str = "unannotated::type_names::sends";
    const ONLY_FREES: &str = "unannotated::type_names::only_frees";
    cells_learned();
    let runtime = workers(2);
    let (sender, queue) = unbounded_channel();
    let (batches, wanted) = unbounded_channel();
    runtime.spawn(sends(sender, wanted));
    runtime.spawn(only_frees(queue));
    let is = |place: &Option<Place>, name| place.as_ref().is_some_and(|it| it.name == name);
    let freed = |snapshot: &MemorySnapshot| -> u64 {
        let of_both = |row: &&HandOver| is(&row.from, SENDS) && is(&row.to, ONLY_FREES);
        snapshot.hand_overs().iter().filter(of_both).map(|row| row.blocks).sum()
    };
    batches.send(100).expect("the task runs");
    named_when(|snapshot| named(snapshot, ONLY_FREES).len() == 1);
    batches.send(1_000).expect("the task runs");
    conserved_when(&ALLOCATOR, |snapshot| freed(snapshot) >= 1_000);
    drop(batches);
}
