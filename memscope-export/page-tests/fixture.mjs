// A snapshot of an invented shop with a session table that never forgets. Its fields are those of
// the real JSON: `memscope_export`'s example `page` refuses it otherwise.

const MIB = 1024 ** 2;
const SECOND = 1e9;
const MINUTE = 60 * SECOND;
const UP_NS = 100 * MINUTE;
const STARTED_MS = Date.UTC(2026, 10, 26, 10, 20);
const POINTS = 60;

export const HOSTILE = `<img src=x onerror="document.title='broken in'"></script><!--`;

const SITES = [
    // name, file, line, kind, annotated, living, spawned, live MiB, left MiB
    ["POST /login", "src/login.rs", 84, "io_intensive", true, 38, 24_174, 96.8, 96.4],
    [
        "hyper::proto::h1::dispatch::http1::Connection<TcpStream>",
        "",
        0,
        "unspecified",
        false,
        412,
        38_122,
        36.5,
        0,
    ],
    ["catalog refresh", "src/catalog.rs", 31, "background", true, 1, 1, 27.7, 0],
    ["POST /checkout", "src/checkout.rs", 118, "network_intensive", true, 148, 18_420, 24.6, 0.3],
    ["image resize", "src/images.rs", 77, "cpu_intensive", true, 4, 41_206, 21, 0],
    ["GET /search", "src/search.rs", 52, "io_intensive", true, 96, 301_877, 18.6, 0],
    ["sqlx_postgres::connection::establish", "", 0, "unspecified", false, 10, 214, 8.2, 0],
    ["model load", "src/recommend.rs", 22, "memory_intensive", true, 0, 1, 6.9, 6.9],
    [HOSTILE, "src/hostile.rs", 1, "unspecified", true, 3, 9, 0.5, 0],
    ["GET /health", "src/health.rs", 9, "unspecified", true, 0, 86_400, 0, 0],
];
const bytesOf = (mib) => Math.round(mib * MIB);

const buckets = (first, counts) => counts.map((count, at) => ({ up_to: first * 2 ** at, count }));

function siteRow([name, file, line, task_type, is_annotated, active, spawned, live, left], index) {
    const allocated = bytesOf(live) * 12 + spawned * 4096;
    return {
        name,
        task_type,
        file,
        line,
        measured: true,
        spawned,
        active,
        unknown: 0,
        ends_unknown: false,
        completed: spawned - active,
        cancelled: 0,
        panicked: 0,
        given_up: 0,
        ended_unknown: 0,
        is_annotated,
        live_bytes: bytesOf(live),
        live_blocks: 100 + index,
        peak_bytes: bytesOf(live / 8 + 0.01),
        peak_sum_bytes: spawned * 2048,
        allocated_bytes: allocated,
        allocation_count: spawned * 9,
        transferred_bytes: 0,
        ended_allocated_bytes: allocated - bytesOf(live - left),
        retained_bytes: bytesOf(left),
        unjoined_bytes: 0,
        retained_tasks: left ? spawned - active : 0,
        oldest_retained_ns: left ? UP_NS : null,
        retained_waves: left ? 900 : 0,
        retained_by_eighth: left ? Array(8).fill(100) : Array(8).fill(0),
        future_size_bytes: 640 + 128 * index,
        future_vtable: null,
        state_machine: index === 3 ? CHECKOUT : null,
        state_machine_unknown:
            index === 3 ? null : "that crate was built without debug information",
        argument_bytes: null,
        boxed_by_tokio: 0,
        longest_wait_ns: 3 * SECOND,
        wait_sum_ns: 40 * SECOND,
        waits_timed: 400,
        peak_histogram: buckets(1024, [4, 90, 300, 80, 12, 1]),
        poll_histogram: buckets(1024, [900, 400, 120, 30, 4]),
        idle_histogram: buckets(2 ** 20, [10, 60, 100, 30]),
        lifetime_histogram: buckets(2 ** 22, [5, 80, 40, 3]),
        items: null,
    };
}

const local = (name, type_name, bytes) => ({
    name,
    type_name,
    bytes,
    file: "src/checkout.rs",
    line: 130,
});
const CHECKOUT = {
    path: "shop::checkout::place_order::{async_fn_env#0}",
    size_bytes: 18_840,
    states: 7,
    widest: {
        file: "/build/shop/src/checkout.rs",
        line: 141,
        size_bytes: 18_832,
        locals: [local("line_buf", "[u8; 16384]", 16_384), local("basket", "Basket", 96)],
    },
};

