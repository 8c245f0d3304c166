//! Call stacks of saved reports are joined with the program that wrote them, built in many ways:
//! its functions, files and lines, or the reason why there are none.
#![cfg(target_os = "linux")]

use std::{
    env,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use memscope_layout::Symbols;
use memscope_runtime::async_memory::{MemorySnapshot, StackFrame, get_memory_snapshot};
use serde_json::{Value, json};

const LEGACY: &str = "-Csymbol-mangling-version=legacy";
const V0: &str = "-Csymbol-mangling-version=v0";
const LINE_OF_INLINED: u32 = 8;
const LINE_OF_OUTER: u32 = 13;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lines").join(name);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A program that was built and has run once.
struct Program {
    path: PathBuf,
    /// The offset of its function `outer`.
    outer: u64,
}

fn build(name: &str, flags: &[&str]) -> Program {
    let folder = folder(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/called.rs");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .current_dir(&folder)
        .arg(source)
        .args(["--edition=2024", "-O", "-Ccodegen-units=1", "-Zunstable-options"])
        .args(flags)
        // The older mangling can only be asked for with `-Z`.
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = folder.join("called");
    let outer = Command::new(&path).output().unwrap().stdout;
    let outer = String::from_utf8(outer).unwrap().trim().parse().unwrap();
    Program { path, outer }
}

fn build_id(path: &Path) -> Option<String> {
    let symbols = Symbols::open(path).unwrap();
    symbols.build_id().map(|id| {
        id.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("it is a String");
            text
        })
    })
}

impl Program {
    /// A report of the program: a stack with a call at each byte of the beginning of `outer`.
    fn report(&self, function: &str) -> Value {
        let file = self.path.with_extension("empty.json");
        get_memory_snapshot().write_to(&file).unwrap();
        let mut report: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        report["program"] = json!({"path": self.path, "build_id": build_id(&self.path)});
        let call = |offset| json!({ "function": function, "address": offset, "offset": offset });
        let frames: Vec<_> = (self.outer..self.outer + 12).map(call).collect();
        report["stacks"] = json!([{ "frames": frames, "live_bytes": 1 << 20, "live_samples": 1 }]);
        report["stacks_measured"] = "on".into();
        report["measured"] = "yes".into();
        report
    }

    fn save(&self, report: &Value) -> PathBuf {
        let path = self.path.with_extension("json");
        fs::write(&path, report.to_string()).unwrap();
        path
    }
}

