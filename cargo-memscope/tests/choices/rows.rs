//! Rows of reports: sorted, filtered, in all formats, and from all places.

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::Command,
    thread,
};

use memscope_layout::{Layouts, Symbols};
use memscope_runtime::async_memory::{MemorySnapshot, get_memory_snapshot};
use serde_json::{Value, json};

use super::{folder, run, rustc};

/// A report of four sites, with a task each.
fn report(folder: &Path) -> Value {
    let file = folder.join("empty.json");
    get_memory_snapshot().write_to(&file).unwrap();
    let mut report: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let rows = [
        ("carts", [4000, 4100, 4200, 10], "idle"),
        ("orders", [3000, 9000, 5000, 20], "idle"),
        ("pages", [2000, 3000, 9900, 30], "idle"),
        ("uploads", [1000, 2000, 3000, 900], "completed"),
    ];
    let sites = rows.iter().map(|(name, [live, peak, allocated, retained], _)| {
        json!({
            "name": name, "task_type": "mixed", "file": format!("src/{name}.rs"), "line": 7, "measured": true,
            "spawned": 9, "active": 1, "completed": 8, "cancelled": 0, "panicked": 0, "given_up": 0,
            "is_annotated": true, "live_bytes": live, "live_blocks": 1, "peak_bytes": peak,
            "peak_sum_bytes": 0, "allocated_bytes": allocated, "allocation_count": 1,
            "ended_allocated_bytes": 0, "retained_bytes": retained, "unjoined_bytes": 0,
            "retained_tasks": 0, "oldest_retained_ns": null, "retained_waves": 0,
            "retained_by_eighth": [0, 0, 0, 0, 0, 0, 0, 0], "argument_bytes": null,
            "boxed_by_tokio": 0, "longest_wait_ns": 0, "wait_sum_ns": 0, "waits_timed": 0,
            "peak_histogram": [], "poll_histogram": [], "future_size_bytes": 64,
        })
    });
    report["sites"] = sites.collect();
    let tasks = rows.iter().zip(1..).map(|((name, [live, peak, allocated, _], state), id)| {
        json!({
            "id": id, "parent": null, "name": name, "task_type": "mixed", "state": state,
            "file": format!("src/{name}.rs"), "line": 7, "measured": true, "live_bytes": live,
            "peak_bytes": peak, "allocated_bytes": allocated, "allocation_count": 1,
            "freed_bytes": 0, "freed_elsewhere_bytes": 0, "live_blocks": 1, "future_size_bytes": 64,
            "future_type": "F", "poll_count": 1, "busy_ns": 5, "wait_ns": null,
            "timing_is_estimate": false, "idle_ns": null, "cell_bytes": 0, "is_annotated": true,
        })
    });
    report["tasks"] = tasks.collect();
    let stack = |site: usize| {
        json!({ "frames": [{ "function": "shop::push", "address": 1 }], "site": site,
            "live_bytes": 1 << 20, "allocated_bytes": 1 << 20, "live_samples": 1, "samples": 1 })
    };
    report["stacks"] = json!([stack(1), stack(3)]);
    report["stacks_measured"] = "on".into();
    report["measured"] = "yes".into();
    report["process"]["tracked_bytes"] = 10_000.into();
    report["process"]["whole_bytes"] = 12_000.into();
    report["process"]["measured"] = true.into();
    report
}

fn save(folder: &Path, name: &str, report: &Value) {
    fs::write(folder.join(name), report.to_string()).unwrap();
}

/// The names in the first column of a table.
fn column(text: &str, head: &str) -> Vec<String> {
    let rows = text.lines().skip_while(|it| !it.starts_with(head)).skip(1);
    let rows = rows.take_while(|it| !it.is_empty());
    let word = usize::from(head == "TASK");
    rows.map(|it| it.split_whitespace().nth(word).unwrap().to_owned()).collect()
}

const ORDERS: [(&str, [&str; 4]); 4] = [
    ("live", ["carts", "orders", "pages", "uploads"]),
    ("peak", ["orders", "carts", "pages", "uploads"]),
    ("allocated", ["pages", "orders", "carts", "uploads"]),
    ("retained", ["uploads", "pages", "orders", "carts"]),
];

