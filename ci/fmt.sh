#!/usr/bin/env bash
# Formatting.
set -euo pipefail
cargo fmt --all -- --check
cargo fmt --manifest-path tests/parked/Cargo.toml -- --check
