//! `cargo memscope diff`, on reports of real processes: this test program, started again.
#![cfg(target_os = "linux")]

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    pin::pin,
    process::{Command, Output},
    task::{Context, Waker},
    thread,
};

use memscope_runtime::{
    __terminal::json,
    TrackingAllocator,
    async_memory::{MemorySnapshot, get_memory_snapshot, track},
};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);

/// The variables that make the program a child: where its report goes, and how it behaves.
const REPORT: &str = "DIFF_TEST_REPORT";
const VERSION: &str = "DIFF_TEST_VERSION";
/// The line where `load` is tracked.
const LINE: u32 = line!() + 4;

/// A request. In the version "head" it keeps what it has read.
fn load(keeps: bool) -> Vec<u8> {
    let task = track(async move {
        let page = vec![1_u8; 64 << 10];
        page[..if keeps { 48 << 10 } else { 100 }].to_vec()
    });
    let mut task = pin!(task.named("load"));
    let mut context = Context::from_waker(Waker::noop());
    match task.as_mut().poll(&mut context) {
        std::task::Poll::Ready(page) => page,
        std::task::Poll::Pending => unreachable!("it does not wait"),
    }
}

fn serve(keeps: bool) -> Vec<Vec<u8>> {
    (0..50).map(|_| load(keeps)).collect()
}

