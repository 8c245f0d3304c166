#!/usr/bin/env bash
# The documentation as published.
set -euo pipefail
RUSTDOCFLAGS="-D warnings" cargo doc -q --no-deps \
  -p memscope-rs -p memscope-runtime -p memscope-macros -p memscope-layout -p memscope-export \
  -p memscope-server \
  -p cargo-memscope
