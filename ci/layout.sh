#!/usr/bin/env bash
# The layouts of two real programs, beside what the compiler says with `-Zprint-type-sizes`: the web
# service of the examples, and the server of mini-redis, as published. Sizes, alignments, states,
# members and offsets, in release, one also with fat LTO, the other in debug and with thin LTO.
#
# Every state machine that a program's debug information describes is compared, those of its
# dependencies included. Each crate prints the types that it works on itself, so all of them are
# asked. The exceptions are those that memscope-layout/README.md names.
set -euo pipefail
# The tools come from where `ci/tools.sh` has built them.
tools="${CARGO_TARGET_DIR:-target}/debug"
target="${CARGO_TARGET_DIR:-target}/layout"
mkdir -p "$target"
target=$(cd "$target" && pwd)

# In the compiler's place: adds the flag, and keeps what is printed under the crate's name, so that
# a crate that is not compiled again has it still. `RUSTC_BOOTSTRAP` is for that flag alone; build
# scripts, which would find a nightly compiler by it, do not see it.
#
# With `KEEP_BITCODE` each crate that is optimised is ready for link-time optimisation too, and how
# the programs are compiled is written down: done again with `-Clto`, they need none of their
# dependencies anew.
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
      # Cargo's job server will be gone.
      echo "unset CARGO_MAKEFLAGS; cd $(printf %q "$PWD"); exec$again \"\$@\""
    } > "$folder/$name.again"
    ;;
esac
RUSTC_BOOTSTRAP=1 exec "${arguments[@]}" -Zprint-type-sizes > "$folder/$name$file.type-sizes"
END
chmod +x "$wrapper"

# The programs, in a workspace of their own: of another one, all that any of its programs depends on
# would be built. The versions are those of the tests. Release builds have full debug information,
# and none is incremental, as the compiler only prints what it works on.
#
# In release, dependencies but those named below have level 1, which has the passes that decide
# about layouts.
programs="$target/programs"
# As `cargo run --example` has them.
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

# Builds some of them. The packages are always the same, and so are their dependencies.
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

# What the guide shows of a program is what is printed today.
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

# Without optimisation mini-redis alone: the service depends on far more crates.
build --bin mini-redis-server
agrees "$target/debug/mini-redis-server" "$target/debug"

KEEP_BITCODE=yes build --release \
  --example web_service --example where_it_waits --bin mini-redis-server
# Fat LTO keeps one processor busy, while the other does what follows.
with_lto fat "$target/release/examples/web_service.again" &
fat=$!
agrees "$target/release/examples/web_service" "$target/release"
agrees "$target/release/mini-redis-server" "$target/release"
# A test, so that it is the program that the tests have built.
cargo test -q --no-run -p cargo-memscope -p memscope-layout --test commands
shown examples/web_service --filter clients -n 2
shown mini-redis-server --all --filter mini_redis -n 5
# The example runs as the README says, in release; here its build is at hand.
"$target/release/examples/web_service"

# What a release build learns of itself while it runs, and what it says where there is nothing to
# learn.
"$target/release/examples/where_it_waits" | tail -n 1
strip --strip-debug -o "$target/stripped" "$target/release/examples/where_it_waits"
"$target/stripped" | grep "nothing to compare: the program has no debug information about types"

# The stripped program's dump of its tasks, decoded with the other file, says what that one says of
# its own. Bytes differ, as the order of the tasks does.
# told PROGRAM OPTIONS…: the tree of its 500 tasks, without the head and what runs.
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
