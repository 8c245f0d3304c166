//! Code outside of tasks that goes on to allocate, where the sum of such bytes does not show it:
//! beside a larger cache that comes and goes, or that stays.

use super::{
    cause::{Clue, Part},
    code::Code,
    evidence::Evidence,
    finding::Leak,
    growing::{Grown, blank, complete},
    growth::Growth,
    keeper::Keeper,
    options::LeakOptions,
    untracked::OUTSIDE,
    wording::several,
};
use crate::{
    analysis::stacks::bound_bytes,
    model::{HumanBytes, Place, StackProfile, TrendPoint},
    snapshot::{MemorySnapshot, float},
};

/// Swings of the sum that are this many times as large as the rise of some code hide it.
const HIDING_SWING: u64 = 2;

/// The stacks of the same functions that rise.
struct Group<'a> {
    code: Code,
    growth: Growth,
    stacks: Vec<&'a StackProfile>,
}

/// Finds code whose live bytes rise by more than their estimates may be wrong. `sum`: the timeline
/// of all bytes outside of tasks, which does not rise.
pub(super) fn find(
    snapshot: &MemorySnapshot,
    options: &LeakOptions,
    sum: &[TrendPoint],
) -> Vec<Grown> {
    let interval = snapshot.stack_interval_bytes();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for stack in snapshot.stacks().iter().filter(|stack| stack.is_untracked) {
        let Some(growth) = Growth::by_estimate(&stack.points, options) else { continue };
        let Some(code) = Code::of(&stack.frames) else { continue };
        match groups.iter_mut().find(|group| group.code.has_names_of(&code)) {
            Some(group) => {
                group.growth = group.growth.together(&growth);
                group.stacks.push(stack);
            }
            None => groups.push(Group { code, growth, stacks: vec![stack] }),
        }
    }
    groups.retain(|it| it.is_sure(interval) && !is_in_place_of_others(&it.growth, sum));
    if groups.is_empty() {
        return Vec::new();
    }
    let evidence = Evidence::of(snapshot);
    let found = groups.into_iter().filter_map(|group| group.finding(snapshot, &evidence));
    found.collect()
}

/// Whether as much has gone meanwhile: entries of a cache that other code had filled.
fn is_in_place_of_others(growth: &Growth, sum: &[TrendPoint]) -> bool {
    let since_ns = growth.course.first().at_ns;
    let lives = || sum.iter().filter(|point| point.at_ns >= since_ns).map(|it| it.live_bytes);
    let (Some(first), Some(last)) = (lives().next(), lives().next_back()) else { return true };
    let lowest = lives().min().unwrap_or(first);
    let swing = lives().max().unwrap_or(first) - lowest;
    let rise = growth.course.rise();
    last.saturating_sub(first) < rise / 2 && swing < rise.saturating_mul(HIDING_SWING)
}

