//! The lines of the tree of await points.

use super::{
    NONE, number, place, size,
    table::{Column, Table},
};
use crate::{
    analysis::leaks::age,
    model::{
        AwaitNode, AwaitPoint, HumanBytes,
        brackets::without_arguments,
        human::{cell, count, path_end},
        symbol,
    },
    snapshot::await_tree::{add, ends},
};

/// Columns for a line of the tree, so that a report has about 120.
const LINE_COLUMNS: usize = 68;
const LONG_LINE_COLUMNS: usize = 200;
const FUNCTION_COLUMNS: usize = 28;
/// Lines at a greater depth are not indented further.
const MOST_INDENTS: usize = 10;
/// The most lines of a chain without branches: its first line and its last two are shown.
const MOST_OF_CHAIN: usize = 3;
/// Stands for a time that is not measured.
const NO_TIME: &str = "-";

/// How the tree is printed.
#[derive(Debug)]
pub(super) struct Lines<'s> {
    pub(super) points: &'s [AwaitPoint],
    /// Await points from this one on are only counted.
    pub(super) most: usize,
    /// Whether all frames are shown, with their whole names.
    pub(super) is_long: bool,
    /// How many leading bytes of paths to leave out.
    pub(super) folder: usize,
}

/// A line that is printed, while the lines below it are.
struct Open {
    /// The index of the first node that is not below it.
    end: usize,
    /// How many lines stand above those below it.
    depth: usize,
    hidden: AwaitNode<'static>,
    hidden_points: u64,
}

impl Lines<'_> {
    pub(super) fn table(&self, nodes: &[AwaitNode<'_>]) -> Table {
        let mut head = vec![Column::Right("WAITS"), Column::Right("TASKS"), Column::Right("LIVE")];
        head.extend(self.is_long.then_some(Column::Right("FUTURE")));
        head.extend(["Σ WAITED", "p50", "p99"].map(Column::Right));
        head.push(Column::Left("WHERE THEY WAIT: FOR WHAT"));
        let mut table = Table::new(&head);
        let ends = ends(nodes);
        let is_shown = |at: usize| nodes[at..ends[at]].iter().any(|it| self.shows(it));
        let mut open: Vec<Open> = Vec::new();
        let mut at = 0;
        while at < nodes.len() {
            while let Some(over) = open.pop_if(|it| it.end <= at) {
                self.close(&over, &mut table);
            }
            if !is_shown(at) {
                if let Some(above) = open.last_mut() {
                    above.hide(&nodes[at..ends[at]], self.points);
                }
                at = ends[at];
                continue;
            }
            // The chain that begins here: all of its nodes have the same nodes below them.
            let is_chain = |at: &usize| at + 1 < nodes.len() && ends[at + 1] == ends[*at];
            let last = (at..nodes.len()).find(|at| !is_chain(at)).unwrap_or(at);
            let is_folded = !self.is_long && last + 1 - at > MOST_OF_CHAIN;
            let mut depth = open.last().map_or(0, |it| it.depth);
            for (place, node) in (at..).zip(&nodes[at..=last]) {
                let folded = last.saturating_sub(at + MOST_OF_CHAIN - 1);
                if is_folded && place != at && place + 1 < last {
                    continue;
                }
                let folded = if is_folded && place + 1 == last { folded } else { 0 };
                self.push(node, depth, folded, &mut table);
                depth += 1;
            }
            let hidden = AwaitNode { measured: true, ..AwaitNode::default() };
            open.push(Open { end: ends[last], depth, hidden, hidden_points: 0 });
            at = last + 1;
        }
        while let Some(over) = open.pop() {
            self.close(&over, &mut table);
        }
        table
    }

    fn shows(&self, node: &AwaitNode<'_>) -> bool {
        node.point.is_some_and(|point| point < self.most)
    }

    /// Prints what is left out below a line.
    fn close(&self, over: &Open, table: &mut Table) {
        if over.hidden_points != 0 {
            let line = format!("… and {} more", count(over.hidden_points));
            self.row(&over.hidden, &indented(over.depth, &line), table);
        }
    }

    fn push(&self, node: &AwaitNode<'_>, depth: usize, folded: usize, table: &mut Table) {
        let mut line = match folded {
            0 => String::new(),
            folded => format!("… {} more → ", count(folded as u64)),
        };
        line.push_str(&self.name(node));
        if let Some(point) = node.point.and_then(|at| self.points.get(at)) {
            let stops = if self.is_long { point.stops.clone() } else { waits_for(&point.stops) };
            line = format!("{line}: {}", cell(&stops, LONG_LINE_COLUMNS));
        }
        self.row(node, &indented(depth, &line), table);
    }

    /// The function and its place.
    fn name(&self, node: &AwaitNode<'_>) -> String {
        let (function, place) = if self.is_long {
            let place = path_end(&format!("{}:{}", node.file, node.line), LONG_LINE_COLUMNS);
            (cell(node.function, LONG_LINE_COLUMNS), place)
        } else {
            let place = place(node.file, node.line, self.folder);
            (path_end(&function_end(node.function), FUNCTION_COLUMNS), place)
        };
        match (node.function.is_empty(), node.file.is_empty()) {
            (true, true) => "(not known)".to_owned(),
            (true, false) => place,
            (false, true) => function,
            (false, false) => format!("{function} ({place})"),
        }
    }

    fn row(&self, node: &AwaitNode<'_>, line: &str, table: &mut Table) {
        let time = |ns: Option<u64>| ns.map_or_else(|| NO_TIME.to_owned(), age);
        let point = node.point.map_or_else(String::new, |point| format!("@{point}"));
        let mut row = vec![point, number(node.tasks), size(node.measured, node.live_bytes)];
        row.extend(self.is_long.then(|| match node.future_size_bytes {
            0 => NONE.to_owned(),
            bytes => HumanBytes(bytes).to_string(),
        }));
        row.push(time((node.timed != 0).then_some(node.waited_sum_ns)));
        row.extend([node.waited_p50_ns, node.waited_p99_ns].map(time));
        let columns = if self.is_long { LONG_LINE_COLUMNS } else { LINE_COLUMNS };
        row.push(cell(line, columns));
        table.push(row);
    }
}

