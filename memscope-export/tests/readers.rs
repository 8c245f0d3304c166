//! The tools that read the formats accept them. `ci/export.sh` runs these tests if the tools are
//! installed.
//!
//! The test's process is the program: its tasks hold memory, and its stacks are sampled.

use std::{
    alloc::System,
    env, fs,
    future::Future,
    hint::black_box,
    io::Write,
    path::PathBuf,
    pin::Pin,
    process::{Command, Output, Stdio},
    sync::LazyLock,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use memscope_export::{PprofKind, folded, open_metrics, pprof, speedscope};
use memscope_runtime::{
    __terminal::visible,
    Stacks, TrackingAllocator,
    async_memory::{MemorySnapshot, TaskType, get_memory_snapshot, track},
    builder,
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

/// The name of a site that would break formats which do not escape it.
const HOSTILE: &str = "GET /\"a\"; {x} 12\n\\n 34";

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

#[inline(never)]
fn fill(rows: usize) -> Vec<Vec<u8>> {
    (0..rows).map(|_| black_box(vec![1; 16 << 10])).collect()
}

async fn holds(rows: usize) {
    let held = fill(rows);
    std::future::pending::<()>().await;
    drop(held);
}

/// A snapshot with named stacks, as it comes back from a file.
static SNAPSHOT: LazyLock<MemorySnapshot> = LazyLock::new(|| {
    builder().stacks(Stacks::EveryBytes(16 << 10)).init().expect("settings");
    let mut tasks: Vec<Task> = Vec::new();
    for number in 0..20 {
        let task = track(holds(10 + number)).task_type(TaskType::NetworkIntensive);
        tasks.push(Box::pin(task.named(if number % 2 == 0 { HOSTILE } else { "conn" })));
    }
    for task in &mut tasks {
        assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Pending);
    }
    let start = Instant::now();
    let snapshot = loop {
        let snapshot = get_memory_snapshot();
        let is_named = snapshot
            .stacks()
            .iter()
            .any(|stack| stack.frames.iter().any(|frame| frame.function.contains("readers::fill")));
        if is_named && snapshot.stack_names_pending() == 0 {
            break snapshot;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "no names\n{snapshot:#}");
        thread::sleep(Duration::from_millis(10));
    };
    drop(tasks);
    let json = serde_json::to_string(&snapshot).expect("json");
    serde_json::from_str(&json).expect("a snapshot")
});

fn folder() -> PathBuf {
    // `ci/export.sh` reads what is written there.
    let folder = env::var_os("EXPORT_FOLDER").map(PathBuf::from);
    folder.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into())
}

fn write(name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("a file");
    path.to_str().expect("a text").to_owned()
}

fn text(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(error)
}

/// Runs `go tool pprof`, and returns what it prints.
fn go(arguments: &[&str]) -> String {
    let mut command = Command::new("go");
    command.args(["tool", "pprof"]).args(arguments).env("PPROF_TMPDIR", folder());
    let output = command.output().expect("go");
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    said
}

