//! Which memory looks lost: findings, each with its evidence.

use serde::{Deserialize, Serialize};

use crate::{
    alloc::own_work,
    model::{HandOver, Measured, Place},
    primitives::reserve,
    snapshot::MemorySnapshot,
};

mod options;
mod finding;
// What decides …
mod spread;
mod trend;
mod doubling;
mod growth;
mod kind;
mod cause;
mod code;
mod evidence;
mod holder;
mod keeper;
mod strands;
mod level;
mod lasting;
// … what is found …
mod retained;
mod stuck;
mod unjoined;
mod waits;
mod pile;
mod moved;
mod common;
mod callers;
mod sharing;
mod staying;
mod growing;
mod over_budget;
mod process_memory;
mod untracked;
mod hidden;
mod cells;
mod shared;
mod lost;
mod backlog;
mod unjudged;
mod judge;
// … and how it is said.
mod cure;
mod certainty;
mod cross_frees;
pub(crate) mod wording;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod hostile;

pub use backlog::Backlog;
pub use cause::LeakCause;
pub use certainty::{Certainty, KnownBy};
pub use finding::{Leak, LeakKind, Severity};
pub(crate) use wording::{age, at};
pub use {options::LeakOptions, unjudged::NotJudged};

/// How many rows of cross-task frees are kept with the findings: the largest.
const MOST_HAND_OVERS: usize = 256;

/// All findings of one snapshot, the worst first, and what could not be judged.
///
/// No finding means that nothing looks lost *of what could be judged*:
/// [`not_judged`](Self::not_judged) says what could not. `Display` prints both, and below them
/// which sites allocate what others free; `{:#}` prints it all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaks {
    pub(crate) measured: bool,
    findings: Vec<Leak>,
    not_judged: Vec<NotJudged>,
    hand_overs: Vec<HandOver>,
    #[serde(default)]
    backlogs: Vec<Backlog>,
}

impl MemorySnapshot {
    /// Looks for memory that seems lost, with the default [`LeakOptions`].
    ///
    /// It finds these:
    ///
    /// - blocks that outlive their tasks again and again,
    /// - tasks that hold bytes and are not polled any more,
    /// - bytes that rise for two minutes and longer: of a task, of a site, or outside of tasks,
    /// - tasks that never end and whose number only rises,
    /// - tasks that have ended, were never joined, and become more for five minutes,
    /// - tasks above their budgets,
    /// - memory that is freed and that the allocator keeps,
    /// - memory that memscope does not see: of C libraries, or mapped otherwise,
    /// - blocks that nothing leads to, if the snapshot has a
    ///   [graph of the heap](Self::with_heap_graph).
    ///
    /// What rises and was not watched for so long is in [`not_judged`](Leaks::not_judged).
    ///
    /// It does not report full or evicting caches, pools, results kept by one batch, outputs that
    /// wait for their `JoinHandle`, or sleeping tasks. It cannot tell these from a leak: a cache
    /// that still fills, results collected one after another for later, clients that come and stay.
    ///
    /// ```
    /// use memscope_runtime::async_memory::get_memory_snapshot;
    ///
    /// let leaks = get_memory_snapshot().leaks();
    /// assert!(leaks.is_empty(), "{leaks}");
    /// assert!(!leaks.not_judged().is_empty(), "growth needs several snapshots");
    /// ```
    pub fn leaks(&self) -> Leaks {
        self.leaks_with(&LeakOptions::default())
    }

    /// Looks for memory that seems lost; see [`leaks`](Self::leaks).
    pub fn leaks_with(&self, options: &LeakOptions) -> Leaks {
        let _work = own_work::work();
        if !self.measured().is_yes() || !reserve::has_room_for(self.judging_bytes()) {
            return Leaks::none(self.measured());
        }
        self.judge(options)
    }
}

impl Leaks {
    /// Nothing was looked for, because sizes are not measured or there is no memory for it.
    fn none(measured: Measured) -> Self {
        let why = || {
            if measured.is_yes() {
                return "there is no memory left to look for leaks".to_owned();
            }
            format!("sizes are not measured: {}", measured.reason())
        };
        // Without any memory left, only `measured` can say it.
        let why = (!reserve::is_empty()).then(why);
        Self {
            measured: false,
            findings: Vec::new(),
            not_judged: why.map(|why| NotJudged { kind: None, why }).into_iter().collect(),
            hand_overs: Vec::new(),
            backlogs: Vec::new(),
        }
    }

