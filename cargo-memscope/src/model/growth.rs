//! Compares two reports: what grew, and what grew too much.

use std::collections::BTreeMap;

use memscope_runtime::async_memory::{MemorySnapshot, SiteProfile, SnapshotDiff};
use regex::Regex;
use serde::Serialize;

use crate::threshold::{Measure, Threshold};

/// The name of the row for bytes outside of tasks.
const OUTSIDE: &str = "(outside of tasks)";

/// A figure before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Figure {
    pub(crate) before: u64,
    pub(crate) after: u64,
}

impl Figure {
    pub(crate) fn growth(self) -> u64 {
        self.after.saturating_sub(self.before)
    }
}

/// One site of tasks, or the bytes outside of tasks.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// The file of the site, or `None` outside of tasks.
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) live: Figure,
    /// `None` outside of tasks, where peaks are not counted.
    pub(crate) peak: Option<Figure>,
    pub(crate) allocated: Figure,
}

/// A row that grew by more than the limit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Excess {
    pub(crate) name: String,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) measure: Measure,
    #[serde(flatten)]
    pub(crate) figure: Figure,
    /// The growth that the limit allows.
    pub(crate) allowed: u64,
}

/// The result of a comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    /// The version of these fields.
    pub(crate) schema: u32,
    /// Whether nothing grew by more than the limit.
    pub(crate) within: bool,
    pub(crate) fail_over: Option<Threshold>,
    /// The figures that were compared with the limit.
    pub(crate) measures: Vec<Measure>,
    /// The rows that grew too much, the largest excess first.
    pub(crate) over: Vec<Excess>,
    /// Rows that changed, the largest growth of live bytes first.
    pub(crate) rows: Vec<Row>,
    pub(crate) diff: SnapshotDiff,
}

impl Row {
    fn of(site: &SiteProfile) -> Self {
        let name = site.name.clone();
        let none = Figure::default();
        let (file, line) = (Some(site.file.to_string()), Some(site.line));
        Self { name, file, line, live: none, peak: Some(none), allocated: none }
    }

    /// Returns the name and the place, as `--site` matches them.
    pub(crate) fn title(&self) -> String {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{} ({file}:{line})", self.name),
            _ => self.name.clone(),
        }
    }

    pub(crate) fn figure(&self, measure: Measure) -> Option<Figure> {
        match measure {
            Measure::Live => Some(self.live),
            Measure::Peak => self.peak,
            Measure::Allocated => Some(self.allocated),
        }
    }
}

/// Compares two reports. `sites` selects the rows that count; without it, all do.
pub(crate) fn growth(
    before: &MemorySnapshot,
    after: &MemorySnapshot,
    fail_over: Option<Threshold>,
    growth_of: &[Measure],
    sites: Option<&Regex>,
) -> Growth {
    let growth_of = if growth_of.is_empty() { &Measure::ALL } else { growth_of };
    let mut rows = rows(before, after);
    rows.retain(|row| sites.is_none_or(|sites| sites.is_match(&row.title())));
    let whole = before.process().whole_bytes;
    let allocated =
        before.process().tracked_allocated_bytes + before.process().untracked_allocated_bytes;
    let mut over = Vec::new();
    for (row, measure) in rows.iter().flat_map(|row| growth_of.iter().map(move |it| (row, *it))) {
        let (Some(figure), Some(fail_over)) = (row.figure(measure), fail_over) else { continue };
        let whole = if measure == Measure::Allocated { allocated } else { whole };
        let allowed = fail_over.most(figure.before, whole);
        if figure.growth() > allowed {
            let (name, file, line) = (row.name.clone(), row.file.clone(), row.line);
            over.push(Excess { name, file, line, measure, figure, allowed });
        }
    }
    over.sort_by_key(|excess| std::cmp::Reverse(excess.figure.growth()));
    rows.retain(|row| {
        let is_change = |figure: Figure| figure.before != figure.after;
        is_change(row.live) || row.peak.is_some_and(is_change) || is_change(row.allocated)
    });
    rows.sort_by_key(|row| {
        std::cmp::Reverse((row.live.growth(), row.peak.unwrap_or_default().growth()))
    });
    let mut diff = after.diff(before);
    if let Some(sites) = sites {
        let is_match =
            |name: &str, file: &str, line: u32| sites.is_match(&format!("{name} ({file}:{line})"));
        diff.sites.retain(|it| is_match(&it.name, &it.file, it.line));
        diff.variable_sites.retain(|it| is_match(&it.name, &it.file, it.line));
        diff.stacks.retain(|it| {
            it.site.as_ref().is_some_and(|site| is_match(&site.name, &site.file, site.line))
        });
    }
    Growth {
        schema: 1,
        within: over.is_empty(),
        fail_over,
        measures: growth_of.to_vec(),
        over,
        rows,
        diff,
    }
}

/// Returns the sites of both reports by name and place, then the bytes outside of tasks.
fn rows(before: &MemorySnapshot, after: &MemorySnapshot) -> Vec<Row> {
    let mut rows: BTreeMap<_, Row> = BTreeMap::new();
    for (snapshot, is_after) in [(before, false), (after, true)] {
        for site in snapshot.sites() {
            let key = (&*site.name, site.task_type, &*site.file, site.line);
            let row = rows.entry(key).or_insert_with(|| Row::of(site));
            let side = |figure: &mut Figure, add: fn(u64, u64) -> u64, bytes| {
                let side = if is_after { &mut figure.after } else { &mut figure.before };
                *side = add(*side, bytes);
            };
            side(&mut row.live, u64::saturating_add, site.live_bytes);
            side(&mut row.allocated, u64::saturating_add, site.allocated_bytes);
            if let Some(peak) = &mut row.peak {
                side(peak, u64::max, site.peak_bytes);
            }
        }
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    let (then, now) = (before.process(), after.process());
    rows.push(Row {
        name: OUTSIDE.to_owned(),
        file: None,
        line: None,
        live: Figure { before: then.untracked_bytes, after: now.untracked_bytes },
        peak: None,
        allocated: Figure {
            before: then.untracked_allocated_bytes,
            after: now.untracked_allocated_bytes,
        },
    });
    rows
}
