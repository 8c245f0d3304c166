// Who holds the heap: its tree and its icicle, on the live page; and changes of all tables.

import assert from "node:assert/strict";
import { test } from "node:test";
import { HOSTILE, holders, snapshot } from "./fixture.mjs";
import { scrolled, start, status } from "./live.mjs";

const MIB = 1024 ** 2;

async function startAsked(graph = holders(), hash = "#tab=holds", first = snapshot()) {
    const it = await start(first, hash);
    it.server.holders = graph;
    const ask = async (next) => {
        it.server.holders = next;
        const asked = it.server.asked.length;
        await it.page.getByText(/^Ask (now|again)$/).click();
        await it.page.waitForFunction(
            () => !document.querySelector("#holds-head").innerText.includes("is asked"),
        );
        assert.ok(it.server.asked.length > asked);
        await it.page.locator("#rows .row").first().waitFor();
    };
    await ask(graph);
    return { ...it, ask };
}

// Bytes of the rows of the table: [level, bytes], by their tooltips.
const sizes = (it) =>
    it.page.$$eval("#rows .row:not([hidden])", (rows) =>
        rows
            .map((row) => [Number(row.getAttribute("aria-rowindex")), row])
            .sort(([a], [b]) => a - b)
            .map(([, row]) => [
                Number(row.getAttribute("aria-level") ?? 1),
                Number(row.querySelector(".bar-cell > span").title.replace(/\D/g, "")),
            ]),
    );
const says = (it) => it.text("#held-icicle-says");
const unfold = async (it, name) => {
    await it.page.locator(`#rows .row:has(.name[title="${name}"]) .twist`).click();
};

