//! Where the code allocates: the call stacks with the most live bytes, by estimate.

use std::{cmp::Reverse, fmt};

use super::{
    NAME_COLUMNS, NONE, NOT_MEASURED, number,
    table::{Column, Table},
};
use crate::{
    analysis::stacks::{Fold, fold},
    model::{
        HumanBytes, StackFrame, StackProfile, StacksState,
        human::{cell, count, file_end, path_end},
    },
    primitives::{order, reserve},
    snapshot::{MemorySnapshot, ranking::Ranking},
};

/// How many stacks are printed; `{:#}` prints all.
const MOST_STACKS: usize = 5;
/// How many functions of a stack are printed in its row, and in the long form.
pub(super) const FUNCTIONS: usize = 3;
pub(super) const FUNCTIONS_OF_LONG: usize = 5;
const FUNCTION_COLUMNS: usize = 44;
const FILE_COLUMNS: usize = 24;
pub(super) const NO_TASK: &str = "(no task)";
/// From this error on, an estimate says no more than that there is something.
const LARGE_ERROR: f64 = 1.0;

impl MemorySnapshot {
    /// Prints one row for each stack; the long form prints all its calls below.
    pub(super) fn stack_table(&self, f: &mut fmt::Formatter<'_>, ranking: Ranking) -> fmt::Result {
        const TITLE: &str = "where the code allocates";
        if !self.measured().is_yes() {
            // The first line of the report says why.
            return Ok(());
        }
        match self.stacks_measured() {
            StacksState::Off | StacksState::Disabled => return Ok(()),
            StacksState::Unsupported => {
                return writeln!(
                    f,
                    "{TITLE}: {NOT_MEASURED} (on this system a stack is not unwound without a lock; \
                     on Linux that takes glibc 2.35)\n"
                );
            }
            StacksState::On => {}
        }
        let interval = HumanBytes(self.stack_interval_bytes());
        if self.stacks().is_empty() {
            // A small program has no sample, and needs no line about that.
            if !f.alternate() {
                return Ok(());
            }
            return writeln!(f, "{TITLE}: no sample yet; about one in {interval} is taken\n");
        }
        let is_long = f.alternate();
        let most = if is_long { usize::MAX } else { MOST_STACKS };
        // Addresses alone tell a reader nothing, and the names are on their way.
        let is_shown = |stack: &StackProfile| {
            is_long || self.stack_names_pending() == 0 || stack.frames.iter().any(has_name)
        };
        let stacks = self.stacks().iter().enumerate().filter(|(_, stack)| is_shown(stack));
        let rows = self.stack_rows(stacks, is_long, ranking);
        let shown = rows.get(..rows.len().min(most)).unwrap_or_default();
        if shown.is_empty() {
            write!(f, "{TITLE}: ")?;
        } else {
            let mut table = Table::new(&[
                Column::Right("STACK"),
                Column::Right("LIVE"),
                Column::Right("±"),
                Column::Right("SAMPLES"),
                Column::Right("ALLOCATED"),
                Column::Left("SITE"),
                Column::Left("CODE"),
            ]);
            for row in shown {
                table.push(row.cells());
            }
            writeln!(f, "{TITLE} (estimates: one sample in about {interval})")?;
            write!(f, "{table}")?;
            self.more_stacks(f, shown)?;
        }
        self.stack_notes(f)?;
        if is_long {
            for (number, stack) in self.stacks().iter().enumerate() {
                writeln!(f, "${number}")?;
                calls(stack, f)?;
            }
        }
        writeln!(f)
    }

