//! What a snapshot knows beside a site's own row: which sites free its blocks, which variables hold
//! bytes, how its live bytes changed.

use std::{cmp::Reverse, collections::HashMap};

use super::wording::percent;
use crate::{
    model::{
        AwaitPoint, HandOver, HumanBytes, Place, SiteProfile, TaskId, TaskMemoryProfile, Trend,
        human::cell,
    },
    primitives::order,
    snapshot::MemorySnapshot,
};

/// How many names a finding carries.
const MOST_NAMES: usize = 5;

/// Indices over one snapshot.
pub(super) struct Evidence<'a> {
    pub(super) whole_bytes: u64,
    trends: HashMap<Place, &'a Trend>,
    /// By the site that allocated.
    hand_overs: HashMap<&'a Place, Vec<&'a HandOver>>,
    /// The live variables of each task: name and bytes.
    variables: HashMap<TaskId, Vec<(&'a str, u64)>>,
    ended: HashMap<Place, Vec<TaskId>>,
    snapshot: &'a MemorySnapshot,
}

pub(super) fn place_of(site: &SiteProfile) -> Place {
    Place { name: site.name.clone(), file: site.file.clone(), line: site.line }
}

pub(super) fn place_of_task(task: &TaskMemoryProfile) -> Place {
    Place { name: task.name.clone(), file: task.file.clone(), line: task.line }
}

impl<'a> Evidence<'a> {
    pub(super) fn of(snapshot: &'a MemorySnapshot) -> Self {
        let of_sites = snapshot.trends().iter().filter(|trend| trend.task.is_none());
        let mut hand_overs: HashMap<&Place, Vec<&HandOver>> = HashMap::new();
        for hand_over in snapshot.hand_overs() {
            if let Some(from) = &hand_over.from {
                hand_overs.entry(from).or_default().push(hand_over);
            }
        }
        let mut variables: HashMap<TaskId, Vec<(&str, u64)>> = HashMap::new();
        let mut sites: HashMap<TaskId, Place> = HashMap::new();
        for variable in snapshot.variables().iter().filter(|variable| variable.live) {
            if let Some(task) = variable.task {
                variables.entry(task).or_default().push((&variable.name, variable.heap_bytes));
                sites.extend(variable.task_site.clone().map(|site| (task, site)));
            }
        }
        for task in snapshot.tasks().iter().filter(|task| !task.state.is_ended()) {
            sites.remove(&task.id);
        }
        let mut ended: HashMap<Place, Vec<TaskId>> = HashMap::new();
        for (task, site) in sites {
            ended.entry(site).or_default().push(task);
        }
        Self {
            whole_bytes: snapshot.process().whole_bytes,
            trends: of_sites.map(|trend| (trend.place.clone(), trend)).collect(),
            hand_overs,
            variables,
            snapshot,
            ended,
        }
    }

    /// Where most of these tasks wait, among those for which it is known, and how many these are.
    pub(super) fn await_point_of(
        &self,
        tasks: &[(u64, &TaskMemoryProfile)],
    ) -> Option<(&'a AwaitPoint, u64)> {
        let mut counts: HashMap<u32, u64> = HashMap::new();
        for point in tasks.iter().filter_map(|(_, task)| task.await_point) {
            *counts.entry(point).or_default() += 1;
        }
        let (point, count) =
            counts.into_iter().max_by_key(|&(point, count)| (count, Reverse(point)))?;
        Some((self.snapshot.await_points().get(usize::try_from(point).ok()?)?, count))
    }

    pub(super) fn trend_of(&self, site: &SiteProfile) -> Option<&'a Trend> {
        self.trends.get(&place_of(site)).copied()
    }

    /// Names of the live variables of a site's ended tasks, the largest first.
    pub(super) fn variables_of_ended(&self, place: &Place) -> Vec<String> {
        self.variables_of(self.ended.get(place).map_or(&[][..], Vec::as_slice))
    }

    /// Names of the live variables of these tasks, the largest first.
    pub(super) fn variables_of(&self, tasks: &[TaskId]) -> Vec<String> {
        let mut bytes: HashMap<&str, u64> = HashMap::new();
        for &(name, heap_bytes) in
            tasks.iter().filter_map(|task| self.variables.get(task)).flatten()
        {
            let sum = bytes.entry(name).or_default();
            *sum = sum.saturating_add(heap_bytes);
        }
        let mut names: Vec<(&str, u64)> = bytes.into_iter().collect();
        order::by_key(&mut names, |&(name, bytes)| (Reverse(bytes), name));
        names.into_iter().take(MOST_NAMES).map(|(name, _)| name.to_owned()).collect()
    }

    /// What others freed of this site's bytes, and which of them freed most. `None` if they freed
    /// nothing.
    pub(super) fn freed_by(&self, place: &Place) -> Option<Freed<'a>> {
        let rows = self.hand_overs.get(place)?;
        let bytes = rows.iter().fold(0_u64, |sum, row| sum.saturating_add(row.bytes));
        let largest = rows.iter().max_by_key(|row| row.bytes)?;
        (bytes != 0).then_some(Freed { bytes, of_largest: largest.bytes, who: largest.to.as_ref() })
    }
}

/// What others freed of a site's bytes.
pub(super) struct Freed<'a> {
    bytes: u64,
    of_largest: u64,
    /// The site that freed most of it; `None`: code outside every task.
    pub(super) who: Option<&'a Place>,
}

impl Freed<'_> {
    pub(super) fn sentence(&self) -> String {
        let who = self.who.map_or("code outside every task".to_owned(), |who| {
            format!("`{}`", cell(&who.name, 36))
        });
        let (share, all) = (percent(self.of_largest, self.bytes), HumanBytes(self.bytes));
        format!("Of the {all} that others freed for it, {share} was freed by {who}.")
    }
}
