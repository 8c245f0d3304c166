#!/usr/bin/env bash
# What a runtime's hooks tell, which Tokio has only under `--cfg tokio_unstable`. A folder of its own: other flags, other builds.
set -euo pipefail
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tokio_unstable"
export RUSTFLAGS="--cfg tokio_unstable" RUSTDOCFLAGS="--cfg tokio_unstable"
cargo test -p memscope-tests --test runtime_hooks --test unannotated_tasks
cargo test -p memscope-runtime --doc tokio_hooks
