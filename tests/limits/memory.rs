//! To show something, memscope takes a stated multiple of what it shows. When a program runs out of
//! memory, memscope's work ends, not the program.

use std::{io::Write, pin::Pin, process::Command};

use memscope_rs::async_memory::{MemorySnapshot, Tracked, get_memory_snapshot, shared, track};
use memscope_tests::{Meter, alone, conserved, poll, row};

use crate::ALLOCATOR;

/// Counts bytes, and takes no memory for them.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Write for Count {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 += text.len() as u64;
        Ok(())
    }
}

fn json(snapshot: &MemorySnapshot) -> u64 {
    let mut count = Count(0);
    serde_json::to_writer(&mut count, snapshot).expect("plain data");
    count.0
}

fn text(value: &dyn std::fmt::Display, is_long: bool) -> u64 {
    let mut count = Count(0);
    let arguments = format_args!("{value}");
    if is_long {
        std::fmt::write(&mut count, format_args!("{value:#}")).expect("no error");
    } else {
        std::fmt::write(&mut count, arguments).expect("no error");
    }
    count.0
}

type Waiting = Pin<Box<Tracked<std::future::Pending<()>>>>;

fn tasks(count: usize, name: impl Fn(usize) -> String) -> Vec<Waiting> {
    let task = |number| {
        let mut task = Box::pin(track(std::future::pending::<()>()).named(name(number)));
        assert!(poll(&mut task).is_pending());
        task
    };
    (0..count).map(task).collect()
}

#[test]
fn what_is_shown_takes_a_multiple_of_its_size() {
    let _alone = alone();
    for (count, name_bytes) in [(10, 8), (1_000, 8), (1_000, 1 << 20), (20_000, 200), (100_000, 8)]
    {
        let name = "n".repeat(name_bytes);
        let tasks = tasks(count, |number| {
            if number % 7 == 0 { format!("{} {name}", number % 700) } else { name.clone() }
        });
        let earlier = get_memory_snapshot();
        let took = |work: &mut dyn FnMut() -> u64| {
            let (meter, result) = Meter::of(work);
            (meter.allocated_bytes, result)
        };
        let mut snapshot = None;
        let (of_snapshot, _) = took(&mut || {
            snapshot = Some(get_memory_snapshot());
            0
        });
        let snapshot = snapshot.expect("it was taken");
        let (of_json, shown) = took(&mut || json(&snapshot));
        let (of_rows, _) = took(&mut || snapshot.tasks().len() as u64);
        let (of_short, short) = took(&mut || text(&snapshot, false));
        let (of_long, long) = took(&mut || text(&snapshot, true));
        let (of_leaks, _) = took(&mut || snapshot.leaks().len() as u64);
        let (of_diff, _) = took(&mut || snapshot.diff(&earlier).sites.len() as u64);
        let (of_list, _) = took(&mut || snapshot.allocations().len() as u64);
        for (what, took, times, of, beside) in [
            ("a snapshot", of_snapshot, 1, shown, 1 << 20),
            ("its rows", of_rows, 2, shown, 1 << 20),
            ("its JSON", of_json, 1, shown, 1 << 20),
            // Reports look for leaks.
            ("two short reports", 2 * of_short, 3, shown, 1 << 20),
            ("a long report", of_long, 12, long, shown + (1 << 20)),
            ("looking for leaks", of_leaks, 1, shown, 1 << 20),
            ("a diff", of_diff, 1, shown, 1 << 20),
            ("the list", of_list, 3, shown, 1 << 20),
        ] {
            let most = times * of + beside;
            assert!(took <= most, "{what} of {count} tasks took {took}, at most {most}; {short}");
        }
        let names = snapshot.tasks().iter().map(|task| &task.name);
        let names = names.chain(snapshot.sites().iter().map(|site| &site.name));
        assert!(names.map(|name| name.chars().count()).max() <= Some(256));
        drop(tasks);
    }
}

#[test]
fn names_are_cut_where_they_are_made_and_tell_as_far_as_they_go() {
    let _alone = alone();
    let (long, other) = ("n".repeat(1 << 20), "é".repeat(1 << 20));
    let cut = |letter: &str| format!("{}…", letter.repeat(255));
    let held = shared(long.as_str(), || vec![0_u8; 100]);
    let mut tasks: Vec<_> = [&long, &format!("{long}x"), &other]
        .map(|name| Box::pin(track(std::future::pending::<()>()).named(name.as_str())))
        .into();
    for task in &mut tasks {
        assert!(poll(task).is_pending());
    }
    let snapshot = conserved(&ALLOCATOR);
    for (task, letter) in tasks.iter().zip(["n", "n", "é"]) {
        assert_eq!(row(&snapshot, task.id().expect("an id")).name, cut(letter));
    }
    // What differs behind the cut is one site, and its sums are those of both.
    // Other tests have had tasks of such a name.
    let name = cut("n");
    let active = snapshot.sites_named(&name).map(|site| site.active);
    assert_eq!(active.filter(|active| *active != 0).collect::<Vec<_>>(), [2]);
    assert!(snapshot.shared().iter().any(|owner| owner.name == name), "{snapshot}");
    drop(held);
}

