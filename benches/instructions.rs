//! Counts the instructions that memscope adds to each operation: the same on every run, however
//! busy the machine is.
//!
//! `cargo bench -p memscope-benches --bench instructions` prints them; with `-- --check` it fails
//! where one is above its budget in `budgets.txt` by more than its slack, with `-- --write` it
//! writes that file anew. Needs valgrind. With `--features reports` it counts those of a scrape and
//! of an update of the page instead: that feature brings code which the others are counted without.
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
#[cfg(feature = "reports")]
const LOOPS: [(&str, u32, f64); 2] =
    [("scrape of 1,000 sites", 8, 700_000.0), ("page update of 10,000 tasks", 4, 1_500_000.0)];
#[cfg(not(feature = "reports"))]
const LOOPS: [(&str, u32, f64); 19] = [
    ("64 B, allocate and free", 20_000, 2.0),
    ("16 to 4,096 B, in batches", 20_000, 30.0),
    ("growth by push to 512 B", 5_000, 40.0),
    ("1 MiB zeroed", 500, 300.0),
    ("64 B, in an unannotated task", 20_000, 4.0),
    ("64 B, in an unannotated task, one thread", 20_000, 4.0),
    ("allocation of a block, each a new peak", 20_000, 4.0),
    ("allocation of a block, below the peak", 20_000, 4.0),
    ("free of a block", 20_000, 2.0),
    ("free of another task's block", 20_000, 4.0),
    ("current_task_id", 20_000, 1.0),
    ("poll, by hand", 20_480, 6.0),
    ("poll, by hand, with a budget", 20_480, 6.0),
    ("call, one poll", 20_480, 30.0),
    ("poll, by Tokio", 20_480, 30.0),
    ("spawn and join", 20_480, 600.0),
    ("spawn and join, unannotated", 20_480, 60.0),
    ("spawn and join, unannotated with a block", 20_480, 120.0),
    ("track_var!", 20_000, 120.0),
];

/// The program that has the loops, with memscope.
#[cfg(feature = "reports")]
const PROGRAM: &str = env!("CARGO_BIN_EXE_reports");
#[cfg(not(feature = "reports"))]
const PROGRAM: &str = env!("CARGO_BIN_EXE_tracked");

/// Whether the operation is memscope's own, which a program without memscope lacks.
fn is_ours(name: &str) -> bool {
    cfg!(feature = "reports") || matches!(name, "current_task_id" | "track_var!")
}

/// Instructions of the whole program, for this many operations.
///
/// Stacks are off unless the environment says otherwise, as a sample comes at random; so are names,
/// which a thread of memscope's own looks up, as far as it comes before the program ends.
fn instructions(program: &str, name: &str, count: u32) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", program])
        .args(["count", name, &count.to_string()])
        .envs(
            ["MEMSCOPE_STACKS", "MEMSCOPE_NAMES"]
                .map(|name| (name, env::var(name).unwrap_or_else(|_| "off".to_owned()))),
        )
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
/// twice as many operations. Of several such runs the least counts: a thread of memscope's own may
/// do a part of its work before the program ends, and that only adds.
fn per_operation(program: &str, (name, count): (&str, u32), runs: u32) -> f64 {
    let least = |count| {
        let counted = (0..runs).map(|_| instructions(program, name, count));
        counted.min_by(f64::total_cmp).unwrap_or(f64::NAN)
    };
    // The first ones warm up: tasks at a new place are timed more often, tables grow.
    (least(2 * count) - least(count)) / f64::from(count)
}

/// The instructions of an operation without and with memscope.
fn counted(name: &str, count: u32, runs: u32) -> [f64; 2] {
    let of = |program| per_operation(program, (name, count), runs);
    [if is_ours(name) { 0.0 } else { of(env!("CARGO_BIN_EXE_bare")) }, of(PROGRAM)]
}

/// How often an operation is counted again that is above its budget.
const AGAIN: u32 = 4;

fn main() -> ExitCode {
    let wants = |word: &str| env::args().any(|given| given == word);
    let mut budgets = budgets();
    let mut over = 0;
    println!("| instructions per operation | bare | memscope | added |\n|---|---|---|---|");
    for (name, count, slack) in LOOPS {
        let budget = budgets.get(name).copied();
        let is_over = |[bare, tracked]: [f64; 2]| {
            budget.is_some_and(|budget| tracked - bare > budget + slack)
        };
        let mut row = counted(name, count, 1);
        if is_over(row) {
            row = counted(name, count, AGAIN);
        }
        let [bare, tracked] = row;
        let added = tracked - bare;
        println!("| {name} | {bare:.1} | {tracked:.1} | **{added:.1}** |");
        if is_over(row) || budget.is_none() {
            over += 1;
            let budget = budget.unwrap_or(f64::NAN);
            println!("{name}: {added:.1} instructions added, the budget is {budget:.1}");
        }
        budgets.insert(name.to_owned(), added);
    }
    if wants("--write") {
        let mut text = String::new();
        for (name, added) in &budgets {
            writeln!(text, "{name}\t{added:.1}").expect("a string takes it");
        }
        fs::write(BUDGETS, text).expect("the budgets can be written");
    }
    if wants("--check") && over != 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What may be added to each operation, by its name.
fn budgets() -> BTreeMap<String, f64> {
    let text = fs::read_to_string(BUDGETS).expect("there are budgets");
    let row = |line: &str| {
        let (name, budget) = line.split_once('\t').expect("a name and a number");
        (name.to_owned(), budget.parse().expect("a number"))
    };
    text.lines().map(row).collect()
}
