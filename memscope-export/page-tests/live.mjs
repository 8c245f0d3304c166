// The live page with a server of the test's own.

import { readFileSync } from "node:fs";
import { FOLDER, open } from "./browser.mjs";
import { snapshot } from "./fixture.mjs";
import { serve } from "./server.mjs";

const live = readFileSync(`${FOLDER}/live.html`, "utf8");
const policy = live.match(/Content-Security-Policy" content="([^"]+)"/)[1];

export async function start(first = snapshot(), hash = "") {
    const server = await serve(live, policy);
    server.snapshot = first;
    const it = await open(server.address + hash);
    const send = async (next) => {
        server.snapshot = next;
        server.send();
        const ns = next.observed_ns / 1e9;
        const two = (number) => String(Math.floor(number)).padStart(2, "0");
        const up = `up ${two(ns / 3600)}:${two((ns / 60) % 60)}:${two(ns % 60)}`;
        await it.page.waitForFunction(
            (up) => document.querySelector("#facts").innerText.includes(up),
            up,
        );
    };
    const close = async () => {
        await it.close();
        server.cut();
        server.close();
    };
    return { ...it, server, send, close };
}
export const status = (it, text) =>
    it.page.waitForFunction(
        (text) => document.querySelector("#status").innerText.startsWith(text),
        text,
        { timeout: 15_000 },
    );

// Scrolls twenty times by this many pixels, and counts the changes of rows.
export const scrolled = (it, pixels) =>
    it.page.evaluate(async (pixels) => {
        let touched = 0;
        const rows = document.querySelector("#rows");
        const seen = new MutationObserver((all) => (touched += all.length));
        seen.observe(rows, {
            subtree: true,
            childList: true,
            attributes: true,
            characterData: true,
        });
        const frame = () =>
            new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        for (let step = 1; step <= 20; step += 1) {
            scrollTo(0, step * pixels);
            await frame();
        }
        return { touched, drawn: rows.children.length, height: rows.offsetHeight };
    }, pixels);
