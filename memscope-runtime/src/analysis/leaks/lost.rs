//! Blocks that nothing leads to, by the graph of the heap: true leaks.

use std::collections::{BTreeMap, HashMap};

use super::{
    cause::LeakCause,
    certainty::KnownBy,
    code::{Code, Share},
    cure::Case,
    evidence::place_of,
    finding::{Leak, LeakKind, Severity},
    options::LeakOptions,
    untracked::OUTSIDE,
    wording::several,
};
use crate::{
    accounting::UNNAMED,
    model::{HumanBytes, Place, StackFrame, human::cell},
    snapshot::MemorySnapshot,
};

/// What nothing leads to, of the tasks of one site.
#[derive(Default)]
struct Lost {
    bytes: u64,
    blocks: u64,
    of_cycles: u64,
    /// The stack of the largest kind that has one.
    stack: Vec<StackFrame>,
}

/// Finds what is unreachable, one finding a site, without the sites whose loss another finding
/// reports.
pub(super) fn find(snapshot: &MemorySnapshot, known: &[Leak], options: &LeakOptions) -> Vec<Leak> {
    let Some(graph) = snapshot.heap_graph() else { return Vec::new() };
    let known: HashMap<&str, Option<&str>> = known
        .iter()
        .filter(|leak| leak.cause.is_unreachable())
        .map(|leak| (&*leak.place.name, leak.allocated_at.as_deref()))
        .collect();
    // What tasks made before they had a name is of the code that a finding names.
    let is_known = |site: &str, lost: &Lost| {
        let is_of = |finding: Option<&str>| match (Code::of(&lost.stack), finding) {
            (Some(code), Some(finding)) => code.is_of(finding),
            _ => known.len() == 1,
        };
        known.contains_key(site) || site == UNNAMED && known.values().copied().any(is_of)
    };
    let mut sites: BTreeMap<&str, Lost> = BTreeMap::new();
    for kind in &graph.unreachable {
        let lost = sites.entry(kind.site.as_deref().unwrap_or(OUTSIDE)).or_default();
        lost.bytes = lost.bytes.saturating_add(kind.bytes);
        lost.blocks = lost.blocks.saturating_add(kind.blocks);
        if kind.in_cycle {
            lost.of_cycles = lost.of_cycles.saturating_add(kind.bytes);
        }
        if lost.stack.is_empty() {
            lost.stack.clone_from(&kind.stack);
        }
    }
    let whole = snapshot.process().whole_bytes;
    let is_new =
        |(site, lost): &(&str, Lost)| lost.bytes >= options.least_growth && !is_known(site, lost);
    let finding = |(site, lost): (&str, Lost)| {
        let row = snapshot.sites().iter().find(|row| row.name == site);
        let place =
            row.map_or_else(|| Place { name: cell(site, 100), file: "".into(), line: 0 }, place_of);
        let is_in_cycles = lost.of_cycles >= lost.bytes / 2;
        let cause = if is_in_cycles { LeakCause::Cycle } else { LeakCause::Lost };
        let code = Code::of(&lost.stack).map(|code| Share::of(code, lost.bytes, 1));
        Leak {
            severity: Severity::of(lost.bytes, whole, None),
            bytes: lost.bytes,
            cause,
            known_by: KnownBy::HeapGraph,
            held_by: Some("nothing".to_owned()),
            allocated_at: code.map(|code| format!("{code}, by 1 sample")),
            evidence: format!(
                "In the graph of the heap nothing leads to {}, {} of them in cycles.",
                several(lost.blocks, "block", "blocks"),
                HumanBytes(lost.of_cycles),
            ),
            fix: Case { cause, ..Case::default() }.cure().unwrap_or_default(),
            ..Leak::at(LeakKind::Lost, place)
        }
    };
    sites.into_iter().filter(is_new).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::{
        Certainty,
        fixture::{site, snapshot},
    };

    #[test]
    fn what_was_made_before_the_task_had_a_name_is_of_the_finding_with_its_code() {
        let frames = |function: &str| json!([{ "function": function }]);
        let lost = |site: &str, function: &str| json!({ "bytes": 90 << 10, "blocks": 2, "in_cycle": true, "site": site, "stack": frames(function) });
        let graph = |other: serde_json::Value| {
            json!({
                "pause_ns": 1, "taken_ns": 2, "blocks": 9, "bytes": 1 << 20, "roots": [],
                "unreachable": [other],
            })
        };
        let place = Place { name: "session".to_owned(), file: "".into(), line: 0 };
        let known = Leak {
            cause: LeakCause::Cycle,
            allocated_at: Some("`app::session`, by 9 samples".to_owned()),
            ..Leak::at(LeakKind::Retained, place)
        };
        for (site, function, count) in [
            ("(unannotated)", "app::session", 0),
            ("(unannotated)", "app::login", 1),
            ("login", "app::session", 1),
            ("session", "app::login", 0),
        ] {
            let snapshot = snapshot(&json!({ "heap_graph": graph(lost(site, function)) }));
            let found = find(&snapshot, std::slice::from_ref(&known), &LeakOptions::new());
            assert_eq!(found.len(), count, "{site} {function}");
        }
    }

    #[test]
    fn what_nothing_leads_to_is_one_certain_finding_a_site() {
        let lost = |site: Option<&str>, bytes: u64, in_cycle: bool| json!({ "bytes": bytes, "blocks": 2, "in_cycle": in_cycle, "site": site });
        let unreachable = [
            lost(Some("session"), 60 << 10, true),
            lost(Some("session"), 50 << 10, true),
            lost(None, 80 << 10, false),
            lost(Some("small"), 8 << 10, false),
        ];
        let graph = json!({
            "pause_ns": 1, "taken_ns": 2, "blocks": 9, "bytes": 1 << 20, "roots": [], "unreachable": unreachable,
        });
        let leaks =
            snapshot(&json!({ "sites": [site("session", &json!({}))], "heap_graph": graph }))
                .leaks();
        let [session, outside] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!((session.bytes, session.cause), (110 << 10, LeakCause::Cycle));
        assert_eq!(session.place.line, 7, "the place of its row");
        assert_eq!((outside.bytes, outside.cause), (80 << 10, LeakCause::Lost));
        assert_eq!(outside.place.name, OUTSIDE);
        for leak in &leaks {
            assert_eq!((leak.kind, leak.certainty), (LeakKind::Lost, Certainty::Certain));
        }
        assert!(session.fix.contains("`Weak`") && outside.fix.contains("mem::forget"), "{leaks}");
    }
}
