//! Reports: their rows, their files, what is not a report, and two that are compared.
//! Each file runs in a process of its own.

mod bare_reports;
mod hostile_reports;
mod monitor;
mod odd_input;
mod report_diff;
mod report_file;
mod settings;
mod snapshot_rows;

memscope_tests::install!();
memscope_tests::files_apart!();