const frame = (name, file, line, locals = []) => ({
    function: `shop::${name}`,
    file: file && `/build/shop/${file}`,
    line,
    size_bytes: 900,
    locals,
});
const HANDLER = frame("checkout::place_order", "src/checkout.rs", 141, [
    local("basket", "Basket", 96),
]);
const ACQUIRE = frame("db::acquire", "src/db.rs", 88);
const awaitPoint = (frames, tasks, mib, seconds) => ({
    frames,
    stops: "a semaphore of tokio",
    tasks,
    measured: true,
    live_bytes: bytesOf(mib),
    future_size_bytes: 18_840,
    timed: tasks,
    waited_sum_ns: tasks * seconds * SECOND,
    waited_p50_ns: seconds * SECOND,
    waited_p99_ns: 3 * seconds * SECOND,
});
const AWAITS = [
    awaitPoint([HANDLER, ACQUIRE], 148, 24, 8),
    awaitPoint([frame("search::query", "src/search.rs", 60), ACQUIRE], 96, 18, 4),
    awaitPoint([frame("login::login", "src/login.rs", 90)], 38, 0.4, 1),
];

// A task of each site, in turn; ended ones come last.
function taskRow(index, count) {
    const site = [0, 1, 1, 3, 3, 5, 4, 2, 6, 8][index % 10];
    const [name, file, line, task_type, is_annotated] = SITES[site];
    const isEnded = index >= count * 0.9;
    return {
        id: index + 1,
        parent: index % 10 === 3 ? index : null,
        name,
        task_type,
        state: isEnded ? "completed" : index % 17 === 5 ? "running" : "idle",
        file,
        line,
        measured: true,
        live_bytes: isEnded ? 0 : 1024 + ((index * 7919) % 9973) * 64,
        peak_bytes: 2048 + ((index * 7919) % 9973) * 80,
        allocated_bytes: 900_000 + index,
        allocation_count: 40,
        transferred_bytes: 0,
        freed_bytes: 800_000,
        freed_elsewhere_bytes: 4_096,
        live_blocks: isEnded ? 0 : 7,
        future_size_bytes: 18_840,
        future_type: "shop::checkout::place_order::{{closure}}",
        poll_count: 12 + (index % 40),
        busy_ns: index % 4 ? 1_500_000 + index * 10 : null,
        wait_ns: index % 4 ? 4 * SECOND : null,
        timing_is_estimate: true,
        idle_ns: isEnded || index % 17 === 5 ? null : (index % 90) * SECOND,
        scheduled_ns: null,
        await_point: { 3: 0, 5: 1, 0: 2 }[site] ?? null,
        cell_bytes: 0,
        is_annotated,
        items: null,
    };
}

function series(name, file, line, mib, rising) {
    const points = [];
    for (let at = 0; at < POINTS; at += 1) {
        const share = rising ? 0.1 + (0.9 * (at + 1)) / POINTS : 1 - 0.05 * (at % 3);
        points.push({
            at_ns: Math.round((UP_NS * (at + 1)) / POINTS),
            live_bytes: at === POINTS - 1 ? bytesOf(mib) : bytesOf(mib * share),
            allocated_bytes: bytesOf(mib * 12 * ((at + 1) / POINTS)),
        });
    }
    return { task: null, place: { name, file, line }, points };
}

const stackFrame = (name, file, line, offset, library) => ({
    function: name,
    file,
    line,
    address: 0x7f0000000000 + offset,
    offset,
    ...(library && { library }),
});
const RUNTIME = [
    stackFrame("shop::checkout::place_order::{{closure}}", null, null, 9000),
    stackFrame("<tokio::runtime::task::core::Core<T,S>>::poll", null, null, 8000),
    stackFrame("std::thread::local::LocalKey<T>::with", null, null, 7000),
];
const stack = (inner, site, mib, samples) => ({
    frames: [...inner, ...RUNTIME],
    is_cut: false,
    is_untracked: site === null,
    site,
    task: null,
    live_bytes: bytesOf(mib),
    allocated_bytes: bytesOf(mib * 9),
    live_samples: samples,
    samples: samples * 9,
});
const STACKS = [
    stack(
        [
            stackFrame("alloc::raw_vec::finish_grow", null, null, 100),
            stackFrame("shop::session::insert", "src/session.rs", 44, 200),
        ],
        0,
        92,
        46,
    ),
    stack([stackFrame("bytes::bytes_mut::BytesMut::reserve_inner", null, null, 300)], 1, 34, 17),
    stack(
        [
            stackFrame("", null, null, 0x1000),
            stackFrame("", null, null, 0x2000, "/lib/x86_64-linux-gnu/libc.so.6"),
        ],
        null,
        6,
        3,
    ),
    stack([stackFrame(`shop::${HOSTILE}`, null, null, 400)], 8, 4, 2),
];