#[test]
#[ignore = "needs go"]
fn go_reads_the_exact_sums_and_the_names_of_both_profiles() {
    let process = SNAPSHOT.process();
    let allocations = SNAPSHOT.total_allocations() + process.untracked_allocation_count.unwrap();
    let allocated = process.tracked_allocated_bytes + process.untracked_allocated_bytes;
    let live = write("live.pb.gz", pprof(&SNAPSHOT, PprofKind::Live));
    let all = write("allocated.pb.gz", pprof(&SNAPSHOT, PprofKind::Allocated));
    for (file, values) in [
        (&live, [("live_bytes", process.whole_bytes), ("live_blocks", process.whole_blocks)]),
        (&all, [("allocated_bytes", allocated), ("allocations", allocations)]),
    ] {
        for (value, sum) in values {
            let index = format!("-sample_index={value}");
            let unit = if value.ends_with("bytes") { "B" } else { "" };
            let said = go(&["-top", &format!("-unit={unit}"), "-nodecount=5", &index, file]);
            let total = format!(" of {sum}{unit} total");
            assert!(said.contains(&total), "no `{total}` in\n{said}");
        }
        let said = go(&["-top", "-unit=B", file]);
        assert!(said.contains("readers::fill"), "{said}");
        // Functions inside of allocators are left out, and pprof changes no name.
        for inside in ["alloc::raw_vec::", "__rust_alloc", "memscope_runtime::alloc::"] {
            assert!(!said.contains(inside), "{inside} in\n{said}");
        }
        let raw = go(&["-raw", file]);
        assert!(raw.contains("Mappings\n1: 0x"), "{raw}");
        let program = SNAPSHOT.program().expect("a program");
        assert!(raw.contains(program.build_id.as_deref().expect("a build id")), "{raw}");
        // The C library has started the test's thread, so it is one of the libraries.
        assert!(!SNAPSHOT.libraries().is_empty());
        for library in SNAPSHOT.libraries() {
            let build_id = library.build_id.as_deref().expect("a build id");
            let words = [&*library.path, build_id];
            let is_it = |line: &&str| words.iter().all(|word| line.contains(word));
            assert!(raw.lines().any(|line| is_it(&line)), "no {words:?} in\n{raw}");
        }
    }
    let said = go(&["-tags", "-unit=B", &live]);
    for site in SNAPSHOT.sites() {
        let name = visible(&site.name).to_string();
        let row = |line: &&str| line.ends_with(&format!(": {name}"));
        let row = said.lines().find(row).unwrap_or_else(|| panic!("{}\n{said}", site.name));
        let bytes = format!("{}.0B ", site.live_bytes);
        assert!(row.trim_start().starts_with(&bytes), "no `{bytes}` in\n{said}");
    }
    for label in ["task_type: Total", "task: Total", "figure: Total", ": estimate"] {
        assert!(said.contains(label), "no {label} in\n{said}");
    }
    let said = go(&["-peek=readers::fill$", "-nodefraction=0", &live]);
    assert!(said.contains("readers::holds"), "{said}");
    let said = go(&["-comments", &live]);
    assert!(said.contains("estimates: samples with the label figure=estimate"), "{said}");
}

#[test]
#[ignore = "needs promtool"]
fn promtool_finds_nothing_wrong() {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut promtool =
        promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("promtool");
    // promtool reads the older text format, in which a counter has `_total` in its name, and
    // `# EOF` and `# UNIT` are comments.
    let metrics = open_metrics(&SNAPSHOT);
    let mut counters = Vec::new();
    for line in metrics.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["#", "TYPE", name, "counter"] = words[..] {
            counters.push(name);
        }
    }
    let mut older = metrics.clone();
    for counter in counters {
        for word in ["TYPE", "HELP"] {
            let (from, to) = (format!("# {word} {counter} "), format!("# {word} {counter}_total "));
            older = older.replace(&from, &to);
        }
    }
    write("metrics.txt", &metrics);
    promtool.stdin.take().expect("a pipe").write_all(older.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("its end");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
}

/// This test is not ignored, as inferno runs in the test itself.
#[test]
fn inferno_draws_each_site_with_its_exact_bytes() {
    write("live.folded", folded(&SNAPSHOT));
    write("live.speedscope.json", speedscope(&SNAPSHOT));
    let mut options = inferno::flamegraph::Options::default();
    options.count_name = "bytes".to_owned();
    let folded = folded(&SNAPSHOT);
    let mut svg = Vec::new();
    inferno::flamegraph::from_lines(&mut options, folded.lines(), &mut svg).expect("a picture");
    let svg = String::from_utf8(svg).expect("text");
    let number = |number: u64| {
        let digits = number.to_string();
        let mut out = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place != 0 && (digits.len() - place).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        out
    };
    let whole = format!("all ({} bytes, 100%)", number(SNAPSHOT.process().whole_bytes));
    assert!(svg.contains(&whole), "no `{whole}`\n{folded}");
    for (root, name) in
        [("site_conn", "conn"), ("site_GET_/&quot;a&quot;,_{x}_12\\n\\n_34", HOSTILE)]
    {
        let site = SNAPSHOT.sites_named(name).next().expect("a site");
        let title = format!("{root} ({} bytes, ", number(site.live_bytes));
        assert!(svg.contains(&title), "no `{title}`\n{folded}");
    }
}
