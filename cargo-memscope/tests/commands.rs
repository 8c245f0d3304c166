//! Runs the commands as a user would, on a package that is built on the way.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
    thread,
};

use memscope_export::{PprofKind, folded, pprof, speedscope};
use memscope_layout::{Layouts, Shape};
use memscope_runtime::async_memory::get_memory_snapshot;
use serde_json::{Value, json};

/// The output of a run of the tool, and its exit code.
#[derive(Debug)]
struct Run {
    out: String,
    error: String,
    code: i32,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        Self { out: text(output.stdout), error: text(output.stderr), code }
    }
}

fn shop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shop")
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

fn run(arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-memscope"));
    // Cargo passes the name of the subcommand first.
    command.arg("memscope").args(arguments).current_dir(shop());
    command.env("CARGO_TARGET_DIR", folder().join("shop")).env_remove("CARGO_BUILD_TARGET");
    // This variable belongs to the package under test, not to the one that is built.
    command.env_remove("CARGO_MANIFEST_DIR");
    command.output().unwrap().into()
}

/// Builds a binary of the package, and returns its path.
fn program(name: &str) -> PathBuf {
    let built = run(&["futures", "--release", "--bin", name, "--limit", "0"]);
    assert_eq!(built.code, 0, "{}", built.error);
    folder().join("shop/release").join(name)
}

static APP: LazyLock<String> = LazyLock::new(|| program("app").to_str().unwrap().to_owned());
static BOXED: LazyLock<String> = LazyLock::new(|| program("boxed").to_str().unwrap().to_owned());

fn json_of(arguments: &[&str]) -> Value {
    let run = run(arguments);
    assert_eq!(run.code, 0, "{}", run.error);
    serde_json::from_str(&run.out).unwrap()
}

fn future<'v>(value: &'v Value, name: &str) -> &'v Value {
    let futures = value["futures"].as_array().unwrap();
    futures.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Returns the lines of a future, up to the next one.
fn part<'t>(text: &'t str, name: &str) -> &'t str {
    text.split("\n\n")
        .find(|it| it.lines().next().is_some_and(|it| it.contains(name)))
        .unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

#[test]
fn a_package_is_built_with_debug_information_and_not_changed() {
    let before = fs::read(shop().join("Cargo.toml")).unwrap();
    let run = run(&["futures", "--release", "--bin", "app"]);
    assert_eq!(run.code, 0, "{}", run.error);
    let names = ["shop::race", "shop::handle", "shop::read_row", "shop::order"];
    let lines = names.map(|it| run.out.find(&format!("B  {it}  ")).expect(it));
    assert!(lines.is_sorted(), "the largest first:\n{}", run.out);
    assert_eq!(fs::read(shop().join("Cargo.toml")).unwrap(), before);
    assert!(!run.out.contains('\u{1b}'), "no colours where the output is no terminal");
}

#[test]
fn why_a_future_is_large_goes_down_to_the_variable_and_its_line() {
    let alone = run(&["futures", "--filter", "shop::handle", &APP]).out;
    let handle = part(&alone, "shop::handle");
    for expected in [
        "src/lib.rs:36",
        "waits at src/lib.rs:37  `read_row(id).await + 1`",
        "what it waits for: shop::read_row, and in it:",
        "waits at src/lib.rs:27  `turn().await;`",
        "8,192 B  buffer: [u8; 8192]  src/lib.rs:25",
        "→ src/lib.rs:37: `shop::read_row` (8,",
    ] {
        assert!(handle.contains(expected), "no `{expected}` in\n{handle}");
    }
    let text = run(&["futures", &APP]).out;
    let again = part(&text, "shop::handle");
    assert!(
        again.contains("as above") && !again.contains("8,192 B  buffer:"),
        "explained once: {again}"
    );
    let row = part(&text, "shop::read_row");
    let advice = "→ src/lib.rs:25: `buffer: [u8; 8192]` is alive across the await at src/lib.rs:27";
    assert!(row.contains(advice), "{row}");
    let order = part(&text, "shop::order");
    assert!(order.contains("→ src/lib.rs:31: the argument `basket` is held twice"), "{order}");
    assert!(
        handle.contains("is held inline where it is awaited; `Box::pin` it there (up to 8,"),
        "{handle}"
    );
    let race = part(&text, "shop::race");
    // In an optimised build, the first `pinned` hides the second, so the body supplies it.
    let expected = "perhaps pinned: shop::read_row  src/lib.rs:46, and in it:";
    assert!(race.contains(expected), "{race}");
    let advice = "futures that run side by side are held inline: `shop::read_row` (8,";
    assert!(race.contains(advice), "{race}");
    assert!(text.contains("upper bound"), "{text}");
}

