//! `cargo memscope`: why async functions' futures are large, and the reports of memscope-rs.

// The command line …
mod arguments;
mod byte_size;
// … names a program, which is built if need be …
mod command;
mod program;
// … and read into rows …
mod futures;
mod name;
mod origin;
mod why;
mod advice;
// … that are printed.
mod list;
mod tree;
mod diff;
mod source;
mod paint;
// A report is there already; the program tells of the futures in it.
mod report;
mod sites;
mod error;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use paint::BAD;

/// The exit code of everything that goes wrong; 1 means that a future is too large.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let result = match &Arguments::read().command {
        Command::Futures(options) => command::run(options),
        Command::Report(options) => report::run(options).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        if error.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        anstream::eprintln!("{BAD}error{BAD:#}: {error}");
        ExitCode::from(FAILED)
    })
}
