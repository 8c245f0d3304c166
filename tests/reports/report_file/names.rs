//! The names of reports: of several that one process writes, and of several processes.

use std::fs;

use memscope_rs::async_memory::MemorySnapshot;
use memscope_tests::programs::Folder;
#[cfg(unix)]
use memscope_tests::programs::{Running, is_ignored, until};

use super::{OLD, error, program, read, shows_what_was_left};

#[track_caller]
fn held(report: &MemorySnapshot) -> u64 {
    report.sites_named("held").next().expect("its site").retained_bytes
}

#[cfg(unix)]
#[test]
fn the_report_of_a_handled_signal_is_kept_when_the_exit_follows() {
    if is_ignored(libc::SIGINT) {
        return;
    }
    let folder = Folder::new();
    let path = folder.file("report.json");
    let mut command = program("graceful");
    let mut running = Running::start(command.arg(&path).env("MEMSCOPE_REPORT", &path));
    running.signal(libc::SIGINT);
    assert_eq!(running.end().code(), Some(0));
    assert_eq!(folder.names(), ["report.json", "report.signal.json"]);
    assert_eq!(held(&read(&folder.file("report.signal.json"))), 5_000_000);
    assert_eq!(held(&read(&path)), 0, "the exit's");
}

#[test]
fn the_report_of_a_panic_or_a_guard_is_kept_when_the_exit_follows() {
    for word in ["panic", "guard"] {
        let folder = Folder::new();
        // Of an earlier run.
        fs::write(folder.file(&format!("report.{word}.json")), OLD).expect("a file");
        let mut command = program(&format!("{word}, then return"));
        let output = command.env("MEMSCOPE_REPORT", folder.file("report.json")).output();
        assert!(output.expect("it starts").status.success());
        let mut expected = ["report.json".to_owned(), format!("report.{word}.json")];
        expected.sort();
        assert_eq!(folder.names(), expected);
        assert_eq!(held(&read(&folder.file(&format!("report.{word}.json")))), 5_000_000);
        assert_eq!(held(&read(&folder.file("report.json"))), 0, "the exit's");
    }
}

#[cfg(unix)]
#[test]
fn signals_and_periodic_reports_in_turn_leave_two_files() {
    let folder = Folder::new();
    let path = folder.file("report.json");
    let mut command = program("terminate");
    command.env("MEMSCOPE_REPORT", &path).env("MEMSCOPE_REPORT_EVERY", "100ms");
    let mut running = Running::start(&mut command);
    until("a periodic report", || path.exists());
    // The last signal's report may be too late: the program ends.
    for number in 0..3 {
        let signals = folder.file("report.signal.json");
        if number < 2 {
            drop(fs::remove_file(&signals));
        }
        running.signal(libc::SIGTERM);
        assert_eq!(running.line(), "got it");
        if number < 2 {
            until("the next periodic report", || signals.exists());
        }
    }
    assert_eq!(running.end().code(), Some(0));
    assert_eq!(folder.names(), ["report.json", "report.signal.json"]);
    shows_what_was_left(&read(&path));
}

#[cfg(unix)]
#[test]
fn a_name_with_a_number_or_the_time_gives_each_its_own_file() {
    let folder = Folder::new();
    let mut command = program("terminate");
    command.current_dir(folder.path()).env("MEMSCOPE_REPORT", "at-%n-of-%p.json");
    let mut running = Running::start(&mut command);
    let pid = running.child.id();
    for number in 1..=3 {
        running.signal(libc::SIGTERM);
        assert_eq!(running.line(), "got it");
        let path = folder.file(&format!("at-{number}-of-{pid}.json"));
        if number < 3 {
            until("a report for each signal", || path.exists());
        }
    }
    assert_eq!(running.end().code(), Some(0));
    let names = folder.names();
    // The last signal's may have come after the exit's.
    let expected: Vec<_> = (1..=4).map(|number| format!("at-{number}-of-{pid}.json")).collect();
    assert!(names == expected || names == expected[..3], "{names:?}");
    for name in &names {
        shows_what_was_left(&read(&folder.file(name)));
    }

    let folder = Folder::new();
    let mut command = program("return");
    command.current_dir(folder.path()).env("MEMSCOPE_REPORT", "at-%t.json");
    assert!(command.output().expect("it starts").status.success());
    let [name] = &*folder.names() else { panic!("one file: {:?}", folder.names()) };
    let digits = name.replace(|digit: char| digit.is_ascii_digit(), "0");
    assert_eq!(digits, "at-00000000T000000Z.json", "{name}");
    shows_what_was_left(&read(&folder.file(name)));
}

#[test]
fn what_is_not_a_report_stays_and_the_report_is_beside_it() {
    let others: [&[u8]; 4] = [b"notes\n", b"{\"name\":\"a package\"}\n", b"\x7fELF\x02\0", b"\n"];
    for how in ["return", "talk", "panic, then return"] {
        for other in others {
            let folder = Folder::new();
            let path = folder.file("report.json");
            fs::write(&path, other).expect("a file");
            let mut command = program(how);
            let output = command.env("MEMSCOPE_REPORT", &path).output().expect("it starts");
            assert!(output.status.success());
            assert_eq!(fs::read(&path).expect("there"), other);
            shows_what_was_left(&read(&folder.file("report.2.json")));
            let said = error(&output);
            assert!(said.contains("report.2.json") && said.contains("not a report"), "{said}");
            let lines = said.lines().filter(|line| line.starts_with("memscope")).count();
            assert!(lines == 1 || how == "talk" && lines == 2, "once for each: {said}");
        }
    }
}

