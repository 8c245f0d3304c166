//! What holds the bytes of a finding, by the graph of the heap.

use std::collections::HashMap;

use super::wording::{place, several};
use crate::model::{HeapGraph, HeldBy, HumanBytes, RootKind, human::cell};

/// What holds most of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Roots of one kind and name.
    By {
        kind: RootKind,
        name: String,
        place: Option<String>,
        roots: u64,
        bytes: u64,
        /// The variable of the tasks, and where it is declared, if all of them have the same one.
        variable: Option<(String, Option<String>)>,
    },
    /// Nothing does: they are lost.
    Nothing { bytes: u64, is_in_cycles: bool },
}

impl Held {
    /// What holds at least this many bytes that the tasks of a site have made; `None`: those that
    /// no task has. Returns `None` if nothing holds as much, or several roots hold it together.
    pub(super) fn of(graph: &HeapGraph, site: Option<&str>, least: u64) -> Option<Self> {
        Self::nothing(graph, site).filter(|it| it.bytes() >= least).or_else(|| {
            let roots = Self::roots(graph, |it| it == site);
            roots.max_by_key(Self::bytes).filter(|it| it.bytes() >= least)
        })
    }

    /// What holds at least this many bytes, those of a block among them that a task of one of these
    /// sites has made.
    pub(super) fn of_sites(graph: &HeapGraph, sites: &[&str], least: u64) -> Option<Self> {
        let roots = Self::roots(graph, |site| site.is_some_and(|site| sites.contains(&site)));
        roots.max_by_key(Self::bytes).filter(|it| it.bytes() >= least)
    }

    fn nothing(graph: &HeapGraph, site: Option<&str>) -> Option<Self> {
        let (mut bytes, mut of_cycles) = (0_u64, 0_u64);
        for lost in graph.unreachable.iter().filter(|it| it.site.as_deref() == site) {
            bytes = bytes.saturating_add(lost.bytes);
            if lost.in_cycle {
                of_cycles = of_cycles.saturating_add(lost.bytes);
            }
        }
        (bytes != 0).then_some(Self::Nothing { bytes, is_in_cycles: of_cycles >= bytes / 2 })
    }

