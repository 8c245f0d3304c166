// Who holds the blocks: roots by what only they hold, and first of all what nothing holds. Only a
// live process can be asked, and only on demand.

import { $, fill, h, link } from "./dom.js";
import { bytes, clock, count, duration } from "./format.js";
import { heldOf } from "./model.js";
import { place } from "./names.js";
import { askHolders } from "./source.js";
import { state } from "./state.js";

let answer = null;
let asking = "";

const rowsOf = (graph, model) => [
    ...(graph.unreachable ?? []).map((it, index) => ({
        key: `root:nothing ${index}`,
        name: it.in_cycle ? "(nothing: blocks that hold each other)" : "(nothing)",
        kind: "unreachable",
        isUnreachable: true,
        place: model.sites[it.site]?.place ?? "",
        task: it.task,
        retained_bytes: it.bytes,
        reachable_bytes: null,
        blocks: it.blocks,
    })),
    ...graph.roots.map((it, index) => ({
        ...it,
        key: `root:${it.kind} ${it.name} ${it.file}:${it.line} ${it.task ?? index}`,
        name: it.variable ? `${it.name}, ${it.variable}` : it.name,
        place: it.variable_file
            ? place(it.variable_file, it.variable_line)
            : place(it.file, it.line),
    })),
];

// Gives a model its holders: those of its snapshot, or of the last answer.
export function addHeld(model) {
    const graph = heldOf(model.snapshot.heap_graph) ?? answer?.graph;
    model.held = graph ? { graph, rows: rowsOf(graph, model), atMs: answer?.atMs } : null;
}

export const forgetHeld = () => (answer = null);

export function holds(model, isSaved, again) {
    const box = $("#holds-head");
    box.hidden = state.tab !== "holds";
    if (box.hidden) return;
    const { held } = model;
    const ask = async () => {
        asking = "The process is asked …";
        holds(model, isSaved, again);
        try {
            const graph = heldOf(await askHolders());
            if (!graph) throw new Error("an answer without roots");
            answer = { graph, atMs: Date.now() };
            asking = "";
        } catch (error) {
            asking = `It could not be asked: ${error.message}. MEMSCOPE_HOLDERS=on switches it on.`;
        }
        again();
    };
    const button = !isSaved && link(held ? "Ask again" : "Ask now", ask);
    const live = bytes(model.process.whole_bytes);
    fill(
        box,
        held && h("p", { class: "soft" }, summary(held)),
        !held &&
            h(
                "p",
                { class: "calm" },
                isSaved
                    ? "Not measured: MEMSCOPE_HOLDERS=on puts it into the report at the exit."
                    : "Not asked yet.",
            ),
        !isSaved &&
            !held &&
            h(
                "p",
                { class: "soft" },
                "It costs something: the process stands still while its ",
                `memory (${live} live) is marked for copying. The answer says how long.`,
            ),
        button && h("p", {}, button),
        asking && h("p", { class: "soft", role: "status" }, asking),
    );
}

function summary({ graph, atMs }) {
    const at = atMs ? `Asked at ${clock(atMs, true)}. ` : "";
    return (
        `${at}${count(graph.blocks)} blocks, ${bytes(graph.bytes)}; the process stood still for ` +
        `${duration(graph.pause_ns)} of ${duration(graph.taken_ns)}. Orange: nothing holds it.`
    );
}
