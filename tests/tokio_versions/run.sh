#!/usr/bin/env bash
# Whether the layout of task cells is learned from versions of Tokio: `run.sh 1.40.0 1.48.0 …`. With
# TASKS=10000000 this many tasks come and go. Memscope asks for a newer Tokio, so a copy of it is
# built that asks for this one. `release` builds with the flags in RUSTFLAGS and CARGO_PROFILE_*.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target="${CARGO_TARGET_DIR:-$root/target}/tokio_versions"
copy="$target/copy"
rm -rf "$copy"
mkdir -p "$copy"
(cd "$root" && git ls-files -co --exclude-standard | tar -c -T - | tar -x -C "$copy")
cd "$copy/tests/tokio_versions"
for version in "$@"; do
  sed -i -E "s/^tokio = \"[^\"]*\"/tokio = \"=$version\"/" "$copy/Cargo.toml"
  rm -f Cargo.lock
  state=$(CARGO_TARGET_DIR="$target" cargo run -q --release -- "${TASKS:-4000}" 2> "$target/said") ||
    state="does not build or is wrong: $(grep -m 1 -E '^error|panicked' "$target/said")"
  echo "tokio $version: $state"
done
