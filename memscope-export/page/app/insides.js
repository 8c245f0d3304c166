// What the drawer shows of each kind of row.

import { h, link } from "./dom.js";
import { bytes, count, DASH, decimals, duration, estimated } from "./format.js";
import { insideHeld } from "./inside_held.js";
import { insideSite } from "./inside_site.js";
import { insideTask } from "./inside_task.js";
import { insideOutside } from "./parts.js";
import {
    FEW,
    figures,
    frames,
    line,
    localLine,
    more,
    rowLink,
    section,
    siteLink,
    sized,
    stackList,
    taskLink,
    variableSize,
} from "./pieces.js";
import { escaped, set, state, visit } from "./state.js";
import { isOpaque } from "./facts.js";

function wait(model, row) {
    const path = [];
    for (let at = row; at; at = at.parent) path.unshift(at);
    if (state.group === "leaf first") path.reverse();
    const sites = [...row.sites].sort(([, a], [, b]) => b - a);
    const locals = row.frame?.locals ?? [];
    const ends = new Set(row.points.map((point) => point.stops).filter(Boolean));
    return [
        section(
            "",
            "",
            figures(
                ["Tasks", count(row.tasks)],
                sized("Held", row.measured ? row.bytes : null),
                row.measured && ["Each", bytes(row.bytes / row.tasks)],
                [
                    "Mean wait",
                    row.timed ? duration(row.waitedNs / row.timed) : DASH,
                    `${count(row.timed)} of them are timed`,
                ],
                row.frame && sized("State machine", row.frame.size_bytes),
            ),
        ),
        section(
            "Path",
            "outermost first",
            frames(path, model.program),
            [...ends].map((text) => h("p", { class: "dim" }, text)),
        ),
        locals.length > 0 &&
            section("Kept across this await", "", locals.map(localLine(row.frame.size_bytes))),
        sites.length > 0 &&
            section(
                "Sites",
                "tasks with a row here",
                sites
                    .slice(0, FEW)
                    .map(([it, tasks]) => rowLink(it.name, count(tasks), "sites", it.key)),
                more(sites),
            ),
        row.place &&
            section(
                "",
                "",
                link("Show its tasks", () =>
                    visit("tasks", { q: escaped(row.place), sort: "-idle" }),
                ),
            ),
    ];
}

function variable(model, row) {
    const single = model.single.filter(
        (it) =>
            it.name === row.name &&
            it.type_name === row.type_name &&
            it.file === row.file &&
            it.line === row.line,
    );
    const why = "Its blocks could not be found";
    return [
        section(
            "",
            "",
            figures(
                sized("Heap, live", isOpaque(row) ? null : row.live_bytes, why),
                sized("Largest", isOpaque(row) ? null : row.largest_bytes, why),
                sized("Value itself", row.stack_bytes),
                ["Registered", count(row.registered)],
                ["Live", count(row.live)],
                row.unfollowed > 0 && [
                    "Not followed",
                    count(row.unfollowed),
                    "Without a block to follow",
                ],
                [
                    "Mean life",
                    row.ended ? duration(row.lifetime_sum_ns / row.ended) : DASH,
                    row.ended ? null : "None has ended",
                ],
                row.ended > 0 && ["Longest life", duration(row.longest_lifetime_ns)],
            ),
        ),
        section("Type", "", h("p", { class: "code soft break" }, row.type_name)),
        single.length > 0 &&
            section(
                "The largest",
                "heap",
                single.slice(0, FEW).map((it) => {
                    const task = model.taskById.get(it.task);
                    if (task)
                        return rowLink(
                            `in #${task.id}, ${task.name}`,
                            variableSize(it),
                            "tasks",
                            task.key,
                        );
                    const of =
                        it.task == null
                            ? "outside every task"
                            : `in task #${it.task}, which has no row`;
                    return line(of, variableSize(it));
                }),
            ),
    ];
}

function functionRow(model, row) {
    const stacks = model.stacks.filter((stack) =>
        stack.path.some((frame) => frame.function === row.function),
    );
    const owners = new Map(stacks.map((stack) => [stack.ownerName, stack.owner]));
    return [
        section(
            "",
            "",
            figures(
                ["Own", estimated(row.own_bytes), "An estimate from samples"],
                ["With callees", estimated(row.all_bytes), "An estimate from samples"],
                ["Samples", count(row.samples)],
            ),
        ),
        section(
            "",
            "",
            link("Look through it in the icicle", () => set({ focus: row.function })),
        ),
        section(
            "Allocates for",
            "live",
            [...owners].map(([name, it]) => siteLink(it) ?? line(name, "")),
        ),
        section("Stacks", "", stackList(stacks.slice(0, 3), model.program)),
    ];
}

const free = (model, row) => [
    section(
        "",
        "",
        figures(
            ["Freed by", row.from && row.giver === row.taker ? "another of these" : row.takerName],
            sized("Freed so far", row.bytes),
            ["Blocks", count(row.blocks)],
            ["Mean block", decimals(row.bytes / row.blocks, 0)],
        ),
    ),
    section(
        "Sites",
        "live",
        siteLink(row.giver, `allocated by ${row.giverName}`),
        row.taker !== row.giver && siteLink(row.taker, `freed by ${row.takerName}`),
    ),
];

export const insides = {
    site: insideSite,
    task: insideTask,
    wait,
    var: variable,
    fn: functionRow,
    free,
    root: insideHeld,
    part: insideOutside,
};
