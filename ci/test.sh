#!/usr/bin/env bash
# Runs the README's test command, word for word.
set -euo pipefail
command=$(grep '^cargo test' README.md | head -n 1)
[ -n "$command" ] || { echo "README.md names no test command" >&2; exit 1; }
echo "\$ $command"
$command
