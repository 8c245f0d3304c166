//! Runs every rival on the same loops, in turn, and prints the tables.
//!
//! ```text
//! cargo run --release --manifest-path benches/comparison/Cargo.toml -- \
//!     [rounds] [--quick] [--write FILE] [--raw FILE] [--only WORD …]
//! ```
//!
//! `--only` takes names of contenders, cases and allocators: `--only memscope pair glibc`.
//! `--write` puts the tables between the marks `<!-- rivals: begin -->` and `<!-- rivals: end -->`
//! of a file, `--raw` every single figure into another.

mod contender;
mod rounds;
mod table;

use std::{env, error::Error, fmt::Write, fs, path::PathBuf};

use comparison::{machine, section};
use rounds::{Choice, Results, Run};

/// What was asked for.
#[derive(Debug)]
struct Options {
    rounds: usize,
    is_quick: bool,
    write: Option<PathBuf>,
    raw: Option<PathBuf>,
    choice: Choice,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options =
            Self { rounds: 0, is_quick: false, write: None, raw: None, choice: Choice::default() };
        let mut words = env::args().skip(1).peekable();
        while let Some(word) = words.next() {
            let mut file = || {
                let file = words.next_if(|word| !word.starts_with("--"));
                file.map(PathBuf::from).ok_or(format!("{word} needs a file"))
            };
            match word.as_str() {
                "--quick" => options.is_quick = true,
                "--write" => options.write = Some(file()?),
                "--raw" => options.raw = Some(file()?),
                "--only" => {
                    while let Some(word) = words.next_if(|word| !word.starts_with("--")) {
                        if !options.choice.add(&word) {
                            return Err(format!("no contender, case or allocator is `{word}`"));
                        }
                    }
                }
                rounds => {
                    let error =
                        |_| format!("unknown option `{rounds}`, expected a number of rounds");
                    options.rounds = rounds.parse().map_err(error)?;
                }
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.is_quick { 1 } else { 15 };
        }
        Ok(options)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read()?;
    let keys = options.choice.keys();
    let programs = rounds::build(&keys);
    let before = machine::load();
    let results = rounds::run(&keys, &programs, options.rounds, options.is_quick);
    let after = machine::load();

    let mut text = format!(
        "Medians of {} interleaved rounds, quartiles in brackets. {}; load {before} before and {after} after.\n\n",
        options.rounds,
        machine::description()
    );
    if options.is_quick {
        text.push_str("Few repetitions, only to see that it works: no measurement.\n\n");
    }
    text.push_str(&table::all(&results));
    println!("{text}");
    if let Some(file) = options.raw {
        fs::write(file, raw(&results))?;
    }
    if let Some(file) = options.write {
        section::write(&file, "rivals", &text)?;
    }
    Ok(())
}

/// A line for each figure.
fn raw(results: &Results) -> String {
    let mut text =
        String::from("contender\tvariant\tallocator\tcase\tround\tvalue\tratio\toperations\n");
    for (&(index, inner, case), series) in results {
        let contender = &contender::ALL[index];
        for Run { round, figure, ratio } in &series.runs {
            let ratio = ratio.map_or_else(String::new, |ratio| ratio.to_string());
            let _ = writeln!(
                text,
                "{}\t{}\t{}\t{}\t{round}\t{}\t{ratio}\t{}",
                contender.name,
                contender.variant,
                inner.word(),
                case.name(),
                figure.value,
                figure.operations
            );
        }
    }
    text
}
