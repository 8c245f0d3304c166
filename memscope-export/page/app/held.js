// What holds the heap, as a tree of rows: what nothing holds, what several roots hold together, and
// each root with its way down. The rows below a row add up to it, but for a step's own blocks: what
// is beside the way is a row of others.

import { bytes, count, plural } from "./format.js";
import { giveKeys } from "./model.js";
import { lastTwo, originOf, place, split } from "./names.js";
import { sortChildren } from "./stacks.js";
import { state } from "./state.js";

const trees = new WeakMap();

// The tree of a graph, its roots grouped by `kind`, by `name`, or not at all. `byKey` has each row,
// and `isCut` says that the graph lacks small roots, as that of a report may.
function heldTree(graph, program, group) {
    if (!trees.has(graph)) trees.set(graph, new Map());
    const made = trees.get(graph);
    if (!made.has(group)) made.set(group, treeOf(graph, program, group));
    return made.get(group);
}

// That of the answer of a model, in the grouping that is looked at; null without one.
export function treeNow({ held, program }) {
    const group = GROUPS.includes(state.group) ? state.group : "";
    return held && heldTree(held.graph, program, group);
}

const GROUPS = ["kind", "name"];
const kindText = (kind) => kind.replaceAll("_", "-");

function treeOf(graph, program, group) {
    const byKey = new Map();
    const add = (parent, key, name, size, more) => {
        const row = { key, parent, name, bytes: size, place: "", ...more };
        row.children = new Map();
        row.reachable_bytes ??= null;
        row.blocks ??= null;
        parent?.children.set(key, row);
        byKey.set(key, row);
        return row;
    };
    const heap = add(null, "root:heap", "the heap", graph.bytes);
    // What a row holds beside its own blocks and the rows below it.
    const addOthers = (row, own, name = "(others)") => {
        const below = [...row.children.values()].reduce((sum, it) => sum + it.bytes, own);
        if (row.bytes > below) {
            add(row, `${row.key} › others`, name, row.bytes - below, {
                what: "Other blocks",
                kind: "blocks",
                isOthers: true,
            });
        }
    };
    // Blocks of one kind, then the next step of the way, which is held through them.
    const addStep = (parent, id, [it, ...below]) => {
        const made = `${count(it.blocks)} × ${bytes(it.own_bytes / (it.blocks || 1))}`;
        const row = add(parent, `${parent.key} › ${id}`, made, it.retained_bytes, {
            ...makerOf(it, made, program),
            what: "Blocks of one kind",
            kind: "blocks",
            blocks: it.own_bytes === it.retained_bytes ? it.blocks : null,
        });
        if (below.length) addStep(row, 0, below);
        const rest = `(held through ${it.blocks === 1 ? "it" : "them"})`;
        addOthers(row, it.own_bytes, below.length ? undefined : rest);
    };
    addNothing(graph.unreachable ?? [], heap, program, add);
    if (graph.shared_bytes) {
        const what = "Held by several roots, and by none alone";
        const blocks = graph.shared_blocks;
        const row = add(heap, "root:several", "(several roots)", graph.shared_bytes, {
            what,
            kind: "shared",
            blocks,
            isCompared: true,
        });
        graph.shared?.forEach((it, at) => addStep(row, at, [it]));
        addOthers(row, 0);
    }
    const roots = graph.roots.map((of) => ({ of }));
    giveKeys(roots, ({ of: it }) =>
        ["root:", it.kind, it.name, it.thread, `${it.file}:${it.line}`, it.task].join(" "),
    );
    const groups = groupsOf(roots, group, heap, add);
    for (const { of: it, key } of roots) {
        const parent = byKey.get(groupKey(it, group)) ?? heap;
        const note = noteOf(it);
        const row = add(parent, key, it.name + note, it.retained_bytes, {
            what: "Root",
            isCompared: true,
            of: it,
            kind: kindText(it.kind),
            task: it.task,
            short: it.name,
            note,
            place: it.variable_file
                ? place(it.variable_file, it.variable_line)
                : place(it.file, it.line),
            reachable_bytes: it.reachable_bytes,
            isLeast: it.reachable_is_whole === false,
            blocks: it.blocks,
        });
        if (!it.largest?.length) continue;
        addStep(row, 0, it.largest);
        addOthers(row, 0);
    }
    addOthers(heap, 0, "(smaller rows, left out)");
    sortChildren(heap);
    return { heap, byKey, groups, isCut: byKey.has("root:heap › others") };
}

// What tells a root from others of its name.
function noteOf({ kind, task, thread, variable }) {
    const id = task == null ? "" : ` #${task}`;
    const of = kind === "thread_local" && thread ? ` of ${thread}` : "";
    return id + of + (variable ? `, ${variable}` : "");
}

