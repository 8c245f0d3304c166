#!/usr/bin/env bash
# Builds and runs the benches for one round, whose figures are no measurements.
set -euo pipefail
cargo bench -q -p memscope-benches --bench overhead -- 1
