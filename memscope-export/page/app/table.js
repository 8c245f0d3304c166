// One table for all views. Only the rows in sight exist; the window is what scrolls. No work grows
// with the number of rows while scrolling.
//
// While the pointer is over the rows, their order holds still; only numbers change.

import { $, fill, h, setAttribute, setText, severity, span } from "./dom.js";
import { count, DASH, decimals, duration, exactly, inUnit, unitOf } from "./format.js";
import { split } from "./names.js";
import { entriesOf, sortOf } from "./order.js";
import { set, state, toggleFold } from "./state.js";
import { headOf } from "./views.js";

const ROW = 28;
const GAP = 20;
const PAD = 8;

let view = null;
let model = null;
let entries = [];
let columns = [];
let units = new Map();
let largest = 1;
let held = null;
let isOver = false;
const pool = [];
let decorate = () => ({});

export const entryCount = () => entries.length;
export const leftOutColumns = () =>
    view.columns.filter((it) => isShown(it) && !columns.includes(it)).map((it) => it.label);
const isShown = (column) => column.shown?.() ?? true;
const lookOf = () => [state.tab, state.q, state.group, state.sort].join("\n");

export function start(decorateRow) {
    decorate = decorateRow;
    const body = $("#rows");
    body.addEventListener("pointerenter", () => {
        isOver = true;
        hold();
    });
    body.addEventListener("pointerleave", () => {
        isOver = false;
        settle();
    });
    body.addEventListener("click", click);
    addEventListener("scroll", () => drawRows(false), { passive: true });
    new ResizeObserver(() => view && layOut()).observe(body);
}

function hold() {
    if (held || !view || view.isTree) return;
    const rows = entries.filter((entry) => !entry.isGroup).map((entry) => [entry.key, entry.row]);
    held = { look: lookOf(), rows };
}

// Sorts again what has been held.
export function settle() {
    if (!held) return;
    held = null;
    if (view) show(view, model);
    if (isOver) hold();
}

export function show(nextView, nextModel) {
    [view, model] = [nextView, nextModel];
    if (held && held.look !== lookOf()) held = null;
    entries = entriesOf(view, held?.rows);
    if (held) held.rows = entries.filter((it) => !it.isGroup).map((it) => [it.key, it.row]);
    else if (isOver) hold();
    layOut();
}

// Which columns have room, their units, and the head.
function layOut() {
    columns = view.columns.filter(isShown);
    const room = ($("#rows").clientWidth || 900) - 2 * PAD;
    const width = (list) => list.reduce((sum, it) => sum + (it.width || it.min) + GAP, -GAP);
    while (width(columns) > room) {
        const first = columns.reduce((a, b) => (b.drop >= a.drop ? b : a));
        if (!first.drop) break;
        columns = columns.filter((it) => it !== first);
    }
    measure();
    const widths = columns.map((it) => (it.width ? `${it.width}px` : `minmax(${it.min}px,1fr)`));
    document.documentElement.style.setProperty("--columns", widths.join(" "));
    const { key, sign } = sortOf(view);
    fill(
        $("#head"),
        columns.map((column) => headCell(column, column.key === key ? sign : 0)),
    );
    drawRows(true);
}

function headCell(column, sign) {
    const unit = units.get(column)?.name;
    return h(
        "div",
        {
            role: "columnheader",
            class: column.kind === "text" ? "cell" : "cell number",
            "aria-sort": sign ? (sign < 0 ? "descending" : "ascending") : null,
        },
        h(
            "button",
            { type: "button", title: `Sort by ${column.label}`, onclick: () => sortBy(column) },
            headOf(column),
            unit && h("em", {}, ` ${column.isEstimate ? "≈ " : ""}${unit}`),
            sign !== 0 && h("span", { "aria-hidden": "true" }, sign < 0 ? " ↓" : " ↑"),
        ),
    );
}

// One unit a column: that of its largest value.
function measure() {
    units = new Map();
    largest = 1;
    for (const column of columns) {
        if (column.kind !== "bytes" && column.kind !== "time" && !column.hasBar) continue;
        let most = 0;
        let isKnown = false;
        for (const { row } of entries) {
            const value = column.value(row);
            if (value != null) isKnown = true;
            most = Math.max(most, Math.abs(value ?? 0));
        }
        // Where no value is known, no unit is one.
        if (column.kind !== "count" && isKnown) {
            const unit = unitOf(column.kind, most);
            // An estimate has no third digit.
            units.set(
                column,
                column.isEstimate ? { ...unit, digits: Math.min(1, unit.digits) } : unit,
            );
        }
        if (column.hasBar) largest = Math.max(1, most);
    }
}

