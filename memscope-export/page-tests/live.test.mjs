// The live page, from a server: the stream, pauses, what goes wrong, and 100,000 tasks.

import assert from "node:assert/strict";
import { test } from "node:test";
import { snapshot } from "./fixture.mjs";
import { scrolled, start, status } from "./live.mjs";

test("figures follow the stream, and rates come from two readings", async () => {
    const it = await start();
    await status(it, "Live");
    assert.equal(await it.cell("catalog refresh", "Live"), "27.70");
    await it.send(snapshot({ second: 2 }));
    assert.equal(await it.cell("catalog refresh", "Live"), "29.70");
    assert.equal(await it.cell("catalog refresh", "Allocated/s"), "3.00");
    assert.equal((await it.page.locator("#rows .changed").count()) > 0, true, "new values fade in");
    await it.shot("live");
    await it.close();
});

test("a finding says how sure it is, and what holds the bytes", async () => {
    const it = await start();
    await status(it, "Live");
    const first = it.page.locator(".finding").first();
    await first.getByText("Why").click();
    assert.match(await first.innerText(), /How sure: likely: a cache that still fills/);
    assert.match(await first.innerText(), /Held by the static shop::SESSIONS/);
    await it.close();
});

test("the order holds under the pointer until it leaves or r is pressed", async () => {
    const it = await start();
    await it.page.hover("#rows .row >> nth=0");
    await it.send(snapshot({ second: 60 }));
    assert.deepEqual((await it.rows()).slice(0, 3).at(-1), "catalog refresh");
    assert.equal(await it.cell("catalog refresh", "Live"), "87.70", "numbers change");
    await it.key("r");
    assert.equal((await it.rows())[1], "catalog refresh");
    await it.send(snapshot({ second: 90 }));
    assert.equal((await it.rows())[1], "catalog refresh");
    await it.page.mouse.move(5, 5);
    assert.equal((await it.rows())[0], "catalog refresh");
    await it.close();
});

test("a row that ends under the pointer stays as a shadow", async () => {
    const it = await start(snapshot(), "#tab=tasks");
    const [first] = await it.page.$$eval("#rows .row", (rows) =>
        rows.map((row) => row.dataset.key),
    );
    await it.page.hover("#rows .row >> nth=0");
    const next = snapshot({ second: 1 });
    next.tasks = next.tasks.filter((task) => `task:${task.id}` !== first);
    await it.send(next);
    assert.equal(await it.page.locator("#rows .row.gone").count(), 1);
    await it.page.mouse.move(5, 5);
    assert.equal(await it.page.locator("#rows .row.gone").count(), 0);
    await it.close();
});

test("space pauses, and going on shows the newest", async () => {
    const it = await start();
    await it.key("Space");
    await status(it, "Paused");
    it.server.snapshot = snapshot({ second: 5 });
    it.server.send();
    assert.equal(await it.cell("catalog refresh", "Live"), "27.70");
    await it.key("Space");
    await status(it, "Live");
    await it.page.waitForFunction(() => document.querySelector("#facts").innerText.includes(":05"));
    assert.equal(await it.cell("catalog refresh", "Live"), "32.70");
    await it.close();
});

test("compare with now is exact for every row", async () => {
    const it = await start();
    await it.key("c");
    await it.send(snapshot({ second: 3 }));
    assert.equal(await it.cell("catalog refresh", "Δ"), "+3.00");
    assert.equal(await it.cell("model load", "Δ"), "0");
    assert.match(await it.text("#state"), /every row, exact/);
    await it.shot("live-compare");
    await it.key("Escape");
    assert.equal(await it.hash("at"), null);
    await it.close();
});

test("a stalled stream says since when", async () => {
    const it = await start();
    await status(it, "Live");
    await status(it, "Stalled: last answer");
    assert.match(await it.text("#note"), /has not answered for/);
    await it.shot("live-stalled");
    await it.send(snapshot({ second: 9 }));
    await status(it, "Live");
    assert.equal(await it.page.locator("#note").isVisible(), false);
    await it.close();
});

