#!/usr/bin/env bash
# The benches build and run. One round: its figures are no measurements.
set -euo pipefail
cargo bench -q -p memscope-benches --bench overhead -- 1
