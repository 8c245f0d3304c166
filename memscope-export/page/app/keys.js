// The keys. Everything they do can be done by mouse, and by Tab and Enter.

import { $, fill, h } from "./dom.js";
import { set, state } from "./state.js";
import * as table from "./table.js";

const LIST = [
    ["/", "filter"],
    ["j k", "next and previous row (↓ ↑ in the table)"],
    ["Enter", "open the row, fold a group"],
    ["← →", "fold and unfold, in the table"],
    ["Esc", "close, clear the filter, stop comparing"],
    ["1 … 8", "views"],
    ["s", "sort by the next column"],
    ["i", "invert the order"],
    ["r", "sort now, though the pointer is over the rows"],
    ["space", "pause, go on"],
    ["c", "compare with now"],
    ["t", "theme"],
    ["?", "this list"],
];

export function help() {
    const dialog = $("#keys");
    fill(
        dialog,
        h("h2", {}, "Keys"),
        h(
            "dl",
            { class: "keys" },
            LIST.map(([key, what]) => [
                h(
                    "dt",
                    {},
                    key.split(" ").map((it) => (it === "…" ? " … " : h("kbd", {}, it))),
                ),
                h("dd", {}, what),
            ]),
        ),
        h(
            "p",
            { class: "dim" },
            "In the time line: ← → a moment, Enter to compare with it. " +
                "In an icicle: arrows, Enter to look into a box, x to hide a frame.",
        ),
        h("button", { type: "button", class: "link", onclick: () => dialog.close() }, "Close"),
    );
    dialog.showModal();
}

const isTyping = (target) => target.matches("input, select, textarea");

export function start(actions) {
    const plain = {
        "/": () => $("#filter").focus(),
        j: () => table.move(1),
        k: () => table.move(-1),
        s: table.sortNext,
        i: table.invertSort,
        r: table.settle,
        " ": actions.pause,
        c: actions.compare,
        t: actions.theme,
        "?": help,
        Enter: table.enter,
        Escape: escape,
    };
    const inTable = {
        ArrowDown: () => table.move(1),
        ArrowUp: () => table.move(-1),
        ArrowRight: () => table.unfold(true),
        ArrowLeft: () => table.unfold(false),
        PageDown: () => table.move(20),
        PageUp: () => table.move(-20),
        Home: () => table.move(-Infinity),
        End: () => table.move(Infinity),
    };
    document.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || $("#keys").open) return;
        const { key, target } = event;
        if (isTyping(target)) {
            if (key === "Escape") {
                if (target.id === "filter") set({ q: "" });
                target.blur();
            } else if (key === "Enter" && target.id === "filter") $("#rows").focus();
            return;
        }
        // What has the focus answers to Enter and space itself.
        const isOwn = target.matches("button, a, summary") && (key === "Enter" || key === " ");
        if (isOwn) return;
        const view = /^[1-8]$/.test(key) && (() => actions.view(Number(key) - 1));
        const action = (target.id === "rows" && inTable[key]) || plain[key] || view;
        if (!action) return;
        event.preventDefault();
        action();
    });
}

function escape() {
    if (state.open) table.closeRow();
    else if (state.q) set({ q: "" });
    else if (state.at) set({ at: "" });
    else if (state.row) set({ row: "" });
}