/// A future whose type has a name of very many characters.
fn deep<F: Future>(future: F) -> impl Future {
    macro_rules! wrap {
        ($future:expr, $($level:tt)*) => {{
            let future = $future;
            $(let future = { stringify!($level); Wrapped(future, [(); 0]) };)*
            future
        }};
    }
    wrap!(future, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20)
}

/// Only its name is long.
struct Wrapped<F>(F, [(); 0]);

impl<F: Future> Future for Wrapped<F> {
    type Output = F::Output;

    fn poll(
        self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<F::Output> {
        // SAFETY: the first field is pinned with the whole, and never moved out.
        unsafe { self.map_unchecked_mut(|it| &mut it.0) }.poll(context)
    }
}

#[test]
fn the_name_of_a_long_type_keeps_its_ends() {
    let _alone = alone();
    let task = Box::pin(track(deep(std::future::pending::<()>())));
    let id = task.id().expect("an id");
    let snapshot = conserved(&ALLOCATOR);
    let row = row(&snapshot, id);
    assert_eq!(row.future_type.chars().count(), 256);
    assert!(
        row.future_type.starts_with("limits::memory::Wrapped<")
            && row.future_type.ends_with(">>>>")
    );
    assert!(row.future_type.contains('…') && row.name.chars().count() <= 256, "{}", row.name);
}

/// What the program at the end of its memory has printed.
fn poor(arguments: [&str; 4], report: Option<&std::path::Path>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poor_child"));
    command.args(arguments).env_remove("MEMSCOPE_REPORT");
    if let Some(path) = report {
        command.env("MEMSCOPE_REPORT", path);
    }
    let output = command.output().expect("it starts");
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}\n{out}\n{error}", output.status);
    out.into_owned()
}

#[test]
#[cfg(target_os = "linux")]
fn at_the_end_of_memory_rows_are_left_out_and_the_program_goes_on() {
    let numbers = |line: &str| -> Vec<u64> {
        line.split(' ').skip(1).map(|number| number.parse().expect("a number")).collect()
    };
    for (tasks, name_bytes, free, how, is_enough) in [
        ("100", "20", "100000000", "some", true),
        ("20000", "1000", "200000000", "some", true),
        ("20000", "200", "9000000", "some", false),
        ("20000", "20", "3000000", "some", false),
        ("20000", "20", "100000", "some", false),
        ("500", "1000000", "8000000", "full", false),
        ("20000", "20", "30000000", "full", false),
        ("10", "20", "3000000", "full", false),
        ("20000", "20", "30000000", "thread", false),
    ] {
        let out = poor([tasks, name_bytes, free, how], None);
        let lines = |what: &str| -> Vec<Vec<u64>> {
            out.lines().filter(|line| line.starts_with(&format!("{what} "))).map(numbers).collect()
        };
        let count: u64 = tasks.parse().expect("a number");
        for snapshot in lines("snapshot") {
            assert_eq!(snapshot[..2], [64 * count, count], "no sum misses a row: {out}");
        }
        for rows in lines("rows") {
            assert!(rows[0] + rows[2] >= count, "{out}");
            assert_eq!(rows[2] == 0, is_enough, "{tasks} {free} {how}: {out}");
        }
        for text in lines("text") {
            assert!(is_enough || text[1] == 1, "and that is said: {out}");
        }
        assert_eq!(lines("leaks").len(), 2, "{out}");
        assert_eq!(lines("diff").len(), 1, "it came to its end: {out}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn at_the_end_of_memory_the_report_is_written_and_says_what_is_missing() {
    for name in ["json", "txt"] {
        for (tasks, free) in [("20000", "30000000"), ("200", "3000000")] {
            let file = format!("memscope-poor-{}-{tasks}.{name}", std::process::id());
            let path = std::env::temp_dir().join(file);
            poor([tasks, "300", free, "exit"], Some(&path));
            let text = std::fs::read_to_string(&path).expect("a report");
            std::fs::remove_file(&path).expect("it is there");
            if name == "txt" {
                assert!(text.contains("rows left out for want of memory"), "{text}");
                continue;
            }
            let report = MemorySnapshot::from_json(&text).expect("a report");
            let count: u64 = tasks.parse().expect("a number");
            assert_eq!(report.live_memory_bytes(), 64 * count);
            assert!(report.tool().rows_left_out + report.tasks().len() as u64 >= count, "{text}");
            assert!(report.tool().rows_left_out > 0);
        }
    }
}
