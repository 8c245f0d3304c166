// The saved page, from a file: the views, the filter, the drawer, keys, the URL, hostile names.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FOLDER, open, saved } from "./browser.mjs";
import { HOSTILE, snapshot } from "./fixture.mjs";

const VIEWS = ["sites", "tasks", "code", "waits", "holds", "vars", "futures", "frees"];
const MIB = 1024 ** 2;

test("each view is reached by its key, and is in the URL", async () => {
    const it = await open(saved);
    for (const [index, view] of VIEWS.entries()) {
        await it.key(String(index + 1));
        assert.equal((await it.hash("tab")) ?? "sites", view);
        const chosen = it.page.locator("[role=tab][aria-selected=true]");
        assert.equal(await chosen.getAttribute("id"), `tab-${view}`);
        await it.shot(`saved-${view}`);
        if (view === "holds") assert.match(await it.text("#holds-head"), /Not measured/);
        else assert.ok((await it.rows()).length > 0, view);
    }
    await it.close();
});

test("the parts of the bar add up to the whole to the byte", async () => {
    const it = await open(saved);
    const parts = await it.page.$$eval("#bar button", (all) => all.map((part) => part.title));
    const bytes = parts.map((title) =>
        Number(title.match(/: ([\d,]+) byte/)[1].replaceAll(",", "")),
    );
    const sum = bytes.reduce((all, part) => all + part, 0);
    assert.equal(sum, snapshot().process.whole_bytes);
    assert.match(await it.text("#of"), /Resident memory: not measured/);
    await it.close();
});

test("a click on a head sorts, and a second one inverts", async () => {
    const it = await open(saved);
    assert.equal((await it.rows())[0], "POST /login");
    await it.page.click("#head button[title='Sort by Spawned']");
    assert.equal((await it.rows())[0], "GET /search");
    await it.page.click("#head button[title='Sort by Spawned']");
    assert.equal(await it.hash("sort"), "spawned");
    assert.notEqual((await it.rows())[0], "GET /search");
    const sorted = it.page.locator("#head [aria-sort]");
    assert.equal(await sorted.getAttribute("aria-sort"), "ascending");
    await it.close();
});

test("the filter is a regular expression; a wrong one is said and filters nothing", async () => {
    const it = await open(saved);
    await it.key("/");
    await it.page.keyboard.type("^post .*(login|checkout)");
    assert.deepEqual(await it.rows(), ["POST /login", "POST /checkout"]);
    assert.match(await it.text("#state"), /2 of 10 rows/);
    await it.page.fill("#filter", "(");
    assert.match(await it.text("#state"), /no regular expression/);
    assert.equal((await it.rows()).length, 10);
    await it.page.fill("#filter", "nothing is called this");
    assert.match(await it.text("#none"), /No row matches/);
    await it.key("Escape");
    assert.equal((await it.rows()).length, 10);
    await it.close();
});

test("rows are grouped, groups have sums and fold", async () => {
    const it = await open(saved);
    await it.page.selectOption("#group", "kind");
    const all = await it.rows();
    assert.ok(all.includes("io intensive") && all.length > 10);
    assert.equal(await it.cell("io intensive", "Live"), "115.4");
    await it.page.click("#rows .row.group:has-text('io intensive')");
    assert.equal((await it.rows()).includes("POST /login"), false);
    await it.page.reload();
    await it.page.locator("#rows .row").first().waitFor();
    assert.equal((await it.rows()).includes("POST /login"), false, "the fold is in the URL");
    await it.close();
});

test("keys move, open and close; the drawer has what is known of a row", async () => {
    const it = await open(saved);
    await it.key("j");
    await it.key("j");
    await it.key("k");
    await it.key("Enter");
    assert.equal(await it.text("#drawer h2"), "POST /login");
    const drawer = await it.text("#drawer");
    for (const said of ["left by ended tasks", "96.4 MiB", "Peak of each ended task", "Stacks"]) {
        assert.ok(drawer.includes(said), said);
    }
    await it.shot("saved-drawer");
    await it.key("Escape");
    assert.equal(await it.page.locator("#drawer").isVisible(), false);
    await it.key("?");
    assert.ok(await it.page.locator("dialog[open]").isVisible());
    await it.key("Escape");
    await it.key("s");
    assert.notEqual(await it.hash("sort"), null);
    await it.key("i");
    assert.doesNotMatch(await it.hash("sort"), /^-/);
    await it.close();
});

test("a finding has its figures, its evidence, and leads to its rows", async () => {
    const it = await open(saved);
    const first = it.page.locator(".finding").first();
    assert.match(await first.innerText(), /POST \/login leaves memory behind\s+src\/login.rs:84/);
    assert.match(await first.innerText(), /96\.4 MiB left by 24,136 ended tasks/);
    assert.equal(await first.locator("svg").getAttribute("aria-label"), "high");
    await first.getByText("Why").click();
    assert.match(await first.innerText(), /All 24,136 ended tasks still hold bytes/);
    assert.match(await first.innerText(), /How sure: likely: a cache that still fills/);
    await first.getByText("Show").click();
    assert.equal(await it.text("#drawer h2"), "POST /login");
    await it.key("Escape");
    await it.page.getByText(/^All \d$/).click();
    assert.ok((await it.page.locator(".finding").count()) > 3);
    assert.match(await it.text(".not-judged"), /^Not judged yet: \d+ tasks idle/);
    await it.close();
});

