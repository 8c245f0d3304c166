// What rows held at the moment that they are compared with.
//
// "Compare with now" keeps the whole model, so it is exact, but no URL can share it. A moment of
// the time line has what the process itself kept: its largest sites, tasks and stacks. What holds
// the heap is compared with the answer before.

import { clock } from "./format.js";
import { treeNow } from "./held.js";
import { bytesOf } from "./stacks.js";
import { matcher, state } from "./state.js";

let copy = null;

export function keepNow(model) {
    const at = String(Math.round(model.program.takenMs));
    // Later answers of what holds the heap do not change the copy.
    copy = { at, model: { ...model }, rows: new Map(), look: "" };
    return copy.at;
}

export const forget = () => (copy = null);
export const isExact = () => copy !== null && copy.at === state.at;
export const copied = () => copy.model;

// By how much a row's figure has changed; or `why` that is not known. `past` is the same view of
// the copy.
export function change(model, view, past, row, figure) {
    const now = figure(row);
    if (now == null) return { why: "Its figure is not known now" };
    const then = view.then
        ? view.then(row)
        : isExact()
          ? inCopy(model, past, row, figure)
          : atMoment(model, view, row);
    return then.why ? then : { bytes: now - then.bytes };
}

function inCopy(model, view, row, figure) {
    const look = ["tab", "group", "kind", "site", "focus", "hide"]
        .map((it) => state[it])
        .join("\n");
    if (copy.look !== look) {
        copy.look = look;
        copy.rows = new Map();
        keep(view.rows());
    }
    const cut = lacksRows(copy.model, view.list) || lacksRows(model, view.list);
    if (row.members) return cut ? { why: lacking } : ofGroup(view, row, figure);
    const then = copy.rows.get(row.key);
    // A sum of rows is comparable if it is of the same rows, or of all.
    if (cut && (!then || (view.parts && view.parts(row) !== view.parts(then)))) {
        return { why: lacking };
    }
    const value = then ? figure(then) : 0;
    return value == null ? { why: "Its figure was not known then" } : { bytes: value };
}

// Whether a list of a snapshot has not all rows.
const lacksRows = ({ snapshot, tool }, list) =>
    snapshot.left_out?.[list] > 0 ||
    tool.rows_left_out > 0 ||
    (list === "stacks" && tool.stacks_left_out > 0);

const lacking = "Then or now the page had the largest rows alone";

function keep(rows) {
    for (const row of rows) {
        copy.rows.set(row.key, row);
        if (row.children) keep(row.children.values());
    }
}

function ofGroup(view, group, figure) {
    const matches = matcher() ?? (() => true);
    const groupOf = view.groups[state.group];
    let sum = 0;
    for (const row of copy.rows.values()) {
        if (groupOf(row) === group.name && matches(view.search(row))) sum += figure(row) ?? 0;
    }
    return { bytes: sum };
}

function atMoment(model, view, row) {
    const atNs = (Number(state.at) - model.program.startedMs) * 1e6;
    // A moment in the URL is rounded to a millisecond.
    const pointOf = (points) => points?.findLast((point) => point.at_ns <= atNs + 1e6);
    if (row.stacks) {
        const points = row.stacks.map((stack) => pointOf(stack.points));
        if (!points.every(Boolean)) {
            return { why: "Of some of its stacks the process kept no figure of then" };
        }
        return { bytes: points.reduce((sum, it) => sum + bytesOf(it, state.kind), 0) };
    }
    const points = view.isKept ? model.trends.get(row.key) : null;
    if (!points?.length) {
        const kept = view.isKept ? "This row is" : `${view.label} are`;
        return { why: `${kept} not kept over time. Press c to compare with now` };
    }
    const at = pointOf(points);
    if (!at) return { why: "The process kept this row only later than that" };
    return { bytes: at.live_bytes };
}

// The answer that what holds the heap is compared with: the one at the time of `c`, else the one
// before this one.
export function heldBefore(held) {
    const then = isExact() ? copy.model.held : null;
    return then && then.graph !== held?.graph ? then : (held?.before ?? null);
}

// A root that is new counts from 0. Where small rows are left out, sums and missing rows are not
// known.
export function heldThen(model, row) {
    const before = heldBefore(model.held);
    if (!before) return { why: "There is no earlier answer: ask again to compare with this one" };
    if (!row.isCompared) return { why: "Ways down are not compared: they may be other ones" };
    const [now, then] = [treeNow(model), treeNow({ ...model, held: before })];
    const isOne = (tree) => !tree.byKey.has(`${row.key} (2)`) && !/ \(\d+\)$/.test(row.key);
    if (!isOne(now) || !isOne(then)) return { why: "Several rows have this name" };
    const earlier = row.isGroup ? then.groups.get(row.key) : then.byKey.get(row.key);
    const isSum = row.isGroup || row.key === "root:nothing";
    if ((isSum && (now.isCut || then.isCut)) || (!earlier && then.isCut)) {
        return { why: "Small rows were left out of an answer" };
    }
    return { bytes: earlier?.bytes ?? 0 };
}

// What the head of a column of changes says.
export const sinceText = (atMs) => `Δ ${atMs ? clock(atMs) : ""}`;
