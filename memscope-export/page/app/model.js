// The snapshot as the page reads it: rows with stable keys, and the links between them. Field names
// are those of the JSON; what is added here is `key`, `place`, and references to other rows.

import { crateOf, knowRoot, place } from "./names.js";

const NOT_MEASURED = {
    not_installed: "memscope's allocator is not installed",
    wrapped: "another global allocator wraps memscope's",
    disabled: "the feature `enabled` is off",
};

// What the system says about the process. The one place that takes it from a snapshot.
export function residentOf(snapshot) {
    const it = snapshot.resident;
    if (it?.resident_bytes == null) return null;
    const source = {
        cgroup_v2: "the limit of the cgroup",
        cgroup_v1: "the limit of the cgroup",
        rlimit: "the limit of the process",
        setting: "the limit that is set",
    };
    return { ...it, limitSource: source[it.limit_source] ?? "the limit" };
}

// Who holds the blocks. The one place that takes it: a snapshot has none, a live process is asked.
export const heldOf = (graph) => (Array.isArray(graph?.roots) ? graph : null);

const siteKey = (row) => `site:${row.name} ${row.file}:${row.line}`;

// Rows that would have one key get a number, in the order of the snapshot.
export function giveKeys(rows, keyOf) {
    const seen = new Map();
    for (const row of rows) {
        const key = keyOf(row);
        const before = seen.get(key) ?? 0;
        seen.set(key, before + 1);
        row.key = before ? `${key} (${before + 1})` : key;
    }
}

function programOf(snapshot, sites) {
    const path = snapshot.program?.path ?? "";
    const name =
        path
            .split(/[\\/]/)
            .pop()
            .replace(/\.exe$/, "") || "a program";
    // The program's own code: its crate, and the crate of each function that a site is named after.
    const crates = new Set([name.replaceAll("-", "_").replace(/_[0-9a-f]{16}$/, "")]);
    for (const site of sites) {
        const crate = site.is_annotated && site.file && crateOf(site.name);
        if (crate) crates.add(crate);
    }
    const { pid, started_unix_ns: started } = snapshot.origin ?? { pid: 0, started_unix_ns: 0 };
    const startedMs = started / 1e6;
    return { name, path, crates, pid, startedMs, takenMs: startedMs + snapshot.observed_ns / 1e6 };
}

export function modelOf(snapshot) {
    const sites = snapshot.sites ?? [];
    const tasks = snapshot.tasks ?? [];
    giveKeys(sites, siteKey);
    knowRoot(rootOf(snapshot));
    const siteByKey = new Map(sites.map((site) => [site.key, site]));
    const siteAt = (at) => (at ? siteByKey.get(siteKey(at)) : undefined);
    for (const site of sites) site.place = place(site.file, site.line);
    const points = snapshot.await_points ?? [];
    const taskById = new Map();
    for (const task of tasks) {
        task.key = `task:${task.id}`;
        task.site = siteAt(task);
        task.point = task.await_point == null ? undefined : points[task.await_point];
        taskById.set(task.id, task);
    }
    const variables = snapshot.variable_sites ?? [];
    giveKeys(variables, (row) => `var:${row.name} ${row.type_name} ${row.file}:${row.line}`);
    for (const row of variables) row.place = place(row.file, row.line);
    const single = snapshot.variables ?? [];
    for (const row of single) row.site = siteAt(row.task_site);
    const frees = (snapshot.hand_overs ?? []).map((row) => ({
        ...row,
        giver: siteAt(row.from),
        taker: siteAt(row.to),
        giverName: row.from?.name ?? "(outside every task)",
        takerName: row.to?.name ?? "(outside every task)",
    }));
    giveKeys(frees, (row) => `free:${row.giverName} ${row.takerName}`);
    const trends = new Map();
    for (const trend of [...(snapshot.trends ?? []), ...(snapshot.timeline?.sites ?? [])]) {
        const key = trend.task != null ? `task:${trend.task}` : siteKey(trend.place);
        trends.set(key, trend.points);
    }
    const program = programOf(snapshot, sites);
    return {
        snapshot,
        program,
        isMeasured: snapshot.measured === "yes",
        notMeasured: NOT_MEASURED[snapshot.measured] ?? "sizes are not measured",
        process: snapshot.process,
        tool: snapshot.tool,
        resident: residentOf(snapshot),
        leaks: snapshot.leaks ?? null,
        overBudget: snapshot.over_budget ?? [],
        sites,
        siteByKey,
        siteAt,
        tasks,
        taskById,
        points,
        variables,
        single,
        frees,
        futures: sites.filter((site) => site.future_size_bytes),
        shared: snapshot.shared ?? [],
        stacks: stacksOf(snapshot, sites),
        trends,
        timeline: timelineOf(snapshot, siteAt, program),
        rates: ratesOf(trends),
    };
}

