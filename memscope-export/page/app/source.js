// Where snapshots come from: the saved page has one inside; the live page is sent one a second, as
// server-sent events. The page says how it stands: live, stalled, reconnecting, paused, saved.

import { $ } from "./dom.js";

const STALLED_MS = 5_000;
const RETRY_MS = [1_000, 2_000, 5_000, 10_000];
// A token in the page's own address goes along with each request.
const url = (path) => path + location.search;

export function saved() {
    const text = $("#snapshot").textContent;
    return text.trim() ? JSON.parse(text) : null;
}

// `onSnapshot` gets each snapshot, `onStatus` each change of `{ kind, sinceMs }`.
export function live(onSnapshot, onStatus) {
    let events = null;
    let timer = 0;
    let failures = 0;
    let lastMs = Date.now();
    let isPaused = false;
    let status = "";

    const tell = (kind) => {
        const sinceMs = Date.now() - lastMs;
        if (kind !== status || kind === "stalled" || kind === "lost") onStatus({ kind, sinceMs });
        status = kind;
    };
    const take = (text) => {
        let snapshot;
        try {
            snapshot = JSON.parse(text);
        } catch {
            return; // Half an answer. The next one is whole.
        }
        failures = 0;
        lastMs = Date.now();
        tell("live");
        onSnapshot(snapshot);
    };
    const close = () => {
        clearTimeout(timer);
        events?.close();
        events = null;
    };
    const open = () => {
        close();
        events = new EventSource(url("events"));
        events.addEventListener("snapshot", (event) => take(event.data));
        // The browser itself tries again, unless the answer was no stream.
        events.addEventListener("error", () => {
            if (events?.readyState === EventSource.CLOSED) later();
            else tell("lost");
        });
    };
    const later = () => {
        close();
        const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
        failures += 1;
        timer = setTimeout(async () => {
            await ask();
            if (!isPaused && !document.hidden) open();
        }, wait);
    };
    // Where no stream is to be had, single answers still are.
    const ask = async () => {
        try {
            const answer = await fetch(url("snapshot.json"), { cache: "no-store" });
            if (answer.ok) take(await answer.text());
            else tell("lost");
        } catch {
            tell("lost");
        }
    };
    // A page that is not seen costs the process nothing.
    document.addEventListener("visibilitychange", () => {
        if (document.hidden) close();
        else if (!isPaused) open();
    });
    setInterval(() => {
        if (isPaused || document.hidden) return;
        if (status === "lost") tell("lost");
        else if (Date.now() - lastMs > STALLED_MS) tell("stalled");
    }, 1_000);

    return {
        start: () => {
            tell("connecting");
            open();
        },
        pause: () => {
            isPaused = true;
            close();
            tell("paused");
        },
        resume: () => {
            isPaused = false;
            lastMs = Date.now();
            tell("connecting");
            open();
        },
    };
}

// Who holds the blocks: asked for on demand alone, as it stops the process for a moment.
export async function askHolders() {
    const answer = await fetch(url("holders.json"), { cache: "no-store" });
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`.trim());
    return answer.json();
}
