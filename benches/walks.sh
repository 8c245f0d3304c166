#!/usr/bin/env bash
# How many files of the runtime each walk of docs/ARCHITECTURE.md passes: those with an instruction
# that runs in it, in a build without optimisation, where each function is a call. With a name it
# lists that walk's files: `benches/walks.sh snapshot`. Needs valgrind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build -q -p memscope-benches --features layout --bin walks
program="${CARGO_TARGET_DIR:-target}/debug/walks"
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# files WALK FUNCTION…: the last words go to the program.
files() {
    valgrind -q --tool=callgrind --collect-atstart=no --toggle-collect="walks::walk_$2*" \
        --callgrind-out-file="$out" "$program" "$1" "${@:3}" > /dev/null
    # A file is named once, and then by its number. What follows `calls=` is the callee's cost.
    # `lib.rs` is the name of a whole unit of code generation.
    awk '
        match($0, /^c?f[lie]=\([0-9]+\)/) {
            key = substr($0, 1, RLENGTH); number = key; sub(/.*=/, "", number)
            if (length($0) > RLENGTH) name[number] = substr($0, RLENGTH + 2)
            if (key !~ /^c/) file = name[number]
            next
        }
        /^calls=/ { callee = 1; next }
        /^[-+*0-9]/ {
            if (!callee && file ~ /memscope-runtime\/src\//) seen[file] = 1
            callee = 0
        }
        END { for (file in seen) print file }
    ' "$out" | sed 's|.*memscope-runtime/src/||' | grep -v '^lib.rs$' | sort
}

walks=("malloc malloc" "free free" "poll poll" "poll poll await_points" "life life"
    "thread life" "snapshot snapshot" "snapshot snapshot await_points")
for walk in "${walks[@]}"; do
    read -ra words <<< "$walk"
    if [ $# = 0 ]; then
        printf '%4d  %s\n' "$(files "${words[@]}" | wc -l)" "${words[*]:0:1} ${words[*]:2}"
    elif [ "$1" = "${words[0]}" ]; then
        files "${words[@]}"
        exit
    fi
done