export function sortBy(column) {
    held = null;
    const now = sortOf(view);
    const first = column.kind === "text" ? column.key : `-${column.key}`;
    const other = now.sign < 0 ? column.key : `-${column.key}`;
    set({ sort: now.key === column.key ? other : first });
}

// The next column, or the other way round.
export function sortNext() {
    const at = columns.findIndex((it) => it.key === sortOf(view).key);
    sortBy(columns[(at + 1) % columns.length]);
}
export const invertSort = () => sortBy(columns.find((it) => it.key === sortOf(view).key));

const topOf = (element) => element.getBoundingClientRect().top;

export function drawRows(isAnew) {
    if (!view) return;
    const body = $("#rows");
    body.style.height = `${entries.length * ROW}px`;
    const first = Math.max(0, Math.floor(-topOf(body) / ROW) - 4);
    const last = Math.min(entries.length, first + Math.ceil(innerHeight / ROW) + 10);
    while (pool.length < last - first) {
        pool.push(body.appendChild(h("div", { class: "row", role: "row" })));
    }
    const form = `${state.tab} ${columns.map((it) => it.key)}`;
    pool.forEach((element, index) => {
        const at = first + index;
        element.hidden = at >= last;
        if (at >= last) delete element.dataset.key;
        else drawRow(element, at, form, isAnew);
    });
    const active = entries.findIndex((it) => it.key === state.row);
    const isDrawn = active >= first && active < last;
    setAttribute(body, "aria-activedescendant", isDrawn ? `row-${active}` : null);
    setAttribute(body, "role", view.isTree || view.groups?.[state.group] ? "treegrid" : "grid");
    setAttribute(body, "aria-rowcount", entries.length + 1);
}

function drawRow(element, at, form, isAnew) {
    const entry = entries[at];
    if (element.dataset.form !== form) {
        element.dataset.form = form;
        delete element.dataset.key;
        fill(element, columns.map(emptyCell));
    }
    const isSame = element.dataset.key === entry.key;
    if (isSame && !isAnew) return place(element, at, entry);
    element.dataset.key = entry.key;
    place(element, at, entry);
    element.classList.toggle("group", Boolean(entry.isGroup));
    element.classList.toggle("gone", Boolean(entry.row.isGone));
    setAttribute(element, "title", entry.row.isGone ? "It has ended, or is no longer sent" : null);
    setAttribute(
        element,
        "aria-level",
        entry.isOpen != null || entry.level ? entry.level + 1 : null,
    );
    setAttribute(element, "aria-expanded", entry.isOpen == null ? null : String(entry.isOpen));
    columns.forEach((column, index) => drawCell(element.children[index], column, entry, isSame));
}

function place(element, at, entry) {
    element.id = `row-${at}`;
    element.style.transform = `translateY(${at * ROW}px)`;
    setAttribute(element, "aria-rowindex", at + 2);
    setAttribute(element, "aria-selected", String(entry.key === state.row));
}

const emptyCell = (column) =>
    h("div", { role: "gridcell" }, column.hasBar && [h("div", {}, h("i"), h("i")), span("")]);

function drawCell(cell, column, entry, isSame) {
    if (column.isName) return drawName(cell, column, entry);
    const { row } = entry;
    const value = column.value(row);
    const isKnown = value != null && value !== "" && !Number.isNaN(value);
    const box = column.hasBar ? cell.lastChild : cell;
    if (column.hasBar) {
        cell.className = "cell bar-cell";
        drawBar(cell.firstChild, isKnown ? value : 0, column.left?.(row) ?? 0);
    }
    const isBlank = entry.isGroup && !column.isChange;
    const written = isKnown ? textOf(column, value, row) : isBlank ? "" : DASH;
    const isNumber = column.kind !== "text";
    const names = [column.hasBar ? "" : "cell", isNumber ? "number" : "soft"];
    if (column.isCode) names.push("code");
    if (column.isPlace && isKnown) names.push("place");
    if (!isKnown || value === 0) names.push("zero");
    if (column.isChange && value > 0) names.push("up");
    if (column.isChange && value < 0) names.push("down");
    if (isSame && isNumber && box.textContent !== written) names.push("changed");
    box.className = names.join(" ");
    setText(box, written);
    const why = () => column.why?.(row) ?? "Not known";
    setAttribute(box, "title", isKnown ? tipOf(column, value) : isBlank ? null : why());
}

