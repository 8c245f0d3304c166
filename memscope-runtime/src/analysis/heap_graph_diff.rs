//! Compares two graphs of the heap: what each root holds more than before.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::changes::{Changes, Presence, change};
use crate::{
    alloc::own_work,
    model::{HeapGraph, HeldBy, RootKind, Unreachable},
    primitives::{order, reserve},
};

/// What changed from one graph of the heap to a later one. [`HeapGraph::diff`] makes it, and
/// `Display` prints it.
///
/// All changes are later minus earlier. `bytes = Σ roots.retained_bytes + shared_bytes +
/// Σ unreachable.bytes`, as rows that did not change add nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapGraphDiff {
    /// The change of the bytes in the graph.
    pub bytes: i64,
    /// The change of the number of blocks.
    pub blocks: i64,
    /// The roots that hold more or less alone, those first that hold most more. Roots with the same
    /// name, kind, thread and place are one row, as tasks of one site are.
    pub roots: Vec<RootDiff>,
    /// The change of what several roots hold, and none alone.
    pub shared_bytes: i64,
    /// The change of what no root reaches, those kinds first that grew most.
    pub unreachable: Vec<UnreachableDiff>,
    /// Rows left out because there was no memory for them.
    #[serde(default)]
    pub rows_left_out: u64,
}

/// The change of what roots of one name hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootDiff {
    /// As in [`HeldBy::name`].
    pub name: String,
    /// What kind of root it is.
    pub kind: RootKind,
    /// The thread that a stack or a thread-local belongs to.
    pub thread: Option<String>,
    /// As in [`HeldBy::file`].
    pub file: Option<String>,
    /// The line there.
    pub line: Option<u32>,
    /// Which graphs have such roots.
    pub presence: Presence,
    /// The change of the number of such roots.
    pub roots: i64,
    /// The change of the bytes that each of them holds alone, added up.
    pub retained_bytes: i64,
    /// The change of the number of these blocks.
    pub blocks: i64,
}

/// The change of one kind of unreachable blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnreachableDiff {
    /// The site whose tasks made them; `None`: no task did.
    pub site: Option<String>,
    /// Whether these are cycles, as in [`Unreachable::in_cycle`].
    pub in_cycle: bool,
    /// Which graphs have such blocks.
    pub presence: Presence,
    /// The change of their bytes.
    pub bytes: i64,
    /// The change of their number.
    pub blocks: i64,
    /// The change of the number of leaks.
    pub leaks: i64,
}

impl HeapGraph {
    /// Returns what changed since an earlier graph of the same process, taken now or read from a
    /// file: what each root gained.
    ///
    /// ```
    /// use memscope_runtime::async_memory::{HeapGraph, HeldBy};
    ///
    /// let graph = |bytes| HeapGraph {
    ///     bytes,
    ///     roots: vec![HeldBy { retained_bytes: bytes, ..HeldBy::default() }],
    ///     ..HeapGraph::default()
    /// };
    /// let diff = graph(5_000).diff(&graph(2_000));
    /// assert_eq!((diff.bytes, diff.roots[0].retained_bytes), (3_000, 3_000));
    /// println!("{diff}");
    /// ```
    #[must_use]
    #[inline]
    pub fn diff(&self, earlier: &Self) -> HeapGraphDiff {
        let work = own_work::work();
        HeapGraphDiff {
            bytes: change(self.bytes, earlier.bytes),
            blocks: change(self.blocks, earlier.blocks),
            roots: root_diffs(&self.roots, &earlier.roots),
            shared_bytes: change(self.shared_bytes, earlier.shared_bytes),
            unreachable: unreachable_diffs(&self.unreachable, &earlier.unreachable),
            rows_left_out: work.left_out(),
        }
    }
}

#[inline]
fn root_diffs(now: &[HeldBy], then: &[HeldBy]) -> Vec<RootDiff> {
    let changes = Changes::of(now.iter().map(root_row), then.iter().map(root_row));
    let mut diffs: Vec<RootDiff> = reserve::rows(
        changes,
        |((kind, name, thread, file, line), presence, [roots, retained_bytes, blocks])| {
            let text = [thread, file].into_iter().flatten();
            reserve::spend(name.len() + text.map(str::len).sum::<usize>());
            Some(RootDiff {
                name: name.to_owned(),
                kind,
                thread: thread.map(str::to_owned),
                file: file.map(str::to_owned),
                line,
                presence,
                roots,
                retained_bytes,
                blocks,
            })
        },
    );
    order::by_key(&mut diffs, |row| Reverse((row.retained_bytes, row.blocks)));
    diffs
}

type RootKey<'g> = (RootKind, &'g str, Option<&'g str>, Option<&'g str>, Option<u32>);

#[inline]
fn root_row(root: &HeldBy) -> (RootKey<'_>, [u64; 3]) {
    let HeldBy { name, kind, thread, file, line, .. } = root;
    let key = (*kind, name.as_str(), thread.as_deref(), file.as_deref(), *line);
    (key, [1, root.retained_bytes, root.blocks])
}

