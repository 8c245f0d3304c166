//! Tasks above their budgets: one finding a site and budget.

use super::{
    Leak, LeakKind,
    evidence::Evidence,
    wording::{allocated_at, several},
};
use crate::{
    model::{HumanBytes, OverBudgetTask, Place},
    primitives::{order, reserve},
    snapshot::MemorySnapshot,
};

pub(super) fn find(snapshot: &MemorySnapshot) -> Vec<Leak> {
    let mut tasks: Vec<&OverBudgetTask> = snapshot.over_budget().iter().collect();
    let key = |it: &OverBudgetTask| (it.place.clone(), it.budget_bytes);
    // The largest of each site first.
    order::by(&mut tasks, |a, b| key(a).cmp(&key(b)).then_with(|| b.live_bytes.cmp(&a.live_bytes)));
    if tasks.is_empty() {
        return Vec::new();
    }
    let evidence = Evidence::of(snapshot);
    let groups = tasks.chunk_by(|a, b| key(a) == key(b));
    reserve::rows(groups, |group| group.first().map(|largest| finding(&evidence, largest, group)))
}

fn finding(evidence: &Evidence<'_>, largest: &OverBudgetTask, group: &[&OverBudgetTask]) -> Leak {
    let unknown = Place { name: "(other tasks)".to_owned(), file: "".into(), line: 0 };
    let place = largest.place.clone().unwrap_or(unknown);
    let tasks = several(group.len() as u64, "task", "tasks");
    let was = if group.len() == 1 { "was" } else { "were" };
    let [live, budget] = [largest.live_bytes, largest.budget_bytes].map(HumanBytes);
    let variables = evidence.variables_of(&[largest.task]).into_iter();
    let clue = evidence.clue_of_tasks(&[largest.task], None);
    Leak {
        task: Some(largest.task),
        bytes: largest.live_bytes,
        count: group.len() as u64,
        variables: variables.map(|(name, _)| name).collect(),
        allocated_at: clue.as_ref().and_then(allocated_at),
        evidence: format!(
            "{tasks} {was} above the budget of {budget} at the end of a poll; the largest (#{}) held {live}.",
            largest.task
        ),
        fix: "work on smaller pieces, or stream them; if the task needs as much, raise its budget"
            .to_owned(),
        ..Leak::at(LeakKind::OverBudget, place)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::analysis::fixture::{place, site, snapshot, variable};

    #[test]
    fn a_site_has_one_finding_with_its_largest_task() {
        let row = |task: u64, name: &str, live: u64| json!({ "task": task, "place": place(name), "live_bytes": live, "budget_bytes": 1 << 20, "at_ns": 5 });
        let rows =
            [row(1, "export", 3 << 20), row(2, "import", 2 << 20), row(3, "export", 5 << 20)];
        let stack = json!({
            "frames": [{ "function": "app::load" }], "site": 0, "task": 3, "live_bytes": 4 << 20,
            "live_samples": 2,
        });
        let rows = json!({
            "over_budget": rows, "variables": [variable("rows", 3, &json!({}))],
            "sites": [site("export", &json!({}))], "stacks": [stack],
        });
        let leaks = snapshot(&rows).leaks();
        let findings = leaks.findings();
        assert_eq!(findings.len(), 2);
        let export = &findings[0];
        assert_eq!((export.count, export.bytes), (2, 5 << 20));
        let shown = export.to_string();
        let expected = "\
low     budget    export (src/export.rs:7): 5.0 MiB in the largest of 2 tasks
        2 tasks were above the budget of 1.0 MiB at the end of a poll; the largest (#3) held 5.0 MiB. Allocated at `app::load`, by 2 samples. In it: `rows`.
        fix: work on smaller pieces, or stream them; if the task needs as much, raise its budget
        how sure: certain: counted at the end of a poll";
        assert_eq!(shown, expected, "\n{shown}");
    }
}