/// What the tool prints about a report: its output, its errors and its exit code.
fn run(report: &Path, options: &[&str]) -> (String, String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-memscope"));
    let output = command.args(["memscope", "report"]).arg(report).args(options).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

/// The calls of the one stack, with what the tool has added.
fn calls(report: &Path, options: &[&str]) -> Vec<StackFrame> {
    let (out, error, code) = run(report, &[&["--format", "json"], options].concat());
    assert_eq!(code, 0, "{error}");
    let snapshot = MemorySnapshot::from_json(&out).unwrap();
    snapshot.stacks()[0].frames.clone()
}

/// `NAME LINE` of an inlined call, and of the function that it is in.
fn inlined(calls: &[StackFrame]) -> Option<[String; 2]> {
    let at = calls.iter().position(|it| it.is_inlined && it.line == Some(LINE_OF_INLINED))?;
    // The standard library's `black_box` may be inlined too.
    let outer = calls[at..].iter().find(|it| !it.is_inlined)?;
    assert_eq!(outer.address, calls[at].address);
    let shown = |it: &StackFrame| {
        assert!(it.file.as_ref().unwrap().ends_with("samples/called.rs"), "{it:?}");
        format!("{} {}", it.function, it.line.unwrap())
    };
    Some([shown(&calls[at]), shown(outer)])
}

#[track_caller]
fn has_lines(calls: &[StackFrame]) {
    assert_eq!(
        inlined(calls).expect("an inlined call"),
        [format!("called::inlined {LINE_OF_INLINED}"), format!("called::outer {LINE_OF_OUTER}")]
    );
}

#[test]
fn functions_and_lines_are_those_that_the_build_has() {
    for (mangling, flag) in [("legacy", LEGACY), ("v0", V0)] {
        for level in ["0", "line-tables-only", "1", "2"] {
            let program =
                build(&format!("{mangling}-{level}"), &[flag, &format!("-Cdebuginfo={level}")]);
            let calls = calls(&program.save(&program.report("")), &[]);
            let outermost = calls.iter().filter(|it| !it.is_inlined);
            let outermost: Vec<_> = outermost.map(|it| &*it.function).collect();
            assert_eq!(outermost, ["called::outer"; 12], "{mangling} {level}");
            match level {
                "0" => assert!(calls.iter().all(|it| it.line.is_none() && !it.is_inlined)),
                // Line tables have no paths.
                "line-tables-only" => {
                    let expected = [
                        format!("inlined {LINE_OF_INLINED}"),
                        format!("called::outer {LINE_OF_OUTER}"),
                    ];
                    assert_eq!(inlined(&calls).unwrap(), expected);
                }
                _ => has_lines(&calls),
            }
        }
    }
}

#[test]
fn the_text_shows_the_line_of_the_code_that_allocates() {
    let program = build("text", &[V0, "-Cdebuginfo=1"]);
    let report = program.save(&program.report(""));
    let (out, _, code) = run(&report, &["--full"]);
    assert_eq!(code, 0);
    let place = format!("called.rs:{LINE_OF_INLINED})");
    let shown = |line: &str| line.starts_with("  at called::inlined (") && line.ends_with(&place);
    assert!(out.lines().any(shown), "{out}");
    // In the table as well.
    assert!(out.lines().any(|it| it.contains("$0") && it.contains("called.rs:")), "{out}");
    // What the tool has written is read again, and stays as it is.
    let (first, ..) = run(&report, &["--format", "json"]);
    let again = report.with_extension("again.json");
    fs::write(&again, &first).unwrap();
    assert_eq!(run(&again, &["--format", "json"]).0, first);
}

#[test]
fn a_program_that_is_not_position_independent_has_the_same_lines() {
    let flags = ["-Crelocation-model=static", "-Clink-arg=-no-pie", "-Cdebuginfo=2"];
    let program = build("static", &flags);
    has_lines(&calls(&program.save(&program.report("")), &[]));
}

#[test]
fn split_debug_information_is_found_beside_the_program() {
    for kind in ["packed", "unpacked"] {
        let split = format!("-Csplit-debuginfo={kind}");
        let program = build(&format!("split-{kind}"), &["-Cdebuginfo=2", &split]);
        has_lines(&calls(&program.save(&program.report("")), &[]));
    }
}

fn objcopy(arguments: &[&str], paths: &[&Path]) -> bool {
    match Command::new("objcopy").args(arguments).args(paths).status() {
        Ok(status) => {
            assert!(status.success());
            true
        }
        Err(error) => {
            eprintln!("skipped: objcopy, of binutils, is not here: {error}");
            false
        }
    }
}

#[test]
fn a_debug_file_is_found_by_link_by_name_and_by_build_id() {
    let program = build("moved", &["-Cdebuginfo=2", "-Clink-arg=-Wl,--build-id=sha1"]);
    let report = program.save(&program.report(""));
    let debug = program.path.with_extension("debug");
    if !objcopy(&["--only-keep-debug"], &[&program.path, &debug]) {
        return;
    }
    objcopy(&["--strip-all"], &[&program.path]);
    let stripped = calls(&report, &[]);
    assert!(stripped.iter().all(|it| it.function.is_empty() && it.line.is_none()));
    assert!(run(&report, &[]).0.contains("`--debug-file PATH` names it"));
    // Named.
    let elsewhere = folder("moved-elsewhere");
    let named = elsewhere.join("any.name");
    fs::rename(&debug, &named).unwrap();
    let named = named.to_str().unwrap();
    has_lines(&calls(&report, &["--debug-file", named]));
    // In a folder by the program's name, and by its build id.
    let id = build_id(&program.path).unwrap();
    let by_id = elsewhere.join(format!(".build-id/{}", &id[..2]));
    fs::create_dir_all(&by_id).unwrap();
    let folder = ["--debug-file", elsewhere.to_str().unwrap()];
    for path in [elsewhere.join("called.debug"), by_id.join(format!("{}.debug", &id[2..]))] {
        fs::copy(named, &path).unwrap();
        has_lines(&calls(&report, &folder));
        // The program itself is not needed.
        if path.starts_with(&by_id) {
            let mut gone = program.report("");
            gone["program"]["path"] = "/not/there".into();
            let gone = program.save(&gone);
            has_lines(&calls(&gone, &folder));
            has_lines(&calls(&gone, &["--debug-file", named]));
        }
        fs::remove_file(path).unwrap();
    }
    // By the link in the program.
    fs::copy(named, &debug).unwrap();
    let link = format!("--add-gnu-debuglink={}", debug.to_str().unwrap());
    objcopy(&[&link], &[&program.path]);
    has_lines(&calls(&program.save(&program.report("")), &[]));
}

#[test]
fn another_build_is_refused() {
    let id = "-Clink-arg=-Wl,--build-id=sha1";
    let program = build("one", &["-Cdebuginfo=2", id]);
    let other = build("other", &["-Cdebuginfo=1", id]);
    let [path, other_path] = [&program, &other].map(|it| it.path.to_str().unwrap());
    let report = program.save(&program.report(""));
    for option in ["--program", "--debug-file"] {
        let (out, error, code) = run(&report, &[option, other_path]);
        assert_eq!((&*out, code), ("", 2), "{option}");
        assert!(error.contains(&build_id(&other.path).unwrap()), "{error}");
    }
    // Where the program was there is another build now.
    let mut replaced = program.report("called::elsewhere");
    replaced["program"]["path"] = other_path.into();
    let replaced = program.save(&replaced);
    let (out, _, code) = run(&replaced, &[]);
    assert_eq!(code, 0);
    assert!(out.contains("\nlines of stacks: not shown, as "), "{out}");
    assert!(out.contains("is another build than the one that wrote the report"), "{out}");
    let before = calls(&replaced, &[]);
    assert_eq!(before.len(), 12, "{before:?}");
    assert!(before.iter().all(|it| it.function == "called::elsewhere" && it.line.is_none()));
    has_lines(&calls(&replaced, &["--program", path]));
}

#[test]
fn without_a_build_id_the_names_in_the_report_decide() {
    let program = build("no-id", &["-Cdebuginfo=2", "-Clink-arg=-Wl,--build-id=none"]);
    assert_eq!(build_id(&program.path), None);
    has_lines(&calls(&program.save(&program.report("called::outer")), &[]));
    for function in ["called::elsewhere", ""] {
        let report = program.save(&program.report(function));
        assert!(calls(&report, &[]).iter().all(|it| it.line.is_none()));
        let (_, error, code) = run(&report, &["--program", program.path.to_str().unwrap()]);
        assert_eq!(code, 2);
        assert!(error.contains("no build id"), "{error}");
    }
}

#[test]
fn a_library_is_joined_by_its_own_build_id() {
    let program = build("library", &["-Cdebuginfo=2"]);
    let mut report = program.report("");
    let path = program.path.to_str().unwrap();
    for frame in report["stacks"][0]["frames"].as_array_mut().unwrap() {
        frame["library"] = path.into();
    }
    report["libraries"] = json!([{"path": path, "build_id": build_id(&program.path)}]);
    report["program"] = Value::Null;
    has_lines(&calls(&program.save(&report), &[]));
    report["libraries"][0]["build_id"] = "0123456789".into();
    let report = program.save(&report);
    assert!(calls(&report, &[]).iter().all(|it| it.line.is_none()));
    assert!(run(&report, &[]).0.contains("not shown in libraries that are not here"));
}
