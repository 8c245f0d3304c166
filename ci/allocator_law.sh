#!/usr/bin/env bash
# What the allocator can reach in a release build neither locks, formats, panics nor allocates: with
# the default features, and with all and what Tokio has only under `--cfg tokio_unstable`.
set -euo pipefail
law() {
  cargo bench -q -p memscope-benches --features "$1" --bench allocator_law
}
# Two at once: a crate that is one unit keeps one processor busy.
law law &
first=$!
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tokio_unstable" RUSTFLAGS="--cfg tokio_unstable" \
  law law-all
wait "$first"
