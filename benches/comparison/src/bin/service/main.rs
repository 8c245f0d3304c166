//! The same web service with and without memscope, under load: what a request costs.
//!
//! ```text
//! cargo run --release --manifest-path benches/comparison/Cargo.toml --bin service -- \
//!     [rounds] [--quick] [--instructions] [--write FILE]
//! ```
//!
//! The services have one processor, this client another. The service without memscope runs twice:
//! what these two differ by is the noise. `--instructions` also counts instructions, with valgrind;
//! `0 --instructions` does nothing else.
//! `--write` puts the table between the marks `<!-- service: begin -->` and `<!-- service: end -->`
//! of a file.

mod client;
mod rounds;
mod server;

use std::{env, error::Error, fmt::Write, path::PathBuf};

use comparison::{
    build::Build,
    machine, section,
    statistics::{Quartiles, median_interval},
};
use comparison_loops::stay_on;
use rounds::{Effort, Round};
use server::Program;

/// A service: its name in the table, its features, memscope's settings, and whether snapshots are
/// taken of it while it warms up.
#[derive(Clone, Copy, Debug)]
struct Service {
    name: &'static str,
    features: &'static str,
    settings: &'static [(&'static str, &'static str)],
    is_looked_at: bool,
}

const fn service(name: &'static str, features: &'static str) -> Service {
    Service { name, features, settings: &[], is_looked_at: false }
}

/// All services; the first is what the others are compared with.
const SERVICES: [Service; 7] = [
    service("without memscope", ""),
    service("without memscope, again", ""),
    Service {
        name: "memscope linked, no names and stacks",
        features: "memscope",
        settings: &[("MEMSCOPE_NAMES", "off"), ("MEMSCOPE_STACKS", "off")],
        is_looked_at: false,
    },
    service("memscope linked", "memscope"),
    Service { is_looked_at: true, ..service("memscope linked, and looked at before", "memscope") },
    service("memscope, handlers `#[tracked]`", "tracked"),
    service("memscope, `TrackLayer`", "tower"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let has = |option| words.iter().any(|word| word == option);
    let is_quick = has("--quick");
    let count = words.iter().find_map(|word| word.parse().ok());
    let count = count.unwrap_or(if is_quick { 2 } else { 40 });
    let effort = if is_quick { Effort::QUICK } else { Effort::WHOLE };

    let mut programs = Vec::new();
    for Service { features, settings, is_looked_at, .. } in SERVICES {
        let build = Build { package: "contender-service", features, is_unstable: false };
        programs.push(Program { path: build.make()?, settings, is_looked_at });
    }
    let machine = machine::description();
    stay_on(1);
    let before = machine::load();
    let mut all = Vec::new();
    for number in 0..count {
        all.push(rounds::run(&programs, number, effort)?);
        eprintln!("round {} of {count}", number + 1);
    }
    let after = machine::load();
    let instructions: Option<Vec<f64>> = if has("--instructions") {
        let counts = programs.iter().map(|program| rounds::instructions(program, is_quick));
        Some(counts.collect::<Result<_, _>>()?)
    } else {
        None
    };

    let mut text = format!(
        "Medians of {count} rounds of {} requests each, paired by round, with the 95 % confidence interval of the median (of the figures \
         themselves, the quartiles). {machine}; load {before} before and {after} after.\n\n",
        effort.slices * effort.requests,
    );
    if is_quick {
        text.push_str("Few repetitions, only to see that it works: no measurement.\n\n");
    }
    text.push_str(&table(&all, instructions.as_deref()));
    println!("{text}");
    if let Some(place) = words.iter().position(|word| word == "--write") {
        let file = words.get(place + 1).ok_or("--write what?")?;
        section::write(&PathBuf::from(file), "service", &text)?;
    }
    Ok(())
}

fn table(rounds: &[Vec<Round>], instructions: Option<&[f64]>) -> String {
    let mut text = String::from(
        "| service | requests per CPU second | CPU per request, ratio | p99, µs | p99, ratio | resident MiB | resident, ratio |",
    );
    text.push_str(if instructions.is_some() {
        " instructions per request, ratio |\n"
    } else {
        "\n"
    });
    text.push_str("|---|---|---|---|---|---|---|");
    text.push_str(if instructions.is_some() { "---|\n" } else { "\n" });
    for (index, Service { name, .. }) in SERVICES.iter().enumerate() {
        let figures = |figure: fn(&Round) -> f64| {
            let quartiles =
                Quartiles::of(rounds.iter().map(|round| figure(&round[index])).collect());
            quartiles.map_or("–".to_owned(), |figure| {
                let digits = if figure.median < 1_000.0 { 2 } else { 0 };
                format!(
                    "{:.digits$} ({:.digits$}–{:.digits$})",
                    figure.median, figure.lower, figure.upper
                )
            })
        };
        let ratios = |figure: fn(&Round) -> f64| {
            ratio(rounds.iter().map(|round| figure(&round[index]) / figure(&round[0])).collect())
        };
        let _ = write!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {} |",
            figures(|round| 1e9 / round.cpu_ns_per_request),
            ratios(|round| round.cpu_ns_per_request),
            figures(|round| round.p99_ns / 1e3),
            ratios(|round| round.p99_ns),
            figures(|round| round.resident_bytes / f64::from(1 << 20)),
            ratios(|round| round.resident_bytes),
        );
        if let Some(counts) = instructions {
            let _ = write!(text, " {:.0}, {:.4} |", counts[index], counts[index] / counts[0]);
        }
        text.push('\n');
    }
    text
}

fn ratio(ratios: Vec<f64>) -> String {
    let Some(Quartiles { median, .. }) = Quartiles::of(ratios.clone()) else {
        return "–".to_owned();
    };
    match median_interval(ratios) {
        Some((lower, upper)) => format!("**{median:.4}** ({lower:.4}–{upper:.4})"),
        None => format!("{median:.4} (too few rounds)"),
    }
}
