#!/usr/bin/env bash
# Compares the layouts of two real programs with those that the compiler prints with
# `-Zprint-type-sizes`: the web service of the examples, and the server of mini-redis, as published.
# Sizes, alignments, states, members and offsets are compared, in release builds. The service is
# also built with fat LTO, and mini-redis in debug and with thin LTO.
#
# Every state machine that a program's debug information describes is compared, including those of
# its dependencies. Each crate prints only the types that it works on itself, so all crates print
# theirs. memscope-layout/README.md names the exceptions.
set -euo pipefail
# `ci/tools.sh` has built the tools in this folder.
tools="${CARGO_TARGET_DIR:-target}/debug"
target="${CARGO_TARGET_DIR:-target}/layout"
mkdir -p "$target"
target=$(cd "$target" && pwd)

# The wrapper that cargo runs as the compiler. It adds the flag, and keeps the output under the
# crate's name, so that a crate that is not compiled again still has it. `RUSTC_BOOTSTRAP` is set
# for that flag alone. Build scripts do not see it, as they would take the compiler for a nightly
# one.
#
# With `KEEP_BITCODE` each optimised crate is also ready for link-time optimisation, and the
# commands that compile the programs are kept. When these run again with `-Clto`, no dependency is
# compiled again.
wrapper="$target/print-type-sizes"
cat > "$wrapper" << 'END'
#!/usr/bin/env bash
name="" file="" folder="" is_cargo="" previous="" arguments=() again="" bitcode=no
[[ " $* " != *" opt-level="* ]] || bitcode="${KEEP_BITCODE:-no}"
for it in "$@"; do
  case "$previous" in
    --crate-name) name="$it" ;;
    --out-dir) folder="$it" ;;
  esac
  case "$it" in
    extra-filename=*) file="${it#extra-filename=}" ;;
    embed-bitcode=no) it="embed-bitcode=$bitcode" ;;
    --error-format=json) is_cargo=1 ;;
  esac
  arguments+=("$it")
  if [ "$previous" = --out-dir ]; then again+=' "$OUT"'; else again+=$(printf ' %q' "$it"); fi
  previous="$it"
done
if [ -z "$is_cargo" ] || [ -z "$folder" ] || [ "$name" = build_script_build ]; then exec "$@"; fi
case "$name" in
  web_service | mini_redis_server)
    {
      export -p
      # Cargo's job server does not exist later.
      echo "unset CARGO_MAKEFLAGS; cd $(printf %q "$PWD"); exec$again \"\$@\""
    } > "$folder/$name.again"
    ;;
esac
RUSTC_BOOTSTRAP=1 exec "${arguments[@]}" -Zprint-type-sizes > "$folder/$name$file.type-sizes"
END
chmod +x "$wrapper"

# The programs are in a workspace of their own, as cargo would otherwise build the dependencies of
# all programs in the workspace. The versions are those of the tests. Release builds have full debug
# information, and no build is incremental, as the compiler prints only types that it works on.
#
# In release builds, dependencies except those named below have level 1, which has the passes that
# decide about layouts.
programs="$target/programs"
# The features are those of `cargo run --example`.
features=$(sed -n 's/^memscope-rs = .*features = \[\(.*\)\] }$/\1, "layout"/p' Cargo.toml)
[ -n "$features" ] || { echo "Cargo.toml does not name the examples' features" >&2; exit 1; }
mkdir -p "$programs/src"
: > "$programs/src/lib.rs"
cp Cargo.lock "$programs"
cat > "$programs/Cargo.toml" << END
[workspace]
[package]
name = "programs"
version = "0.0.0"
edition = "2024"
autoexamples = false
[dependencies]
memscope-rs = { path = "$PWD", features = [$features] }
axum = "0.8"
http-body-util = { version = "0.1", features = ["channel"] }
hyper = { version = "1", features = ["client", "http1"] }
hyper-util = { version = "0.1", features = ["tokio"] }
mini-redis = "0.4.1"
serde_json = "1"
tokio = { version = "1", features = ["full"] }
[[example]]
name = "web_service"
path = "$PWD/examples/web_service.rs"
[[example]]
name = "where_it_waits"
path = "$PWD/examples/where_it_waits.rs"
[profile.release]
opt-level = 1
debug = 2
[profile.release.package]
programs.opt-level = 3
memscope-rs.opt-level = 3
mini-redis.opt-level = 3
tokio.opt-level = 3
END

