#!/usr/bin/env bash
# What the allocator can reach in a release build neither locks, formats, panics nor allocates.
set -euo pipefail
cargo bench -q -p memscope-benches --features law --bench allocator_law