const LEAKS = {
    measured: true,
    findings: [
        {
            kind: "retained",
            severity: "high",
            place: { name: "POST /login", file: "src/login.rs", line: 84 },
            task: null,
            bytes: bytesOf(96.4),
            count: 24_136,
            oldest_ns: UP_NS,
            bytes_per_day: bytesOf(2016),
            waits_at: null,
            variables: ["SESSIONS"],
            evidence:
                "all 24,136 ended tasks still hold bytes, as many of the first as of the last.",
            fix: "put an age or a capacity on `SESSIONS`",
            certainty: "likely",
            certainty_reason: "a cache that still fills looks the same",
            held_by: "the static `shop::SESSIONS` (src/state.rs:12)",
        },
        {
            kind: "stuck",
            severity: "medium",
            place: { name: "POST /checkout", file: "src/checkout.rs", line: 118 },
            task: 4,
            bytes: bytesOf(24.3),
            count: 148,
            oldest_ns: 88 * SECOND,
            bytes_per_day: null,
            waits_at: "src/db.rs:88 under src/checkout.rs:141",
            variables: [],
            evidence: "148 tasks are alive and not polled any more.",
            fix: "put a timeout around the await that it hangs at",
        },
        {
            kind: "growing",
            severity: "low",
            place: { name: HOSTILE, file: "src/hostile.rs", line: 1 },
            task: null,
            bytes: bytesOf(0.5),
            count: 3,
            oldest_ns: 5 * MINUTE,
            bytes_per_day: null,
            waits_at: null,
            variables: [],
            evidence: HOSTILE,
            fix: HOSTILE,
        },
    ],
    not_judged: [
        { kind: "stuck", why: "14 idle tasks with bytes: not known since when; timing is off" },
    ],
    hand_overs: [],
};

// `second`: how long after the first snapshot of the test.
export function snapshot({ tasks = 400, second = 0, pid = 4242, startedMs = STARTED_MS } = {}) {
    const sites = SITES.map(siteRow);
    sites[2].live_bytes += second * MIB;
    sites[2].allocated_bytes += second * 3 * MIB;
    const tracked = sites.reduce((sum, site) => sum + site.live_bytes, 0);
    const outside = bytesOf(24.6);
    const observed = UP_NS + second * SECOND;
    const named = [0, 1, 2, 3, 4, 5].map((at) =>
        series(...SITES[at].slice(0, 3), SITES[at][7], at === 0),
    );
    named[2].points.at(-1).live_bytes += second * MIB;
    const process = named[0].points.map((point, at) => {
        const rest = named.reduce((sum, it) => sum + it.points[at].live_bytes, 0) + bytesOf(15.6);
        return {
            at_ns: point.at_ns,
            tracked_bytes: rest,
            untracked_bytes: outside,
            whole_bytes: rest + outside,
        };
    });
    const place = (at) => ({ name: SITES[at][0], file: SITES[at][1], line: SITES[at][2] });
    const variable = (name, type_name, line, mib) => ({
        name,
        type_name,
        file: "src/state.rs",
        line,
        stack_bytes: 48,
        registered: 1,
        live: 1,
        ended: 0,
        repeated: 0,
        unfollowed: 0,
        live_bytes: bytesOf(mib),
        largest_bytes: bytesOf(mib),
        lifetime_sum_ns: 0,
        longest_lifetime_ns: 0,
    });
    const zeros = (...names) => Object.fromEntries(names.map((name) => [name, 0]));
    // A test may change what is its own.
    return structuredClone({
        memscope_format: 1,
        memscope_version: "0.1.0",
        origin: { pid, started_unix_ns: startedMs * 1e6 },
        measured: "yes",
        is_still: true,
        timing_is_off: false,
        observed_ns: observed,
        spawned_tasks: 500_000,
        active_tasks: 700,
        peak_concurrent_tasks: 900,
        process: {
            measured: true,
            tracked_bytes: tracked,
            untracked_bytes: outside,
            whole_bytes: tracked + outside,
            tracked_blocks: 9000,
            untracked_blocks: 800,
            whole_blocks: 9800,
            tracked_allocated_bytes: tracked * 12,
            untracked_allocated_bytes: outside * 3,
            shared_bytes: bytesOf(4),
        },
        tool: {
            ...zeros(
                "events_dropped",
                "tasks_without_record",
                "tasks_in_other",
                "hand_overs_lost",
                "tasks_split",
            ),
            own_bytes: bytesOf(3.1),
            ended_tasks_forgotten: 4_000,
        },
        tasks: Array.from({ length: tasks }, (_, index) => taskRow(index, tasks)),
        sites,
        variables: [
            {
                name: "SESSIONS",
                type_name: "DashMap<Token, Session>",
                file: "src/state.rs",
                line: 12,
                task: null,
                task_site: null,
                freed_by: null,
                stack_bytes: 48,
                heap_bytes: bytesOf(96),
                extent: "whole",
                live: true,
                lifetime_ns: UP_NS,
            },
        ],
        variable_sites: [
            variable("SESSIONS", "DashMap<Token, Session>", 12, 96),
            variable(HOSTILE, `Vec<${HOSTILE}>`, 14, 0.2),
        ],
        hand_overs: [
            { from: place(0), to: place(3), blocks: 12, bytes: bytesOf(3) },
            { from: null, to: place(5), blocks: 100, bytes: bytesOf(1) },
        ],
        trends: [],
        runtime: {
            measured: true,
            worker_threads: 4,
            worker_bytes: bytesOf(9),
            ...zeros("cells", "cell_overhead_bytes"),
        },
        timeline: { process, sites: named },
        events: [],
        program: { path: "/usr/local/bin/shop", build_id: null },
        shared: [
            {
                name: "cache",
                measured: true,
                live_bytes: bytesOf(4),
                peak_bytes: bytesOf(5),
                allocated_bytes: bytesOf(20),
                allocation_count: 99,
                freed_bytes: bytesOf(16),
                live_blocks: 40,
            },
        ],
        await_points: AWAITS,
        await_points_measured: "on",
        stacks: STACKS,
        stacks_measured: "on",
        stack_interval_bytes: 2 * MIB,
        stack_names_pending: 0,
        leaks: LEAKS,
    });
}

