//! Several collections that grow at once in the same bytes: each needs a cure of its own.

use std::fmt::Write;

use super::{
    cause::{Clue, FAIR_SHARE, FIRM_SAMPLES, LeakCause, Part, is_items},
    code::{Code, Codes},
    cure::Case,
    growth::Growth,
    kind::of_frames,
    wording::percent,
};
use crate::{model::StackProfile, primitives::order};

/// What goes on brings half of its bytes in the last half of the time. What has brought less than
/// one part in this many then was filled once.
const LEAST_LATE: u64 = 4;

/// A kind of collection that has a fair share of the bytes that have come, and goes on to grow.
#[derive(Debug)]
struct Strand {
    cause: LeakCause,
    /// The function by which the cause is known.
    by: String,
    bytes: u64,
    /// Of these, the ones that have come in the last half of the time.
    late_bytes: u64,
    samples: u64,
    codes: Codes,
}

/// The collections that the clue of a finding does not name, the largest first.
#[derive(Debug, Default)]
pub(super) struct Strands {
    others: Vec<Strand>,
    /// What all stacks have together.
    all_bytes: u64,
}

impl Strands {
    /// Of stacks whose earlier bytes are known. Where none has half of the bytes, and several
    /// together have, the clue is given the largest of them.
    pub(super) fn of<'a>(
        stacks: impl Iterator<Item = &'a StackProfile>,
        growth: &Growth,
        interval: u64,
        clue: &mut Clue,
    ) -> Self {
        let since_ns = growth.course.first().at_ns;
        let late_ns = since_ns.saturating_add(growth.course.span_ns() / 2);
        let mut all: Vec<Strand> = Vec::new();
        for stack in stacks.filter(|stack| !stack.points.is_empty()) {
            let part = Part::since(stack, Some(since_ns));
            let Some((cause, by)) = of_frames(&stack.frames).filter(|_| part.live_bytes != 0)
            else {
                continue;
            };
            let new = |by| Strand {
                cause,
                by,
                bytes: 0,
                late_bytes: 0,
                samples: 0,
                codes: Codes::default(),
            };
            let at = all.iter().position(|it| it.cause == cause).unwrap_or_else(|| {
                all.push(new(by));
                all.len() - 1
            });
            let Some(strand) = all.get_mut(at) else { continue };
            strand.bytes = strand.bytes.saturating_add(part.live_bytes);
            strand.samples = strand.samples.saturating_add(part.live_samples);
            let late = Part::since(stack, Some(late_ns));
            strand.late_bytes = strand.late_bytes.saturating_add(late.live_bytes);
            if let Some(code) = Code::of(&stack.frames) {
                strand.codes.add(code, part.live_bytes, part.live_samples);
            }
        }
        let all_bytes = clue.all_bytes;
        all.retain(|it| {
            it.cause != clue.cause
                && it.bytes >= (all_bytes / FAIR_SHARE).max(1)
                && it.samples >= FIRM_SAMPLES
                && it.late_bytes >= it.bytes / LEAST_LATE
                && !is_items(it.cause, it.bytes, it.samples, interval)
        });
        order::by_key(&mut all, |it| std::cmp::Reverse(it.bytes));
        let sum = all.iter().fold(0, |sum: u64, it| sum.saturating_add(it.bytes));
        if clue.cause == LeakCause::Unknown && all.len() > 1 && sum >= all_bytes / 2 {
            let largest = all.remove(0);
            (clue.cause, clue.by, clue.cause_samples) =
                (largest.cause, largest.by, largest.samples);
        }
        Self { others: all, all_bytes }
    }

    /// Adds the cure of each to that of the finding.
    pub(super) fn add_to(self, fix: &mut String) {
        for Strand { cause, by, bytes, codes, .. } in self.others {
            let case = Case { cause, by: &by, has_ended: true, ..Case::default() };
            let Some(cure) = case.cure() else { continue };
            let codes = codes.largest_first();
            let code = codes
                .first()
                .map_or_else(String::new, |it| format!(" that {} allocates", it.names()));
            let share = percent(bytes, self.all_bytes);
            // Writing to a `String` does not fail.
            let _ = write!(fix, "; as well, for the ≈ {share}{code}: {cure}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::analysis::{
        fixture::{MAP, PAGES, outside_of_tasks, stack_outside},
        leaks::{KnownBy, Leak},
    };

    const MINUTE_NS: u64 = 60_000_000_000;
    const QUEUE: [&str; 2] = ["std::sync::mpmc::list::Channel<T>::send", "app::publish"];

    fn stack(functions: [&str; 2], mib: impl Fn(u64) -> u64) -> Value {
        stack_outside(functions, MINUTE_NS, mib)
    }

    /// The finding of bytes outside of tasks that rise as these stacks do together.
    fn found(stacks: &[Value]) -> Leak {
        let leaks = outside_of_tasks(stacks).leaks();
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        leak.clone()
    }

    #[test]
    fn a_map_and_a_queue_that_grow_outside_of_tasks_have_both_cures() {
        let leak = found(&[
            stack(MAP, |minute| 6 * minute),
            stack(QUEUE, |minute| 5 * minute),
            stack(PAGES, |minute| 3 * minute),
        ]);
        assert_eq!((leak.cause, leak.known_by), (LeakCause::Map, KnownBy::Stacks(30)), "{leak}");
        assert!(leak.fix.contains("a capacity or an age"), "{leak}");
        let queue = "; as well, for the ≈ 35 % that `app::publish` allocates: bound the channel";
        assert!(leak.fix.contains(queue), "{leak}");
        let code = leak.allocated_at.as_deref().unwrap_or_default();
        assert!(code.contains("app::remember") && code.contains("app::publish"), "{leak}");
    }

    #[test]
    fn what_was_filled_once_and_a_small_share_have_no_cure_beside_the_one_that_grows() {
        let once = |minute: u64| 30.min(15 * minute);
        for other in [stack(QUEUE, once), stack(QUEUE, |minute| 2 * minute)] {
            let leak = found(&[stack(MAP, |minute| 9 * minute), other]);
            assert_eq!(leak.cause, LeakCause::Map, "{leak}");
            assert!(!leak.fix.contains("as well"), "{leak}");
        }
    }

    #[test]
    fn a_known_part_of_bytes_that_nothing_is_known_of_is_named_with_its_cure() {
        let leak = found(&[stack(PAGES, |minute| 7 * minute), stack(MAP, |minute| 3 * minute)]);
        assert_eq!((leak.cause, leak.known_by), (LeakCause::Unknown, KnownBy::Nothing), "{leak}");
        let cure = "bound what is added to there, or take out what is done with; as well, for the \
                    ≈ 30 % that `app::remember` allocates: bound";
        assert!(leak.fix.starts_with(cure), "{leak}");
    }
}
