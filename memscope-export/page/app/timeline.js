// How live bytes developed: the largest sites as bands, what else tasks hold, and what is outside
// of tasks. Resident memory is a line, where it is measured. A drag zooms, a click compares.

import { colour, font } from "./canvas.js";
import { $, fill, h, link } from "./dom.js";
import { bytes, clock, date, decimals, unitOf } from "./format.js";
import { split } from "./names.js";
import { set, state } from "./state.js";

const NAMED = 5;
const LABEL = 18;
// Distances of the times below, in seconds.
const [MINUTE, HOUR, DAY] = [60, 3600, 86400];
const STEPS = [
    ...[1, 2, 5, 10, 15, 30],
    ...[1, 2, 5, 10, 15, 30].map((it) => it * MINUTE),
    ...[1, 2, 4, 6, 12].map((it) => it * HOUR),
    ...[1, 2, 7, 14, 28, 90].map((it) => it * DAY),
];

let plot = null;
let form = "";
let model = null;
let bands = [];
let lines = [];
let unit = null;

// The token of each site that has a band: its rows have the same square.
export const swatches = ({ timeline }) =>
    new Map(timeline.series.slice(0, NAMED).map((it, index) => [it.key, `--s${index + 1}`]));

function bandsOf({ timeline, program }) {
    const { process, series } = timeline;
    const named = series.slice(0, NAMED).map((it, index) => ({
        name: split(it.name, program)[1],
        token: `--s${index + 1}`,
        values: it.values.map((value) => value ?? 0),
    }));
    const others = process.map((point, at) =>
        Math.max(0, point.tracked_bytes - named.reduce((sum, it) => sum + it.values[at], 0)),
    );
    const outside = process.map((point) => point.untracked_bytes);
    const all = [
        ...named,
        { name: "other tasks", token: "--s6", values: others },
        { name: "outside tasks", token: "--s7", values: outside },
    ];
    return all.filter((band) => band.values.some((value) => value > 0));
}

function linesOf({ timeline, resident }) {
    const values = timeline.process.map((point) => point.resident_bytes ?? null);
    if (!values.some((value) => value != null)) return [];
    const limit = resident?.limit_bytes;
    return [
        { name: "resident", token: "--ink", values },
        limit && { name: "limit", token: "--ink", values: values.map(() => limit), dash: [5, 4] },
    ].filter(Boolean);
}

export function timeline(nextModel) {
    model = nextModel;
    const { times, process } = model.timeline;
    const isDrawn = model.isMeasured && process.length > 1;
    $("#time").hidden = !isDrawn;
    fill($("#time-none"), !isDrawn && why(process.length));
    if (!isDrawn) return;
    [bands, lines] = [bandsOf(model), linesOf(model)];
    const sums = process.map(() => 0);
    const stacked = bands.map((band) => band.values.map((value, at) => (sums[at] += value)));
    const most = Math.max(1, ...sums, ...lines.flatMap((line) => line.values.map((it) => it ?? 0)));
    unit = unitOf("bytes", most);
    fill($("#h-time"), `Live by site, ${unit.name}`);
    const data = [times.map((ms) => ms / 1000), ...stacked, ...lines.map((line) => line.values)];
    const nextForm = [...bands, ...lines].map((it) => `${it.token} ${it.name}`).join("\n");
    if (!plot || form !== nextForm) build(data, nextForm);
    else plot.setData(data, false);
    zoom(most);
    hint();
}

const why = (points) =>
    points ? "One reading so far: there is nothing to draw yet." : "No readings were kept.";

function zoom(most) {
    const { times } = model.timeline;
    const [from, to] = state.zoom
        ? state.zoom.split("-").map((ms) => Number(ms) / 1000)
        : [times[0] / 1000, times.at(-1) / 1000];
    plot.batch(() => {
        plot.setScale("x", { min: from, max: to });
        plot.setScale("y", { min: 0, max: most * 1.04 });
    });
}

function hint() {
    const whole = link("Whole time", () => set({ zoom: "" }));
    fill($("#time-hint"), state.zoom ? whole : "click to compare, drag to zoom");
}

function build(data, nextForm) {
    form = nextForm;
    plot?.destroy();
    const box = $("#time");
    const axis = { font: font(), stroke: () => colour("--ink3"), ticks: { show: false } };
    const grid = { stroke: () => colour("--hair"), width: 1 };
    const line = (it, isBand) => ({
        label: it.name,
        stroke: () => colour(isBand ? "--bg" : it.token),
        width: isBand ? 1 : 1.5,
        dash: it.dash,
        points: { show: false },
    });
    const series = [...bands.map((it) => line(it, true)), ...lines.map((it) => line(it, false))];
    series[0].fill = () => colour(bands[0].token);
    plot = new uPlot(
        {
            ...size(),
            padding: [18, 30, 0, 0],
            legend: { show: false },
            scales: { x: { time: true, auto: false }, y: { auto: false } },
            axes: [
                {
                    ...axis,
                    grid: { show: false },
                    values: (_, at) => at.map(tick),
                    space: 78,
                    incrs: STEPS,
                    size: 26,
                },
                { ...axis, grid, splits, values: (_, at) => at.map(figure), size: 46, gap: 6 },
            ],
            series: [{}, ...series],
            bands: bands.slice(1).map((band, at) => ({
                series: [at + 2, at + 1],
                fill: () => colour(band.token),
            })),
            cursor: {
                y: false,
                points: { show: false },
                drag: { x: true, y: false, setScale: false },
                bind: { dblclick: () => () => set({ zoom: "", at: "" }) },
            },
            hooks: {
                draw: [drawMoment, labels],
                setCursor: [labels],
                setSelect: [select],
            },
        },
        data,
        box,
    );
    plot.over.addEventListener("click", pick);
}