#[test]
fn advice_that_is_followed_does_what_it_says() {
    let (app, boxed) =
        (json_of(&["futures", "--json", &APP]), json_of(&["futures", "--json", &BOXED]));
    let size = |value: &Value| value["size"].as_u64().unwrap();
    let (inline, pinned) = (future(&app, "shop::handle"), future(&boxed, "shop::handle_boxed"));
    // First what makes the awaited future large, then a box around it.
    assert_eq!(inline["advice"][0]["kind"], "local");
    assert_eq!(size(inline) - size(pinned), promised_by_a_box(inline), "{inline} {pinned}");
}

fn promised_by_a_box(future: &Value) -> u64 {
    let mut advice = future["advice"].as_array().unwrap().iter();
    let child = advice.find(|it| it["kind"] == "child").unwrap_or_else(|| panic!("{future}"));
    child["saves_up_to"].as_u64().unwrap()
}

#[test]
fn advice_promises_no_more_than_the_next_largest_state_leaves() {
    let program = program("waits");
    let value = json_of(&["futures", "--json", program.to_str().unwrap()]);
    let [inline, pinned] = ["waits::report", "waits::report_boxed"].map(|it| future(&value, it));
    let size = |value: &Value| value["size"].as_u64().unwrap();
    let (saved, promised) = (size(inline) - size(pinned), promised_by_a_box(inline));
    let align = inline["align"].as_u64().unwrap();
    assert!(saved <= promised && promised <= saved + align, "{saved} of {promised}: {inline}");
    let of_head = |advice: &Value| advice["text"].as_str().unwrap().contains("`head`");
    assert!(!inline["advice"].as_array().unwrap().iter().any(of_head), "it saves nothing");
}

#[test]
fn a_program_of_two_crates_reads_the_same_after_link_time_optimisation() {
    let run = run(&["futures", "--profile", "lto", "--bin", "app", "--json"]);
    assert_eq!(run.code, 0, "{}", run.error);
    let mut merged: Value = serde_json::from_str(&run.out).unwrap();
    let mut plain = json_of(&["futures", "--json", &APP]);
    assert_eq!(merged["futures"].as_array().unwrap().len(), 5);
    for value in [&mut merged, &mut plain] {
        value["build_id"] = Value::Null;
    }
    assert_eq!(merged, plain);
}

#[test]
fn a_limit_names_those_that_are_larger_and_fails() {
    let run_with = |size| run(&["futures", "--max-size", size, "--limit", "1", &APP]);
    let run = run_with("4KiB");
    assert_eq!(run.code, 1, "{}", run.error);
    assert!(run.error.starts_with("3 futures are larger than 4,096 B:"), "{}", run.error);
    for name in ["shop::race", "shop::handle", "shop::read_row"] {
        assert!(run.error.contains(name), "{}", run.error);
    }
    assert!(!run.error.contains("shop::order"), "{}", run.error);
    assert_eq!(run_with("1MiB").code, 0);
    let wrong = run_with("4 parsecs");
    assert_eq!(wrong.code, 2);
    assert!(wrong.error.contains("write bytes, or a number with KiB"), "{}", wrong.error);
}

