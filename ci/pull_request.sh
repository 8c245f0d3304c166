#!/usr/bin/env bash
# Runs the snippet of docs/CI.md, step by step, in a repository with a base and two changes. A
# change that keeps memory must fail with its site and line, and one that keeps none must pass.
set -euo pipefail
git rev-parse --git-dir > /dev/null 2>&1 || {
    echo "skipped: the snippet installs from a repository, and this is none that git reads" >&2
    exit 0
}
checkout=$PWD
folder="$(realpath -m "${CARGO_TARGET_DIR:-target}")/pull_request"
rm -rf "$folder/steps" "$folder/repository" "$folder/base" "$folder/memscope"
mkdir -p "$folder/steps" "$folder/repository"
fail() { echo "$1" >&2; exit 1; }
# `commits FOLDER` makes the folder a repository, with a commit of its content.
commits() {
    git -C "$1" init -q
    git -C "$1" config user.name ci
    git -C "$1" config user.email ci@localhost
    git -C "$1" add -Af
    git -C "$1" commit -qm "what is there" --allow-empty
}

# Writes the steps as files. A step is the line after `run:`, or the lines below it.
awk '/^```/ { is_in = /yaml/ && !is_in; next } is_in' docs/CI.md > "$folder/snippet.yml"
awk -v folder="$folder/steps" '
    is_block && /^          / { print substr($0, 11) > (folder "/" number); next }
    { is_block = 0 }
    !/^ +(- )?run: / { next }
    { number += 1; sub(/^ +(- )?run: /, "") }
    $0 == "|" { is_block = 1; next }
    { print > (folder "/" number) }
' "$folder/snippet.yml"
[ "$(ls "$folder/steps")" = "$(seq 4)" ] || fail "the snippet has other steps than four"

# These variables are set by a runner. Programs need not be fast here.
mkdir "$folder/memscope"
git archive HEAD | tar -x -C "$folder/memscope"
commits "$folder/memscope"
export CARGO_INSTALL_ROOT="$folder/installed" PATH="$folder/installed/bin:$PATH"
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_INCREMENTAL=0
export GITHUB_STEP_SUMMARY="$folder/summary.md" CARGO_TERM_COLOR=never
unset CARGO_TARGET_DIR

commits "$folder/repository"
cd "$folder/repository"
mkdir src
cat > Cargo.toml << END
[package]
name = "my-program"
version = "0.1.0"
edition = "2024"
[workspace]
[dependencies.memscope-rs]
path = "$checkout"
default-features = false
features = ["enabled", "global-allocator", "report-file"]
END
cp "$checkout/Cargo.lock" .
echo target > .gitignore
seq 100 > requests.txt
# `version BYTES` commits a program that keeps this many bytes of each request.
version() {
    cat > src/main.rs << END
use std::{io, pin::pin, task::{Context, Poll, Waker}};

fn main() {
    let answers: Vec<_> = io::stdin().lines().map(|line| answer(line.unwrap())).collect();
    println!("{}", answers.len());
    std::process::exit(0);
}

fn answer(request: String) -> Vec<u8> {
    let task = memscope_rs::async_memory::track(async move { vec![request.len() as u8; $1] });
    let mut context = Context::from_waker(Waker::noop());
    match pin!(task.named("answer")).poll(&mut context) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!(),
    }
}
END
    git add -A
    git commit -qm "answers of $1 bytes"
}
version 1000
base=$(git rev-parse HEAD)

# `step NUMBER` runs a step as a runner does, with the runner's values in place of its expressions.
step() {
    sed 's/\${{ github.event.pull_request.base.sha }}/'"$base/g" "$folder/steps/$1" > "$folder/step"
    ! grep -F '${{' "$folder/step" || fail "an expression of the runner is not known here"
    bash --noprofile --norc -eo pipefail "$folder/step"
}
echo "== without the variable"
! said=$(MEMSCOPE_GIT="" step 1 2>&1) || fail "the step does not need MEMSCOPE_GIT"
grep -q "MEMSCOPE_GIT: is not set" <<< "$said" || fail "it does not say what to set: $said"

echo "== a change that keeps memory"
MEMSCOPE_GIT="file://$folder/memscope" CARGO_TARGET_DIR="$folder/build" step 1
version 50000
step 2
step 3
: > "$GITHUB_STEP_SUMMARY"
code=0
said=$(step 4 2>&1) || code=$?
[ "$code" = 1 ] || fail "the exit code is $code: $said"
line=$(grep -n 'track(async' src/main.rs | cut -d : -f 1)
grep -q "answer.*src/main.rs:$line" <<< "$said" || fail "it does not name the site: $said"
grep -q '^| .*answer.*src/main.rs' "$GITHUB_STEP_SUMMARY" || fail "the summary has no table"

echo "== a change that keeps none"
git checkout -q "$base" -- src/main.rs
echo "// A comment." >> src/main.rs
git worktree remove --force ../base
step 2
step 3
said=$(step 4 2>&1) || fail "it fails without a reason: $said"
echo "== passed"
