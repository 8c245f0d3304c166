//! A program that only depends on memscope: the report of its end names what grows.
#![cfg(target_os = "linux")]

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use memscope_rs::async_memory::MemorySnapshot;
use memscope_tests::programs::{Folder, Running, program};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bare_service");

/// The lines of a terminal that a reader sees at once.
const FIRST_SCREEN: usize = 24;

/// The report of the end as text, and as a snapshot.
fn report(what_grows: &str, stacks: &str) -> (String, MemorySnapshot) {
    let folder = Folder::new();
    let reports = ["report.txt", "report.json"].map(|name| {
        let report = folder.file(name);
        let mut program = program(PROGRAM, what_grows);
        program.env("MEMSCOPE_REPORT", &report).env("MEMSCOPE_STACKS", stacks);
        let output = program.output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        report
    });
    let text = fs::read_to_string(&reports[0]).expect("a report");
    (text, MemorySnapshot::read(&reports[1]).expect("a report"))
}

/// The first screen of the report names this function, as a task or in a stack, and nearly all
/// bytes of tasks are under a name.
#[track_caller]
fn is_named(what_grows: &str, function: &str) {
    let function = format!("bare_service::{function}");
    let (text, snapshot) = report(what_grows, "64KiB");
    let first_screen = text.lines().take(FIRST_SCREEN).any(|line| line.contains(&function));
    assert!(first_screen, "{function}\n{text}");
    let of_tasks = snapshot.process().tracked_bytes;
    let unnamed = snapshot.tool().unnamed_bytes;
    assert!(unnamed <= of_tasks / 20, "{unnamed} B of {of_tasks} B have no name\n{snapshot}");
}

#[test]
fn a_cache_without_eviction_is_named_by_its_requests_and_by_the_code_that_fills_it() {
    is_named("cache", "handle_request");
    is_named("cache", "read_page");
}

#[test]
fn a_program_that_only_depends_on_memscope_has_a_timeline_in_its_only_report() {
    let folder = Folder::new();
    let report = folder.file("report.json");
    let mut program = program(PROGRAM, "slowly");
    program.env("MEMSCOPE_REPORT", &report).env("MEMSCOPE_SAMPLE_EVERY", "10ms");
    let output = program.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let snapshot = MemorySnapshot::read(&report).expect("a report");
    // One is the report's own.
    assert!(snapshot.timeline().process.len() > 3, "{:#?}", snapshot.timeline().process);
    assert!(snapshot.tool().longest_look_ns > 0, "{:#?}", snapshot.tool());
}

#[test]
fn the_only_report_of_a_program_that_a_signal_ends_has_the_names_of_stacks() {
    const LONGEST: Duration = Duration::from_mins(1);
    let folder = Folder::new();
    let report = folder.file("report.txt");
    let mut program = program(PROGRAM, "buffers until a signal");
    program.env("MEMSCOPE_REPORT", &report).env("MEMSCOPE_STACKS", "64KiB");
    let mut running = Running::start(&mut program);
    let names = || {
        let threads = format!("/proc/{}/task", running.child.id());
        let threads = fs::read_dir(threads).expect("its threads").flatten();
        let mut names = threads.flat_map(|thread| fs::read_to_string(thread.path().join("comm")));
        names.any(|name| name.trim_end() == "memscope-names")
    };
    // Its thread for them comes, and goes when it has them. One that came for tasks comes first.
    let start = Instant::now();
    let (mut came, mut gone) = (false, None::<Instant>);
    while gone.is_none_or(|gone| gone.elapsed() < Duration::from_secs(4)) {
        assert!(start.elapsed() < LONGEST, "came: {came}");
        thread::sleep(Duration::from_millis(1));
        if names() {
            (came, gone) = (true, None);
        } else if came {
            gone = gone.or_else(|| Some(Instant::now()));
        }
    }
    running.signal(libc::SIGTERM);
    running.end();
    let text = fs::read_to_string(&report).expect("a report");
    let has_names = text.lines().any(|line| line.contains("≈") && line.contains("idle_connection"));
    assert!(has_names, "{text}");
}

#[test]
fn tasks_that_ended_before_any_report_have_their_name_without_stacks_too() {
    let (text, snapshot) = report("cache", "off");
    let rows: Vec<_> = snapshot.sites_named("bare_service::handle_request").collect();
    let [row] = rows[..] else { panic!("{} rows\n{text}", rows.len()) };
    assert_eq!((row.spawned, row.active), (2_000, 0), "{text}");
    assert!(row.retained_bytes >= 2_000 * (4 << 10), "{text}");
    assert_eq!(snapshot.tool().unnamed_bytes, 0, "{text}");
    let ended = snapshot.tasks().iter().filter(|task| task.name == row.name).count();
    assert_eq!(ended, 2_000, "each row of a task has the name\n{text}");
}

#[test]
fn an_unbounded_queue_is_named_by_the_task_that_fills_it() {
    is_named("queue", "produce");
}

#[test]
fn buffers_of_idle_connections_are_named_by_these_and_summed_up() {
    is_named("buffers", "idle_connection");
    let (text, _) = report("buffers", "off");
    let line =
        "largest    bare_service::idle_connection: 6.3 MiB in 200 living tasks, 32.0 KiB each";
    assert!(text.contains(line), "{text}");
}

#[test]
fn large_futures_are_named_by_the_task_that_spawns_them() {
    is_named("futures", "accept_connections");
}

#[test]
fn answers_that_none_takes_are_named_by_the_tasks_that_gave_them() {
    is_named("answers", "answer");
}

/// The one thread of such a process is the one that would learn what is in Tokio's cells.
#[test]
fn a_process_with_one_thread_knows_the_ends_of_its_tasks() {
    let (text, snapshot) = report("one_thread", "off");
    for (name, spawned, alive) in [("handle_request", 500, 0), ("idle_connection", 200, 200)] {
        let name = format!("bare_service::{name}");
        let rows: Vec<_> = snapshot.sites_named(&name).collect();
        let [row] = rows[..] else { panic!("{} rows of {name}\n{text}", rows.len()) };
        assert!(!row.ends_unknown, "{text}");
        assert_eq!((row.spawned, row.active), (spawned, alive), "{text}");
    }
    assert!(text.contains("unannotated tasks: 700 seen, 200 of them alive, 500 ended\n"), "{text}");
}
