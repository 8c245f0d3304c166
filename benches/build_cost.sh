#!/usr/bin/env bash
# What the facade with its default features adds to a clean release build of a program that has
# Tokio: crates and seconds of CPU. And how much of that its dependencies take by themselves.
# Medians of three rounds, the builds in turn; `benches/build_cost.sh ROUNDS` for another number.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rounds="${1:-3}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset CARGO_TARGET_DIR

for name in without dependencies with; do
    mkdir -p "$work/$name/src"
    {
        printf '[package]\nname = "program"\nversion = "0.0.0"\nedition = "2024"\n\n[dependencies]\n'
        # As small as Tokio gets with a runtime, so that nothing hides what is added.
        printf 'tokio = { version = "1", features = ["rt-multi-thread", "macros"] }\n'
        case "$name" in
            dependencies)
                printf 'crossbeam-utils = "0.8"\nlibc = "0.2"\nserde = { version = "1", features = ["derive"] }\nserde_json = "1"\n'
                # As `memscope-macros` and `memscope-layout` have them.
                sed -nE '/^(syn|object|gimli|memmap2|rustc-demangle) = /p' "$root/Cargo.toml"
                printf 'quote = "1"\nproc-macro2 = "1"\n'
                ;;
            with) printf 'memscope-rs = { path = "%s" }\n' "$root" ;;
        esac
        printf '\n[workspace]\n'
    } > "$work/$name/Cargo.toml"
    printf '#[tokio::main]\nasync fn main() {}\n' > "$work/$name/src/main.rs"
    cp "$root/Cargo.lock" "$work/$name/"
    cargo fetch -q --manifest-path "$work/$name/Cargo.toml"
done

crates() {
    cargo tree --manifest-path "$work/$1/Cargo.toml" --edges normal,build --prefix none --format '{p}' | sed 's/ (\*)$//; s/ (.*)$//' | sort -u
}

# The user's and the system's time of one clean build, in hundredths of a second.
cpu() {
    rm -rf "$work/$1/target"
    { TIMEFORMAT='%U %S'; time cargo build -q --release --offline --manifest-path "$work/$1/Cargo.toml" 2> "$work/messages"; } 2> "$work/time"
    awk '{ printf "%d\n", 100 * ($1 + $2) }' "$work/time"
}

median() { sort -n "$1" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

for _ in $(seq "$rounds"); do
    for name in without dependencies with; do cpu "$name" >> "$work/$name.cpu"; done
done
without=$(median "$work/without.cpu")
dependencies=$(median "$work/dependencies.cpu")
with=$(median "$work/with.cpu")
for name in without with; do crates "$name" > "$work/$name.crates"; done
added=$(comm -13 "$work/without.crates" "$work/with.crates" | paste -sd ',' | sed 's/,/, /g')
echo "crates: $(wc -l < "$work/without.crates") without, $(wc -l < "$work/with.crates") with; added: $added"
awk -v a="$without" -v d="$dependencies" -v b="$with" -v n="$rounds" 'BEGIN {
    printf "CPU of a clean release build, medians of %d: %.1f s without, %.1f s with: %.1f s more, of which %.1f s for the crates that it stands on\n",
        n, a / 100, b / 100, (b - a) / 100, (d - a) / 100
}'