    /// The findings, the worst first.
    pub fn findings(&self) -> &[Leak] {
        &self.findings
    }

    /// Iterates over the findings, the worst first.
    pub fn iter(&self) -> std::slice::Iter<'_, Leak> {
        self.findings.iter()
    }

    /// Whether nothing was found. It is also `true` if sizes are not measured: see
    /// [`not_judged`](Self::not_judged).
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// How many findings there are.
    pub fn len(&self) -> usize {
        self.findings.len()
    }

    /// What could not be judged, or not everywhere, and why.
    pub fn not_judged(&self) -> &[NotJudged] {
        &self.not_judged
    }

    /// Cross-task frees: which site allocates what another frees. The non-empty cells of that
    /// matrix, most bytes first, at most 256.
    pub fn hand_overs(&self) -> &[HandOver] {
        &self.hand_overs
    }

    /// What waits in channels, by the code that sent it: the largest first, at most 16. A channel
    /// that is full, or drained soon, is no leak.
    pub fn backlogs(&self) -> &[Backlog] {
        &self.backlogs
    }

    /// Whether anything of live memory looks lost, or rises and is not judged yet.
    #[cfg(feature = "report-file")]
    pub(crate) fn concern_live_memory(&self) -> bool {
        let others = [LeakKind::OverBudget, LeakKind::Kept, LeakKind::Unseen];
        self.findings.iter().any(|leak| !others.contains(&leak.kind))
            || self.not_judged.iter().any(|note| note.why.contains(unjudged::RISES))
    }

    /// The bytes of all findings about live memory. No byte is in two of them: budgets, and memory
    /// that is not live, do not count.
    pub fn bytes(&self) -> u64 {
        let others = [LeakKind::OverBudget, LeakKind::Kept, LeakKind::Unseen];
        let is_lost = |leak: &Leak| leak.kind == LeakKind::Lost;
        let is_in_another = |lost: &Leak| {
            let mut all = self.findings.iter();
            let has_name = |place: &Place| place.name == lost.place.name;
            let is_of = |leak: &Leak| has_name(&leak.place) || leak.others.iter().any(has_name);
            all.any(|leak| !is_lost(leak) && is_of(leak))
        };
        let findings = self
            .findings
            .iter()
            .filter(|leak| !(others.contains(&leak.kind) || is_lost(leak) && is_in_another(leak)));
        findings.fold(0, |sum, leak| sum.saturating_add(leak.bytes))
    }
}

impl IntoIterator for Leaks {
    type Item = Leak;
    type IntoIter = std::vec::IntoIter<Leak>;

    fn into_iter(self) -> Self::IntoIter {
        self.findings.into_iter()
    }
}

impl<'a> IntoIterator for &'a Leaks {
    type Item = &'a Leak;
    type IntoIter = std::slice::Iter<'a, Leak>;