# Builds some of the programs. The packages are always the same, and so are their dependencies.
build() {
  local start=$SECONDS
  CARGO_INCREMENTAL=0 RUSTC_WRAPPER="$wrapper" CARGO_TARGET_DIR="$target" \
    cargo build -q --manifest-path "$programs/Cargo.toml" -p programs -p mini-redis "$@"
  echo "built $* in $((SECONDS - start)) s"
}

# Links a program again, with level 1: `with_lto thin|fat PROGRAM.again`.
with_lto() {
  local start=$SECONDS name folder
  name=$(basename "$2" .again)
  folder="$target/$1/$name"
  rm -rf "$folder"
  mkdir -p "$folder"
  OUT="$folder" RUSTC_BOOTSTRAP=1 bash "$2" "-Clto=$1" -Copt-level=1 -Zprint-type-sizes \
    > "$folder/own.type-sizes" 2> "$folder/messages" || {
    cat "$folder/messages" >&2
    return 1
  }
  echo "built $name with LTO $1 in $((SECONDS - start)) s"
}

# agrees PROGRAM FOLDER…: the folders are those with the types that the compiler knows.
agrees() {
  find "${@:2}" -name '*.type-sizes' -exec cat {} + > "$target/type-sizes"
  MEMSCOPE_PROGRAM="$1" MEMSCOPE_TYPE_SIZES="$target/type-sizes" \
    cargo test -q -p cargo-memscope -p memscope-layout --test against_the_compiler -- \
    --ignored --nocapture a_named_program_agrees
}

# Checks that the guide shows what is printed of a program.
shown() {
  local printed
  printed=$("$tools/cargo-memscope" memscope futures "$target/release/$1" "${@:2}" |
    sed "s| in [^ ]*release/| in target/release/|; s|$PWD/||g")
  [[ "$(< docs/shrink-your-futures.md)" == *"$printed"* ]] || {
    echo "docs/shrink-your-futures.md does not show what is printed of $1:" >&2
    echo "$printed" >&2
    exit 1
  }
}

# Only mini-redis is built without optimisation, as the service depends on far more crates.
build --bin mini-redis-server
agrees "$target/debug/mini-redis-server" "$target/debug"

KEEP_BITCODE=yes build --release \
  --example web_service --example where_it_waits --bin mini-redis-server
# Fat LTO uses one processor. The next steps run on the other meanwhile.
with_lto fat "$target/release/examples/web_service.again" &
fat=$!
agrees "$target/release/examples/web_service" "$target/release"
agrees "$target/release/mini-redis-server" "$target/release"
# `cargo test` builds the program, so that the build of the tests is used.
cargo test -q --no-run -p cargo-memscope -p memscope-layout --test commands
shown examples/web_service --filter clients -n 2
shown mini-redis-server --all --filter mini_redis -n 5
# The example runs in release, as the README says, since its build exists here.
"$target/release/examples/web_service"

# Checks what a release build learns about itself while it runs, and its message if there is nothing
# to learn.
"$target/release/examples/where_it_waits" | tail -n 1
strip --strip-debug -o "$target/stripped" "$target/release/examples/where_it_waits"
"$target/stripped" | grep "nothing to compare: the program has no debug information about types"

# The dump of the stripped program's tasks, decoded with the other file, must equal the other
# program's own dump. Bytes differ, as the order of the tasks does. told PROGRAM OPTIONS…: the tree
# of its 500 tasks, without the head and what runs.
told() {
  MEMSCOPE_DUMP_MEMORY=on "$1" "$target/dump.json" > /dev/null
  "$tools/cargo-memscope" memscope tasks "$target/dump.json" "${@:2}" |
    sed -E '1,/TASKS /d; / running$/d; s/^( *[0-9]+) +([0-9.]+ [KM]?i?B|·)/\1/'
}
own=$(told "$target/release/examples/where_it_waits")
decoded=$(told "$target/stripped" --debug-file "$target/release/examples/where_it_waits")
echo "$decoded"
[ "$decoded" = "$own" ] && [[ "$decoded" == *"280      where_it_waits::with_connection ("* ]] || {
  echo "the stripped program's dump is decoded to other places than the program's own:" >&2
  echo "$own" >&2
  exit 1
}

with_lto thin "$target/release/deps/mini_redis_server.again"
wait "$fat"
for folder in "$target/thin/mini_redis_server" "$target/fat/web_service"; do
  agrees "$(find "$folder" -type f -perm -u+x)" "$folder" "$target/release/deps"
done
