#!/usr/bin/env bash
# What debug information tells: with it in debug and in release builds, and what is said without it.
set -euo pipefail
cargo test -p memscope-tests --features layout --test await_points
cargo test -p memscope-runtime --features layout --lib -- layouts waits await_point program future_type
cargo run -q --features layout --example where_it_waits | tail -n 1
CARGO_PROFILE_RELEASE_DEBUG=2 cargo run -q --release --features layout --example where_it_waits | tail -n 1
# Built without it, the example says why there is nothing to compare.
cargo run -q --release --features layout --example where_it_waits | grep "nothing to compare: the program has no debug information about types"
