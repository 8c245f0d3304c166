//! The limits of `#[memscope_rs::test]`, which hold for a test and all tracked tasks made in it.

use std::{collections::HashSet, future::Future, thread, time::Duration};

use super::{
    block_on::block_on,
    failure::{Failure, Holds},
    measured::{Measure, at_once},
    set_up,
};
use crate::{
    accounting::Callsite,
    alloc::{Entered, install_check},
    config::ENABLED,
    model::{
        HumanBytes, TaskId, TaskMemoryProfile,
        human::{cell, count, path_end},
    },
    snapshot::one_task,
    tasks::future::track_callsite,
};

/// How often a limit that is broken is looked at again, and how long after: on a runtime with
/// several threads another one may be about to free a task that was joined.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// What a test may take; `None`: as much as it wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The most bytes that one task may hold at one time.
    pub peak: Option<u64>,
    /// How many allocations all its tasks may make.
    pub allocations: Option<u64>,
    /// Bytes that all its tasks may leave behind.
    pub leaks: Option<u64>,
}

/// The verdict on a test that has run.
#[derive(Debug)]
#[must_use = "a test over its limits fails in `or_fail`"]
pub struct Verdict(Option<String>);

impl Verdict {
    /// Fails the test if it is over its limits.
    ///
    /// # Panics
    ///
    /// Then, with what is over, and where the memory is.
    #[track_caller]
    pub fn or_fail(self) {
        if let Some(text) = self.0 {
            panic!("{text}");
        }
    }
}

/// Runs an async test on a runtime of its own, and judges it when that is shut down.
///
/// # Panics
///
/// Panics if the test does, or is over its limits.
#[track_caller]
pub fn run<F: Future>(callsite: &'static Callsite, limits: &Limits, test: F) -> F::Output {
    if !ENABLED {
        return block_on(test);
    }
    let watch = Watch::begin();
    let (output, task) = block_on(async {
        warm_up().await;
        Measure::of(track_callsite(callsite, None, test)).await
    });
    watch.judge(limits, &task, 1).or_fail();
    output
}

/// Has the runtime make its list of tasks that yield, which would else be the first test's.
async fn warm_up() {
    #[cfg(feature = "tokio")]
    tokio::task::yield_now().await;
    #[cfg(not(feature = "tokio"))]
    std::future::ready(()).await;
}

/// Runs a test that is not async, and judges it.
///
/// # Panics
///
/// Panics if the test does, or is over its limits.
#[track_caller]
pub fn run_sync<T>(callsite: &'static Callsite, limits: &Limits, test: impl FnOnce() -> T) -> T {
    if !ENABLED {
        return test();
    }
    let watch = Watch::begin();
    let (output, task) = Measure::of(track_callsite(callsite, None, at_once(test))).now();
    watch.judge(limits, &task, LOOKS).or_fail();
    output
}

/// Runs the body of a test on the runtime that it is on.
pub async fn check<F: Future>(
    callsite: &'static Callsite,
    limits: &Limits,
    test: F,
) -> (F::Output, Verdict) {
    if !ENABLED {
        return (test.await, Verdict(None));
    }
    let watch = Watch::begin();
    warm_up().await;
    let (output, task) = Measure::of(track_callsite(callsite, None, test)).await;
    (output, watch.judge(limits, &task, LOOKS))
}

/// What is noted before a test.
struct Watch {
    ended: u64,
}

impl Watch {
    fn begin() -> Self {
        set_up::for_tests();
        Self { ended: one_task::ended() }
    }

    fn judge(&self, limits: &Limits, test: &TaskMemoryProfile, looks: u32) -> Verdict {
        let _untracked = Entered::untracked();
        if let Limits { peak: None, allocations: None, leaks: None } = limits {
            return Verdict(None);
        }
        let name = cell(&test.name, 60);
        let measured = install_check::measured();
        if !measured.is_yes() || !test.measured {
            let why =
                if measured.is_yes() { "no memory for its record" } else { measured.reason() };
            return Verdict(Some(format!("the memory of `{name}` is not measured: {why}")));
        }
        for look in 1..=looks {
            let tasks = made_in(test);
            let is_whole = one_task::keeps_all_since(self.ended);
            let Some(failure) = limits.broken_by(test, &tasks, is_whole) else { break };
            if look == looks {
                return Verdict(Some(failure.text(&tasks)));
            }
            thread::sleep(PAUSE);
        }
        Verdict(None)
    }
}

