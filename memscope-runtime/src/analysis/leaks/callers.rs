//! One function that allocates for tasks of many sites: what each of these has left is one finding.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    cause::{FIRM_SAMPLES, LeakCause},
    certainty::KnownBy,
    code::Share,
    evidence::Evidence,
    finding::{Leak, LeakKind},
    growth::Growth,
    holder::Held,
    keeper::Keeper,
    wording::{names, percent, several},
};
use crate::{
    model::Place,
    primitives::order,
    snapshot::{MemorySnapshot, sum},
};

/// A function is that of some sites if it has half of the bytes of each, by this many samples a
/// site.
const LEAST_SAMPLES: u64 = 2;
/// This many names of variables stand in a finding.
const MOST_VARIABLES: usize = 5;

/// A finding, and how it grows if it is judged by that.
pub(super) type Judged = (Leak, Option<Growth>);

/// A finding, its function, and the bytes of all samples of its site.
struct Call {
    judged: Judged,
    function: Share,
    sampled_bytes: u64,
}

/// Makes one finding of those of one kind whose bytes the same function allocates, unless it is
/// known that different things keep them.
pub(super) fn join(snapshot: &MemorySnapshot, findings: Vec<Judged>) -> Vec<Judged> {
    if findings.iter().filter(|it| may_join(it)).count() < 2 {
        return findings;
    }
    let evidence = Evidence::of(snapshot);
    let mut joined = Vec::new();
    let mut calls: BTreeMap<(LeakKind, String), Vec<Call>> = BTreeMap::new();
    for judged in findings {
        let call = if may_join(&judged) { function_of(&judged.0.place, &evidence) } else { None };
        match call {
            Some((function, sampled_bytes)) => {
                let key = (judged.0.kind, function.names());
                calls.entry(key).or_default().push(Call { judged, function, sampled_bytes });
            }
            None => joined.push(judged),
        }
    }
    for calls in calls.into_values() {
        let samples = sum(calls.iter().map(|call| call.function.samples));
        let least = FIRM_SAMPLES.max(LEAST_SAMPLES * calls.len() as u64);
        if calls.len() > 1 && samples >= least && have_one_keeper(&calls) {
            joined.extend(together(calls, &evidence));
        } else {
            joined.extend(calls.into_iter().map(|call| call.judged));
        }
    }
    joined
}

/// Whether the code that allocates is what is known of the bytes, or little more.
fn may_join((leak, growth): &Judged) -> bool {
    let is_joint = !leak.others.is_empty() || leak.waits_at.is_some();
    let by_code =
        matches!(leak.known_by, KnownBy::Nothing | KnownBy::Stacks(_) | KnownBy::HeapGraph);
    let is_of_blocks = growth.is_none_or(|growth| growth.doubling.is_none() && !growth.is_estimate);
    matches!(leak.kind, LeakKind::Retained | LeakKind::Growing)
        && matches!(leak.cause, LeakCause::Unknown | LeakCause::Map | LeakCause::List)
        && by_code
        && is_of_blocks
        && !is_joint
}

/// The function that allocates most of a site's bytes, and the bytes of all its samples.
fn function_of(place: &Place, evidence: &Evidence<'_>) -> Option<(Share, u64)> {
    let functions = evidence.own_functions(place);
    let all = sum(functions.iter().map(|it| it.bytes));
    let largest = functions.into_iter().next()?;
    (largest.bytes >= all / 2).then_some((largest, all))
}

/// Whether no two of them are known to be held by, or to be in, different things.
fn have_one_keeper(calls: &[Call]) -> bool {
    let leaks = || calls.iter().map(|call| &call.judged.0);
    let holders: BTreeSet<&str> = leaks().filter_map(|leak| leak.held_by.as_deref()).collect();
    let causes: BTreeSet<LeakCause> = leaks().map(|leak| leak.cause).collect();
    let known = causes.iter().filter(|cause| **cause != LeakCause::Unknown);
    holders.len() < 2 && known.count() < 2
}

