// Everything together: a snapshot comes, or the reader looks at something else, and what depends on
// it is drawn.

import { forgetColours } from "./canvas.js";
import { code } from "./code.js";
import { isExact, forget, keepNow } from "./compare.js";
import { $, fill, h, prose, setAttribute, setText, span } from "./dom.js";
import { drawer } from "./drawer.js";
import { findings, warnings } from "./findings.js";
import { bytes, clock, count, date, plural, uptime } from "./format.js";
import { addHeld, forgetHeld, holds } from "./holds.js";
import { awaitsUnknown } from "./waits.js";
import * as keys from "./keys.js";
import { memory, ownBytes } from "./memory.js";
import { isSameProcess, modelOf, takeRates } from "./model.js";
import * as source from "./source.js";
import { matcher, onState, set, start as startState, state } from "./state.js";
import * as status from "./status.js";
import * as table from "./table.js";
import * as time from "./timeline.js";
import { viewsOf } from "./views.js";

let model = null;
let waiting = null; // what came while the reader looked at a paused page
let stream = null;
let levels = new Map();
let colours = new Map();
const views = viewsOf(() => model);
const names = Object.keys(views);
const viewNow = () => views[state.tab] ?? views.sites;

function take(snapshot) {
    if (state.pause) {
        waiting = snapshot;
        return;
    }
    const next = modelOf(snapshot);
    if (model && isSameProcess(model, next)) takeRates(next, model);
    else if (model) {
        status.restarted(model.program.pid, next.program);
        forget();
        forgetHeld();
        if (state.at || state.zoom) set({ at: "", zoom: "" });
    }
    model = next;
    addHeld(model);
    levels = warnings(model);
    colours = time.swatches(model);
    document.body.classList.remove("empty");
    drawAll();
}

function drawAll() {
    if (!model) return;
    header();
    memory(model);
    findings(model);
    time.timeline(model);
    foot();
    explore();
}

// What the reader's choice alone changes.
function explore() {
    if (!model) return;
    theme();
    tabs();
    controls();
    code(model);
    holds(model, !stream, () => {
        addHeld(model);
        explore();
    });
    drawer(model);
    table.show(viewNow(), model);
    stateLine();
}

function header() {
    const { program, snapshot, tool } = model;
    document.title = `${program.name}, memory by task`;
    setText($("#program"), program.name);
    $("#program").title = program.path;
    fill(
        $("#facts"),
        program.pid > 0 && span("", `pid ${program.pid}`),
        h(
            "span",
            { title: `Since ${date(program.startedMs)}` },
            `up ${uptime(snapshot.observed_ns)}`,
        ),
        h(
            "span",
            { title: accounting(snapshot) },
            snapshot.is_still ? "exact counts" : "counts while tasks end",
        ),
        h(
            "span",
            { class: "optional", title: "Not part of the program's memory" },
            `memscope itself ${bytes(ownBytes(model))}`,
        ),
        dropped(tool),
    );
}

const accounting = ({ is_still: isStill }) =>
    isStill
        ? "Every byte is counted at its task; stacks are sampled"
        : "Tasks ended while this was read: totals may lack some of them";

// What is not in the snapshot is said.
function dropped(tool) {
    const lost = [
        [tool.events_dropped, "rows of ended tasks were dropped"],
        [tool.ended_tasks_forgotten, "ended tasks have no row any more; sites count them"],
        [tool.tasks_without_record, "tasks ran without a record"],
        [tool.tasks_in_other, "tasks are counted in (other)"],
        [tool.ring_events_dropped, "events were dropped"],
        [tool.hand_overs_lost, "hand-overs were not counted"],
        [tool.stacks_dropped, "samples of stacks were lost"],
        [tool.stacks_left_out, "smaller stacks are not among the rows"],
    ].filter(([number]) => number > 0);
    const left = tool.rows_left_out;
    if (left) {
        const title = "The process had too little memory for them. The sums count them";
        return h("span", { title }, `${plural(left, "row", "rows")} left out`);
    }
    if (!lost.length) return null;
    const text = lost.map(([number, what]) => `${count(number)} ${what}`).join("\n");
    return h("span", { class: "optional", title: text }, "not everything is kept");
}

