#!/usr/bin/env bash
# The README is one page of 200 lines. Its programs run, and the first one prints what the README shows, but for the seconds, and the
# runtime's and memscope's own bytes, which depend on the machine.
set -euo pipefail
lines=$(wc -l < README.md)
[ "$lines" -le 200 ] || { echo "README.md has $lines lines, and 200 at most: the rest belongs into docs/" >&2; exit 1; }
same() { sed -E '/^runtime: |unannotated tasks/d; s/ in [0-9.]+ s$//; s/itself: [0-9.]+ [KM]iB/itself:/; s/[0-9.]+ [KMG]?i?B in unannotated ones \+ //; s/[0-9.]+ KiB untracked = [0-9.]+ KiB/untracked/'; }
shown=$(sed -n '/^live memory/,/^memscope itself/p' README.md | same)
printed=$(cargo run -q --example first_report | sed -n '/^live memory/,/^memscope itself/p' | same)
diff <(echo "$shown") <(echo "$printed") || { echo "README.md shows another report than examples/first_report.rs prints" >&2; exit 1; }
cargo run -q --release --example web_service