test("a lost connection is said, tried again, and a restarted process is another one", async () => {
    const it = await start();
    await status(it, "Live");
    await it.key("c");
    it.server.refusesStreams = true;
    it.server.snapshot = snapshot({ pid: 4300, startedMs: Date.UTC(2026, 10, 26, 12, 30) });
    it.server.cut();
    await it.page.waitForFunction(
        () => document.querySelector("#note").innerText.includes("restarted"),
        null,
        { timeout: 15_000 },
    );
    assert.match(await it.text("#note"), /pid 4242 before, 4300 since 13:30:00/);
    assert.equal(await it.hash("at"), null, "nothing is compared with the process before");
    assert.ok(it.server.asked.includes("/snapshot.json"), "without a stream it asks one by one");
    await it.shot("live-restarted");
    it.server.refusesStreams = false;
    await it.page.click("#note button");
    assert.equal(await it.page.locator("#note").isVisible(), false);
    await it.close();
});

test("half an answer is no answer", async () => {
    const it = await start();
    await status(it, "Live");
    it.server.snapshot = snapshot({ second: 4 });
    const send = it.server.send;
    const whole = JSON.stringify;
    JSON.stringify = (value) => whole(value).slice(0, 400);
    send();
    JSON.stringify = whole;
    await it.send(snapshot({ second: 6 }));
    assert.equal(await it.cell("catalog refresh", "Live"), "33.70");
    await it.close();
});

test("resident memory and its limit are drawn once they are measured", async () => {
    const MIB = 1024 ** 2;
    const first = snapshot();
    first.resident = {
        resident_bytes: 412 * MIB,
        limit_bytes: 512 * MIB,
        limit_source: "cgroup_v2",
        live_bytes: first.process.whole_bytes,
        memscope_bytes: 3 * MIB,
        allocator_free_bytes: 60 * MIB,
    };
    const it = await start(first);
    assert.equal(await it.text("#total"), "412 MiB");
    assert.match(await it.text("#of"), /resident of 512 MiB, the limit of the cgroup/);
    assert.match(await it.text("#growth"), /^80 % full/);
    const titles = await it.page.$$eval("#bar button", (all) => all.map((part) => part.title));
    const bytes = titles.map((title) =>
        Number(title.match(/: ([\d,]+) byte/)[1].replaceAll(",", "")),
    );
    assert.equal(
        bytes.reduce((all, part) => all + part, 0),
        412 * MIB,
    );
    await it.shot("live-resident");
    await it.close();
});

test("what counts against the limit is not only this process, and not all that lives is in RAM", async () => {
    const MIB = 1024 ** 2;
    const first = snapshot();
    first.resident = {
        resident_bytes: 100 * MIB,
        limit_bytes: 512 * MIB,
        limit_used_bytes: 384 * MIB,
        limit_source: "cgroup_v2",
        memscope_bytes: 3 * MIB,
        allocator_free_bytes: 1 * MIB,
    };
    const it = await start(first);
    assert.match(await it.text("#growth"), /^75 % full/);
    const parts = await it.text("#parts");
    assert.match(parts, /Live, not in RAM\s*−/);
    assert.match(parts, /Others in the limit\s*284 MiB/);
    assert.match(parts, /Room to the limit\s*128 MiB/);
    const label = await it.page.getAttribute("#bar", "aria-label");
    assert.match(label, /Others in the limit 284 MiB/);
    await it.close();
});

test("a finding of the process has a name, and leads to where the memory is", async () => {
    const first = snapshot();
    const of = (kind, name) => ({
        ...first.leaks.findings[0],
        kind,
        place: { name, file: "", line: 0 },
        count: 0,
        variables: [],
    });
    first.leaks.findings = [of("kept", "(process)"), of("growing", "(outside every task)")];
    const it = await start(first);
    const titles = await it.page.$$eval("#findings h3", (all) => all.map((h3) => h3.textContent));
    assert.match(titles[0], /^The allocator keeps what the program has freed/);
    assert.match(await it.text("#findings"), /96\.4 MiB free in the allocator/);
    const shows = await it.page.$$("#findings .acts button:last-child");
    await shows[1].click();
    assert.match(it.page.url(), /part:outside|part%3Aoutside/);
    await it.close();
});

test("of a large service the page says how many smaller rows it was not sent", async () => {
    const first = snapshot();
    first.left_out = { sites: 990, tasks: 99_000 };
    const it = await start(first);
    assert.match(await it.text("#state"), /990 smaller ones not sent/);
    assert.match(
        await it.text("#tab-sites"),
        new RegExp(`${990 + first.sites.length}`.replace(/^1/, "1,?")),
    );
    await it.key("2");
    assert.match(await it.text("#state"), /99,000 smaller ones not sent/);
    await it.key("3");
    assert.doesNotMatch(await it.text("#state"), /not sent/);
    await it.close();
});

