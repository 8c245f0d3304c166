#!/usr/bin/env bash
# What a runtime's hooks tell, which Tokio has only under `--cfg tokio_unstable`, and the unit tests
# with the feature `layout`. A folder of its own: other flags, other builds.
set -euo pipefail
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tokio_unstable"
export RUSTFLAGS="--cfg tokio_unstable" RUSTDOCFLAGS="--cfg tokio_unstable"
# The same packages each time, so that they have the same dependencies. Without optimisation the
# runtime is built in half of the time, and the tests run for a few seconds more. One of its unit
# tests reads what debug information says of its own program's types.
packages=(-p memscope-tests -p memscope-runtime --features memscope-tests/layout
    --config 'profile.dev.package.memscope-runtime.opt-level=0'
    --config 'profile.dev.package.memscope-runtime.debug=2')
cargo test "${packages[@]}" --test unannotated -- runtime_hooks:: unannotated_tasks::
cargo test "${packages[@]}" --lib -- --include-ignored
cargo test "${packages[@]}" --doc tokio_hooks
