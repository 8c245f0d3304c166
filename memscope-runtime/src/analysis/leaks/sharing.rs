//! Sites whose tasks put what they keep into one collection, or send it to one consumer: what each
//! of them has left is one finding.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    callers::{Judged, sum_of},
    cause::LeakCause,
    certainty::KnownBy,
    common::{Group, groups},
    finding::{Leak, LeakKind},
    options::LeakOptions,
    wording::{names, several},
};
use crate::{
    model::{HumanBytes, Place, human::cell},
    primitives::order,
    snapshot::MemorySnapshot,
};

/// Of sites that have all left something, a row of this many bytes, one part of what is enough
/// elsewhere, tells that they share a collection: whichever had it early had it when it was small.
const SMALL: u64 = 8;
/// The code of this many sites stands in a finding.
const MOST_CODES: usize = 4;

/// Makes one finding of those whose bytes are in one collection, as far as that is seen, or that
/// one consumer takes. Where one finding alone is of such a collection, its cure is told.
pub(super) fn join(
    snapshot: &MemorySnapshot,
    options: &LeakOptions,
    findings: Vec<Judged>,
) -> Vec<Judged> {
    let findings = by_consumer(findings);
    let places: BTreeSet<Place> =
        findings.iter().filter(|it| may_share(&it.0)).map(|it| it.0.place.clone()).collect();
    if places.is_empty() {
        return findings;
    }
    let near = groups(snapshot, options.least_retained / SMALL, |place| places.contains(place));
    let is_large = |group: &Group<'_>| group.is_mutual() && group.bytes() >= options.least_retained;
    let mut findings = findings;
    for group in near.into_iter().filter(is_large) {
        findings = by_collection(snapshot, &group, findings);
    }
    for group in groups(snapshot, options.least_retained, |_| true).iter().filter(|it| is_large(it))
    {
        let is_alone = |leak: &Leak| {
            may_share(leak) && leak.known_by == KnownBy::Nothing && leak.others.is_empty()
        };
        let table = group.table(snapshot);
        for (leak, _) in findings.iter_mut().filter(|it| is_alone(&it.0) && group.has(&it.0.place))
        {
            let Some(table) = &table else { continue };
            leak.evidence = format!("{} {} {}", leak.evidence, group.sentence(), table.evidence);
            leak.fix = cure(&table.cure);
        }
    }
    findings
}

/// Whether nothing is known of what keeps the bytes that ended tasks have left, or a root alone.
fn may_share(leak: &Leak) -> bool {
    leak.kind == LeakKind::Retained
        && leak.cause == LeakCause::Unknown
        && matches!(leak.known_by, KnownBy::Nothing | KnownBy::HeapGraph)
}

fn cure(of_collection: &str) -> String {
    format!(
        "if they are in a collection that these sites share: {of_collection}; else look for a channel whose consumer is too slow, and for `Arc`s that hold each other"
    )
}

/// Makes one finding of those with a queue to the same site: their cures are the same.
fn by_consumer(findings: Vec<Judged>) -> Vec<Judged> {
    let (queues, mut joined): (Vec<Judged>, Vec<Judged>) =
        findings.into_iter().partition(|(leak, _)| {
            leak.kind == LeakKind::Retained
                && leak.cause == LeakCause::Queue
                && leak.known_by == KnownBy::Frees
        });
    let mut by_cure: BTreeMap<String, Vec<Judged>> = BTreeMap::new();
    for judged in queues {
        by_cure.entry(judged.0.fix.clone()).or_default().push(judged);
    }
    for same in by_cure.into_values() {
        joined.extend(one_of(same, |sites| {
            let count = several(sites.len() as u64, "site", "sites");
            format!("Tasks of {count} send to one consumer: {}.", names(sites))
        }));
    }
    joined
}

