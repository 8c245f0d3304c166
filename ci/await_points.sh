#!/usr/bin/env bash
# The feature `layout`: what a running program learns from its debug information, and what it says without it. For release builds with
# debug information see `ci/layout.sh`, which has them.
set -euo pipefail
# The whole workspace, so that dependencies stay as the tests have built them.
cargo test --workspace --features memscope-rs/layout,memscope-tests/layout --lib --test await_points
cargo build -q --workspace --features memscope-rs/layout,memscope-tests/layout --example where_it_waits
"${CARGO_TARGET_DIR:-target}/debug/examples/where_it_waits" | tail -n 1
# Built without it, the example says why there is nothing to compare.
cargo run -q --release --features layout --example where_it_waits | grep "nothing to compare: the program has no debug information about types"
