//! Memscope's threads, signals and descriptors never disturb the host. Each test is one host of
//! `programs/signals.rs`.
#![cfg(target_os = "linux")]

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Output},
    thread,
    time::Duration,
};

use memscope_rs::async_memory::MemorySnapshot;
use memscope_tests::programs::{Folder, Running, is_ignored, program, send, until};

const SIGNALS: &str = env!("CARGO_BIN_EXE_signals");
/// What races is run often.
const TIMES: usize = 20;

fn host(how: &str, report: &Path) -> Command {
    let mut command = program(SIGNALS, how);
    command.env("MEMSCOPE_REPORT", report);
    command
}

/// Runs a host that ends by itself, well. Returns what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let error = String::from_utf8_lossy(&stderr);
    assert_eq!((status.code(), error.as_ref()), (Some(0), ""), "{command:?}: {status}");
    String::from_utf8_lossy(&stdout).trim_end().to_owned()
}

#[track_caller]
fn read(path: &Path) -> MemorySnapshot {
    let report = MemorySnapshot::read(path).unwrap_or_else(|error| panic!("{error}"));
    let process = report.process();
    assert_eq!(process.tracked_bytes + process.untracked_bytes, process.whole_bytes);
    report
}

#[track_caller]
fn shows_what_was_left(report: &MemorySnapshot) {
    let site = report.sites_named("left behind").next().expect("its site");
    assert_eq!(site.retained_bytes, site.completed * 12_345, "{report}");
}

/// Periodic reports, so that all threads are wanted.
fn with_all_threads(how: &str, report: &Path) -> Command {
    let mut command = host(how, report);
    command.env("MEMSCOPE_REPORT_EVERY", "100ms");
    command
}

#[test]
fn no_thread_and_no_descriptor_of_memscope_exists_when_main_begins() {
    let folder = Folder::new();
    let without = run(&mut program(SIGNALS, "at main"));
    assert!(without.starts_with("1 thread, "), "{without}");
    assert_eq!(run(&mut with_all_threads("at main", &folder.file("report.json"))), without);
}

#[test]
fn every_thread_of_memscope_has_all_signals_blocked_and_its_starter_has_its_own_mask_again() {
    let folder = Folder::new();
    let said = run(&mut with_all_threads("threads", &folder.file("report.json")));
    // All but SIGKILL, SIGSTOP and the two that the system's library of threads needs for itself.
    let all = !(1u64 << 8 | 1 << 18 | 1 << 31 | 1 << 32);
    let mask = format!(" {all:016x}");
    let seen = said.lines().map(|line| line.strip_suffix(&mask).unwrap_or(line));
    // These look once, and may be there still. While a thread ends, that library blocks its own
    // signals too.
    let ends = format!(" {:016x}", all | 1 << 31 | 1 << 32);
    let looks = |name: &str| {
        let name = name.strip_suffix(&ends).unwrap_or(name);
        ["memscope-limit", "memscope-files", "memscope-names"].contains(&name)
    };
    let mut seen: Vec<&str> = seen.filter(|name| !looks(name)).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["memscope", "memscope-report", "memscope-signal"]);
}

#[test]
fn a_change_of_the_user_reaches_every_thread() {
    let folder = Folder::new();
    let mut command = with_all_threads("change user", &folder.file("report.json"));
    // SAFETY: always succeeds.
    if unsafe { libc::geteuid() } == 0 {
        command.arg("root");
    }
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "all are one user");
}

#[test]
fn a_host_can_enter_a_user_namespace_in_main() {
    let folder = Folder::new();
    // Where that is forbidden anyway, both give the same.
    let without = run(&mut program(SIGNALS, "unshare"));
    let with = run(&mut with_all_threads("unshare", &folder.file("report.json")));
    assert_eq!(with, without);
}

#[test]
fn a_signal_that_the_host_has_blocked_waits_for_the_host() {
    let folder = Folder::new();
    for how in ["busy", "busy, blocked late"] {
        for _ in 0..TIMES {
            let said = run(&mut with_all_threads(how, &folder.file("report.json")));
            assert_eq!(said, "the host finds signal 15", "{how}");
        }
    }
    for _ in 0..TIMES {
        let said = run(&mut program(SIGNALS, "blocked late, no report"));
        assert_eq!(said, "the host finds signal 15", "the collector takes none");
    }
}

#[test]
fn a_signal_that_the_host_reads_from_a_descriptor_is_found_there() {
    let folder = Folder::new();
    for _ in 0..TIMES {
        let said = run(&mut with_all_threads("signalfd", &folder.file("report.json")));
        assert_eq!(said, "the host reads signal 15");
    }
}

