//! Runs each loop without and with memscope, one right after the other, and prints the medians and the ratio pair by pair.
//!
//! `cargo bench -p memscope-benches --bench overhead` (with `-- 5` for five rounds instead of fifteen)
#![expect(clippy::print_stdout, reason = "the table is its output")]

use std::{collections::BTreeMap, process::Command};

use memscope_benches::{median, quantile};

const BARE: &str = env!("CARGO_BIN_EXE_bare");
const TRACKED: &str = env!("CARGO_BIN_EXE_tracked");

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("figures are text")
}

fn names(program: &str) -> Vec<String> {
    said(program, &["names"]).lines().map(str::to_owned).collect()
}

/// The figures of a loop: mostly one.
fn run(program: &str, name: &str) -> Vec<(String, f64)> {
    let figures = said(program, &["only", name]);
    let figures = figures.lines().filter_map(|line| line.split_once('\t'));
    figures.map(|(name, figure)| (name.to_owned(), figure.parse().expect("a number"))).collect()
}

#[derive(Default)]
struct Row {
    bare: Vec<f64>,
    tracked: Vec<f64>,
}

impl Row {
    /// Prints the row; what was measured with memscope alone is held against `bare`.
    fn show(&self, name: &str, bare: &[f64]) {
        let one = |figures: &[f64]| match figures {
            [] => String::new(),
            figures => match median(figures) {
                figure if figure < 1.0 => format!("{figure:.2}"),
                figure => format!("{figure:.1}"),
            },
        };
        let ratios: Vec<f64> =
            self.tracked.iter().zip(bare).map(|(with, without)| with / without).collect();
        let ratio = match &ratios[..] {
            [] => String::new(),
            ratios => format!(
                "**{:.2}** ({:.2} – {:.2})",
                median(ratios),
                quantile(ratios, 0.25),
                quantile(ratios, 0.75)
            ),
        };
        println!("| {name} | {} | {} | {ratio} |", one(&self.bare), one(&self.tracked));
    }
}

fn main() {
    let rounds = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(15_usize);
    let (bare, tracked) = (names(BARE), names(TRACKED));
    let mut all: Vec<&String> = bare.iter().chain(&tracked).collect();
    all.sort();
    all.dedup();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for round in 0..rounds {
        for name in &all {
            let mut programs = [(BARE, &bare), (TRACKED, &tracked)];
            // Who comes second may find the machine warm, or others busy.
            if round % 2 == 1 {
                programs.reverse();
            }
            for (program, names) in programs {
                if names.contains(name) {
                    for (name, figure) in run(program, name) {
                        let row = rows.entry(name).or_default();
                        if program == BARE { &mut row.bare } else { &mut row.tracked }.push(figure);
                    }
                }
            }
        }
    }
    println!(
        "| ns, medians of {rounds} interleaved runs | bare | memscope | ratio (quartiles) |\n|---|---|---|---|"
    );
    for (name, row) in &rows {
        // However polls are timed, without memscope they are not.
        let bare = name.split_once(", timing").and_then(|(name, _)| rows.get(name));
        row.show(name, &bare.unwrap_or(row).bare);
    }
}
