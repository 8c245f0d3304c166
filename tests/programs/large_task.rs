//! A program with a large task without annotation, and tasks that never allocate.
//! `tests/unannotated/names_of_programs.rs` starts it, changed in some way, and reads the names
//! that the tasks have.

#![expect(clippy::print_stdout, reason = "that is how it talks to the test")]

#[cfg(target_os = "linux")]
mod hide_proc;

use std::sync::mpsc;

use memscope_rs::{async_memory::get_memory_snapshot, builder};
use memscope_tests::{names_found, workers};

memscope_tests::install!();

async fn holds_two_mebibytes(holds: mpsc::Sender<()>) {
    let held = vec![1u8; 2 << 20];
    holds.send(()).expect("received");
    std::future::pending::<()>().await;
    drop(held);
}

async fn never_allocates(number: u64) {
    std::future::pending::<()>().await;
    std::hint::black_box(number);
}

async fn never_allocates_either(number: u64) {
    std::future::pending::<()>().await;
    std::hint::black_box(number + 1);
}

fn main() {
    // Before any thread of memscope's looks up names.
    #[cfg(target_os = "linux")]
    if std::env::args().nth(1).as_deref() == Some("hide-proc") {
        hide_proc::hide_proc();
    }
    builder().name_tasks_from(1 << 20).init().expect("good settings");
    let runtime = workers(1);
    let (holds, held) = mpsc::channel();
    runtime.spawn(holds_two_mebibytes(holds));
    // As small as the room that any cell has.
    assert!(size_of_val(&never_allocates(0)) <= 24);
    for number in 0..3 {
        runtime.spawn(never_allocates(number));
        runtime.spawn(never_allocates_either(number));
    }
    held.recv().expect("sent");
    println!("ready");
    // The test changes the file meanwhile.
    std::io::stdin().read_line(&mut String::new()).expect("a line");
    names_found();
    let snapshot = get_memory_snapshot();
    let large = snapshot.tasks().iter().filter(|task| task.live_bytes >= 2 << 20);
    let names: Vec<_> = large.map(|task| task.name.clone()).collect();
    println!("{}", names.join(","));
    let waiting = snapshot.sites().iter().filter(|site| site.active == 3);
    let waiting = waiting.map(|site| format!("{} {}", site.name, site.future_size_bytes));
    let mut waiting: Vec<_> = waiting.collect();
    waiting.sort_unstable();
    println!("{}", waiting.join(","));
}
