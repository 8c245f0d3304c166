// The budgets of tasks, in the drawer. A living task has its own in its row. Of those that were
// exceeded a snapshot has the newest 64.

import { h, link } from "./dom.js";
import { bytes, clock, percent, plural } from "./format.js";
import { FEW, figures, line, meter, more, section, sized } from "./pieces.js";
import { visit } from "./state.js";

const timeOf = (model, it) => clock(model.program.startedMs + it.at_ns / 1e6, true);

// How much of its budget a task holds now, and since when it was above it.
export function budgetOfTask(model, row) {
    const it = model.overBudget.find((over) => over.task === row.id);
    const most = row.budget_bytes ?? it?.budget_bytes;
    if (most == null) return null;
    const held = row.measured ? row.live_bytes : null;
    const used = held == null ? "not measured" : `${percent(held, most)} held now`;
    const over = Math.max(0, held - most);
    return section(
        "Budget",
        used,
        meter([
            ["part-alive", Math.min(held, most)],
            ["part-high", over],
            ["part-rest", Math.max(0, most - held)],
        ]),
        figures(
            sized("It may hold", most),
            over > 0 && sized("Above it now", over),
            it && [`Above it first at ${timeOf(model, it)}, with`, bytes(it.live_bytes)],
        ),
    );
}

// What the tasks of a site may hold, and which of them went over it.
export function budgetOfSite(model, row) {
    const all = model.overBudget.filter((it) => model.siteAt(it.place) === row);
    const living = model.tasks.filter((it) => it.site === row && it.budget_bytes != null);
    const budgets = [...all, ...living].map((it) => it.budget_bytes);
    if (!budgets.length) return null;
    const extreme = (of) => budgets.reduce((a, b) => of(a, b));
    const [least, most] = [extreme(Math.min), extreme(Math.max)];
    const open = (it) => () => visit("tasks", { row: `task:${it.task}`, open: "1" });
    return section(
        "Budget",
        all.length
            ? plural(all.length, "task went over it", "tasks went over it")
            : "no task went over it",
        figures(
            least === most
                ? sized("A task may hold", most)
                : ["A task may hold", `${bytes(least)} to ${bytes(most)}`],
        ),
        all
            .slice(0, FEW)
            .map((it) =>
                line(
                    link(`task #${it.task}, at ${timeOf(model, it)}`, open(it)),
                    `${bytes(it.live_bytes)}, ${percent(it.live_bytes, it.budget_bytes)}`,
                ),
            ),
        more(all),
        model.overBudget.length >= 64 &&
            h("p", { class: "dim" }, "Of all tasks the newest 64 are kept."),
    );
}