#[test]
fn two_programs_are_compared_and_so_are_their_json_files() {
    let text = run(&["futures", "--diff", &APP, &BOXED]).out;
    assert!(text.contains("gone  shop::race"), "{text}");
    assert!(text.contains("new  →"), "{text}");
    assert!(text.contains("0 grew, 0 shrank, 1 new, 3 gone"), "{text}");

    let file = folder().join("app.json");
    let mut before = json_of(&["futures", "--json", &APP]);
    fs::write(&file, before.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let same = run(&["futures", "--diff", file, &APP]);
    assert_eq!(same.out, "no future changed its size\n", "{}", same.error);

    let futures = before["futures"].as_array_mut().unwrap();
    let row = futures.iter_mut().find(|it| it["name"] == "shop::read_row").unwrap();
    let size = row["size"].as_u64().unwrap();
    row["size"] = (size - 1100).into();
    fs::write(file, before.to_string()).unwrap();
    let grown = run(&["futures", "--diff", file, &APP, "--max-size", &(size - 1).to_string()]);
    assert!(grown.out.contains("+1,100 B"), "{}", grown.out);
    assert!(grown.out.contains("1 grew, 0 shrank, 0 new, 0 gone"), "{}", grown.out);
    assert_eq!(grown.code, 1, "what is there after is judged: {}", grown.error);
}

#[test]
fn json_is_read_from_a_pipe_as_well() {
    let tool = env!("CARGO_BIN_EXE_cargo-memscope");
    let command = format!(
        "'{tool}' futures --json '{}' | '{tool}' futures --diff /dev/stdin '{}'",
        *APP, *APP
    );
    let run: Run = Command::new("sh").args(["-c", &command]).output().unwrap().into();
    assert_eq!(run.out, "no future changed its size\n", "{}", run.error);
}

#[test]
fn a_tree_has_every_state() {
    let text = run(&["futures", "--tree", "--filter", "race", &APP]).out;
    for expected in [
        "not yet polled",
        "the largest",
        "pinned: shop::order",
        "pinned: one more of this name, perhaps shop::read_row, 8,",
    ] {
        assert!(text.contains(expected), "no `{expected}` in\n{text}");
    }
}

#[test]
fn the_binary_is_named_when_there_are_several() {
    let run_with = |arguments: &[&str]| run(&[&["futures", "--release"], arguments].concat());
    let several = run_with(&[]);
    assert_eq!(several.code, 2);
    assert!(
        several.error.contains("name one: --bin app, --bin boxed, --bin erased"),
        "{}",
        several.error
    );
    let example = run_with(&["--example", "tiny"]);
    assert_eq!(example.code, 0, "{}", example.error);
    assert!(example.out.contains("0 of 0 of your own code, of 0 futures"), "{}", example.out);
    let missing = run_with(&["--bin", "nothing"]);
    assert_eq!(missing.code, 2);
    assert!(
        missing.error.contains("no bin target named `nothing`"),
        "cargo says why: {}",
        missing.error
    );
}

#[test]
fn the_guide_shows_what_is_really_printed() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/shrink-your-futures.md");
    let guide = fs::read_to_string(guide).unwrap();
    let target = folder().join("shop");
    let build = ["futures", "--release", "--bin", "upload"];
    let shown = |arguments: &[&str]| {
        let run = run(arguments);
        let text = format!("{}{}", run.out, run.error);
        let text = text.replace(target.to_str().unwrap(), "target");
        let arguments = arguments.iter().map(|it| it.rsplit('/').next().unwrap());
        let command = arguments.collect::<Vec<_>>().join(" ");
        let block = format!("```console\n$ cargo memscope {command}\n{}\n```", text.trim_end());
        assert!(guide.contains(&block), "the guide does not show\n{block}");
    };
    let save = |name: &str, more: &[&str]| {
        let run = run(&[&build[..], &["--json"], more].concat());
        let file = folder().join(name);
        fs::write(&file, run.out).unwrap();
        file.to_str().unwrap().to_owned()
    };
    shown(&build);
    shown(&[&build[..], &["--max-size", "4KiB", "--limit", "0"]].concat());
    let (before, after) = (save("before.json", &[]), save("after.json", &["--features", "after"]));
    shown(&["futures", "--diff", &before, &after]);
}

#[test]
fn a_file_that_tells_nothing_says_what_to_do() {
    let source = run(&["futures", "src/lib.rs"]);
    assert_eq!(source.code, 2);
    assert!(source.error.contains("not an ELF file"), "{}", source.error);
    let gone = run(&["futures", "not/there"]);
    assert!(gone.error.starts_with("error: cannot read not/there"), "{}", gone.error);
    let json = folder().join("other.json");
    fs::write(&json, "{}").unwrap();
    let other = run(&["futures", json.to_str().unwrap()]);
    assert!(other.error.contains("cargo memscope futures --json > FILE"), "{}", other.error);
}