function pause() {
    if (!stream) return;
    if (state.pause) {
        set({ pause: "" });
        stream.resume();
        if (waiting) take(waiting);
        waiting = null;
    } else {
        set({ pause: "1" });
        stream.pause();
    }
}

function compare() {
    if (!model) return;
    if (isExact()) set({ at: "" });
    else set({ at: keepNow(model) });
}

const THEMES = ["", "light", "dark"];

function theme() {
    const root = document.documentElement;
    if ((root.dataset.theme ?? "") !== state.theme) {
        if (state.theme) root.dataset.theme = state.theme;
        else delete root.dataset.theme;
        forgetColours();
        time.redraw();
    }
    setText($("#theme-name"), { light: "Light", dark: "Dark" }[state.theme] ?? "System");
}

const nextTheme = () => set({ theme: THEMES[(THEMES.indexOf(state.theme) + 1) % THEMES.length] });

// The list that the rows of a view come from. Of a large service the server sends the largest rows,
// and counts the others.
const listOf = (name) => (views[name] ?? views.sites).list;
// How many rows a view has; null where it is not known.
const totalOf = (name) => (lacksRows(name) ? null : (views[name] ?? views.sites).total());
const leftOut = (name) => model.snapshot.left_out?.[listOf(name)] ?? 0;

function tabs() {
    const box = $("#tabs");
    if (!box.children.length) {
        fill(
            box,
            names.map((name, index) =>
                h(
                    "button",
                    {
                        type: "button",
                        role: "tab",
                        id: `tab-${name}`,
                        "aria-controls": "panel",
                        title: `Key ${index + 1}`,
                        onclick: () => view(index),
                        onkeydown: (event) => alongTabs(event, index),
                    },
                    views[name].label,
                    span(""),
                ),
            ),
        );
    }
    names.forEach((name, index) => {
        const tab = box.children[index];
        const isChosen = views[name] === viewNow();
        setAttribute(tab, "aria-selected", String(isChosen));
        setAttribute(tab, "tabindex", isChosen ? "0" : "-1");
        const total = totalOf(name);
        const others = ["sites", "tasks", "vars", "frees"].includes(name) ? leftOut(name) : 0;
        setText(tab.lastChild, total == null ? "" : count(total + others));
    });
    setAttribute($("#panel"), "aria-labelledby", `tab-${state.tab}`);
}

function alongTabs(event, index) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = (index + step + names.length) % names.length;
    event.preventDefault();
    view(next);
    $(`#tab-${names[next]}`).focus();
}

function view(index) {
    const tab = names[index];
    if (tab && tab !== state.tab)
        set({ tab, q: "", sort: "", group: "", row: "", open: "", fold: "", under: "" }, true);
}

function controls() {
    const filter = $("#filter");
    if (document.activeElement !== filter) filter.value = state.q;
    const isBad = matcher() === undefined;
    $("#filter-box").classList.toggle("bad", isBad);
    setAttribute(filter, "aria-invalid", isBad ? "true" : null);
    const groups = viewNow().groups;
    const choose = $("#group");
    choose.closest("label").hidden = !groups;
    const all = ["", ...Object.keys(groups ?? {})];
    if (
        [...choose.options].map((it) => it.value).join() !== all.join() ||
        choose.dataset.tab !== state.tab
    ) {
        choose.dataset.tab = state.tab;
        fill(
            choose,
            all.map((it) => h("option", { value: it }, it || (viewNow().noGroup ?? "none"))),
        );
    }
    choose.value = state.group;
    setText($("#group-name"), viewNow().noGroup ? "Order" : "Group");
}

function stateLine() {
    const shown = table.entryCount();
    const total = totalOf(state.tab);
    const bad = matcher() === undefined && "That is no regular expression, so nothing is filtered.";
    const rows =
        state.q && !bad && !viewNow().isTree
            ? `${count(shown)} of ${plural(total ?? 0, "row", "rows")}`
            : (shown || total != null) && plural(shown, "row", "rows");
    const left = table.leftOutColumns();
    const stop = () => set({ at: "" });
    fill(
        $("#state"),
        bad ? span("high", bad) : span("", rows),
        state.at &&
            h(
                "button",
                { type: "button", class: "chip", onclick: stop, title: "Stop comparing (Esc)" },
                `Δ since ${clock(Number(state.at), true)} ×`,
            ),
        leftOut(state.tab) > 0 &&
            h(
                "span",
                { class: "cut", title: "The sums count them, and JSON has them" },
                notSent(leftOut(state.tab)),
            ),
        state.tab === "tasks" && shown > 0 && span("", living()),
        state.at && !viewNow().then && span("", compared()),
        shown > 0 && left.length > 0 && span("cut", `too narrow for: ${left.join(", ")}`),
    );
    fill($("#none"), shown === 0 && prose(nothing()));
    $("#head").hidden = shown === 0;
}

