//! Runs each loop without and with memscope, one right after the other, and prints the pair with
//! the median ratio.
//!
//! `cargo bench -p memscope-benches --bench overhead`; with `-- 5` it makes five rounds instead of
//! fifteen.
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

fn middle(figures: &[f64]) -> Option<f64> {
    (!figures.is_empty()).then(|| median(figures))
}

#[derive(Default)]
struct Row {
    bare: Vec<f64>,
    tracked: Vec<f64>,
}

impl Row {
    /// Prints the row: the pair of runs with the median ratio, or medians where it is held against
    /// nothing.
    ///
    /// The machine changes its speed: two medians may be of different times, the two figures of a
    /// pair are of one.
    fn show(&self, name: &str, against: Option<&Self>) {
        let bare = against.unwrap_or(self).bare.iter().copied();
        let with =
            if self.tracked.is_empty() && against.is_some() { &self.bare } else { &self.tracked };
        let mut pairs: Vec<(f64, f64)> = bare.zip(with.iter().copied()).collect();
        let ratio_of = |&(bare, with): &(f64, f64)| with / bare;
        pairs.sort_by(|a, b| ratio_of(a).total_cmp(&ratio_of(b)));
        let ratios: Vec<f64> = pairs.iter().map(ratio_of).collect();
        let (bare, with) = match pairs.get(pairs.len() / 2) {
            Some(&(bare, with)) => (Some(bare), Some(with)),
            None => (middle(&self.bare), middle(&self.tracked)),
        };
        let shown = |figure: Option<f64>| match figure {
            None => String::new(),
            Some(figure) if figure < 1.0 => format!("{figure:.2}"),
            Some(figure) => format!("{figure:.1}"),
        };
        let ratio = match &ratios[..] {
            [] => String::new(),
            ratios => format!(
                "**{:.2}** ({:.2} – {:.2})",
                median(ratios),
                quantile(ratios, 0.25),
                quantile(ratios, 0.75)
            ),
        };
        println!("| {name} | {} | {} | {ratio} |", shown(bare), shown(with));
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
            // The second run may find the machine warm, or others busy.
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
        "| ns, the median of {rounds} pairs of runs | bare | with memscope, or as the row says | ratio (quartiles) |\n|---|---|---|---|"
    );
    for (name, row) in &rows {
        row.show(name, held_against(name, &rows));
    }
}

/// What a row is held against that is not the same loop in the bare program: the row whose name it
/// goes on from after a comma. Such rows are a part of the work without memscope, or ways to time
/// polls, which without memscope are not timed.
fn held_against<'a>(name: &str, rows: &'a BTreeMap<String, Row>) -> Option<&'a Row> {
    name.rmatch_indices(", ").find_map(|(end, _)| rows.get(&name[..end]))
}
