#!/usr/bin/env bash
# Runs clippy with lints as errors: everything with all features, then the facade with each set of
# features that differs. `clippy::incompatible_msrv` (in the default set) checks the code against
# the manifest's `rust-version`.
set -euo pipefail
cargo clippy --workspace --all-targets \
    --features memscope-tests/allocators,memscope-tests/layout \
    --features memscope-benches/law-all,memscope-benches/names,memscope-benches/reports \
    -- -D warnings
# The macros must cause no lint in a function.
cargo clippy -q -p memscope-ui-tests --test lints -- -D warnings
cargo test -q --test lints
# As the runtime's feature `symbols` takes it.
cargo clippy -q -p memscope-layout --lib --no-default-features -- -D warnings
# linted SET…: the facade with each of these sets of features; `none` is the empty one.
linted() {
    local features of_facade
    for features in "$@"; do
        echo "== features: $features"
        [ "$features" != none ] || features=
        of_facade=$(sed 's/\([a-z-]*\)/memscope-rs\/\1/g; s/^memscope-rs\/$//' <<< "$features")
        cargo clippy -q -p memscope-rs -p memscope-runtime --lib --no-default-features \
            --features "$of_facade" -- -D warnings || return
    done
}
# Each set is one crate on one core, so half of them go on beside the others, in another folder.
target="${CARGO_TARGET_DIR:-target}/clippy"
mkdir -p "$target"
CARGO_TARGET_DIR="$target" linted none enabled tokio report-file enabled,tokio \
    enabled,report-file enabled,report-file,symbols,tokio enabled,global-allocator \
    enabled,stream enabled,bytes > "$target/log" 2>&1 &
beside=$!
status=0
linted enabled,symbols enabled,tracing enabled,layout enabled,server enabled,prometheus-client \
    enabled,opentelemetry tower enabled,tower enabled,axum enabled,tonic || status=$?
wait "$beside" || status=$?
cat "$target/log"
exit "$status"
