// Sampled stacks as rows of functions, and as the tree of the icicle. All bytes are estimates.

import { crateOf, originOf } from "./names.js";

export const bytesOf = (stack, kind) => stack[`${kind}_bytes`];
export const samplesOf = (stack, kind) => (kind === "live" ? stack.live_samples : stack.samples);

// The stacks that are looked at: of one site, through one frame, and without hidden frames.
export function chosen(model, { site, focus, hide, kind }) {
    const hidden = hide ? hide.split("\n") : [];
    return model.stacks.filter((stack) => {
        const names = [stack.ownerName, ...stack.path.map((frame) => frame.function)];
        return (
            bytesOf(stack, kind) > 0 &&
            (!site || stack.owner?.key === site) &&
            (!focus || names.includes(focus)) &&
            !names.some((name) => hidden.includes(name))
        );
    });
}

// Rows of functions: what they allocate themselves, and with all that they call. From own code on,
// the frames of executors have no row.
export function functionsOf(model, state) {
    const rows = new Map();
    for (const stack of chosen(model, state)) {
        const [size, samples] = [bytesOf(stack, state.kind), samplesOf(stack, state.kind)];
        const path = pathOf(stack, model, state);
        const leaf = state.frames === "all" ? path.at(-1) : allocates(path, model.program);
        for (const frame of new Map(path.map((it) => [it.function, it])).values()) {
            let row = rows.get(frame.function);
            if (!row) {
                row = {
                    key: `fn:${frame.function}`,
                    function: frame.function,
                    place: frame.place,
                    origin: originOf(frame, model.program),
                    own_bytes: 0,
                    all_bytes: 0,
                    samples: 0,
                    stacks: [],
                };
                rows.set(frame.function, row);
            }
            row.all_bytes += size;
            row.samples += samples;
            row.stacks.push(stack);
            if (frame.function === leaf.function) row.own_bytes += size;
        }
    }
    return [...rows.values()];
}

// What tells the stacks of a function from others.
export const stacksText = ({ stacks }) =>
    stacks
        .map((it) => [it.ownerName, ...it.frames.map((frame) => frame.address)].join(" "))
        .sort()
        .join("\n");

const EXECUTORS = new Set([
    "", // the start of a thread, and code without a name
    "tokio",
    "async_std",
    "async_executor",
    "async_task",
    "smol",
    "futures_executor",
    "memscope_runtime",
]);

// How many frames run above the first of the program's own code, or of a library that is no
// executor: they say nothing of the program, and the icicle folds them.
function foldedFrames(path, origins) {
    const own = origins.indexOf("own");
    if (own >= 0) return own;
    const isExecutor = (frame, at) =>
        origins[at] === "std" || EXECUTORS.has(crateOf(frame.function));
    return Math.max(
        0,
        path.findIndex((frame, at) => !isExecutor(frame, at)),
    );
}

// What the standard library allocates is of the code that calls it.
const allocates = (path, program) =>
    path.findLast((frame) => originOf(frame, program) !== "std") ?? path.at(-1);

export const shownFrames = ({ path }, program) =>
    path.slice(
        foldedFrames(
            path,
            path.map((frame) => originOf(frame, program)),
        ),
    );

const pathOf = (stack, { program }, { frames }) =>
    frames === "all" ? stack.path : shownFrames(stack, program);

// The tree: the site, then its frames, without those that are folded.
export function icicleOf(model, state, matches) {
    const node = (name, origin, frame, parent) => ({
        name,
        origin,
        frame,
        parent,
        bytes: 0,
        samples: 0,
        hit: 0,
        children: new Map(),
    });
    const root = node("all stacks", "site", null, null);
    const charge = (at, size, samples, isHit) => {
        at.bytes += size;
        at.samples += samples;
        if (isHit) at.hit += size;
    };
    for (const stack of chosen(model, { ...state, focus: "" })) {
        const [size, samples] = [bytesOf(stack, state.kind), samplesOf(stack, state.kind)];
        const path = pathOf(stack, model, state);
        const names = [stack.ownerName, ...path.map((frame) => frame.function)];
        const isHit = matches !== null && names.some((name) => matches(name));
        let at = root;
        charge(at, size, samples, isHit);
        names.forEach((name, depth) => {
            const frame = depth ? path[depth - 1] : null;
            const key = depth ? name : `site ${name}`;
            if (!at.children.has(key)) {
                const origin = depth ? originOf(frame, model.program) : "site";
                at.children.set(key, node(name, origin, frame, at));
            }
            at = at.children.get(key);
            charge(at, size, samples, isHit);
        });
    }
    sortChildren(root);
    return root;
}

// The children of each node, the largest first; what is lost before all others.
export function sortChildren(root) {
    const open = [root];
    while (open.length) {
        const node = open.pop();
        node.sorted = [...node.children.values()].sort(
            (a, b) => Boolean(b.isLost) - Boolean(a.isLost) || b.bytes - a.bytes,
        );
        open.push(...node.sorted);
    }
}
