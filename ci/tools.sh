#!/usr/bin/env bash
# The tests that the README's command leaves out: `cargo memscope`, the reader of debug information,
# and the loom models, which are every interleaving of the lock-free parts.
set -euo pipefail
cargo test -q -p cargo-memscope -p memscope-layout
cargo test -q -p memscope-loom
