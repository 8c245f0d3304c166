//! Compares the stacks of two snapshots by their functions.

use std::{
    collections::HashMap,
    fmt::{self, Write},
};

use serde::{Deserialize, Serialize};

use super::bound_bytes;
use crate::{
    analysis::changes::Presence,
    model::{Place, StackFrame, StackProfile, StacksState, symbol::without_hash},
    primitives::{order, reserve},
    snapshot::{MemorySnapshot, float},
};

/// The change of the call stacks with the same functions in one site. All bytes are estimates.
///
/// There is a row only if its live or its allocated bytes changed by more than the estimates may be
/// wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackDiff {
    /// The calls, the innermost first.
    pub frames: Vec<StackFrame>,
    /// Whether the blocks are outside every task.
    pub is_untracked: bool,
    /// The site; `None`: no task, or a site without a row.
    pub site: Option<Place>,
    /// Which snapshots have the row. A stack that is too small for a row counts as none.
    pub presence: Presence,
    /// The change of the live bytes.
    pub live_bytes: i64,
    /// In 95 of 100 cases the true change is not farther from `live_bytes` than this.
    pub live_error_bytes: u64,
    /// The change of the bytes of all allocations.
    pub allocated_bytes: i64,
    /// The same for `allocated_bytes`.
    pub allocated_error_bytes: u64,
}

/// What one snapshot knows of the stacks with the same functions in one site.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    live_bytes: u64,
    live_samples: u64,
    allocated_bytes: u64,
    samples: u64,
}

struct Row<'a> {
    frames: &'a [StackFrame],
    is_untracked: bool,
    site: Option<Place>,
    now: Option<Sum>,
    then: Option<Sum>,
}

/// What may be hidden in a snapshot, in bytes: a stack without a row has no more than this.
#[derive(Clone, Copy, Debug)]
struct Unseen {
    interval: u64,
    live: u64,
    allocated: u64,
}

impl Unseen {
    fn of(snapshot: &MemorySnapshot) -> Self {
        let is_cut = snapshot.tool().stacks_left_out != 0;
        let rows = snapshot.stacks().iter().filter(|_| is_cut);
        Self {
            interval: snapshot.stack_interval_bytes(),
            live: rows.clone().map(|stack| stack.live_bytes).min().unwrap_or(0),
            // The rows are the largest by live bytes, whatever they have allocated.
            allocated: rows.map(|stack| stack.allocated_bytes).max().unwrap_or(0),
        }
    }

    fn live(self, sum: Option<Sum>) -> f64 {
        match sum {
            Some(sum) => bound_bytes(sum.live_bytes, sum.live_samples, self.interval),
            None => bound_bytes(0, 0, self.interval).max(float(self.live)),
        }
    }

    fn allocated(self, sum: Option<Sum>) -> f64 {
        match sum {
            Some(sum) => bound_bytes(sum.allocated_bytes, sum.samples, self.interval),
            None => bound_bytes(0, 0, self.interval).max(float(self.allocated)),
        }
    }
}

/// The stacks that changed, the largest growth of live bytes first. None if one of the snapshots
/// has no samples.
pub(crate) fn stack_diffs(now: &MemorySnapshot, then: &MemorySnapshot) -> Vec<StackDiff> {
    if [now, then].iter().any(|snapshot| snapshot.stacks_measured() != StacksState::On) {
        return Vec::new();
    }
    // Addresses of one process stay the same, and a name may have been found in between.
    let mut names: HashMap<u64, &str> = HashMap::new();
    if now.origin() == then.origin() {
        let frames = [now, then].into_iter().flat_map(MemorySnapshot::stacks);
        for frame in frames.flat_map(|stack| &stack.frames) {
            let is_named = !frame.function.is_empty() && !frame.is_inlined;
            if is_named && reserve::room(&mut names) {
                names.insert(frame.address, &frame.function);
            }
        }
    }
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (snapshot, is_now) in [(now, true), (then, false)] {
        for stack in snapshot.stacks() {
            let site = stack.site.and_then(|site| snapshot.sites().get(site));
            let site = site.map(|site| Place {
                name: site.name.clone(),
                file: site.file.clone(),
                line: site.line,
            });
            let key = key(stack, site.as_ref(), &names);
            if !places.contains_key(&key)
                && (!reserve::room(&mut places) || !reserve::has_room(&mut rows))
            {
                reserve::leave_out(1);
                continue;
            }
            reserve::spend(key.len());
            let place = *places.entry(key).or_insert_with(|| {
                let (frames, is_untracked) = (&*stack.frames, stack.is_untracked);
                rows.push(Row { frames, is_untracked, site, now: None, then: None });
                rows.len() - 1
            });
            let Some(row) = rows.get_mut(place) else { continue };
            let sum = if is_now { &mut row.now } else { &mut row.then };
            sum.get_or_insert_default().add(stack);
        }
    }
    let (unseen_now, unseen_then) = (Unseen::of(now), Unseen::of(then));
    let mut diffs: Vec<StackDiff> = reserve::rows(rows, |row| diff(row, unseen_now, unseen_then));
    order::by_key(&mut diffs, |row| std::cmp::Reverse((row.live_bytes, row.allocated_bytes)));
    diffs
}

