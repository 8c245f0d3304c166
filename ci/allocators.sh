#!/usr/bin/env bash
# The same workload over jemalloc and mimalloc, which are built from C.
set -euo pipefail
command -v make > /dev/null || { apt-get update -qq && apt-get install -y -qq make gcc; }
cargo test -p memscope-tests --features allocators --test over_jemalloc --test over_mimalloc
