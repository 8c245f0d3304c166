// An icicle on a canvas, the root at the top: sampled stacks, and what holds the heap. The width of
// a node is its bytes. A click looks into a node; arrows, Enter and x do the same by keys.
//
// A node: `name`, `bytes`, `parent`, `sorted` (its children), and `hit`: bytes that the filter
// matches.

import { clip, colour, prepare } from "./canvas.js";
import { $, fill, h } from "./dom.js";
import { count } from "./format.js";
import { matcher } from "./state.js";

const ROW = 24;
// Deeper trees are cut, so that a canvas stays below what browsers draw.
const MOST_ROWS = 120;
// Narrower nodes are one together.
const LEAST_SHARE = 0.0005;

// `options`: `id` and `label` of the canvas; `says(node, matches)`: the two lines of the read-out,
// of no node too; `look(node)`: `{ token, isStrong, text, size }`; `text(node)`: what the filter
// looks at; `focus(node)`, and `hide(node)` where nodes can be hidden.
export function icicle(options) {
    let boxes = [];
    let pointed = null;
    let root = null;
    let focused = null;
    const readOut = h("div", { id: `${options.id}-says`, class: "read-out", role: "status" });
    const canvas = h("canvas", {
        id: options.id,
        class: "icicle",
        tabindex: 0,
        role: "img",
        "aria-label": options.label,
    });

    function show(nextRoot, nextFocused) {
        const path = pointed && pathOf(pointed);
        [root, focused] = [nextRoot, nextFocused];
        pointed = path && follow(root, path);
        draw();
    }

    function draw() {
        readOut.hidden = !root;
        canvas.hidden = !root?.bytes;
        boxes = canvas.hidden ? [] : boxesOf(root, focused ?? root);
        const matches = matcher();
        if (!canvas.hidden) {
            const rows = 1 + boxes.reduce((most, box) => Math.max(most, box.row), 0);
            const { context, width } = prepare(canvas, rows * ROW + 4);
            for (const box of boxes) drawBox(context, box, width, matches);
        }
        const [first, second] = options.says(pointed ?? focused, matches, pointed !== null);
        fill(
            readOut,
            h("p", { class: "cut" }, first),
            h("p", { class: "cut dim" }, second || "\u00a0"),
        );
    }

    function drawBox(context, box, whole, matches) {
        const { node } = box;
        const [x, y, width] = [box.x * whole, box.row * ROW, box.share * whole];
        box.left = x;
        box.width = width;
        if (width < 1) return;
        const { token, isStrong, text, size } = node.isRest ? rest(node) : options.look(node);
        const isDimmed = box.isAbove || (matches && !node.hit);
        context.globalAlpha = isDimmed ? 0.45 : 1;
        context.fillStyle = colour(token);
        context.fillRect(x, y, Math.max(1, width - 1), ROW - 1);
        context.globalAlpha = box.isAbove ? 0.7 : 1;
        if (!node.isRest && matches?.(options.text(node))) {
            context.fillStyle = colour("--accent");
            context.fillRect(x, y + ROW - 4, Math.max(1, width - 1), 3);
        }
        if (node === pointed) {
            context.strokeStyle = colour("--ink");
            context.lineWidth = 1.5;
            context.strokeRect(x + 0.75, y + 0.75, Math.max(1, width - 2.5), ROW - 2.5);
        }
        if (width > 28) {
            context.fillStyle = colour(isStrong ? "--ink" : "--ink2");
            const figure = width > 150 ? size : "";
            const taken = figure && context.measureText(figure).width + 12;
            context.textAlign = "left";
            context.fillText(clip(context, text, width - 14 - taken), x + 6, y + ROW / 2);
            context.textAlign = "right";
            if (figure) context.fillText(figure, x + width - 7, y + ROW / 2);
        }
        context.globalAlpha = 1;
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
        draw();
    }

    function act(does, node) {
        if (!does || !node || node.isRest) return;
        pointed = null;
        does(node);
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
        else if (event.key === "Enter") act(options.focus, now);
        else if (event.key === "Delete" || event.key === "x") act(options.hide, now);
        else return;
        event.preventDefault();
        event.stopPropagation();
    }

    canvas.addEventListener("pointermove", (event) => point(boxAt(event)?.node ?? null));
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("click", (event) =>
        act(event.shiftKey ? options.hide : options.focus, boxAt(event)?.node),
    );
    canvas.addEventListener("keydown", keys);
    // Puts it into a box of the page, below its tools.
    const build = (box, tools) => {
        if ($(`#${options.id}`)) return;
        fill(box, tools, readOut, canvas);
        new ResizeObserver(() => root && draw()).observe(box);
    };
    return { build, show };
}

const rest = (node) => ({ token: "--f-dep", isStrong: false, text: node.name, size: "" });

function boxesOf(root, top) {
    const above = [];
    for (let at = top.parent; at; at = at.parent) above.unshift(at);
    const boxes = above.map((node, row) => ({ node, x: 0, row, share: 1, isAbove: true }));
    const open = [{ node: top, x: 0, row: above.length, share: 1 }];
    while (open.length) {
        const box = open.pop();
        boxes.push(box);
        if (box.row >= MOST_ROWS) continue;
        const { node: parent, row } = box;
        const small = { parent, sorted: [], isRest: true, number: 0, bytes: 0, hit: 0 };
        const shareOf = (node) => (box.share * node.bytes) / parent.bytes;
        let x = box.x;
        const put = (node) => {
            open.push({ node, x, row: row + 1, share: shareOf(node) });
            x += shareOf(node);
        };
        for (const node of parent.sorted) {
            if (shareOf(node) > LEAST_SHARE) {
                put(node);
                continue;
            }
            small.number += 1;
            small.bytes += node.bytes;
            small.hit += node.hit ?? 0;
        }
        if (shareOf(small) <= LEAST_SHARE) continue;
        // The pointer may be over it: it stays the same node.
        parent.rest = Object.assign(parent.rest ?? {}, small);
        parent.rest.name = `(${count(small.number)} smaller)`;
        put(parent.rest);
    }
    return boxes;
}

function pathOf(node) {
    const names = [];
    for (let at = node; at.parent; at = at.parent) names.unshift(at.name);
    return names;
}

// The node at a path of names, in another tree of the same kind; null: it is gone.
function follow(root, path) {
    let at = root;
    for (const name of path) at = at?.sorted.find((node) => node.name === name);
    return at ?? null;
}
