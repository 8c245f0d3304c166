#!/usr/bin/env bash
# Tests `cargo memscope top` in a real terminal, that of tmux. A service is found, shown, lost and
# found again, and the terminal is restored at each end. Pictures of the last run are in
# `<target>/top`. `ci/top.sh waits` only tests where tasks of a service with the feature `layout`
# wait.
set -euo pipefail
folder="$(realpath -m "${CARGO_TARGET_DIR:-target}")/top"
rm -rf "$folder"
mkdir -p "$folder"
mkdir -m 700 "$folder/run"
command -v tmux > /dev/null ||
    { apt-get update -qq && apt-get install -y -qq tmux; } > "$folder/install.log" 2>&1 ||
    { echo "skipped: tmux is not here, and cannot be installed" >&2; exit 0; }

# `cargo test` builds the program, so that the build of the tests is used.
layout=()
[ "${1-}" != waits ] || layout=(--features memscope-rs/layout,memscope-tests/layout)
cargo test -q --no-run -p cargo-memscope -p memscope-layout --test commands
cargo build -q "${layout[@]}" --example live_page
programs="$(realpath "${CARGO_TARGET_DIR:-target}")/debug"
top="$programs/cargo-memscope memscope top"
# With this folder, only the programs of this run are found.
export XDG_RUNTIME_DIR="$folder/run" LC_ALL=C.UTF-8
unset NO_COLOR MEMSCOPE_SERVE_TOKEN

tmux() { command tmux -L "memscope-top-$$" -f /dev/null "$@"; }
service=
stop() {
    [ -z "$service" ] || kill "$service" 2> /dev/null || true
    tmux kill-server 2> /dev/null || true
}
trap stop EXIT
# The shell of the terminal reads no start files.
tmux new-session -d -x 80 -y 24 -s view 'PS1="ready> " exec bash --norc --noprofile'
tmux set-option -g default-terminal screen-256color > /dev/null

picture() { tmux capture-pane -p -t view "$@"; }
keys() { tmux send-keys -t view "$@"; }
fail() { echo "$1; the terminal shows:" >&2; picture >&2; exit 1; }
# `shows TEXT…` waits for a picture that has each of these texts.
shows() {
    local text picture
    for _ in $(seq 600); do
        picture=$(picture)
        for text in "$@"; do [[ "$picture" == *"$text"* ]] || { sleep 0.1; continue 2; }; done
        return 0
    done
    fail "\`$text\` is not shown"
}
# `runs LINE` types the line at the shell's prompt, once the shell has the terminal.
runs() { keys C-l "$1" Enter; }
# Waits for the shell's prompt, and checks that the terminal is as it was.
is_back() {
    shows "code $1"
    for _ in $(seq 100); do
        [ "$(tmux display -p -t view '#{alternate_on} #{cursor_flag}')" = "0 1" ] && break
        sleep 0.1
    done
    [ "$(tmux display -p -t view '#{alternate_on} #{cursor_flag}')" = "0 1" ] ||
        fail "the screen or the cursor is not the shell's"
    runs 'stty -a | tr " " "\n" | grep -xc -e icanon -e echo -e isig -e onlcr; echo look"ed"'
    shows looked
    picture | grep -qx 4 || fail "the terminal's settings are not put back"
}
serve() {
    MEMSCOPE_STACKS=64KiB "$programs/examples/live_page" --address "$1" \
        > "$folder/service.log" 2>&1 &
    service=$!
    disown
    for _ in $(seq 600); do grep -q http "$folder/service.log" && break || sleep 0.1; done
    url=$(grep -o 'http://[0-9.:]*' "$folder/service.log" | head -n 1)
}

if [ "${1-}" = waits ]; then
    echo "== where tasks of a live service wait"
    export MEMSCOPE_AWAIT_POINTS=on
    serve 127.0.0.1:0
    tmux resize-window -t view -x 200 -y 60
    runs "$top $url; echo code \$?"
    shows "● live"
    keys 4
    shows "AWAIT POINT" "examples/web_service.rs:"
    picture > "$folder/waits.txt"
    # The findings above the table contain places too.
    place=$(sed '1,/AWAIT POINT/d' "$folder/waits.txt" | grep -o 'web_service.rs:[0-9]*' |
        head -n 1)
    sed -n "${place#*:}p" examples/web_service.rs | grep -q '\.await' ||
        fail "there is no await at $place"
    keys b
    shows "by leaf first"
    # Opens a task that lives as long as the service, with its backtrace. It may be polled at the
    # moment.
    keys 2
    keys /
    keys -l "exchange rates"
    keys Enter
    shows "1 of 1 row"
    keys Enter
    shows "Await backtrace" "web_service.rs:"
    picture > "$folder/backtrace.txt"
    keys q
    is_back 0
    echo "== passed: pictures are in $folder"
    exit 0
