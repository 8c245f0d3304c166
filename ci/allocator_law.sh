#!/usr/bin/env bash
# Checks that code which the allocator reaches in a release build neither locks, formats, panics nor
# allocates. It does so with the default features, and with all features under
# `--cfg tokio_unstable`.
set -euo pipefail
law() {
  cargo bench -q -p memscope-benches --features "$1" --bench allocator_law
}
# Both builds run at once, as a crate with one codegen unit uses only one processor.
law law &
first=$!
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tokio_unstable" RUSTFLAGS="--cfg tokio_unstable" \
  law law-all
wait "$first"
