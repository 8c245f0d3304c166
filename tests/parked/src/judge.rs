//! Judges what a dump says of a task.
//!
//! In a dump the functions in `frames` surely wait, each for the next one. What stands in
//! `branches` surely waits as well, as futures side by side do, unless `stops` says "perhaps for":
//! then each branch is one that the task may be waiting for.

use std::collections::BTreeSet;

use memscope_rs::async_memory::{AwaitBranch, AwaitFrame, AwaitPoint, DumpedTask, TaskState};

use crate::expected::Line;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// The dump has exactly the lines at which the task waits, and presents all as certain.
    Right,
    /// No line that is presented as certain is wrong, and each chain that ends early, or may go on
    /// elsewhere, says so.
    Honest,
    /// A line that is presented as certain is not where the task waits, no candidate is right, or
    /// the dump says neither a line nor why there is none.
    Wrong,
}

/// The verdict, and the reason if it is not [`Verdict::Right`].
pub(crate) type Judged = (Verdict, String);

fn wrong(why: impl Into<String>) -> Judged {
    (Verdict::Wrong, why.into())
}

/// Judges the row of a task that is known to be parked in these chains.
pub(crate) fn task(task: &DumpedTask, chains: &BTreeSet<Vec<Line>>) -> Judged {
    if task.state != TaskState::Idle || task.running {
        return wrong(format!("the task is {:?}", task.state));
    }
    match (&task.await_point, task.unknown.as_deref()) {
        (Some(_), Some(why)) => wrong(format!("it has a place, and says that it has none: {why}")),
        (Some(point), None) => place(point, chains),
        (
            None,
            Some(why @ ("" | "it is over" | "it was being polled" | "it was not polled yet")),
        ) => wrong(format!("it has no place, and says: {why:?}")),
        (None, Some(why)) => (Verdict::Honest, format!("not known: {why}")),
        (None, None) => wrong("it has no place and no reason"),
    }
}

/// Whether the judge tells each of these chains from one that ends a line earlier or elsewhere, in
/// the row of a task that is right.
pub(crate) fn is_strict(row: &DumpedTask, chains: &BTreeSet<Vec<Line>>) -> bool {
    let is_told = |chain: &Vec<Line>, other: Vec<Line>| {
        let others = chains.iter().filter(|it| *it != chain).cloned().chain([other]);
        task(row, &others.collect()).0 == Verdict::Wrong
    };
    chains.iter().filter(|chain| !chain.is_empty()).all(|chain| {
        let (mut elsewhere, mut earlier) = (chain.clone(), chain.clone());
        elsewhere.iter_mut().last().into_iter().for_each(|line| line.1 += 1);
        earlier.pop();
        is_told(chain, elsewhere) && is_told(chain, earlier)
    })
}

/// Judges a place that stands for these chains.
pub(crate) fn place(point: &AwaitPoint, chains: &BTreeSet<Vec<Line>>) -> Judged {
    let mut seen = Seen::default();
    seen.follow(Vec::new(), &point.frames, &point.stops, &point.branches, false);
    seen.judge(chains)
}

/// The ends of the chains that the dump has.
#[derive(Debug, Default)]
struct Seen {
    ends: Vec<End>,
    /// The chains that it calls possible, each with the lines of the certain part before it.
    candidates: Vec<(Vec<Line>, Vec<Line>)>,
    has_no_reason: bool,
}

/// The end of what is certain of one chain.
#[derive(Debug)]
struct End {
    lines: Vec<Line>,
    /// It says that the task may wait for one thing or another below.
    is_perhaps: bool,
    /// It says that there are others beside it that the dump has no lines of.
    is_one_of_several: bool,
}

impl Seen {
    fn follow(
        &mut self,
        mut lines: Vec<Line>,
        frames: &[AwaitFrame],
        stops: &str,
        branches: &[AwaitBranch],
        is_below_perhaps: bool,
    ) {
        let certain = lines.clone();
        lines.extend(frames.iter().filter_map(own));
        self.has_no_reason |= stops.is_empty();
        let is_perhaps = stops.contains("perhaps for ");
        if is_below_perhaps {
            self.candidates.push((certain, lines));
            return;
        }
        if is_perhaps || branches.is_empty() {
            let is_one_of_several =
                stops.contains("one of several in") || stops.contains("side by side in");
            self.ends.push(End { lines: lines.clone(), is_perhaps, is_one_of_several });
        }
        for branch in branches {
            self.follow(lines.clone(), &branch.frames, &branch.stops, &branch.branches, is_perhaps);
        }
    }

    fn judge(&self, chains: &BTreeSet<Vec<Line>>) -> Judged {
        if self.has_no_reason {
            return wrong("a chain ends without a reason");
        }
        let is_on = |lines: &[Line], chain: &Vec<Line>| chain.starts_with(lines);
        let mut missing: BTreeSet<&Vec<Line>> = chains.iter().collect();
        let mut why = None;
        for end in &self.ends {
            let ahead: Vec<&Vec<Line>> = chains.iter().filter(|it| is_on(&end.lines, it)).collect();
            if ahead.is_empty() {
                return wrong(format!("it does not wait at {}", written(&end.lines)));
            }
            let is_exact = chains.contains(&end.lines);
            if is_exact && !end.is_perhaps {
                missing.remove(&end.lines);
                continue;
            }
            // Candidates may be the futures below that it does not wait for, as the end says, but
            // one that it does wait for must not be missing.
            let below: Vec<&Vec<Line>> =
                self.candidates.iter().filter(|it| it.0 == end.lines).map(|it| &it.1).collect();
            let is_candidate = |it: &&&Vec<Line>| {
                it.len() > end.lines.len() && ahead.iter().any(|chain| is_on(it, chain))
            };
            let has_lines = below.iter().any(|it| it.len() > end.lines.len());
            if !is_exact && has_lines && !below.iter().any(|it| is_candidate(&it)) {
                return wrong("what it waits for is none of those that it perhaps waits for");
            }
            // A candidate without a line stands for any chain.
            let is_covered = |chain: &Vec<Line>| {
                !has_lines
                    || *chain == end.lines
                    || below.iter().any(|it| it.len() == end.lines.len() || is_on(it, chain))
            };
            for chain in ahead.iter().filter(|it| is_covered(it)) {
                missing.remove(*chain);
            }
            why.get_or_insert(if end.is_perhaps { "perhaps" } else { "the chain ends early" });
        }
        // What an end says of others beside it is of what lies below its lines.
        let is_beside = |chain: &&Vec<Line>| {
            let says = |it: &&End| it.is_one_of_several && is_on(&it.lines, chain);
            self.ends.iter().any(|it| says(&it))
        };
        let unsaid = missing.iter().find(|it| !is_beside(it));
        match (unsaid, missing.is_empty(), why) {
            (Some(chain), ..) => wrong(format!("it also waits at {}", written(chain))),
            (None, false, _) => (Verdict::Honest, "one of several".to_owned()),
            (None, true, Some(why)) => (Verdict::Honest, why.to_owned()),
            (None, true, None) => (Verdict::Right, String::new()),
        }
    }
}

/// The line of a function of this program; `None` for one of a library.
fn own(frame: &AwaitFrame) -> Option<Line> {
    const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let file = frame.file.strip_prefix(SOURCES)?;
    Some((file.to_owned(), frame.line))
}

pub(crate) fn written(lines: &[Line]) -> String {
    let lines: Vec<String> = lines.iter().map(|(file, line)| format!("{file}:{line}")).collect();
    if lines.is_empty() { "no line of the program".to_owned() } else { lines.join(" > ") }
}