    fn into_iter(self) -> Self::IntoIter {
        self.findings.iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::fixture::{hand_over, place, site, snapshot, task, trend, variable};

    fn leaky() -> MemorySnapshot {
        let retained = json!({
            "spawned": 1200, "completed": 1200, "live_bytes": 20 << 20, "retained_bytes": 20 << 20,
            "ended_allocated_bytes": 40 << 20, "retained_tasks": 1200, "retained_waves": 300,
            "retained_by_eighth": [150, 150, 150, 150, 150, 150, 150, 150],
            "oldest_retained_ns": 7_200_000_000_000_u64,
        });
        let waits = json!({ "longest_wait_ns": 2_000_000_000_u64 });
        snapshot(&json!({
            "sites": [site("handler", &retained), site("fetch", &waits), site("evict", &json!({}))],
            "tasks": [
                task(7, "fetch", &json!({ "idle_ns": 200_000_000_000_u64 })),
                task(8, "fetch", &json!({ "idle_ns": 1_000_000_000_u64 })),
                task(3, "handler", &json!({ "state": "completed" })),
            ],
            "variables": [variable("page", 7, &json!({ "task_site": place("fetch") })), variable("session", 3, &json!({ "task_site": place("handler") }))],
            "hand_overs": [
                hand_over(None, Some("evict"), 1, 10),
                hand_over(Some("handler"), Some("evict"), 80, 8 << 20),
                hand_over(Some("handler"), None, 20, 2 << 20),
                hand_over(Some("fetch"), Some("fetch"), 1, 100),
            ],
        }))
    }

    #[test]
    fn findings_read_like_this() {
        let shown = leaky().leaks().to_string();
        let expected = "\
leaks: 2 findings
  medium  retained  handler (src/handler.rs:7): 20.0 MiB in 1,200 ended tasks, the first ended 2 h ago, 240.0 MiB a day
          all 1,200 ended tasks still hold bytes, 300 of them one after another, as many of the first as of the last. Of the 10.0 MiB that others freed for it, 80 % was freed by `evict`. In it: `session`.
          fix: make sure that `evict` also frees what is left: on every path, and at shutdown
          how sure: likely: a cache that still fills looks the same; the cause is known by the site that frees most of such bytes
  low     stuck     fetch (src/fetch.rs:7): 4.0 KiB in 1 task, not polled for 3 min
          1 task (#7) is alive and not polled any more; the longest wait of 100 ended tasks that were timed was 2 s. In it: `page`.
          fix: put a timeout around the await it hangs at, or close the other end: drop the sender, release the lock or the permit, shut the connection
          how sure: likely: it waits far longer than any that has ended; the cause is known by their course
not judged
  growing   needs 6 samples in 2 min; this is the first

ALLOCATED BY                FREED BY                BLOCKS    BYTES  OF WHAT IT GIVES
handler (src/handler.rs:7)  evict (src/evict.rs:7)      80  8.0 MiB              80 %
handler (src/handler.rs:7)  (outside every task)        20  2.0 MiB              20 %
fetch (src/fetch.rs:7)      another of these             1    100 B             100 %
(outside every task)        evict (src/evict.rs:7)       1     10 B             100 %
";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn no_finding_of_the_first_two_minutes_is_above_low() {
        let snapshot = |observed_s: u64| {
            let mut json = serde_json::to_value(leaky()).expect("JSON");
            json["observed_ns"] = json!(observed_s * 1_000_000_000);
            serde_json::from_value::<MemorySnapshot>(json).expect("a snapshot")
        };
        let worst = |observed_s| snapshot(observed_s).leaks().iter().map(|it| it.severity).max();
        assert_eq!((worst(119), worst(120)), (Some(Severity::Low), Some(Severity::Medium)));
    }

    #[test]
    fn findings_can_be_kept_and_gone_through() {
        let leaks = leaky().leaks();
        let json = serde_json::to_string(&leaks).expect("JSON");
        assert_eq!(serde_json::from_str::<Leaks>(&json).expect("leaks"), leaks);
        assert_eq!((leaks.len(), leaks.is_empty()), (2, false));
        assert_eq!((&leaks).into_iter().count(), 2);
        assert_eq!(leaks.bytes(), (20 << 20) + 4096);
        let kinds: Vec<LeakKind> = leaks.into_iter().map(|leak| leak.kind).collect();
        assert_eq!(kinds, [LeakKind::Retained, LeakKind::Stuck]);
    }

    #[test]
    fn what_is_not_measured_is_not_judged_and_that_is_said() {
        let mut parts = json!({ "measured": "not_installed" });
        parts["sites"] = json!([site("s", &json!({ "measured": false }))]);
        let leaks = snapshot(&parts).leaks();
        assert!(leaks.is_empty());
        assert_eq!(leaks.not_judged().len(), 1);
        assert!(leaks.to_string().starts_with("leaks: not measured\n"), "{leaks}");
        assert!(
            leaks.to_string().contains("sizes are not measured: memscope's allocator"),
            "{leaks}"
        );
    }

    #[test]
    fn an_empty_list_says_what_it_could_not_see() {
        let untimed = json!({ "idle_ns": null, "busy_ns": null });
        let sites = [site("s", &json!({ "waits_timed": 0 }))];
        let leaks = snapshot(&json!({ "sites": sites, "tasks": [task(1, "s", &untimed)] })).leaks();
        assert!(leaks.is_empty());
        let shown = leaks.to_string();
        assert!(shown.starts_with("leaks: none found\nnot judged\n"), "{shown}");
        assert!(
            shown.contains("1 idle task with bytes: not known since when; timing is off"),
            "{shown}"
        );
        let flat = trend(None, "s", &[(5, 10); 6]);
        let leaks = snapshot(&json!({ "trends": [flat] })).leaks();
        assert_eq!(leaks.to_string(), "leaks: none found\n");
    }

    #[test]
    fn results_that_wait_for_their_join_handles_and_one_batch_are_no_leaks() {
        let row = |changes: serde_json::Value| {
            let mut row = json!({
                "live_bytes": 1 << 20, "retained_bytes": 1 << 20, "retained_tasks": 96, "retained_waves": 96,
                "retained_by_eighth": [12, 12, 12, 12, 12, 12, 12, 12],
            });
            for (field, change) in changes.as_object().into_iter().flatten() {
                row[field] = change.clone();
            }
            snapshot(&json!({ "sites": [site("s", &row)] })).leaks().len()
        };
        assert_eq!(row(json!({})), 1);
        assert_eq!(row(json!({ "unjoined_bytes": 1 << 20 })), 0, "join handles");
        assert_eq!(row(json!({ "retained_waves": 1 })), 0, "one batch");
        assert_eq!(row(json!({ "retained_waves": 10 })), 0, "a pool of ten");
        assert_eq!(row(json!({ "retained_bytes": 4000 })), 0, "little");
        assert_eq!(row(json!({ "measured": false })), 0, "not measured");
    }

    #[test]
    fn a_batch_of_one_after_another_that_is_over_is_no_leak_and_that_is_said() {
        let even = json!({
            "live_bytes": 1 << 20, "retained_bytes": 1 << 20, "retained_tasks": 96, "retained_waves": 96,
            "retained_by_eighth": [12, 12, 12, 12, 12, 12, 12, 12],
        });
        let leaks = |kib: &[(u64, u64)]| {
            let points: Vec<(u64, u64)> =
                kib.iter().map(|(live, all)| (live << 10, all << 10)).collect();
            let trends = [trend(None, "s", &points)];
            snapshot(&json!({ "sites": [site("s", &even)], "trends": trends })).leaks()
        };
        let over =
            leaks(&[(0, 0), (512, 600), (1024, 1200), (1024, 1200), (1024, 1200), (1024, 1200)]);
        assert!(over.is_empty(), "{over}");
        assert!(over.to_string().contains("s (src/s.rs:7): results of a batch"), "{over}");
        let five = leaks(&[(0, 0), (1024, 1200), (1024, 1200), (1024, 1200), (1024, 1200)]);
        assert_eq!(five.len(), 1, "too few snapshots to say so: {five}");
        let goes_on =
            leaks(&[(0, 0), (205, 240), (410, 480), (614, 720), (819, 960), (1024, 1200)]);
        assert_eq!(goes_on.len(), 1, "{goes_on}");
    }

    #[test]
    fn a_leak_that_began_late_is_told_from_an_evicting_cache_by_more_snapshots() {
        let late = json!({
            "live_bytes": 192 << 10, "retained_bytes": 192 << 10, "retained_tasks": 48, "retained_waves": 48,
            "retained_by_eighth": [0, 0, 0, 0, 12, 12, 12, 12], "ended_allocated_bytes": 400 << 10,
        });
        let leaks = |live_kib: &[u64]| {
            let points = (1..).map(|sample| sample * (50 << 10)).zip(live_kib);
            let points: Vec<(u64, u64)> = points.map(|(all, live)| (live << 10, all)).collect();
            let trends = [trend(None, "s", &points)];
            snapshot(&json!({ "sites": [site("s", &late)], "trends": trends })).leaks()
        };
        let first = leaks(&[192]);
        assert!(first.is_empty());
        assert!(
            first.to_string().contains("retained  s (src/s.rs:7): a leak that began late"),
            "{first}"
        );
        let rising = leaks(&[0, 0, 0, 0, 48, 96, 144, 192]);
        assert_eq!(rising.len(), 1, "{rising}");
        let level = leaks(&[0, 96, 192, 192, 192, 192, 192, 192]);
        assert_eq!((level.is_empty(), level.to_string()), (true, "leaks: none found\n".to_owned()));
    }
}
