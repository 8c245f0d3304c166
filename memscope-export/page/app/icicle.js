// Where the code allocates: sampled stacks as an icicle, the root at the top. A width is an
// estimate of bytes. The program's own code is in colour.

import { clip, colour, prepare } from "./canvas.js";
import { $, fill, h, span } from "./dom.js";
import { bytes, estimated, percent, plural } from "./format.js";
import { lastTwo, split } from "./names.js";
import { icicleOf } from "./stacks.js";
import { matcher, set, state } from "./state.js";

const ROW = 24;
const TOKENS = { own: "--f-own", dep: "--f-dep", std: "--f-std", site: "--f-site" };
// Deeper trees are cut, so that a canvas stays below what browsers draw.
const MOST_ROWS = 120;

let boxes = [];
let pointed = null;
let root = null;
let focused = null;
let model = null;

export function icicle(nextModel) {
    model = nextModel;
    const box = $("#code-head");
    box.hidden = state.tab !== "code";
    if (box.hidden) return;
    if (!model.stacks.length) {
        fill(box, h("p", { class: "calm" }, none(model.snapshot)));
        return;
    }
    if (!$("#icicle")) build(box);
    fill($("#code-tools"), tools());
    const was = pointed?.path;
    root = icicleOf(model, state, matcher());
    focused = state.focus ? find(root, (node) => node.name === state.focus) : null;
    pointed = was ? (find(root, (node) => pathOf(node) === was) ?? null) : null;
    if (pointed) pointed.path = was;
    draw();
}

function none({ measured, stacks_measured: why, stack_interval_bytes: interval }) {
    if (measured !== "yes") return "Stacks are not sampled, as sizes are not measured.";
    const reasons = {
        off: "Stacks are not sampled: the setting `stacks` is off.",
        unsupported: "Stacks are not sampled: this platform cannot unwind them without a lock.",
        disabled: "Stacks are not sampled: the feature `enabled` is off.",
    };
    return (
        reasons[why] ??
        `No stack has been sampled yet: on average one is in ${bytes(interval)} that are allocated.`
    );
}

function build(box) {
    const canvas = h("canvas", {
        id: "icicle",
        tabindex: 0,
        role: "img",
        "aria-label": "Icicle of sampled stacks; the table below has the same figures",
    });
    canvas.addEventListener("pointermove", (event) => point(boxAt(event)?.node ?? null));
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("click", (event) => {
        const node = boxAt(event)?.node;
        if (!node) return;
        if (event.shiftKey) hide(node);
        else focus(node);
    });
    canvas.addEventListener("keydown", keys);
    new ResizeObserver(() => root && draw()).observe(box);
    fill(
        box,
        h("div", { id: "code-tools", class: "code-tools" }),
        h("div", { id: "read-out", class: "read-out", role: "status" }),
        canvas,
    );
}

function tools() {
    const choice = (name, value, label) =>
        h(
            "button",
            {
                type: "button",
                "aria-pressed": String(state[name] === value),
                onclick: () => set({ [name]: value }),
            },
            label,
        );
    const chip = (label, change) =>
        h(
            "button",
            { type: "button", class: "chip cut", title: label, onclick: () => set(change) },
            `${label} ×`,
        );
    const hidden = state.hide ? state.hide.split("\n").length : 0;
    return [
        h(
            "div",
            { class: "choice", role: "group", "aria-label": "Bytes" },
            choice("kind", "live", "Live"),
            choice("kind", "allocated", "Allocated"),
        ),
        h(
            "div",
            { class: "choice", role: "group", "aria-label": "Frames" },
            choice("frames", "", "From own code"),
            choice("frames", "all", "All frames"),
        ),
        state.site && chip(model.siteByKey.get(state.site)?.name ?? state.site, { site: "" }),
        state.focus && chip(`through ${lastTwo(state.focus)}`, { focus: "" }),
        hidden > 0 && chip(`${plural(hidden, "frame", "frames")} hidden`, { hide: "" }),
    ];
}

function find(from, wanted) {
    const open = [from];
    while (open.length) {
        const node = open.shift();
        if (wanted(node)) return node;
        open.push(...node.sorted);
    }
    return null;
}

function pathOf(node) {
    const names = [];
    for (let at = node; at; at = at.parent) names.unshift(at.name);
    return names.join("\n");
}

function draw() {
    const top = focused ?? root;
    const above = [];
    for (let at = top.parent; at; at = at.parent) above.unshift(at);
    boxes = above.map((node, row) => ({ node, x: 0, row, share: 1, isAbove: true }));
    const open = [{ node: top, x: 0, row: above.length, share: 1 }];
    while (open.length) {
        const box = open.pop();
        boxes.push(box);
        if (box.row >= MOST_ROWS) continue;
        let x = box.x;
        for (const node of box.node.sorted) {
            const share = (box.share * node.bytes) / box.node.bytes;
            if (share > 0.0005) open.push({ node, x, row: box.row + 1, share });
            x += share;
        }
    }
    const rows = 1 + boxes.reduce((most, box) => Math.max(most, box.row), 0);
    const canvas = $("#icicle");
    canvas.hidden = root.bytes === 0;
    if (canvas.hidden) {
        boxes = [];
        fill($("#read-out"), h("p", { class: "calm" }, noBytes()));
        return;
    }
    const { context, width } = prepare(canvas, rows * ROW + 4);
    const matches = matcher();
    for (const box of boxes) drawBox(context, box, width, matches);
    readOut(matches);
}

