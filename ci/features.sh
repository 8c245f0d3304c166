#!/usr/bin/env bash
# With tracking compiled out everything is there and does nothing. A folder of its own: other
# features, other builds.
set -euo pipefail
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/features"
cargo test -p memscope-rs --no-default-features --features report-file,tokio --test disabled