#[test]
fn a_host_that_closes_all_descriptors_keeps_its_own_files_and_its_report() {
    if is_ignored(libc::SIGTERM) {
        return;
    }
    for how in ["closefds", "closefds late"] {
        let folder = Folder::new();
        let path = folder.file("report.json");
        let mut command = host(how, &path);
        command.arg(folder.path());
        if how == "closefds" {
            command.env("MEMSCOPE_REPORT_EVERY", "100ms");
        }
        let mut running = Running::start(&mut command);
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().signal(), Some(libc::SIGTERM), "{how}");
        shows_what_was_left(&read(&path));
        for number in 0..40 {
            let own = fs::read_to_string(folder.file(&format!("{number}.own"))).expect("a file");
            let expected = (0..20).map(|round| format!("file {number} round {round}"));
            assert!(own.lines().eq(expected), "{how}: {own}");
        }
    }
}

#[test]
fn the_threads_that_read_unasked_have_none_of_the_hosts_descriptors() {
    let folder = Folder::new();
    let path = folder.file("report.json");
    let running = Running::start(host("closefds late", &path).arg(folder.path()));
    let process = format!("/proc/{}", running.child.id());
    let entries = |folder: &str| fs::read_dir(folder).expect("the process lives").flatten();
    let own = entries(&format!("{process}/fd")).count();
    assert!(own >= 43, "{own}");
    let mut seen = Vec::new();
    for thread in entries(&format!("{process}/task")) {
        let thread = thread.path();
        // A thread may end at any time.
        let Ok(name) = fs::read_to_string(thread.join("comm")) else { continue };
        let Ok(descriptors) = fs::read_dir(thread.join("fd")) else { continue };
        let is_alone = matches!(name.trim(), "memscope" | "memscope-files" | "memscope-names");
        // One file at a time.
        let expected = if is_alone { 0..2 } else { 43..usize::MAX };
        let number = descriptors.count();
        assert!(expected.contains(&number), "{name}: {number}");
        seen.push(name);
    }
    assert!(seen.contains(&"memscope\n".to_owned()), "{seen:?}");
}

#[test]
fn a_signal_without_a_thread_ends_the_host_and_a_copy_of_it_writes_the_report() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        if is_ignored(signal) {
            continue;
        }
        let folder = Folder::new();
        let path = folder.file("report.json");
        let mut running = Running::start(&mut host("sleep", &path));
        let process = running.child.id();
        running.signal(signal);
        assert_eq!(running.end().signal(), Some(signal));
        let report = read(&path);
        assert_eq!(report.origin().pid, process, "not the copy's");
        assert!(report.process().untracked_bytes > 0);
    }
}

#[test]
fn what_unannotated_tasks_hold_is_in_the_report_that_a_signal_writes() {
    if is_ignored(libc::SIGTERM) {
        return;
    }
    for every in [None, Some("100ms")] {
        let folder = Folder::new();
        let path = folder.file("report.json");
        let mut command = host("unannotated", &path);
        command.envs(every.map(|every| ("MEMSCOPE_REPORT_EVERY", every)));
        let mut running = Running::start(&mut command);
        if every.is_some() {
            until("a periodic report", || path.exists());
            fs::remove_file(&path).expect("there");
        }
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().signal(), Some(libc::SIGTERM));
        let report = read(&path);
        // In rows of the tasks, or of the threads: tasks may begin before it is known whether Tokio
        // has run on their thread, which is charged until then.
        assert!(report.process().whole_bytes >= 100_000, "{report}");
    }
}

#[test]
fn a_signal_at_any_moment_ends_the_host_by_that_signal() {
    if is_ignored(libc::SIGTERM) {
        return;
    }
    let folder = Folder::new();
    for pause in 0..30 {
        let mut running = Running::start(&mut host("allocate", &folder.file("report.json")));
        thread::sleep(Duration::from_micros(pause * 37));
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().signal(), Some(libc::SIGTERM));
    }
}

#[test]
fn the_host_does_not_see_its_system_call_interrupted_by_the_signal_that_ends_it() {
    if is_ignored(libc::SIGTERM) {
        return;
    }
    let folder = Folder::new();
    for how in ["sleep once", "task and sleep once"] {
        for _ in 0..TIMES {
            let mut running = Running::start(&mut host(how, &folder.file("report.json")));
            thread::sleep(Duration::from_millis(5));
            running.signal(libc::SIGTERM);
            let status = running.end();
            assert_eq!(status.signal(), Some(libc::SIGTERM), "{how}: {status}");
        }
    }
}

