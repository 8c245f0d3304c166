#!/usr/bin/env bash
# What the allocator can reach in a release build neither locks, formats, panics nor allocates: with the default features, and with all.
set -euo pipefail
for features in law law-all; do
  cargo bench -q -p memscope-benches --features "$features" --bench allocator_law
done
