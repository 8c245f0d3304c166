// Pieces of the drawer: lists of figures, links to rows, frames, histograms, a line over time.

import { h, link, span, svg } from "./dom.js";
import { bytes, count, DASH, duration, estimated, exactly, percent } from "./format.js";
import { originOf } from "./names.js";
import { shownFrames } from "./stacks.js";
import { set, visit } from "./state.js";

const WIDTH = 408;

// Figures: [label, text, tooltip]; absent ones are left out.
export const figures = (...pairs) =>
    h(
        "dl",
        { class: "figures" },
        pairs
            .filter(Boolean)
            .map(([label, text, tip]) => [
                h("dt", {}, label),
                h("dd", { title: tip ?? null }, text),
            ]),
    );

export const sized = (label, value, why) => [
    label,
    bytes(value),
    value == null ? (why ?? "Not measured") : exactly(value),
];

export const section = (title, right, ...inside) =>
    h("section", {}, title && h("h3", {}, title, right && span("", right)), inside);

export const line = (left, right) =>
    h("div", { class: "pair" }, h("div", { class: "cut" }, left), span("number", right));

export const rowLink = (text, right, tab, key) =>
    line(
        link(text, () => visit(tab, { row: key, open: "1" })),
        right,
    );

export const siteLink = (site, text) =>
    site
        ? rowLink(
              text ?? site.name,
              bytes(site.measured ? site.live_bytes : null),
              "sites",
              site.key,
          )
        : null;

export const taskLink = (task, label) =>
    rowLink(
        `${label} #${task.id}, ${task.name}`,
        bytes(task.measured ? task.live_bytes : null),
        "tasks",
        task.key,
    );

// What narrows a view: a click widens it again.
export const chip = (label, change) =>
    h(
        "button",
        { type: "button", class: "chip cut", title: label, onclick: () => set(change) },
        `${label} ×`,
    );

// Frames, the outermost first, each with what is below it.
export const frames = (list, program, below) =>
    h(
        "ol",
        { class: "frames" },
        list.map((frame, at) => {
            const isOwn = originOf(frame, program) === "own";
            const names = [isOwn && "own", at === list.length - 1 && "leaf"].filter(Boolean);
            return h(
                "li",
                { class: names.join(" ") || null },
                h("span", { class: "code cut", title: frame.function }, frame.function),
                frame.place &&
                    h("span", { class: "code dim cut", title: frame.file || null }, frame.place),
                below?.(frame),
            );
        }),
    );

// A histogram over powers of two: a bar counts what is at most `up_to`.
export function histogram(buckets, kind) {
    const filled = buckets.filter((bucket) => bucket.count);
    if (!filled.length) return null;
    const [first, last] = [buckets.indexOf(filled[0]), buckets.indexOf(filled.at(-1))];
    const shown = buckets.slice(first, last + 1);
    const all = shown.reduce((sum, bucket) => sum + bucket.count, 0);
    const most = Math.max(...shown.map((bucket) => bucket.count));
    const wide = Math.min(64, WIDTH / shown.length);
    const text = (value) => (kind === "time" ? duration(value) : bytes(value));
    const bar = (bucket, at) => {
        const tall = bucket.count ? Math.max(1, (bucket.count / most) * 48) : 0;
        return svg(
            "rect",
            { x: at * wide, width: wide - 2, y: 50 - tall, height: tall },
            svg(
                "title",
                {},
                `up to ${text(bucket.up_to)}: ${count(bucket.count)} of ${count(all)}`,
            ),
        );
    };
    const label = (at, anchor, x) =>
        svg("text", { x, y: 66, "text-anchor": anchor }, `≤ ${text(shown[at].up_to)}`);
    const end = shown.length - 1;
    return svg(
        "svg",
        {
            class: "histogram",
            viewBox: `0 0 ${WIDTH} 70`,
            role: "img",
            "aria-label": shown.map((it) => `up to ${text(it.up_to)}: ${it.count}`).join(", "),
        },
        svg("line", { x1: 0, x2: wide * shown.length - 2, y1: 50.5, y2: 50.5 }),
        shown.map(bar),
        label(0, "start", 0),
        end > 2 && label(end, "end", Math.max(200, wide * shown.length - 2)),
    );
}