// Four or five round numbers of the unit: 1, 2 or 5 times a power of ten.
function splits(_, __, ___, most) {
    const rough = most / unit.size / 4;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((it) => it * power).find((it) => it >= rough) * unit.size;
    return Array.from({ length: Math.floor(most / step) + 1 }, (_, at) => at * step);
}

function figure(value) {
    const scaled = value / unit.size;
    return decimals(scaled, Number.isInteger(scaled) ? 0 : Number.isInteger(scaled * 10) ? 1 : 2);
}

// Seconds in the clock's text only where the whole is shorter than some minutes.
function tick(seconds) {
    const { min, max } = plot?.scales.x ?? {};
    return clock(seconds * 1000, max - min < 300);
}

const size = () => ({
    width: Math.max(200, $("#time").clientWidth - labelWidth()),
    height: Math.max(180, $("#time").clientHeight),
});
const labelWidth = () => ($("#time").clientWidth < 620 ? 168 : 204);

let dragged = false;

function select() {
    const { left, width } = plot.select;
    if (width < 4) return;
    dragged = true;
    const ms = (x) => Math.round(plot.posToVal(x, "x") * 1000);
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    set({ zoom: `${ms(left)}-${ms(left + width)}` });
}

function pick() {
    if (!dragged && plot.cursor.idx != null) compareWith(plot.cursor.idx);
    dragged = false;
}

function compareWith(index) {
    const ms = String(Math.round(model.timeline.times[index]));
    set({ at: state.at === ms ? "" : ms });
}

// The moment that rows are compared with.
function drawMoment() {
    const x = Math.round(plot.valToPos(Number(state.at) / 1000, "x", true));
    const { left, top, width, height } = plot.bbox;
    if (!state.at || x < left || x > left + width) return;
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour("--accent");
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(x, top - 4 * devicePixelRatio);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    ctx.font = font().replace("13px", `${13 * devicePixelRatio}px`);
    ctx.textBaseline = "middle";
    ctx.textAlign = x < left + width * 0.2 ? "left" : x > left + width * 0.8 ? "right" : "center";
    ctx.fillText(`Δ since ${clock(Number(state.at), isShort())}`, x, top - 11 * devicePixelRatio);
    ctx.restore();
}

const isShort = () => {
    const { times } = model.timeline;
    return times.at(-1) - times[0] < 300e3;
};

// Names stand at the bands; under the pointer they become the read-out. No legend, no floating box.
function labels() {
    if (!plot || plot.data[0].length !== model.timeline.times.length) return;
    const last = plot.data[0].length - 1;
    const pointed = plot.cursor.left >= 0 ? plot.cursor.idx : null;
    const at = pointed ?? last;
    const top = plot.over.offsetTop;
    const y = (value) => plot.valToPos(value, "y") + top;
    const end = state.zoom ? at : last;
    const all = bands.map((band, index) => {
        const [upper, lower] = [plot.data[index + 1][end], index ? plot.data[index][end] : 0];
        return { ...band, value: band.values[at], y: y((upper + lower) / 2) };
    });
    for (const it of lines) {
        if (it.values[at] != null)
            all.push({ ...it, isLine: true, value: it.values[at], y: y(it.values[end] ?? 0) });
    }
    const height = $("#time").clientHeight;
    spread(all, height - 26);
    const written = all.map((it) =>
        h(
            "li",
            { style: { transform: `translateY(${it.y - LABEL / 2}px)` } },
            h("span", {
                class: it.isLine ? "stroke" : "swatch",
                style: { background: `var(${it.token})` },
            }),
            h("span", { class: "cut", title: it.name }, it.name),
            h("span", { class: "number" }, inOneUnit(it.value)),
        ),
    );
    const head =
        pointed != null && h("li", { class: "now" }, clock(model.timeline.times[at], isShort()));
    $("#time-labels").style.width = `${labelWidth() - 12}px`;
    fill($("#time-labels"), head, written);
    describe(at);
}

const inOneUnit = (value) => decimals(value / unit.size, unit.digits > 1 ? 1 : unit.digits);

// Labels do not overlap: from below each is pushed up by the one under it, then down from the top.
function spread(all, floor) {
    all.sort((a, b) => b.y - a.y);
    let least = floor;
    for (const it of all) {
        it.y = Math.min(it.y, least);
        least = it.y - LABEL;
    }
    let most = 26;
    for (const it of all.toReversed()) {
        it.y = Math.max(it.y, most);
        most = it.y + LABEL;
    }
}

function describe(at) {
    const { times, process } = model.timeline;
    const box = $("#time");
    box.setAttribute("aria-valuemax", times.length - 1);
    box.setAttribute("aria-valuenow", at);
    box.setAttribute(
        "aria-valuetext",
        `${date(times[at])}: ${bytes(process[at].whole_bytes)} live`,
    );
}

export function start() {
    const box = $("#time");
    box.addEventListener("keydown", (event) => {
        if (!plot) return;
        const now = plot.cursor.left >= 0 ? plot.cursor.idx : model.timeline.times.length - 1;
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (step) point(Math.max(0, Math.min(model.timeline.times.length - 1, now + step)));
        else if (event.key === "Enter") compareWith(now);
        else return;
        event.preventDefault();
        event.stopPropagation();
    });
    box.addEventListener("blur", () => plot?.setCursor({ left: -10, top: -10 }));
    new ResizeObserver(() => plot && !box.hidden && plot.setSize(size())).observe(box);
}

const point = (index) =>
    plot.setCursor({ left: plot.valToPos(model.timeline.times[index] / 1000, "x"), top: 10 });

// After a change of the theme, or of the moment.
export const redraw = () => plot?.redraw(false);