#[test]
fn a_saved_report_is_printed_as_the_program_would_have() {
    let file = folder().join("report.json");
    let snapshot = get_memory_snapshot();
    snapshot.write_to(&file).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(run(&["report", file]).out, snapshot.to_string());
    assert_eq!(run(&["report", "--full", file]).out, format!("{snapshot:#}"));
    let wrong = run(&["report", "Cargo.toml"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.error.starts_with("error: Cargo.toml: the text is not JSON"), "{}", wrong.error);
    let gone = run(&["report", "not/there"]);
    assert!(gone.error.starts_with("error: cannot read not/there: "), "{}", gone.error);
}

#[test]
fn a_saved_report_is_converted_byte_by_byte() {
    let (report, snapshot) = (folder().join("converted.json"), get_memory_snapshot());
    snapshot.write_to(&report).unwrap();
    let printed = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-memscope"));
        let run = command.args(["memscope", "report"]).arg(&report).args(arguments).output();
        let run = run.unwrap();
        assert!(run.status.success(), "{run:?}");
        run.stdout
    };
    let live = printed(&["--format", "pprof"]);
    assert_eq!(live, pprof(&snapshot, PprofKind::Live));
    let allocated = printed(&["--format", "pprof", "--kind", "allocated"]);
    assert_eq!(allocated, pprof(&snapshot, PprofKind::Allocated));
    assert_ne!(live, allocated);
    assert_eq!(printed(&["--format", "folded"]), folded(&snapshot).into_bytes());
    assert_eq!(printed(&["--format", "speedscope"]), speedscope(&snapshot).into_bytes());
    assert_eq!(printed(&["--format", "json"]), fs::read(&report).unwrap());
    assert_eq!(printed(&["--format", "text"]), snapshot.to_string().into_bytes());
    let wrong = run(&["report", "--format", "svg", report.to_str().unwrap()]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.error.contains("[possible values: text, json, html, pprof, folded, speedscope]"));
}

/// A saved report, as the program `erased` would write it. Each site has a name, a number of live
/// futures, the name of its future, and its size in the report.
fn report_of(program: &Path, sites: &[(&str, u64, &str, u64)]) -> Value {
    let layouts = Layouts::read(program).unwrap();
    let file = folder().join(format!("{}.json", sites.len()));
    get_memory_snapshot().write_to(&file).unwrap();
    let mut report: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    report["program"] = json!({"path": program, "build_id": layouts.build_id()});
    let sites = sites.iter().map(|&(name, active, future, size)| {
        let vtables = layouts.vtables().filter_map(|it| Some((it.0, it.1?)));
        let mut named = vtables.filter(|it| {
            let future_type = layouts.future_type(it.1).unwrap();
            match future_type.shape {
                Shape::Coroutine(index) => layouts.coroutines()[index].path.contains(future),
                _ => future_type.name.contains(future),
            }
        });
        let vtable = named.next().map_or(layouts.base_address() + 8, |it| it.0);
        json!({
            "name": name, "task_type": "mixed", "file": "src/bin/erased.rs", "line": 24, "measured": true,
            "spawned": 9, "active": active, "completed": 0, "cancelled": 0, "panicked": 0, "given_up": 0,
            "is_annotated": true, "live_bytes": 0, "live_blocks": 0, "peak_bytes": 0, "peak_sum_bytes": 0,
            "allocated_bytes": 0, "allocation_count": 0, "ended_allocated_bytes": 0, "retained_bytes": 0,
            "unjoined_bytes": 0, "retained_tasks": 0, "oldest_retained_ns": null, "retained_waves": 0,
            "retained_by_eighth": [0, 0, 0, 0, 0, 0, 0, 0], "argument_bytes": null, "boxed_by_tokio": 0,
            "longest_wait_ns": 0, "wait_sum_ns": 0, "waits_timed": 0, "peak_histogram": [], "poll_histogram": [],
            "future_size_bytes": size, "future_vtable": vtable - layouts.base_address(),
        })
    });
    report["sites"] = sites.collect();
    report
}

