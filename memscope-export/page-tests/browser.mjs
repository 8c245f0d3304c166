// One Chromium for a file of tests, and what tests say of a page.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

export const FOLDER = process.env.PAGE_FOLDER;
export const saved = `file://${FOLDER}/saved.html`;
const shots = `${FOLDER}/shots`;

let browser;

before(async () => {
    mkdirSync(shots, { recursive: true });
    const executablePath = process.env.CHROMIUM;
    // No sandbox: the tests may run as root, and open files of their own alone.
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});
after(() => browser.close());

// Opens a page, and fails if anything goes wrong in it or it asks for anything but its own server.
export async function open(url, options = {}) {
    const viewport = { width: 1440, height: 900 };
    const context = await browser.newContext({ viewport, timezoneId: "Europe/Berlin", ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const wrong = [];
    const origin = new URL(url).origin;
    page.on("pageerror", (error) => wrong.push(error.stack));
    page.on("console", (message) => {
        const isRefused = /Failed to load resource|ERR_/.test(message.text());
        if (message.type() === "error" && !isRefused) wrong.push(message.text());
    });
    page.on("request", (request) => {
        const to = request.url();
        const isOwn = to === url.split("#")[0] || to.startsWith("data:") || to.startsWith("blob:");
        if (!isOwn && !(origin !== "null" && to.startsWith(origin)))
            wrong.push(`a request to ${to}`);
    });
    const failed = page.waitForEvent("pageerror").then((error) => {
        throw error;
    });
    failed.catch(() => {});
    await page.goto(url);
    await Promise.race([page.locator("#total:not(:empty)").waitFor(), failed]);
    return {
        page,
        text: (selector) => page.locator(selector).first().innerText(),
        hash: async (name) =>
            new URLSearchParams((await page.evaluate(() => location.hash)).slice(1)).get(name),
        key: (key) => page.keyboard.press(key),
        // The names in sight, top to bottom.
        rows: () =>
            page.$$eval("#rows .row:not([hidden])", (rows) =>
                rows
                    .map((row) => [Number(row.getAttribute("aria-rowindex")), row])
                    .sort(([a], [b]) => a - b)
                    .map(([, row]) => row.querySelector(".name").title),
            ),
        cell: (name, column) =>
            page.evaluate(
                ([name, column]) => {
                    const heads = [...document.querySelectorAll("#head [role=columnheader]")];
                    const at = heads.findIndex((head) => head.innerText.startsWith(column));
                    const rows = [...document.querySelectorAll("#rows .row:not([hidden])")];
                    const row = rows.find((it) => it.querySelector(".name").title === name);
                    return row?.children[at]?.innerText.trim();
                },
                [name, column],
            ),
        shot: (name) => page.screenshot({ path: `${shots}/${name}.png` }),
        close: async () => {
            await context.close();
            assert.deepEqual(wrong, []);
        },
    };
}