    /// Makes the rows, most bytes first. Stacks that look the same share one in the short
    /// form.
    fn stack_rows<'s>(
        &self,
        stacks: impl Iterator<Item = (usize, &'s StackProfile)>,
        is_long: bool,
        ranking: Ranking,
    ) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for (number, stack) in stacks {
            let row = self.stack_row(number, stack, is_long);
            let is_alike = |other: &&mut Row| (&other.site, &other.code) == (&row.site, &row.code);
            match rows.iter_mut().find(is_alike).filter(|_| !is_long) {
                Some(other) => other.add(stack, number),
                None => {
                    reserve::push(&mut rows, row);
                }
            }
        }
        order::by_key(&mut rows, |row| Reverse(ranking.of_stack(&row.sum)));
        rows
    }

    fn stack_row(&self, number: usize, stack: &StackProfile, is_long: bool) -> Row {
        let site = stack.site.and_then(|site| self.sites().get(site));
        let site = site.map_or_else(
            || if stack.is_untracked { NO_TASK } else { NONE }.to_owned(),
            |site| match stack.task {
                Some(task) => format!("{} #{task}", cell(&site.name, NAME_COLUMNS)),
                None => cell(&site.name, NAME_COLUMNS),
            },
        );
        let functions = if is_long { FUNCTIONS_OF_LONG } else { FUNCTIONS };
        let code = code(&stack.frames, functions);
        let mut row = Row { numbers: Vec::new(), sum: StackProfile::default(), site, code };
        row.add(stack, number);
        row
    }

    /// Says how many stacks there are beyond these rows.
    fn more_stacks(&self, f: &mut fmt::Formatter<'_>, shown: &[Row]) -> fmt::Result {
        let is_shown = |number| shown.iter().any(|row| row.numbers.contains(&number));
        let others = self.stacks().iter().enumerate().filter(|(number, _)| !is_shown(*number));
        let others = others.map(|(_, stack)| stack);
        let tool = self.tool();
        let live = others
            .clone()
            .fold(tool.stacks_left_out_bytes, |sum, stack| sum.saturating_add(stack.live_bytes));
        let rows = others.count() as u64;
        match rows.saturating_add(tool.stacks_left_out) {
            0 => return Ok(()),
            1 => write!(f, "… and 1 more stack")?,
            more => write!(f, "… and {} more stacks", count(more))?,
        }
        match live {
            0 => write!(f, " without live samples")?,
            live => write!(f, " with {}", estimate(live))?,
        }
        if tool.stacks_left_out != 0 {
            write!(f, "; {} of them in no row", count(tool.stacks_left_out))?;
        }
        writeln!(f, "{}", if rows == 0 { "" } else { " (all rows with `{:#}`)" })
    }
}

/// A row of one stack, or of several that look the same.
struct Row {
    /// Their places in the snapshot.
    numbers: Vec<usize>,
    /// Their figures.
    sum: StackProfile,
    site: String,
    code: String,
}

impl Row {
    fn add(&mut self, stack: &StackProfile, number: usize) {
        let sum = &mut self.sum;
        sum.live_bytes = sum.live_bytes.saturating_add(stack.live_bytes);
        sum.allocated_bytes = sum.allocated_bytes.saturating_add(stack.allocated_bytes);
        sum.live_samples = sum.live_samples.saturating_add(stack.live_samples);
        sum.samples = sum.samples.saturating_add(stack.samples);
        reserve::push(&mut self.numbers, number);
    }

    fn cells(&self) -> Vec<String> {
        let first = self.numbers.first().copied().unwrap_or(0);
        let name = match self.numbers.len().saturating_sub(1) {
            0 => format!("${first}"),
            more => format!("${first}+{more}"),
        };
        vec![
            name,
            estimate(self.sum.live_bytes),
            error(self.sum.live_error()),
            number(self.sum.live_samples),
            estimate(self.sum.allocated_bytes),
            self.site.clone(),
            self.code.clone(),
        ]
    }
}

fn has_name(frame: &StackFrame) -> bool {
    !frame.function.is_empty()
}

fn estimate(bytes: u64) -> String {
    if bytes == 0 { NONE.to_owned() } else { format!("≈ {}", HumanBytes(bytes)) }
}

/// The error in percent, or that there are too few samples to give one.
fn error(error: Option<f64>) -> String {
    match error {
        None => NONE.to_owned(),
        Some(error) if error < LARGE_ERROR => format!("{:.0} %", 100.0 * error),
        Some(_) => "few".to_owned(),
    }
}

/// The functions of the program, the innermost first.
pub(super) fn code(frames: &[StackFrame], functions: usize) -> String {
    let folds = fold(frames, functions).into_iter().map(|fold| match fold {
        Fold::Function(name, place) => {
            let name = path_end(&name, FUNCTION_COLUMNS);
            match place {
                Some((file, line)) => format!("{name} ({}:{line})", file_end(&file, FILE_COLUMNS)),
                None => name,
            }
        }
        Fold::Folded(1) => "… 1 library frame".to_owned(),
        Fold::Folded(frames) => format!("… {} library frames", count(frames)),
    });
    let code = folds.collect::<Vec<_>>().join(" ← ");
    if code.is_empty() { NONE.to_owned() } else { code }
}

