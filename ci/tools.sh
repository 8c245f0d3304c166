#!/usr/bin/env bash
# Runs the tests that the README's command leaves out: those of `cargo memscope` and of the reader
# of debug information, and the loom models, which explore every interleaving of the lock-free
# parts.
set -euo pipefail
cargo test -q -p cargo-memscope -p memscope-layout
cargo test -q -p memscope-loom