fn save(name: &str, report: &Value) -> String {
    let file = folder().join(name);
    fs::write(&file, report.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_saved_report_is_joined_with_the_program_that_wrote_it() {
    let program = program("erased");
    let size = |name: &str| {
        let futures = json_of(&["futures", "--json", program.to_str().unwrap()]);
        future(&futures, name)["size"].as_u64().unwrap()
    };
    let (order_size, handle, race) =
        (size("shop::order"), size("shop::handle"), size("shop::race"));
    let sites = [
        ("orders", 1, "shop::order", order_size),
        ("handlers", 3, "shop::handle", handle),
        ("more handlers", 0, "shop::handle", handle),
        ("races", 1, "erased::Named<", race + 16),
        ("grown", 0, "shop::order", order_size + 1),
        ("elsewhere", 0, "not in the program", 64),
    ];
    let mut report = report_of(&program, &sites);
    let file = save("joined.json", &report);
    let joined = run(&["report", &file]);
    assert_eq!(joined.code, 0, "{}", joined.error);
    let piped =
        format!("cat '{file}' | '{}' report /dev/stdin", env!("CARGO_BIN_EXE_cargo-memscope"));
    let piped = Command::new("sh").current_dir(shop()).args(["-c", &piped]).output();
    let piped: Run = piped.unwrap().into();
    assert_eq!(piped.out, joined.out, "from a pipe as well: {}", piped.error);
    let (_, text) = joined.out.split_once("\nstate machines, from ").expect(&joined.out);
    let at = |text: &str, part: &str| {
        text.find(part).unwrap_or_else(|| panic!("no `{part}` in\n{text}"))
    };
    let order =
        ["handlers  src/bin/erased.rs:24  3 of 9 alive", "races  ", "orders  ", "elsewhere  "];
    assert!(order.map(|it| at(text, &format!("\n{it}"))).is_sorted(), "what they take:\n{text}");
    for expected in [
        "8,192 B  buffer: [u8; 8192]  src/lib.rs:25",
        "`Box::pin` it there (up to 8,",
        "more handlers  src/bin/erased.rs:24  0 of 9 alive\n  the same future as that of `handlers`",
        "inside erased::Named<shop::race>:",
        "not known: the type at its place has another size",
        "not known: its type is not in the debug information",
    ] {
        at(text, expected);
    }

    // Sites that the program explained itself are omitted by default. A site without a vtable has
    // no known future.
    let mut explained = report.clone();
    explained["sites"][0]["state_machine"] =
        json!({"path": "shop::order", "size_bytes": order_size, "states": 4, "widest": null});
    explained["sites"][1]["future_vtable"] = Value::Null;
    let explained = save("explained.json", &explained);
    let unasked = run(&["report", &explained]).out;
    let (report_itself, rest) = unasked.split_once("\nstate machines, from ").expect(&unasked);
    at(report_itself, "orders: 4 states, and it never waits");
    assert!(!rest.contains("\norders  ") && !rest.contains("\nhandlers  "), "{rest}");
    at(rest, "\nmore handlers  ");
    let asked = run(&["report", &explained, "--program", program.to_str().unwrap()]).out;
    at(&asked, "\norders  src/bin/erased.rs:24  1 of 9 alive");

    // The same program in another place, and without the file that is named.
    let moved = folder().join("moved-program");
    fs::copy(&program, &moved).unwrap();
    let moved = moved.to_str().unwrap();
    report["program"]["path"] = "/not/there (deleted)".into();
    let file = save("moved.json", &report);
    let gone = run(&["report", &file]);
    assert_eq!(gone.code, 0, "the report itself is whole");
    at(&gone.out, "state machines: not shown, as cannot read /not/there: ");
    at(&gone.out, "`--program PATH`");
    let found = run(&["report", &file, "--program", moved]);
    let (_, again) = found.out.split_once("\nstate machines, from ").expect(&found.error);
    assert_eq!(again.split_once('\n').unwrap().1, text.split_once('\n').unwrap().1);

    // Another build, which may have anything at these addresses.
    let other = run(&["report", &file, "--program", &APP]);
    assert_eq!(other.code, 2);
    let ids = [report["program"]["build_id"].as_str().unwrap(), &BUILD_ID];
    at(
        &other.error,
        &format!(
            "is another build than the one that wrote the report: its build id is {}, the report's {}",
            ids[1], ids[0]
        ),
    );
    report["program"]["path"] = APP.as_str().into();
    let other = run(&["report", &save("other-build.json", &report)]);
    assert_eq!(other.code, 0);
    at(&other.out, "is another build");

    report["program"]["build_id"] = Value::Null;
    let unsure = run(&["report", &save("unsure.json", &report), "--program", moved]);
    at(&unsure.out, "has no build id: that sizes agree is all");
}

static BUILD_ID: LazyLock<String> =
    LazyLock::new(|| Layouts::read(&*APP).unwrap().build_id().unwrap().to_owned());

#[test]
fn a_report_of_many_sites_shows_the_first() {
    let program = program("erased");
    let sites = [("orders", 1, "shop::order", 1); 12];
    let file = save("many.json", &report_of(&program, &sites));
    let shown = |arguments: &[&str]| {
        let text = run(&[&["report", &file], arguments].concat()).out;
        let (_, text) = text.split_once("\nstate machines, ").unwrap();
        (
            text.matches("  1 of 9 alive").count(),
            text.contains("10 of 12 sites; `--full` shows the rest"),
        )
    };
    assert_eq!(shown(&[]), (10, true));
    assert_eq!(shown(&["--full"]), (12, false));
}

/// Returns `true` unless a character moves the cursor, is invisible, or changes the order of its
/// neighbours.
fn is_harmless(text: &str) -> bool {
    text.chars().all(|it| {
        let hidden = matches!(u32::from(it),
            0x7f..=0x9f | 0xad | 0x61c | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xe0000..=0xe007f);
        !hidden && (it == '\n' || !it.is_control())
    })
}

/// Clears the screen, sets a title, reverses text, and contains invisible letters.
const NASTY: &str =
    "x\u{1b}[2J\u{1b}]0;t\u{7}\u{202e}y\u{2066}\u{200b}\u{feff}\u{85}\u{2028}\u{e0041}\rz";

#[test]
fn no_text_of_a_file_or_the_command_line_moves_the_cursor() {
    let mut report = report_of(
        &program("erased"),
        &[(NASTY, 1, "shop::order", 1), ("other", 1, "shop::handle", 1)],
    );
    report["sites"][0]["file"] = format!("{NASTY}.rs").into();
    let file = save("nasty.json", &report);
    let here = folder().join(format!("{NASTY}.json"));
    fs::write(&here, "{").unwrap();
    let here = here.to_str().unwrap().to_owned();
    let place = format!(r#"{{"file":{},"line":1}}"#, Value::from(NASTY));
    let nasty = Value::from(NASTY);
    let futures = |size: u32| {
        let text = format!(
            r#"{{"memscope_futures":1,"program":{nasty},"build_id":null,"futures":[{{"name":{nasty},"path":{nasty},"origin":"own",
            "size":{size},"declared_at":{place},"why":[{{"future":{nasty},"size":1,"at":{place},"parts":[],"others":0,
            "other_bytes":0,"next":null}}],"advice":[{{"kind":"child","saves_up_to":1,"place":{place},"text":{nasty}}}],
            "states":[{{"kind":"unresumed","place":{place},"live_bytes":8,"is_largest":true,"members":[{{"name":{nasty},
            "type":{nasty},"kind":"local","offset":0,"size":8}}]}}]}}]}}"#
        );
        let file = folder().join(format!("nasty-{size}.json"));
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (before, after) = (futures(8), futures(16));
    let damaged = save("nasty-damaged.json", &json!({ "memscope_format": 1, "measured": NASTY }));
    let missing = folder().join(NASTY).to_str().unwrap().to_owned();
    let runs: [&[&str]; 13] = [
        &["report", &file],
        &["report", &file, "--full"],
        &["report", &file, "--program", &missing],
        &["report", &damaged],
        &["report", &here],
        &["report", &missing],
        &["futures", &here],
        &["futures", &missing],
        &["futures", &before],
        &["futures", &before, "--tree"],
        &["futures", "--diff", &before, &after, "--max-size", "4"],
        &["futures", NASTY, "--max-size", NASTY],
        &[NASTY],
    ];
    for arguments in runs {
        let run = run(arguments);
        let shown = format!("{}{}", run.out, run.error);
        assert!(is_harmless(&shown), "{arguments:?}\n{shown:?}");
        assert!(shown.contains("x\\u{1b}[2J"), "it is shown all the same: {arguments:?}\n{shown}");
        assert!(run.code == 0 || !run.error.is_empty(), "{arguments:?}");
    }
    let (_, sites) = run(&["report", &file])
        .out
        .split_once("state machines, ")
        .map(|it| (it.0.to_owned(), it.1.to_owned()))
        .unwrap();
    assert!(sites.contains("\\u{202e}y"), "{sites}");
    // JSON contains the data unchanged.
    let json = run(&["futures", &before, "--json"]).out;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["futures"][0]["name"], NASTY);
}