function drawBox(context, box, whole, matches) {
    const { node } = box;
    const [x, y, width] = [box.x * whole, box.row * ROW, box.share * whole];
    box.left = x;
    box.width = width;
    if (width < 1) return;
    const isDimmed = box.isAbove || (matches && !node.hit);
    context.globalAlpha = isDimmed ? 0.45 : 1;
    context.fillStyle = colour(TOKENS[node.origin]);
    context.fillRect(x, y, Math.max(1, width - 1), ROW - 1);
    context.globalAlpha = box.isAbove ? 0.7 : 1;
    if (matches?.(node.name)) {
        context.fillStyle = colour("--accent");
        context.fillRect(x, y + ROW - 4, Math.max(1, width - 1), 3);
    }
    if (node === pointed) {
        context.strokeStyle = colour("--ink");
        context.lineWidth = 1.5;
        context.strokeRect(x + 0.75, y + 0.75, Math.max(1, width - 2.5), ROW - 2.5);
    }
    if (width > 28) {
        const isOwn = node.origin === "own" || node.origin === "site";
        context.fillStyle = colour(isOwn ? "--ink" : "--ink2");
        const size = width > 150 ? estimated(node.bytes) : "";
        const taken = size && context.measureText(size).width + 12;
        context.textAlign = "left";
        const name = isOwn && !node.frame ? split(node.name, model.program)[1] : lastTwo(node.name);
        context.fillText(clip(context, name, width - 14 - taken), x + 6, y + ROW / 2);
        context.textAlign = "right";
        if (size) context.fillText(size, x + width - 7, y + ROW / 2);
    }
    context.globalAlpha = 1;
}

// Why there is nothing to draw, though stacks were sampled.
function noBytes() {
    const isNarrowed = state.site || state.focus || state.hide || state.q;
    if (isNarrowed || state.kind !== "live") return "No sampled stack is left to show.";
    const every = bytes(model.snapshot.stack_interval_bytes);
    return `None of the sampled blocks is live: about one in ${every} allocated is sampled.`;
}

function readOut(matches) {
    const of = (node) =>
        [
            estimated(node.bytes),
            plural(node.samples, "sample", "samples"),
            percent(node.bytes, root.bytes),
        ].join(", ");
    const node = pointed ?? focused;
    const what = state.kind === "live" ? "live" : "allocated since sampling began";
    const every = `one stack in ${bytes(model.snapshot.stack_interval_bytes)} allocated`;
    const found =
        matches && `. The filter matches ${estimated(root.hit)}, ${percent(root.hit, root.bytes)}`;
    const first = node
        ? [h("b", { class: "code" }, node.name), "  ", of(node)]
        : [
              h("b", {}, `${estimated(root.bytes)} ${what}`),
              `, ${plural(root.samples, "sample", "samples")}; ${every}`,
              found,
          ];
    const help =
        "Click a frame to look through it, shift-click to hide it. Blue is the program's own code.";
    const second = pointed?.frame?.place ? span("code", pointed.frame.place) : pointed ? "" : help;
    fill(
        $("#read-out"),
        h("p", { class: "cut" }, first),
        h("p", { class: "cut dim" }, second || "\u00a0"),
    );
}

const boxAt = ({ offsetX, offsetY }) =>
    boxes.find(
        ({ left, width, row }) =>
            offsetX >= left &&
            offsetX < left + width &&
            offsetY >= row * ROW &&
            offsetY < (row + 1) * ROW,
    );

function point(node) {
    if (node === pointed) return;
    pointed = node;
    if (node) node.path = pathOf(node);
    draw();
}

function focus(node) {
    pointed = null;
    set({ focus: node.parent && node.name !== state.focus ? node.name : "" });
}

function hide(node) {
    if (!node.parent) return;
    pointed = null;
    set({ hide: [...state.hide.split("\n").filter(Boolean), node.name].join("\n") });
}

function keys(event) {
    const now = pointed ?? focused ?? root;
    const siblings = now.parent?.sorted ?? [now];
    const at = siblings.indexOf(now);
    const to = {
        ArrowDown: now.sorted[0],
        ArrowUp: now.parent,
        ArrowLeft: siblings[at - 1],
        ArrowRight: siblings[at + 1],
    };
    if (event.key in to) point(to[event.key] ?? now);
    else if (event.key === "Enter") focus(now);
    else if (event.key === "Delete" || event.key === "x") hide(now);
    else return;
    event.preventDefault();
    event.stopPropagation();
}
