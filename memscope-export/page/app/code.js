// Where the code allocates: sampled stacks as an icicle. A width is an estimate of bytes. The
// program's own code is in colour.

import { $, fill, h, span } from "./dom.js";
import { bytes, estimated, percent, plural } from "./format.js";
import { icicle } from "./icicle.js";
import { lastTwo, split } from "./names.js";
import { chip } from "./pieces.js";
import { icicleOf } from "./stacks.js";
import { matcher, set, state } from "./state.js";

const TOKENS = { own: "--f-own", dep: "--f-dep", std: "--f-std", site: "--f-site" };

let root = null;
let model = null;

const drawn = icicle({
    id: "icicle",
    label: "Icicle of sampled stacks; the table below has the same figures",
    says,
    look,
    text: (node) => node.name,
    focus: (node) => set({ focus: node.parent && node.name !== state.focus ? node.name : "" }),
    hide: (node) => {
        if (!node.parent) return;
        set({ hide: [...state.hide.split("\n").filter(Boolean), node.name].join("\n") });
    },
});

export function code(nextModel) {
    model = nextModel;
    const box = $("#code-head");
    box.hidden = state.tab !== "code";
    if (box.hidden) return;
    if (!model.stacks.length) {
        fill(box, h("p", { class: "calm" }, none(model.snapshot)));
        return;
    }
    drawn.build(box, h("div", { id: "code-tools", class: "code-tools" }));
    fill($("#code-tools"), tools());
    root = icicleOf(model, state, matcher());
    drawn.show(root, state.focus ? find(root, state.focus) : null);
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

function find(from, name) {
    const open = [from];
    for (const node of open) {
        if (node.name === name) return node;
        open.push(...node.sorted);
    }
    return null;
}

function look(node) {
    const isStrong = node.origin === "own" || node.origin === "site";
    return {
        token: TOKENS[node.origin],
        isStrong,
        text: isStrong && !node.frame ? split(node.name, model.program)[1] : lastTwo(node.name),
        size: estimated(node.bytes),
    };
}

// Why there is nothing to draw, though stacks were sampled.
function noBytes() {
    const isNarrowed = state.site || state.focus || state.hide || state.q;
    if (isNarrowed || state.kind !== "live") return "No sampled stack is left to show.";
    const every = bytes(model.snapshot.stack_interval_bytes);
    return `None of the sampled blocks is live: about one in ${every} allocated is sampled.`;
}

function says(node, matches, isPointed) {
    if (!root.bytes) return [noBytes()];
    const what = state.kind === "live" ? "live" : "allocated since sampling began";
    const every = `one stack in ${bytes(model.snapshot.stack_interval_bytes)} allocated`;
    const found =
        matches && `. The filter matches ${estimated(root.hit)}, ${percent(root.hit, root.bytes)}`;
    const figures = node && [
        estimated(node.bytes),
        node.samples && plural(node.samples, "sample", "samples"),
        percent(node.bytes, root.bytes),
    ];
    const first = node
        ? [h("b", { class: "code" }, node.name), "  ", figures.filter(Boolean).join(", ")]
        : [
              h("b", {}, `${estimated(root.bytes)} ${what}`),
              `, ${plural(root.samples, "sample", "samples")}; ${every}`,
              found,
          ];
    const help =
        "Click a frame to look through it, shift-click to hide it. Blue is the program's own code.";
    if (!isPointed) return [first, help];
    return [first, node.frame?.place && span("code", node.frame.place)];
}
