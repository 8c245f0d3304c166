//! The findings as text, the worst first.

use memscope_runtime::{
    __terminal::cell,
    analysis::{Leak, LeakKind, Leaks, Severity},
};

use super::{
    context::place_key,
    number::{bytes, duration, several},
    report::{name, place},
};

/// The most characters of a text.
const MOST_TEXT: usize = 1_000;

/// A finding in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) title: String,
    /// Its bytes, and what else was measured.
    pub(super) figures: String,
    pub(super) place: String,
    pub(super) evidence: String,
    pub(super) fix: String,
}

/// Returns all findings in the report's order, the worst first.
pub(super) fn all(leaks: &Leaks) -> Vec<Finding> {
    leaks.iter().map(finding).collect()
}

/// Returns the findings about a row, which is a site or a task.
pub(super) fn of_row(leaks: &Leaks, key: &str) -> Vec<Finding> {
    let is_of = |it: &&Leak| match it.task {
        Some(task) => key == format!("task:{task}"),
        None => key == place_key(&it.place),
    };
    leaks.iter().filter(is_of).map(finding).collect()
}

/// Returns the words for a report without findings.
pub(super) fn none(leaks: &Leaks, is_measured: bool) -> String {
    let calm = if is_measured { "Nothing looks lost." } else { "Nothing could be judged." };
    match leaks.not_judged() {
        [] => calm.to_owned(),
        [first, others @ ..] => {
            let kind = first.kind.map_or_else(String::new, |it| format!("{it}: "));
            let more =
                if others.is_empty() { String::new() } else { format!(" (+{})", others.len()) };
            format!("{calm} Not judged yet: {kind}{}{more}", name(&first.why))
        }
    }
}

fn finding(it: &Leak) -> Finding {
    let title = match it.task {
        Some(task) => format!("{} #{task}", name(&it.place.name)),
        None => name(&it.place.name),
    };
    let (kind, size) = (it.kind, bytes(it.bytes));
    let mut figures = vec![match it.kind {
        LeakKind::Retained => format!("{kind} {size} in {}", several(it.count, "ended task")),
        LeakKind::Stuck => format!("{kind} {size} in {}", several(it.count, "task")),
        _ => format!("{kind} {size}"),
    }];
    figures.extend(it.oldest_ns.map(|ns| match it.kind {
        LeakKind::Retained => format!("first ended {} ago", duration(ns)),
        LeakKind::Stuck => format!("not polled for {}", duration(ns)),
        _ => format!("for {}", duration(ns)),
    }));
    figures.extend(it.bytes_per_day.map(|it| format!("{} a day", bytes(it))));
    let waits = it.waits_at.as_ref().map(|at| format!("at {}", name(at)));
    figures.extend(waits);
    Finding {
        severity: it.severity,
        title,
        figures: figures.join(", "),
        place: place(&it.place.file, Some(it.place.line)),
        evidence: cell(&it.evidence, MOST_TEXT),
        fix: cell(&it.fix, MOST_TEXT),
    }
}
