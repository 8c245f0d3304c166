// What follows from the fields of a row; null is unknown.

import { count } from "./format.js";

// Bytes that ended tasks left; not known where no end is.
export function leftBytes(row) {
    if (!row.measured) return null;
    const ended = row.spawned - row.active - row.unknown - row.given_up;
    return row.ends_unknown && ended <= 0 ? null : row.retained_bytes;
}

export const isEnded = (task) =>
    ["completed", "cancelled", "panicked", "ended"].includes(task.state);

// Polls; null where they are not counted.
export const pollsOf = (task) => (task.is_annotated || task.poll_count ? task.poll_count : null);

// The largest value that is kept across an await, or the awaited future itself.
export function keptText(locals) {
    const kept = locals.find((it) => it.name !== "__awaitee");
    const it = kept ?? locals[0];
    return it && `${kept ? it.name : "awaited"}: ${it.type_name}, ${count(it.bytes)} B`;
}

export const isOpaque = (row) => row.registered > 0 && row.unfollowed === row.registered;

// Of what was freed for a site by others, the share of one of them, in percent.
export function shareOf(model, row) {
    model.given ??= new Map();
    if (!model.given.size) {
        for (const it of model.frees) {
            model.given.set(it.giverName, (model.given.get(it.giverName) ?? 0) + it.bytes);
        }
    }
    return (100 * row.bytes) / model.given.get(row.giverName);
}