impl Open {
    fn hide(&mut self, nodes: &[AwaitNode<'_>], points: &[AwaitPoint]) {
        for point in nodes.iter().filter_map(|node| points.get(node.point?)) {
            self.hidden_points += 1;
            add(&mut self.hidden, point);
        }
    }
}

fn indented(depth: usize, line: &str) -> String {
    let indent = 2 * depth.min(MOST_INDENTS);
    if depth > MOST_INDENTS {
        return format!("{:indent$}({depth} further in) {line}", "");
    }
    format!("{:indent$}{line}", "")
}

/// The last word of a function's path, after its type: `Pool::acquire`, `serve`.
fn function_end(function: &str) -> String {
    let short = symbol::short(function);
    let mut words = short.rsplit("::");
    let (last, above) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_type = above.starts_with(char::is_uppercase);
    if is_type { format!("{above}::{last}") } else { last.to_owned() }
}

/// What is waited for, by the last two words of its path.
fn waits_for(stops: &str) -> String {
    let Some(waits_for) = stops.strip_prefix("waits for ") else { return stops.to_owned() };
    let (path, rest) = waits_for.split_at(waits_for.find([' ', ';']).unwrap_or(waits_for.len()));
    if path.contains('<') {
        return without_arguments(waits_for);
    }
    let from = path.rmatch_indices("::").nth(1).map_or(0, |(at, _)| at + 2);
    format!("{}{rest}", &path[from..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        analysis::fixture,
        model::{TaskMemoryProfile, text::width},
        snapshot::MemorySnapshot,
    };

    const LIBRARY: &str = "/home/me/.cargo/registry/src/x/tokio-1.0.0/src/sync/semaphore.rs";

    fn frame(function: &str, line: u64) -> Value {
        let library = function.starts_with("tokio");
        let file = if library { LIBRARY } else { "src/app.rs" };
        json!({ "function": function, "file": file, "line": line, "size_bytes": 8, "locals": [] })
    }

    /// A snapshot with tasks at each chain: their bytes, and how many seconds each has waited.
    fn snapshot(chains: &[(&[Value], u64, &[u64])]) -> MemorySnapshot {
        let (mut points, mut tasks) = (Vec::new(), Vec::new());
        for (frames, bytes, seconds) in chains {
            let mut waited: Vec<u64> = seconds.iter().map(|it| it * 1_000_000_000).collect();
            for ns in &waited {
                let facts = json!({ "idle_ns": ns, "await_point": points.len(), "live_bytes": 0 });
                tasks.push(fixture::task(1 + tasks.len() as u64, "task", &facts));
            }
            let sum: u64 = waited.iter().sum();
            let [p50, p99] = crate::model::p50_and_p99(&mut waited);
            points.push(json!({
                "frames": frames, "stops": "waits for tokio::sync::batch_semaphore::Acquire",
                "tasks": waited.len(), "measured": true, "live_bytes": bytes,
                "future_size_bytes": 64, "timed": waited.len(), "waited_sum_ns": sum,
                "waited_p50_ns": p50, "waited_p99_ns": p99,
            }));
        }
        fixture::snapshot(&json!({
            "tasks": tasks, "await_points": points, "await_points_measured": "on",
        }))
    }

    /// The section of the report, without its first line.
    fn section(text: &str) -> String {
        let lines = text.lines().skip_while(|line| *line != "where tasks wait").skip(1);
        lines.take_while(|line| !line.is_empty()).fold(String::new(), |all, line| all + line + "\n")
    }

    #[test]
    fn chains_that_begin_alike_stand_below_what_they_share() {
        let handler = || frame("app::handler::{async block#0}", 54);
        let snapshot = snapshot(&[
            (
                &[handler(), frame("app::Pool<T>::acquire", 43), frame("tokio::a", 7)],
                5_000,
                &[2, 4],
            ),
            (&[frame("app::other", 9), frame("app::inner", 10)], 2_000, &[]),
            (&[handler(), frame("app::query", 44)], 1_000, &[8]),
        ]);
        assert_eq!(
            section(&snapshot.to_string()),
            "\
WAITS  TASKS     LIVE  Σ WAITED  p50  p99  WHERE THEY WAIT: FOR WHAT
           3  5.9 KiB      14 s  4 s  8 s  handler (app.rs:54)
   @0      2  4.9 KiB       6 s  2 s  4 s    Pool::acquire (app.rs:43): batch_semaphore::Acquire
   @2      1   1000 B       8 s  8 s  8 s    query (app.rs:44): batch_semaphore::Acquire
           ·  2.0 KiB         -    -    -  other (app.rs:9)
   @1      ·  2.0 KiB         -    -    -    inner (app.rs:10): batch_semaphore::Acquire
… and 1 library frame between these lines and at their ends
"
        );
        let long = section(&format!("{snapshot:#}"));
        for line in [
            "           2  4.9 KiB    64 B       6 s  2 s  4 s    app::Pool<T>::acquire (src/app.rs:43)\n",
            "   @0      2  4.9 KiB    64 B       6 s  2 s  4 s      tokio::a (/home/me/.cargo/registry/src/x/tokio-1.0.0/src/sync/semaphore.rs:7): waits for tokio::sync::batch_semaphore::Acquire\n",
        ] {
            assert!(long.contains(line), "{line}\n{long}");
        }
    }

    #[test]
    fn percentiles_of_a_line_above_are_of_its_tasks_or_a_dash_if_some_have_no_row() {
        let shared = || frame("app::shared", 1);
        let whole = snapshot(&[
            (&[shared(), frame("app::a", 2)], 2, &[1, 2, 3]),
            (&[shared(), frame("app::b", 3)], 1, &[100]),
        ]);
        let of = |snapshot: &MemorySnapshot| {
            let tree = snapshot.await_tree();
            let second = |ns: Option<u64>| ns.map(|ns| ns / 1_000_000_000);
            tree.iter()
                .map(|it| [it.waited_p50_ns, it.waited_p99_ns].map(second))
                .collect::<Vec<_>>()
        };
        let (a, b) = ([Some(2), Some(3)], [Some(100); 2]);
        assert_eq!(of(&whole), [[Some(2), Some(100)], a, b]);
        let mut json = serde_json::to_value(&whole).expect("JSON");
        json["tasks"].as_array_mut().expect("rows").pop();
        let part: MemorySnapshot = serde_json::from_value(json).expect("a snapshot");
        assert_eq!(of(&part), [[None, None], a, b]);
    }

    #[test]
    fn the_middle_of_a_long_chain_is_counted() {
        let chain: Vec<Value> = (1..=90).map(|line| frame("app::step", line)).collect();
        let text = section(&snapshot(&[(&chain, 5, &[1])]).to_string());
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].ends_with("  step (app.rs:1)"), "{text}");
        assert!(lines[1].ends_with("  … 87 more → step (app.rs:89)"), "{text}");
        assert!(lines[2].ends_with("    step (app.rs:90): batch_semaphore::Acquire"), "{text}");
        let long = section(&format!("{:#}", snapshot(&[(&chain, 5, &[1])])));
        assert!(long.contains("(79 further in) app::step (src/app.rs:80)\n"), "{long}");
    }