/// One finding of several.
fn together(mut calls: Vec<Call>, evidence: &Evidence<'_>) -> Option<Judged> {
    order::by_key(&mut calls, |call| {
        (std::cmp::Reverse(call.judged.0.bytes), call.judged.0.place.clone())
    });
    let leaks: Vec<Leak> = calls.iter().map(|call| call.judged.0.clone()).collect();
    let growths = calls.iter().filter_map(|call| call.judged.1);
    let growth = growths.reduce(|all, one| all.together(&one));
    let sampled_bytes = sum(calls.iter().map(|call| call.sampled_bytes));
    let function = calls.into_iter().map(|call| call.function).reduce(|mut all, one| {
        all.add(one);
        all
    })?;
    let largest = leaks.first()?;
    let name = function.names();
    let sites: Vec<&str> = leaks.iter().map(|leak| &*leak.place.name).collect();
    let text = format!(
        "Tasks of {} call {name}, which allocates most of what each of them keeps: {}. Of the first: {}",
        several(sites.len() as u64, "site", "sites"),
        names(&sites),
        Held::without_sentence(&largest.evidence),
    );
    let leak = Leak { evidence: text, ..sum_of(&leaks)? };
    let since_ns = growth.map(|growth| growth.course.first().at_ns);
    let places: Vec<Place> = leaks.iter().map(|leak| leak.place.clone()).collect();
    let has_ended = leak.kind == LeakKind::Retained;
    let keeper = Keeper {
        variables: leak.variables.clone(),
        clue: evidence.clue_of_sites(&places, since_ns).unwrap_or_default(),
        held: evidence.held_of_sites(&sites, leak.bytes / 2),
        has_ended,
        is_outside: !has_ended,
        ..Keeper::default()
    };
    let leak = keeper.tell(leak, || {
        let remove =
            if has_ended { "what a task has put in when it ends" } else { "what is done with" };
        format!(
            "if {name} adds to a collection that these tasks share: bound it, or remove there {remove}; else bound what each of these tasks keeps of what it allocates for them"
        )
    });
    let (share, samples) =
        (percent(function.bytes, sampled_bytes), several(function.samples, "sample", "samples"));
    let allocated_at = Some(format!("{function}, ≈ {share} by {samples}"));
    Some((Leak { allocated_at, ..leak }, growth))
}