test("what is not judged yet is said, and a list that was opened stays open", async () => {
    const first = snapshot();
    const why = "catalog refresh (src/catalog.rs:31): growing by 4 MiB a minute for 20 s";
    first.leaks.not_judged.unshift({ kind: "growing", why });
    const it = await start(first);
    const said = await it.text(".not-judged");
    assert.match(said, /^Not judged yet: catalog refresh .*growing by 4 MiB a minute/);
    assert.doesNotMatch(said, /14 idle tasks/);
    await it.page.click("text=and 1 more");
    await it.send({ ...snapshot({ second: 1 }), leaks: first.leaks });
    assert.match(await it.text(".not-judged"), /stuck: 14 idle tasks/);
    await it.page.click(".not-judged >> text=less");
    assert.doesNotMatch(await it.text(".not-judged"), /14 idle tasks/);
    await it.close();
});

test("rows that were left out, and awaits that are off, are not counted as zeros", async () => {
    const first = snapshot();
    Object.assign(first, { await_points_measured: "off", await_points: [], hand_overs: [] });
    const it = await start(first);
    assert.equal(await it.text("#tab-waits"), "Where tasks wait");
    assert.match(await it.text("#tab-frees"), /^Who frees\s*0$/);
    await it.key("4");
    assert.match(await it.text("#none"), /^Await points are off/);
    assert.doesNotMatch(await it.text("#state"), /row/);
    await it.key("2");
    assert.doesNotMatch(await it.text("#head"), /Waits at/);
    const short = snapshot({ second: 1, tasks: 0 });
    Object.assign(short, { hand_overs: [] });
    short.tool.rows_left_out = 2_941;
    await it.send(short);
    assert.equal(await it.text("#tab-frees"), "Who frees");
    assert.match(await it.text("#none"), /too little memory, and left 2,941 rows out/);
    assert.doesNotMatch(await it.text("#state"), /row/);
    await it.close();
});

test("sizes that are not measured are not drawn as zeros", async () => {
    const first = snapshot();
    first.measured = "not_installed";
    for (const row of [...first.sites, ...first.tasks]) row.measured = false;
    const it = await start(first);
    assert.equal(await it.text("#total"), "Not measured");
    assert.equal(await it.cell("POST /login", "Live"), "–");
    assert.equal(await it.cell("POST /login", "Spawned"), "24,174");
    await it.close();
});

test("tasks of a program without annotations live all the same", async () => {
    const first = snapshot();
    assert.match(first.sites.map((site) => site.is_annotated).join(), /true.*false|false.*true/);
    const it = await start(first);
    assert.match(await it.text("#parts"), /Living tasks[^]*Living, unannotated/);
    const next = snapshot({ second: 1 });
    for (const site of next.sites) site.is_annotated = false;
    await it.send(next);
    assert.doesNotMatch(await it.text("#parts"), /unannotated/);
    assert.match(await it.text("#parts"), /Living tasks\s+138 MiB/);
    await it.close();
});

test("near the limit nothing found is not nothing lost, and the largest site is named", async () => {
    const first = snapshot();
    first.leaks.findings = [];
    const it = await start(first);
    assert.match(await it.text("#findings"), /^Nothing looks lost\./);
    assert.equal(await it.page.locator(".most").count(), 0, "no site holds half");
    const next = snapshot({ second: 1 });
    next.tool.rows_left_out = 3851;
    Object.assign(next.sites[0], { live_bytes: 2 ** 30, retained_bytes: 2 ** 30 });
    next.process.whole_bytes = 2 ** 30 * 1.25;
    await it.send({ ...next, leaks: first.leaks });
    const said = await it.text("#findings");
    assert.match(said, /^Nothing was found, but 3,851 rows were left out for lack of memory\./);
    assert.match(said, /POST \/login holds 1\.0+ GiB, 80 % of what is live; ended tasks left 1/);
    assert.match(await it.text("#facts"), /3,851 rows left out/);
    await it.page.click(".most .link");
    assert.match(await it.text("#drawer"), /POST \/login/);
    await it.send({ ...next, observed_ns: next.observed_ns + 1e9, leaks: snapshot().leaks });
    assert.equal(await it.page.locator(".most").count(), 0, "a finding names it");
    await it.close();
});

