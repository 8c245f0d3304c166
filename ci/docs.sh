#!/usr/bin/env bash
# Builds the documentation as it is published.
set -euo pipefail
RUSTDOCFLAGS="-D warnings" cargo doc -q --no-deps \
  -p memscope-rs -p memscope-runtime -p memscope-macros -p memscope-layout -p memscope-export \
  -p memscope-server \
  -p cargo-memscope
