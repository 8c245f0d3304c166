// The budgets of tasks, in the drawer. A snapshot has those that were exceeded: the newest 64.

import { h, link } from "./dom.js";
import { bytes, clock, percent, plural } from "./format.js";
import { FEW, figures, line, meter, more, section, sized } from "./pieces.js";
import { visit } from "./state.js";

const timeOf = (model, it) => clock(model.program.startedMs + it.at_ns / 1e6, true);

// How much of its budget a task holds now, and since when it was above it.
export function budgetOfTask(model, row) {
    const it = model.overBudget.find((over) => over.task === row.id);
    if (!it) return null;
    const held = row.measured ? row.live_bytes : null;
    const used = held == null ? "not measured" : `${percent(held, it.budget_bytes)} held now`;
    const over = Math.max(0, held - it.budget_bytes);
    return section(
        "Budget",
        used,
        meter([
            ["part-alive", Math.min(held, it.budget_bytes)],
            ["part-high", over],
            ["part-rest", Math.max(0, it.budget_bytes - held)],
        ]),
        figures(sized("It may hold", it.budget_bytes), over > 0 && sized("Above it now", over), [
            `Above it first at ${timeOf(model, it)}, with`,
            bytes(it.live_bytes),
        ]),
    );
}

// Which tasks of a site went over their budgets.
export function budgetOfSite(model, row) {
    const all = model.overBudget.filter((it) => model.siteAt(it.place) === row);
    if (!all.length) return null;
    const budgets = all.map((it) => it.budget_bytes);
    const [least, most] = [Math.min(...budgets), Math.max(...budgets)];
    const open = (it) => () => visit("tasks", { row: `task:${it.task}`, open: "1" });
    return section(
        "Budget",
        plural(all.length, "task went over it", "tasks went over it"),
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
