#!/usr/bin/env bash
# Has a published client of the Model Context Protocol ask `cargo memscope mcp` about a live
# service, which ends and starts again, and about saved reports. Answers are compared with
# /snapshot.json. `ci/mcp.sh waits` only asks where tasks of a service with the feature `layout`
# wait.
set -euo pipefail
folder="$(realpath -m "${CARGO_TARGET_DIR:-target}")/mcp"
mkdir -p "$folder"
skip() {
    echo "skipped: $1 is not here, and cannot be installed" >&2
    exit 0
}
command -v python3 > /dev/null || skip python3
python="$folder/venv/bin/python"
[ -x "$python" ] || python3 -m venv "$folder/venv" > "$folder/venv.log" 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq python3-venv &&
        python3 -m venv "$folder/venv"; } >> "$folder/venv.log" 2>&1 || skip python3-venv
"$python" -m pip install -q mcp==2.3.0 > "$folder/pip.log" 2>&1 || skip "mcp from PyPI"

# `cargo test` builds the program, so that the build of the tests is used.
layout=()
[ "${1-}" != waits ] || layout=(--features memscope-rs/layout,memscope-tests/layout)
cargo test -q --no-run -p cargo-memscope -p memscope-layout --test commands
cargo build -q "${layout[@]}" --example live_page
programs="$(realpath "${CARGO_TARGET_DIR:-target}")/debug"
MCP_FOLDER="$folder" MCP_PROGRAM="$programs/cargo-memscope" \
    MCP_SERVICE="$programs/examples/live_page" "$python" cargo-memscope/mcp-tests/client.py "$@"