function addNothing(lost, heap, program, add) {
    if (!lost.length) return;
    const sum = (field) => lost.reduce((all, it) => all + it[field], 0);
    const isLost = true;
    const what = "Held by nothing";
    const top = add(heap, "root:nothing", "(nothing)", sum("bytes"), {
        what,
        kind: "unreachable",
        isLost,
        isCompared: true,
        blocks: sum("blocks"),
    });
    const rows = lost.map((of) => ({ of }));
    giveKeys(rows, ({ of: it }) => {
        const code = it.stack?.[0]?.function ?? "";
        return `root:nothing › ${it.in_cycle} ${it.site} ${it.task} ${code}`;
    });
    for (const { of: it, key } of rows) {
        const made = it.in_cycle
            ? plural(it.leaks ?? 0, "cycle", "cycles")
            : plural(it.leaks ?? 0, "lost block", "lost blocks");
        const kind = it.in_cycle ? "cycle" : "lost";
        const more = { what, kind, isLost, isCompared: true, blocks: it.blocks };
        add(top, key, made, it.bytes, { ...makerOf(it, made, program), ...more });
    }
}

// The site that has made blocks, else the function; its place is that of the program's own code.
function makerOf(it, made, program) {
    const frames = (it.stack ?? []).filter((frame) => frame.function);
    const isOf =
        (...origins) =>
        (frame) =>
            origins.includes(originOf(frame, program));
    const at = frames.find(isOf("own")) ?? frames.find(isOf("dep"));
    const by = it.site ? split(it.site, program)[1] : at && lastTwo(at.function);
    return {
        of: it,
        task: it.task,
        site: it.site,
        name: by ? `${made} by ${by}` : made,
        short: made,
        note: by ? ` by ${by}` : "",
        place: at ? place(at.file, at.line) || lastTwo(at.function) : "",
    };
}

const groupKey = (root, group) =>
    `root:${group} ${root.kind}${group === "name" ? ` ${root.name}` : ""}`;

// A row for the roots of one kind, or of one name if it has several. Returns the sums of all.
function groupsOf(roots, group, heap, add) {
    const sums = new Map();
    for (const { of: it } of group ? roots : []) {
        const key = groupKey(it, group);
        const sum = sums.get(key) ?? { first: it, roots: 0, bytes: 0, blocks: 0 };
        sums.set(key, sum);
        sum.roots += 1;
        sum.bytes += it.retained_bytes;
        sum.blocks += it.blocks;
    }
    for (const [key, { first, roots, bytes: size, blocks }] of sums) {
        if (group === "name" && roots === 1) continue;
        const kind = kindText(first.kind);
        const name = group === "kind" ? kind : first.name;
        const more = { short: name, note: `, ${plural(roots, "root", "roots")}`, kind, blocks };
        const what = "Roots together";
        add(heap, key, name, size, { ...more, what, isGroup: true, isCompared: true });
    }
    return sums;
}

// The bytes that the filter matches, in each row below this one.
export function markHits(row, matches, isBelow = false) {
    const isHit = isBelow || matches(textOf(row));
    let below = 0;
    for (const it of row.children.values()) below += markHits(it, matches, isHit);
    row.hit = isHit ? row.bytes : below;
    return row.hit;
}

// What the filter looks at.
export const textOf = (row) =>
    (row.text ??= [row.name, row.kind, row.place, row.site ?? ""].join(" "));

// The row that a finding means by its `held_by`, and its grouping: `the static `A` (src/a.rs:1)`,
// `9 tasks of `b``. null: no row is known.
export function heldByRow(graph, program, text) {
    if (text === "nothing") return { row: "root:nothing" };
    const kinds = [
        [/^the static `(.*?)`/, "static"],
        [/^the thread-local `(.*?)`/, "thread_local"],
        [/^[\d,]+ tasks? of `(.*?)`/, "task"],
        [/^(Tokio's) runtime$/, "runtime"],
        [/^the (stack of .*)$/, "stack"],
        [/^(.*)$/, "other"],
    ];
    const [pattern, kind] = kinds.find(([it]) => it.test(text));
    // A long name is cut there.
    const [name, isCut] = [text.match(pattern)[1].replace(/…$/, ""), text.includes("…")];
    const isMeant = (it) =>
        it.kind === kind &&
        (kind === "runtime" || it.name === name || (isCut && it.name.startsWith(name)));
    const found = graph.roots.filter(isMeant);
    if (!found.length) return null;
    if (found.length > 1) return { group: "name", row: groupKey(found[0], "name") };
    const rows = heldTree(graph, program, "").byKey.values();
    for (const row of rows) if (row.of === found[0]) return { row: row.key };
    return null;
}