#[test]
fn reports_of_earlier_runs_and_empty_files_are_replaced_without_a_word() {
    let text = "live memory: 3 B in tasks + 4 B untracked = 7 B\ntasks: 0 alive\n";
    for old in [OLD, "{\n  \"memscope_format\": 99,", text, ""] {
        for ending in ["json", "txt"] {
            let folder = Folder::new();
            let path = folder.file(&format!("report.{ending}"));
            fs::write(&path, old).expect("a file");
            for _ in 0..2 {
                let output = program("return").env("MEMSCOPE_REPORT", &path).output();
                assert_eq!(error(&output.expect("it starts")), "");
                let new = fs::read_to_string(&path).expect("there");
                assert!(new != old && new.len() > 200, "{new}");
                assert_eq!(folder.names().len(), 1);
            }
        }
    }
}

#[test]
fn when_all_names_are_taken_nothing_is_written_and_a_line_says_what_to_do() {
    let folder = Folder::new();
    let path = folder.file("report.json");
    fs::write(&path, "notes").expect("a file");
    for number in 2..=9 {
        fs::write(folder.file(&format!("report.{number}.json")), "notes").expect("a file");
    }
    let output = program("return").env("MEMSCOPE_REPORT", &path).output().expect("it starts");
    assert!(error(&output).contains("choose another name"), "{}", error(&output));
    assert_eq!((error(&output).lines().count(), folder.names().len()), (1, 9));
    for name in folder.names() {
        assert_eq!(fs::read_to_string(folder.file(&name)).expect("there"), "notes", "{name}");
    }
}

#[test]
fn write_to_refuses_what_is_not_a_report() {
    let folder = Folder::new();
    let path = folder.file("package.json");
    fs::write(&path, "{\"name\":\"a package\"}").expect("a file");
    let output = program("write_to").arg(&path).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("not a report of memscope, so it stays: remove it"), "{said}");
    assert_eq!(fs::read_to_string(&path).expect("there"), "{\"name\":\"a package\"}");
    assert_eq!(folder.names(), ["package.json"]);
    fs::write(&path, OLD).expect("a file");
    let output = program("write_to").arg(&path).output().expect("it starts");
    assert!(output.stdout.is_empty());
    shows_what_was_left(&read(&path));
}

#[test]
fn processes_at_one_time_do_not_replace_each_others_reports() {
    let folder = Folder::new();
    let path = folder.file("report.json");
    for _ in 0..2 {
        // The program that it starts ends first.
        let mut command = program("a program of its own");
        let output = command.env("MEMSCOPE_REPORT", &path).output().expect("it starts");
        assert!(output.status.success());
        assert!(error(&output).contains("`%p` in the name"), "{}", error(&output));
        assert_eq!(error(&output).lines().count(), 1, "{}", error(&output));
        let [first, second] = ["report.json", "report.2.json"].map(|name| read(&folder.file(name)));
        assert_ne!(first.origin().pid, second.origin().pid);
        assert_eq!(folder.names(), ["report.2.json", "report.json"], "the next run replaces both");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn each_copy_of_memscope_in_a_process_writes_a_file_of_its_own() {
    let plugin = std::env::current_exe().expect("a program");
    let plugin = plugin.with_file_name("libmemscope_plugin.so");
    for every in [None, Some("100ms")] {
        for ending in ["json", "txt"] {
            let folder = Folder::new();
            let [first, second] = ["report", "report.2"].map(|name| format!("{name}.{ending}"));
            let mut command = program("plugin");
            command.arg(&plugin).env("MEMSCOPE_REPORT", folder.file(&first));
            every.map(|every| command.env("MEMSCOPE_REPORT_EVERY", every));
            let output = command.output().expect("it starts");
            assert!(output.status.success(), "{}", error(&output));
            let said = error(&output);
            assert!(said.contains("another copy of memscope in this process"), "{said}");
            assert_eq!(
                (said.lines().count(), folder.names()),
                (1, vec![second.clone(), first.clone()])
            );
            let [ours, plugins] =
                [first, second].map(|name| fs::read_to_string(folder.file(&name)).expect("text"));
            assert!(ours.contains("report_child.rs") && !ours.contains("lib.rs"), "{ours}");
            assert!(
                plugins.contains("lib.rs") && !plugins.contains("report_child.rs"),
                "{plugins}"
            );
        }
    }
    // Into a stream both write.
    let mut command = program("plugin");
    let output = command.arg(&plugin).env("MEMSCOPE_REPORT", "/dev/stderr").output();
    let said = error(&output.expect("it starts"));
    assert_eq!(said.matches("live memory: ").count(), 2, "{said}");
    assert!(said.contains("report_child.rs") && said.contains("lib.rs"), "{said}");
}

#[cfg(unix)]
#[test]
fn no_report_is_written_where_the_documentation_says_so() {
    for how in ["abort", "_exit", "exec", "failed allocation", "a hook that does not chain"] {
        let folder = Folder::new();
        let path = folder.file("report.json");
        let output = program(how).env("MEMSCOPE_REPORT", &path).output().expect("it starts");
        assert!(folder.names().is_empty(), "{how}: {}", error(&output));
    }
    let folder = Folder::new();
    let mut command = program("fork and return");
    command.current_dir(folder.path()).env("MEMSCOPE_REPORT", "report.json");
    let output = command.output().expect("it starts");
    assert!(error(&output).contains("this process was forked off"), "{}", error(&output));
    assert_eq!(folder.names(), ["report.json"]);
}
