//! The command line. The comments on options are the text of `--help`.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use memscope_runtime::__terminal::visible_path;
use regex::Regex;

use crate::{
    byte_size::ByteSize,
    threshold::{Measure, Threshold},
};

/// Shows why async functions' futures are large, and prints memory reports of memscope-rs.
#[derive(Debug, Parser)]
#[command(name = "cargo memscope", bin_name = "cargo memscope", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The largest futures of a program, and what makes them large: reads debug information, runs
    /// nothing.
    ///
    /// Builds the package here, with full debug information, unless PATH names a program. No file
    /// of the package is changed.
    Futures(Box<Futures>),
    /// Prints a report that a program saved, such as one that `MEMSCOPE_REPORT=FILE.json` asked
    /// for.
    Report(Report),
    /// Compares two reports: what grew, by site, variable and call stack. For CI: `--fail-over`
    /// ends with exit code 1 if something grew by more.
    Diff(Diff),
    /// Prints what holds a program's memory: a graph that the program serves, or has saved as JSON,
    /// from `heap_graph()`.
    Holders(Holders),
    /// Answers agents that are asked why a program grows: a Model Context Protocol server on
    /// standard input and output.
    Mcp(Mcp),
    /// Prints every task of a running program, and where it waits: as a tree.
    ///
    /// The program serves it: it has memscope's feature `server`, or the dump was saved as JSON,
    /// from `task_dump()`. If the program has no debug information and ran with
    /// `MEMSCOPE_DUMP_MEMORY=on`, the places are read here, from the debug information of the same
    /// build.
    Tasks(Tasks),
    /// Shows a running program in the terminal, once a second: its memory and limit, what stands
    /// out, and the tables of its page. A saved report as well.
    Top(Top),
}

/// Options of `futures`.
#[derive(Debug, Args)]
pub(crate) struct Futures {
    /// A program or library with debug information, or a file that `--json` wrote.
    #[arg(conflicts_with_all = ["bin", "example", "test", "lib", "diff"])]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) build: Build,
    /// Show at most this many futures.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(crate) limit: usize,
    /// Show those of dependencies and of the standard library as well.
    #[arg(long)]
    pub(crate) all: bool,
    /// Show only those whose name has this in it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Show every state and everything in it.
    #[arg(long, conflicts_with = "diff")]
    pub(crate) tree: bool,
    /// Print JSON: all futures, whatever `--limit` says.
    #[arg(long)]
    pub(crate) json: bool,
    /// End with exit code 1 if a future is larger, such as `4KiB`; names them all.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<ByteSize>,
    /// Compare two programs, or two files that `--json` wrote.
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"])]
    pub(crate) diff: Option<Vec<PathBuf>>,
}

/// What cargo is to build; the options are cargo's own.
#[derive(Debug, Args)]
#[command(next_help_heading = "Build")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of cargo's")]
pub(crate) struct Build {
    /// Build this binary. If there are several, the manifest's `default-run` is built.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["example", "test", "lib"])]
    pub(crate) bin: Option<String>,
    /// Build this example.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["test", "lib"])]
    pub(crate) example: Option<String>,
    /// Build this integration test.
    #[arg(long, value_name = "NAME", conflicts_with = "lib")]
    pub(crate) test: Option<String>,
    /// Build the library, as a shared one. Futures of its generic functions are in programs alone.
    #[arg(long)]
    pub(crate) lib: bool,
    /// Build it in this package.
    #[arg(short, long, value_name = "SPEC")]
    pub(crate) package: Option<String>,
    /// Build with the release profile: sizes are those of the optimised program.
    #[arg(short, long, conflicts_with = "profile")]
    pub(crate) release: bool,
    /// Build with this profile.
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Build with these features.
    #[arg(short = 'F', long, value_name = "FEATURES")]
    pub(crate) features: Vec<String>,
    /// Build with all features.
    #[arg(long)]
    pub(crate) all_features: bool,
    /// Build without the default features.
    #[arg(long)]
    pub(crate) no_default_features: bool,
    /// Build for this target.
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Build the package of this `Cargo.toml`.
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest_path: Option<PathBuf>,
}

/// Options of `report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The saved report, as JSON, or where the program serves, such as <http://127.0.0.1:6071>. A
    /// token is taken from `MEMSCOPE_SERVE_TOKEN`.
    #[arg(value_name = "FILE|URL")]
    pub(crate) file: PathBuf,
    /// Sort the rows by these bytes, the largest first.
    #[arg(long, value_enum, value_name = "BYTES")]
    pub(crate) sort: Option<Sort>,
    /// Show only sites and tasks whose `name (file:line)` this matches, and variables whose `name:
    /// type (file:line)` it matches. Stacks and await points follow their sites and tasks. Totals
    /// stay those of the whole.
    #[arg(long, value_name = "REGEX")]
    pub(crate) filter: Option<Regex>,
    /// The program that wrote it, if it is not where it was: its debug information tells the state
    /// machines, and the lines of call stacks.
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<PathBuf>,
    /// Debug information that was moved out of the program or out of a library of its, or a folder
    /// with such files: `NAME.debug`, or `.build-id/ab/cdef….debug`.
    #[arg(long, visible_alias = "debug-dir", value_name = "PATH")]
    pub(crate) debug_file: Vec<PathBuf>,
    /// Print every row.
    #[arg(long)]
    pub(crate) full: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    /// What `pprof` and `folded` are about.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) kind: Kind,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Tables.
    Text,
    /// A file like the saved one, with the lines of call stacks.
    Json,
    /// A page for a browser, in one file: write it to `report.html`.
    Html,
    /// For `go tool pprof`, Pyroscope and Parca. It is binary: write it to a file.
    Pprof,
    /// Folded stacks, for flame graphs.
    Folded,
    /// For <https://www.speedscope.app>, live and allocated bytes.
    Speedscope,
}

