//! The same web service with and without memscope and other tools, under load: what a request
//! costs.
//!
//! ```text
//! cargo run --release --manifest-path benches/comparison/Cargo.toml --bin service -- \
//!     [web|shop|live …] [rounds] [--quick] [--instructions] [--write FILE]
//! ```
//!
//! The services have one processor, this client another. The service without memscope runs twice:
//! what these two differ by is the noise. `--instructions` also counts instructions, with valgrind;
//! `0 --instructions` does nothing else. `--write` puts each table between the marks
//! `<!-- web: begin -->` and `<!-- web: end -->` of a file, and so on.

mod client;
mod contender;
mod load;
mod rounds;
mod server;
mod table;

use std::{env, error::Error, path::PathBuf};

use comparison::{build::Build, machine, section};
use comparison_loops::stay_on;
use contender::Service;
use load::Kind;
use rounds::Effort;
use server::Program;

/// What was asked for.
#[derive(Debug, Default)]
struct Options {
    kinds: Vec<Kind>,
    rounds: Option<usize>,
    is_quick: bool,
    counts_instructions: bool,
    write: Option<PathBuf>,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "web" => options.kinds.push(Kind::Web),
                "shop" => options.kinds.push(Kind::Shop),
                "live" => options.kinds.push(Kind::Live),
                "--quick" => options.is_quick = true,
                "--instructions" => options.counts_instructions = true,
                "--write" => options.write = Some(words.next().ok_or("--write what?")?.into()),
                rounds => {
                    let error =
                        |_| format!("unknown option `{rounds}`, expected a number of rounds");
                    options.rounds = Some(rounds.parse().map_err(error)?);
                }
            }
        }
        if options.kinds.is_empty() {
            options.kinds = vec![Kind::Web, Kind::Shop, Kind::Live];
        }
        Ok(options)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read()?;
    // Before this program keeps to one of the processors.
    let machine = machine::description();
    stay_on(1);
    for kind in &options.kinds {
        let text = measure(*kind, &options, &machine)?;
        println!("{text}");
        if let Some(file) = &options.write {
            section::write(file, kind.name(), &text)?;
        }
    }
    Ok(())
}

/// Measures all services under one kind of load. Returns the table.
fn measure(kind: Kind, options: &Options, machine: &str) -> Result<String, Box<dyn Error>> {
    let services = contender::under(kind);
    let mut programs = Vec::new();
    for Service { features, settings, is_looked_at, .. } in services {
        let package = if kind == Kind::Web { "contender-service" } else { "contender-shop" };
        let build = Build { package, features, is_unstable: false };
        programs.push(Program { path: build.make()?, settings, is_looked_at: *is_looked_at });
    }
    let count = options.rounds.unwrap_or(if options.is_quick { 2 } else { 32 });
    let effort = Effort::of(kind, options.is_quick);
    let before = machine::load();
    let mut rounds = Vec::new();
    for number in 0..count {
        rounds.push(rounds::run(&programs, kind, number, effort)?);
        eprintln!("{}: round {} of {count}", kind.name(), number + 1);
    }
    let after = machine::load();
    let mut instructions = Vec::new();
    if options.counts_instructions {
        for (service, program) in services.iter().zip(&programs) {
            if !service.is_counted {
                instructions.push(None);
                continue;
            }
            eprintln!("{}: instructions, {}", kind.name(), service.name);
            instructions.push(Some(rounds::instructions(program, kind, options.is_quick)?));
        }
    }
    let mut text = format!(
        "Medians of {count} rounds of {} requests each, paired by round, with the 95 % confidence \
         interval of the median (of the figures themselves, the quartiles). {machine}; load \
         {before} before and {after} after.\n\n",
        effort.slices * effort.requests,
    );
    if options.is_quick {
        text.push_str("Few repetitions, only to see that it works: no measurement.\n\n");
    }
    text.push_str(&table::of(services, &rounds, &instructions));
    Ok(text)
}
