//! A program writes its report by itself, however it ends. A file can be read back, whatever is in
//! it.
//!
//! Each test of an end starts `programs/report_child.rs`, which leaves 12,345 bytes behind and ends
//! in one way.

mod names;
#[cfg(unix)]
mod places;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use memscope_rs::async_memory::{MemorySnapshot, get_memory_snapshot, track};
use memscope_tests::{
    WANTED, alone, block_on,
    programs::{self, Folder, Running, is_ignored, until},
};
use proptest::prelude::*;

/// A report of an earlier run, as far as memscope looks.
const OLD: &str = "{\"memscope_format\":1,\"old\":true}\n";

fn program(how: &str) -> Command {
    programs::program(env!("CARGO_BIN_EXE_report_child"), how)
}

/// Runs the program to its end with a report asked for, and reads that.
fn run(how: &str) -> (Output, MemorySnapshot) {
    run_with(how, &["report.json"])
}

/// The same, of a program that writes several files.
fn run_with(how: &str, names: &[&str]) -> (Output, MemorySnapshot) {
    let folder = Folder::new();
    let path = folder.file("report.json");
    let output = program(how).env("MEMSCOPE_REPORT", &path).output().expect("it starts");
    let report = read(&path);
    assert_eq!(folder.names(), names, "nothing else is left behind");
    (output, report)
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn read(path: &Path) -> MemorySnapshot {
    MemorySnapshot::read(path).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn shows_what_was_left(report: &MemorySnapshot) {
    let site = report.sites_named("left behind").next().expect("its site");
    assert_eq!((site.retained_bytes, site.completed), (12_345, 1), "{report}");
    let process = report.process();
    assert_eq!(process.tracked_bytes + process.untracked_bytes, process.whole_bytes);
}

#[test]
fn a_program_that_returns_or_exits_writes_its_report() {
    for (how, code) in [("return", 0), ("exit", 3), ("exit in a thread", 4)] {
        let (output, report) = run(how);
        assert_eq!(output.status.code(), Some(code), "{how}");
        assert_eq!(error(&output), "", "{how}");
        shows_what_was_left(&report);
    }
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn a_report_says_what_holds_what_is_left_if_blocks_are_listed() {
    let run = |how: &str, holders: &str| {
        let folder = Folder::new();
        let path = folder.file("report.json");
        let mut program = program(how);
        program.env("MEMSCOPE_REPORT", &path).env("MEMSCOPE_HOLDERS", holders);
        let output = program.output().expect("it starts");
        assert!(output.status.success() && error(&output).is_empty(), "{}", error(&output));
        read(&path)
    };
    let report = run("keep, then return", "on");
    let leaks = report.leaks();
    let kept = leaks.iter().find(|leak| leak.place.name == "kept").expect("a finding");
    let by = kept.held_by.as_deref().unwrap_or_default();
    assert!(by.starts_with("the static `") && by.contains("KEPT"), "{leaks}\n{report}");
    assert!(kept.fix.contains("KEPT"), "{leaks}");
    assert!(report.to_string().contains("what holds the memory"), "{report}");
    assert!(run("keep, then return", "off").heap_graph().is_none(), "blocks are not listed");
    assert!(run("return", "on").heap_graph().is_none(), "nothing looks lost");
}

#[test]
fn a_program_without_tasks_writes_a_report_without_tasks() {
    let (output, report) = run("nothing");
    assert!(output.status.success());
    assert!(report.sites().is_empty() && report.tasks().is_empty());
    assert!(report.process().measured);
}

#[test]
fn tasks_and_snapshots_that_go_on_do_not_keep_the_report_from_being_written() {
    for _ in 0..5 {
        let (output, report) = run("exit while tasks run");
        assert_eq!((output.status.code(), error(&output).as_str()), (Some(0), ""));
        shows_what_was_left(&report);
        assert!(report.spawned_task_count() >= 9, "{report}");
    }
}

#[test]
fn a_panic_writes_the_report_after_its_message() {
    let names = ["report.json", "report.panic.json"];
    let (output, report) = run_with("panic", &names);
    assert_eq!(output.status.code(), Some(101));
    assert!(error(&output).contains("wanted: the end"), "{}", error(&output));
    shows_what_was_left(&report);

    let (output, report) = run_with("panic with a hook", &names);
    assert!(error(&output).starts_with("the program's hook"), "{}", error(&output));
    shows_what_was_left(&report);
}

#[cfg(unix)]
#[test]
fn a_panic_that_aborts_writes_the_report() {
    use std::os::unix::process::ExitStatusExt;
    for how in ["panic and abort", "panic twice"] {
        let (output, report) = run(how);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{how}: {}", error(&output));
        assert!(error(&output).contains(WANTED), "{}", error(&output));
        shows_what_was_left(&report);
    }
}

#[cfg(unix)]
#[test]
fn a_panic_that_ends_a_thread_writes_the_report_at_once() {
    let folder = Folder::new();
    let path = folder.file("report.json");
    let mut running = Running::start(program("panic elsewhere").env("MEMSCOPE_REPORT", &path));
    shows_what_was_left(&read(&path));
    running.signal(libc::SIGKILL);
    running.end();
}

#[cfg(unix)]
#[test]
fn a_signal_writes_the_report_and_then_ends_the_program_as_it_would_have() {
    use std::os::unix::process::ExitStatusExt;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        if is_ignored(signal) {
            continue;
        }
        let folder = Folder::new();
        let path = folder.file("report.json");
        let mut running = Running::start(program("wait").env("MEMSCOPE_REPORT", &path));
        assert!(!path.exists());
        running.signal(signal);
        assert_eq!(running.end().signal(), Some(signal));
        shows_what_was_left(&read(&path));
        assert_eq!(folder.names(), ["report.json"]);
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_does_not_wait_for_a_report_that_hangs() {
    use std::os::unix::process::ExitStatusExt;
    let folder = Folder::new();
    // Its stderr is full and not read; so what is wrong with the path cannot be said.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let full = writer.try_clone().expect("a pipe");
    let filler = thread::spawn(move || {
        // Ends when both ends are closed.
        while writer.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let path = folder.file("report.json");
    let mut running = Running::start(
        program("wait").env("MEMSCOPE_REPORT", &path).stderr(full.try_clone().expect("a pipe")),
    );
    fs::create_dir(&path).expect("in its way");
    thread::sleep(Duration::from_millis(100));
    running.signal(libc::SIGTERM);
    // Sooner it would be the same signal.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(running.child.try_wait().expect("its state"), None, "it hangs in its report");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().signal(), Some(libc::SIGTERM));
    drop((full, reader));
    filler.join().expect("no panic");
}

#[cfg(unix)]
#[test]
fn a_program_that_handles_a_signal_goes_on_to_do_so() {
    // Tokio's handlers, installed after ours: by then each signal also writes a report.
    let folder = Folder::new();
    let path = folder.file("report.json");
    let mut running = Running::start(program("ctrl_c").env("MEMSCOPE_REPORT", &path));
    running.signal(libc::SIGINT);
    assert_eq!(running.line(), "got it");
    assert_eq!(running.end().code(), Some(0));
    shows_what_was_left(&read(&path));

    fs::remove_file(&path).expect("there");
    let mut running = Running::start(program("terminate").env("MEMSCOPE_REPORT", &path));
    for _ in 0..3 {
        running.signal(libc::SIGTERM);
        assert_eq!(running.line(), "got it");
        if running.child.try_wait().expect("its state").is_none() {
            until("a report for each signal", || path.exists());
        }
    }
    assert_eq!(running.end().code(), Some(0));
    shows_what_was_left(&read(&path));

    // Tokio's handlers, installed before ours.
    let path = folder.file("later.json");
    let mut running = Running::start(program("terminate").arg(&path));
    for _ in 0..3 {
        running.signal(libc::SIGTERM);
        assert_eq!(running.line(), "got it");
    }
    assert_eq!(running.end().code(), Some(0));
    shows_what_was_left(&read(&path));
}

#[cfg(unix)]
#[test]
fn an_ignored_signal_stays_ignored() {
    let folder = Folder::new();
    let path = folder.file("report.json");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' INT; exec \"$0\" guard \"$1\"", env!("CARGO_BIN_EXE_report_child")]);
    shell.arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(&mut shell);
    running.signal(libc::SIGINT);
    thread::sleep(Duration::from_millis(50));
    running.child.stdin.take().expect("a pipe").write_all(b"x").expect("it lives");
    assert_eq!(running.end().code(), Some(0));
    shows_what_was_left(&read(&path));
}

#[cfg(unix)]
#[test]
fn a_forked_child_writes_nothing_and_dies_as_it_would_have() {
    let folder = Folder::new();
    let path = folder.file("report.json");
    for (how, status) in [("fork", 0), ("fork and be killed", libc::SIGTERM)] {
        let output = program(how).env("MEMSCOPE_REPORT", &path).output().expect("it starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), status.to_string(), "{how}");
        assert!(output.status.success(), "{how}");
        let report = read(&path);
        shows_what_was_left(&report);
        fs::remove_file(&path).expect("the parent's");
        assert!(folder.names().is_empty(), "{how}");
    }
}

#[test]
fn the_name_says_what_is_written_and_for_which_process() {
    let folder = Folder::new();
    let path = folder.file("table.TXT");
    let output = program("return").env("MEMSCOPE_REPORT", &path).output().expect("it starts");
    assert_eq!(error(&output), "");
    let table = fs::read_to_string(&path).expect("text");
    assert!(table.starts_with("live memory: 12.1 KiB in tasks"), "{table}");

    // These tests are built without the page.
    for (name, said) in [
        ("table.csv", "ends neither in .json, .txt nor .html"),
        ("table.html", "will be text: pages need memscope's feature `html`"),
    ] {
        let path = folder.file(name);
        let output = program("return").env("MEMSCOPE_REPORT", &path).output().expect("it starts");
        assert!(error(&output).contains(said), "{}", error(&output));
        assert_eq!(error(&output).lines().count(), 1);
        assert!(fs::read_to_string(&path).expect("text").starts_with("live memory"));
    }

    let mut child = program("return")
        .current_dir(folder.path())
        .env("MEMSCOPE_REPORT", "of-%p.json")
        .spawn()
        .expect("it starts");
    let pid = child.id();
    assert!(child.wait().expect("its end").success());
    let report = read(&folder.file(&format!("of-{pid}.json")));
    assert_eq!(report.origin().pid, pid);
}

#[test]
fn nothing_is_written_and_no_thread_is_started_unless_it_is_asked_for() {
    let folder = Folder::new();
    for value in [None, Some("")] {
        let mut command = program("return");
        command.current_dir(folder.path());
        value.map(|value| command.env("MEMSCOPE_REPORT", value));
        let output = command.output().expect("it starts");
        assert!(output.status.success() && error(&output).is_empty());
        assert!(folder.names().is_empty());
    }
    #[cfg(target_os = "linux")]
    {
        let mut running = Running::start(&mut program("wait"));
        let threads = fs::read_dir(format!("/proc/{}/task", running.child.id())).expect("it lives");
        assert_eq!(threads.count(), 1);
        running.signal(libc::SIGTERM);
        running.end();
    }
}

#[test]
fn a_guard_writes_when_it_is_dropped_and_as_often_as_it_was_told() {
    let folder = Folder::new();
    let output = program("default guard").current_dir(folder.path()).output().expect("it starts");
    assert_eq!(error(&output), "");
    shows_what_was_left(&read(&folder.file("memscope-report.json")));

    let output = program("guard of another folder")
        .arg("relative.json")
        .current_dir(folder.path())
        .output()
        .expect("it starts");
    assert_eq!(error(&output), "");
    shows_what_was_left(&read(&folder.file("relative.json")));

    // The environment's file and the guard's are both written.
    let [path, theirs] = ["every.json", "environment.json"].map(|name| folder.file(name));
    let mut running =
        Running::start(program("guard every").arg(&path).env("MEMSCOPE_REPORT", &theirs));
    until("periodic reports", || path.exists());
    let first = read(&path);
    shows_what_was_left(&first);
    until("the next one", || read(&path) != first);
    let diff = read(&path).diff(&first);
    assert!(diff.same_process && diff.sites.is_empty(), "{diff}");
    assert_eq!(diff.process.tracked_bytes, 0);
    assert_eq!(
        (diff.process.whole_bytes, diff.process.untracked_allocated_bytes),
        (0, 0),
        "reports are memscope's own memory: {diff}"
    );
    assert!(!theirs.exists(), "that one is for the end");
    running.child.kill().expect("it lives");
    running.end();

    let mut command = program("wait");
    command.env("MEMSCOPE_REPORT", &theirs).env("MEMSCOPE_REPORT_EVERY", "100ms");
    let mut running = Running::start(&mut command);
    until("periodic reports", || theirs.exists());
    shows_what_was_left(&read(&theirs));
    running.child.kill().expect("it lives");
    running.end();
}

#[test]
fn the_environment_gives_settings_and_code_wins() {
    let output = program("settings")
        .env("MEMSCOPE_ENDED_TASKS", "20")
        .env("MEMSCOPE_TIMING", "off")
        .output()
        .expect("it starts");
    assert_eq!(error(&output), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "20 rows, 20 timed");
}

#[test]
fn wrong_values_are_said_once_and_the_program_goes_on() {
    let folder = Folder::new();
    let mut command = program("settings");
    command.current_dir(folder.path());
    for (name, value) in [
        ("MEMSCOPE_ENDED_TASKS", "many"),
        ("MEMSCOPE_SITE_ROWS", "0"),
        ("MEMSCOPE_LIVE_VARIABLES", "-1"),
        ("MEMSCOPE_TIMING", "\u{1b}[31m"),
        ("MEMSCOPE_REPORT_EVERY", "often"),
        ("MEMSCOPE_REPROT", "x.json"),
    ] {
        command.env(name, value);
    }
    let output = command.output().expect("it starts");
    assert!(output.status.success());
    let said = error(&output);
    assert_eq!(said.lines().count(), 6, "{said}");
    assert!(said.lines().all(|line| line.starts_with("memscope: ")), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "51 rows, 51 timed");
    assert!(folder.names().is_empty());

    let output = program("return").env("MEMSCOPE_REPORT_EVERY", "1s").output().expect("it starts");
    assert!(error(&output).contains("does nothing without MEMSCOPE_REPORT"), "{}", error(&output));
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_text_is_said_and_left_out() {
    use std::os::unix::ffi::OsStrExt;
    let value = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    let output = program("return").env("MEMSCOPE_TIMING", value).output().expect("it starts");
    assert!(output.status.success() && error(&output).contains("not UTF-8"), "{}", error(&output));

    let folder = Folder::new();
    let path = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.json"));
    let output = program("return").env("MEMSCOPE_REPORT", &path).output().expect("it starts");
    assert_eq!(error(&output), "", "a path need not be text");
    shows_what_was_left(&read(&path));
}

#[test]
fn where_a_report_cannot_be_written_a_line_says_so_and_the_program_goes_on() {
    let folder = Folder::new();
    let no_folder = folder.file("missing").join("report.json");
    let is_folder = folder.file("folder.json");
    fs::create_dir(&is_folder).expect("a folder");
    let is_file = folder.file("file");
    fs::write(&is_file, "x").expect("a file");
    let cases = [
        (no_folder, "there is no folder"),
        (is_folder, "cannot write the report"),
        (is_file.join("report.json"), "cannot write the report"),
        #[cfg(target_os = "linux")]
        (PathBuf::from("/dev/full"), "No space left on device"),
        #[cfg(target_os = "linux")]
        (PathBuf::from("/proc/report.json"), "cannot write the report"),
    ];
    for (path, expected) in cases {
        let mut command = program("exit");
        command.env("MEMSCOPE_REPORT", &path).env("MEMSCOPE_REPORT_EVERY", "100ms");
        let output = command.output().expect("it starts");
        assert_eq!(output.status.code(), Some(3), "{path:?}");
        assert!(error(&output).contains(expected), "{path:?}: {}", error(&output));
        assert!(error(&output).lines().count() <= 2, "{}", error(&output));
    }
    assert_eq!(folder.names(), ["file", "folder.json"]);
    assert_eq!(fs::read_to_string(is_file).expect("as it was"), "x");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_report_and_nothing_else() {
    let folder = Folder::new();
    let path = folder.file("report.json");
    fs::write(&path, OLD).expect("a file");
    // A limit of one block of 512 bytes: first as memscope finds it, then as the kernel tells it.
    for trap in ["", "trap '' XFSZ; "] {
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("{trap}ulimit -f 1; exec \"$0\" exit"))
            .arg(env!("CARGO_BIN_EXE_report_child"))
            .env("MEMSCOPE_REPORT", &path)
            .output()
            .expect("it starts");
        assert_eq!(output.status.code(), Some(3), "{}", error(&output));
        assert!(error(&output).contains("cannot write the report"), "{}", error(&output));
        assert_eq!(error(&output).lines().count(), 1, "{}", error(&output));
        assert_eq!(fs::read_to_string(&path).expect("there"), OLD);
        assert_eq!(folder.names(), ["report.json"]);
    }
}

/// A report as it is in a file.
fn written() -> String {
    let folder = Folder::new();
    let path = folder.file("report.json");
    drop(block_on(track(async { vec![0u8; 10] }).named("é ünd 🦀")));
    get_memory_snapshot().write_to(&path).expect("a folder");
    fs::read_to_string(&path).expect("text")
}

#[test]
fn what_was_written_is_read_back() {
    let _alone = alone();
    let folder = Folder::new();
    let snapshot = get_memory_snapshot();
    let path = folder.file("report.json");
    snapshot.write_to(&path).expect("a folder");
    assert_eq!(MemorySnapshot::read(&path), Ok(snapshot.clone()));
    let text = fs::read_to_string(&path).expect("text");
    assert!(text.starts_with("{\"memscope_format\":1,\"memscope_version\":\"0.1.0\","), "{text}");
    assert_eq!(serde_json::from_str::<MemorySnapshot>(&text).expect("the same fields"), snapshot);
    snapshot.write_to(folder.file("report.txt")).expect("a folder");
    let shown = fs::read_to_string(folder.file("report.txt")).expect("text");
    assert_eq!(shown, snapshot.to_string());
    let error = snapshot.write_to(folder.file("no/report.json")).expect_err("no folder");
    assert!(error.to_string().starts_with("cannot write the report `"), "{error}");
}

#[test]
fn what_cannot_be_read_says_why() {
    let _alone = alone();
    let text = written();
    let folder = Folder::new();
    let of = |text: &str| MemorySnapshot::from_json(text).expect_err(text).to_string();
    for (wrong, why) in [
        (String::new(), "the text is empty"),
        (" \n".to_owned(), "the text is empty"),
        ("live memory: 3 KiB".to_owned(), "is not JSON: expected value at line 1 column 1"),
        (format!("{text}x"), "is not JSON: trailing characters"),
        ("[1, 2]".to_owned(), "not a memscope report"),
        ("3".to_owned(), "not a memscope report"),
        ("{}".to_owned(), "not a memscope report"),
        (text.replace("memscope_format", "format"), "not a memscope report"),
        (
            text.replace("format\":1", "format\":2"),
            "has format 2, written by memscope 0.1.0; this is",
        ),
        (text.replace("format\":1", "format\":\"one\""), "has format one, written by"),
        (
            text.replace("\"process\":", "\"pr\":"),
            "damaged memscope report: missing field `process`",
        ),
        (
            text.replace("\"is_still\":", "\"is_still\":3,\"x\":"),
            "damaged memscope report: invalid type",
        ),
        ("[".repeat(100_000), "is not JSON: recursion limit"),
    ] {
        let error = of(&wrong);
        assert!(error.contains(why), "{error}");
    }
    let cut = &text[..text.len() / 2];
    assert!(of(cut).contains(&format!("ends after byte {}", cut.len())), "{}", of(cut));

    let path = folder.file("report.json");
    let error = MemorySnapshot::read(&path).expect_err("not there").to_string();
    assert!(error.starts_with("cannot read the report `"), "{error}");
    fs::write(&path, &text.as_bytes()[..=text.find('é').expect("a name")]).expect("a folder");
    let error = MemorySnapshot::read(&path).expect_err("cut").to_string();
    assert!(error.contains("report.json` is cut off"), "{error}");
    fs::write(&path, b"{\xff\xff}").expect("a folder");
    let error = MemorySnapshot::read(&path).expect_err("binary").to_string();
    assert!(error.contains("is not UTF-8 text: see byte 1"), "{error}");
}

/// Taken once: snapshots cost more than reading them.
fn sample() -> &'static str {
    static SAMPLE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(written)
}

proptest! {
    #[test]
    fn a_report_that_is_cut_anywhere_says_where(part in 0.0..1.0) {
        let bytes = sample().as_bytes();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a short text"
        )]
        let at = (part * (bytes.len() - 2) as f64) as usize;
        let folder = Folder::new();
        let path = folder.file("cut.json");
        fs::write(&path, &bytes[..at]).expect("a folder");
        let error = MemorySnapshot::read(&path).expect_err("cut").to_string();
        let expected =
            if at == 0 { "is empty".to_owned() } else { format!("ends after byte {at},") };
        prop_assert!(error.contains(&expected), "{error}");
    }

    #[test]
    fn a_report_with_wrong_bytes_is_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)
    ) {
        let mut bytes = sample().as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_report_with_wrong_numbers_is_read_or_refused_and_compared(
        numbers in prop::collection::vec(
            prop_oneof![
                Just("0"),
                Just("18446744073709551615"),
                Just("-1"),
                Just("1e400"),
                Just("null"),
                Just("9223372036854775808"),
            ],
            1..8
        ),
        step in 1usize..30
    ) {
        // Numbers are what stands between `:` and `,`.
        let mut text = String::new();
        for (place, part) in sample().split_inclusive(':').enumerate() {
            let digits = part.chars().take_while(char::is_ascii_digit).count();
            if digits != 0 && place % step == 0 && place > 2 {
                text.push_str(numbers[place % numbers.len()]);
                text.push_str(&part[digits..]);
            } else {
                text.push_str(part);
            }
        }
        check(&text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*|[\\[\\]{}:,\"a-z0-9]*") {
        check(&text);
    }
}

fn check(text: &str) {
    match MemorySnapshot::from_json(text) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(read) => {
            let sample = MemorySnapshot::from_json(sample()).expect("whole");
            for diff in [read.diff(&sample), sample.diff(&read), read.diff(&read)] {
                assert!(!format!("{diff}{diff:#}").is_empty());
            }
        }
    }
}