impl Group<'_> {
    fn live_bytes(&self) -> u64 {
        self.stacks.iter().fold(0, |sum, stack| sum.saturating_add(stack.live_bytes))
    }

    fn live_samples(&self) -> u64 {
        self.stacks.iter().fold(0, |sum, stack| sum.saturating_add(stack.live_samples))
    }

    /// Whether the rise is more than the estimates at its begin and now may be wrong together.
    fn is_sure(&self, interval: u64) -> bool {
        let (bytes, samples) = (self.live_bytes(), self.live_samples());
        let before = self.growth.course.first().live_bytes;
        let of_before = u128::from(samples) * u128::from(before) / u128::from(bytes.max(1));
        let of_before = u64::try_from(of_before).unwrap_or(samples).min(samples);
        let error =
            bound_bytes(bytes, samples, interval).hypot(bound_bytes(before, of_before, interval));
        float(self.growth.course.rise()) > error
    }

    fn finding(&self, snapshot: &MemorySnapshot, evidence: &Evidence<'_>) -> Option<Grown> {
        let growth = self.growth;
        let since_ns = Some(growth.course.first().at_ns);
        let parts = self.stacks.iter().map(|stack| Part::since(stack, since_ns));
        let clue = Clue::of(parts, snapshot.stack_interval_bytes(), 0)?;
        // What the cells of tasks are is said of their tasks.
        if clue.is_of_cells() {
            return None;
        }
        let place = Place { name: OUTSIDE.to_owned(), file: "".into(), line: 0 };
        let leak = blank(&place, &growth);
        let samples = several(self.live_samples(), "sampled block", "sampled blocks");
        let all = HumanBytes(snapshot.process().untracked_bytes);
        let text = format!(
            "By {samples} of this code alone: {} The {all} outside of tasks do not show it: the rest of them is much larger, or comes and goes.",
            leak.evidence
        );
        let leak = Leak { evidence: text, ..leak };
        let keeper = Keeper { has_ended: true, is_outside: true, clue, ..Keeper::default() };
        let leak = keeper.tell(leak, || {
            "bound what is added to there, or take out what is done with".to_owned()
        });
        Some((complete(leak, growth.course.rise(), &growth, evidence, true), growth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{
        fixture::{MAP, PAGES, outside_of_tasks, stack_outside as stack},
        leaks::{Certainty, LeakCause, Leaks, Severity},
    };

    const MINUTE_NS: u64 = 60_000_000_000;

    /// What `leaks` finds of 4 MiB in each span, beside a cache that has this many MiB.
    fn beside(span_ns: u64, cache: impl Fn(u64) -> u64) -> Leaks {
        let leak = stack(MAP, span_ns, |span| 4 * span);
        outside_of_tasks(&[stack(PAGES, span_ns, cache), leak]).leaks()
    }

    #[test]
    fn a_leak_in_a_plain_thread_is_named_by_its_stack_beside_a_healthy_large_part() {
        let comes_and_goes = |span: u64| if span.is_multiple_of(2) { 900 - 20 * span } else { 300 };
        for found in [beside(MINUTE_NS, |_| 4_000), beside(MINUTE_NS, comes_and_goes)] {
            let [leak] = found.findings() else { panic!("{found}") };
            assert_eq!((&*leak.place.name, leak.cause), (OUTSIDE, LeakCause::Map), "{leak}");
            let code = "`app::remember`, ≈ 100 % by 20 samples";
            assert_eq!(leak.allocated_at.as_deref(), Some(code));
            assert!(leak.bytes >= 36 << 20 && leak.bytes <= 40 << 20, "{leak}");
            assert!(
                leak.evidence.starts_with("By 20 sampled blocks of this code alone: "),
                "{leak}"
            );
            assert!(leak.fix.contains("a capacity or an age"), "{leak}");
        }
    }

    #[test]
    fn what_samples_alone_show_is_low_and_possible_at_any_length_of_observation() {
        for span_ns in [MINUTE_NS, 10_000 * MINUTE_NS] {
            let found = beside(span_ns, |_| 4_000);
            let [leak] = found.findings() else { panic!("{found}") };
            assert_eq!((leak.severity, leak.certainty), (Severity::Low, Certainty::Possible));
            assert!(leak.certainty_reason.starts_with("samples of stacks alone"), "{leak}");
        }
    }

    #[test]
    fn too_few_samples_and_too_little_time_are_no_finding() {
        let large = stack(PAGES, MINUTE_NS, |_| 4_000);
        let few = stack(MAP, MINUTE_NS, |minute| minute);
        let few = outside_of_tasks(&[large, few]).leaks();
        assert!(few.is_empty(), "{few}");
        let short = beside(MINUTE_NS / 4, |_| 4_000);
        assert!(short.is_empty(), "{short}");
        let why = short.not_judged().iter().map(|note| &*note.why).collect::<String>();
        assert!(why.contains("app::remember") && why.contains("a verdict needs 4 min"), "{why}");
    }

    #[test]
    fn entries_that_take_the_place_of_what_other_code_has_put_there_are_no_finding() {
        let found = beside(MINUTE_NS, |minute| 400 - 4 * minute);
        assert!(found.is_empty(), "{found}");
    }
}