/// No test: what a started program does.
#[test]
fn child() {
    let Ok(report) = env::var(REPORT) else { return };
    let keeps = env::var(VERSION).is_ok_and(|version| version == "head");
    let workers: Vec<_> = (0..4).map(|_| thread::spawn(move || serve(keeps))).collect();
    let kept: Vec<_> = workers.into_iter().map(|worker| worker.join().expect("it ends")).collect();
    fs::write(report, json(&get_memory_snapshot()).expect("JSON")).expect("a place for it");
    drop(kept);
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("diff").join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Runs the program in a version, and returns the path of its report.
fn report(folder: &Path, name: &str, version: &str) -> String {
    let path = folder.join(name);
    let mut program = Command::new(env::current_exe().expect("this program"));
    program.args(["child", "--exact"]).env(REPORT, &path).env(VERSION, version);
    let output = program.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    path.to_str().expect("UTF-8").to_owned()
}

struct Run {
    out: String,
    error: String,
    code: i32,
}

fn diff(arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-memscope"));
    let output: Output = command.args(["memscope", "diff"]).args(arguments).output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("it ends by itself");
    Run { out: text(output.stdout), error: text(output.stderr), code }
}

#[test]
fn a_pull_request_that_keeps_memory_fails_with_its_site_and_line() {
    let folder = folder("pull-request");
    let (base, head) = (report(&folder, "base.json", "base"), report(&folder, "head.json", "head"));
    let run = diff(&[&base, &head, "--fail-over", "1MiB"]);
    assert_eq!(run.code, 1, "{}{}", run.out, run.error);
    let verdict: Vec<_> = run.out.lines().take(3).collect();
    assert_eq!(verdict[0], "2 figures grew by more than 1.0 MiB", "{}", run.out);
    // 200 requests keep 48 KiB each, where they kept 100 bytes.
    let live =
        format!("load (cargo-memscope/tests/diff.rs:{LINE}): live 19.5 KiB → 9.4 MiB (+9.4 MiB, ");
    assert!(verdict[1..].iter().any(|line| line.contains(&live)), "{live}\n{}", run.out);
    assert!(run.out.contains("SITE") && run.out.contains("+9.4 MiB"), "{}", run.out);

    let peak = diff(&[&base, &head, "--fail-over", "1MiB", "--growth-of", "peak"]);
    assert_eq!(peak.code, 0, "a task's peak grew by 48 KiB: {}", peak.out);
    let peak = diff(&[&base, &head, "--fail-over", "40KiB", "--growth-of", "peak"]);
    assert_eq!(peak.code, 1, "{}", peak.out);
    assert!(peak.out.contains("peak 64.1 KiB → 112.0 KiB"), "{}", peak.out);

    let back = diff(&[&head, &base, "--fail-over", "0%"]);
    assert!(!back.out.contains("load (cargo"), "less is no growth: {}", back.out);
    let other = diff(&[&base, &head, "--fail-over", "1MiB", "--site", "^other"]);
    assert_eq!(other.code, 2, "{}", other.out);
    assert!(other.error.contains("`--site` matches no site"), "{}", other.error);
    let site = diff(&[&base, &head, "--fail-over", "5%", "--site", "^load .*diff.rs"]);
    assert_eq!(site.code, 1, "{}", site.out);
    let without = diff(&[&base, &head]);
    assert_eq!(without.code, 0, "no limit, no verdict");
    assert!(!without.out.contains("grew by more"), "{}", without.out);

    let json = diff(&[&base, &head, "--fail-over", "1MiB", "--json"]);
    assert_eq!(json.code, 1);
    let value: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((&value["schema"], &value["within"]), (&1.into(), &false.into()));
    assert_eq!(value["fail_over"], "1.0 MiB");
    let over = value["over"].as_array().expect("a list");
    let live = over.iter().find(|it| it["measure"] == "live").expect("live bytes");
    assert_eq!((&live["name"], &live["line"]), (&"load".into(), &LINE.into()));
    assert_eq!((&live["before"], &live["after"]), (&20_000.into(), &(200 * (48 << 10)).into()));
    assert_eq!(value["diff"]["sites"][0]["name"], "load");
    let again = diff(&[&base, &head, "--fail-over", "1MiB", "--format", "json"]);
    assert_eq!(again.out, json.out);

    let markdown = diff(&[&base, &head, "--fail-over", "1MiB", "--format", "markdown"]);
    assert_eq!(markdown.code, 1);
    assert!(markdown.out.starts_with("### Memory\n\n**2 figures grew"), "{}", markdown.out);
    let row = format!("| load (cargo-memscope/tests/diff.rs:{LINE}) | 19.5 KiB → 9.4 MiB (+");
    assert!(markdown.out.contains(&row), "{}", markdown.out);
}

#[test]
fn a_hundred_pairs_of_equal_runs_are_no_growth() {
    let folder = folder("equal");
    let mut before = report(&folder, "0.json", "base");
    for number in 1..=100 {
        let after = report(&folder, &format!("{number}.json"), "base");
        let run = diff(&[&before, &after, "--fail-over", "5%"]);
        assert_eq!(run.code, 0, "pair {number}: {}", run.out);
        assert!(run.out.starts_with("nothing grew by more than 5%"), "{}", run.out);
        // The site of the tasks is the same to the byte.
        let exact = diff(&[&before, &after, "--fail-over", "0B", "--site", "^load "]);
        assert_eq!(exact.code, 0, "pair {number}: {}", exact.out);
        fs::remove_file(&before).expect("it is there");
        before = after;
    }
}

/// The report with other lines, as after an edit above the functions.
fn moved(report: &str, by: u64) -> String {
    let mut value: Value =
        serde_json::from_str(&fs::read_to_string(report).expect("a report")).expect("JSON");
    for site in value["sites"].as_array_mut().expect("sites") {
        site["line"] = (site["line"].as_u64().expect("a line") + by).into();
    }
    let path = format!("{report}.moved");
    fs::write(&path, value.to_string()).expect("a place for it");
    path
}

#[test]
fn a_line_that_was_inserted_above_makes_no_site_new() {
    let folder = folder("moved");
    let base = report(&folder, "base.json", "base");
    let later = moved(&base, 7);
    let run = diff(&[&base, &later, "--fail-over", "0B"]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert!(!run.out.contains("new"), "{}", run.out);
    let head = moved(&report(&folder, "head.json", "head"), 7);
    let run = diff(&[&base, &head, "--fail-over", "1MiB"]);
    assert_eq!(run.code, 1);
    let place = format!("load (cargo-memscope/tests/diff.rs:{}): live 19.5 KiB → ", LINE + 7);
    assert!(run.out.contains(&place), "the later line, and what it had before: {}", run.out);
}

/// Answers one request with this text, and returns its address.
fn answer(text: String) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut request = [0; 4096];
        let read = client.read(&mut request).expect("a request");
        // The client may be gone.
        let _ = client.write_all(text.as_bytes());
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    (address, server)
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_service_is_compared_by_its_address() {
    let folder = folder("service");
    let base = report(&folder, "base.json", "base");
    let text = fs::read_to_string(report(&folder, "head.json", "head")).expect("a report");
    let (address, server) = answer(http("200 OK", &text));
    let run = diff(&[&base, &address, "--fail-over", "1MiB"]);
    assert_eq!(run.code, 1, "{}{}", run.out, run.error);
    assert!(server.join().expect("it ends").starts_with("GET /snapshot.json HTTP/1.1\r\n"));
}

#[test]
fn what_is_no_report_is_an_error_and_no_verdict() {
    let folder = folder("errors");
    let base = report(&folder, "base.json", "base");
    let garbage = folder.join("garbage.json");
    fs::write(&garbage, "{\"memscope\": \u{1b}[31m").expect("a place for it");
    let mut value: Value =
        serde_json::from_str(&fs::read_to_string(&base).expect("a report")).expect("JSON");
    value["measured"] = "not_installed".into();
    let unmeasured = folder.join("unmeasured.json");
    fs::write(&unmeasured, value.to_string()).expect("a place for it");
    let (cut, _cut) = answer("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{".to_owned());
    let (nonsense, _nonsense) = answer("\u{1b}[31m nonsense\r\n\r\n".to_owned());
    let (refusing, _refusing) = answer(http("401 Unauthorized", ""));
    let [garbage, unmeasured] = [&garbage, &unmeasured].map(|path| path.to_str().expect("UTF-8"));
    let cases = [
        ("no/such/file.json", "cannot read"),
        ("https://127.0.0.1:1", "`http://`"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/snapshot.json does not answer"),
        (garbage, "garbage.json"),
        (unmeasured, "sizes are not measured: memscope's allocator is not installed"),
        (&cut, "does not answer"),
        (&nonsense, "does not answer"),
        (&refusing, "asks for a token"),
    ];
    for (after, expected) in cases {
        let run = diff(&[&base, after, "--fail-over", "5%"]);
        assert_eq!(run.code, 2, "{after}: {}", run.out);
        assert!(run.error.contains(expected), "{after}: {}", run.error);
        assert!(!run.error.contains('\u{1b}') && run.out.is_empty(), "{after}: {}", run.error);
    }
    for wrong in [["--fail-over", "much"], ["--site", "("], ["--growth-of", "live"]] {
        let run = diff(&[&base, &base, wrong[0], wrong[1]]);
        assert_eq!(run.code, 2, "{wrong:?}: {}", run.out);
    }
    MemorySnapshot::from_json(&fs::read_to_string(&base).expect("a report")).expect("a good one");
}