test("every kind of row opens", async () => {
    const it = await open(saved);
    for (const [index, view] of VIEWS.entries()) {
        if (view === "holds") continue;
        await it.key(String(index + 1));
        await it.page.locator("#rows .row:not([hidden])").first().click();
        await it.page.locator("#drawer section").first().waitFor();
        assert.ok((await it.text("#drawer")).length > 40, view);
        await it.key("Escape");
    }
    await it.close();
});

test("a drawer leads from a task to its parent, its site and the await that it waits at", async () => {
    const it = await open(`${saved}#tab=tasks&row=task:4&open=1`);
    const drawer = await it.text("#drawer");
    for (const said of ["Task #4", "place_order", "src/db.rs:88", "keeps basket", "parent #3"]) {
        assert.ok(drawer.includes(said), said);
    }
    await it.page.click("#drawer button:has-text('POST /checkout')");
    assert.equal((await it.hash("tab")) ?? "sites", "sites");
    assert.match(await it.text("#drawer"), /^Site/);
    await it.page.goBack();
    assert.match(await it.text("#drawer"), /^Task #4/);
    await it.close();
});

test("a row that is gone has words of its own", async () => {
    const it = await open(`${saved}#tab=tasks&row=task:999999&open=1`);
    assert.match(await it.text("#drawer"), /It has ended, or the snapshot leaves its row out/);
    await it.close();
});

test("awaits are a tree; leaf first it begins with what is waited for", async () => {
    const it = await open(`${saved}#tab=waits`);
    assert.deepEqual((await it.rows()).slice(0, 2), [
        "shop::checkout::place_order",
        "shop::db::acquire",
    ]);
    await it.page.selectOption("#group", "leaf first");
    assert.equal((await it.rows())[0], "shop::db::acquire");
    assert.equal(await it.cell("shop::db::acquire", "Tasks"), "244");
    assert.equal(await it.cell("shop::db::acquire", "Place"), "src/db.rs:88");
    assert.equal(await it.cell("shop::db::acquire", "50 % wait at most"), "8.00", "of 4 and 8");
    assert.equal(await it.cell("shop::db::acquire", "99 % wait at most"), "24.00");
    await it.page.click("#rows .row >> nth=0 >> .twist");
    assert.ok((await it.rows()).includes("shop::search::query"));
    await it.shot("saved-waits-leaf-first");
    await it.close();
});

test("the icicle looks through a frame, hides one, and says what is an estimate", async () => {
    const it = await open(`${saved}#tab=code`);
    assert.match(await it.text("#icicle-says"), /≈ 136 MiB live, 68 samples/);
    const box = await it.page.locator("#icicle").boundingBox();
    await it.page.mouse.move(box.x + 20, box.y + 80);
    assert.match(await it.text("#icicle-says"), /shop::session::insert\s+≈ 92\.0 MiB, 46 samples/);
    await it.page.mouse.click(box.x + 20, box.y + 80);
    assert.equal(await it.hash("focus"), "shop::session::insert");
    await it.page.click("#code-tools .chip");
    await it.page.focus("#icicle");
    await it.key("ArrowDown");
    await it.key("x");
    assert.equal(await it.hash("hide"), "POST /login");
    assert.match(await it.text("#icicle-says"), /≈ 44\.0 MiB live/);
    assert.equal(await it.cell("program+0x1000", "Own"), "6.0", "no name is guessed");
    assert.equal(await it.cell("libc.so.6+0x2000", "With callees"), "6.0", "nor the file");
    await it.page.click("text=Allocated >> nth=0");
    assert.equal(await it.hash("kind"), "allocated");
    await it.close();
});

test("a click in the time line compares; what is not kept is a dash that says why", async () => {
    const it = await open(saved);
    const box = await it.page.locator("#time .u-over").boundingBox();
    await it.page.mouse.click(box.x + box.width / 2, box.y + 60);
    assert.match(await it.hash("at"), /^\d{13}$/);
    assert.match(await it.cell("POST /login", "Δ"), /^\+/);
    assert.equal(await it.cell("model load", "Δ"), "–");
    const dash = it.page.locator("#rows .row:has-text('model load') .zero[title*='not kept']");
    assert.ok((await dash.count()) > 0);
    await it.shot("saved-compare");
    await it.page.mouse.move(box.x + 100, box.y + 60);
    await it.page.mouse.down();
    await it.page.mouse.move(box.x + 300, box.y + 60, { steps: 4 });
    await it.page.mouse.up();
    assert.match(await it.hash("zoom"), /^\d{13}-\d{13}$/);
    await it.page.click("text=Whole time");
    assert.equal(await it.hash("zoom"), null);
    await it.page.focus("#time");
    await it.key("ArrowLeft");
    assert.match(await it.page.locator("#time").getAttribute("aria-valuetext"), /live$/);
    await it.close();
});

test("a hostile name is text wherever it stands", async () => {
    const it = await open(`${saved}#q=onerror`);
    assert.deepEqual(await it.rows(), [HOSTILE]);
    await it.key("j");
    await it.key("Enter");
    assert.equal(await it.text("#drawer h2"), HOSTILE);
    for (const view of VIEWS) {
        await it.page.evaluate((view) => (location.hash = `tab=${view}`), view);
        await it.page.waitForFunction(
            (view) => document.querySelector(`#tab-${view}`).ariaSelected === "true",
            view,
        );
        assert.equal(await it.page.locator("img").count(), 0, view);
    }
    assert.equal(await it.page.title(), "shop, memory by task");
    await it.close();
});

test("the browser refuses markup, code and requests by the page's policy", async () => {
    const it = await open(saved);
    const refused = await it.page.evaluate(async () => {
        const tries = [
            () => (document.body.innerHTML = "<b>x</b>"),
            () => new Function("return 1")(),
            () => fetch("https://example.invalid/"),
            () => document.querySelector("#total").insertAdjacentHTML("beforeend", "<i>x</i>"),
        ];
        const results = [];
        // In a task of the page's own: a driver may evaluate code, the page may not.
        const later = (it) =>
            new Promise((done, failed) => {
                setTimeout(() => Promise.resolve().then(it).then(done, failed));
            });
        for (const it of tries) {
            results.push(
                await later(it).then(
                    () => "allowed",
                    () => "refused",
                ),
            );
        }
        return results;
    });
    assert.deepEqual(refused, ["refused", "refused", "refused", "refused"]);
    await it.page.context().close();
});

test("no text is smaller than 13 px, and what has no room is named", async () => {
    const it = await open(saved, { viewport: { width: 1000, height: 800 } });
    assert.match(await it.text("#state"), /too narrow for: /);
    const small = await it.page.evaluate(() =>
        [...document.querySelectorAll("body *")]
            .filter((it) =>
                [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim()),
            )
            .filter((it) => parseFloat(getComputedStyle(it).fontSize) < 13)
            .map((it) => it.outerHTML.slice(0, 80)),
    );
    assert.deepEqual(
        small.filter((it) => !/^<(style|script|title|noscript)/.test(it)),
        [],
    );
    await it.shot("saved-narrow");
    await it.close();
});

test("dark and light follow the system, and the switch wins", async () => {
    const background = (it) =>
        it.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await open(`${saved}#row=site:POST /login src/login.rs:84&open=1`, {
        colorScheme: "dark",
    });
    const darkColour = await background(dark);
    await dark.shot("saved-dark");
    await dark.key("t");
    assert.equal(await dark.hash("theme"), "light");
    const light = await open(saved, { colorScheme: "light" });
    assert.equal(await background(dark), await background(light));
    assert.notEqual(darkColour, await background(light));
    await dark.close();
    await light.close();
});

test("a saved page says when it was taken, and has no live controls", async () => {
    const it = await open(saved);
    assert.match(await it.text("#taken"), /^Saved .*13:00:00/, "in the reader's time zone");
    assert.equal(await it.page.locator("#pause").isVisible(), false);
    assert.equal(await it.page.locator("#save").isVisible(), false);
    await it.close();
});

test("every control is reached by Tab and has a name", async () => {
    const it = await open(saved);
    const unnamed = await it.page.evaluate(() =>
        [...document.querySelectorAll("button, a, input, select, [tabindex]")]
            .filter((it) => it.offsetParent)
            .filter(
                (it) =>
                    !(
                        it.innerText ||
                        it.ariaLabel ||
                        it.title ||
                        it.labels?.length ||
                        it.getAttribute("aria-labelledby")
                    ),
            )
            .map((it) => it.outerHTML.slice(0, 80)),
    );
    assert.deepEqual(unnamed, []);
    const reached = new Set();
    for (let step = 0; step < 60; step += 1) {
        await it.key("Tab");
        reached.add(
            await it.page.evaluate(
                () => document.activeElement.id || document.activeElement.className,
            ),
        );
    }
    for (const id of ["theme", "help", "time", "tab-sites", "filter", "group", "rows"]) {
        assert.ok(reached.has(id), id);
    }
    await it.close();
});

test("the report of a real program opens, and its parts add up", async () => {
    const real = JSON.parse(readFileSync(`${FOLDER}/real.json`, "utf8"));
    const it = await open(`file://${FOLDER}/real.html`);
    const titles = await it.page.$$eval("#bar button", (all) => all.map((part) => part.title));
    const bytes = titles.map((title) =>
        Number(title.match(/: ([\d,]+) byte/)[1].replaceAll(",", "")),
    );
    assert.equal(
        bytes.reduce((all, part) => all + part, 0),
        real.resident.resident_bytes ?? real.process.whole_bytes,
    );
    assert.ok(real.process.whole_bytes > MIB / 64);
    for (const [index, view] of VIEWS.entries()) {
        await it.key(String(index + 1));
        await it.shot(`real-${view}`);
    }
    await it.close();
});