#[test]
fn a_handler_of_the_host_takes_its_signals_and_finds_errno_as_it_left_it() {
    let folder = Folder::new();
    let path = folder.file("report.json");
    for how in ["own handler later", "own handler, no thread"] {
        assert_eq!(run(&mut host(how, &path)), "three", "{how}");
        read(&path);
    }
    let mut before = program(SIGNALS, "own handler before");
    assert_eq!(run(before.arg(&path)), "three");
}

#[test]
fn a_handler_for_one_signal_that_calls_the_one_before_is_not_an_end() {
    let folder = Folder::new();
    for thread in ["thread", "no thread"] {
        let mut command = host("own handler for one", &folder.file("report.json"));
        assert_eq!(run(command.arg(thread)), "goes on", "{thread}");
    }
}

#[test]
fn an_ignored_signal_stays_ignored_with_and_without_a_thread() {
    use std::io::Write;
    for how in ["wait", "task and wait"] {
        let folder = Folder::new();
        let path = folder.file("report.json");
        let shell = host(how, &path);
        let mut command = program("sh", "-c");
        command.args(["trap '' TERM INT HUP; exec \"$0\" \"$1\"", SIGNALS, how]);
        command.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut running = Running::start(&mut command);
        for signal in [libc::SIGTERM, libc::SIGINT] {
            running.signal(signal);
        }
        running.child.stdin.take().expect("a pipe").write_all(b"x").expect("it lives");
        assert_eq!(running.end().code(), Some(0), "{how}");
        read(&path);
    }
}

#[test]
fn two_signals_at_once_as_timeout_sends_them_are_one_and_the_report_is_written() {
    if is_ignored(libc::SIGTERM) {
        return;
    }
    for how in ["sleep", "task and sleep"].repeat(4) {
        let folder = Folder::new();
        let path = folder.file("report.json");
        let mut running = Running::start(&mut host(how, &path));
        running.signal(libc::SIGTERM);
        // The kernel makes one of two that wait.
        thread::sleep(Duration::from_millis(5));
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().signal(), Some(libc::SIGTERM), "{how}");
        read(&path);
    }
}

#[test]
fn a_second_signal_of_another_kind_ends_a_host_whose_report_hangs() {
    if is_ignored(libc::SIGTERM) || is_ignored(libc::SIGINT) {
        return;
    }
    for how in ["sleep", "task and sleep"] {
        let folder = Folder::new();
        // What is wrong with the path cannot be said: nothing reads from the full pipe.
        let path = folder.file("report.json");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut running =
            Running::start(host(how, &path).stderr(writer.try_clone().expect("a pipe")));
        fs::create_dir(&path).expect("in its way");
        fill(&writer);
        running.signal(libc::SIGTERM);
        // Much longer than that it would be the same signal.
        thread::sleep(Duration::from_secs(1));
        assert_eq!(running.child.try_wait().expect("its state"), None, "it hangs in its report");
        running.signal(libc::SIGINT);
        assert_eq!(running.end().signal(), Some(libc::SIGINT), "{how}");
        drop(reader);
    }
}

/// Fills a pipe to its end.
fn fill(pipe: &std::io::PipeWriter) {
    use std::{io::Write, os::fd::AsRawFd};
    let set = |flags: i32| {
        // SAFETY: sets the flags of a descriptor that is open.
        assert_ne!(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, flags) }, -1);
    };
    set(libc::O_NONBLOCK);
    let mut pipe = pipe;
    for size in [4_096, 1] {
        while pipe.write(&vec![b'x'; size]).is_ok() {}
    }
    set(0);
}

#[test]
fn process_1_of_a_container_writes_a_report_for_each_signal_and_goes_on() {
    use std::io::Write;
    for how in ["wait", "task and wait"] {
        let folder = Folder::new();
        let path = folder.file("report.json");
        let mut command = host("in a namespace", &path);
        let mut running = Running::start(command.arg(how));
        let process = running.line();
        if process == "no namespaces" {
            return;
        }
        let process = process.parse().expect("a number");
        for _ in 0..3 {
            drop(fs::remove_file(&path));
            // While a report is being written the kernel drops what has its default action.
            until("a report", || {
                send(process, libc::SIGTERM);
                thread::sleep(Duration::from_millis(20));
                path.exists()
            });
            assert_eq!(read(&path).origin().pid, 1);
        }
        running.child.stdin.take().expect("a pipe").write_all(b"x").expect("it lives");
        assert_eq!(running.end().code(), Some(0), "{how}");
    }
}