/// What the rows of a report are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// Live bytes.
    Live,
    /// The most live bytes of one task at one time; of stacks, live bytes.
    Peak,
    /// All bytes that were allocated.
    Allocated,
    /// Bytes that ended tasks left behind; of stacks, live bytes.
    Retained,
}

/// What a profile is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// What was live.
    #[default]
    Live,
    /// What had been allocated until then.
    Allocated,
}

/// Options of `diff`.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The earlier report: a file, or the address of a service such as `http://127.0.0.1:6071`. A
    /// token is taken from `MEMSCOPE_SERVE_TOKEN`.
    pub(crate) before: PathBuf,
    /// The later report.
    pub(crate) after: PathBuf,
    /// End with exit code 1 if a site grew by more: a size such as `1MiB`, or a part of what it had
    /// such as `5%`. A new site is compared with the same part of the whole. Less than 1 KiB is
    /// never a growth in percent.
    #[arg(long, value_name = "LIMIT")]
    pub(crate) fail_over: Option<Threshold>,
    /// What `--fail-over` looks at: all three, if it is not given.
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',', requires = "fail_over")]
    pub(crate) growth_of: Vec<Measure>,
    /// Only sites, variables and stacks of sites whose `name (file:line)` this matches.
    #[arg(long, value_name = "REGEX")]
    pub(crate) site: Option<Regex>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
    pub(crate) format: DiffFormat,
    /// Print JSON, as `--format json` does.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The form of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    /// Tables.
    #[default]
    Text,
    /// For programs: its fields are in `docs/CI.md`.
    Json,
    /// For a comment on a pull request.
    Markdown,
}

/// Options of `holders`.
#[derive(Debug, Args)]
pub(crate) struct Holders {
    /// Where the program serves, such as <http://127.0.0.1:6071>, or a saved graph as JSON. A token
    /// is taken from `MEMSCOPE_SERVE_TOKEN`.
    #[arg(value_name = "URL|FILE")]
    pub(crate) file: PathBuf,
    /// Print what each root holds more than in this earlier graph of the same process, a file that
    /// `--json` wrote.
    #[arg(long, value_name = "FILE")]
    pub(crate) since: Option<PathBuf>,
    /// Print every row.
    #[arg(long, conflicts_with = "json")]
    pub(crate) full: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `mcp`.
#[derive(Debug, Args)]
pub(crate) struct Mcp {
    /// Where the program serves, such as <http://127.0.0.1:6071>, or a saved report as JSON. A
    /// token is taken from `MEMSCOPE_SERVE_TOKEN`.
    #[arg(value_name = "URL|FILE")]
    pub(crate) from: PathBuf,
    /// The program, if it is not where it was: its debug information tells the lines of call stacks
    /// and the futures.
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<PathBuf>,
    /// Debug information that was moved out of the program or out of a library of its, or a folder
    /// with such files.
    #[arg(long, value_name = "PATH")]
    pub(crate) debug_file: Vec<PathBuf>,
}

/// Options of `tasks`.
#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// Where the program serves, such as <http://127.0.0.1:6071>, or a saved dump as JSON. A token
    /// is taken from `MEMSCOPE_SERVE_TOKEN`.
    #[arg(value_name = "URL|FILE")]
    pub(crate) from: PathBuf,
    /// The program, if it is not where it was: its debug information tells where tasks wait.
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<PathBuf>,
    /// The program with its debug information, or debug information that was moved out of it, or a
    /// folder with such files: `NAME.debug`, or `.build-id/ab/cdef….debug`.
    #[arg(long, visible_alias = "debug-dir", value_name = "PATH")]
    pub(crate) debug_file: Vec<PathBuf>,
    /// Print every row.
    #[arg(long, conflicts_with = "json")]
    pub(crate) full: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `top`.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Where the program serves, such as <http://127.0.0.1:6071>, or a saved report as JSON. A
    /// token is taken from `MEMSCOPE_SERVE_TOKEN`. Without it, the only program that serves is
    /// shown; if there are several, they are listed.
    #[arg(value_name = "URL|FILE")]
    pub(crate) from: Option<PathBuf>,
    /// List the programs of this user that serve, and show none.
    #[arg(long)]
    pub(crate) list: bool,
}

impl Arguments {
    /// Reads the command line. Cargo passes the name of the subcommand first.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the command line, or the help that it asks for. The error repeats
    /// the words, escaped.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let mut words: Vec<_> = std::env::args_os().collect();
        if words.get(1).is_some_and(|it| it == "memscope") {
            words.remove(1);
        }
        Self::try_parse_from(&words).map_err(|error| {
            let escaped = words.iter().map(|it| visible_path(Path::new(it)).to_string());
            Self::try_parse_from(escaped).err().unwrap_or(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