#[test]
fn what_never_ends_is_refused_and_what_comes_through_a_pipe_is_read() {
    let pipe = folder().join("a-pipe");
    drop(fs::remove_file(&pipe));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    let folder = folder();
    for command in ["report", "futures"] {
        for (file, why) in [
            ("/dev/zero", "a device"),
            ("/dev/null", "a device"),
            (pipe, "no process writes to this pipe"),
            (folder.to_str().unwrap(), "a folder"),
        ] {
            let refused = run(&[command, file]);
            assert_eq!(refused.code, 2, "{command} {file}");
            assert!(refused.error.contains(why), "{command} {file}: {}", refused.error);
        }
        let tool = env!("CARGO_BIN_EXE_cargo-memscope");
        let endless = format!("yes x | '{tool}' {command} /dev/stdin");
        let endless: Run = Command::new("sh").args(["-c", &endless]).output().unwrap().into();
        assert_eq!(endless.code, 2, "{}", endless.error);
        let large = folder.join("large.json");
        fs::File::create(&large).unwrap().set_len(1 << 40).unwrap();
        fs::write(folder.join("large-start.json"), "{").unwrap();
        let error = run(&["report", large.to_str().unwrap()]).error;
        assert!(error.contains("larger than"), "{error}");
        fs::remove_file(large).unwrap();
        // The tool waits for a slow writer.
        let late =
            format!("(sleep 0.3; echo '{{'; sleep 0.3; echo '}}') | '{tool}' {command} /dev/stdin");
        let late: Run = Command::new("sh").args(["-c", &late]).output().unwrap().into();
        assert!(late.error.contains("JSON"), "{}", late.error);
    }
}

