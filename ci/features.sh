#!/usr/bin/env bash
# With tracking compiled out everything is there and does nothing.
set -euo pipefail
cargo test -p memscope-rs --no-default-features --features report-file,tokio --test disabled