// Live bytes over time.
export function spark(points) {
    const [from, to] = [points[0].at_ns, points.at(-1).at_ns];
    const most = Math.max(1, ...points.map((point) => point.live_bytes)) * 1.05;
    const x = (point) => (((point.at_ns - from) / (to - from || 1)) * WIDTH).toFixed(1);
    const y = (point) => (54 - (point.live_bytes / most) * 50).toFixed(1);
    const path = points.map((point) => `${x(point)} ${y(point)}`).join("L");
    return svg(
        "svg",
        {
            class: "spark",
            viewBox: `0 0 ${WIDTH} 56`,
            preserveAspectRatio: "none",
            "aria-hidden": "true",
        },
        svg("path", { class: "area", d: `M0 54L${path}L${WIDTH} 54Z` }),
        svg("path", { d: `M${path}` }),
    );
}

export function overTime(model, key) {
    const points = model.trends.get(key);
    if (!points || points.length < 2) return null;
    const values = points.map((point) => point.live_bytes);
    const over = duration(points.at(-1).at_ns - points[0].at_ns);
    return section(
        `Live, ${over}`,
        `${bytes(Math.min(...values))} to ${bytes(Math.max(...values))}`,
        spark(points),
    );
}

// Parts of one whole: [class, number].
export function meter(parts) {
    const whole = parts.reduce((sum, [, number]) => sum + number, 0) || 1;
    return h(
        "div",
        { class: "meter", "aria-hidden": "true" },
        parts
            .filter(([, number]) => number)
            .map(([name, number]) =>
                h("i", { class: name, style: { width: `max(2px, ${(100 * number) / whole}%)` } }),
            ),
    );
}

export const stackList = (stacks, program) =>
    stacks.map((stack) =>
        h(
            "div",
            { class: "stack" },
            h(
                "p",
                { class: "soft" },
                `${estimated(stack.live_bytes)} live, ${count(stack.live_samples)} samples; ` +
                    `${estimated(stack.allocated_bytes)} allocated, ${count(stack.samples)}`,
            ),
            frames(shownFrames(stack, program), program),
        ),
    );

// Lists in the drawer show the largest few, and how many more there are.
export const FEW = 6;
export const more = (all) =>
    all.length > FEW && h("p", { class: "dim" }, `and ${count(all.length - FEW)} more`);
export const byBytes = (field) => (a, b) => b[field] - a[field];

const variableLine = (model) => (it) => {
    const row = model.variables.find(
        (all) =>
            all.name === it.name &&
            all.type_name === it.type_name &&
            all.file === it.file &&
            all.line === it.line,
    );
    const open = () => visit("vars", { row: row.key, open: "1" });
    const name = row ? link(it.name, open, { class: "link code" }) : span("code", it.name);
    return line([name, span("dim code", `  ${it.type_name}`)], variableSize(it));
};

export const variableLines = (model, variables) =>
    variables.length > 0 &&
    section("Variables", "heap", variables.slice(0, FEW).map(variableLine(model)), more(variables));

export const variableSize = (it) => {
    if (it.extent === "partial") return `at least ${bytes(it.heap_bytes)}`;
    return it.extent === "whole" ? bytes(it.heap_bytes) : DASH;
};

// The state machine, and what makes it as large as it is.

export const localLine = (whole) => (local) =>
    line(
        [span("code", local.name), span("dim code", `  ${local.type_name}`)],
        whole
            ? `${count(local.bytes)} B, ${percent(local.bytes, whole)}`
            : `${count(local.bytes)} B`,
    );
