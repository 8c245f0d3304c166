#!/usr/bin/env bash
# The exact law holds while nearly every block is sampled: by records that cover owners, through
# reallocations, transfers, names, ends, panics and forks.
set -euo pipefail
export MEMSCOPE_STACKS=1
tests=(
    exact ownership cross_thread_frees block_sizes spawn_cell transfer panics model variables
    runtime_hooks forks
)
cargo test -q -p memscope-tests "${tests[@]/#/--test=}"
