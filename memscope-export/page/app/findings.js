// What stands out: findings by severity, each with its figures, its line, what usually helps, and
// links to its rows.

import { $, fill, h, link, prose, severity, span } from "./dom.js";
import { bytes, duration, MIB, percent, plural } from "./format.js";
import { heldByRow } from "./held.js";
import { place, withoutRoot } from "./names.js";
import { leftBytes } from "./facts.js";
import { escaped, set, visit } from "./state.js";

const unfolded = new Set();
let allShown = false;
let isListOpen = false;
const MOST = 3;

const TITLES = {
    retained: (it) => [h("b", {}, it.place.name), " leaves memory behind"],
    stuck: (it) => [
        h("b", {}, it.count === 1 ? "a task" : plural(it.count, "task", "tasks")),
        " of ",
        h("b", {}, it.place.name),
        it.count === 1 ? " is stuck" : " are stuck",
    ],
    growing: (it) => [
        it.task != null && `Task #${it.task} of `,
        h("b", {}, it.place.name),
        " only grows",
    ],
    unjoined: (it) => ["Ended tasks of ", h("b", {}, it.place.name), " are kept"],
    over_budget: (it) => [h("b", {}, it.place.name), " is over its budget"],
    lost: (it) => [h("b", {}, it.place.name), " has blocks that nothing leads to"],
    kept: () => "The allocator keeps what the program has freed",
    unseen: () => "Memory that no allocation of the program has",
};

// Findings of the process as a whole, which no row has.
const OF_PROCESS = ["kept", "unseen"];
const OUTSIDE = "(outside every task)";

const keyOf = (it) => `${it.kind} ${it.place.name} ${it.place.file}:${it.place.line} ${it.task}`;

export function findings(model) {
    const { leaks } = model;
    const box = $("#findings");
    if (!leaks) {
        fill(box, h("p", { class: "soft" }, "Not judged: this snapshot came without findings."));
        return;
    }
    const all = leaks.findings;
    const shown = allShown ? all : all.slice(0, MOST);
    fill(
        $("#findings-count"),
        all.length > MOST &&
            link(allShown ? "The worst" : `All ${all.length}`, () => {
                allShown = !allShown;
                findings(model);
            }),
    );
    fill(
        box,
        all.length ? shown.map((it) => finding(model, it)) : nothing(model),
        mostHeld(model),
        notJudged(model, leaks),
    );
}

function nothing({ leaks, tool }) {
    const left = plural(tool.rows_left_out, "row was", "rows were");
    const found = tool.rows_left_out
        ? `Nothing was found, but ${left} left out for lack of memory.`
        : "Nothing looks lost.";
    const text = leaks.measured ? found : "Nothing could be judged, as sizes are not measured.";
    return h("p", { class: "calm" }, text);
}

// The site that holds half of all, if no finding names it: healthy or not, it is where to look.
function mostHeld(model) {
    const whole = model.isMeasured ? model.process.whole_bytes : 0;
    const most = model.sites.reduce((a, b) => (b.live_bytes > (a?.live_bytes ?? 0) ? b : a), null);
    if (!most || most.live_bytes * 2 < whole || !whole) return null;
    if (model.leaks.findings.some((it) => model.siteAt(it.place) === most)) return null;
    const left = leftBytes(most) ?? 0;
    const text = [
        ` holds ${bytes(most.live_bytes)}, ${percent(most.live_bytes, whole)} of what is live`,
        left * 2 > most.live_bytes && `; ended tasks left ${bytes(left)} of it`,
        ".",
    ];
    return h("p", { class: "most" }, rowOf(most), text);
}

// Opens a view, and brings it into sight.
function goTo(tab, at) {
    visit(tab, at);
    $("#explore").scrollIntoView({ block: "start" });
}

const rowOf = (site) =>
    link(withoutRoot(site.name), () => goTo("sites", { row: site.key, open: "1" }));

function notJudged(model, { not_judged: list }) {
    if (!list.length) return null;
    // The kind, unless the reason begins with a row and says it.
    const [first, ...others] = list.map((it) => reason(model, it));
    const sign = isListOpen ? "less" : `and ${others.length} more`;
    const toggle = () => {
        isListOpen = !isListOpen;
        findings(model);
    };
    const shown = isListOpen ? others : [];
    return h(
        "div",
        { class: "dim not-judged" },
        h("p", {}, "Not judged yet: ", first),
        shown.map((it) => h("p", {}, it)),
        others.length > 0 &&
            h("p", {}, link(sign, toggle, { "aria-expanded": String(isListOpen) })),
    );
}

// Begins with its row, if it has one, else with its kind unless the reason says that.
function reason(model, { kind, why }) {
    const site = model.sites.find((it) => {
        const at = it.file ? `${it.name} (${it.file}:${it.line})` : it.name;
        return why.startsWith(`${at}:`);
    });
    if (site) return [rowOf(site), prose(withoutRoot(why.slice(site.name.length)))];
    if (kind === "growing" && why.startsWith("needs ")) return prose(`growth ${why}`);
    return prose(withoutRoot(kind && !why.includes(kind) ? `${kind}: ${why}` : why));
}

