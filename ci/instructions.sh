#!/usr/bin/env bash
# Checks that the hot paths take no more instructions than benches/budgets.txt allows. Instructions
# are counted, so a busy machine changes nothing.
set -euo pipefail
command -v valgrind > /dev/null || { apt-get update -qq && apt-get install -y -qq valgrind; } || {
  echo "skipped: valgrind is not here, and cannot be installed" >&2
  exit 0
}
cargo bench -q -p memscope-benches --bench instructions -- --check
cargo bench -q -p memscope-benches --features reports --bench instructions -- --check
