//! A report of chosen rows: the totals are those of the whole.

use std::fmt;

use crate::{
    alloc::own_work,
    snapshot::{
        MemorySnapshot,
        ranking::Ranking,
        select::{Hidden, select},
    },
};

/// The rows of a snapshot that a reader asks for, in the order that they ask for.
///
/// `Display` prints it like the snapshot; `{:#}` prints every row that is left.
#[derive(Debug)]
pub struct Selected<'s> {
    whole: &'s MemorySnapshot,
    rows: MemorySnapshot,
    ranking: Ranking,
    hidden: Hidden,
}

impl<'s> Selected<'s> {
    /// Chooses rows of a snapshot, as `select` does.
    pub fn new(
        whole: &'s MemorySnapshot,
        ranking: Option<Ranking>,
        is_match: impl Fn(&str) -> bool,
    ) -> Self {
        let (rows, hidden) = select(whole, ranking, is_match);
        Self { whole, rows, ranking: ranking.unwrap_or_default(), hidden }
    }

    /// The snapshot with these rows alone.
    pub fn rows(&self) -> &MemorySnapshot {
        &self.rows
    }

    /// How many rows are hidden.
    pub fn hidden(&self) -> &Hidden {
        &self.hidden
    }
}

impl fmt::Display for Selected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _work = own_work::work();
        self.whole.totals(f)?;
        writeln!(f)?;
        self.rows.tables(f, self.ranking)?;
        self.whole.verdict(f)?;
        self.whole.own_line(f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::fixture;

    fn snapshot() -> MemorySnapshot {
        let site = |name: &str, figures: [u64; 4]| {
            let [live, peak, allocated, retained] = figures;
            let figures = json!({"live_bytes": live, "peak_bytes": peak,
                "allocated_bytes": allocated, "retained_bytes": retained});
            fixture::site(name, &figures)
        };
        let stack = |site: usize, live: u64, allocated: u64| {
            json!({ "frames": [{ "function": "a::b", "address": 1 }], "site": site,
                "live_bytes": live, "allocated_bytes": allocated, "live_samples": 1, "samples": 1 })
        };
        let task = |id: u64, name: &str, figures: [u64; 4], state: &str, await_point: u64| {
            let [live, peak, allocated, _] = figures;
            let figures = json!({"state": state, "live_bytes": live, "peak_bytes": peak,
                "allocated_bytes": allocated, "await_point": await_point});
            fixture::task(id, name, &figures)
        };
        let point = |function: &str| {
            json!({"frames": [{"function": function, "file": "src/app.rs", "line": 9,
                "size_bytes": 8, "locals": []}], "stops": "", "tasks": 1, "measured": true,
                "live_bytes": 8, "future_size_bytes": 8, "timed": 0, "waited_sum_ns": 0,
                "waited_p50_ns": null, "waited_p99_ns": null})
        };
        let rows = [
            ("alpha", [4000, 4100, 4200, 10], "idle"),
            ("beta", [3000, 9000, 5000, 20], "idle"),
            ("gamma", [2000, 3000, 9900, 30], "idle"),
            ("delta", [1000, 2000, 3000, 900], "completed"),
        ];
        let tasks = rows.iter().zip(0..).map(|(it, at)| task(at + 1, it.0, it.1, it.2, at % 2));
        fixture::snapshot(&json!({
            "tasks": tasks.collect::<Value>(),
            "sites": rows.iter().map(|it| site(it.0, it.1)).collect::<Value>(),
            "stacks": [stack(0, 40, 1), stack(3, 30, 2), stack(2, 20, 9)], "stacks_measured": "on",
            "await_points": [point("app::even"), point("app::odd")], "await_points_measured": "on",
        }))
    }

    /// The names in the order of the text's table.
    fn order(text: &str, head: &str) -> Vec<String> {
        let table = text.lines().skip_while(|line| !line.starts_with(head)).skip(1);
        let rows = table.take_while(|line| !line.is_empty());
        let names = ["alpha", "beta", "gamma", "delta"];
        rows.filter_map(|row| names.iter().find(|it| row.contains(**it)))
            .map(|it| (*it).to_owned())
            .collect()
    }

    #[test]
    fn each_ranking_sorts_sites_tasks_and_stacks() {
        let snapshot = snapshot();
        for (ranking, expected) in [
            (Ranking::Live, ["alpha", "beta", "gamma", "delta"]),
            (Ranking::Peak, ["beta", "alpha", "gamma", "delta"]),
            (Ranking::Allocated, ["gamma", "beta", "alpha", "delta"]),
            (Ranking::Retained, ["delta", "gamma", "beta", "alpha"]),
        ] {
            let selected = Selected::new(&snapshot, Some(ranking), |_| true);
            let text = format!("{selected:#}");
            assert_eq!(order(&text, "SITE"), expected, "{ranking:?}\n{text}");
            let sites = selected.rows().sites().iter().map(|it| &*it.name);
            assert_eq!(sites.collect::<Vec<_>>(), expected, "{ranking:?}");
            let tasks = order(&text, "TASK");
            match ranking {
                // Living tasks have retained nothing. They are in the order of what they allocated.
                Ranking::Retained => assert_eq!(tasks[0], "delta", "{text}"),
                _ => assert_eq!(tasks, expected, "{ranking:?}\n{text}"),
            }
            // Each stack still belongs to its site.
            let site = |at: usize| {
                let stack = &selected.rows().stacks()[at];
                &*selected.rows().sites()[stack.site.expect("a site")].name
            };
            let stacks = [0, 1, 2].map(site);
            match ranking {
                Ranking::Allocated => assert_eq!(stacks, ["gamma", "delta", "alpha"]),
                _ => assert_eq!(stacks, ["alpha", "delta", "gamma"]),
            }
            assert_eq!(selected.hidden().to_string(), "no row");
        }
    }

    #[test]
    fn ended_tasks_of_one_site_stand_before_living_ones_that_have_less_of_what_is_asked_for() {
        let mut value = serde_json::to_value(snapshot()).expect("JSON");
        let ended = value["tasks"][3].clone();
        let tasks = value["tasks"].as_array_mut().expect("rows");
        tasks.extend((10..20).map(|id| {
            let mut task = ended.clone();
            task["id"] = json!(id);
            task
        }));
        let snapshot: MemorySnapshot = serde_json::from_value(value).expect("a snapshot");
        let first = |ranking| {
            let text = Selected::new(&snapshot, Some(ranking), |_| true).to_string();
            order(&text, "TASK").remove(0)
        };
        assert_eq!(first(Ranking::Live), "alpha");
        assert_eq!(first(Ranking::Retained), "delta");
        assert_eq!(first(Ranking::Allocated), "delta", "33,000 of 11 tasks");
        assert_eq!(first(Ranking::Peak), "beta", "the highest peak of one task");
    }

    #[test]
    fn a_filter_hides_rows_and_leaves_totals_and_what_rows_refer_to() {
        let snapshot = snapshot();
        let selected = Selected::new(&snapshot, None, |title| title.starts_with("delta ("));
        let (text, whole) = (format!("{selected:#}"), format!("{snapshot:#}"));
        assert_eq!(text.lines().next(), whole.lines().next(), "the totals");
        assert_eq!(order(&text, "SITE"), ["delta"], "{text}");
        assert_eq!(order(&text, "TASK"), ["delta"], "{text}");
        assert!(!text.contains("alpha") && !text.contains("app::even"), "{text}");
        let rows = selected.rows();
        assert_eq!(rows.stacks()[0].site, Some(0), "the place among those that are left");
        let point = rows.await_point_of(&rows.tasks()[0]).expect("its await point");
        assert_eq!(point.frames[0].function, "app::odd");
        assert_eq!(
            selected.hidden().to_string(),
            "3 of 4 sites, 3 of 4 tasks, 2 of 3 stacks, 1 of 2 await points"
        );
        assert_eq!(rows.process(), snapshot.process());
        assert!(!selected.hidden().is_all());
        assert!(Selected::new(&snapshot, None, |_| false).hidden().is_all());
    }
}
