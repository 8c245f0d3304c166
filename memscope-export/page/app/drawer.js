// The drawer: everything that is known of one row.

import { $, fill, h, link, setAttribute, severity, svg } from "./dom.js";
import { evidence } from "./findings.js";
import { treeNow } from "./held.js";
import { place } from "./names.js";
import { insides } from "./insides.js";
import { partOutside } from "./parts.js";
import { functionsOf } from "./stacks.js";
import { state } from "./state.js";
import { closeRow } from "./table.js";
import { waitTree } from "./waits.js";

const KINDS = {
    site: "Site",
    task: "Task",
    wait: "Await point",
    fn: "Function",
    root: "Root",
    var: "Variable",
    free: "Freed by others",
    part: "Part of the memory",
};

let drawn = "";

const kindOf = (key) => key.split(":", 1)[0];

function rowOf(model, key) {
    const inTree = (rows) => {
        for (const row of rows) {
            const found = row.key === key ? row : inTree([...row.children.values()]);
            if (found) return found;
        }
        return null;
    };
    const among = (rows) => rows.find((row) => row.key === key);
    const found = {
        site: () => model.siteByKey.get(key),
        task: () => model.taskById.get(Number(key.slice(5))),
        wait: () => inTree(waitTree(model, state.group === "leaf first")),
        fn: () => among(functionsOf(model, { ...state, focus: "", hide: "" })),
        root: () => treeNow(model)?.byKey.get(key),
        var: () => among(model.variables),
        free: () => among(model.frees),
        part: () => partOutside(model),
    };
    return found[kindOf(key)]?.();
}

function titleOf(kind, row) {
    if (kind === "free") return row.giverName;
    return row.name ?? row.function;
}

function aboutOf(kind, row) {
    const words = [kind === "task" ? `Task #${row.id}` : (row.what ?? KINDS[kind])];
    if (row.what === "Root") words.push(row.kind);
    if (row.task_type && row.task_type !== "unspecified")
        words.push(row.task_type.replaceAll("_", " "));
    if (kind === "site" && !row.is_annotated) words.push("not annotated");
    return words.join(", ");
}

export function drawer(model) {
    const box = $("#drawer");
    const kind = kindOf(state.row);
    const isOpen = Boolean(state.open && insides[kind]);
    document.body.classList.toggle("open", isOpen);
    box.hidden = !isOpen;
    if (!isOpen) {
        drawn = "";
        return;
    }
    const scrolled = drawn === state.row ? box.scrollTop : 0;
    const row = rowOf(model, state.row);
    fill(box, row ? inside(model, kind, row) : gone(kind));
    box.scrollTop = scrolled;
    setAttribute(
        box,
        "aria-label",
        row ? `${KINDS[kind]} ${titleOf(kind, row)}` : "A row that is gone",
    );
    if (drawn !== state.row && document.activeElement?.closest("#rows, #drawer, .finding")) {
        box.focus({ preventScroll: true });
    }
    drawn = state.row;
}

const closer = () =>
    h(
        "button",
        {
            type: "button",
            class: "tool",
            onclick: closeRow,
            "aria-label": "Close",
            title: "Close (Esc)",
        },
        svg(
            "svg",
            { viewBox: "0 0 16 16", "aria-hidden": "true" },
            svg("path", { d: "m4 4 8 8M12 4l-8 8" }),
        ),
    );

function inside(model, kind, row) {
    const title = titleOf(kind, row);
    const at = row.place ?? place(row.file, row.line);
    const found = findingsOf(model, kind, row);
    return [
        h(
            "div",
            { class: "top" },
            h(
                "div",
                {},
                h("p", { class: "dim" }, aboutOf(kind, row)),
                h("h2", { title }, title),
                at && h("p", { class: "code soft" }, at),
            ),
            closer(),
        ),
        found.length > 0 &&
            h(
                "section",
                {},
                found.map((it) =>
                    h(
                        "article",
                        { class: "finding" },
                        severity(it.severity),
                        h("h3", {}, it.kind),
                        evidence(model, it, true),
                    ),
                ),
            ),
        insides[kind](model, row),
    ];
}

function findingsOf(model, kind, row) {
    const all = model.leaks?.findings ?? [];
    if (kind === "site") return all.filter((it) => model.siteAt(it.place) === row);
    if (kind === "task") return all.filter((it) => it.task === row.id);
    return [];
}

function gone(kind) {
    const name = state.row.slice(state.row.indexOf(":") + 1);
    const what = { task: `Task #${name}`, part: "This part" }[kind] ?? name;
    return [
        h(
            "div",
            { class: "top" },
            h("div", {}, h("p", { class: "dim" }, KINDS[kind]), h("h2", {}, what)),
            closer(),
        ),
        h(
            "p",
            { class: "soft gone-text" },
            kind === "task"
                ? "It has ended, or the snapshot leaves its row out. Its site still counts it."
                : "This snapshot has no such row.",
        ),
        h("p", {}, link("Close", closeRow)),
    ];
}
