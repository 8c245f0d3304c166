// The live page from memscope's own server, in a program at work.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./browser.mjs";

const address = process.env.PAGE_SERVED;
const status = (it, text) =>
    it.page.waitForFunction(
        (text) => document.querySelector("#status").innerText.startsWith(text),
        text,
        { timeout: 30_000 },
    );

test("the page follows a real server", async () => {
    const it = await open(address);
    await status(it, "Live");
    assert.match(await it.text("#facts"), /pid \d+/);
    assert.notEqual(await it.text("#total"), "Not measured");
    const up = await it.text("#facts");
    await it.page.waitForFunction((up) => document.querySelector("#facts").innerText !== up, up, {
        timeout: 30_000,
    });
    assert.ok((await it.rows()).includes("exchange rates"), "the sites of the service");
    for (let tab = 1; tab <= 7; tab += 1) {
        await it.key(String(tab));
        await it.page.locator("#panel").waitFor();
    }
    await it.key("1");
    await it.shot("served");
    await it.close();
});

test("a service that lists no blocks says so before it is asked", async () => {
    const it = await open(`${address}#tab=holds`);
    assert.match(await it.text("#holds-head"), /Start the process with MEMSCOPE_HOLDERS=on/);
    const answer = await fetch(`${address}holders.json`);
    assert.equal(answer.status, 503, "as the server would answer");
    await it.close();
});

test("a flame graph runs its own script under its policy", async () => {
    const it = await open(address);
    const wrong = [];
    it.page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
    it.page.on("pageerror", (error) => wrong.push(error.stack));
    await it.page.goto(`${address}flamegraph.svg`);
    // Its script fits the text of frames, and knows the graph's title.
    const title = await it.page.evaluate(() => document.querySelector("#title")?.textContent);
    assert.equal(title, "Live bytes by site and code");
    assert.equal(await it.page.evaluate(() => typeof search), "function", "the script has run");
    await it.shot("served-flame");
    assert.deepEqual(wrong, []);
    await it.close();
});

test("a report that the server writes opens as a saved page", async () => {
    const it = await open(`${address}report.html`);
    assert.match(await it.text("#taken"), /^Saved/);
    await it.close();
});
