//! What stands out, in one line each: the worst first.

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

/// All findings, the worst first as the report has them.
pub(super) fn all(leaks: &Leaks) -> Vec<Finding> {
    leaks.iter().map(finding).collect()
}

/// Those of a row: of a site, or of a task.
pub(super) fn of_row(leaks: &Leaks, key: &str) -> Vec<Finding> {
    let is_of = |it: &&Leak| match it.task {
        Some(task) => key == format!("task:{task}"),
        None => key == place_key(&it.place),
    };
    leaks.iter().filter(is_of).map(finding).collect()
}

/// What is said where there are none.
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
    let site = name(&it.place.name);
    let title = match it.kind {
        LeakKind::Retained => format!("{site} leaves memory behind"),
        LeakKind::Stuck if it.count == 1 => format!("a task of {site} is stuck"),
        LeakKind::Stuck => format!("{} of {site} are stuck", several(it.count, "task")),
        LeakKind::Growing => format!("{site} only grows"),
        LeakKind::Unjoined => format!("ended tasks of {site} are kept"),
        other => format!("{site}: {other}"),
    };
    let mut figures = vec![match it.kind {
        LeakKind::Retained => format!("{} in {}", bytes(it.bytes), several(it.count, "ended task")),
        LeakKind::Growing => format!("{} more", bytes(it.bytes)),
        _ => bytes(it.bytes),
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