test("holders are asked for by a button alone, which says what it costs", async () => {
    const it = await start(snapshot(), "#tab=holds");
    assert.match(await it.text("#holds-head"), /the process stands still/);
    assert.ok(!it.server.asked.includes("/holders.json"));
    await it.page.click("text=Ask now");
    await it.page.waitForFunction(() =>
        document.querySelector("#holds-head").innerText.includes("404"),
    );
    it.server.holders = holders();
    await it.page.click("text=Ask now");
    await it.page.waitForFunction(() => document.querySelectorAll("#rows .row").length > 3);
    assert.match(await it.text("#holds-head"), /stood still for 23 ms of 370 ms/);
    assert.equal(await it.cell("shop::SESSIONS", "Holds"), "96.00");
    // The variable through which a task holds most, and where that is declared.
    assert.equal(await it.cell("app::session #12, frames", "Holds"), "3.00");
    assert.equal(await it.cell("app::session #12, frames", "Place"), "src/app.rs:31");
    assert.match((await it.rows())[0], /^\(nothing/, "what nothing holds comes first");
    await it.shot("live-holds");
    await it.close();
});

test("the rows of who holds add up to the heap", async () => {
    const graph = holders();
    const it = await startAsked(graph);
    const top = (await sizes(it)).filter(([level]) => level === 1);
    const sum = top.reduce((all, [, bytes]) => all + bytes, 0);
    assert.equal(sum, graph.bytes);
    assert.equal(top.length, graph.roots.length + 2);
    assert.deepEqual((await it.rows()).slice(0, 1), ["(nothing)"], "what is lost comes first");
    // What is below a row adds up to it, without a step's own blocks.
    const [, cycles, blocks] = await sizes(it);
    assert.equal(cycles[1] + blocks[1], 3 * MIB);
    await unfold(it, "(several roots)");
    const rows = await it.rows();
    const all = await sizes(it);
    const at = rows.indexOf("(several roots)");
    assert.equal(all[at][1], graph.shared_bytes);
    const below = all.slice(at + 1, at + 5).filter(([level]) => level === 2);
    assert.equal(
        below.reduce((whole, [, bytes]) => whole + bytes, 0),
        graph.shared_bytes,
    );
    await it.shot("holds");
    await it.close();
});

test("a report that has a graph shows it without a question", async () => {
    const graph = holders();
    const it = await start({ ...snapshot(), heap_graph: graph }, "#tab=holds");
    assert.equal(await it.cell("shop::SESSIONS", "Holds"), "96.00");
    assert.match(await it.text("#holds-head"), /^9,800 blocks, 124 MiB/);
    assert.ok(!it.server.asked.includes("/holders.json"));
    await it.close();
});

test("small roots that a report left out are a row of their own", async () => {
    const graph = holders();
    graph.bytes += 7 * MIB;
    const it = await startAsked(graph);
    assert.equal(await it.cell("(smaller rows, left out)", "Holds"), "7.00");
    assert.equal((await it.rows()).at(-1), "(smaller rows, left out)", "it is the last one");
    const top = (await sizes(it)).filter(([level]) => level === 1);
    assert.equal(
        top.reduce((all, [, bytes]) => all + bytes, 0),
        graph.bytes,
    );
    await it.close();
});

test("below a root is its way down, and what is beside it is not hidden", async () => {
    const it = await startAsked();
    const rows = await it.rows();
    const at = rows.indexOf("shop::SESSIONS");
    assert.deepEqual(rows.slice(at + 1, at + 7), [
        "1 × 64.0 KiB by session::fill",
        "2,000 × 9.8 KiB by POST /login",
        `4,000 × 15.0 KiB by ${HOSTILE}`,
        "(others)",
        "(others)",
        "(others)",
    ]);
    const sizesOf = (await sizes(it)).slice(at, at + 7).map(([, bytes]) => bytes / 1024);
    const [root, first, second, third, ...others] = sizesOf;
    assert.deepEqual([root, first, second, third], [98_304, 97_280, 90_000, 60_000]);
    assert.deepEqual(others, [90_000 - 19_600 - 60_000, 97_280 - 64 - 90_000, 1_024]);
    assert.equal(await it.cell(rows[at + 1], "Place"), "src/session.rs:44", "the own frame's");
    assert.equal(await it.cell(rows[at + 1], "Blocks"), "–", "what one holds is not counted");
    assert.equal(await it.cell(rows[at + 3], "Blocks"), "4,000");
    assert.match(await it.cell("stack of main", "It reaches"), /^≥ /);
    assert.equal(await it.cell("shop::CACHE of worker-1", "Kind"), "thread-local");
    await it.close();
});

test("the icicle of who holds is the same tree, by the pointer and by keys", async () => {
    const graph = holders();
    const it = await startAsked(graph);
    assert.match(await says(it), /^124 MiB of the heap/);
    assert.equal(await it.page.locator("#icicle").count(), 0, "one canvas, not that of Code");
    const box = await it.page.locator("#held-icicle").boundingBox();
    // The second row: what nothing holds stands left, and has its share of the width.
    const lost = (3 * MIB) / graph.bytes;
    await it.page.mouse.move(box.x + box.width * lost * 0.5, box.y + 36);
    assert.match(await says(it), /^\(nothing\)\s+3\.0 MiB, 2 %/);
    await it.page.mouse.move(box.x + box.width * lost + 4, box.y + 36);
    assert.match(await says(it), /^shop::SESSIONS\s+96\.0 MiB, 78 %\s+src\/state\.rs:12/);
    await it.page.mouse.click(box.x + box.width * lost + 4, box.y + 36);
    assert.match(await it.hash("under"), /^root: static shop::SESSIONS/);
    assert.equal((await it.rows())[0], "shop::SESSIONS", "the table has its subtree alone");
    assert.equal((await it.rows()).length, 7);
    await it.page.click("#holds-head .chip");
    assert.equal(await it.hash("under"), null);
    await it.page.focus("#held-icicle");
    await it.key("ArrowDown");
    await it.key("ArrowRight");
    await it.key("ArrowDown");
    assert.match(await says(it), /^1 × 64\.0 KiB by session::fill\s+95\.0 MiB/);
    await it.key("Enter");
    assert.match(await it.hash("under"), /› 0$/);
    const canvas = it.page.locator("#held-icicle");
    assert.match(await canvas.getAttribute("aria-label"), /the table below has the same figures/);
    await it.close();
});

test("the filter keeps what is below a match, and the icicle says how much it matches", async () => {
    const it = await startAsked();
    await it.page.fill("#filter", "post /login");
    const rows = await it.rows();
    assert.deepEqual(rows.slice(0, 4), [
        "shop::SESSIONS",
        "1 × 64.0 KiB by session::fill",
        "2,000 × 9.8 KiB by POST /login",
        `4,000 × 15.0 KiB by ${HOSTILE}`,
    ]);
    assert.equal(rows.length, 5, "and what is beside the last");
    assert.match(await says(it), /The filter matches 87\.9 MiB, 71 %/);
    await it.page.fill("#filter", "nothing is called this");
    assert.match(await it.text("#none"), /No row matches/);
    await it.close();
});

test("roots are grouped by kind and by name, and their sums stay", async () => {
    const graph = holders();
    const it = await startAsked(graph);
    await it.page.selectOption("#group", "kind");
    const top = (await sizes(it)).filter(([level]) => level === 1);
    assert.equal(
        top.reduce((all, [, bytes]) => all + bytes, 0),
        graph.bytes,
    );
    assert.equal(await it.cell("task", "Holds"), "4.00");
    await unfold(it, "task");
    assert.ok((await it.rows()).includes("app::session #12, frames"));
    await it.page.selectOption("#group", "name");
    assert.equal(await it.cell("app::session", "Holds"), "4.00");
    assert.equal(await it.cell("shop::SESSIONS", "Holds"), "96.00", "one root needs no group");
    await it.close();
});

test("the drawer of a step has its way, its stack, its task and its site", async () => {
    const it = await startAsked();
    await it.page.locator(`#rows .row:has(.name[title^="4,000 ×"])`).click();
    let drawer = await it.text("#drawer");
    for (const said of ["Way down", "shop::SESSIONS", "58.6 MiB", "4,000", "#12", HOSTILE]) {
        assert.ok(drawer.includes(said), said);
    }
    await it.page.click("#drawer button:has-text('2,000 ×')");
    drawer = await it.text("#drawer");
    for (const said of [
        "87.9 MiB",
        "19.1 MiB",
        "4,000 × 15.0 KiB",
        "shop::session::fill",
        "POST /login",
    ]) {
        assert.ok(drawer.includes(said), said);
    }
    assert.equal(await it.page.locator("img").count(), 0);
    await it.shot("holds-drawer");
    await it.page.click("#drawer section:has-text('Site') button:has-text('POST /login')");
    assert.match(await it.text("#drawer"), /^Site/);
    await it.close();
});

test("a hostile name of a root, a step or a frame is text", async () => {
    const bad = { ...holders().roots[3], name: HOSTILE, thread: HOSTILE };
    const it = await startAsked(holders({ more: [bad] }));
    assert.ok((await it.rows()).includes(`${HOSTILE} of ${HOSTILE}`));
    await it.page.locator(`#rows .row:has(.name[title^="4 lost"])`).click();
    const drawer = await it.text("#drawer");
    for (const said of [`4 lost blocks by ${HOSTILE}`, `shop::${HOSTILE}`]) {
        assert.ok(drawer.includes(said), said);
    }
    await it.page.focus("#held-icicle");
    for (const key of ["ArrowDown", "ArrowDown", "ArrowRight"]) await it.key(key);
    assert.ok((await says(it)).includes(HOSTILE));
    assert.equal(await it.page.locator("img").count(), 0);
    assert.equal(await it.page.title(), "shop, memory by task");
    await it.close();
});

test("what holds the bytes of a finding is a link to its row, or to the question", async () => {
    const it = await start();
    await status(it, "Live");
    const why = () => it.page.locator(".finding").first();
    await why().getByText("Why").click();
    assert.match(
        await why().innerText(),
        /Held by the static shop::SESSIONS \(src\/state\.rs:12\)\./,
    );
    await why().locator("button:has-text('the static')").click();
    assert.equal(await it.hash("tab"), "holds");
    it.server.holders = holders();
    await it.page.click("text=Ask now");
    await it.page.locator("#rows .row").first().waitFor();
    await why().locator("button:has-text('the static')").click();
    assert.match(await it.hash("row"), /^root: static shop::SESSIONS/);
    assert.match(await it.text("#drawer"), /^Root, static\s+shop::SESSIONS/);
    const next = snapshot({ second: 1 });
    next.leaks.findings[0].held_by = "2 tasks of `app::session`, in their variable `frames`";
    await it.send(next);
    await why().locator("button:has-text('2 tasks')").click();
    assert.equal(await it.hash("group"), "name");
    assert.match(await it.text("#drawer"), /^Roots together\s+app::session/);
    const lost = snapshot({ second: 2 });
    lost.leaks.findings[0].held_by = "nothing";
    await it.send(lost);
    await why().locator("button:text-is('nothing')").click();
    assert.match(await it.text("#drawer"), /^Held by nothing/);
    await it.close();
});

test("who holds compares with the answer before: new roots count from 0", async () => {
    const it = await startAsked();
    assert.doesNotMatch(await it.text("#head"), /Δ/, "one answer has nothing to compare with");
    const added = { ...holders().roots[3], name: "shop::NEW", thread: "worker-2" };
    await it.ask(holders({ kib: 4_096, more: [added] }));
    assert.match(await it.text("#head"), /Δ \d\d:\d\d/);
    assert.match(await it.text("#holds-head"), /Δ is since the answer of \d\d:\d\d:\d\d/);
    assert.equal(await it.cell("shop::SESSIONS", "Δ"), "+4.00");
    assert.equal(await it.cell("shop::NEW of worker-2", "Δ"), "+0.50");
    assert.equal(await it.cell("(nothing)", "Δ"), "0");
    const step = "1 × 64.0 KiB by session::fill";
    assert.equal(await it.cell(step, "Δ"), "–", "ways may be other ones");
    await it.page.selectOption("#group", "kind");
    assert.equal(await it.cell("thread-local", "Δ"), "+0.50");
    await it.page.selectOption("#group", "");
    await it.shot("holds-compare");
    // An answer that lacks small roots says nothing of a root that is not in it.
    const cut = holders();
    cut.bytes += MIB;
    await it.ask(cut);
    await it.ask(holders({ more: [added] }));
    assert.equal(await it.cell("shop::NEW of worker-2", "Δ"), "–");
    assert.equal(await it.cell("shop::SESSIONS", "Δ"), "0");
    await it.close();
});

test("who holds compares with the answer at the time of c", async () => {
    const it = await startAsked();
    await it.key("c");
    assert.equal(await it.cell("shop::SESSIONS", "Δ"), "–", "there is one answer so far");
    await it.ask(holders({ kib: 1_024 }));
    await it.ask(holders({ kib: 3_072 }));
    assert.equal(await it.cell("shop::SESSIONS", "Δ"), "+3.00");
    await it.key("Escape");
    assert.equal(await it.cell("shop::SESSIONS", "Δ"), "+2.00", "now since the answer before");
    await it.close();
});

test("every table compares with now", async () => {
    const it = await start();
    await it.key("c");
    const next = snapshot({ second: 3 });
    next.stacks[0].live_bytes += 2 * MIB;
    next.await_points[0].live_bytes += MIB;
    next.sites[0].active += 10;
    next.hand_overs[0].bytes += MIB;
    next.stacks.push({ ...next.stacks[1], frames: [{ ...next.stacks[1].frames[0], offset: 77 }] });
    next.stacks.at(-1).frames[0].function = "shop::new::code";
    await it.send(next);
    await it.key("3");
    assert.equal(await it.cell("shop::session::insert", "Δ"), "+2.0");
    assert.equal(await it.cell("shop::new::code", "Δ"), "+34.0", "new code counts from 0");
    await it.shot("compare-code");
    await it.key("4");
    assert.equal(await it.cell("shop::checkout::place_order", "Δ"), "+1.00");
    assert.equal(await it.cell("shop::db::acquire", "Δ"), "+1.00", "a row below another");
    assert.equal(await it.cell("shop::search::query", "Δ"), "0");
    await it.page.selectOption("#group", "leaf first");
    assert.equal(await it.cell("shop::db::acquire", "Δ"), "+1.00");
    await it.key("7");
    assert.equal(await it.cell("POST /login", "Δ"), "+6.25");
    await it.key("8");
    assert.equal(await it.cell("POST /login", "Δ"), "+1.00");
    await it.key("1");
    await it.page.selectOption("#group", "kind");
    assert.equal(await it.cell("background", "Δ"), "+3.00", "a group has its rows' sum");
    assert.equal(await it.cell("io intensive", "Δ"), "0");
    await it.close();
});

test("at a moment of the time line code compares by points of its stacks", async () => {
    const first = snapshot();
    const [from, to] = [first.timeline.process[20].at_ns, first.timeline.process.at(-1).at_ns];
    const point = (at_ns, mib) => ({
        at_ns,
        live_bytes: mib * MIB,
        allocated_bytes: 3 * mib * MIB,
    });
    first.stacks[0].points = [point(from, 80), point(to, 92)];
    const ms = Math.round(first.origin.started_unix_ns / 1e6 + from / 1e6);
    const it = await start(first, `#tab=code&at=${ms}`);
    assert.equal(await it.cell("shop::session::insert", "Δ"), "+12.0");
    assert.equal(await it.cell("bytes::bytes_mut::BytesMut::reserve_inner", "Δ"), "–");
    const dash = it.page.locator("#rows .zero[title*='the process kept no figure']");
    assert.ok((await dash.count()) > 0);
    // Before its first point nothing is known of a stack.
    await it.page.evaluate((ms) => (location.hash = `tab=code&at=${ms - 60_000}`), ms);
    await it.page.waitForFunction(
        () => !document.querySelector("#rows").innerText.includes("+12.0"),
    );
    for (const [tab, name] of [
        ["waits", "shop::db::acquire"],
        ["futures", "POST /login"],
        ["frees", "POST /login"],
    ]) {
        await it.page.evaluate(([tab, ms]) => (location.hash = `tab=${tab}&at=${ms}`), [tab, ms]);
        await it.page.waitForFunction(
            (tab) => document.querySelector(`#tab-${tab}`).ariaSelected === "true",
            tab,
        );
        assert.equal(await it.cell(name, "Δ"), "–", tab);
        const why = it.page.locator("#rows .zero[title*='not kept over time']");
        assert.ok((await why.count()) > 0, tab);
    }
    await it.close();
});

test("of rows that were not sent no change is shown", async () => {
    const first = snapshot();
    first.left_out = { sites: 990, stacks: 5 };
    const it = await start(first);
    await it.key("c");
    const next = snapshot({ second: 3 });
    next.left_out = first.left_out;
    next.sites.push({ ...next.sites[0], name: "GET /new", live_bytes: MIB });
    next.stacks.push({ ...next.stacks[0], frames: [...next.stacks[0].frames] });
    next.stacks.at(-1).frames[0] = { ...next.stacks[0].frames[0], address: 1 };
    await it.send(next);
    assert.equal(await it.cell("catalog refresh", "Δ"), "+3.00");
    assert.equal(await it.cell("GET /new", "Δ"), "–", "it may have been among the smaller ones");
    await it.page.selectOption("#group", "kind");
    assert.equal(await it.cell("background", "Δ"), "–", "as may rows of a group");
    await it.key("3");
    assert.equal(await it.cell("shop::session::insert", "Δ"), "–", "a stack of it was not sent");
    assert.equal(await it.cell("bytes::bytes_mut::BytesMut::reserve_inner", "Δ"), "0");
    await it.close();
});

test("the drawer shows a budget: how much of it is held, and which tasks went over", async () => {
    const first = snapshot();
    const task = first.tasks[3];
    task.live_bytes = 3 * MIB;
    first.over_budget = [
        {
            task: task.id,
            place: { name: task.name, file: task.file, line: task.line },
            live_bytes: 2.5 * MIB,
            budget_bytes: 2 * MIB,
            at_ns: 60e9,
        },
    ];
    const it = await start(first, `#tab=tasks&row=task:${task.id}&open=1`);
    const drawer = await it.text("#drawer");
    assert.match(drawer, /Budget\s+150 % held now/);
    assert.match(drawer, /It may hold\s+2\.0 MiB/);
    assert.match(drawer, /Above it now\s+1\.0 MiB/);
    assert.match(drawer, /Above it first at 11:21:00, with\s+2\.5 MiB/);
    await it.shot("budget");
    await it.page.click("#drawer button:has-text('POST /checkout')");
    assert.match(await it.text("#drawer"), /1 task went over it/);
    await it.page.click("#drawer button:has-text('task #4, at 11:21:00')");
    assert.match(await it.text("#drawer"), /^Task #4/);
    await it.close();
});

test("the drawer shows the budget of a task that is within it, and of its site", async () => {
    const first = snapshot();
    const task = first.tasks[3];
    [task.live_bytes, task.budget_bytes] = [MIB, 4 * MIB];
    const it = await start(first, `#tab=tasks&row=task:${task.id}&open=1`);
    const drawer = await it.text("#drawer");
    assert.match(drawer, /Budget\s+25 % held now/);
    assert.match(drawer, /It may hold\s+4\.0 MiB/);
    assert.doesNotMatch(drawer, /Above it/);
    await it.page.click("#drawer button:has-text('POST /checkout')");
    assert.match(await it.text("#drawer"), /Budget\s+no task went over it/);
    assert.match(await it.text("#drawer"), /A task may hold\s+4\.0 MiB/);
    await it.close();
});

test("of 10,000 roots those in sight are drawn, and no scroll grows with their number", async () => {
    const of = holders().roots[0];
    const more = Array.from({ length: 10_000 }, (_, at) => ({
        ...of,
        name: `shop::ROOT_${at}`,
        retained_bytes: 200_000_000 - at * 1_000,
        largest: of.largest.map((step) => ({ ...step, retained_bytes: 90_000_000 })),
    }));
    const it = await startAsked(holders({ more }));
    assert.match(await it.text("#tab-holds"), /10,005/);
    const counted = await scrolled(it, 10_000);
    assert.ok(counted.drawn < 60, `${counted.drawn} rows are elements`);
    assert.ok(counted.touched < 20 * 60 * 40, `${counted.touched} changes`);
    // Roots that are too narrow for the icicle are one box.
    await it.page.evaluate(() => scrollTo(0, 0));
    const box = await it.page.locator("#held-icicle").boundingBox();
    await it.page.mouse.move(box.x + box.width / 2, box.y + 36);
    assert.match(await says(it), /^\(10,0\d\d smaller\)\s+1\.\d+ TiB, 100 %/);
    await it.close();
});
