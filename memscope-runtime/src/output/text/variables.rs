//! The tables of the variables that `track_var!` registered.

use std::fmt;

use super::{
    MOST_ROWS, NAME_COLUMNS, NONE, PLACE_COLUMNS, folder, more, number, place, size,
    table::{Column, Table},
};
use crate::{
    model::{
        VariableProfile, VariableSiteProfile,
        human::{cell, count, path_end},
    },
    snapshot::MemorySnapshot,
};

impl MemorySnapshot {
    /// Prints one row for each `track_var!` and type, then the largest live variables one by one.
    pub(super) fn variable_tables(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.variable_sites().is_empty() {
            return Ok(());
        }
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        let folder = folder(f, self.variable_sites().iter().map(|site| &*site.file));
        let mut table = Table::new(&[
            Column::Left("VARIABLE"),
            Column::Left("TYPE"),
            Column::Left("AT"),
            Column::Right("REGISTERED"),
            Column::Right("LIVE"),
            Column::Right("ENDED"),
            Column::Right("HEAP LIVE"),
            Column::Right("LARGEST"),
            Column::Right("MEAN LIFE"),
        ]);
        let is_measured = self.measured().is_yes();
        for site in self.variable_sites().iter().take(most) {
            table.push(site_row(site, folder, is_measured));
        }
        writeln!(f, "{table}{}", more(self.variable_sites().len(), most, "variables"))?;
        let live = || self.variables().iter().filter(|variable| variable.live);
        if live().next().is_none() {
            return Ok(());
        }
        let mut table = Table::new(&[
            Column::Left("LIVE VARIABLE"),
            Column::Left("AT"),
            Column::Left("HELD BY"),
            Column::Right("HEAP"),
            Column::Right("AGE"),
        ]);
        for variable in live().take(most) {
            table.push(variable_row(variable, folder));
        }
        writeln!(f, "{table}{}", more(live().count(), most, "live variables"))
    }
}

fn site_row(site: &VariableSiteProfile, folder: usize, is_measured: bool) -> Vec<String> {
    vec![
        cell(&site.name, NAME_COLUMNS),
        path_end(&short(&site.type_name), PLACE_COLUMNS),
        place(&site.file, site.line, folder),
        count(site.registered),
        number(site.live),
        number(site.ended),
        size(is_measured, site.live_bytes),
        size(is_measured, site.largest_bytes),
        match site.lifetime_sum_ns.checked_div(site.ended) {
            None => NONE.to_owned(),
            Some(mean_ns) => duration(mean_ns),
        },
    ]
}

fn variable_row(variable: &VariableProfile, folder: usize) -> Vec<String> {
    let holder = match (variable.task, &variable.task_site) {
        (None, _) => "untracked".to_owned(),
        (Some(task), None) => format!("#{task}"),
        (Some(task), Some(site)) => format!("{} #{task}", cell(&site.name, NAME_COLUMNS)),
    };
    vec![
        cell(&variable.name, NAME_COLUMNS),
        place(&variable.file, variable.line, folder),
        holder,
        size(true, variable.heap_bytes),
        duration(variable.lifetime_ns),
    ]
}

/// Shortens a type's paths: `alloc::vec::Vec<app::Job>` becomes `Vec<Job>`.
fn short(type_name: &str) -> String {
    let mut short = String::new();
    let mut word = String::new();
    let mut rest = type_name.chars().peekable();
    while let Some(character) = rest.next() {
        if character == ':' && rest.peek() == Some(&':') {
            rest.next();
            word.clear();
        } else if character.is_alphanumeric() || character == '_' {
            word.push(character);
        } else {
            short.push_str(&word);
            word.clear();
            short.push(character);
        }
    }
    short + &word
}

/// Formats nanoseconds in the unit that leaves one to four digits before the point.
fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{}.{} µs", ns / 1_000, ns / 100 % 10),
        1_000_000..1_000_000_000 => format!("{}.{} ms", ns / 1_000_000, ns / 100_000 % 10),
        _ => format!("{}.{} s", count(ns / 1_000_000_000), ns / 100_000_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_shown_without_their_modules() {
        for (long, shown) in [
            ("u8", "u8"),
            ("alloc::vec::Vec<u8>", "Vec<u8>"),
            ("alloc::sync::Arc<tokio::sync::Mutex<app::Job>>", "Arc<Mutex<Job>>"),
            ("(alloc::vec::Vec<i32>, &str)", "(Vec<i32>, &str)"),
            ("alloc::boxed::Box<dyn core::any::Any + core::marker::Send>", "Box<dyn Any + Send>"),
            ("app::run::{{closure}}", "{{closure}}"),
        ] {
            assert_eq!(short(long), shown);
        }
    }

    #[test]
    fn durations_have_their_unit() {
        for (ns, shown) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_500, "1.5 µs"),
            (2_345_678, "2.3 ms"),
            (61_000_000_000, "61.0 s"),
        ] {
            assert_eq!(duration(ns), shown);
        }
    }
}