function stacksOf(snapshot, sites) {
    const nameOf = (stack) =>
        stack.is_untracked ? "(outside every task)" : (sites[stack.site]?.name ?? "(other tasks)");
    return (snapshot.stacks ?? []).map((stack) => ({
        ...stack,
        owner: sites[stack.site],
        ownerName: nameOf(stack),
        path: stack.frames.toReversed().map((frame) => ({
            ...frame,
            // A function without a name is an address, and no guess.
            function: frame.function || addressOf(frame),
            place: frame.file ? place(frame.file, frame.line) : "",
        })),
    }));
}

function addressOf({ address, offset, library }) {
    if (offset == null) return `unknown code at 0x${address.toString(16)}`;
    const file = library ? library.split("/").at(-1) : "program";
    return `${file}+0x${offset.toString(16)}`;
}

// What stands before the file of a site where debug information names the same file.
function rootOf(snapshot) {
    const relative = new Set(snapshot.sites?.map((site) => site.file).filter(Boolean));
    for (const point of snapshot.await_points ?? []) {
        for (const { file } of point.frames) {
            for (const end of relative) {
                if (file.endsWith(`/${end}`)) return file.slice(0, -end.length);
            }
        }
    }
    return "";
}

// The points of the process, and at the same times those of its largest sites.
function timelineOf(snapshot, siteAt, program) {
    const process = snapshot.timeline?.process ?? [];
    const times = process.map((point) => program.startedMs + point.at_ns / 1e6);
    const series = (snapshot.timeline?.sites ?? []).map((trend) => {
        const at = new Map(trend.points.map((point) => [point.at_ns, point.live_bytes]));
        return {
            key: siteKey(trend.place),
            name: trend.place.name,
            site: siteAt(trend.place),
            values: process.map((point) => at.get(point.at_ns) ?? null),
        };
    });
    // In one order for as long as the process runs: by the most that each ever held.
    const most = (it) => Math.max(...it.values.map((value) => value ?? 0));
    series.sort((a, b) => most(b) - most(a) || (a.key < b.key ? -1 : 1));
    return { times, process, series };
}

// Bytes a second between the last two points that are a tenth of a second apart. A row that has
// less than before has lost tasks to the row of their name: its rate is not known.
function ratesOf(trends) {
    const rates = new Map();
    for (const [key, points] of trends) {
        const last = points.at(-1);
        const before = points.findLast((point) => last.at_ns - point.at_ns >= 1e8);
        if (!before) continue;
        const seconds = (last.at_ns - before.at_ns) / 1e9;
        const bytes = last.allocated_bytes - before.allocated_bytes;
        if (bytes >= 0) rates.set(key, bytes / seconds);
    }
    return rates;
}

// Rates of every row, from two readings of one process.
export function takeRates(model, before) {
    const seconds = (model.snapshot.observed_ns - before.snapshot.observed_ns) / 1e9;
    if (seconds < 0.05) {
        model.rates = before.rates;
        return;
    }
    for (const [key, site] of model.siteByKey) {
        const earlier = before.siteByKey.get(key);
        const bytes = site.allocated_bytes - (earlier?.allocated_bytes ?? 0);
        if (bytes >= 0) model.rates.set(key, bytes / seconds);
        else model.rates.delete(key);
    }
}

export const isSameProcess = (a, b) =>
    a.program.pid === b.program.pid && a.program.startedMs === b.program.startedMs;

// How live memory of the process rises, if it does: the least of the last third is above the most
// of the first, over a minute or longer.
export function growthOf(timeline) {
    const { process } = timeline;
    const third = Math.floor(process.length / 3);
    if (third < 2) return null;
    const [first, last] = [process.slice(0, third), process.slice(-third)];
    const whole = (points) => points.map((point) => point.whole_bytes);
    const ns = last.at(-1).at_ns - first[0].at_ns;
    if (ns < 60e9 || Math.min(...whole(last)) <= Math.max(...whole(first))) return null;
    const mean = (numbers) => numbers.reduce((sum, it) => sum + it, 0) / numbers.length;
    const at = (points) => mean(points.map((point) => point.at_ns));
    const rise = mean(whole(last)) - mean(whole(first));
    return { perSecond: rise / ((at(last) - at(first)) / 1e9), ns };
}
