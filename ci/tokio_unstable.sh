#!/usr/bin/env bash
# Tests the hooks of a runtime, which Tokio has only under `--cfg tokio_unstable`, and runs the unit
# tests with the feature `layout`. The builds have other flags, so they have a folder of their own.
set -euo pipefail
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tokio_unstable"
export RUSTFLAGS="--cfg tokio_unstable" RUSTDOCFLAGS="--cfg tokio_unstable"
# The packages are the same each time, so that they have the same dependencies. Without optimisation
# the runtime is built in half the time, and the tests run for a few seconds more. One of its unit
# tests reads the types of its own program from debug information.
packages=(-p memscope-tests -p memscope-runtime --features memscope-tests/layout
    --config 'profile.dev.package.memscope-runtime.opt-level=0'
    --config 'profile.dev.package.memscope-runtime.debug=2')
cargo test "${packages[@]}" --test unannotated -- runtime_hooks:: unannotated_tasks::
cargo test "${packages[@]}" --lib -- --include-ignored
cargo test "${packages[@]}" --doc tokio_hooks
