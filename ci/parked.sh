#!/usr/bin/env bash
# Hundreds of parked tasks, in all that programs await: one dump is right about each of them or says
# what it does not know, in a debug build, a release build, and with thin and fat LTO.
set -euo pipefail
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/parked"
cargo fmt --manifest-path tests/parked/Cargo.toml -- --check

# parked <name> <profile> <folder> [flags of the compiler, for the program alone]
parked() {
    local name="$1" profile="$2" folder="$3"
    shift 3
    echo "== $name"
    cargo rustc -q --locked --manifest-path tests/parked/Cargo.toml --profile "$profile" -- "$@"
    "$CARGO_TARGET_DIR/$folder/parked" > "$CARGO_TARGET_DIR/$name.txt" || {
        cat "$CARGO_TARGET_DIR/$name.txt"
        exit 1
    }
    # The table, without the cases that are not right.
    sed -n '/^family/,$p' "$CARGO_TARGET_DIR/$name.txt"
}

parked debug dev debug
# The three release builds share their dependencies, so these have both what a linker takes and what
# LTO takes. With optimisation, LTO of all code and its debug information takes many minutes.
export RUSTFLAGS="-C embed-bitcode=yes"
parked release release release
parked thin release release -C lto=thin -C opt-level=0
parked fat release release -C lto=fat -C opt-level=0
