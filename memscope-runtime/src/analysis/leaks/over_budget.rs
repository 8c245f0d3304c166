//! Tasks above their budgets: one finding a site and budget.

use super::{Leak, LeakKind, wording::several};
use crate::{
    model::{HumanBytes, OverBudgetTask, Place},
    primitives::{order, reserve},
    snapshot::MemorySnapshot,
};

/// The most variables that a finding names.
const MOST_NAMES: usize = 5;

pub(super) fn find(snapshot: &MemorySnapshot) -> Vec<Leak> {
    let mut tasks: Vec<&OverBudgetTask> = snapshot.over_budget().iter().collect();
    let key = |it: &OverBudgetTask| (it.place.clone(), it.budget_bytes);
    // The largest of each site first.
    order::by(&mut tasks, |a, b| key(a).cmp(&key(b)).then_with(|| b.live_bytes.cmp(&a.live_bytes)));
    let groups = tasks.chunk_by(|a, b| key(a) == key(b));
    reserve::rows(groups, |group| group.first().map(|largest| finding(snapshot, largest, group)))
}

fn finding(snapshot: &MemorySnapshot, largest: &OverBudgetTask, group: &[&OverBudgetTask]) -> Leak {
    let unknown = Place { name: "(other tasks)".to_owned(), file: "".into(), line: 0 };
    let place = largest.place.clone().unwrap_or(unknown);
    let tasks = several(group.len() as u64, "task", "tasks");
    let was = if group.len() == 1 { "was" } else { "were" };
    let [live, budget] = [largest.live_bytes, largest.budget_bytes].map(HumanBytes);
    let of_task = snapshot.variables().iter().filter(|it| it.live && it.task == Some(largest.task));
    Leak {
        task: Some(largest.task),
        bytes: largest.live_bytes,
        count: group.len() as u64,
        variables: of_task.take(MOST_NAMES).map(|variable| variable.name.clone()).collect(),
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

    use super::*;
    use crate::analysis::fixture::{place, snapshot, variable};

    #[test]
    fn a_site_has_one_finding_with_its_largest_task() {
        let row = |task: u64, name: &str, live: u64| json!({ "task": task, "place": place(name), "live_bytes": live, "budget_bytes": 1 << 20, "at_ns": 5 });
        let rows =
            [row(1, "export", 3 << 20), row(2, "import", 2 << 20), row(3, "export", 5 << 20)];
        let rows = json!({ "over_budget": rows, "variables": [variable("rows", 3, &json!({}))] });
        let findings = find(&snapshot(&rows));
        assert_eq!(findings.len(), 2);
        let export = &findings[0];
        assert_eq!((export.count, export.bytes), (2, 5 << 20));
        let shown = export.to_string();
        let expected = "\
low     budget    export (src/export.rs:7): 5.0 MiB in the largest of 2 tasks
        2 tasks were above the budget of 1.0 MiB at the end of a poll; the largest (#3) held 5.0 MiB. In it: `rows`.
        fix: work on smaller pieces, or stream them; if the task needs as much, raise its budget";
        assert_eq!(shown, expected, "\n{shown}");
    }
}
