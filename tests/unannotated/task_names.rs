//! An unannotated task that becomes large is named by its future, from one look at its stack.

use memscope_rs::{
    async_memory::{MemorySnapshot, TaskMemoryProfile, get_memory_snapshot},
    builder,
};
use memscope_tests::{conserved, conserved_when, names_found, workers};
use tokio::sync::broadcast::{Receiver, channel};

use crate::ALLOCATOR;

async fn holds_two_mebibytes(mut stopped: Receiver<()>) {
    let held = vec![1u8; 2 << 20];
    stopped.recv().await.ok();
    drop(held);
}

async fn holds_little(mut stopped: Receiver<()>) {
    let held = vec![1u8; 200_000];
    stopped.recv().await.ok();
    drop(held);
}

fn blocks_with_much(stopped: &std::sync::mpsc::Receiver<()>) {
    let held = vec![1u8; 3 << 20];
    stopped.recv().ok();
    drop(held);
}

fn holding(snapshot: &MemorySnapshot, least: u64) -> Vec<&TaskMemoryProfile> {
    let tasks = snapshot.tasks().iter();
    tasks.filter(|task| !task.is_annotated && task.live_bytes >= least).collect()
}

#[test]
fn large_tasks_have_the_name_of_their_future() {
    builder().name_tasks_from(1 << 20).init().expect("good settings");
    let runtime = workers(2);
    let (stop, _) = channel::<()>(1);
    let (stop_blocking, stopped) = std::sync::mpsc::channel();
    let mut tasks: Vec<_> =
        (0..3).map(|_| runtime.spawn(holds_two_mebibytes(stop.subscribe()))).collect();
    tasks.push(runtime.spawn(holds_little(stop.subscribe())));
    let blocking = runtime.spawn_blocking(move || blocks_with_much(&stopped));
    while holding(&get_memory_snapshot(), 1 << 20).len() < 4 {
        std::thread::yield_now();
    }
    names_found();
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| holding(snapshot, 200_000).len() == 5);
    let names = |least: u64| -> Vec<String> {
        let mut names: Vec<String> =
            holding(&snapshot, least).iter().map(|task| task.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(1 << 20),
        [
            "unannotated::task_names::holds_two_mebibytes",
            "unannotated::task_names::holds_two_mebibytes",
            "unannotated::task_names::holds_two_mebibytes",
            // The closure that was handed to the blocking pool stands there.
            "unannotated::task_names::large_tasks_have_the_name_of_their_future",
        ],
        "{snapshot}"
    );
    conserved_when(&ALLOCATOR, |snapshot| {
        let large = holding(snapshot, 200_000);
        large.iter().filter(|task| task.name == "unannotated::task_names::holds_little").count()
            == 1
    });
    let mut sites = snapshot.sites_named("unannotated::task_names::holds_two_mebibytes");
    let site = sites.next().expect("a row");
    assert_eq!((site.spawned, site.active, site.is_annotated), (3, 3, false));
    assert!(site.live_bytes >= 6 << 20 && sites.next().is_none());
    let again = conserved(&ALLOCATOR);
    assert_eq!(
        again.sites_named("unannotated::task_names::holds_two_mebibytes").count(),
        1,
        "once is enough"
    );
    stop.send(()).expect("received");
    drop(stop_blocking);
    for task in tasks {
        runtime.block_on(task).expect("no panic");
    }
    runtime.block_on(blocking).expect("no panic");
    drop(runtime);
    let snapshot = conserved(&ALLOCATOR);
    assert!(holding(&snapshot, 200_000).is_empty(), "{snapshot}");
}
