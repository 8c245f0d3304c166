// What the drawer shows of a site.

import { budgetOfSite } from "./budget.js";
import { h, link, span } from "./dom.js";
import { bytes, count, exactly, plural } from "./format.js";
import { place } from "./names.js";
import {
    FEW,
    byBytes,
    figures,
    histogram,
    localLine,
    meter,
    more,
    overTime,
    rowLink,
    section,
    sized,
    stackList,
    variableLines,
} from "./pieces.js";
import { escaped, visit } from "./state.js";
import { isEnded, leftBytes } from "./facts.js";
import { ownPlace } from "./waits.js";

export function insideSite(model, row) {
    const ends = [
        ["part-unannotated", "completed", row.completed],
        ["part-alive", "living", row.active],
        ["part-rest", "ended, not known how", row.ended_unknown],
        ["part-rest", "not known whether they live", row.unknown + row.given_up],
        ["part-free", "cancelled", row.cancelled],
        ["part-high", "panicked", row.panicked],
    ];
    const tasks = model.tasks.filter((task) => task.site === row);
    const stacks = model.stacks.filter((stack) => stack.owner === row).sort(byBytes("live_bytes"));
    const variables = model.single
        .filter((it) => it.site === row && it.live)
        .sort(byBytes("heap_bytes"));
    const frees = model.frees.filter((it) => it.giver === row);
    const left = leftBytes(row);
    const show = () =>
        visit("tasks", { q: `^${escaped(row.name)} #.* ${escaped(`${row.file}:${row.line}`)}` });
    return [
        section(
            "",
            "",
            figures(
                sized("Live", row.measured ? row.live_bytes : null),
                left !== 0 &&
                    sized(
                        "of it left by ended tasks",
                        left,
                        "Which of its tasks have ended is not known",
                    ),
                row.unjoined_bytes > 0 &&
                    sized("of that waits for a JoinHandle", row.unjoined_bytes),
                sized("Peak of one task", row.measured ? row.peak_bytes : null),
                row.spawned > 1 &&
                    row.measured && ["Mean peak", bytes(row.peak_sum_bytes / row.spawned)],
                sized("Allocated since the start", row.measured ? row.allocated_bytes : null),
                model.rates.has(row.key) && [
                    "Allocated now",
                    `${bytes(model.rates.get(row.key))}/s`,
                ],
                ["Allocations", count(row.allocation_count)],
                row.future_size_bytes > 0 && sized("State machine", row.future_size_bytes),
                row.boxed_by_tokio > 0 && [
                    "Boxed by Tokio",
                    count(row.boxed_by_tokio),
                    "Its future is larger than Tokio's limit",
                ],
                row.items && ["Items yielded", count(row.items.count)],
            ),
        ),
        budgetOfSite(model, row),
        overTime(model, row.key),
        section(
            "Tasks",
            `${count(row.spawned)} spawned`,
            meter(ends.map(([name, , number]) => [name, number])),
            figures(
                ...ends
                    .filter(([, , number]) => number)
                    .map(([, label, number]) => [label, count(number)]),
            ),
            tasks.length > 0 &&
                h("p", {}, link(`Show its ${plural(tasks.length, "row", "rows")}`, show)),
        ),
        waits(tasks),
        variableLines(model, variables),
        frees.length > 0 &&
            section(
                "Freed by others",
                "bytes so far",
                frees
                    .slice(0, FEW)
                    .map((it) =>
                        rowLink(
                            it.taker === row ? "another of its tasks" : it.takerName,
                            bytes(it.bytes),
                            "frees",
                            it.key,
                        ),
                    ),
                more(frees),
            ),
        shaped("Peak of each ended task", row.peak_histogram, "bytes"),
        shaped("Time of a poll", row.poll_histogram, "time", "timed polls alone"),
        shaped("Wait between two polls", row.idle_histogram, "time", "timed polls alone"),
        shaped("Life of a task", row.lifetime_histogram, "time", "timed tasks alone"),
        stacks.length > 0 &&
            section(
                "Stacks",
                link("Open in Code", () => visit("code", { site: row.key, focus: "", hide: "" })),
                stackList(stacks.slice(0, 3), model.program),
            ),
        machine(row),
    ];
}

const shaped = (title, buckets, kind, right) => {
    const drawn = histogram(buckets ?? [], kind);
    return drawn && section(title, right, drawn);
};

// Where the tasks of a site wait.

function waits(tasks) {
    const places = new Map();
    for (const task of tasks) {
        const at = isEnded(task) ? "" : ownPlace(task.point);
        if (!at) continue;
        const sum = places.get(at) ?? { tasks: 0, bytes: 0 };
        sum.tasks += 1;
        sum.bytes += task.live_bytes;
        places.set(at, sum);
    }
    const all = [...places].sort(([, a], [, b]) => b.bytes - a.bytes);
    return (
        all.length > 0 &&
        section(
            "Where they wait",
            "tasks and bytes",
            all
                .slice(0, FEW)
                .map(([at, sum]) =>
                    h(
                        "div",
                        { class: "pair three" },
                        h("span", { class: "code cut", title: at }, at),
                        span("number", count(sum.tasks)),
                        span("number", bytes(sum.bytes)),
                    ),
                ),
            more(all),
        )
    );
}

function machine(row) {
    const it = row.state_machine;
    if (!it) {
        return (
            row.state_machine_unknown &&
            section("State machine", "", h("p", { class: "dim" }, row.state_machine_unknown))
        );
    }
    const { widest } = it;
    return section(
        "State machine",
        `${plural(it.states, "state", "states")}, ${exactly(it.size_bytes)}`,
        h("p", { class: "code soft break" }, it.path),
        widest &&
            h(
                "p",
                { class: "soft" },
                "Largest while it waits at ",
                span("code", place(widest.file, widest.line) || "an await without a line"),
                ":",
            ),
        widest?.locals.map(localLine(it.size_bytes)),
    );
}