#[test]
fn a_saved_graph_is_printed_as_text_and_as_json() {
    let root = json!({"name": "app::CACHE", "kind": "static", "retained_bytes": 4096, "blocks": 2,
        "reachable_bytes": 8192, "reachable_is_whole": true,
        "largest": [{"blocks": 2, "own_bytes": 4096, "retained_bytes": 4096, "site": "fill"}]});
    let graph = json!({"pause_ns": 1_500_000, "taken_ns": 20_000_000, "blocks": 3, "bytes": 8292,
        "shared_bytes": 4096, "shared_blocks": 1, "roots": [root],
        "unreachable": [{"bytes": 100, "blocks": 1, "leaks": 1, "in_cycle": true}]});
    let file = save("graph.json", &graph);
    let text = run(&["holders", &file]);
    assert_eq!(text.code, 0, "{}", text.error);
    for line in [
        "heap: 8.1 KiB in 3 blocks; the process stood still for 1.5 ms",
        "app::CACHE",
        "2 × 2.0 KiB by fill",
        "held by several roots, by none alone: 4.0 KiB in 1 block",
        "100 B in 1 cycle, 1 block in all",
    ] {
        assert!(text.out.contains(line), "no {line} in\n{}", text.out);
    }
    let again = json_of(&["holders", &file, "--json"]);
    assert_eq!(again["roots"][0]["name"], "app::CACHE");
    assert_eq!(
        again["unreachable"],
        json_of(&["holders", &save("again.json", &again), "--json"])["unreachable"]
    );
    let mut later = graph;
    later["bytes"] = json!(8292 + 9000);
    later["blocks"] = json!(3 + 90);
    later["roots"][0]["retained_bytes"] = json!(4096 + 9000);
    later["roots"][0]["blocks"] = json!(2 + 90);
    let later = save("later.json", &later);
    let text = run(&["holders", &later, "--since", &file]);
    assert_eq!(text.code, 0, "{}", text.error);
    assert!(text.out.starts_with("heap: +8.8 KiB in +90 blocks\n"), "{}", text.out);
    let row = text.out.lines().find(|line| line.starts_with("app::CACHE")).expect("a row");
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, ["app::CACHE", "static", "·", "+8.8", "KiB", "+90"]);
    let changes = json_of(&["holders", &later, "--since", &file, "--json"]);
    assert_eq!(changes["roots"][0]["retained_bytes"], 9000);
    assert_eq!(changes["unreachable"], json!([]));
    let missing = run(&["holders", &later, "--since", "nowhere.json"]);
    assert_eq!(missing.code, 2);
    assert!(missing.error.contains("nowhere.json"), "{}", missing.error);
    let other = run(&["holders", &save("no_graph.json", &json!({"roots": []}))]);
    assert_eq!(other.code, 2);
    assert!(other.error.contains("is no graph"), "{}", other.error);
}

