//! Runs the two programs in turn and prints, for each loop, the medians and the ratio pair by pair.
//!
//! `cargo bench -p memscope-benches --bench overhead` (with `-- 5` for five rounds instead of fifteen)
#![expect(clippy::print_stdout, reason = "the table is its output")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

type Figures = BTreeMap<String, f64>;

fn run(program: &str) -> Figures {
    let output = Command::new(program).output().expect("the program starts");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("figures are text");
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, figure)| (name.to_owned(), figure.parse().expect("a number")))
        .collect()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let rounds = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(15);
    let (mut bare, mut tracked) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare.push(run(env!("CARGO_BIN_EXE_bare")));
        tracked.push(run(env!("CARGO_BIN_EXE_tracked")));
    }
    println!(
        "| ns, medians of {rounds} interleaved runs | bare | memscope | ratio (min – max) |\n|---|---|---|---|"
    );
    let names: BTreeSet<_> = bare[0].keys().chain(tracked[0].keys()).collect();
    for name in names {
        if !tracked[0].contains_key(name) {
            println!("| {name} | {:.1} | | |", median(bare.iter().map(|run| run[name]).collect()));
            continue;
        }
        let with = || tracked.iter().map(|run| run[name]);
        if !bare[0].contains_key(name) {
            println!("| {name} | | {:.1} | |", median(with().collect()));
            continue;
        }
        let without = || bare.iter().map(|run| run[name]);
        let ratios: Vec<f64> =
            with().zip(without()).map(|(with, without)| with / without).collect();
        let (least, most) =
            ratios.iter().fold((f64::MAX, 0.0f64), |(a, b), &r| (a.min(r), b.max(r)));
        let (without, with, ratio) =
            (median(without().collect()), median(with().collect()), median(ratios));
        println!("| {name} | {without:.1} | {with:.1} | **{ratio:.2}** ({least:.2} – {most:.2}) |");
    }
}