    /// The roots that hold blocks of a site, those of one kind and name together.
    fn roots(
        graph: &HeapGraph,
        is_of: impl Fn(Option<&str>) -> bool,
    ) -> impl Iterator<Item = Self> {
        struct Group<'g> {
            roots: u64,
            bytes: u64,
            first: &'g HeldBy,
            has_one_variable: bool,
        }
        let mut groups: HashMap<(RootKind, &str), Group<'_>> = HashMap::new();
        for root in &graph.roots {
            let steps = root.largest.iter().filter(|step| is_of(step.site.as_deref()));
            let Some(bytes) = steps.map(|step| step.retained_bytes).max() else { continue };
            let new = Group { roots: 0, bytes: 0, first: root, has_one_variable: true };
            let group = groups.entry((root.kind, &root.name)).or_insert(new);
            group.roots += 1;
            group.bytes = group.bytes.saturating_add(bytes.min(root.retained_bytes));
            group.has_one_variable &=
                root.variable == group.first.variable && root.place() == group.first.place();
        }
        groups.into_iter().map(|((kind, name), group)| {
            let root = group.first;
            let variable = root.variable.as_deref().filter(|_| group.has_one_variable);
            let declared = || Some(place(root.variable_file.as_deref()?, root.variable_line));
            Self::By {
                kind,
                name: cell(name, 60),
                place: root.file.as_ref().map(|file| place(file, root.line)),
                roots: group.roots,
                bytes: group.bytes,
                variable: variable.map(|it| (cell(it, 60), declared())),
            }
        })
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::By { bytes, .. } | Self::Nothing { bytes, .. } => *bytes,
        }
    }

    /// The variable of the program that holds them.
    pub(super) fn variable(&self) -> Option<&str> {
        match self {
            Self::By { kind: RootKind::Static | RootKind::ThreadLocal, name, .. } => Some(name),
            _ => None,
        }
    }

    /// The name of the tasks that hold them, and how many these are.
    pub(super) fn tasks(&self) -> Option<(&str, u64)> {
        match self {
            Self::By { kind: RootKind::Task, name, roots, .. } => Some((name, *roots)),
            _ => None,
        }
    }

    /// ``the static `HANDLES` (src/state.rs:12)``; ``134 tasks of `session` ``; `nothing`.
    pub(super) fn words(&self) -> String {
        let Self::By { kind, name, place, roots, variable, .. } = self else {
            return "nothing".to_owned();
        };
        let within = |place: &Option<String>| {
            place.as_ref().map_or_else(String::new, |place| format!(" ({place})"))
        };
        let at = within(place);
        match kind {
            RootKind::Static => format!("the static `{name}`{at}"),
            RootKind::ThreadLocal => format!("the thread-local `{name}`{at}"),
            RootKind::Task => {
                let tasks = several(*roots, "task", "tasks");
                let by = variable.as_ref().map_or_else(String::new, |(variable, declared)| {
                    let whose = if *roots == 1 { "its" } else { "their" };
                    format!(", in {whose} variable `{variable}`{}", within(declared))
                });
                format!("{tasks} of `{name}`{at}{by}")
            }
            RootKind::Stack => format!("the {name}"),
            RootKind::Runtime => "Tokio's runtime".to_owned(),
            RootKind::Other => name.clone(),
        }
    }

    /// What a finding says beside [`sentence`](Self::sentence), which is at its end.
    pub(super) fn without_sentence(evidence: &str) -> &str {
        evidence.split(" In the graph of the heap ").next().unwrap_or_default()
    }

    /// What a finding says of it, as a sentence.
    pub(super) fn sentence(&self) -> String {
        let bytes = HumanBytes(self.bytes());
        match self {
            Self::By { .. } => {
                format!("In the graph of the heap {bytes} are held by {}.", self.words())
            }
            Self::Nothing { is_in_cycles: true, .. } => format!(
                "In the graph of the heap nothing leads to {bytes} of such blocks any more: they are in cycles that hold each other."
            ),
            Self::Nothing { is_in_cycles: false, .. } => {
                format!(
                    "In the graph of the heap nothing leads to {bytes} of such blocks any more."
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn graph(roots: &serde_json::Value, unreachable: &serde_json::Value) -> HeapGraph {
        let graph = json!({
            "pause_ns": 1, "taken_ns": 2, "blocks": 3, "bytes": 1000, "roots": roots, "unreachable": unreachable,
        });
        serde_json::from_value(graph).expect("a graph")
    }

    fn root(kind: &str, name: &str, site: &str, bytes: u64) -> serde_json::Value {
        json!({
            "name": name, "kind": kind, "retained_bytes": bytes, "largest": [
                { "blocks": 1, "own_bytes": 8, "retained_bytes": bytes },
                { "blocks": 9, "own_bytes": bytes - 8, "retained_bytes": bytes - 8, "site": site },
            ],
        })
    }

    #[test]
    fn the_root_that_leads_to_half_of_the_bytes_holds_them() {
        let mut of_list = root("static", "app::HANDLES", "job", 600);
        of_list["file"] = json!("src/state.rs");
        of_list["line"] = json!(12);
        let graph = graph(&json!([of_list, root("static", "app::OTHER", "else", 900)]), &json!([]));
        let held = Held::of(&graph, Some("job"), 500).expect("held");
        assert_eq!(held.words(), "the static `app::HANDLES` (src/state.rs:12)");
        assert_eq!((held.variable(), held.bytes()), (Some("app::HANDLES"), 592));
        assert_eq!(Held::of(&graph, Some("job"), 600), None, "less than half");
        assert_eq!(Held::of(&graph, Some("query"), 5), None, "another site's");
    }

    #[test]
    fn tasks_of_one_name_hold_their_bytes_together() {
        let tasks: Vec<_> = (0..10).map(|_| root("task", "session", "accept", 108)).collect();
        let held = Held::of(&graph(&json!(tasks), &json!([])), Some("accept"), 500);
        let held = held.expect("held");
        assert_eq!((held.words().as_str(), held.bytes()), ("10 tasks of `session`", 1000));
        assert_eq!((held.tasks(), held.variable()), (Some(("session", 10)), None));
    }

    #[test]
    fn the_variable_that_all_tasks_have_is_named() {
        let with = |variable: &str| {
            let mut task = root("task", "session", "accept", 108);
            task["variable"] = json!(variable);
            task["variable_file"] = json!("src/app.rs");
            task["variable_line"] = json!(31);
            task
        };
        let of = |tasks: &[serde_json::Value]| {
            let graph = graph(&json!(tasks), &json!([]));
            Held::of(&graph, Some("accept"), 50).expect("held").words()
        };
        assert_eq!(
            of(&[with("frames"), with("frames")]),
            "2 tasks of `session`, in their variable `frames` (src/app.rs:31)"
        );
        assert_eq!(
            of(&[with("frames")]),
            "1 task of `session`, in its variable `frames` (src/app.rs:31)"
        );
        assert_eq!(of(&[with("frames"), with("other")]), "2 tasks of `session`");
        assert_eq!(
            of(&[with("frames"), root("task", "session", "accept", 108)]),
            "2 tasks of `session`"
        );
    }

    #[test]
    fn what_nothing_reaches_is_lost_and_cycles_are_told_apart() {
        let lost = |bytes: u64, in_cycle: bool| json!({ "bytes": bytes, "blocks": 2, "in_cycle": in_cycle, "site": "session" });
        let of = |lost: serde_json::Value| Held::of(&graph(&json!([]), &lost), Some("session"), 50);
        let cycles = of(json!([lost(40, true), lost(30, false)]));
        assert_eq!(cycles, Some(Held::Nothing { bytes: 70, is_in_cycles: true }));
        let lost_blocks = of(json!([lost(20, true), lost(60, false)]));
        assert_eq!(lost_blocks, Some(Held::Nothing { bytes: 80, is_in_cycles: false }));
        assert_eq!(of(json!([lost(49, false)])), None);
    }
}
