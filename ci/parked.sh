#!/usr/bin/env bash
# Hundreds of parked tasks, in all that programs await: one dump is right about each of them or says
# what it does not know, in a debug build and a release build. `ci/parked.sh thin fat` does the same
# with LTO, which takes as long once more.
set -euo pipefail
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/parked"
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

builds=("$@")
[ $# != 0 ] || builds=(debug release)
mkdir -p "$CARGO_TARGET_DIR"
# The debug build has a folder of its own, so it goes on beside the others: the compiler is on one
# core for much of such a program.
debug=""
for build in "${builds[@]}"; do
    # The release builds share their dependencies, so these have both what a linker takes and what
    # LTO takes. With optimisation, LTO of all code and its debug information takes many minutes.
    [ "$build" = debug ] || export RUSTFLAGS="-C embed-bitcode=yes"
    case "$build" in
        debug)
            parked debug dev debug > "$CARGO_TARGET_DIR/debug.log" 2>&1 &
            debug=$!
            ;;
        release) parked release release release ;;
        thin | fat) parked "$build" release release -C "lto=$build" -C opt-level=0 ;;
        *) echo "unknown build \`$build\`, expected debug, release, thin or fat" >&2; exit 1 ;;
    esac
done
if [ -n "$debug" ]; then
    status=0
    wait "$debug" || status=$?
    cat "$CARGO_TARGET_DIR/debug.log"
    exit "$status"
fi
