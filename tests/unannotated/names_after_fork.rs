//! A process forks while its thread for names may hold the loader's lock, which no thread releases
//! in the child: there no names are looked up, and nothing waits for them.
#![cfg(target_os = "linux")]

use std::sync::mpsc;

use memscope_rs::{async_memory::get_memory_snapshot, builder};
use memscope_tests::{names_found, workers};
use tokio::sync::broadcast::{Receiver, channel};

/// Each fork meets another moment of the thread.
const FORKS: usize = 40;
/// Seconds that a child may take: far more than it needs.
const PATIENCE: libc::c_uint = 20;
const NAME: &str = "unannotated::names_after_fork::holds_two_mebibytes";

async fn holds_two_mebibytes(holds: mpsc::Sender<()>, mut stopped: Receiver<()>) {
    let held = vec![1u8; 2 << 20];
    holds.send(()).expect("received");
    stopped.recv().await.ok();
    drop(held);
}

/// Forks a child, which must say yes within some seconds.
fn in_child(check: impl FnOnce() -> bool) {
    // SAFETY: what the child does is what is tested; it ends by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no child");
    if child == 0 {
        // SAFETY: a number of seconds.
        unsafe { libc::alarm(PATIENCE) };
        let is_right = check();
        // SAFETY: ends the process; nothing of it is used afterwards.
        unsafe { libc::_exit(i32::from(!is_right)) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child; the status is written to the place given.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
}

/// The names of large tasks, and of how many the names are awaited.
fn large() -> (Vec<String>, u64) {
    let snapshot = get_memory_snapshot();
    let large = snapshot.tasks().iter().filter(|task| task.live_bytes >= 2 << 20);
    (large.map(|task| task.name.clone()).collect(), snapshot.tool().names_awaited)
}

#[test]
fn a_child_of_a_process_with_threads_looks_up_no_names() {
    builder().name_tasks_from(1 << 20).init().expect("good settings");
    let runtime = workers(2);
    let (stop, _) = channel::<()>(1);
    let (holds, held) = mpsc::channel();
    let mut tasks = vec![runtime.spawn(holds_two_mebibytes(holds.clone(), stop.subscribe()))];
    held.recv().expect("sent");
    in_child(|| large() == (vec!["(unannotated)".to_owned()], 0));
    names_found();
    assert_eq!(large(), (vec![NAME.to_owned()], 0), "in the parent");
    in_child(|| large() == (vec![NAME.to_owned()], 0));
    for _ in 0..FORKS {
        tasks.push(runtime.spawn(holds_two_mebibytes(holds.clone(), stop.subscribe())));
        held.recv().expect("sent");
        // The thread starts.
        let (rows, _) = large();
        in_child(|| {
            let (rows_here, awaited) = large();
            rows_here.len() == rows.len() && awaited == 0
        });
    }
    names_found();
    assert!(large().0.iter().all(|name| name == NAME), "{:?}", large());
    stop.send(()).expect("received");
    for task in tasks {
        runtime.block_on(task).expect("no panic");
    }
}
