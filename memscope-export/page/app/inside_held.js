// What the drawer shows of a row of what holds the heap.

import { h, link } from "./dom.js";
import { bytes, count, exactly, percent } from "./format.js";
import { place } from "./names.js";
import { FEW, figures, frames, line, more, section, siteLink, sized, taskLink } from "./pieces.js";
import { set } from "./state.js";

export function insideHeld(model, row) {
    const { of = {} } = row;
    const task = model.taskById.get(row.task);
    const site = model.sites.find((it) => it.name === row.site);
    const way = wayTo(row);
    const stack = (of.stack ?? []).toReversed().map((frame) => ({
        ...frame,
        function: frame.function || "(no name)",
        place: place(frame.file, frame.line),
    }));
    const isOwn = of.own_bytes != null;
    const small = model.snapshot.left_out?.tasks > 0 ? ": of tasks, only the largest are sent" : "";
    return [
        section(
            "",
            "",
            figures(
                sized(heldText(row), row.bytes),
                ["Share of the heap", percent(row.bytes, model.held.graph.bytes)],
                isOwn && sized("of it the blocks themselves", of.own_bytes),
                row.reachable_bytes != null && [
                    "It reaches",
                    (row.isLeast ? "≥ " : "") + bytes(row.reachable_bytes),
                    exactly(row.reachable_bytes),
                ],
                (isOwn || row.blocks != null) && ["Blocks", count(of.blocks ?? row.blocks)],
                of.leaks > 0 && [of.in_cycle ? "Cycles" : "Lost blocks", count(of.leaks)],
                of.variable && ["Variable", of.variable],
                of.thread && ["Thread", of.thread],
            ),
        ),
        row.isOthers &&
            h("p", { class: "dim gone-text" }, "The graph tells no more of these blocks."),
        way.length > 1 &&
            section(
                "Way down",
                "held alone",
                way.map((it) => rowLine(it, it === row)),
            ),
        way.length < 2 &&
            row.children.size > 0 &&
            section(
                "Below it",
                "held alone",
                row.sorted.slice(0, FEW).map((it) => rowLine(it)),
                more(row.sorted),
            ),
        stack.length > 0 &&
            section("Where one was made", "outermost first", frames(stack, model.program)),
        row.task != null &&
            section(
                "Task",
                "live",
                task
                    ? taskLink(task, "task")
                    : h("p", { class: "dim" }, `#${row.task} has no row here${small}`),
            ),
        site && section("Site", "live", siteLink(site)),
    ];
}

const heldText = (row) => {
    if (row.isLost) return "Nothing holds";
    return row.what === "Root" ? "Only it holds" : "Held";
};

// From the root to the row, and on from there by the largest.
function wayTo(row) {
    const way = [];
    for (let at = row; at.parent; at = at.parent) if (!at.isGroup) way.unshift(at);
    if (!["Root", "Blocks of one kind"].includes(row.what)) return way;
    for (let at = row; (at = at.sorted.find((it) => it.of));) way.push(at);
    return way;
}

const rowLine = (row, isHere) =>
    line(
        isHere ? h("b", {}, row.name) : link(row.name, () => set({ row: row.key }, true)),
        bytes(row.bytes),
    );
