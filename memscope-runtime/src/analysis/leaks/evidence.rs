//! What a snapshot knows beside a site's own row: which sites free its blocks, which variables hold
//! bytes, how its live bytes changed.

use std::{cmp::Reverse, collections::HashMap};

use super::{
    cause::{Clue, LeakCause, Part},
    code::{Code, Codes, Share},
    growth::Suspect,
    holder::Held,
    kind::of_type,
    pile::LEAST_PILED,
    wording::{percent, several},
};
use crate::{
    accounting::UNNAMED,
    model::{
        AwaitPoint, HandOver, HumanBytes, Place, SiteProfile, StackProfile, TaskId,
        TaskMemoryProfile, Trend, TrendPoint, human::cell,
    },
    primitives::order,
    snapshot::MemorySnapshot,
};

/// How many names a finding carries.
const MOST_NAMES: usize = 5;
/// A site is named as one that frees what another allocates if it has freed at least one byte for
/// this many that are left …
const LEAST_FREED: u64 = 8;
/// … and half of what others freed.
const LEAST_OF_FREED: u64 = 2;
/// A shared collection that tasks of another site reallocate is many bytes in few blocks: fewer
/// than these, however large it has grown by doubling.
pub(super) const LEAST_FREED_BLOCKS: u64 = 32;

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
        tasks: impl IntoIterator<Item = &'a TaskMemoryProfile>,
    ) -> Option<(&'a AwaitPoint, u64)> {
        let mut counts: HashMap<u32, u64> = HashMap::new();
        for point in tasks.into_iter().filter_map(|task| task.await_point) {
            *counts.entry(point).or_default() += 1;
        }
        let (point, count) =
            counts.into_iter().max_by_key(|&(point, count)| (count, Reverse(point)))?;
        Some((self.snapshot.await_points().get(usize::try_from(point).ok()?)?, count))
    }

    /// The samples of a task, if it is watched.
    pub(super) fn points_of_task(&self, task: TaskId) -> Option<&'a [TrendPoint]> {
        let mut trends = self.snapshot.trends().iter();
        trends.find(|trend| trend.task == Some(task)).map(|trend| &*trend.points)
    }

    pub(super) fn trend_of(&self, site: &SiteProfile) -> Option<&'a Trend> {
        self.trends.get(&place_of(site)).copied()
    }

    /// Names of the live variables of a site's ended tasks, and their bytes, the largest first.
    pub(super) fn variables_of_ended(&self, place: &Place) -> Vec<(String, u64)> {
        self.variables_of(self.ended.get(place).map_or(&[][..], Vec::as_slice))
    }

    /// Names of the live variables of these tasks, and their bytes, the largest first.
    pub(super) fn variables_of(&self, tasks: &[TaskId]) -> Vec<(String, u64)> {
        let mut bytes: HashMap<&str, u64> = HashMap::new();
        for &(name, heap_bytes) in
            tasks.iter().filter_map(|task| self.variables.get(task)).flatten()
        {
            let sum = bytes.entry(name).or_default();
            *sum = sum.saturating_add(heap_bytes);
        }
        let mut names: Vec<(&str, u64)> = bytes.into_iter().collect();
        order::by_key(&mut names, |&(name, bytes)| (Reverse(bytes), name));
        names.into_iter().take(MOST_NAMES).map(|(name, bytes)| (name.to_owned(), bytes)).collect()
    }

    /// The other site that frees a fair share of what this one allocates. `left`: the bytes that
    /// are left.
    pub(super) fn freed_by(&self, place: &Place, left: u64) -> Option<Freed<'a>> {
        let rows = self.hand_overs.get(place)?;
        let bytes = rows.iter().fold(0_u64, |sum, row| sum.saturating_add(row.bytes));
        let largest = rows.iter().max_by_key(|row| row.bytes)?;
        let who = largest.to.as_ref().filter(|who| *who != place && who.name != UNNAMED)?;
        let is_fair = largest.bytes >= bytes / LEAST_OF_FREED
            && largest.bytes >= left / LEAST_FREED
            && largest.blocks >= LEAST_FREED_BLOCKS;
        let sites = || self.snapshot.sites().iter().filter(|site| place_of(site) == *who);
        let is_alive = sites().any(|site| site.active != 0);
        (bytes != 0 && is_fair).then_some(Freed { bytes, of_largest: largest.bytes, who, is_alive })
    }

    /// The longest series of a site: the timeline has more points than the trend.
    pub(super) fn points_of(&self, place: &Place) -> &'a [TrendPoint] {
        let mut of_timeline = self.snapshot.timeline().sites.iter();
        let of_timeline = of_timeline.find(|trend| trend.place == *place);
        let trends = [self.trends.get(place).copied(), of_timeline];
        let points = trends.into_iter().flatten().map(|trend| &*trend.points);
        points.max_by_key(|points| points.len()).unwrap_or_default()
    }

    /// What the stacks of a site's live bytes have in common, of those that have come since then.
    pub(super) fn clue_of(&self, place: &Place, since_ns: Option<u64>) -> Option<Clue> {
        let stacks = self.snapshot.stacks().iter().filter(|stack| self.is_of(stack, place));
        self.clue_of_stacks(stacks, since_ns, || {
            let site = self.snapshot.sites().iter().find(|site| place_of(site) == *place);
            site.map_or(0, |site| site.live_bytes)
        })
    }

    /// What the stacks of the live bytes of several sites have in common, of those that have come
    /// since then.
    pub(super) fn clue_of_sites(&self, places: &[Place], since_ns: Option<u64>) -> Option<Clue> {
        let sites = self.snapshot.sites();
        let is_one = |site: &SiteProfile| places.contains(&place_of(site));
        let is_theirs =
            |stack: &&StackProfile| stack.site.and_then(|site| sites.get(site)).is_some_and(is_one);
        let stacks = self.snapshot.stacks().iter().filter(is_theirs);
        self.clue_of_stacks(stacks, since_ns, || {
            sites.iter().filter(|site| is_one(site)).fold(0, |sum, site| sum + site.live_bytes)
        })
    }

    /// The innermost functions of the program's own in the stacks of a site's live bytes, the most
    /// bytes first.
    pub(super) fn own_functions(&self, place: &Place) -> Vec<Share> {
        let mut codes = Codes::default();
        let stacks = self.snapshot.stacks().iter().filter(|stack| stack.live_samples != 0);
        for stack in stacks.filter(|stack| self.is_of(stack, place)) {
            if let Some(code) = Code::innermost_own(&stack.frames) {
                codes.add(code, stack.live_bytes, stack.live_samples);
            }
        }
        codes.largest_first()
    }

    /// Whether a stack is of the site at this place.
    fn is_of(&self, stack: &StackProfile, place: &Place) -> bool {
        let site = stack.site.and_then(|site| self.snapshot.sites().get(site));
        site.is_some_and(|site| place_of(site) == *place)
    }

    /// The code that spawns the tasks whose cells are in the bytes of this site; `None`: outside of
    /// tasks. A cell's type is not in its stack, so it is known only if all samples of cells there
    /// are of one code.
    pub(super) fn spawned_at(&self, spawner: Option<&Place>) -> Option<String> {
        let is_there = |stack: &&StackProfile| match spawner {
            Some(place) => self.is_of(stack, place),
            None => stack.site.is_none(),
        };
        let stacks = self.snapshot.stacks().iter().filter(|stack| stack.live_samples != 0);
        let mut codes = Codes::default();
        for stack in stacks.filter(is_there) {
            if let Some(code) = Code::spawning(stack) {
                codes.add(code, stack.live_bytes, stack.live_samples);
            }
        }
        let [code] = &codes.largest_first()[..] else { return None };
        // Of two lines of a function, one may spawn tasks of another type.
        let samples = several(code.samples, "sample", "samples");
        Some(format!("{}, by {samples}", code.with_sure_lines()))
    }

    /// What the live bytes of these stacks have in common, of those that have come since then.
    /// `bytes`: all live bytes of this kind, of which a report near the limit has few stacks; 0:
    /// not known. It is asked there alone.
    pub(super) fn clue_of_stacks(
        &self,
        stacks: impl Iterator<Item = &'a StackProfile>,
        since_ns: Option<u64>,
        bytes: impl FnOnce() -> u64,
    ) -> Option<Clue> {
        let parts = stacks.map(|stack| Part::since(stack, since_ns));
        let whole = if self.snapshot.has_few_stacks() { bytes() } else { 0 };
        Clue::of(parts, self.snapshot.stack_interval_bytes(), whole)
    }

    /// The name of a site that has about as many living tasks as this many ended ones: it may be
    /// one that they have spawned, and that holds what they have left.
    pub(super) fn living(&self, ended: u64) -> Option<String> {
        let about = ended / 4 * 3..=ended.saturating_add(ended / 4);
        let sites = self.snapshot.sites().iter().filter(|site| !site.ends_unknown);
        let sites = sites.filter(|site| site.active >= LEAST_PILED && about.contains(&site.active));
        sites.max_by_key(|site| site.active).map(|site| site.name.clone())
    }

    /// What holds most of these bytes of a site, or of those that no task made, if the snapshot
    /// has the graph of the heap.
    pub(super) fn held(&self, site: Option<&str>, of: &Suspect) -> Option<Held> {
        Held::of(self.snapshot.heap_graph()?, site, of.most())
    }

    /// The same of several sites.
    pub(super) fn held_of_sites(&self, sites: &[&str], least: u64) -> Option<Held> {
        Held::of_sites(self.snapshot.heap_graph()?, sites, least)
    }

    /// What the stacks of live bytes that one of these tasks has alone have in common, of those
    /// that have come since then.
    pub(super) fn clue_of_tasks(&self, tasks: &[TaskId], since_ns: Option<u64>) -> Option<Clue> {
        let is_theirs = |stack: &&StackProfile| stack.task.is_some_and(|it| tasks.contains(&it));
        self.clue_of_stacks(self.snapshot.stacks().iter().filter(is_theirs), since_ns, || 0)
    }

    /// What a variable of this name keeps its bytes in, by its type.
    pub(super) fn cause_of_variable(&self, name: &str) -> LeakCause {
        let mut variables = self.snapshot.variables().iter();
        let variable = variables.find(|variable| variable.live && variable.name == name);
        variable.map_or(LeakCause::Unknown, |variable| of_type(&variable.type_name))
    }
}