test("what is not judged yet leads to its row, and needs are said of growth", async () => {
    const first = snapshot();
    const why = "catalog refresh (src/catalog.rs:31): growing by 4 MiB a minute for 20 s";
    const needs = "needs 6 samples in 2 min; this is the first";
    first.leaks.not_judged = [
        { kind: "growing", why },
        { kind: "growing", why: needs },
    ];
    const it = await start(first);
    await it.page.click("text=and 1 more");
    assert.match(await it.text(".not-judged"), /growth needs 6 samples in 2 min/);
    await it.page.click(".not-judged >> text=catalog refresh");
    assert.equal(await it.text("#drawer h2"), "catalog refresh");
    await it.close();
});

test("stacks begin at the program's own code, and the standard library's bytes are its", async () => {
    const first = snapshot();
    const { frames: path } = first.stacks[0];
    const filled = "<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem";
    path.splice(1, 0, { ...path[0], function: filled, address: path[0].address + 50 });
    const it = await start(first, "#tab=code");
    assert.equal(await it.cell("shop::session::insert", "Own"), "92.0");
    const names = async () => (await it.rows()).join("\n");
    assert.doesNotMatch(await names(), /LocalKey|tokio::runtime/);
    await it.page.click("text=All frames");
    assert.match(await names(), /LocalKey/);
    assert.equal(await it.cell("alloc::raw_vec::finish_grow", "Own"), "92.0");
    await it.page.click("#tab-sites");
    await it.page.click("#rows .row:has-text('POST /login')");
    const frames = it.page.locator("#drawer .frames").first();
    assert.match(await frames.innerText(), /^shop::checkout::place_order/);
    await it.close();
});

test("how many tasks live is said, and a column of unknown values has no unit", async () => {
    const first = snapshot();
    for (const task of first.tasks) task.idle_ns = null;
    const it = await start(first, "#tab=tasks");
    const living = first.sites.reduce((sum, site) => sum + site.active, 0);
    assert.match(await it.text("#state"), new RegExp(`${living} tasks live`));
    const head = it.page.locator("#head [role=columnheader]:has-text('Not polled for')");
    assert.equal((await head.innerText()).trim(), "Not polled for");
    await it.close();
});

test("that no blocks are listed is said before the process is asked", async () => {
    const first = snapshot();
    first.tool.holder_table_bytes = 0;
    const it = await start(first, "#tab=holds");
    assert.match(await it.text("#holds-tools"), /Start the process with MEMSCOPE_HOLDERS=on/);
    assert.equal(await it.page.locator("text=Ask now").count(), 0);
    const next = snapshot({ second: 1 });
    next.tool.holder_table_bytes = 4096;
    await it.send(next);
    assert.equal(await it.page.locator("text=Ask now").count(), 1);
    await it.close();
});

test("a fast growth is told by the minute, and of one task that is said", async () => {
    const first = snapshot();
    const growing = {
        ...first.leaks.findings[1],
        kind: "growing",
        bytes_per_day: 1440 * 5 * 2 ** 20,
    };
    first.leaks.findings = [{ ...growing, task: 4, waits_at: null }];
    const it = await start(first);
    assert.match(await it.text(".finding"), /^\s*Task #4 of POST \/checkout only grows/);
    assert.match(await it.text(".finding"), /5\.0 MiB a minute/);
    await it.close();
});

test("of 100,000 tasks those in sight are drawn, and no scroll grows with their number", async () => {
    const it = await start(snapshot({ tasks: 100_000 }), "#tab=tasks");
    assert.match(await it.text("#state"), /100,000 rows/);
    const counted = await scrolled(it, 100_000);
    assert.ok(counted.drawn < 60, `${counted.drawn} rows are elements`);
    assert.equal(counted.height, 100_000 * 28);
    assert.ok(counted.touched < 20 * 60 * 40, `${counted.touched} changes`);
    await it.page.focus("#rows");
    await it.key("End");
    assert.match(await it.hash("row"), /^task:/);
    const at = await it.page.getAttribute("#rows .row[aria-selected=true]", "aria-rowindex");
    assert.equal(at, "100001", "the last, after the head");
    await it.page.locator("#rows .row[aria-selected=true]").waitFor();
    await it.shot("live-100000");
    await it.close();
});