function finding(model, it) {
    const key = keyOf(it);
    const isOpen = unfolded.has(key);
    const toggle = () => {
        if (!unfolded.delete(key)) unfolded.add(key);
        findings(model);
    };
    return h(
        "article",
        { class: "finding" },
        severity(it.severity),
        h(
            "h3",
            { class: "cut" },
            TITLES[it.kind]?.(it) ?? it.place.name,
            " ",
            span("code dim", place(it.place.file, it.place.line)),
        ),
        span(
            "acts",
            h(
                "button",
                { type: "button", class: "link", "aria-expanded": String(isOpen), onclick: toggle },
                "Why",
            ),
            h("button", { type: "button", class: "link", onclick: () => show(model, it) }, "Show"),
        ),
        evidence(model, it, isOpen),
    );
}

// Its figures, what holds it, and what helps; `whole`: also the measured evidence.
export function evidence(model, it, whole) {
    const cut = whole ? "line" : "line cut";
    const [size, fix] = [figures(it), sentence(it.fix)];
    return [
        h("p", { class: cut, title: size }, size),
        h("p", { class: cut, title: fix }, holders(model, it), h("b", {}, prose(fix))),
        whole && h("p", { class: "line why" }, prose(withoutRoot(sentence(it.evidence)))),
        whole &&
            it.certainty_reason &&
            h("p", { class: "line why" }, prose(withoutRoot(howSure(it))), heldBy(model, it)),
    ];
}

const howSure = (it) => `How sure: ${it.certainty}: ${it.certainty_reason}.`;

// What holds the bytes, if a graph of the heap tells it: a link to its row, or to where a graph can
// be asked for.
function heldBy(model, { held_by: text }) {
    if (!text) return null;
    const show = () => {
        const at = model.held && heldByRow(model.held.graph, model.program, text);
        goTo("holds", at ? { ...at, open: "1" } : {});
    };
    return [
        " Held by ",
        h("button", { type: "button", class: "link", onclick: show }, prose(withoutRoot(text))),
        ".",
    ];
}

function figures(it) {
    const of = {
        retained: `${bytes(it.bytes)} left by ${plural(it.count, "ended task", "ended tasks")}`,
        stuck: `${bytes(it.bytes)} held meanwhile`,
        growing: `${bytes(it.bytes)} more`,
        over_budget: `${bytes(it.bytes)} in the largest of ${plural(it.count, "task", "tasks")}`,
        kept: `${bytes(it.bytes)} free in the allocator`,
        unjoined: `${bytes(it.bytes)} in ended tasks`,
    };
    const parts = [of[it.kind] ?? bytes(it.bytes)];
    if (it.kind === "retained" && it.count > 1) parts.push(`${bytes(it.bytes / it.count)} each`);
    if (it.oldest_ns != null) {
        const since = { retained: "the first ended", stuck: "not polled for", growing: "seen for" };
        const ago = it.kind === "retained" ? " ago" : "";
        parts.push(`${since[it.kind] ?? "for"} ${duration(it.oldest_ns)}${ago}`);
    }
    if (it.bytes_per_day != null) parts.push(rate(it.bytes_per_day));
    if (it.waits_at) parts.push(`at ${withoutRoot(it.waits_at)}`);
    return parts.join(", ");
}

// A minute of what is fast: that is what is seen above, and what an operator has left.
const rate = (perDay) =>
    perDay >= 1440 * MIB ? `${bytes(perDay / 1440)} a minute` : `${bytes(perDay)} a day`;

function holders(model, it) {
    if (!it.variables.length) return null;
    const names = it.variables.slice(0, 3).map((name) => {
        const row = model.variables.find((variable) => variable.name === name);
        const open = () => visit("vars", { row: row.key, open: "1" });
        return [" ", row ? link(name, open, { class: "link code" }) : span("code", name)];
    });
    return ["In it:", names, ". "];
}

const sentence = (text) =>
    `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!]$/.test(text) ? "" : "."}`;

function show(model, it) {
    if (OF_PROCESS.includes(it.kind) || it.place.name === OUTSIDE) {
        if (it.place.name === OUTSIDE) set({ row: "part:outside", open: "1" }, true);
        $("#bar").scrollIntoView({ block: "center" });
        return;
    }
    const site = model.siteAt(it.place);
    const isTasks = it.kind === "stuck" || it.task != null;
    if (isTasks && it.count > 1)
        visit("tasks", { q: `^${escaped(it.place.name)} #`, sort: "-idle" });
    else if (isTasks && model.taskById.has(it.task)) {
        visit("tasks", { q: `^${escaped(it.place.name)} #`, row: `task:${it.task}`, open: "1" });
    } else visit("sites", { row: site?.key ?? "", open: site ? "1" : "" });
    $("#explore").scrollIntoView({ block: "start" });
}

// The severity of each site that has a finding: the worst.
export function warnings(model) {
    const levels = new Map();
    for (const it of model.leaks?.findings ?? []) {
        const key = model.siteAt(it.place)?.key;
        if (key && !levels.has(key)) levels.set(key, it.severity);
        if (it.task != null) levels.set(`task:${it.task}`, it.severity);
    }
    return levels;
}
