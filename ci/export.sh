#!/usr/bin/env bash
# Has tools read memscope's formats: go's pprof, promtool, a Prometheus server, a collector of
# OpenTelemetry, Grafana's types, and speedscope in Chromium. If a tool cannot be installed, a line
# says that it was not used.
set -euo pipefail
folder="${CARGO_TARGET_DIR:-target}/export"
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

installed() { command -v "$1" >/dev/null || apt-get install -qq -y --no-install-recommends "$2" \
    >/dev/null 2>&1 && command -v "$1" >/dev/null; }

reads() { EXPORT_FOLDER="$folder" cargo test -q --test readers -- "$@"; }

asked=(inferno)
skipped() { echo "== skipped: $1 cannot be installed here, so it was not asked"; }
if installed go golang-go; then asked+=(go_reads); else skipped "go (golang-go)"; fi
if installed promtool prometheus && command -v prometheus >/dev/null; then
    asked+=(promtool)
else
    skipped "promtool and prometheus (prometheus)"
fi
echo "== asked: ${asked[*]}"
reads --include-ignored "${asked[@]}"
# The same for the server's answers, a registry's text and the alerts. The facade's tests turn on
# the features that these need. A Prometheus server scrapes a program and the example.
if [[ " ${asked[*]} " == *" promtool "* ]]; then
    cargo build -q --example live_page
    cargo test -q --test server -- --include-ignored \
        scrapers::prom metrics_adapters::prom prometheus::
    echo "== asked: a Prometheus server"
fi

# The collector is one program in a Python package. Without it, OpenTelemetry's exporter sends to
# the test's own receiver, which is made from the published protobuf files.
collector="$folder/rotel/rotel/rotel-agent"
python3 -m pip install -q --no-deps --target "$folder/rotel" --upgrade rotel==0.0.1a15 \
    >/dev/null 2>&1 && [ -x "$collector" ] || {
    skipped "the collector of OpenTelemetry (rotel, by pip)"
    collector=
}
CARGO_TARGET_DIR="$folder/otlp" COLLECTOR="$collector" \
    cargo test -q --locked --manifest-path tests/otlp/Cargo.toml -- --nocapture

# Installs packages of npm without running their scripts.
packages() {
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$@" >/dev/null 2>&1
}
installed npm npm || true

# Grafana itself is in none of these registries, but its types of a dashboard are.
dashboard() {
    local types="$folder/grafana"
    packages "$types" @grafana/schema@13.2.3 typescript@7.0.2 || {
        skipped "Grafana's types (@grafana/schema, npm)"
        return 0
    }
    node memscope-server/tests/grafana/types.mjs docs/grafana/memscope.json "$types"
    (cd "$types" && node_modules/.bin/tsc --noEmit --strict --skipLibCheck --target es2022 \
        --module esnext --moduleResolution bundler dashboard.ts)
    echo "== asked: Grafana's types of a dashboard"
}

# Speedscope's importer is a page, and its title says what was imported.
speedscope() {
    local page="$folder/npm/node_modules/speedscope/dist/release/index.html" part
    packages "$folder/npm" speedscope@1.25.0 || { skipped "speedscope (npm)"; return 0; }
    installed chromium chromium || { skipped "chromium, in which speedscope runs"; return 0; }
    printf 'speedscope.loadFileFromBase64("live.speedscope.json", "%s")' \
        "$(base64 -w 0 "$folder/live.speedscope.json")" > "$folder/load.js"
    timeout 60 chromium --headless --no-sandbox --disable-gpu --enable-unsafe-swiftshader \
        --user-data-dir="$folder/chromium" --allow-file-access-from-files \
        --virtual-time-budget=8000 --dump-dom "file://$page#localProfilePath=$folder/load.js" \
        > "$folder/page.html" 2>/dev/null
    for part in '<title>readers' 'live bytes' 'allocated bytes'; do
        grep -q "$part" "$folder/page.html" || {
            echo "speedscope does not show \`$part\`: $folder/page.html" >&2
            exit 1
        }
    done
    echo "== asked: speedscope"
}

dashboard
speedscope