/// The test's task, and the tracked ones that were made in it or in each other, the test first.
///
/// Unannotated tasks that left nothing have no row. So they are left out, and the documentation
/// says that.
fn made_in(test: &TaskMemoryProfile) -> Vec<TaskMemoryProfile> {
    let mut rest = one_task::read_all();
    let mut ids = HashSet::from([test.id]);
    let mut found: Vec<TaskMemoryProfile> =
        rest.extract_if(.., |task| task.id == test.id).collect();
    // What the test holds may have been freed since by the runtime's end.
    if found.is_empty() {
        found.push(test.clone());
    }
    loop {
        let is_made = |task: &mut TaskMemoryProfile| is_child(task, &ids);
        let new: Vec<_> = rest.extract_if(.., is_made).collect();
        if new.is_empty() {
            return found;
        }
        ids.extend(new.iter().map(|task| task.id));
        found.extend(new);
    }
}

fn is_child(task: &TaskMemoryProfile, parents: &HashSet<TaskId>) -> bool {
    task.is_annotated && task.parent.is_some_and(|parent| parents.contains(&parent))
}

impl Limits {
    fn broken_by(
        &self,
        test: &TaskMemoryProfile,
        tasks: &[TaskMemoryProfile],
        is_whole: bool,
    ) -> Option<Failure> {
        let sum = |amount: fn(&TaskMemoryProfile) -> u64| tasks.iter().map(amount).sum::<u64>();
        let allocations = sum(|task| task.allocation_count);
        let (leaks, blocks) = (sum(|task| task.live_bytes), sum(|task| task.live_blocks));
        let largest = tasks.iter().max_by_key(|task| task.peak_bytes).unwrap_or(test);
        let mut lines = Vec::new();
        if let Some(limit) = self.peak.filter(|limit| largest.peak_bytes > *limit) {
            let of = if largest.id == test.id {
                String::new()
            } else {
                format!(" of `{}`", cell(&largest.name, 40))
            };
            lines.push(format!("peak{of}: {}", over(largest.peak_bytes, limit)));
        }
        if let Some(limit) = self.allocations.filter(|limit| allocations > *limit) {
            lines.push(format!("allocations: {}, limit {}", count(allocations), count(limit)));
        }
        if let Some(limit) = self.leaks.filter(|limit| leaks > *limit) {
            let blocks = if blocks == 1 { "1 block" } else { &format!("{} blocks", count(blocks)) };
            let (leaks, limit) = (exactly(leaks), exactly(limit));
            lines.push(format!("leaks: {leaks} in {blocks}, limit {limit}"));
        }
        // Tasks whose rows were given to later ones may have allocated, or have left something.
        if !is_whole && lines.is_empty() {
            lines.push(
                "more tasks ended meanwhile than rows are kept, so their sums are not known: \
                 `memscope_rs::builder().ended_tasks(…)` keeps more"
                    .to_owned(),
            );
        }
        let holds = if self.leaks.is_some_and(|limit| leaks > limit) {
            Holds::Live
        } else {
            Holds::Allocated
        };
        let title = format!(
            "`{}` ({}:{}) is over its memory limits",
            cell(&test.name, 60),
            path_end(&test.file, 60),
            test.line
        );
        (!lines.is_empty()).then_some(Failure { title, lines, holds })
    }
}

/// A size and its limit, to the byte.
pub(super) fn over(bytes: u64, limit: u64) -> String {
    format!("{}, limit {}", exactly(bytes), exactly(limit))
}

fn exactly(bytes: u64) -> String {
    let human = HumanBytes(bytes);
    if bytes < 1_024 { human.to_string() } else { format!("{human} ({} bytes)", count(bytes)) }
}
