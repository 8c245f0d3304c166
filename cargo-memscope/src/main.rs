//! `cargo memscope`: shows why async functions' futures are large, and prints reports of
//! memscope-rs.

// Bottom first: a module imports only from modules above it.
mod error;
mod byte_size;
mod threshold;
mod arguments;
mod model;
mod output;
mod commands;
mod mcp;
mod top;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use memscope_runtime::__terminal::{said, visible_lines};
use output::BAD;

/// The exit code of all failures. 1 means that a future is too large, or memory grew too much.
const FAILED: u8 = 2;
/// The most bytes of an error that are printed. A parser's error may repeat its whole input.
const MOST_ERROR: usize = 4 << 10;

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => return wrong_arguments(&error),
    };
    let result = match &arguments.command {
        Command::Futures(options) => commands::futures::run(options),
        Command::Diff(options) => commands::diff::run(options),
        Command::Holders(options) => commands::holders::run(options).map(|()| ExitCode::SUCCESS),
        Command::Mcp(options) => mcp::run(options).map(|()| ExitCode::SUCCESS),
        Command::Tasks(options) => commands::tasks::run(options).map(|()| ExitCode::SUCCESS),
        Command::Top(options) => top::run(options),
        Command::Report(options) => commands::report::run(options).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        if error.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        let error = said(&error, MOST_ERROR);
        anstream::eprintln!("{BAD}error{BAD:#}: {}", visible_lines(&error));
        ExitCode::from(FAILED)
    })
}

/// Prints the error about the command line, or the help that it asks for.
fn wrong_arguments(error: &clap::Error) -> ExitCode {
    // If standard error is closed, nothing can be reported.
    drop(error.print());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FAILED))
}