#[test]
fn rows_are_in_the_order_that_is_asked_for() {
    let folder = folder("sorted");
    save(&folder, "report.json", &report(&folder));
    let whole = run(&folder, &["report", "report.json"]).out;
    for (sort, expected) in ORDERS {
        for full in [&[][..], &["--full"]] {
            let text = run(&folder, &[&["report", "report.json", "--sort", sort], full].concat());
            assert_eq!(text.code, 0, "{}", text.error);
            assert_eq!(column(&text.out, "SITE"), expected, "{sort}\n{}", text.out);
            if sort != "retained" {
                assert_eq!(column(&text.out, "TASK"), expected, "{sort}\n{}", text.out);
            }
            assert_eq!(text.out.lines().next(), whole.lines().next());
        }
        let json = run(&folder, &["report", "report.json", "--sort", sort, "--format", "json"]);
        let snapshot = MemorySnapshot::from_json(&json.out).unwrap();
        let names: Vec<_> = snapshot.sites().iter().map(|it| &*it.name).collect();
        assert_eq!(names, expected, "{sort}");
        // Each stack is still of its site.
        let owners = snapshot.stacks().iter().map(|it| &*snapshot.sites()[it.site.unwrap()].name);
        assert_eq!(owners.collect::<Vec<_>>(), ["orders", "uploads"], "{sort}");
    }
    assert_eq!(run(&folder, &["report", "report.json", "--sort", "live"]).out, whole);
    let wrong = run(&folder, &["report", "report.json", "--sort", "size"]);
    assert_eq!(wrong.code, 2);
    wrong.has(&["[possible values: live, peak, allocated, retained]"]);
}

#[test]
fn a_filter_says_what_it_hides_and_keeps_the_totals() {
    let folder = folder("filtered");
    save(&folder, "report.json", &report(&folder));
    let whole = run(&folder, &["report", "report.json"]).out;
    let filter = ["report", "report.json", "--filter", r"^(uploads|orders) "];
    let text = run(&folder, &filter);
    assert_eq!(text.code, 0, "{}", text.error);
    assert_eq!(column(&text.out, "SITE"), ["orders", "uploads"], "{}", text.out);
    assert!(!text.out.contains("carts") && !text.out.contains("pages"), "{}", text.out);
    let note = "hides 2 of 4 sites, 2 of 4 tasks; totals are those of the whole report";
    text.has(&[note]);
    assert_eq!(
        text.out.lines().take(2).collect::<Vec<_>>(),
        whole.lines().take(2).collect::<Vec<_>>()
    );

    let json = run(&folder, &[&filter[..], &["--format", "json"]].concat());
    assert!(json.error.contains(note), "not between the JSON: {}", json.error);
    let value = json.json();
    let whole: Value =
        serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_eq!(value["process"], whole["process"]);
    assert_eq!(value["selection"]["filter"], filter[3]);
    assert_eq!(value["selection"]["rows"]["sites"], json!({"all": 4, "hidden": 2}));
    let snapshot = MemorySnapshot::from_json(&json.out).unwrap();
    let owners = snapshot.stacks().iter().map(|it| &*snapshot.sites()[it.site.unwrap()].name);
    assert_eq!(owners.collect::<Vec<_>>(), ["orders", "uploads"]);
    // What is read again says that rows are missing.
    fs::write(folder.join("part.json"), &json.out).unwrap();
    run(&folder, &["report", "part.json"]).has(&["this file was written with `--filter ^(uploads"]);

    let place = run(&folder, &["report", "report.json", "--filter", r"src/pages\.rs:7\)"]);
    assert_eq!(column(&place.out, "SITE"), ["pages"]);
    let nothing = run(&folder, &["report", "report.json", "--filter", "Carts"]);
    assert_eq!((nothing.code, &*nothing.out), (2, ""));
    nothing.has(&[
        "`--filter Carts` matches none of 4 sites, 4 tasks, 2 stacks",
        "such as `carts (src/carts.rs:7)`",
        "`(?i)`",
    ]);
    assert_eq!(run(&folder, &["report", "report.json", "--filter", "(?i)Carts"]).code, 0);
    let wrong = run(&folder, &["report", "report.json", "--filter", "("]);
    assert_eq!(wrong.code, 2);
    wrong.has(&["regex parse error"]);
}

#[test]
fn an_option_that_a_format_has_no_use_for_is_refused() {
    let folder = folder("formats");
    save(&folder, "report.json", &report(&folder));
    for (format, instead) in [
        ("html", "the page has every row"),
        ("pprof", "-focus"),
        ("folded", "grep"),
        ("speedscope", "its viewer searches"),
    ] {
        for option in [&["--sort", "peak"][..], &["--filter", "carts"], &["--full"]] {
            let refused =
                run(&folder, &[&["report", "report.json", "--format", format], option].concat());
            assert_eq!((refused.code, &*refused.out), (2, ""), "{format} {option:?}");
            refused.has(&[&format!("`{}` is for `--format text` and `json`", option[0]), instead]);
        }
    }
    let json = ["report", "report.json", "--format", "json"];
    assert_eq!(run(&folder, &json).out, run(&folder, &[&json[..], &["--full"]].concat()).out);
    let page = run(&folder, &["report", "report.json", "--format", "html"]);
    let snapshot =
        MemorySnapshot::from_json(&fs::read_to_string(folder.join("report.json")).unwrap());
    assert_eq!(page.out, memscope_export::html(&snapshot.unwrap()));
    // A page is no report to read, and says what it is.
    fs::write(folder.join("report.html"), page.out).unwrap();
    let page = run(&folder, &["report", "report.html"]);
    assert_eq!(page.code, 2);
    page.has(&["report.html is a page: open it in a browser"]);
}