    #[test]
    fn of_many_points_the_largest_are_shown_and_the_others_counted() {
        let chains: Vec<Vec<Value>> = (0..500)
            .map(|at| vec![frame("app::main", at % 5), frame("app::f", 7), frame("app::g", at)])
            .collect();
        let chains: Vec<(&[Value], u64, &[u64])> =
            chains.iter().map(|frames| (&**frames, 1_024, &[1_u64][..])).collect();
        let text = section(&snapshot(&chains).to_string());
        assert!(text.lines().count() < 100, "{text}");
        assert_eq!(text.matches('@').count(), crate::output::text::MOST_ROWS);
        let hidden = "         96   96.0 KiB      96 s        -        -      … and 96 more\n";
        assert_eq!(text.matches(hidden).count(), 5, "{text}");
        assert!(text.contains("… and 480 more await points (all of them with `{:#}`)"), "{text}");
    }

    /// Chains of some of the same frames.
    fn chains() -> impl Strategy<Value = Vec<(Vec<Value>, u64, Vec<u64>)>> {
        let name = prop_oneof![
            "[a-c]".prop_map(|name| format!("app::{name}")),
            "[a-z]{0,300}",
            Just("tokio::x".to_owned()),
            any::<String>()
        ];
        let frame = (name, 0..3_u64).prop_map(|(function, line)| frame(&function, line));
        let chain = (
            prop::collection::vec(frame, 0..7),
            0..5_000_u64,
            prop::collection::vec(0..99_u64, 0..5),
        );
        prop::collection::vec(chain, 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]
        #[test]
        fn a_line_above_has_the_sum_of_what_is_below_it(chains in chains()) {
            let chains: Vec<(&[Value], u64, &[u64])> =
                chains.iter().map(|it| (&*it.0, it.1, &*it.2)).collect();
            let snapshot = snapshot(&chains);
            let (tree, points) = (snapshot.await_tree(), snapshot.await_points());
            let figures = |it: &AwaitNode<'_>| [it.tasks, it.live_bytes, it.timed, it.waited_sum_ns];
            let mut seen: Vec<usize> = Vec::new();
            for (at, node) in tree.iter().enumerate() {
                let below: Vec<_> =
                    tree[at + 1..].iter().take_while(|it| it.depth > node.depth).collect();
                if let Some(index) = node.point {
                    prop_assert!(below.is_empty());
                    seen.push(index);
                    let it = &points[index];
                    prop_assert_eq!(
                        figures(node), [it.tasks, it.live_bytes, it.timed, it.waited_sum_ns]);
                    prop_assert_eq!(
                        [node.waited_p50_ns, node.waited_p99_ns],
                        [it.waited_p50_ns, it.waited_p99_ns]);
                    prop_assert_eq!(node.depth, it.frames.len().saturating_sub(1));
                    continue;
                }
                let children = below.iter().filter(|it| it.depth == node.depth + 1);
                let sum = children.map(|it| figures(it)).fold([0; 4], |sum, it| {
                    std::array::from_fn(|at| sum[at] + it[at])
                });
                prop_assert_eq!(figures(node), sum);
                let is_below = |task: &&TaskMemoryProfile| {
                    let point = task.await_point.map(|it| it as usize);
                    below.iter().any(|it| it.point.is_some() && it.point == point)
                };
                let mut waits: Vec<u64> =
                    snapshot.tasks().iter().filter(is_below).filter_map(|it| it.idle_ns).collect();
                prop_assert_eq!(
                    [node.waited_p50_ns, node.waited_p99_ns], crate::model::p50_and_p99(&mut waits));
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..points.len()).collect::<Vec<_>>());
            let text = section(&snapshot.to_string());
            for line in text.lines().filter(|line| !line.starts_with('…')) {
                prop_assert!(width(line) <= 124, "{} {}", line, text);
            }
            prop_assert!(text.lines().count() <= 5 * crate::output::text::MOST_ROWS, "{}", text);
        }
    }
}
