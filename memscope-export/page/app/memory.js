// Where the memory is: one bar, whose parts add up to resident memory or, where that is not
// measured, to what memscope counts. Each part opens the rows behind it.

import { $, fill, h, hinted, span } from "./dom.js";
import { bytes, duration, exactly, percent } from "./format.js";
import { growthOf } from "./model.js";
import { set, visit } from "./state.js";
import { leftBytes } from "./facts.js";

export function memory(model) {
    if (!model.isMeasured) {
        fill($("#total"), "Not measured");
        fill($("#of"), `${model.notMeasured}; tasks and polls are counted all the same`);
        for (const id of ["#growth", "#bar", "#parts"]) fill($(id));
        return;
    }
    const parts = partsOf(model);
    const { resident } = model;
    const sum = parts.reduce((all, part) => all + part.bytes, 0);
    const limit = resident?.limit_bytes ?? null;
    fill($("#total"), bytes(resident?.resident_bytes ?? model.process.whole_bytes));
    fill($("#of"), ofWhat(model, limit));
    fill($("#growth"), growth(model, limit));
    const scale = Math.max(sum, limit ?? 0) || 1;
    const drawn = parts.filter((part) => part.bytes > 0);
    fill($("#bar"), bar(drawn, scale), limit && marks(resident, limit, scale));
    fill($("#parts"), legend(parts, sum), limit && room(resident, limit));
    const text = parts.map((part) => `${part.label} ${bytes(part.bytes)}`).join(", ");
    $("#bar").setAttribute("aria-label", text);
}

function ofWhat({ resident, process }, limit) {
    if (!resident) {
        return [
            "live in the program's heap. ",
            hinted("Resident memory: not measured", "This snapshot has no figures of the system"),
        ];
    }
    const live = `resident; ${bytes(process.whole_bytes)} live in the program's heap`;
    if (!limit) return `${live}. No limit is set`;
    return `resident of ${bytes(limit)}, ${resident.limitSource}`;
}

function growth({ timeline, resident }, limit) {
    const full = limit && `${percent(countedOf(resident), limit)} full`;
    const grows = growthOf(timeline);
    if (!grows) return full && h("strong", {}, full);
    const rate = `+${bytes(grows.perSecond * 60)}/min live for ${duration(grows.ns)}`;
    const left = limit && limit - countedOf(resident);
    return [
        full && h("strong", {}, full),
        full ? `, ${rate}` : rate,
        limit && [
            ", at this rate ",
            h("strong", {}, `full in ${duration((left / grows.perSecond) * 1e9)}`),
        ],
    ];
}

// What counts against the limit: of a group, that of all its processes.
const countedOf = (resident) => resident.limit_used_bytes ?? resident.resident_bytes;

// What memscope takes: its records, and its heap where that is known.
export const ownBytes = ({ resident, tool }) => resident?.memscope_bytes ?? tool.own_bytes;

// The parts of the bar. Their sum is the whole, or what counts against the limit: what no row has
// is a part of its own.
export function partsOf(model) {
    const { process, resident, tool } = model;
    const sum = (value) => model.sites.reduce((all, site) => all + (value(site) ?? 0), 0);
    const left = sum(leftBytes);
    const alive = (site) => site.live_bytes - (leftBytes(site) ?? 0);
    const hasAnnotated = model.sites.some((site) => site.is_annotated);
    const annotated = sum((site) => (site.is_annotated || !hasAnnotated) && alive(site));
    const unannotated = sum((site) => hasAnnotated && !site.is_annotated && alive(site));
    const other = process.tracked_bytes - left - annotated - unannotated;
    const part = (id, label, size, says, open) => ({ id, label, bytes: size, says, open });
    const view = (change) => () => visit("sites", change);
    const parts = [
        part(
            "alive",
            "Living tasks",
            annotated,
            hasAnnotated ? "Tasks that are annotated" : "None is annotated: futures name them",
            view({ sort: "-live" }),
        ),
        part("left", "Left by ended", left, "Their tasks have ended", view({ sort: "-left" })),
    ];
    if (hasAnnotated) {
        const says = "Tasks of libraries, and others";
        parts.push(part("unannotated", "Living, unannotated", unannotated, says, view({})));
    }
    if (other > 0) {
        const says = "Sites that have no row here, or that changed while the snapshot was read";
        parts.push(part("unannotated", "Other tasks", other, says, view({})));
    }
    const outside = () => set({ row: "part:outside", open: "1" }, true);
    const says = "Allocated outside every task: threads, the runtime, statics";
    parts.push(part("outside", "Outside tasks", process.untracked_bytes, says, outside));
    if (!resident) return parts;
    const own = ownBytes(model);
    const free = resident.allocator_free_bytes;
    parts.push(part("own", "memscope", own, "Tables, rings and history of memscope itself"));
    if (free != null) {
        const kept = "Kept by the allocator for later; much of it is fragmentation, not a leak";
        parts.push(part("free", "Free in allocator", free, kept));
    }
    const rest = resident.resident_bytes - parts.reduce((all, it) => all + it.bytes, 0);
    const code = "Code, stacks of threads, C libraries";
    const unknown = free == null ? ", and what the allocator keeps free: that is not measured" : "";
    const absent = "Allocated and never written, or swapped out; the parts before include it";
    if (rest >= 0) parts.push(part("rest", "Rest", rest, code + unknown));
    else parts.push(part("absent", "Live, not in RAM", rest, absent));
    const beside = resident.limit_bytes ? countedOf(resident) - resident.resident_bytes : 0;
    const others =
        "Counts against the limit: other processes of the group, the kernel's, addresses";
    if (beside > 0) parts.push(part("beside", "Others in the limit", beside, others));
    return parts;
}

function bar(parts, scale) {
    let from = 0;
    return parts.map((part) => {
        const style = { left: `${(100 * from) / scale}%`, width: `${(100 * part.bytes) / scale}%` };
        from += part.bytes;
        const properties = { type: "button", class: `part-${part.id}`, title: tip(part), style };
        return h("button", {
            ...properties,
            tabindex: -1,
            onclick: part.open,
            "data-part": part.id,
        });
    });
}

const tip = (part) => `${part.label}: ${exactly(part.bytes)}. ${part.says}`;

function marks(resident, limit, scale) {
    const at = (share) => ({ left: `calc(${(100 * share * limit) / scale}% - 1px)` });
    const reports = resident.report_at ?? [];
    return [
        reports.map((share) =>
            h("i", { title: `A report is written at ${100 * share} %`, style: at(share) }),
        ),
        h("i", { class: "limit", title: `The limit: ${bytes(limit)}`, style: at(1) }),
    ];
}

function legend(parts, sum) {
    return parts.map((part) => {
        const light = (isOn) => () => {
            const same = $("#bar").querySelectorAll(`[data-part="${part.id}"]`);
            same.forEach((it) => it.classList.toggle("on", isOn));
        };
        const share = span("share", percent(part.bytes, sum));
        const inside = [
            h("span", { class: `part-${part.id}` }),
            span("", part.label),
            span("", bytes(part.bytes), share),
        ];
        const properties = {
            title: tip(part),
            onmouseenter: light(true),
            onmouseleave: light(false),
        };
        if (!part.open) return h("div", { class: "part", ...properties }, inside);
        return h(
            "button",
            { type: "button", class: "part", onclick: part.open, ...properties },
            inside,
        );
    });
}

function room(resident, limit) {
    const left = limit - countedOf(resident);
    return h("div", { class: "room" }, span("", "Room to the limit"), span("", bytes(left)));
}