#[test]
fn a_report_is_asked_of_a_program_that_serves_it() {
    let folder = folder("served");
    let report = report(&folder);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = report.to_string();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len());
        write!(stream, "{head}Connection: close\r\n\r\n{body}").unwrap();
        String::from_utf8(request).unwrap()
    });
    let text = run(&folder, &["report", &url, "--sort", "peak"]);
    assert_eq!(text.code, 0, "{}", text.error);
    assert_eq!(column(&text.out, "SITE")[0], "orders");
    assert!(served.join().unwrap().starts_with("GET /snapshot.json HTTP/1.1\r\n"));
    let gone = run(&folder, &["report", &url]);
    assert_eq!(gone.code, 2);
    gone.has(&["does not answer"]);
}

#[test]
fn files_that_are_no_report_say_what_to_do() {
    let folder = folder("no-report");
    let mut other = report(&folder);
    other["memscope_format"] = 99.into();
    save(&folder, "later.json", &other);
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join("garbage"), b"\xff\xfe\0garbage").unwrap();
    fs::write(folder.join("futures.json"), "{\"memscope_futures\":1}").unwrap();
    fs::write(folder.join("text.txt"), "live memory: 1 B untracked = 1 B\n").unwrap();
    for (file, part) in [
        ("later.json", "has format 99"),
        ("empty", "empty"),
        ("garbage", "garbage: "),
        ("futures.json", "`cargo memscope futures FILE` prints them"),
        ("text.txt", "`MEMSCOPE_REPORT=report.json`"),
        ("not-there", "cannot read not-there"),
        (".", "a folder"),
        ("https://127.0.0.1:1", "`http://`"),
    ] {
        let refused = run(&folder, &["report", file]);
        assert_eq!((refused.code, &*refused.out), (2, ""), "{file}");
        refused.has(&[part]);
    }
}

/// The build id of a program in hexadecimal digits.
fn build_id(program: &Path) -> String {
    let symbols = Symbols::open(program).unwrap();
    symbols.build_id().unwrap().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("it is a String");
        text
    })
}

#[test]
fn a_stripped_program_has_its_state_machines_from_a_folder_of_debug_files() {
    let folder = folder("stripped-report");
    rustc(&folder, "impls.rs", &["-g", "-Clink-arg=-Wl,--build-id=sha1"]);
    let (program, id) = (folder.join("impls"), build_id(&folder.join("impls")));
    let layouts = Layouts::read(&program).unwrap();
    let (vtable, size) = layouts
        .vtables()
        .find_map(|(at, id)| Some((at, layouts.future_type(id?)?.size?)))
        .unwrap_or((layouts.base_address() + 8, 1));
    let mut report = report(&folder);
    report["program"] = json!({"path": program, "build_id": id});
    report["sites"][0]["future_vtable"] = (vtable - layouts.base_address()).into();
    report["sites"][0]["future_size_bytes"] = size.into();
    save(&folder, "report.json", &report);

    let debug = folder.join(format!("debug/.build-id/{}/{}.debug", &id[..2], &id[2..]));
    fs::create_dir_all(debug.parent().unwrap()).unwrap();
    let objcopy = |arguments: &[&str], paths: &[&Path]| {
        Command::new("objcopy").args(arguments).args(paths).status().is_ok_and(|it| it.success())
    };
    if !objcopy(&["--only-keep-debug"], &[&program, &debug]) {
        return eprintln!("skipped: objcopy, of binutils, is not here");
    }
    assert!(objcopy(&["--strip-all"], &[&program]));
    let shown = |options: &[&str]| run(&folder, &[&["report", "report.json"], options].concat());
    shown(&[]).has(&["state machines: not shown, as", "is stripped"]);
    let found = shown(&["--debug-dir", "debug"]);
    found.has(&["\nstate machines, from "]);
    assert!(!found.out.contains("not shown"), "{}", found.out);
    // The program is gone, or is another one by now.
    let kept = folder.join("kept");
    fs::rename(&program, &kept).unwrap();
    shown(&["--debug-dir", "debug"]).has(&["\nstate machines, from "]);
    shown(&["--debug-dir", "debug", "--program", "kept"]).has(&["\nstate machines, from kept"]);
    let nothing = folder.join("nothing");
    fs::create_dir(&nothing).unwrap();
    shown(&["--debug-dir", "nothing"]).has(&["state machines: not shown"]);
}
