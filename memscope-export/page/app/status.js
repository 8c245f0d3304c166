// How the page stands to its process: live, paused, stalled, without a connection, or to another
// process than before. Each has words of its own.

import { $, fill, link, setAttribute, setText } from "./dom.js";
import { clock, duration } from "./format.js";

let trouble = "";
let restart = "";

// `kind` of `source.js`, and how long ago the last answer was.
export function tell({ kind, sinceMs }) {
    const ago = `${Math.max(1, Math.round(sinceMs / 1000))} s ago`;
    const texts = {
        connecting: "Connecting",
        live: "Live",
        paused: "Paused",
        stalled: `Stalled: last answer ${ago}`,
        lost: `No connection: last answer ${ago}`,
    };
    setText($("#status"), texts[kind]);
    setAttribute($("#pause"), "data-kind", kind);
    setAttribute($("#pause"), "title", kind === "paused" ? "Go on (space)" : "Pause (space)");
    const since = duration(sinceMs * 1e6);
    const troubles = {
        stalled: `The process has not answered for ${since}; what is shown is that old.`,
        lost: `There is no connection for ${since}: the process has ended, or is out of reach.`,
    };
    trouble = troubles[kind] ?? "";
    if (kind === "lost") setText($("#empty"), "There is no connection. The page tries again.");
    note();
}

// The process is another one than before.
export function restarted(pid, { pid: now, startedMs }) {
    const since = clock(startedMs, true);
    restart = `The process was restarted: pid ${pid} before, ${now} since ${since}.`;
    note();
}

function note() {
    const box = $("#note");
    const gone = () => {
        restart = "";
        note();
    };
    box.hidden = !trouble && !restart;
    fill(box, trouble, trouble && restart && " ", restart, restart && [" ", link("Good", gone)]);
}
