//! The rows of a snapshot in another order, or some of them: for reports that a reader asks for.

use std::{cmp::Reverse, collections::HashMap, fmt};

use super::{MemorySnapshot, ranking::Ranking};
use crate::model::{AwaitPoint, SharedProfile, SiteProfile, VariableSiteProfile, human::count};

/// How many rows of each table a filter hides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// What the rows are, how many there were, and how many of them are hidden.
    rows: [(&'static str, &'static str, usize, usize); 6],
}

impl Hidden {
    /// Whether no row is left, in any table.
    pub fn is_all(&self) -> bool {
        self.rows.iter().all(|(.., all, hidden)| all == hidden)
    }

    /// What the rows are, how many there were, and how many of them are hidden.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, usize, usize)> {
        self.rows.into_iter().map(|(_, many, all, hidden)| (many, all, hidden))
    }
}

/// The tables that have hidden rows: `3 of 5 sites, 1 of 2 tasks`.
impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = || self.rows.iter().filter(|row| row.3 != 0);
        if hidden().next().is_none() {
            return f.write_str("no row");
        }
        for (at, (one, many, all, hidden)) in hidden().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let what = if *all == 1 { one } else { many };
            write!(f, "{comma}{} of {} {what}", count(*hidden as u64), count(*all as u64))?;
        }
        Ok(())
    }
}

/// Sorts the rows of a snapshot and leaves out those that `is_match` refuses. All totals stay those
/// of the whole.
///
/// `is_match` is asked for sites and tasks as `name (file:line)`, for variables as
/// `name: type (file:line)`, and for calls as `function (file:line)`. A stack of a site stays if
/// its site stays; one without a site stays if one of its calls matches. An await point stays if
/// one of its tasks stays, or if one of its frames matches.
pub(crate) fn select(
    snapshot: &MemorySnapshot,
    ranking: Option<Ranking>,
    is_match: impl Fn(&str) -> bool,
) -> (MemorySnapshot, Hidden) {
    let mut parts = (*snapshot.parts).clone();
    let titled = |name: &str, file: &str, line: u32| is_match(&format!("{name} ({file}:{line})"));
    let mut hidden = Hidden::default();
    let mut note = |at: usize, one, many, all: usize, left: usize| {
        if let Some(row) = hidden.rows.get_mut(at) {
            *row = (one, many, all, all.saturating_sub(left));
        }
    };

    // The old place of each site that is left.
    let mut sites: Vec<(usize, SiteProfile)> = parts.sites.into_iter().enumerate().collect();
    let all = sites.len();
    sites.retain(|(_, it)| titled(&it.name, &it.file, it.line));
    note(0, "site", "sites", all, sites.len());
    if let Some(ranking) = ranking {
        sites.sort_by_key(|(_, it)| Reverse(ranking.of_site(it)));
    }
    let places: HashMap<usize, usize> =
        sites.iter().enumerate().map(|(new, (old, _))| (*old, new)).collect();
    parts.sites = sites.into_iter().map(|it| it.1).collect();

    let mut tasks = parts.tasks.rows().to_vec();
    let all = tasks.len();
    tasks.retain(|it| titled(&it.name, &it.file, it.line));
    note(1, "task", "tasks", all, tasks.len());
    if let Some(ranking) = ranking {
        tasks.sort_by_key(|it| Reverse(ranking.of_task(it)));
    }

    let all = parts.variable_sites.len();
    let variable = |name: &str, type_name: &str, file: &str, line: u32| {
        is_match(&format!("{name}: {type_name} ({file}:{line})"))
    };
    parts.variable_sites.retain(|it| variable(&it.name, &it.type_name, &it.file, it.line));
    parts.variables.retain(|it| variable(&it.name, &it.type_name, &it.file, it.line));
    note(2, "variable", "variables", all, parts.variable_sites.len());

    let all = parts.stacks.len();
    parts.stacks.retain_mut(|it| match it.site {
        Some(site) => {
            it.site = places.get(&site).copied();
            it.site.is_some()
        }
        None => it.frames.iter().any(|call| {
            let file = call.file.as_deref().unwrap_or_default();
            titled(&call.function, file, call.line.unwrap_or(0))
        }),
    });
    note(3, "stack", "stacks", all, parts.stacks.len());

    let used: Vec<bool> = {
        let mut used = vec![false; parts.await_points.len()];
        for at in tasks.iter().filter_map(|it| usize::try_from(it.await_point?).ok()) {
            if let Some(used) = used.get_mut(at) {
                *used = true;
            }
        }
        used
    };
    let has_frame =
        |point: &AwaitPoint| point.frames.iter().any(|it| titled(&it.function, &it.file, it.line));
    let mut points = Vec::new();
    let mut new_points = HashMap::new();
    let all = parts.await_points.len();
    for (old, point) in parts.await_points.into_iter().enumerate() {
        if used.get(old).copied().unwrap_or(false) || has_frame(&point) {
            new_points.insert(old, points.len());
            points.push(point);
        }
    }
    note(4, "await point", "await points", all, points.len());
    parts.await_points = points;
    for task in &mut tasks {
        let old = task.await_point.and_then(|it| usize::try_from(it).ok());
        let new = old.and_then(|it| new_points.get(&it).copied());
        task.await_point = new.and_then(|it| u32::try_from(it).ok());
    }
    parts.tasks = tasks.into();

    let all = parts.shared.len();
    parts.shared.retain(|it| is_match(&it.name));
    note(5, "shared owner", "shared owners", all, parts.shared.len());
    if let Some(ranking) = ranking {
        parts.variable_sites.sort_by_key(|it| Reverse(of_variables(ranking, it)));
        parts.stacks.sort_by_key(|it| Reverse(ranking.of_stack(it)));
        parts.shared.sort_by_key(|it| Reverse(of_shared(ranking, it)));
    }
    (parts.into(), hidden)
}

fn of_shared(ranking: Ranking, shared: &SharedProfile) -> u64 {
    match ranking {
        Ranking::Live | Ranking::Retained => shared.live_bytes,
        Ranking::Peak => shared.peak_bytes,
        Ranking::Allocated => shared.allocated_bytes,
    }
}

/// The figure by which variables are sorted. What variables had allocated is not counted.
fn of_variables(ranking: Ranking, site: &VariableSiteProfile) -> u64 {
    match ranking {
        Ranking::Peak => site.largest_bytes,
        Ranking::Live | Ranking::Allocated | Ranking::Retained => site.live_bytes,
    }
}
