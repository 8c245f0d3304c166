//! One finding: what and where it is, how bad, the evidence, and what usually helps.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    cause::LeakCause,
    certainty::{Certainty, KnownBy},
};
use crate::model::{Place, TaskId};

/// The kind of leak that a finding reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeakKind {
    /// Blocks that outlived their tasks, again and again.
    Retained,
    /// A task that holds bytes and is not polled any more.
    Stuck,
    /// Live bytes that only rise.
    Growing,
    /// A task that a poll has left above its budget.
    OverBudget,
    /// Memory that the program has freed and its allocator keeps.
    Kept,
    /// Memory that is not the program's live memory: of C libraries, or mapped otherwise.
    Unseen,
    /// Tasks that have ended, were never joined, and become more.
    Unjoined,
    /// Blocks that nothing leads to any more, in the graph of the heap.
    Lost,
}

impl fmt::Display for LeakKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Retained => "retained",
            Self::Stuck => "stuck",
            Self::Growing => "growing",
            Self::OverBudget => "budget",
            Self::Kept => "kept",
            Self::Unseen => "unseen",
            Self::Unjoined => "unjoined",
            Self::Lost => "lost",
        })
    }
}

/// How much a finding matters. It is decided by three numbers: its bytes, their share of all live
/// bytes of the process, and what they would grow to in a day.
///
/// | | bytes | share | in a day |
/// |---|---|---|---|
/// | `High`, any of | 1 GiB | half, if 16 MiB or more | 1 GiB |
/// | `Medium`, any of | 16 MiB | a tenth, if 1 MiB or more | 64 MiB |
/// | `Low` | less | less | less |
///
/// The rate counts from an hour on. Before that it tells more about the start of the program than
/// about its day.
///
/// It is `Low` as long as the program was not observed for two minutes, twice the
/// [`patience`](super::LeakOptions::patience). What was seen for less than an hour, sixty times the
/// patience, is `Low` below 64 MiB and at most `Medium` below 1 GiB, unless nothing leads to it: a
/// cache that fills, a warm-up and a step of load look like a leak until they are over.
///
/// Growth is also `Low` where load could look like it:
/// memory that is mostly freed again, or clients that come and stay, for less than a day. And so is
/// what was found by whose bytes the whole process does not grow, what samples of stacks alone
/// show, tasks that each hold more than before, and a collection that doubles and may have reached
/// its size. What tasks of several sites keep by one function is as severe as the worst of these
/// sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look.
    Low,
    /// Will matter in a day.
    Medium,
    /// Will end the process.
    High,
}

impl Severity {
    pub(super) fn of(bytes: u64, whole: u64, per_day: Option<u64>) -> Self {
        const MIB: u64 = 1 << 20;
        let per_day = per_day.unwrap_or(0);
        let is_share = |part: u64| u128::from(bytes) * u128::from(part) >= u128::from(whole);
        if bytes >= 1024 * MIB || (bytes >= 16 * MIB && is_share(2)) || per_day >= 1024 * MIB {
            Self::High
        } else if bytes >= 16 * MIB || (bytes >= MIB && is_share(10)) || per_day >= 64 * MIB {
            Self::Medium
        } else {
            Self::Low
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

/// What `bytes` in `ns` nanoseconds make in a day; `None` for less than a minute.
pub(super) fn per_day(bytes: u64, ns: u64) -> Option<u64> {
    const MINUTE_NS: u64 = 60_000_000_000;
    const DAY_NS: u128 = 86_400_000_000_000;
    (ns >= MINUTE_NS)
        .then(|| u64::try_from(u128::from(bytes) * DAY_NS / u128::from(ns)).unwrap_or(u64::MAX))
}

/// One finding: a site or a task, what it holds, and why that looks lost.
///
/// `Display` prints four lines: the finding, the evidence, the usual fix, and how sure it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    /// What kind of leak.
    pub kind: LeakKind,
    /// How much it matters.
    pub severity: Severity,
    /// The site of the tasks; of several, the one that has most of the bytes.
    pub place: Place,
    /// The other sites whose tasks it is about as well: they share what grows, or call the same
    /// function that allocates it.
    #[serde(default)]
    pub others: Vec<Place>,
    /// The task. Of several stuck tasks it is the one that was polled the longest ago; of several
    /// that each grow, the largest; of tasks whose number only rises, the oldest. `None` where the
    /// finding is about ended tasks.
    pub task: Option<TaskId>,
    /// The bytes that look lost.
    pub bytes: u64,
    /// How many tasks hold them.
    pub count: u64,
    /// How long, in nanoseconds: since the first of the tasks ended, since the task was last
    /// polled, or since the growth was first seen. `None` where that was not measured.
    pub oldest_ns: Option<u64>,
    /// How many bytes would come in a day at the rate so far. `None` if the rate was not observed
    /// for a minute, and for stuck tasks.
    pub bytes_per_day: Option<u64>,
    /// Where most of these tasks wait: the innermost `.await`, and the one above it. Of stuck tasks
    /// and of those whose number rises; `None` where that is not known, and for other findings.
    #[serde(default)]
    pub waits_at: Option<String>,
    /// Names of live variables in these bytes, the largest first, at most five.
    pub variables: Vec<String>,
    /// What keeps the bytes, as far as that is known.
    #[serde(default)]
    pub cause: LeakCause,
    /// The code that allocated most of these bytes, the innermost function first, with files and
    /// lines where the program has line tables; then one other piece that has a quarter of the
    /// bytes. `None` where it is not known, as without a sample of its stack.
    #[serde(default)]
    pub allocated_at: Option<String>,
    /// What holds most of these bytes: a static, a thread-local, tasks, a stack, or nothing. `None`
    /// without a graph of the heap, see
    /// [`with_heap_graph`](crate::async_memory::MemorySnapshot::with_heap_graph), or where no root
    /// holds half of them alone.
    #[serde(default)]
    pub held_by: Option<String>,
    /// How sure it is that the bytes are lost.
    #[serde(default)]
    pub certainty: Certainty,
    /// By what the cause is known, and with it the cure.
    #[serde(default)]
    pub known_by: KnownBy,
    /// Why it is no more and no less sure, in one sentence.
    #[serde(default)]
    pub certainty_reason: String,
    /// Whether load could look the same. Then the severity is low.
    #[serde(default)]
    pub may_be_load: bool,
    /// What was measured, in one sentence or two.
    pub evidence: String,
    /// What usually helps, in one sentence.
    pub fix: String,
}

impl Leak {
    /// A finding of which only the place is known.
    pub(super) fn at(kind: LeakKind, place: Place) -> Self {
        Self {
            kind,
            severity: Severity::Low,
            place,
            others: Vec::new(),
            task: None,
            bytes: 0,
            count: 0,
            oldest_ns: None,
            bytes_per_day: None,
            waits_at: None,
            variables: Vec::new(),
            cause: LeakCause::Unknown,
            allocated_at: None,
            held_by: None,
            certainty: Certainty::Possible,
            known_by: KnownBy::Nothing,
            certainty_reason: String::new(),
            may_be_load: false,
            evidence: String::new(),
            fix: String::new(),
        }
    }

    /// The sort key that puts the worst finding first.
    pub(super) fn rank(&self) -> impl Ord {
        (std::cmp::Reverse((self.severity, self.bytes)), self.kind, &self.place)
    }
}
