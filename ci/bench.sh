#!/usr/bin/env bash
# The benches build and run; one round, so that nobody takes its figures for measurements.
set -euo pipefail
cargo bench -q -p memscope-benches --bench overhead -- 1
