// The views: what their rows are, how they group, and their columns.
//
// A column: `key`, `label`, `kind` (text, count, bytes, time, percent), `width` in px or `min` for
// the one that stretches, `value(row)`: null is unknown, and `why(row)` says why. `drop`: what goes
// first where there is no room; 0 stays.

import { change, copied, heldBefore, heldThen, sinceText } from "./compare.js";
import { isEnded, isOpaque, keptText, leftBytes, pollsOf, shareOf } from "./facts.js";
import { textOf, treeNow } from "./held.js";
import { split } from "./names.js";
import { functionsOf, stacksText } from "./stacks.js";
import { state } from "./state.js";
import { awaitsUnknown, ownPlace, pointsText, waitTree } from "./waits.js";

const column = (kind) => (key, label, width, value, more) => ({
    key,
    label,
    kind,
    width,
    value: typeof value === "string" ? (row) => row[value] : value,
    ...more,
});
const text = column("text");
const number = column("count");
const size = column("bytes");
const time = column("time");
const share = column("percent");

const unmeasured = "Sizes are not measured here";
const known = (field) => (row) => (row.measured ? row[field] : null);

const bytesIn = (row) => row.bytes;
const heapOf = (row) => (isOpaque(row) ? null : row.live_bytes);
const allFutures = (row) => row.future_size_bytes * row.active;

const noPlace = "No place: it is not annotated";
const noPoint = "Not known: await points are off, or it has not been polled since they are on";
const noRate = "One reading so far, and the process keeps no points of this row";

