#!/usr/bin/env bash
# Checks that all sums stay exact while nearly every block is sampled: through reallocations,
# transfers, names, ends, panics and forks. Then checks that a small program has stacks in each kind
# of build.
set -euo pipefail
MEMSCOPE_STACKS=1 cargo test -q --test exact --test block_sizes --test variables
MEMSCOPE_STACKS=1 cargo test -q \
  --test exactness --test lifecycle --test unannotated --test host -- ownership:: \
  cross_thread_frees:: spawn_cell:: transfer:: panics:: model:: runtime_hooks:: forks::what_was

# `places FLAGS OPTIONS PLACE…` builds the program, and checks that these places have their names. A
# debug build is one without any optimisation, as users have it.
target="${CARGO_TARGET_DIR:-target}/places"
host=$(rustc -vV | sed -n 's/^host: //p')
plain=()
for package in memscope-layout memscope-runtime; do
  plain+=(--config "profile.dev.package.$package.opt-level=0")
done
places() {
  local flags="$1" options="$2" found place
  # With `--target`, the flags do not apply to procedural macros.
  found=$(CARGO_TARGET_DIR="$target" CARGO_INCREMENTAL=0 RUSTFLAGS="$flags" \
    cargo run -q --target "$host" -p memscope-places "${plain[@]}" $options < /dev/null)
  for place in "${@:3}"; do
    grep -q "^$place: .*\(kept_by_\|Keeps\)" <<< "$found" || {
      echo "built with '$flags' '$options', the program has no stack of '$place':" >&2
      echo "$found" >&2
      exit 1
    }
  done
}
all=(main thread recursion 'exiting thread')
# One codegen unit uses only one processor, and another profile has a folder of its own, so these
# run at once.
CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
  places "" --release "${all[@]}" 'drop in panic' &
optimised=$!
places "-C target-feature=+crt-static" "" "${all[@]}" 'drop in panic'
places "-C panic=abort -C force-unwind-tables=no" "" "${all[@]}"
wait "$optimised"
