//! Whether the whole process stays at its level while the bytes of a finding become more.

use super::{
    certainty::Certainty,
    finding::{Leak, LeakKind, Severity},
    growth::Growth,
};
use crate::{model::HumanBytes, snapshot::MemorySnapshot};

/// The points of the timeline that must lie in the time of the finding.
const LEAST_POINTS: usize = 4;
/// One part in this many: of the time, which the points may miss at its begin, and of the bytes, by
/// which the process may come and go.
const PART: u64 = 4;

/// Makes less of a finding by whose bytes the process does not grow: entries of a cache that `main`
/// had filled and that tasks replace, or bytes that are handed on. `growth`: how it grows, where it
/// is judged by that.
pub(super) fn weigh(snapshot: &MemorySnapshot, leak: &mut Leak, growth: Option<&Growth>) {
    if !matches!(leak.kind, LeakKind::Retained | LeakKind::Growing) || leak.cause.is_unreachable() {
        return;
    }
    let rise = growth.map_or(leak.bytes, |growth| growth.course.rise());
    let Some(level) = level(snapshot, leak, rise) else { return };
    (leak.severity, leak.certainty, leak.may_be_load) = (Severity::Low, Certainty::Possible, true);
    leak.certainty_reason = format!(
        "the whole process stays at {} meanwhile, and does not grow by them; {}",
        HumanBytes(level),
        leak.known_by.words(),
    );
}

/// The live bytes of the process, if they are nearly the same in all the time of the finding.
fn level(snapshot: &MemorySnapshot, leak: &Leak, rise: u64) -> Option<u64> {
    let span = leak.oldest_ns?;
    let since = snapshot.observed_ns().saturating_sub(span);
    let mut points = snapshot.timeline().process.iter().filter(|point| point.at_ns >= since);
    let first = points.next().filter(|first| first.at_ns - since <= span / PART)?;
    let (mut count, mut lowest, mut highest) = (1, first.whole_bytes, first.whole_bytes);
    for point in points {
        count += 1;
        lowest = lowest.min(point.whole_bytes);
        highest = highest.max(point.whole_bytes);
    }
    (count >= LEAST_POINTS && highest - lowest <= rise / PART).then_some(highest)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::fixture::{site, snapshot};

    /// The finding of a site whose ended tasks hold 20 MiB since five minutes, where the process
    /// has had this many MiB in each minute.
    fn retained(whole: &[u64]) -> Leak {
        let retained = json!({
            "spawned": 1200, "completed": 1200, "live_bytes": 20 << 20, "retained_bytes": 20 << 20,
            "ended_allocated_bytes": 20 << 20, "retained_tasks": 1200, "retained_waves": 300,
            "retained_by_eighth": [150, 150, 150, 150, 150, 150, 150, 150],
            "oldest_retained_ns": 300_000_000_000_u64,
        });
        let last = whole.len() as u64 - 1;
        let point = |(at, mib): (usize, &u64)| {
            let at_ns = 3_600_000_000_000 - (last - at as u64) * 60_000_000_000;
            let bytes = mib << 20;
            json!({ "at_ns": at_ns, "tracked_bytes": 0, "untracked_bytes": bytes, "whole_bytes": bytes })
        };
        let process: Vec<Value> = whole.iter().enumerate().map(point).collect();
        let snapshot = snapshot(&json!({
            "observed_ns": 3_600_000_000_000_u64,
            "sites": [site("refresh", &retained)],
            "timeline": { "process": process, "sites": [] },
        }));
        let leaks = snapshot.leaks();
        let mut found = leaks.iter().filter(|leak| leak.kind == LeakKind::Retained);
        found.next().unwrap_or_else(|| panic!("{leaks}")).clone()
    }

    #[test]
    fn what_takes_the_place_of_what_is_freed_elsewhere_is_low_and_says_so() {
        let leak = retained(&[10, 60, 61, 60, 62, 61, 60]);
        assert_eq!((leak.severity, leak.certainty), (Severity::Low, Certainty::Possible), "{leak}");
        let why = "the whole process stays at 62.0 MiB meanwhile, and does not grow by them; ";
        assert!(leak.certainty_reason.starts_with(why), "{leak}");
    }

    #[test]
    fn a_process_that_rises_or_swings_or_was_not_watched_says_nothing_against_a_finding() {
        for whole in
            [&[40, 44, 48, 52, 56, 60][..], &[60, 80, 60, 80, 60, 80, 60], &[60, 60, 60], &[60]]
        {
            let leak = retained(whole);
            assert!(!leak.may_be_load, "{whole:?} {leak}");
            assert_eq!(leak.certainty, Certainty::Likely, "{whole:?} {leak}");
        }
    }
}