fn diff(row: Row<'_>, unseen_now: Unseen, unseen_then: Unseen) -> Option<StackDiff> {
    let presence = match (row.now, row.then) {
        (Some(_), Some(_)) => Presence::Both,
        (Some(_), None) => Presence::New,
        (None, _) => Presence::Gone,
    };
    let (now, then) = (row.now.unwrap_or_default(), row.then.unwrap_or_default());
    let live_error_bytes = unseen_now.live(row.now).hypot(unseen_then.live(row.then));
    let allocated_error_bytes =
        unseen_now.allocated(row.now).hypot(unseen_then.allocated(row.then));
    let is_change = |now: u64, then: u64, error: f64| float(now.abs_diff(then)) > error;
    (is_change(now.live_bytes, then.live_bytes, live_error_bytes)
        || is_change(now.allocated_bytes, then.allocated_bytes, allocated_error_bytes))
    .then(|| StackDiff {
        frames: row.frames.to_vec(),
        is_untracked: row.is_untracked,
        site: row.site,
        presence,
        live_bytes: change(now.live_bytes, then.live_bytes),
        live_error_bytes: whole(live_error_bytes),
        allocated_bytes: change(now.allocated_bytes, then.allocated_bytes),
        allocated_error_bytes: whole(allocated_error_bytes),
    })
}

impl StackDiff {
    /// Whether the live bytes changed by more than the estimates may be wrong.
    pub fn is_live_change(&self) -> bool {
        self.live_bytes.unsigned_abs() > self.live_error_bytes
    }

    /// Whether the allocated bytes changed by more than the estimates may be wrong.
    pub fn is_allocated_change(&self) -> bool {
        self.allocated_bytes.unsigned_abs() > self.allocated_error_bytes
    }
}

impl Sum {
    fn add(&mut self, stack: &StackProfile) {
        self.live_bytes = self.live_bytes.saturating_add(stack.live_bytes);
        self.live_samples = self.live_samples.saturating_add(stack.live_samples);
        self.allocated_bytes = self.allocated_bytes.saturating_add(stack.allocated_bytes);
        self.samples = self.samples.saturating_add(stack.samples);
    }
}

/// The functions and the site, as one text.
fn key(stack: &StackProfile, site: Option<&Place>, names: &HashMap<u64, &str>) -> String {
    let mut key = String::new();
    // Writing to a `String` does not fail.
    let _ = write_key(&mut key, stack, site, names);
    key
}

fn write_key(
    key: &mut String,
    stack: &StackProfile,
    site: Option<&Place>,
    names: &HashMap<u64, &str>,
) -> fmt::Result {
    if let Some(site) = site {
        write!(key, "{}\n{}\n{}", site.name, site.file, site.line)?;
    }
    write!(key, "\n{}", stack.is_untracked)?;
    // What was inlined may have been found in between.
    for frame in stack.frames.iter().filter(|frame| !frame.is_inlined) {
        let known = names.get(&frame.address).copied();
        let name = if frame.function.is_empty() { known } else { Some(&*frame.function) };
        match (name, frame.offset) {
            (Some(name), _) => write!(key, "\n{}", without_hash(name))?,
            (None, Some(offset)) => {
                let file = frame.library.as_deref().unwrap_or_default();
                write!(key, "\n{file}+{offset:x}")?;
            }
            (None, None) => write!(key, "\n@{:x}", frame.address)?,
        }
    }
    Ok(())
}