/// What others freed of a site's bytes.
#[derive(Debug)]
pub(super) struct Freed<'a> {
    pub(super) bytes: u64,
    pub(super) of_largest: u64,
    /// The site that freed most of it.
    pub(super) who: &'a Place,
    /// Whether any task of that site lives.
    pub(super) is_alive: bool,
}

impl Freed<'_> {
    pub(super) fn sentence(&self) -> String {
        let who = format!("`{}`", cell(&self.who.name, 36));
        let (share, all) = (percent(self.of_largest, self.bytes), HumanBytes(self.bytes));
        format!("Of the {all} that others freed for it, {share} was freed by {who}.")
    }
}

#[cfg(all(test, feature = "report-file"))]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        alloc::own_work,
        analysis::fixture::{site, snapshot},
        snapshot::MemorySnapshot,
    };

    /// 40 sites, the largest of which has left more and more, and has two stacks of its own.
    fn whole() -> MemorySnapshot {
        let left = json!({
            "spawned": 1200, "completed": 1200, "live_bytes": 20 << 20, "retained_bytes": 20 << 20,
            "ended_allocated_bytes": 40 << 20, "retained_tasks": 1200, "retained_waves": 300,
            "retained_by_eighth": [150, 150, 150, 150, 150, 150, 150, 150],
        });
        let small = |number: u64| site(&format!("small {number}"), &json!({}));
        let sites: Vec<Value> =
            [site("session", &left)].into_iter().chain((1..40).map(small)).collect();
        let stack = |function: &str, site: u64, mib: u64| {
            let frames = json!([{ "function": function }]);
            json!({ "frames": frames, "site": site, "live_bytes": mib << 20, "live_samples": mib })
        };
        let stacks = [
            stack("app::open_session", 0, 12),
            stack("app::tick", 39, 5),
            stack("app::log", 0, 8),
            stack("app::small", 1, 1),
        ];
        snapshot(&json!({ "sites": sites, "stacks": stacks }))
    }

    #[test]
    fn a_report_with_few_rows_keeps_the_largest_stacks_and_names_the_code() {
        let _work = own_work::work();
        let part = whole().of_largest_sites(32);
        assert_eq!(part.sites().len(), 32);
        let sites: Vec<Option<usize>> = part.stacks().iter().map(|stack| stack.site).collect();
        assert_eq!(sites, [Some(0), Some(0)], "each has its site's row");
        let tool = part.tool();
        assert_eq!((tool.stacks_left_out, tool.stacks_left_out_bytes), (2, 6 << 20));
        assert!(part.has_few_stacks() && !whole().has_few_stacks());
        let leaks = part.leaks().to_string();
        assert!(
            leaks.contains("Allocated at `app::open_session`, ≈ 60 % by 12 samples"),
            "{leaks}"
        );
    }

    #[test]
    fn code_that_may_have_less_than_half_is_not_named() {
        let _work = own_work::work();
        let part = whole().of_largest_sites(16);
        assert_eq!(part.stacks().len(), 1);
        assert!(part.leaks().to_string().contains("app::open_session"), "12 of 20 MiB");
        let mut json = serde_json::to_value(whole()).expect("JSON");
        json["stacks"][0]["live_bytes"] = json!(9 << 20);
        let whole: MemorySnapshot = serde_json::from_value(json).expect("a snapshot");
        let shown = whole.of_largest_sites(16).leaks().to_string();
        assert!(shown.contains("session") && !shown.contains("app::open_session"), "{shown}");
        let none = whole.of_largest_sites(0);
        assert!(none.stacks().is_empty() && none.sites().is_empty());
    }
}