function textOf(column, value, row) {
    if (column.kind === "text") return value;
    if (column.kind === "percent") return `${count(value)} %`;
    const sign = column.isChange && value > 0 ? "+" : (value && column.sign?.(row)) || "";
    if (units.has(column)) return sign + inUnit(value, units.get(column));
    return column.plain ? String(value) : count(value);
}

function tipOf(column, value) {
    if (column.kind === "text") return value;
    if (column.isEstimate) return "An estimate from samples";
    if (column.kind === "bytes") {
        return Number.isInteger(value) ? exactly(value) : `${decimals(value, 1)} bytes`;
    }
    return column.kind === "time" ? duration(value) : null;
}

// Blue: of the living; orange: left by the ended.
function drawBar(box, all, left) {
    const width = (part) => (part > 0 ? `max(1px, ${(100 * part) / largest}%)` : "0");
    const [living, ended] = box.children;
    living.style.width = width(all - left);
    ended.style.width = width(left);
}

function drawName(cell, column, entry) {
    const { row } = entry;
    const name = entry.isGroup ? row.name : view.name(row);
    cell.className = column.isCode ? "cell name code" : "cell name";
    cell.title = name;
    cell.style.paddingLeft = entry.level ? `${Math.min(entry.level, 24) * 16}px` : "";
    const hasTwist = view.isTree || Boolean(view.groups?.[state.group]);
    const twist = entry.isOpen == null ? "" : entry.isOpen ? "▾" : "▸";
    const { level, swatch } = entry.isGroup ? {} : decorate(row);
    const [crate, rest] = entry.isGroup ? ["", name] : split(row.short ?? name, model.program);
    fill(
        cell,
        hasTwist && h("span", { class: "twist", "aria-hidden": "true" }, twist || "\u00a0"),
        level && severity(level),
        swatch && h("span", { class: "swatch", style: { background: `var(${swatch})` } }),
        span("cut", crate && span("dim", crate), rest),
        row.note && span("dim cut note", row.note),
        entry.isGroup && span("dim", count(row.members.length)),
    );
}

function click(event) {
    const at = event.target.closest(".row")?.id.slice(4);
    const entry = entries[at];
    if (!entry) return;
    const isTwist = event.target.classList.contains("twist") && entry.isOpen != null;
    if (entry.isGroup || isTwist) toggleFold(entry.key);
    else openRow(entry.key);
}

// The clicked row stays under the pointer although the page gets narrower.
export function openRow(key) {
    keepInPlace(key, () => set({ row: key, open: "1" }, !state.open));
}

export function closeRow() {
    keepInPlace(state.row, () => set({ open: "" }));
    $("#rows").focus({ preventScroll: true });
}

function keepInPlace(key, change) {
    const at = entries.findIndex((it) => it.key === key);
    const y = () => topOf($("#rows")) + at * ROW;
    const was = y();
    change();
    if (at >= 0 && was > 0 && was < innerHeight) scrollBy(0, y() - was);
}

// The keys of rows: next and previous, open, fold.
export function move(step) {
    if (!entries.length) return;
    const chosen = entries.findIndex((it) => it.key === state.row);
    const now = chosen < 0 && step < 0 ? entries.length : chosen;
    const next = Math.max(0, Math.min(entries.length - 1, now + step));
    set({ row: entries[next].key });
    reveal(next);
}

export function reveal(at) {
    const y = topOf($("#rows")) + at * ROW;
    const lid = $(".stick").offsetHeight + $("#head").offsetHeight + 4;
    if (y < lid) scrollBy(0, y - lid);
    else if (y + ROW > innerHeight - 8) scrollBy(0, y + ROW - innerHeight + 8);
}

export function enter() {
    const entry = entries.find((it) => it.key === state.row);
    if (entry?.isGroup) toggleFold(entry.key);
    else if (entry) openRow(entry.key);
}

export function unfold(wanted) {
    const entry = entries.find((it) => it.key === state.row);
    if (entry?.isOpen != null && entry.isOpen !== wanted) toggleFold(entry.key);
}

// Where a row stands in the table; -1: nowhere.
export const indexOf = (key) => entries.findIndex((it) => it.key === key);