// The rows of tasks, and their number, are also those of ended tasks that left something.
function living() {
    const number = model.sites.reduce((sum, site) => sum + site.active, 0);
    const live = plural(number, "task lives", "tasks live");
    return `${live}; ended ones have a row while they hold bytes`;
}

// What the column of changes covers. What holds the heap says it itself.
function compared() {
    if (!isExact()) return "what the process kept by name";
    return state.tab === "code" ? "every sampled stack" : "every row, exact";
}

function notSent(number) {
    const [one, many] = state.tab === "code" ? ["stack", "stacks"] : ["one", "ones"];
    return `${plural(number, `smaller ${one}`, `smaller ${many}`)} not sent`;
}

// Near its limit of memory a process leaves rows out, and says how many in all.
function lacksRows(name) {
    const isEmpty = !model.snapshot[listOf(name)]?.length;
    return isEmpty && listOf(name) !== undefined && model.tool.rows_left_out > 0;
}

// Why a view is empty.
function nothing() {
    if (state.q) return "No row matches the filter.";
    if (lacksRows(state.tab)) {
        const rows = plural(model.tool.rows_left_out, "row", "rows");
        return `Not known: the process had too little memory, and left ${rows} out.`;
    }
    const reasons = {
        sites: "No task has been tracked yet.",
        tasks: "No task lives, and no ended one is kept.",
        waits:
            awaitsUnknown(model.snapshot.await_points_measured) ??
            "No task waits at a known await.",
        vars: "No variable is registered: `track_var!(name)` registers one.",
        futures: "No future has been tracked yet.",
        frees: "No task has freed what another one allocated.",
    };
    return reasons[state.tab] ?? "";
}

function foot() {
    const at = location.search;
    const to = (path, text) => h("a", { href: path + at }, text);
    const whole = () => {
        const json = new Blob([JSON.stringify(source.saved())], { type: "application/json" });
        const a = h("a", { href: URL.createObjectURL(json), download: "snapshot.json" });
        a.click();
        setTimeout(() => URL.revokeObjectURL(a.href), 1000);
    };
    if ($("#foot").children.length) return;
    fill(
        $("#foot"),
        h("button", { type: "button", class: "link", onclick: keys.help }, "Keys"),
        stream
            ? [
                  to("snapshot.json", "JSON"),
                  to("report.txt", "Text"),
                  to("debug/pprof/heap", "pprof"),
                  to("metrics", "Metrics"),
              ]
            : h("button", { type: "button", class: "link", onclick: whole }, "JSON"),
        span("dim", `memscope ${model.snapshot.memscope_version ?? ""}`),
    );
}

function start() {
    startState();
    onState((changed) => {
        explore();
        if ("at" in changed || "zoom" in changed) time.timeline(model);
    });
    table.start((row) => ({
        level: levels.get(row.key),
        swatch: colours.get(row.key) ?? colours.get(row.site?.key),
    }));
    time.start();
    keys.start({ pause, compare, theme: nextTheme, view });
    $("#filter").addEventListener("input", (event) => set({ q: event.target.value }));
    $("#group").addEventListener("change", (event) => set({ group: event.target.value, fold: "" }));
    $("#theme").addEventListener("click", nextTheme);
    $("#help").addEventListener("click", keys.help);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
        forgetColours();
        drawAll();
    });
    const inside = source.saved();
    document.body.classList.toggle("saved", inside !== null);
    if (inside) {
        state.pause = "";
        take(inside);
        setText($("#taken"), `Saved ${date(model.program.takenMs)}`);
        return;
    }
    stream = source.live(take, status.tell);
    $("#pause").addEventListener("click", pause);
    $("#save").setAttribute("href", `report.html${location.search}`);
    if (state.pause) set({ pause: "" });
    stream.start();
}

start();
