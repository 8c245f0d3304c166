//! Puts together what each kind of finding has found, so that no byte is in two of them.

use super::{
    LeakKind, LeakOptions, Leaks, Severity, backlog, callers, cells, certainty, common,
    cross_frees, growing, lasting, level, lost, over_budget, process_memory, retained, shared,
    sharing, stuck, unjoined, unjudged, untracked,
};
use crate::{
    primitives::order,
    snapshot::{MemorySnapshot, sum},
};

impl MemorySnapshot {
    /// The most bytes that the indices over the snapshot and the findings can take.
    pub(super) fn judging_bytes(&self) -> u64 {
        const ROW_BYTES: u64 = 256;
        let rows = self.tasks().len() + self.sites().len() + self.variables().len();
        let rows = rows + self.hand_overs().len() + self.trends().len();
        let names = self.tasks().iter().map(|task| task.name.len() + task.file.len());
        let names = names.chain(self.sites().iter().map(|site| site.name.len() + site.file.len()));
        rows as u64 * ROW_BYTES + 2 * sum(names.map(|bytes| bytes as u64))
    }

    pub(super) fn judge(&self, options: &LeakOptions) -> Leaks {
        let retained = retained::find(self, options);
        let mut stuck = stuck::find(self, options);
        let mut unjoined = unjoined::find(self, options);
        let mut known = growing::Known {
            sites: retained.leaks.iter().map(|leak| leak.place.clone()).collect(),
            tasks: stuck.tasks.iter().copied().collect(),
            piles: stuck.leaks.iter().map(|leak| leak.place.clone()).collect(),
            has_untracked: unjoined.is_spawned_outside,
        };
        // No byte is in two findings.
        unjoined.grown.retain(|(leak, _)| !known.sites.contains(&leak.place));
        known.sites.extend(unjoined.grown.iter().map(|(leak, _)| leak.place.clone()));
        for (task, place) in unjoined.spawners {
            known.tasks.insert(task);
            known.piles.insert(place);
        }
        let mut grown = unjoined.grown;
        let has_unjoined = !grown.is_empty();
        grown.extend(growing::find(self, options, &known));
        known.sites.extend(known.piles.drain());
        known.sites.extend(grown.iter().map(|(leak, _)| leak.place.clone()));
        grown.extend(common::find(self, options, &known.sites));
        let shared = shared::find(self, options);
        if !known.has_untracked {
            grown.extend(untracked::find(self, options, has_unjoined, &shared));
        }
        grown.extend(shared);
        cells::join(self, &mut grown, &mut stuck.leaks);
        let (long, early): (Vec<_>, Vec<_>) = grown.into_iter().partition(|(leak, growth)| {
            let needs_ns = if leak.kind == LeakKind::Unjoined { options.unjoined_ns() } else { 0 };
            growth.is_long(options) && growth.course.span_ns() >= needs_ns
        });
        let mut findings = retained.leaks;
        let mut not_judged = {
            let found = unjudged::Found {
                early: &early,
                explained: sum(long.iter().map(|it| it.1.course.rise())).saturating_add(sum(
                    findings.iter().chain(&stuck.leaks).map(|leak| leak.bytes),
                )),
                unclear: &retained.unclear,
                at_rest: &retained.at_rest,
                levelling_off: &retained.levelling_off,
                unknown: retained.unknown,
                untimed: stuck.untimed,
                without_compare: stuck.without_compare,
            };
            unjudged::find(self, &found, options)
        };
        not_judged.extend(process_memory::not_judged(self));
        findings.extend(stuck.leaks);
        let judged = findings.into_iter().map(|leak| (leak, None));
        let judged = judged.chain(long.into_iter().map(|(leak, growth)| (leak, Some(growth))));
        let watched = self.observed_ns();
        let mut findings = Vec::new();
        let judged = callers::join(self, judged.collect());
        let judged = sharing::join(self, options, judged);
        for (mut leak, growth) in judged {
            certainty::judge(&mut leak, growth.as_ref(), watched, options);
            level::weigh(self, &mut leak, growth.as_ref());
            lasting::weigh(&mut leak, watched, self.process().whole_bytes, options);
            findings.push(leak);
        }
        if self.observed_ns() < options.growth_ns() {
            // What a program does in its first moments tells nothing of its day.
            for leak in &mut findings {
                leak.severity = Severity::Low;
            }
        }
        // These are measured, not judged by their course.
        let mut counted = over_budget::find(self);
        counted.extend(process_memory::find(self));
        counted.extend(lost::find(self, &findings, options));
        for leak in &mut counted {
            certainty::judge(leak, None, watched, options);
        }
        findings.extend(counted);
        order::by(&mut findings, |a, b| a.rank().cmp(&b.rank()));
        let hand_overs = cross_frees::largest(self.hand_overs());
        let backlogs = backlog::find(self);
        Leaks { measured: true, findings, not_judged, hand_overs, backlogs }
    }
}