fi

echo "== a service that is found without its address"
serve 127.0.0.1:0
[ "$(ls "$XDG_RUNTIME_DIR/memscope" | wc -l)" = 1 ] || fail "the service has no file"
listed() { $top --list 2> /dev/null | grep -q "^$url .*live_page.*pid $service"; }
listed || fail "the service is not listed"
# If other programs of this user serve as well, all are listed.
[ "$($top --list | wc -l)" = 1 ] && address= || address=$url
runs "$top $address; echo code \$?"
shows "live_page" "● live" "resident" "% of max" "LIVE ▼" "q quit"
sleep 3
picture > "$folder/80x24.txt"
picture -e > "$folder/80x24.ansi"

echo "== keys"
keys 2
shows "NOT POLLED"
keys Enter
shows "Await backtrace" "Esc close"
picture > "$folder/task.txt"
keys Escape
keys 1
keys /
keys -l nothing-has-this-name
shows "No row matches the filter" "/nothing-has-this-name_"
keys Escape
keys '?'
shows "next and previous row"
keys '?'
keys f
shows "What stands out"
keys f
keys Space
shows "paused" "Paused: space goes on"
keys Space
shows "● live"
keys c
shows "Compared with" "Δ LIVE"
picture > "$folder/compared.txt"
keys c b
shows "by crate" "▾ live_page"
picture > "$folder/groups.txt"
keys b b b 3 v
shows "samples" "all stacks" "│GET /"
picture > "$folder/icicle.txt"
keys j Enter
shows "all stacks" "q quit"
keys Escape v 1
tmux resize-window -t view -x 200 -y 60
shows "PEAK OF ONE" "SPAWNED" "Where tasks wait"
picture > "$folder/200x60.txt"
keys 3 v
shows "all stacks"
picture > "$folder/icicle_200x60.txt"
keys v 1
tmux resize-window -t view -x 10 -y 3
shows "MiB"
tmux resize-window -t view -x 80 -y 24
shows "q quit"

echo "== the service dies, another one comes"
kill -9 "$service"
shows "no connection" "s old" "does not answer"
picture > "$folder/lost.txt"
listed && fail "a service that has ended is listed"
serve "${url#http://}"
shows "● live" "restarted"
keys q
is_back 0

echo "== signals, and a panic"
for signal in TERM HUP INT; do
    runs "$top $url; echo code \$?"
    shows "● live"
    shell=$(tmux display -p -t view '#{pane_pid}')
    kill "-$signal" "$(pgrep -P "$shell" -f 'memscope top' | head -n 1)"
    is_back $((128 + $(kill -l "$signal")))
done
test=top::terminal::tests::a_panic_puts_the_terminal_back
panics="cargo test -q -p cargo-memscope -p memscope-layout --bin cargo-memscope -- --ignored --nocapture --exact $test"
runs "$panics; echo code \$?"
shows "told after the terminal was put back"
is_back 101

echo "== the terminal hangs up"
tmux new-window -d -n gone "exec $top $url"
view=$(tmux display -p -t gone '#{pane_pid}')
for _ in $(seq 100); do tmux capture-pane -p -t gone | grep -q live_page && break; sleep 0.1; done
tmux kill-window -t gone
for _ in $(seq 100); do kill -0 "$view" 2> /dev/null || break; sleep 0.1; done
kill -0 "$view" 2> /dev/null && fail "the view goes on without its terminal"

echo "== Ctrl-Z, and back"
runs "$top $url"
shows "● live"
keys C-z
shows "ready>"
[ "$(tmux display -p -t view '#{alternate_on}')" = 0 ] || fail "the screen is not the shell's"
keys fg Enter
shows "● live"
keys q
shows "ready>"

echo "== a terminal without Unicode and colours"
runs "LC_ALL=C NO_COLOR=1 $top $url"
shows "# live" "LIVE v"
keys c b 3 v
shows "|all stacks"
picture -e > "$folder/plain.ansi"
LC_ALL=C grep -q '[^ -~[:cntrl:]]' "$folder/plain.ansi" &&
    fail "there are other characters than ASCII"
grep -qE $'\e\\[[0-9;]*(3[0-7]|9[0-7]|38)m' "$folder/plain.ansi" && fail "there are colours"
keys q
shows "ready>"

echo "== no terminal"
runs "$top $url | cat; echo piped; $top $url > $folder/out.txt; echo code \$?"
shows "needs a terminal" "/report.txt" "code 2"

kill "$service"
for _ in $(seq 100); do kill -0 "$service" 2> /dev/null || break; sleep 0.1; done
service=
echo "== passed: pictures are in $folder"
