//! Runs each file of a test program in a process of its own.
//!
//! Exactness wants a process and an allocator a file. A program a file wants a link a file, which
//! was most of the tests' time. So the files of a folder are one program. Before `main` it lists
//! its tests, starts itself once a file, and prints what each said. As many tests wait, it runs one
//! more at a time than there are processors. What is asked for of one file alone runs in the
//! program itself, under a debugger too.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fmt::Write as _,
    io::{self, Write as _},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use crate::workers;

/// Set in the processes that have tests to run.
const ALONE: &str = "TESTS_OF_ONE_FILE";

/// Has each module at the root of this test program run in a process of its own. The tests of the
/// modules that are named mostly wait for programs which they start: more of them run at a time.
#[macro_export]
macro_rules! files_apart {
    ($($waiting:ident),*) => {
        extern "C" fn files_apart() {
            $crate::files_apart::run(&[$(stringify!($waiting)),*]);
        }
        $crate::memscope_rs::__before_main!(".init_array", files_apart);
    };
}

/// How many tests of a file run at a time that mostly wait.
const WAITING: &str = "--test-threads=6";

/// Runs the files and ends the process, unless this one has a single file to run.
pub fn run(waiting: &[&str]) {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let asks = arguments.iter().any(|it| it == "--list" || it == "--help" || it == "-h");
    if asks || env::var_os(ALONE).is_some() {
        return;
    }
    let files = match files(&arguments) {
        Ok(files) if files.len() > 1 => files,
        // One file, or none: the harness of this process does it, or says what is wrong.
        Ok(_) | Err(_) => return,
    };
    let failed = run_each(&files, &arguments, waiting);
    if failed.is_empty() {
        std::process::exit(0);
    }
    say(&format!("\nfailed: {}\n", failed.join(", ")));
    std::process::exit(101);
}

/// The names of the tests that `arguments` select, by file.
fn files(arguments: &[OsString]) -> io::Result<BTreeMap<String, Vec<String>>> {
    let list = Command::new(env::current_exe()?)
        .args(arguments)
        .arg("--list")
        .env(ALONE, "1")
        .stderr(Stdio::null())
        .output()?;
    let mut files = BTreeMap::<String, Vec<String>>::new();
    for line in String::from_utf8_lossy(&list.stdout).lines() {
        let Some(test) = line.strip_suffix(": test") else { continue };
        let file = test.split("::").next().unwrap_or(test);
        files.entry(file.to_owned()).or_default().push(test.to_owned());
    }
    Ok(files)
}

/// How many files run at a time: what `--test-threads` or its variable says, else one more than
/// there are processors.
fn files_at_a_time(arguments: &[OsString]) -> usize {
    let arguments: Vec<_> = arguments.iter().map(|it| it.to_string_lossy()).collect();
    let after = arguments.iter().position(|it| it == "--test-threads").map(|at| at + 1);
    let said = (arguments.iter().find_map(|it| it.strip_prefix("--test-threads=")))
        .or_else(|| after.and_then(|at| arguments.get(at)).map(AsRef::as_ref))
        .map(str::to_owned)
        .or_else(|| env::var("RUST_TEST_THREADS").ok());
    said.and_then(|it| it.parse().ok())
        .or_else(|| thread::available_parallelism().ok().map(|processors| processors.get() + 1))
        .unwrap_or(1)
}

/// Runs all files and returns the names of those that failed.
fn run_each(
    files: &BTreeMap<String, Vec<String>>,
    arguments: &[OsString],
    waiting: &[&str],
) -> Vec<String> {
    let files: Vec<_> = files.iter().collect();
    let run = |(file, tests): &(&String, &Vec<String>)| {
        let waits = waiting.contains(&file.as_str());
        (!run_one(file, tests, arguments, waits)).then(|| (*file).clone())
    };
    let failed = workers::each(&files, files_at_a_time(arguments), run);
    failed.into_iter().flatten().collect()
}

/// Runs the tests of one file in a process of its own and prints all that it said, in one piece.
/// Returns whether all passed.
fn run_one(file: &str, tests: &[String], arguments: &[OsString], waits: bool) -> bool {
    let started = Instant::now();
    let mut command = Command::new(env::current_exe().expect("this program has a path"));
    command.args(arguments).args(tests).env(ALONE, "1").stdin(Stdio::null());
    if !arguments.iter().any(|it| it == "--exact") {
        command.arg("--exact");
    }
    if waits && !arguments.iter().any(|it| it.to_string_lossy().starts_with("--test-threads")) {
        command.arg(WAITING);
    }
    let output = command.output().expect("this program starts once more");
    let mut said = format!("\n     {file} ({:.1} s)\n", started.elapsed().as_secs_f64());
    said.push_str(&String::from_utf8_lossy(&output.stdout));
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        let _ = writeln!(said, "{file}: {}", output.status);
    }
    say(&said);
    output.status.success()
}

/// Prints in one piece: other threads print too.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
