#!/usr/bin/env bash
# Runs the same workload over jemalloc and mimalloc, which are built from C.
set -euo pipefail
command -v make > /dev/null || { apt-get update -qq && apt-get install -y -qq make gcc; }
# All default members, so that dependencies stay as the tests have built them.
cargo test --features memscope-tests/allocators \
  --test over_jemalloc --test over_mimalloc
