#!/usr/bin/env bash
# Checks that with tracking compiled out the whole API exists and does nothing.
set -euo pipefail
# There is no optimisation, as little runs.
cargo test -p memscope-rs --no-default-features --features report-file,tokio --test disabled \
    --config 'profile.dev.package.memscope-runtime.opt-level=0'
