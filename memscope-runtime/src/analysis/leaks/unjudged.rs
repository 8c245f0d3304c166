//! What could not be judged, and why. Without it, an empty list would look like a program without
//! leaks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    finding::LeakKind,
    options::LeakOptions,
    retained::Retained,
    stuck::Stuck,
    trend,
    wording::{at, several},
};
use crate::{
    model::human::{cell, count},
    snapshot::MemorySnapshot,
};

/// Something that could not be judged, or not everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotJudged {
    /// The kind of leak; `None`: it concerns every kind.
    pub kind: Option<LeakKind>,
    /// What was missing.
    pub why: String,
}

impl fmt::Display for NotJudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = cell(&self.why, 240);
        match self.kind {
            Some(kind) => write!(f, "{kind:8}  {why}"),
            None => write!(f, "any       {why}"),
        }
    }
}

pub(super) fn find(
    snapshot: &MemorySnapshot,
    retained: &Retained,
    stuck: &Stuck,
    options: &LeakOptions,
) -> Vec<NotJudged> {
    let (samples, least) = (trend::samples(snapshot.trends()).max(1), options.least_samples);
    let mut notes = Vec::new();
    let mut note = |kind, why| notes.push(NotJudged { kind, why });
    if let Some(first) = retained.unclear.first() {
        let more = match retained.unclear.len() {
            1 => String::new(),
            sites => format!(" and {} more", count(sites as u64 - 1)),
        };
        let why = format!(
            "{}{more}: a leak that began late, or a cache that drops its oldest; {least} snapshots will tell",
            at(first),
        );
        note(Some(LeakKind::Retained), why);
    }
    if let Some(first) = retained.at_rest.first() {
        let more = match retained.at_rest.len() {
            1 => String::new(),
            sites => format!(" and {} more", count(sites as u64 - 1)),
        };
        let why = format!(
            "{}{more}: results of a batch that are kept, or a leak at rest; none of its tasks did anything in the last half of the snapshots",
            at(first),
        );
        note(Some(LeakKind::Retained), why);
    }
    if retained.unknown != 0 {
        let sites = several(retained.unknown, "site", "sites");
        let why = format!("{sites}: it is not known which of the ended tasks hold the bytes");
        note(Some(LeakKind::Retained), why);
    }
    if stuck.untimed != 0 {
        let tasks = several(stuck.untimed, "idle task", "idle tasks");
        let is_timed = snapshot.tasks().iter().any(|task| task.busy_ns.is_some())
            || snapshot.sites().iter().any(|site| site.waits_timed != 0);
        let why = if is_timed { "a second snapshot will tell" } else { "timing is off" };
        let why = format!("{tasks} with bytes: not known since when; {why}");
        note(Some(LeakKind::Stuck), why);
    }
    if stuck.without_compare != 0 {
        let tasks = several(stuck.without_compare, "task", "tasks");
        let why = format!(
            "{tasks} idle for long, of sites too few of whose tasks ended to say what is long; `stuck_after` sets a limit"
        );
        note(Some(LeakKind::Stuck), why);
    }
    if samples < least {
        let so_far = match samples {
            1 => "this is the first".to_owned(),
            samples => format!("there are {samples}"),
        };
        note(Some(LeakKind::Growing), format!("needs {least} snapshots, {so_far}"));
    }
    let other = snapshot.tool().tasks_in_other;
    if other != 0 {
        let tasks = several(other, "task", "tasks");
        note(None, format!("{tasks} of sites past the limit are judged together as `(other)`"));
    }
    notes
}
