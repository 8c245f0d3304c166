// What rows held at the moment that they are compared with.
//
// "Compare with now" keeps a copy of every row, so it is exact, but no URL can share it. A moment
// of the time line has what the process itself kept: its largest sites and tasks.

import { state } from "./state.js";

let copy = null;

const sizeOf = { site: "live_bytes", task: "live_bytes", var: "live_bytes" };

export function keepNow(model) {
    const rows = new Map();
    for (const row of [...model.sites, ...model.tasks, ...model.variables]) {
        rows.set(row.key, row[sizeOf[row.key.split(":", 1)[0]]]);
    }
    copy = { at: String(Math.round(model.program.takenMs)), rows };
    return copy.at;
}

export const forget = () => (copy = null);
export const isExact = () => copy !== null && copy.at === state.at;

// The bytes of a row then; or `why` they are not known.
export function before(model, key) {
    if (isExact()) return { bytes: copy.rows.get(key) ?? 0 };
    const points = model.trends.get(key);
    if (!points?.length) {
        const kept = key.startsWith("var:") ? "Variables are" : "This row is";
        return { why: `${kept} not kept over time. Press c to compare with now` };
    }
    const atNs = (Number(state.at) - model.program.startedMs) * 1e6;
    // A moment in the URL is rounded to a millisecond.
    const at = points.findLast((point) => point.at_ns <= atNs + 1e6);
    if (!at) return { why: "The process kept this row only later than that" };
    return { bytes: at.live_bytes };
}