// `model` is a function, as each second brings another. The views of the past are those of what
// "compare with now" has kept; they have no past of their own.
export function viewsOf(model, isPast = false) {
    const siteName = (row) => row.site?.name ?? row.name;
    const past = isPast ? {} : viewsOf(copied, true);
    // The change of a figure since the moment that is compared with.
    const delta = (name, figure, more) => {
        const of = (row) => change(model(), views[name], past[name], row, figure);
        return size("delta", "Δ", 96, (row) => of(row).bytes, {
            drop: 0,
            isChange: true,
            shown: () => state.at !== "",
            since: () => Number(state.at),
            why: (row) => of(row).why,
            ...more,
        });
    };
    const views = {
        sites: {
            label: "Sites",
            list: "sites",
            isKept: true,
            rows: () => model().sites,
            total: () => model().sites.length,
            sort: "-live",
            name: (row) => row.name,
            search: (row) => `${row.name} ${row.file}:${row.line} ${row.task_type}`,
            groups: {
                file: (row) => row.file || "(not annotated)",
                kind: (row) => row.task_type.replaceAll("_", " "),
                crate: (row) => split(row.name, model().program)[0].trim() || model().program.name,
            },
            sums: ["live_bytes", "retained_bytes", "allocated_bytes", "active", "spawned"],
            columns: [
                text("name", "Name", 0, "name", { min: 190, isName: true, drop: 0 }),
                text("place", "Place", 228, "place", {
                    isPlace: true,
                    drop: 4,
                    isCode: true,
                    why: () => noPlace,
                }),
                size("live", "Live", 156, known("live_bytes"), {
                    hasBar: true,
                    left: leftBytes,
                    drop: 0,
                    why: () => unmeasured,
                }),
                size("left", "Left by ended", 116, leftBytes, {
                    drop: 1,
                    why: () => "Which of its tasks have ended is not known",
                }),
                delta("sites", known("live_bytes")),
                number("tasks", "Tasks", 64, "active", { drop: 2 }),
                size("peak", "Peak of one", 106, known("peak_bytes"), {
                    drop: 5,
                    why: (row) => (row.members ? "A group has no single task" : unmeasured),
                }),
                size("rate", "Allocated/s", 112, (row) => model().rates.get(row.key), {
                    drop: 6,
                    why: () => noRate,
                }),
                size("all", "Allocated", 100, known("allocated_bytes"), {
                    drop: 8,
                    why: () => unmeasured,
                }),
                number("spawned", "Spawned", 82, "spawned", { drop: 7 }),
            ],
        },
        tasks: {
            label: "Tasks",
            list: "tasks",
            isKept: true,
            rows: () => model().tasks,
            total: () => model().tasks.length,
            sort: "-live",
            name: (row) => row.name,
            search: (row) =>
                [
                    row.name,
                    `#${row.id}`,
                    row.state,
                    `${row.file}:${row.line}`,
                    ownPlace(row.point),
                ].join(" "),
            groups: {
                site: (row) => `${siteName(row)}${row.site?.place ? `  ${row.site.place}` : ""}`,
                state: (row) => row.state,
                "await point": (row) => ownPlace(row.point) || "(not known)",
            },
            sums: ["live_bytes", "allocated_bytes"],
            columns: [
                number("id", "Task", 84, "id", { drop: 2, plain: true }),
                text("name", "Name", 0, "name", { min: 180, isName: true, drop: 0 }),
                text("state", "State", 84, "state", { drop: 3 }),
                size("live", "Live", 156, known("live_bytes"), {
                    hasBar: true,
                    left: (row) => (isEnded(row) ? row.live_bytes : 0),
                    drop: 0,
                    why: () => unmeasured,
                }),
                delta("tasks", known("live_bytes")),
                size("peak", "Peak", 92, known("peak_bytes"), { drop: 4, why: () => unmeasured }),
                text("wait", "Waits at", 200, (row) => (isEnded(row) ? "" : ownPlace(row.point)), {
                    isPlace: true,
                    drop: 1,
                    isCode: true,
                    shown: () => !awaitsUnknown(model().snapshot.await_points_measured),
                    why: (row) => (isEnded(row) ? "It has ended" : noPoint),
                }),
                time("idle", "Not polled for", 122, "idle_ns", {
                    drop: 1,
                    why: (row) =>
                        row.state === "idle" ? "Its polls are not timed" : "It does not wait",
                }),
                number("polls", "Polls", 80, pollsOf, {
                    drop: 5,
                    why: () => "Polls of tasks that are not annotated are not counted",
                }),
                time("busy", "Busy", 96, "busy_ns", {
                    drop: 6,
                    sign: (row) => row.timing_is_estimate && "≈ ",
                    why: () => "None of its polls was timed",
                }),
                size("all", "Allocated", 100, known("allocated_bytes"), {
                    drop: 7,
                    why: () => unmeasured,
                }),
            ],
        },
        code: {
            label: "Code",
            list: "stacks",
            parts: stacksText,
            rows: () => functionsOf(model(), state),
            total: () => functionsOf(model(), { kind: state.kind, frames: state.frames }).length,
            sort: "-own",
            name: (row) => row.function,
            search: (row) => `${row.function} ${row.place}`,
            columns: [
                text("name", "Function", 0, "function", {
                    min: 220,
                    isName: true,
                    isCode: true,
                    drop: 0,
                }),
                text("place", "Place", 208, "place", {
                    isPlace: true,
                    drop: 3,
                    isCode: true,
                    why: () => "The program tells no lines; `cargo memscope report` may find them",
                }),
                size("own", "Own", 156, "own_bytes", {
                    hasBar: true,
                    isEstimate: true,
                    drop: 0,
                }),
                size("all", "With callees", 142, "all_bytes", {
                    isEstimate: true,
                    drop: 0,
                }),
                delta("code", (row) => row.all_bytes, { isEstimate: true }),
                number("samples", "Samples", 80, "samples", { drop: 2 }),
            ],
        },
        waits: {
            label: "Where tasks wait",
            list: "await_points",
            parts: pointsText,
            isTree: true,
            // Root first the tree begins open, leaf first closed: its roots are the answer.
            beginsOpen: () => state.group === "",
            rows: () => waitTree(model(), state.group === "leaf first"),
            total: () =>
                awaitsUnknown(model().snapshot.await_points_measured)
                    ? null
                    : model().points.length,
            sort: "-bytes",
            name: (row) => row.function,
            search: (row) => `${row.function} ${row.place}`,
            groups: { "leaf first": null },
            noGroup: "root first",
            columns: [
                text("name", "Await point", 0, "function", { min: 250, isName: true, drop: 0 }),
                text("place", "Place", 208, "place", {
                    isPlace: true,
                    drop: 1,
                    isCode: true,
                    why: () => "Debug information names no line",
                }),
                number("tasks", "Tasks", 70, "tasks", { drop: 0 }),
                size("bytes", "Held", 156, known("bytes"), {
                    hasBar: true,
                    drop: 0,
                    why: () => unmeasured,
                }),
                delta("waits", known("bytes")),
                size("each", "Each", 92, (row) => (row.measured ? row.bytes / row.tasks : null), {
                    drop: 3,
                    why: () => unmeasured,
                }),
                time(
                    "mean",
                    "Mean wait",
                    108,
                    (row) => (row.timed ? row.waitedNs / row.timed : null),
                    {
                        drop: 2,
                        why: () => "None of these tasks is timed",
                    },
                ),
                time("half", "50 % wait at most", 144, "halfNs", {
                    drop: 5,
                    why: () => "None of these tasks is timed",
                }),
                time("longest", "99 % wait at most", 144, "longestNs", {
                    drop: 4,
                    why: () => "None of these tasks is timed",
                }),
            ],
        },
        holds: {
            label: "Who holds",
            isTree: true,
            // The largest roots are open, and what nothing holds: they are the answer.
            beginsOpen: (row) =>
                row.isLost ||
                (!row.isGroup &&
                    row.key !== "root:several" &&
                    row.bytes * 10 >= model().held.graph.bytes),
            rank: (row) => (row.isOthers ? 2 : row.isLost ? 0 : 1),
            rows: () => {
                const tree = treeNow(model());
                if (!tree) return [];
                const under = tree.byKey.get(state.under);
                return under ? [under] : tree.heap.sorted;
            },
            total: () => model().held?.graph.roots.length ?? null,
            sort: "-retained",
            name: (row) => row.name,
            search: textOf,
            groups: { kind: null, name: null },
            then: (row) => heldThen(model(), row),
            columns: [
                text("name", "Held by", 0, "name", { min: 200, isName: true, drop: 0 }),
                text("kind", "Kind", 92, "kind", { drop: 3, why: () => "It is no root" }),
                text("place", "Place", 208, "place", {
                    isPlace: true,
                    drop: 2,
                    isCode: true,
                    why: () => "Where it is in the code is not known",
                }),
                size("retained", "Holds", 156, "bytes", {
                    hasBar: true,
                    left: (row) => (row.isLost ? row.bytes : 0),
                    drop: 0,
                }),
                delta("holds", bytesIn, {
                    shown: () => state.at !== "" || heldBefore(model().held) !== null,
                    since: () => heldBefore(model().held)?.atMs,
                }),
                size("reachable", "It reaches", 110, "reachable_bytes", {
                    drop: 1,
                    sign: (row) => row.isLeast && "≥ ",
                    why: (row) =>
                        row.isLost ? "Nothing reaches these blocks" : "Known of roots alone",
                }),
                number("blocks", "Blocks", 90, "blocks", {
                    drop: 4,
                    why: () => "How many there are with what they hold is not known",
                }),
            ],
        },
        vars: {
            label: "Variables",
            list: "variable_sites",
            rows: () => model().variables,
            total: () => model().variables.length,
            sort: "-heap",
            name: (row) => row.name,
            search: (row) => `${row.name} ${row.type_name} ${row.place}`,
            groups: { file: (row) => row.file, type: (row) => row.type_name },
            sums: ["live_bytes", "live", "registered"],
            columns: [
                text("name", "Variable", 0, "name", {
                    min: 130,
                    isName: true,
                    isCode: true,
                    drop: 0,
                }),
                text("type", "Type", 240, "type_name", { drop: 3, isCode: true }),
                text("place", "Place", 208, "place", {
                    isPlace: true,
                    drop: 2,
                    isCode: true,
                }),
                size("heap", "Heap, live", 156, heapOf, {
                    hasBar: true,
                    drop: 0,
                    why: () => "Its blocks could not be found: its type is opaque, or holds none",
                }),
                delta("vars", heapOf),
                number("live", "Live", 64, "live", { drop: 1 }),
                size(
                    "largest",
                    "Largest",
                    92,
                    (row) => (isOpaque(row) ? null : row.largest_bytes),
                    {
                        drop: 4,
                        why: () => "Its blocks could not be found",
                    },
                ),
                number("registered", "Registered", 96, "registered", { drop: 5 }),
                time(
                    "life",
                    "Mean life",
                    100,
                    (row) => (row.ended ? row.lifetime_sum_ns / row.ended : null),
                    {
                        drop: 6,
                        why: () => "None has ended",
                    },
                ),
            ],
        },
        futures: {
            label: "Futures",
            list: "sites",
            rows: () => model().futures,
            total: () => model().futures.length,
            sort: "-total",
            name: (row) => row.name,
            search: (row) => `${row.name} ${row.place} ${row.state_machine?.path ?? ""}`,
            columns: [
                text("name", "Future of", 0, "name", { min: 200, isName: true, drop: 0 }),
                text("place", "Place", 208, "place", {
                    isPlace: true,
                    drop: 3,
                    isCode: true,
                    why: () => noPlace,
                }),
                number("size", "Size B", 86, "future_size_bytes", { drop: 0 }),
                number("active", "Live", 64, "active", { drop: 1 }),
                size("total", "All of them", 156, allFutures, { hasBar: true, drop: 0 }),
                delta("futures", allFutures),
                text(
                    "part",
                    "Largest value across an await",
                    260,
                    (row) => keptText(row.state_machine?.widest?.locals ?? []),
                    {
                        drop: 2,
                        isCode: true,
                        why: (row) =>
                            row.state_machine_unknown ?? "Not read: the feature `layout` is off",
                    },
                ),
            ],
        },
        frees: {
            label: "Who frees",
            list: "hand_overs",
            rows: () => model().frees,
            total: () => model().frees.length,
            sort: "-bytes",
            name: (row) => row.giverName,
            search: (row) => `${row.giverName} ${row.takerName}`,
            columns: [
                text("name", "Allocated by", 0, "giverName", { min: 180, isName: true, drop: 0 }),
                text(
                    "by",
                    "Freed by",
                    320,
                    (row) =>
                        row.from && row.giver === row.taker
                            ? "another of these"
                            : split(row.takerName, model().program).join(""),
                    { drop: 0 },
                ),
                share("share", "Share of what others freed", 190, (row) => shareOf(model(), row), {
                    drop: 2,
                }),
                number("blocks", "Blocks", 90, "blocks", { drop: 1 }),
                size("bytes", "Freed so far", 156, "bytes", { hasBar: true, drop: 0 }),
                delta("frees", bytesIn),
            ],
        },
    };
    return views;
}

// What a column's head says, of changes too: since when.
export const headOf = ({ since, label }) => (since ? sinceText(since()) : label);
