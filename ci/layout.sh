#!/usr/bin/env bash
# The layouts of two real programs, beside what the compiler says with `-Zprint-type-sizes`: the web service of the examples, and the
# server of mini-redis, as published. Sizes, alignments, states, members and offsets, in debug, release, thin and fat LTO.
#
# Compared is every state machine that a program's debug information tells of, those of its dependencies included: each crate prints the
# types that it works on itself, so all of them are asked. The exceptions are those that memscope-layout/README.md names.
set -euo pipefail
target="${CARGO_TARGET_DIR:-target}/layout"
mkdir -p "$target"
target=$(cd "$target" && pwd)

# In the compiler's place: adds the flag, and keeps what is printed under the crate's name, so that a crate that is not compiled again
# has it still. `RUSTC_BOOTSTRAP` is for that flag alone; build scripts, which would find a nightly compiler by it, do not see it.
wrapper="$target/print-type-sizes"
cat > "$wrapper" << 'END'
#!/usr/bin/env bash
name="" file="" folder="" is_cargo=""
previous=""
for it in "$@"; do
  case "$previous" in
    --crate-name) name="$it" ;;
    --out-dir) folder="$it" ;;
  esac
  case "$it" in
    extra-filename=*) file="${it#extra-filename=}" ;;
    --error-format=json) is_cargo=1 ;;
  esac
  previous="$it"
done
if [ -z "$is_cargo" ] || [ -z "$folder" ] || [ "$name" = build_script_build ]; then exec "$@"; fi
RUSTC_BOOTSTRAP=1 exec "$@" -Zprint-type-sizes > "$folder/$name$file.type-sizes"
END
chmod +x "$wrapper"

# check FOLDER PROFILE PROGRAMS CARGO-OPTIONS…; PROFILE is also the folder that cargo names after it.
check() {
  local folder="$target/$1" profile="$2" programs="$3" start=$SECONDS
  shift 3
  RUSTC_WRAPPER="$wrapper" CARGO_TARGET_DIR="$folder" cargo build -q "$@"
  echo "$folder/$profile${CARGO_PROFILE_RELEASE_LTO:+, LTO $CARGO_PROFILE_RELEASE_LTO}: built in $((SECONDS - start)) s"
  find "$folder/$profile" -name '*.type-sizes' -exec cat {} + > "$folder/type-sizes"
  for program in $programs; do
    MEMSCOPE_PROGRAM="$folder/$profile/$program" MEMSCOPE_TYPE_SIZES="$folder/type-sizes" \
      cargo test -q -p memscope-layout --test against_the_compiler -- --ignored --nocapture a_named_program_agrees
  done
}

# Full debug information in every profile; nothing else is changed.
export CARGO_PROFILE_DEV_DEBUG=2 CARGO_PROFILE_RELEASE_DEBUG=2
# At once, so that they share their dependencies; the package of the tests is what has mini-redis among those.
both=(-p memscope-rs -p memscope-tests -p mini-redis --example web_service --bin mini-redis-server)
check plain debug "examples/web_service mini-redis-server" "${both[@]}"
check plain release "examples/web_service mini-redis-server" --release "${both[@]}"

# What the guide shows of them is what is printed today.
shown() {
  local printed
  printed=$(cargo run -q -p cargo-memscope -- memscope futures "$target/plain/release/$1" "${@:2}" | sed 's| in /.*/plain/release/| in target/release/|')
  [[ "$(< docs/shrink-your-futures.md)" == *"$printed"* ]] || {
    echo "docs/shrink-your-futures.md does not show what is printed of $1:" >&2
    echo "$printed" >&2
    exit 1
  }
}
shown examples/web_service --filter clients -n 2
shown mini-redis-server --all --filter mini_redis -n 5

# The server alone: dependencies have to be built anew for link-time optimisation, and it has fewer.
for lto in thin fat; do
  CARGO_PROFILE_RELEASE_LTO=$lto check lto release mini-redis-server --release -p mini-redis --bin mini-redis-server
done