/// Makes one finding of those of the sites of this group, unless different roots hold their bytes.
fn by_collection(
    snapshot: &MemorySnapshot,
    group: &Group<'_>,
    findings: Vec<Judged>,
) -> Vec<Judged> {
    let is_in = |(leak, _): &Judged| may_share(leak) && group.has(&leak.place);
    let holders: BTreeSet<&str> = findings
        .iter()
        .filter(|it| is_in(it))
        .filter_map(|(leak, _)| leak.held_by.as_deref())
        .collect();
    if holders.len() > 1 || findings.iter().filter(|it| is_in(it)).count() < 2 {
        return findings;
    }
    let (members, mut joined): (Vec<Judged>, Vec<Judged>) = findings.into_iter().partition(is_in);
    let held = members.iter().find(|it| it.0.known_by == KnownBy::HeapGraph).map(|it| it.0.clone());
    let table = group.table(snapshot);
    let code = table.as_ref().map_or_else(String::new, |table| format!(" {}", table.evidence));
    let one = one_of(members, |_| format!("{}{code}", group.sentence()));
    joined.extend(one.map(|(leak, growth)| {
        let of_collection = table.map_or_else(
            || "remove there what a task has put in when it ends, or bound it (a cache needs a capacity or an age)".to_owned(),
            |table| table.cure,
        );
        let leak = match held {
            Some(held) => {
                Leak { fix: held.fix, known_by: held.known_by, held_by: held.held_by, ..leak }
            }
            None => Leak { fix: cure(&of_collection), ..leak },
        };
        (leak, growth)
    }));
    joined
}

/// One finding of several: that of the most bytes, with the code of the others. `why`: what they
/// have in common, by the names of their sites.
fn one_of(mut all: Vec<Judged>, why: impl FnOnce(&[&str]) -> String) -> Option<Judged> {
    order::by_key(&mut all, |(leak, _)| (std::cmp::Reverse(leak.bytes), leak.place.clone()));
    if all.len() < 2 {
        return all.pop();
    }
    let leaks: Vec<Leak> = all.iter().map(|it| it.0.clone()).collect();
    let (largest, others) = leaks.split_first()?;
    let sites: Vec<&str> = leaks.iter().map(|leak| &*leak.place.name).collect();
    let codes = others.iter().take(MOST_CODES).filter_map(|leak| {
        let (name, bytes) = (cell(&leak.place.name, 48), HumanBytes(leak.bytes));
        let code = leak.allocated_at.as_ref()?;
        Some(format!(" `{name}` has {bytes} of it, allocated at {code}."))
    });
    let codes: String = codes.collect();
    let evidence = format!("{}{codes} Of the first: {}", why(&sites), largest.evidence);
    let growth = all.iter().filter_map(|it| it.1).reduce(|all, one| all.together(&one));
    Some((Leak { evidence, ..sum_of(&leaks)? }, growth))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::analysis::{
        LeakCause,
        fixture::{hand_over, site, snapshot},
    };

    #[test]
    fn what_one_consumer_takes_of_several_sites_is_one_finding_with_the_code_of_each() {
        let left = json!({
            "spawned": 1200, "completed": 1200, "live_bytes": 8 << 20, "retained_bytes": 8 << 20,
            "ended_allocated_bytes": 12 << 20, "retained_tasks": 1200, "retained_waves": 300,
            "retained_by_eighth": [150, 150, 150, 150, 150, 150, 150, 150],
        });
        let stack = |name: &str, site: u64| {
            json!({
                "frames": [{ "function": name }], "site": site, "live_bytes": 8 << 20, "live_samples": 9,
            })
        };
        let found = |second: &str| {
            let taken = [("search", "worker"), ("order", second)];
            let rows = taken.map(|(from, to)| hand_over(Some(from), Some(to), 90, 4 << 20));
            let worker = |name| site(name, &json!({ "active": 1 }));
            snapshot(&json!({
                "sites": [
                    site("search", &left), site("order", &left), worker("worker"), worker("mailer"),
                ],
                "stacks": [stack("app::search", 0), stack("app::order", 1)],
                "stack_interval_bytes": 64 << 10, "hand_overs": rows,
            }))
            .leaks()
        };
        let same = found("worker");
        let [leak] = same.findings() else { panic!("{same}") };
        assert_eq!((leak.cause, leak.bytes, leak.count), (LeakCause::Queue, 16 << 20, 2_400));
        let said = "Tasks of 2 sites send to one consumer: `order` and `search`. `search` has 8.0 \
                    MiB of it, allocated at `app::search`, ≈ 100 % by 9 samples. Of the first: ";
        assert!(leak.evidence.starts_with(said), "{leak}");
        assert_eq!(found("mailer").len(), 2);
    }
}
