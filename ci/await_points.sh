#!/usr/bin/env bash
# The feature `layout`: what a running program learns from its debug information, in debug and in release builds, and what it says without it.
set -euo pipefail
cargo test -p memscope-tests --features layout --test await_points
cargo test -p memscope-runtime --features layout --lib -- layouts waits await_point program future_type
cargo run -q --features layout --example where_it_waits | tail -n 1
# Built without it, the example says why there is nothing to compare.
cargo run -q --release --features layout --example where_it_waits | grep "nothing to compare: the program has no debug information about types"
# `ci/layout.sh` has built the dependencies with it.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/layout"
CARGO_PROFILE_RELEASE_DEBUG=2 cargo run -q --release --features layout --example where_it_waits | tail -n 1