#[inline]
fn unreachable_diffs(now: &[Unreachable], then: &[Unreachable]) -> Vec<UnreachableDiff> {
    let row = |leak| unreachable_row(leak);
    let changes = Changes::of(now.iter().map(row), then.iter().map(row));
    let mut diffs: Vec<UnreachableDiff> =
        reserve::rows(changes, |((site, in_cycle), presence, [bytes, blocks, leaks])| {
            reserve::spend(site.map_or(0, str::len));
            let site = site.map(str::to_owned);
            Some(UnreachableDiff { site, in_cycle, presence, bytes, blocks, leaks })
        });
    order::by_key(&mut diffs, |row| Reverse((row.bytes, row.blocks)));
    diffs
}

#[inline]
fn unreachable_row(leak: &Unreachable) -> ((Option<&str>, bool), [u64; 3]) {
    ((leak.site.as_deref(), leak.in_cycle), [leak.bytes, leak.blocks, leak.leaks])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn root(kind: &str, name: &str, bytes: u64, blocks: u64) -> serde_json::Value {
        json!({ "kind": kind, "name": name, "retained_bytes": bytes, "blocks": blocks })
    }

    fn graph(roots: &[serde_json::Value], lost: &[(Option<&str>, bool, u64)]) -> HeapGraph {
        let lost: Vec<_> = lost
            .iter()
            .map(|(site, in_cycle, bytes)| {
                json!({ "site": site, "in_cycle": in_cycle, "bytes": bytes, "blocks": 1, "leaks": 1 })
            })
            .collect();
        let sum = |rows: &[serde_json::Value], field: &str| -> u64 {
            rows.iter().map(|row| row[field].as_u64().expect("a number")).sum()
        };
        let bytes = sum(roots, "retained_bytes") + sum(&lost, "bytes") + 7;
        serde_json::from_value(json!({
            "pause_ns": 1, "taken_ns": 2, "blocks": 3, "bytes": bytes, "roots": roots,
            "shared_bytes": 7, "unreachable": lost,
        }))
        .expect("a graph")
    }

    #[test]
    fn what_each_root_gained_is_a_row_and_tasks_of_one_name_are_one() {
        let before = graph(
            &[
                root("static", "app::CACHE", 1_000, 10),
                root("static", "app::SAME", 500, 5),
                root("task", "session", 100, 1),
                root("stack", "stack of main", 40, 2),
            ],
            &[(None, false, 10)],
        );
        let after = graph(
            &[
                root("static", "app::CACHE", 9_000, 90),
                root("static", "app::SAME", 500, 5),
                root("task", "session", 100, 1),
                root("task", "session", 120, 1),
                root("task", "session", 130, 1),
            ],
            &[(None, false, 10), (Some("login"), true, 4_000), (Some("login"), true, 1_000)],
        );
        let diff = after.diff(&before);
        let rows: Vec<_> = diff
            .roots
            .iter()
            .map(|it| (it.name.as_str(), it.presence, it.roots, it.retained_bytes, it.blocks))
            .collect();
        let expected = [
            ("app::CACHE", Presence::Both, 0, 8_000, 80),
            ("session", Presence::Both, 2, 250, 2),
            ("stack of main", Presence::Gone, -1, -40, -2),
        ];
        assert_eq!(rows, expected);
        let [cycles] = &diff.unreachable[..] else { panic!("{diff:?}") };
        assert_eq!((cycles.site.as_deref(), cycles.in_cycle), (Some("login"), true));
        assert_eq!((cycles.bytes, cycles.blocks, cycles.leaks), (5_000, 2, 2));
        assert_eq!(cycles.presence, Presence::New);
        let text = diff.to_string();
        let has = |words: &str| assert!(text.contains(words), "{words} in\n{text}");
        has("app::CACHE");
        has("+7.8 KiB");
        has("+4.9 KiB in +2 blocks, in +2 cycles made by login");
    }

    #[test]
    fn a_graph_that_did_not_change_has_no_rows_and_says_so() {
        let same = graph(&[root("static", "app::CACHE", 1_000, 10)], &[(None, true, 10)]);
        let diff = same.diff(&same);
        assert_eq!(diff, HeapGraphDiff::default());
        assert_eq!(diff.to_string(), "heap: the same size as before; no root holds more or less\n");
    }

    proptest! {
        #[test]
        fn changes_add_up_to_that_of_the_whole(
            before in prop::collection::vec((0..4_usize, 0..1_000_u64), 0..20),
            after in prop::collection::vec((0..4_usize, 0..1_000_u64), 0..20),
            lost in prop::collection::vec((any::<bool>(), 0..1_000_u64), 0..5),
        ) {
            let names = ["app::A", "app::B", "session", "stack of main"];
            let of = |rows: &[(usize, u64)], lost: &[(Option<&str>, bool, u64)]| {
                let rows = rows.iter().map(|(name, bytes)| root("task", names[*name], *bytes, 1));
                graph(&rows.collect::<Vec<_>>(), lost)
            };
            let lost: Vec<_> = lost.iter().map(|(cycle, bytes)| (None, *cycle, *bytes)).collect();
            let diff = of(&after, &lost).diff(&of(&before, &[]));
            let sum = diff.roots.iter().map(|row| row.retained_bytes).sum::<i64>()
                + diff.shared_bytes
                + diff.unreachable.iter().map(|row| row.bytes).sum::<i64>();
            prop_assert_eq!(diff.bytes, sum);
            let json = serde_json::to_string(&diff).expect("JSON");
            let read: HeapGraphDiff = serde_json::from_str(&json).expect("a difference");
            prop_assert_eq!(read, diff);
        }
    }
}
