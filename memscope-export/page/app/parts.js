// The drawer of what is outside every task: shared owners, the runtime, and what code allocates.

import { h } from "./dom.js";
import { bytes, count } from "./format.js";
import { figures, line, rowLink, section, sized, stackList } from "./pieces.js";

export const partOutside = ({ process }) => ({ name: "Outside every task", process });

export function insideOutside(model) {
    const { process, runtime } = model.snapshot;
    const stacks = model.stacks.filter((stack) => stack.is_untracked);
    const frees = model.frees.filter((it) => !it.from).slice(0, 6);
    return [
        section(
            "",
            "",
            figures(
                sized("Live", process.untracked_bytes),
                ["Blocks, live", count(process.untracked_blocks)],
                sized("Allocated since the start", process.untracked_allocated_bytes),
                process.shared_bytes > 0 && sized("of it in shared scopes", process.shared_bytes),
                runtime?.measured &&
                    runtime.worker_threads > 0 && [
                        `Live of ${count(runtime.worker_threads)} worker threads`,
                        bytes(runtime.worker_bytes),
                        "Run queues, timers, drivers, cells of other tasks, and other code",
                    ],
            ),
        ),
        model.shared.length > 0 &&
            section(
                "Shared scopes",
                "live",
                model.shared.map((it) => line(it.name, bytes(it.measured ? it.live_bytes : null))),
            ),
        stacks.length > 0 && section("Stacks", "", stackList(stacks.slice(0, 5), model.program)),
        frees.length > 0 &&
            section(
                "Freed by tasks",
                "bytes so far",
                frees.map((it) => rowLink(it.takerName, bytes(it.bytes), "frees", it.key)),
            ),
        section(
            "",
            "",
            h(
                "p",
                { class: "dim" },
                "A scope `shared(name, …)` names such bytes; an annotation gives them to a task.",
            ),
        ),
    ];
}
