#!/usr/bin/env bash
# With tracking compiled out everything is there and does nothing.
set -euo pipefail
# Without optimisation, as there is nothing to run.
cargo test -p memscope-rs --no-default-features --features report-file,tokio --test disabled \
    --config 'profile.dev.package.memscope-runtime.opt-level=0'
