//! How the tasks that left something behind are spread over all tasks of their site.

use crate::{model::SiteProfile, snapshot::float};

/// What the spread says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The same share of tasks from the first to the last: nothing is freed, and it goes on.
    Even,
    /// The last tasks left (nearly) nothing behind: a cache that is full, or a start that is over.
    Ceased,
    /// Neither of these. Either the first tasks hold nothing any more, as in an evicting cache or
    /// with a leak that began late; or the tasks come in bursts. One snapshot cannot decide.
    Unclear,
}

// Each limit was chosen on simulated services (see `simulated`). They compare leaks of every rate
// between 2 and 100 % of tasks with caches (unbounded, LRU, random eviction, TTL; uniform and Zipf
// keys), sessions, pools and warm-ups.

/// How far from the middle the mean position of the retaining tasks may be, as a part of all tasks,
/// if there are very many. A cache filled by random requests for K keys has it 0.16 before the
/// middle after 2 K requests, and 0.12 after 1.5 K.
const LEAST_SLACK: f64 = 0.06;
/// The limit for few tasks, to be divided by √n. The mean of n tasks at random positions is off by
/// 0.29 / √n on average, so this is 2.4 times as much …
const SLACK_OF_ONE: f64 = 0.7;
/// … but never so much that a cache looks like a leak.
const MOST_SLACK: f64 = 0.09;
/// Each quarter must hold this share of what it would hold with an even spread. If the first and
/// the last are many and the middle is empty, there are old entries in constant use and new ones.
const LEAST_OF_QUARTER: f64 = 0.45;
/// The first and the last eighth must hold this share. It counts only where chance alone would not
/// make them smaller: with 8 or more expected in each.
const LEAST_OF_END: f64 = 0.4;
const EXPECTED_IN_EIGHTH: f64 = 8.0;

impl Shape {
    pub(super) fn of(site: &SiteProfile) -> Self {
        let found = site.retained_by_eighth.map(float);
        let chances = chances(site.spawned, site.active);
        let (all, ended) = (found.iter().sum::<f64>(), chances.iter().sum::<f64>());
        if all == 0.0 || ended == 0.0 {
            return Self::Ceased;
        }
        // What each eighth would hold with an even spread.
        let expected = chances.map(|chances| all * chances / ended);
        let share = |eighths: std::ops::Range<usize>| {
            let sum =
                |of: &[f64; 8]| of.get(eighths.clone()).map_or(0.0, |of| of.iter().sum::<f64>());
            let expected = sum(&expected);
            // Nothing can be missing where no task has ended yet.
            if expected == 0.0 { 1.0 } else { sum(&found) / expected }
        };
        let middle = |of: &[f64; 8]| {
            let moments =
                of.iter().zip(0_u8..).map(|(of, eighth)| of * (f64::from(eighth) + 0.5) / 8.0);
            moments.sum::<f64>() / of.iter().sum::<f64>()
        };
        let off = middle(&found) - middle(&chances);
        let slack = (SLACK_OF_ONE / all.sqrt()).clamp(LEAST_SLACK, MOST_SLACK);
        let quarters = [0..2, 2..4, 4..6, 6..8].map(share);
        let last_ended =
            (0..8).rev().find(|&eighth| expected.get(eighth).is_some_and(|&of| of > 0.0));
        let last = last_ended.map_or(0.0, |eighth| share(eighth..eighth + 1));
        let is_many = all >= EXPECTED_IN_EIGHTH * 8.0;
        if off < -slack && quarters.last().is_some_and(|&last| last < 0.75)
            || (is_many && last < LEAST_OF_END)
        {
            Self::Ceased
        } else if off.abs() > slack
            || quarters.iter().any(|&quarter| quarter < LEAST_OF_QUARTER)
            || (is_many && share(0..1) < LEAST_OF_END)
        {
            Self::Unclear
        } else {
            Self::Even
        }
    }
}

/// How many tasks of each eighth have ended. It is not known which ones live; mostly it is the
/// newest.
fn chances(spawned: u64, active: u64) -> [f64; 8] {
    let ended = float(spawned.saturating_sub(active));
    let eighth = float(spawned) / 8.0;
    let mut chances = [0.0; 8];
    for (chances, before) in chances.iter_mut().zip(0_u8..) {
        *chances = (ended - eighth * f64::from(before)).clamp(0.0, eighth);
    }
    chances
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::fixture;

    fn shape(spawned: u64, active: u64, by_eighth: [u64; 8]) -> Shape {
        let site = json!({ "spawned": spawned, "active": active, "retained_by_eighth": by_eighth });
        Shape::of(&serde_json::from_value(fixture::site("s", &site)).expect("a site"))
    }

    #[test]
    fn a_leak_is_even_whatever_its_share_of_tasks() {
        assert_eq!(shape(16, 0, [2; 8]), Shape::Even);
        assert_eq!(shape(800, 0, [10, 12, 9, 11, 8, 12, 10, 9]), Shape::Even);
        assert_eq!(shape(1_000_000, 0, [3, 2, 4, 3, 2, 3, 3, 2]), Shape::Even);
    }

    #[test]
    fn tasks_that_have_not_ended_are_not_missed() {
        assert_eq!(shape(40, 10, [5, 5, 5, 5, 5, 5, 0, 0]), Shape::Even);
        assert_eq!(shape(40, 0, [5, 5, 5, 5, 5, 5, 0, 0]), Shape::Ceased);
    }

    #[test]
    fn a_full_cache_has_ceased() {
        assert_eq!(shape(800, 0, [64, 36, 20, 10, 5, 2, 1, 0]), Shape::Ceased);
        assert_eq!(shape(800, 0, [20, 0, 0, 0, 0, 0, 0, 0]), Shape::Ceased);
    }

    #[test]
    fn a_cache_that_removes_old_entries_is_not_even() {
        for by_eighth in [
            [0, 0, 0, 0, 0, 0, 50, 100],
            [0, 0, 0, 0, 100, 100, 100, 100],
            [50, 5, 2, 2, 2, 5, 50, 80],
        ] {
            assert_eq!(shape(800, 0, by_eighth), Shape::Unclear, "{by_eighth:?}");
        }
    }

    #[test]
    fn odd_numbers_have_some_shape() {
        shape(0, u64::MAX, [u64::MAX; 8]);
        shape(u64::MAX, 0, [u64::MAX; 8]);
        assert_eq!(shape(0, 0, [0; 8]), Shape::Ceased);
    }
}
