//! How many unannotated tasks there are, in a process that has no others. Each ends when Tokio
//! frees its cell.

use memscope_rs::async_memory::{AsyncResourceMonitor, MemorySnapshot, SiteProfile, TaskState};
use memscope_tests::{alone_without_names, conserved};
use tokio::sync::oneshot;

use crate::ALLOCATOR;

#[test]
fn unannotated_tasks_are_alive_until_they_end_however_many_were_seen() {
    // Beside these there is the one that `cells_learned` has spawned, which allocates nothing.
    const SHORT: u64 = 2_000;
    let _alone = alone_without_names();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut monitor = AsyncResourceMonitor::new();
    runtime.block_on(monitor.start_monitoring()).expect("it was not running");
    let (stop, stopped) = oneshot::channel::<()>();
    let holder = runtime.spawn(async move {
        let held = vec![1_u8; 20_000];
        stopped.await.ok();
        drop(held);
    });
    let left = runtime.block_on(async {
        for _ in 0..SHORT {
            tokio::spawn(async { drop(Box::new([0_u8; 100])) }).await.expect("no panic");
        }
        tokio::spawn(async { vec![1_u8; 3_000] }).await.expect("no panic")
    });
    let snapshot = conserved(&ALLOCATOR);
    let [site] = snapshot.sites() else { panic!("{snapshot:#}") };
    assert!(!site.is_annotated && !site.ends_unknown);
    assert_eq!((site.spawned, site.active, site.unknown), (SHORT + 3, 1, 0), "{snapshot:#}");
    assert_eq!((site.ended_unknown, site.retained_bytes), (SHORT + 2, 3_000));
    assert_eq!(parts(site), site.spawned);
    assert_eq!((snapshot.active_task_count(), snapshot.spawned_task_count()), (0, 0));

    let rows: Vec<_> = snapshot.tasks().iter().map(|task| (task.live_bytes, task.state)).collect();
    let held = [(20_000, TaskState::Idle), (3_000, TaskState::Ended)];
    assert_eq!(rows, held, "an ended task has a row if it left something");

    let shown = snapshot.to_string();
    assert!(shown.contains("\ntasks: 0 alive, 0 at most at one time, 0 created"), "{shown}");
    assert!(
        shown.contains("\nunannotated tasks: 2,003 seen, 1 of them alive, 2,002 ended"),
        "{shown}"
    );

    let json = serde_json::to_string(&snapshot).expect("it can be written");
    let read: MemorySnapshot = serde_json::from_str(&json).expect("and read");
    assert_eq!(read.sites(), snapshot.sites());
    let analysis = runtime.block_on(monitor.stop_monitoring()).expect("it runs");
    assert_eq!((analysis.task_count, analysis.tasks_at_end, analysis.completed_count), (0, 0, 0));

    drop(left);
    stop.send(()).expect("received");
    runtime.block_on(holder).expect("no panic");
    let snapshot = conserved(&ALLOCATOR);
    let site = &snapshot.sites()[0];
    assert_eq!((site.spawned, site.active, site.live_bytes), (SHORT + 3, 0, 0));
    assert_eq!(site.ended_unknown, SHORT + 3);
    assert_eq!(parts(site), site.spawned);
    came_and_went();
}

/// Far more tasks one after another than there are places: each is seen once, and none is alive.
fn came_and_went() {
    let before = conserved(&ALLOCATOR).sites().first().map_or(0, |site| site.spawned);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for _ in 0..100_000 {
            tokio::spawn(async { drop(Box::new([0_u8; 100])) }).await.expect("no panic");
        }
    });
    let snapshot = conserved(&ALLOCATOR);
    let site = &snapshot.sites()[0];
    assert_eq!((site.spawned - before, site.active), (100_000, 0), "{snapshot}");
    assert_eq!(site.given_up, 0);
    assert_eq!(parts(site), site.spawned);
}

/// What the tasks of a site come to.
fn parts(site: &SiteProfile) -> u64 {
    let known = site.active + site.completed + site.cancelled + site.panicked;
    known + site.unknown + site.ended_unknown + site.given_up
}