#[test]
fn all_tasks_are_printed_from_a_file_and_from_a_program_that_serves_them() {
    let point = json!({"frames": [{"function": "app::serve", "file": "src/app.rs", "line": 7,
        "size_bytes": 64, "locals": []}], "stops": "waits for tokio::time::Sleep", "tasks": 1,
        "measured": true, "live_bytes": 4096, "future_size_bytes": 64, "timed": 0,
        "waited_sum_ns": 0, "waited_p50_ns": null, "waited_p99_ns": null});
    let task = json!({"id": 3, "name": "app::serve", "state": "idle", "measured": true,
        "live_bytes": 4096, "await_point": point});
    let dump = json!({"pause_ns": 1_500_000, "taken_ns": 20_000_000, "tasks": [task, task]});
    let holds = |text: &str| {
        for line in [
            "2 tasks with 8.0 KiB: 0 running, 2 waiting, 0 over and still there",
            "    2  8.0 KiB    app::serve (src/app.rs:7): waits for tokio::time::Sleep",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    };
    let file = save("tasks.json", &dump);
    let text = run(&["tasks", &file]);
    assert_eq!(text.code, 0, "{}", text.error);
    holds(&text.out);
    assert_eq!(json_of(&["tasks", &file, "--json"])["tasks"][1]["id"], 3);
    let other = run(&["tasks", &save("no_dump.json", &json!({"roots": []}))]);
    assert_eq!(other.code, 2);
    assert!(other.error.contains("is no dump"), "{}", other.error);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let answers = [("200 OK", dump.to_string()), ("503 Busy", "try again".to_owned())];
        answers.map(|(status, body)| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
            write!(stream, "{head}Connection: close\r\n\r\n{body}").unwrap();
            String::from_utf8(request).unwrap()
        })
    });
    let text = run(&["tasks", &url]);
    assert_eq!(text.code, 0, "{}", text.error);
    holds(&text.out);
    let busy = run(&["tasks", &url]);
    assert_eq!(busy.code, 2);
    assert!(busy.error.contains("503") && busy.error.contains("try again"), "{}", busy.error);
    let requests = served.join().unwrap();
    assert!(requests[0].starts_with("GET /tasks.json HTTP/1.1\r\n"), "{}", requests[0]);
    // It answers nothing any more.
    let gone = run(&["tasks", &url]);
    assert_eq!(gone.code, 2);
    assert!(gone.error.contains("does not answer"), "{}", gone.error);
}

#[test]
fn top_without_a_terminal_says_what_to_do_instead() {
    for (from, instead) in [
        ("http://127.0.0.1:1", "`curl http://127.0.0.1:1/report.txt`"),
        ("127.0.0.1:1", "`curl http://127.0.0.1:1/report.txt`"),
        ("report\u{1b}[2J.json", "`cargo memscope report report\\u{1b}[2J.json`"),
        ("https://127.0.0.1:1", "programs serve at `http://`"),
        ("http://", "names no host"),
    ] {
        let run = run(&["top", from]);
        assert_eq!((run.code, &*run.out), (2, ""), "{from}");
        assert!(run.error.contains(instead), "{from}: {}", run.error);
    }
}
