// Where tasks wait, as a tree: from the task down to its innermost await, or leaf first: what is
// waited for, and below it by which callers.

import { place } from "./names.js";

export function waitTree(model, leafFirst) {
    const top = new Map();
    const sites = sitesOfPoints(model);
    for (const [index, point] of model.points.entries()) {
        const frames = point.frames.map((frame) => ({
            function: frame.function,
            place: place(frame.file, frame.line),
            frame,
        }));
        if (!frames.length) {
            frames.push({ function: `(not known: ${point.stops})`, place: "", frame: null });
        }
        if (leafFirst) frames.reverse();
        let [level, path, parent] = [top, "wait:", null];
        frames.forEach((frame, depth) => {
            path += `${depth ? " › " : ""}${frame.function} ${frame.place}`;
            let row = level.get(path);
            if (!row) {
                row = newRow(path, frame, parent);
                level.set(path, row);
            }
            add(row, point, sites[index]);
            [level, parent] = [row.children, row];
        });
        parent.points.push(point);
    }
    return [...top.values()];
}

const newRow = (key, frame, parent) => ({
    key,
    ...frame,
    parent,
    tasks: 0,
    bytes: 0,
    measured: true,
    timed: 0,
    waitedNs: 0,
    halfNs: null,
    longestNs: null,
    sites: new Map(),
    points: [],
    ways: new Set(),
    children: new Map(),
});

// What tells the points of a row from others: each is a way down the awaits.
export const pointsText = ({ ways }) => [...ways].sort().join("\n");

function add(row, point, sites) {
    row.ways.add(point.frames.map((it) => `${it.function}:${it.line}`).join());
    row.tasks += point.tasks;
    row.bytes += point.live_bytes;
    row.measured &&= point.measured;
    row.timed += point.timed;
    row.waitedNs += point.waited_sum_ns;
    // Of several await points half of the tasks wait no longer than the largest of the halves.
    row.halfNs = most(row.halfNs, point.waited_p50_ns);
    row.longestNs = most(row.longestNs, point.waited_p99_ns);
    for (const [site, tasks] of sites) row.sites.set(site, (row.sites.get(site) ?? 0) + tasks);
}

const most = (one, other) => (other == null ? one : Math.max(one ?? 0, other));

// For each point the sites whose tasks wait there, as far as their tasks have rows.
function sitesOfPoints(model) {
    const sites = model.points.map(() => new Map());
    for (const task of model.tasks) {
        const of = task.await_point == null ? undefined : sites[task.await_point];
        if (of && task.site) of.set(task.site, (of.get(task.site) ?? 0) + 1);
    }
    return sites;
}

// The innermost await in the program's own code, as `src/db.rs:88`.
export function ownPlace(point) {
    if (!point) return "";
    const isOwn = ({ file }) =>
        file && !/\/registry\/src\/|\/git\/checkouts\/|\/rustc\/|\/rustlib\/src\//.test(file);
    const at = point.frames.findLast(isOwn) ?? point.frames.at(-1);
    if (!at) return "";
    return at.file ? place(at.file, at.line) : at.function;
}

// Why it is not known where tasks wait; null: it is.
export function awaitsUnknown(measured) {
    if (measured === "on") return null;
    if (measured?.unavailable) return measured.unavailable;
    return "Await points are off: the feature `layout` and MEMSCOPE_AWAIT_POINTS=on show them.";
}
