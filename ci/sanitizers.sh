#!/usr/bin/env bash
# Runs the tests of the allocator under the address sanitizer and, if it is installed, valgrind.
# Their builds have other flags, so they have a folder of their own. Every toolchain has the
# sanitizer's runtime, and `RUSTC_BOOTSTRAP` is set for its flag alone.
set -euo pipefail
target="${CARGO_TARGET_DIR:-target}"
host=$(rustc -vV | sed -n 's/^host: //p')
programs=(--test exact --test variables --test trackable --test wrapping_allocator
  --test block_sizes)
files=(--test exactness --test lifecycle --test unannotated -- task_states:: ownership::
  cross_thread_frees:: concurrent_stress:: spawn_cell:: task_ends::)

# Some tests ask for more memory than there is, and some leak on purpose. The sanitizer makes tests
# slow, so there are fewer random inputs than in `ci/test.sh`.
echo "address sanitizer"
sanitized() {
  CARGO_TARGET_DIR="$target/sanitizers" RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" \
    PROPTEST_CASES=32 ASAN_OPTIONS="allocator_may_return_null=1:detect_leaks=0" \
    cargo test --target "$host" -p memscope-tests "$@"
}
sanitized "${programs[@]}"
sanitized "${files[@]}"

if command -v valgrind > /dev/null; then
  echo "valgrind"
  runner="CARGO_TARGET_$(tr a-z- A-Z_ <<< "$host")_RUNNER=valgrind --quiet --error-exitcode=9 \
--suppressions=$PWD/ci/valgrind.supp --fair-sched=yes"
  env "$runner" cargo test --test exact
  # A single file runs in the program itself, so valgrind sees it.
  env "$runner" cargo test --test exactness -- ownership::
fi
