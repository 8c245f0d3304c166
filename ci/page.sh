#!/usr/bin/env bash
# Tests the page of `memscope-export` in a real Chromium: from a file and live, with the report of a
# real program and an invented one. Screenshots of the last run are in `<target>/page/shots`.
set -euo pipefail
folder="$(realpath -m "${CARGO_TARGET_DIR:-target}")/page"
rm -rf "$folder"
mkdir -p "$folder"
skip() {
    echo "skipped: $1 is not here, and cannot be installed" >&2
    exit 0
}
install() { apt-get update -qq && apt-get install -y -qq "$1"; } > "$folder/install.log" 2>&1
command -v node > /dev/null || install nodejs || skip node
command -v npm > /dev/null || install npm || skip npm
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ] || skip "node 18 or newer"
CHROMIUM=$(command -v chromium) || { install chromium && CHROMIUM=$(command -v chromium); } ||
    skip Chromium
export CHROMIUM PAGE_FOLDER="$folder"

cargo build -q --example web_service --example page --example live_page
programs="${CARGO_TARGET_DIR:-target}/debug/examples"
cd memscope-export/page-tests
# Only the driver is installed, and no browser is downloaded.
npm ci --silent --no-audit --no-fund > "$folder/npm.log" 2>&1 || skip "playwright-core from npm"
npx prettier --config package.json --check '../page/app/*.js' '*.mjs' > "$folder/format.log" || {
    cat "$folder/format.log" >&2
    exit 1
}
node --input-type=module > "$folder/saved.json" -e '
    import { snapshot } from "./fixture.mjs"; console.log(JSON.stringify(snapshot()))'
cd ../..
# A report of the service at work, which remains after SIGKILL.
MEMSCOPE_REPORT="$folder/real.json" MEMSCOPE_REPORT_EVERY=500ms MEMSCOPE_STACKS=64KiB \
    "$programs/web_service" > "$folder/web_service.log" &
service=$!
disown
for _ in $(seq 300); do [ -s "$folder/real.json" ] && break || sleep 0.1; done
sleep 2
# On a busy machine the service may have ended by itself.
kill -9 "$service" || true
"$programs/page" "$folder/saved.json" > "$folder/saved.html"
"$programs/page" "$folder/real.json" > "$folder/real.html"
"$programs/page" > "$folder/live.html"
# The same service with memscope's own server.
"$programs/live_page" --address 127.0.0.1:0 > "$folder/live_page.log" &
served=$!
trap 'kill "$served"' EXIT
for _ in $(seq 300); do grep -q http "$folder/live_page.log" && break || sleep 0.1; done
PAGE_SERVED=$(grep -o 'http://.*' "$folder/live_page.log" | head -n 1)
export PAGE_SERVED
cd memscope-export/page-tests
# A test that fails may leave a server open, and node would wait for it.
timeout 900 node --test --test-concurrency=2 served.test.mjs saved.test.mjs live.test.mjs holds.test.mjs > "$folder/tests.log" 2>&1 || {
    grep -A 30 '^not ok' "$folder/tests.log" >&2 || cat "$folder/tests.log" >&2
    exit 1
}
grep -E '^# (pass|fail|skipped)' "$folder/tests.log"
