#!/usr/bin/env bash
# Checks that the README has at most 200 lines, and that its first program prints what the README
# shows. Seconds, and the bytes of the runtime and of memscope, are not compared, as they depend on
# the machine. Stacks are not compared, as they are sampled at random. `ci/layout.sh` runs the web
# service. The service that reaches its memory limit must leave a report that names the fault.
set -euo pipefail
lines=$(wc -l < README.md)
[ "$lines" -le 200 ] || {
    echo "README.md has $lines lines, and 200 at most: the rest belongs into docs/" >&2
    exit 1
}
same() {
    sed -E '/^where the code allocates/,/^$/d; /^(runtime|resident memory|limit): |unannotated tasks/d
        s/ in [0-9.]+ s$//; s/itself: [0-9.]+ [KM]iB/itself:/
        s/[0-9.]+ [KMG]?i?B in unannotated ones \+ //
        s/[0-9.]+ KiB untracked = [0-9.]+ KiB/untracked/'
}
report() { sed -n '/^live memory/,/^memscope itself/p' | same; }
cargo build -q --example first_report --example out_of_memory
printed=$("${CARGO_TARGET_DIR:-target}/debug/examples/first_report" | report)
[ -n "$printed" ]
diff <(report < README.md) <(echo "$printed") || {
    echo "README.md shows another report than examples/first_report.rs prints" >&2
    exit 1
}

printed=$("${CARGO_TARGET_DIR:-target}/debug/examples/out_of_memory")
for text in '95 % of 64 MiB' 'the service has ended: signal: 6' \
    'retained  open_session (examples/out_of_memory.rs:' ' ended tasks still hold bytes' \
    'is held by `open_session` (examples/out_of_memory.rs:'; do
    grep -qF "$text" <<< "$printed" || {
        echo "$printed"
        echo "the last report of examples/out_of_memory.rs lacks \`$text\`" >&2
        exit 1
    }
done