const KIB = 1024;
// Blocks of one kind: how many, their own KiB, and with all that they hold alone.
const blocksOf = (blocks, own, retained, more) => ({
    blocks,
    own_bytes: own * KIB,
    retained_bytes: retained * KIB,
    site: null,
    task: null,
    stack: [],
    ...more,
});
const heldBy = (name, kind, kib, more) => ({
    name,
    kind,
    task: null,
    thread: null,
    variable: null,
    variable_file: null,
    variable_line: null,
    file: null,
    line: null,
    retained_bytes: kib * KIB,
    reachable_bytes: (kib + 512) * KIB,
    reachable_is_whole: true,
    blocks: 10,
    largest: [],
    ...more,
});
const session = (task, kib) =>
    heldBy("app::session", "task", kib, {
        task,
        variable: "frames",
        variable_file: "src/app.rs",
        variable_line: 31,
    });
const FILL = [
    stackFrame("alloc::vec::from_elem", null, null, 100),
    stackFrame("shop::session::fill", "/build/shop/src/session.rs", 44, 200),
    stackFrame(`shop::${HOSTILE}`, null, null, 300),
];
const lost = (kib, blocks, in_cycle, site, stack = []) => ({
    bytes: kib * KIB,
    blocks,
    leaks: blocks / 2,
    in_cycle,
    site,
    task: null,
    stack,
});

// What holds the heap: `more` roots, and `kib` more in the table of sessions.
export function holders({ kib = 0, more = [] } = {}) {
    const roots = [
        heldBy("shop::SESSIONS", "static", 98_304 + kib, {
            file: "src/state.rs",
            line: 12,
            blocks: 24_136,
            largest: [
                blocksOf(1, 64, 97_280 + kib, { stack: FILL }),
                blocksOf(2_000, 19_600, 90_000, { site: "POST /login", stack: FILL }),
                blocksOf(4_000, 60_000, 60_000, { site: HOSTILE, task: 12 }),
            ],
        }),
        session(12, 3_072),
        session(14, 1_024),
        heldBy("shop::CACHE", "thread_local", 512, { thread: "worker-1" }),
        heldBy("stack of main", "stack", 256, { thread: "main", reachable_is_whole: false }),
        ...more,
    ];
    const unreachable = [
        lost(2_048, 40, true, "POST /checkout"),
        lost(1_024, 8, false, HOSTILE, FILL),
    ];
    const shared = [blocksOf(1, 1, 15_360), blocksOf(4, 4_096, 4_096, { stack: FILL })];
    const shared_bytes = 20_480 * KIB;
    const sum = (rows, field) => rows.reduce((all, it) => all + it[field], 0);
    return {
        pause_ns: 23e6,
        taken_ns: 370e6,
        copy_bytes: 0,
        blocks: 9_800,
        bytes: sum(roots, "retained_bytes") + shared_bytes + sum(unreachable, "bytes"),
        blocks_from_before: 0,
        bytes_from_before: 0,
        roots,
        shared_bytes,
        shared_blocks: 70,
        shared,
        unreachable,
        running_threads: 2,
    };
}