/// What several findings have together. The first has the most bytes.
pub(super) fn sum_of(leaks: &[Leak]) -> Option<Leak> {
    let (largest, others) = leaks.split_first()?;
    let rates = leaks.iter().filter_map(|leak| leak.bytes_per_day);
    let mut variables: Vec<String> = Vec::new();
    for name in leaks.iter().flat_map(|leak| &leak.variables) {
        if variables.len() < MOST_VARIABLES && !variables.contains(name) {
            variables.push(name.clone());
        }
    }
    let of_others = others.iter().flat_map(|leak| [&leak.place].into_iter().chain(&leak.others));
    Some(Leak {
        // A cache that each of ten handlers fills a bit is no worse than what each of them has.
        severity: leaks.iter().map(|leak| leak.severity).max()?,
        others: largest.others.iter().chain(of_others).cloned().collect(),
        bytes: sum(leaks.iter().map(|leak| leak.bytes)),
        count: sum(leaks.iter().map(|leak| leak.count)),
        oldest_ns: leaks.iter().filter_map(|leak| leak.oldest_ns).max(),
        bytes_per_day: rates.reduce(u64::saturating_add),
        may_be_load: leaks.iter().any(|leak| leak.may_be_load),
        variables,
        ..largest.clone()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::analysis::{
        LeakCause, LeakKind, Leaks, Severity,
        fixture::{site, snapshot},
        leaks::KnownBy,
    };

    /// The findings of sites that have each left 2 MiB, whose largest stack has these functions and
    /// this many samples.
    fn leaks(sites: &[(&str, &[&str], u64)], parts: &Value) -> Leaks {
        let left = json!({
            "spawned": 1200, "completed": 1200, "live_bytes": 2 << 20, "retained_bytes": 2 << 20,
            "ended_allocated_bytes": 4 << 20, "retained_tasks": 1200, "retained_waves": 300,
            "retained_by_eighth": [150, 150, 150, 150, 150, 150, 150, 150],
            "oldest_retained_ns": 300_000_000_000_u64,
        });
        let rows: Vec<Value> = sites.iter().map(|(name, ..)| site(name, &left)).collect();
        let stack = |(number, (_, functions, samples)): (usize, &(&str, &[&str], u64))| {
            let frames: Vec<Value> = functions
                .iter()
                .map(|function| json!({ "function": function, "file": "src/app.rs", "line": 9 }))
                .collect();
            json!({
                "frames": frames, "site": number, "live_bytes": samples << 19,
                "live_samples": samples,
            })
        };
        let stacks: Vec<Value> = sites.iter().enumerate().map(stack).collect();
        let mut all = json!({ "sites": rows, "stacks": stacks, "stack_interval_bytes": 512 << 10 });
        for (field, part) in parts.as_object().into_iter().flatten() {
            all[field] = part.clone();
        }
        snapshot(&all).leaks()
    }

    const LIST: (&str, &[&str], u64) = ("list", &["app::audit", "app::list"], 4);
    const SHOW: (&str, &[&str], u64) = ("show", &["app::audit", "app::show"], 3);
    const SAVE: (&str, &[&str], u64) = ("save", &["app::audit", "app::save"], 1);

    #[test]
    fn sites_that_call_one_function_are_one_finding_with_all_of_them() {
        let found = leaks(&[LIST, SHOW, SAVE], &json!({}));
        let [leak] = found.findings() else { panic!("{found}") };
        assert_eq!((leak.kind, leak.bytes, leak.count), (LeakKind::Retained, 6 << 20, 3_600));
        assert_eq!((leak.severity, leak.bytes_per_day), (Severity::Low, Some(1_811_939_328)));
        let others: Vec<&str> = leak.others.iter().map(|it| &*it.name).collect();
        assert_eq!((&*leak.place.name, others), ("list", vec!["save", "show"]));
        let said = "Tasks of 3 sites call `app::audit`, which allocates most of what each of them \
                    keeps: `list`, `save` and `show`. Of the first: all 1,200 ended tasks";
        assert!(leak.evidence.starts_with(said), "{leak}");
        let code = "`app::audit` (src/app.rs:9), ≈ 100 % by 8 samples";
        assert_eq!(leak.allocated_at.as_deref(), Some(code));
        assert!(leak.fix.starts_with("if `app::audit` adds to a collection that these"), "{leak}");
        assert_eq!(found.bytes(), 6 << 20);
    }

    #[test]
    fn sites_of_other_code_and_of_a_library_that_both_call_stay_apart() {
        let own: (&str, &[&str], u64) = ("save", &["app::page", "app::save"], 9);
        let names = |found: &Leaks| {
            found
                .iter()
                .map(|leak| (leak.place.name.clone(), leak.others.len()))
                .collect::<Vec<_>>()
        };
        let found = leaks(&[LIST, SHOW, own], &json!({}));
        assert_eq!(names(&found), [("list".to_owned(), 1), ("save".to_owned(), 0)], "{found}");
        let library: [(&str, &[&str], u64); 2] = [
            ("list", &["bytes::BytesMut::reserve", "app::list"], 9),
            ("show", &["bytes::BytesMut::reserve", "app::show"], 9),
        ];
        assert_eq!(leaks(&library, &json!({})).len(), 2);
        let few = [("list", LIST.1, 2), ("show", SHOW.1, 1)];
        assert_eq!(leaks(&few, &json!({})).len(), 2, "three samples");
    }

    #[test]
    fn what_different_roots_hold_stays_apart_and_one_root_gives_the_cure() {
        let root = |name: &str, sites: &[&str]| {
            let step = |site: &&str| json!({ "blocks": 9, "own_bytes": 1 << 20, "retained_bytes": 4 << 20, "site": site });
            let steps: Vec<Value> = sites.iter().map(step).collect();
            json!({ "name": name, "kind": "static", "retained_bytes": 4 << 20, "largest": steps })
        };
        let graph = |roots: Vec<Value>| {
            json!({ "heap_graph": {
                "pause_ns": 1, "taken_ns": 1, "blocks": 9, "bytes": 4 << 20, "roots": roots,
                "unreachable": [],
            }})
        };
        let two = graph(vec![root("LISTS", &["list"]), root("SHOWN", &["show"])]);
        assert_eq!(leaks(&[LIST, SHOW], &two).len(), 2);
        let one = leaks(&[LIST, SHOW], &graph(vec![root("app::AUDIT", &["list"])]));
        let [leak] = one.findings() else { panic!("{one}") };
        assert_eq!((leak.cause, leak.known_by), (LeakCause::Unknown, KnownBy::HeapGraph), "{leak}");
        assert_eq!(leak.held_by.as_deref(), Some("the static `app::AUDIT`"));
        assert!(leak.fix.starts_with("remove from `AUDIT` what a task has put there"), "{leak}");
        assert_eq!(leak.evidence.matches("In the graph of the heap").count(), 1, "{leak}");
    }
}
