#!/usr/bin/env bash
# The feature `layout`: what a running program learns from its debug information. `ci/layout.sh`
# asks release builds, with debug information and without, and `ci/tokio_unstable.sh` has its unit
# tests.
set -euo pipefail
# All default members, so that dependencies stay as the tests have built them.
features=memscope-rs/layout,memscope-tests/layout
cargo test --features "$features" --test await_points
cargo build -q --features "$features" --example where_it_waits
"${CARGO_TARGET_DIR:-target}/debug/examples/where_it_waits" | tail -n 1
# A live service, asked by the terminal's view and by an agent's client.
ci/top.sh waits
ci/mcp.sh waits
