// Who holds the heap: roots by what only they hold, and first of all what nothing holds. Only a
// live process can be asked, and only on demand.

import { heldBefore } from "./compare.js";
import { $, fill, h, link, span } from "./dom.js";
import { bytes, clock, count, duration, percent, plural } from "./format.js";
import { markHits, textOf, treeNow } from "./held.js";
import { icicle } from "./icicle.js";
import { heldOf } from "./model.js";
import { split } from "./names.js";
import { chip } from "./pieces.js";
import { askHolders } from "./source.js";
import { matcher, set, state } from "./state.js";

let answer = null;
let asking = "";
let model = null;
let tree = null;

const drawn = icicle({
    id: "held-icicle",
    label: "Icicle of what holds the heap; the table below has the same figures",
    says,
    look,
    text: textOf,
    focus: (row) => set({ under: row.parent && row.key !== state.under ? row.key : "" }),
});

// Gives a model its holders: those of the last answer, or of its snapshot.
export function addHeld(model) {
    const graph = heldOf(model.snapshot.heap_graph);
    model.held = answer ?? (graph && { graph, atMs: null, before: null });
}

export const forgetHeld = () => (answer = null);

export function holds(nextModel, isSaved, again) {
    model = nextModel;
    const box = $("#holds-head");
    box.hidden = state.tab !== "holds";
    if (box.hidden) return;
    const { held } = model;
    const ask = async () => {
        asking = "The process is asked …";
        again();
        try {
            const graph = heldOf(await askHolders());
            if (!graph) throw new Error("an answer without roots");
            answer = { graph, atMs: Date.now(), before: answer && { ...answer, before: null } };
            asking = "";
        } catch (error) {
            asking = `It could not be asked: ${error.message}. MEMSCOPE_HOLDERS=on switches it on.`;
        }
        again();
    };
    drawn.build(box, h("div", { id: "holds-tools" }));
    const live = bytes(model.process.whole_bytes);
    // Without it the process refuses: that is said first.
    const isOff = !isSaved && !held && model.tool.holder_table_bytes === 0;
    const off = "Off: no blocks are listed. Start the process with MEMSCOPE_HOLDERS=on.";
    const none = isSaved
        ? "Not measured: MEMSCOPE_HOLDERS=on puts it into the report at the exit."
        : isOff
          ? off
          : "Not asked yet.";
    const cost =
        "It costs something: the process stands still while its " +
        `memory (${live} live) is marked for copying. The answer says how long.`;
    const button = !isSaved && !isOff && link(held ? "Ask again" : "Ask now", ask);
    tree = treeNow(model);
    const under = tree?.byKey.get(state.under);
    fill(
        $("#holds-tools"),
        held
            ? summary(held).map((it) => h("p", { class: "soft" }, it))
            : h("p", { class: "calm" }, none),
        !isSaved && !held && !isOff && h("p", { class: "soft" }, cost),
        (button || under) &&
            h(
                "p",
                { class: "code-tools" },
                button,
                under && chip(`in ${under.name}`, { under: "" }),
            ),
        asking && h("p", { class: "soft", role: "status" }, asking),
    );
    const matches = matcher();
    if (tree && matches) markHits(tree.heap, matches);
    drawn.show(tree?.heap, under);
}

function summary(held) {
    const { graph, atMs } = held;
    const at = atMs ? `Asked at ${clock(atMs, true)}. ` : "";
    const then = heldBefore(held);
    const since = then ? ` Δ is since the answer of ${clock(then.atMs, true)}.` : "";
    const [before, ran] = [graph.blocks_from_before ?? 0, graph.running_threads ?? 0];
    return [
        `${at}${count(graph.blocks)} blocks, ${bytes(graph.bytes)}; the process stood still for ` +
            `${duration(graph.pause_ns)} of ${duration(graph.taken_ns)}.${since}`,
        before > 0 &&
            `Not looked into, as they are older: ${bytes(graph.bytes_from_before)} in ` +
                `${plural(before, "block", "blocks")}.`,
        ran > 0 &&
            `${plural(ran, "thread", "threads")} ran meanwhile: what only registers held counts ` +
                "as held by nothing.",
    ].filter(Boolean);
}

function look(row) {
    const isRoot = row.what === "Root" || row.what === "Roots together" || !row.parent;
    return {
        token: row.isLost ? "--f-left" : isRoot ? "--f-site" : row.of ? "--f-own" : "--f-dep",
        isStrong: row.isLost || isRoot || Boolean(row.of),
        text: shownName(row),
        size: bytes(row.bytes),
    };
}

const shownName = (row) => split(row.short ?? row.name, model.program)[1] + (row.note ?? "");

function says(row, matches, isPointed) {
    if (!tree) return [""];
    const { heap } = tree;
    const figures = (it) => `${bytes(it.bytes)}, ${percent(it.bytes, heap.bytes)}`;
    const found =
        matches && `. The filter matches ${bytes(heap.hit)}, ${percent(heap.hit, heap.bytes)}`;
    const first = row
        ? [h("b", {}, row.name), "  ", figures(row)]
        : [h("b", {}, bytes(heap.bytes)), " of the heap, by what holds it", found];
    const help =
        "Click a box to look into it. Orange: nothing holds it. Grey: several roots, or others.";
    if (!isPointed) return [first, help];
    return [first, row.place ? span("code", row.place) : row.what];
}
