//! Which memory looks lost: findings, each with its evidence.

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Serialize};

use crate::{profile::HandOver, snapshot::MemorySnapshot, table::count, task::TaskType};

mod options;
mod finding;
// What decides …
mod shape;
mod trend;
mod evidence;
// … what is found …
mod retained;
mod stuck;
mod growing;
// … and how it is said.
mod hand_overs;
mod words;
#[cfg(test)]
mod simulated;

pub use finding::{Leak, LeakKind, Severity};
pub use options::LeakOptions;
pub(crate) use words::at;

/// Hand-overs that are kept with the findings, the largest.
const MOST_HAND_OVERS: usize = 256;
/// Findings that `Display` prints; all of them with `{:#}`.
const MOST_SHOWN: usize = 10;

/// All findings of one snapshot, the worst first, and what could not be judged.
///
/// No finding means that nothing looked lost *of what could be judged*: [`not_judged`](Self::not_judged) says what could not. `Display`
/// prints both, and below them who allocates what others free; `{:#}` cuts nothing off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaks {
    findings: Vec<Leak>,
    not_judged: Vec<NotJudged>,
    hand_overs: Vec<HandOver>,
}

/// Something that could not be looked for, or not everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotJudged {
    /// What kind of leak; `None`: no kind.
    pub kind: Option<LeakKind>,
    /// What was missing.
    pub why: String,
}

impl fmt::Display for NotJudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{kind:8}  {}", self.why),
            None => write!(f, "any       {}", self.why),
        }
    }
}

impl MemorySnapshot {
    /// Looks for memory that seems lost, with the default [`LeakOptions`].
    ///
    /// Blocks that outlive their tasks again and again, tasks that hold bytes and are not polled any more, and bytes that rise from snapshot to snapshot. Caches
    /// that are full or evict, pools, results kept by one batch, outputs that wait for their `JoinHandle` and tasks that sleep are none
    /// of these. A cache that still fills cannot be told from a leak.
    ///
    /// ```
    /// use memscope_runtime::async_memory::get_memory_snapshot;
    ///
    /// let leaks = get_memory_snapshot().leaks();
    /// assert!(leaks.is_empty(), "{leaks}");
    /// assert!(!leaks.not_judged().is_empty(), "growth is seen over several snapshots, not in the first");
    /// ```
    pub fn leaks(&self) -> Leaks {
        self.leaks_with(&LeakOptions::default())
    }

    /// Looks for memory that seems lost; see [`leaks`](Self::leaks).
    pub fn leaks_with(&self, options: &LeakOptions) -> Leaks {
        if !self.measured().is_yes() {
            let why = format!("sizes are not measured: {}", self.measured().reason());
            let not_judged = vec![NotJudged { kind: None, why }];
            return Leaks { findings: Vec::new(), not_judged, hand_overs: Vec::new() };
        }
        let mut findings = retained::find(self, options);
        let known_sites = findings.iter().map(|leak| leak.place.clone()).collect();
        let stuck = stuck::find(self, options);
        let known_tasks: HashSet<_> = stuck.tasks.iter().copied().collect();
        let not_judged = self.not_judged(&stuck, options);
        findings.extend(stuck.leaks);
        findings.extend(growing::find(self, options, &known_sites, &known_tasks));
        findings.sort_by_cached_key(Leak::rank);
        Leaks { findings, not_judged, hand_overs: hand_overs::largest(self.hand_overs()) }
    }

    fn not_judged(&self, stuck: &stuck::Stuck, options: &LeakOptions) -> Vec<NotJudged> {
        let mut notes = Vec::new();
        let mut note = |kind, why| notes.push(NotJudged { kind: Some(kind), why });
        let unknown = |site: &&crate::profile::SiteProfile| {
            retained::retained_bytes(site) != 0 && site.retained_tasks == 0
        };
        let unknown = self.sites().iter().filter(unknown).count() as u64;
        if unknown != 0 {
            let sites = words::several(unknown, "site", "sites");
            note(
                LeakKind::Retained,
                format!("{sites}: it is not known which of the ended tasks hold the bytes"),
            );
        }
        // The average wait is not a number exactly where timing is off.
        if self.get_task_metrics(TaskType::Unspecified).avg_wait_time_ms.is_nan() {
            note(LeakKind::Stuck, "timing is off".to_owned());
        } else if stuck.untimed != 0 {
            let tasks = words::several(stuck.untimed, "idle task", "idle tasks");
            note(
                LeakKind::Stuck,
                format!("{tasks} with bytes: not known since when; a second snapshot will tell"),
            );
        }
        if stuck.without_compare != 0 {
            let tasks = words::several(stuck.without_compare, "task", "tasks");
            note(
                LeakKind::Stuck,
                format!(
                    "{tasks} idle for long, of sites where too few ever ended to say what is long; `stuck_after` sets a limit"
                ),
            );
        }
        let (samples, least) = (trend::samples(self.trends()).max(1), options.least_samples);
        if samples < least {
            let so_far = if samples == 1 {
                "this is the first".to_owned()
            } else {
                format!("there are {samples}")
            };
            note(LeakKind::Growing, format!("needs {least} snapshots, {so_far}"));
        }
        let other = self.tool().tasks_in_other;
        if other != 0 {
            let why = format!(
                "{} tasks of sites past the limit are judged together as `(other)`",
                count(other)
            );
            notes.push(NotJudged { kind: None, why });
        }
        notes
    }
}

impl Leaks {
    /// The findings, the worst first.
    pub fn findings(&self) -> &[Leak] {
        &self.findings
    }

    /// The findings one by one, the worst first.
    pub fn iter(&self) -> std::slice::Iter<'_, Leak> {
        self.findings.iter()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// How many findings there are.
    pub fn len(&self) -> usize {
        self.findings.len()
    }

    /// What could not be looked for, or not everywhere, and why.
    pub fn not_judged(&self) -> &[NotJudged] {
        &self.not_judged
    }

    /// Who allocates what others free: the cells of the matrix that are not empty, most bytes first, at most 256.
    pub fn hand_overs(&self) -> &[HandOver] {
        &self.hand_overs
    }

    /// The bytes of all findings. No byte is in two of them.
    pub fn bytes(&self) -> u64 {
        self.findings.iter().fold(0, |sum, leak| sum.saturating_add(leak.bytes))
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

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if f.alternate() { usize::MAX } else { MOST_SHOWN };
        match self.len() as u64 {
            0 => writeln!(f, "leaks: none found")?,
            found => writeln!(f, "leaks: {}", words::several(found, "finding", "findings"))?,
        }
        for leak in self.findings.iter().take(most) {
            writeln!(f, "  {}", leak.to_string().replace('\n', "\n  "))?;
        }
        if self.len() > most {
            writeln!(
                f,
                "  … and {} more (all of them with `{{:#}}`)",
                count((self.len() - most) as u64)
            )?;
        }
        if !self.not_judged.is_empty() {
            writeln!(f, "not judged")?;
        }
        for note in self.not_judged.iter().take(most) {
            writeln!(f, "  {note}")?;
        }
        hand_overs::show(&self.hand_overs, f)
    }
}
