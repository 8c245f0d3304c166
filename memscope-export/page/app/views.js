// The views: what their rows are, how they group, and their columns.
//
// A column: `key`, `label`, `kind` (text, count, bytes, time, percent), `width` in px or `min` for
// the one that stretches, `value(row)`: null is unknown, and `why(row)` says why. `drop`: what goes
// first where there is no room; 0 stays.

import { before } from "./compare.js";
import { isEnded, isOpaque, keptText, leftBytes, pollsOf, shareOf } from "./facts.js";
import { clock } from "./format.js";
import { split } from "./names.js";
import { functionsOf } from "./stacks.js";
import { state } from "./state.js";
import { awaitsUnknown, ownPlace, waitTree } from "./waits.js";

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

const delta = (model) =>
    size(
        "delta",
        "Δ",
        96,
        (row) => {
            const then = before(model(), row.key);
            return then.bytes == null || row.measured === false
                ? null
                : row.live_bytes - then.bytes;
        },
        {
            drop: 0,
            isChange: true,
            shown: () => state.at !== "",
            why: (row) => before(model(), row.key).why ?? unmeasured,
        },
    );

const noPlace = "No place: it is not annotated";
const noPoint = "Not known: await points are off, or it has not been polled since they are on";
const noRate = "One reading so far, and the process keeps no points of this row";
const estimateOf = (field) => (row) => row[field];

// `model` is a function, as each second brings another.
export function viewsOf(model) {
    const siteName = (row) => row.site?.name ?? row.name;
    return {
        sites: {
            label: "Sites",
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
                text("place", "Place", 208, "place", {
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
                delta(model),
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
                delta(model),
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
                    estimate: (row) => row.timing_is_estimate,
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
            rows: () => functionsOf(model(), state),
            total: () => functionsOf(model(), { kind: state.kind }).length,
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
                size("own", "Own", 156, estimateOf("own_bytes"), {
                    hasBar: true,
                    isEstimate: true,
                    drop: 0,
                }),
                size("all", "With callees", 142, estimateOf("all_bytes"), {
                    isEstimate: true,
                    drop: 0,
                }),
                number("samples", "Samples", 80, "samples", { drop: 2 }),
            ],
        },
        waits: {
            label: "Where tasks wait",
            isTree: true,
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
                size("bytes", "Held", 156, (row) => (row.measured ? row.bytes : null), {
                    hasBar: true,
                    drop: 0,
                    why: () => unmeasured,
                }),
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
                time("longest", "99 % wait at most", 144, "longestNs", {
                    drop: 4,
                    why: () => "None of these tasks is timed",
                }),
            ],
        },
        holds: {
            label: "Who holds",
            rows: () => model().held?.rows ?? [],
            total: () => model().held?.rows.length ?? null,
            sort: "-retained",
            first: (row) => row.isUnreachable,
            name: (row) => row.name,
            search: (row) => `${row.name} ${row.kind} ${row.place}`,
            groups: { kind: (row) => row.kind.replaceAll("_", " ") },
            sums: ["retained_bytes", "blocks"],
            columns: [
                text("name", "Root", 0, "name", { min: 200, isName: true, drop: 0 }),
                text("kind", "Kind", 110, (row) => row.kind?.replaceAll("_", " "), { drop: 2 }),
                text("place", "Place", 208, "place", {
                    isPlace: true,
                    drop: 3,
                    isCode: true,
                    why: () => "No place",
                }),
                size("retained", "Only it holds", 156, "retained_bytes", {
                    hasBar: true,
                    left: (row) => (row.isUnreachable ? row.retained_bytes : 0),
                    drop: 0,
                }),
                size("reachable", "It reaches", 110, "reachable_bytes", {
                    drop: 1,
                    why: () => "Nothing reaches these blocks",
                }),
                number("blocks", "Blocks", 90, "blocks", { drop: 4 }),
            ],
        },
        vars: {
            label: "Variables",
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
                size("heap", "Heap, live", 156, (row) => (isOpaque(row) ? null : row.live_bytes), {
                    hasBar: true,
                    drop: 0,
                    why: () => "Its blocks could not be found: its type is opaque, or holds none",
                }),
                delta(model),
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
                size("total", "All of them", 156, (row) => row.future_size_bytes * row.active, {
                    hasBar: true,
                    drop: 0,
                }),
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
            ],
        },
    };
}

// What a column's head says of the moment that is compared with.
export const headOf = ({ isChange, label }) => (isChange ? `Δ ${clock(Number(state.at))}` : label);