fn change(now: u64, then: u64) -> i64 {
    let change = i128::from(now) - i128::from(then);
    i64::try_from(change).unwrap_or(if change < 0 { i64::MIN } else { i64::MAX })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn whole(bytes: f64) -> u64 {
    bytes.ceil() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::fixture;

    fn stack(functions: &[&str], base: u64, mib: u64, samples: u64) -> Value {
        let frames: Value = functions
            .iter()
            .zip(base..)
            .map(|(name, at)| json!({ "function": name, "address": at, "offset": at }))
            .collect();
        json!({
            "frames": frames, "live_bytes": mib << 20, "allocated_bytes": mib << 20,
            "live_samples": samples, "samples": samples, "is_untracked": true,
        })
    }

    fn snapshot(stacks: &Value, left_out: u64) -> MemorySnapshot {
        let mut json = fixture::snapshot_json(&json!({
            "stacks": stacks, "stacks_measured": "on", "stack_interval_bytes": 2 << 20,
        }));
        json["tool"]["stacks_left_out"] = json!(left_out);
        serde_json::from_value(json).expect("a snapshot")
    }

    fn changes(now: &Value, then: &Value) -> Vec<(Presence, i64)> {
        let diffs = snapshot(now, 0).diff(&snapshot(then, 0)).stacks;
        diffs.iter().map(|diff| (diff.presence, diff.live_bytes >> 20)).collect()
    }

    #[test]
    fn stacks_of_two_runs_are_compared_by_their_functions() {
        let then = json!([stack(&["app::fill", "main"], 10, 40, 20)]);
        let now = json!([stack(&["app::fill", "main"], 900, 200, 100)]);
        assert_eq!(changes(&now, &then), [(Presence::Both, 160)]);
        // Two calls of the same functions are one row.
        let twice = json!([
            stack(&["app::fill", "main"], 10, 100, 50),
            stack(&["app::fill", "main"], 20, 100, 50),
        ]);
        assert_eq!(changes(&twice, &then), [(Presence::Both, 160)]);
        let other = json!([stack(&["app::read", "main"], 10, 200, 100)]);
        assert_eq!(changes(&other, &then), [(Presence::New, 200), (Presence::Gone, -40)]);
    }

    #[test]
    fn a_name_that_was_found_in_between_changes_nothing() {
        let then = json!([stack(&["", "main"], 10, 40, 20)]);
        let now = json!([stack(&["app::fill", "main"], 10, 40, 20)]);
        assert_eq!(changes(&now, &then), []);
        let mut with_inlined = json!([stack(&["app::put", "app::fill", "main"], 10, 40, 20)]);
        with_inlined[0]["frames"][0]["is_inlined"] = true.into();
        assert_eq!(changes(&with_inlined, &now), []);
    }

    #[test]
    fn what_the_estimates_cannot_tell_apart_is_no_change() {
        let one = |mib, samples| json!([stack(&["app::fill"], 1, mib, samples)]);
        assert_eq!(changes(&one(48, 24), &one(40, 20)), []);
        assert_eq!(changes(&one(4, 2), &json!([])), [], "two samples may be luck");
        assert_eq!(changes(&one(400, 200), &one(200, 100)), [(Presence::Both, 200)]);
    }

    #[test]
    fn a_stack_may_have_been_there_without_a_row() {
        let now = json!([stack(&["app::fill"], 1, 100, 50)]);
        let then = json!([stack(&["app::other"], 9, 120, 60)]);
        let with_all = snapshot(&now, 0).diff(&snapshot(&then, 0)).stacks;
        assert_eq!(with_all[0].presence, Presence::New);
        let with_some = snapshot(&now, 0).diff(&snapshot(&then, 1_000)).stacks;
        assert!(with_some.iter().all(|row| row.presence != Presence::New), "{with_some:?}");
    }

    #[test]
    fn a_snapshot_without_samples_is_not_compared() {
        let now = snapshot(&json!([stack(&["app::fill"], 1, 400, 200)]), 0);
        assert!(now.diff(&fixture::snapshot(&json!({}))).stacks.is_empty());
    }
}
