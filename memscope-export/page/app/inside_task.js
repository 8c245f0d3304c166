// What the drawer shows of a task.

import { budgetOfTask } from "./budget.js";
import { h, span } from "./dom.js";
import { bytes, count, DASH, duration } from "./format.js";
import { place } from "./names.js";
import {
    FEW,
    byBytes,
    figures,
    frames,
    line,
    more,
    overTime,
    section,
    siteLink,
    sized,
    stackList,
    taskLink,
    variableLines,
} from "./pieces.js";
import { isEnded, pollsOf } from "./facts.js";
import { awaitsUnknown } from "./waits.js";

export function insideTask(model, row) {
    const parent = model.taskById.get(row.parent);
    const children = model.tasks.filter((it) => it.parent === row.id);
    const variables = model.single.filter((it) => it.task === row.id).sort(byBytes("heap_bytes"));
    const stacks = model.stacks.filter((stack) => stack.task === row.id);
    const events = (model.snapshot.events ?? []).filter((it) => it.task === row.id);
    const about = row.timing_is_estimate ? "≈ " : "";
    const timed = (ns) => [
        ns == null ? DASH : about + duration(ns),
        ns == null ? "None of its polls was timed" : null,
    ];
    return [
        section(
            "",
            "",
            figures(
                [
                    "State",
                    row.idle_ns != null && !isEnded(row)
                        ? `${row.state}, not polled for ${duration(row.idle_ns)}`
                        : row.state,
                ],
                sized("Live", row.measured ? row.live_bytes : null),
                sized("Peak", row.measured ? row.peak_bytes : null),
                sized("Allocated", row.measured ? row.allocated_bytes : null),
                sized("Freed by others", row.measured ? row.freed_elsewhere_bytes : null),
                ["Blocks, live", count(row.live_blocks)],
                ["Polls", pollsOf(row) == null ? DASH : count(row.poll_count)],
                ["Busy", ...timed(row.busy_ns)],
                ["Waited", ...timed(row.wait_ns)],
                row.future_size_bytes > 0 && sized("State machine", row.future_size_bytes),
            ),
        ),
        budgetOfTask(model, row),
        overTime(model, row.key),
        section(
            row.state === "running"
                ? "Await backtrace, of its last pending poll"
                : "Await backtrace",
            "outermost first",
            backtrace(model, row),
        ),
        section(
            "Site",
            "live",
            siteLink(row.site) ?? h("p", { class: "dim" }, "Its site has no row here."),
        ),
        (row.parent != null || children.length > 0) &&
            section(
                "Family",
                "live",
                parent && taskLink(parent, "parent"),
                row.parent != null &&
                    !parent &&
                    h("p", { class: "dim" }, `parent #${row.parent}, which has no row any more`),
                children.slice(0, FEW).map((it) => taskLink(it, "child")),
                more(children),
            ),
        variableLines(model, variables),
        stacks.length > 0 && section("Stacks", "", stackList(stacks.slice(0, 3), model.program)),
        events.length > 0 &&
            section(
                "Latest events",
                "since the start",
                events
                    .slice(-FEW)
                    .map((it) =>
                        line(it.kind.replaceAll("_", " "), [
                            it.bytes != null && `${bytes(it.bytes)}, `,
                            it.took_ns != null && `${duration(it.took_ns)}, `,
                            duration(it.at_ns),
                        ]),
                    ),
            ),
        row.future_type &&
            row.future_type !== "not known" &&
            section("Type", "", h("p", { class: "code soft break" }, row.future_type)),
    ];
}

function backtrace(model, row) {
    if (isEnded(row)) return h("p", { class: "dim" }, "It has ended.");
    const why = awaitsUnknown(model.snapshot.await_points_measured);
    if (!row.point?.frames.length)
        return h(
            "p",
            { class: "dim" },
            row.point?.stops ?? why ?? "It has not waited since await points are noted.",
        );
    const list = row.point.frames.map((frame) => ({
        ...frame,
        place: place(frame.file, frame.line),
    }));
    return [
        frames(list, model.program, (frame) =>
            frame.locals
                .slice(0, 2)
                .map((local) =>
                    span(
                        "dim code cut keeps",
                        `keeps ${local.name}: ${local.type_name}, ${count(local.bytes)} B`,
                    ),
                ),
        ),
        row.point.stops && h("p", { class: "dim" }, row.point.stops),
    ];
}
