//! Counts the instructions that memscope adds to each operation: the same on every run, however
//! busy the machine is.
//!
//! `cargo bench -p memscope-benches --bench instructions` prints them; with `-- --check` it fails
//! where one is above its budget in `budgets.txt` by more than its slack, with `-- --write` it
//! writes that file anew. Needs valgrind.
#![expect(clippy::print_stdout, reason = "the table is its output")]

use std::{
    collections::BTreeMap,
    env,
    fmt::Write,
    fs,
    process::{Command, ExitCode},
};

const BUDGETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/budgets.txt");

/// Each loop: its name, how many operations are counted, and its slack. The slack is the number of
/// instructions above the budget that pass: the C library takes other paths if blocks lie
/// elsewhere.
const LOOPS: [(&str, u32, f64); 16] = [
    ("64 B, allocate and free", 20_000, 2.0),
    ("16 to 4,096 B, in batches", 20_000, 30.0),
    ("growth by push to 512 B", 5_000, 40.0),
    ("1 MiB zeroed", 500, 300.0),
    ("64 B, in an unannotated task", 20_000, 4.0),
    ("64 B, in an unannotated task, one thread", 20_000, 4.0),
    ("free of a block", 20_000, 2.0),
    ("free of another task's block", 20_000, 4.0),
    ("current_task_id", 20_000, 1.0),
    ("poll, by hand", 20_480, 6.0),
    ("poll, by hand, with a budget", 20_480, 6.0),
    ("poll, by Tokio", 20_480, 30.0),
    ("spawn and join", 20_480, 600.0),
    ("spawn and join, unannotated", 20_480, 60.0),
    ("spawn and join, unannotated with a block", 20_480, 120.0),
    ("track_var!", 20_000, 120.0),
];

/// Instructions of the whole program, for so many operations.
///
/// Stacks are off unless the environment says otherwise: a sample comes at random.
fn instructions(program: &str, name: &str, count: u32) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", program])
        .args(["count", name, &count.to_string()])
        .env("MEMSCOPE_STACKS", env::var("MEMSCOPE_STACKS").unwrap_or_else(|_| "off".to_owned()))
        .output()
        .expect("valgrind is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
    let refs =
        said.lines().find_map(|line| line.split_once("I   refs:").or(line.split_once("I refs:")));
    let (_, number) = refs.expect("cachegrind says the number");
    number.trim().replace(',', "").parse().expect("a number")
}

/// Returns the instructions of one operation: the difference between two runs, the second with
/// twice as many operations.
fn per_operation(program: &str, name: &str, count: u32) -> f64 {
    // The first ones warm up: tasks at a new place are timed more often, tables grow.
    let (once, twice) =
        (instructions(program, name, count), instructions(program, name, 2 * count));
    (twice - once) / f64::from(count)
}

fn main() -> ExitCode {
    let wants = |word: &str| env::args().any(|given| given == word);
    let mut added = BTreeMap::new();
    println!("| instructions per operation | bare | memscope | added |\n|---|---|---|---|");
    for (name, count, _) in LOOPS {
        let is_ours = matches!(name, "current_task_id" | "track_var!");
        let bare =
            if is_ours { 0.0 } else { per_operation(env!("CARGO_BIN_EXE_bare"), name, count) };
        let tracked = per_operation(env!("CARGO_BIN_EXE_tracked"), name, count);
        println!("| {name} | {bare:.1} | {tracked:.1} | **{:.1}** |", tracked - bare);
        added.insert(name.to_owned(), tracked - bare);
    }
    if wants("--write") {
        let mut text = String::new();
        for (name, added) in &added {
            writeln!(text, "{name}\t{added:.1}").expect("a string takes it");
        }
        fs::write(BUDGETS, text).expect("the budgets can be written");
    }
    if wants("--check") {
        return check(&added);
    }
    ExitCode::SUCCESS
}

fn check(added: &BTreeMap<String, f64>) -> ExitCode {
    let text = fs::read_to_string(BUDGETS).expect("there are budgets");
    let mut over = 0;
    for (name, budget) in text.lines().filter_map(|line| line.split_once('\t')) {
        let budget: f64 = budget.parse().expect("a number");
        let now = added[name];
        let (.., slack) = LOOPS.into_iter().find(|row| row.0 == name).expect("a loop");
        if now > budget + slack {
            over += 1;
            println!("{name}: {now:.1} instructions added, the budget is {budget:.1}");
        }
    }
    if over == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