fn calls(stack: &StackProfile, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for frame in &stack.frames {
        writeln!(f, "  at {frame}")?;
    }
    if stack.is_cut {
        writeln!(f, "  … and calls further out")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{analysis::fixture, snapshot::MemorySnapshot};

    fn frames(functions: &[&str]) -> Value {
        let frame = |(function, address): (&&str, u64)| json!({ "function": function, "address": address, "offset": address });
        functions.iter().zip(1..).map(frame).collect()
    }

    fn stacks() -> Value {
        json!([
            {
                "frames": frames(&[
                    "alloc::vec::Vec<T,A>::reserve", "shop::cache::Cache<K,V>::insert", "shop::orders::create::{{closure}}",
                    "<hyper::proto::h1::dispatch::Dispatcher<D,Bs,I,T> as core::future::future::Future>::poll",
                    "tokio::runtime::task::raw::poll", "start_thread",
                ]),
                "site": 0, "live_bytes": 240 << 20, "allocated_bytes": 900_u64 << 20, "live_samples": 120, "samples": 450,
            },
            {
                "frames": frames(&["alloc::vec::Vec<T,A>::reserve", "shop::log::push", "shop::main", "main"]),
                "is_cut": true, "is_untracked": true, "live_bytes": 8 << 20, "allocated_bytes": 8 << 20, "live_samples": 4, "samples": 4,
            },
            {
                "frames": frames(&["", "shop::read", ""]), "site": 0, "task": 7, "live_bytes": 3 << 20, "allocated_bytes": 4 << 20,
                "live_samples": 1, "samples": 2,
            },
            { "frames": frames(&["shop::churn", "main"]), "is_untracked": true, "allocated_bytes": 64 << 20, "samples": 32 },
        ])
    }

    fn report(changes: &Value) -> MemorySnapshot {
        let mut parts = json!({
            "sites": [fixture::site("GET /orders", &json!({}))], "stacks": stacks(), "stacks_measured": "on",
            "stack_interval_bytes": 2 << 20,
        });
        for (field, change) in changes.as_object().expect("fields") {
            parts[field] = change.clone();
        }
        fixture::snapshot(&parts)
    }

    fn section(text: &str) -> &str {
        let start = text.find("where the code allocates").expect("the section");
        let end = text[start..].find("\n\n").expect("its end");
        &text[start..=start + end]
    }

    #[test]
    fn the_code_that_allocates_is_named_with_how_sure_that_is() {
        let shown = report(&json!({ "stack_names_pending": 2 })).to_string();
        let expected = "\
where the code allocates (estimates: one sample in about 2.0 MiB)
STACK         LIVE     ±  SAMPLES    ALLOCATED  SITE            CODE
   $0  ≈ 240.0 MiB  20 %      120  ≈ 900.0 MiB  GET /orders     shop::cache::Cache::insert ← shop::orders::create ← … 3 library frames
   $1    ≈ 8.0 MiB   few        4    ≈ 8.0 MiB  (no task)       shop::log::push ← shop::main ← … 1 library frame
   $2    ≈ 3.0 MiB   few        1    ≈ 4.0 MiB  GET /orders #7  … 1 library frame ← shop::read ← … 1 library frame
   $3            ·     ·        ·   ≈ 64.0 MiB  (no task)       shop::churn ← … 1 library frame
the names or lines of 2 calls are being looked up; the next report has them
";
        assert_eq!(section(&shown), expected, "\n{shown}");
    }

    #[test]
    fn a_stack_without_any_name_is_not_printed_while_names_are_looked_up() {
        let unnamed = json!({ "frames": frames(&["", ""]), "live_bytes": 1 << 20, "samples": 1 });
        let of = |stacks: Value, pending: u64| {
            report(&json!({ "stacks": stacks, "stack_names_pending": pending })).to_string()
        };
        let shown = of(json!([unnamed]), 2);
        let expected = "where the code allocates: the names or lines of 2 calls are being looked up; the \
                        next report has them\n";
        assert_eq!(section(&shown), expected, "{shown}");
        let mut both = stacks();
        both.as_array_mut().expect("a list").insert(0, unnamed.clone());
        let shown = of(both, 2);
        assert!(!shown.contains("   $0  ") && shown.contains("   $1  "), "{shown}");
        assert!(shown.contains("… and 1 more stack with ≈ 1.0 MiB"), "{shown}");
        let mut freed = stacks();
        let freed_one = |name| json!({ "frames": frames(&[name]), "samples": 1 });
        freed
            .as_array_mut()
            .expect("a list")
            .extend([freed_one("shop::gone"), freed_one("shop::gone_too")]);
        assert!(of(freed, 0).contains("… and 1 more stack without live samples"));
        let shown = of(json!([unnamed]), 0);
        assert!(shown.contains("   $0  "), "no name will come: {shown}");
    }

    #[test]
    fn stacks_that_look_the_same_share_a_row() {
        let mut alike = stacks();
        let mut other = alike[1].clone();
        // Another way through the libraries.
        other["frames"] =
            frames(&["alloc::raw_vec::grow", "shop::log::push", "shop::main", "start"]);
        let mut of_a_task = other.clone();
        of_a_task["site"] = json!(0);
        of_a_task["is_untracked"] = json!(false);
        alike.as_array_mut().expect("a list").extend([other, of_a_task]);
        let shown = report(&json!({ "stacks": alike })).to_string();
        let expected = [
            " $1+1   ≈ 16.0 MiB   few        8   ≈ 16.0 MiB  (no task)       shop::log::push ← shop::main ← … 1 library frame\n",
            "   $5    ≈ 8.0 MiB   few        4    ≈ 8.0 MiB  GET /orders     shop::log::push ← shop::main ← … 1 library frame\n",
        ];
        for line in expected {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
        let long = format!("{:#}", report(&json!({ "stacks": alike })));
        assert!(!long.contains("$1+1") && long.contains("\n$4\n"), "{long}");
    }

    #[test]
    fn the_long_form_has_every_call() {
        let shown = format!("{:#}", report(&json!({})));
        let expected = "
$1
  at alloc::vec::Vec<T,A>::reserve
  at shop::log::push
  at shop::main
  at main
  … and calls further out
$2
  at program+0x1
  at shop::read
  at program+0x3
";
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn stacks_that_are_not_shown_are_counted_with_their_bytes() {
        let many = (0..8).map(|number| {
            let mut stack = stacks()[1].clone();
            stack["frames"] = frames(&[&*format!("shop::log::{number}"), "main"]);
            stack
        });
        let many: Vec<Value> = many.collect();
        let mut json = serde_json::to_value(report(&json!({ "stacks": many }))).expect("json");
        json["tool"]["stacks_left_out"] = json!(1_000);
        json["tool"]["stacks_left_out_bytes"] = json!(1 << 20);
        json["tool"]["stacks_dropped"] = json!(5);
        let snapshot: MemorySnapshot = serde_json::from_value(json).expect("a snapshot");
        let shown = snapshot.to_string();
        let line = "… and 1,003 more stacks with ≈ 25.0 MiB; 1,000 of them in no row (all rows with `{:#}`)\n";
        assert!(shown.contains(line), "{shown}");
        assert!(shown.contains("; 5 samples of call stacks dropped"), "{shown}");
    }

    #[test]
    fn why_there_are_no_stacks_is_said() {
        let none = |state: &str| {
            format!("{:#}", report(&json!({ "stacks": [], "stacks_measured": state })))
        };
        assert!(
            none("on").contains(
                "where the code allocates: no sample yet; about one in 2.0 MiB is taken\n"
            )
        );
        assert!(
            none("unsupported").contains("where the code allocates: not measured (on this system")
        );
        assert!(!none("off").contains("where the code"));
    }

    #[test]
    fn a_file_from_before_stacks_is_read_and_a_new_one_comes_back_as_it_was() {
        let old = fixture::snapshot(&json!({}));
        assert!(old.stacks().is_empty() && old.stack_interval_bytes() == 0);
        let new = report(&json!({}));
        let json = serde_json::to_string(&new).expect("json");
        let back: MemorySnapshot = serde_json::from_str(&json).expect("it");
        assert_eq!(back, new);
        assert_eq!(back.stacks()[0].live_samples, 120);
    }
}
