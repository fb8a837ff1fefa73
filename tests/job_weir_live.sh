#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The verbs of `weir` that ask a job which runs: status, snapshot, savepoint, stop, dump. They say
# what the job's own verbs say; and status answers when nobody runs as well.
#
#     tests/job_weir_live.sh BUILD_FOLDER

here=$(cd "$(dirname "$0")" && pwd)
source "$here/tools/job.bash"
weir=$(cd "$1" && pwd)/bin/weir

export XDG_RUNTIME_DIR=$work/session
mkdir -m 700 "$XDG_RUNTIME_DIR"

fresh() { # [OPTION...]: another store and output folder
    store=$work/store.$((++stores)) out=$work/out.$stores log=$work/run.$stores.log
    run=("$program" run --store "$store" --set "input=$work/text" --set "output=$out"
        --interval off --set rate=100 "$@")
}
stores=0

answers() {
    "$program" status --store "$store" >/dev/null 2>&1
}

start() { # paced: it lasts until it is stopped
    background "$log" "${run[@]}" "$@"
    until_true 20 answers || fail "no answer: $(cat "$log")"
}

ends_with() { # CODE
    code_of wait "$pid" 2>/dev/null # quiet: the shell tells of kills
    ((code == $1)) || fail "exit $code, not $1"$'\n'"$(cat "$log")"
}

fits() { # OBJECT: of EVENTS.md, what the last expect has said
    python3 "$here/tools/events.py" "$here/../runtime/EVENTS.md" --object "$1" \
        "$work/said.log" || fail "it does not fit EVENTS.md: $(cat "$work/said.log")"
}

status_fits() { # of the tool's README, and what stands in it is so: EXPRESSION on s
    python3 "$here/tools/tool_json.py" "$here/../checkpoint/tool/README.md" status \
        "$work/said.log" || fail "JSON of status: $(cat "$work/said.log")"
    python3 -c 'import json, sys; s = json.load(open(sys.argv[1])); assert eval(sys.argv[2]), s' \
        "$work/said.log" "$1" || fail "$1"
}

a_running_job_is_asked() {
    fresh
    start
    expect 0 "process $pid" "$weir" status "$store"
    expect 0 '^in the store  0 checkpoints$' "$weir" status "$store"
    expect 0 '' "$weir" status "$store" --json
    status_fits "s['running'] and s['epoch'] == 1 and s['pid'] == $pid and s['checkpoints'] == 0"
    status_fits "s['answer']['pid'] == $pid and s['answer']['program'] == 'word_count'"
    expect 0 '^checkpoint 1: took ' "$weir" snapshot "$store"
    has_checkpoints "$store" 1 || fail "the answer came before the checkpoint"
    expect 0 '"checkpoint":2,' "$weir" snapshot "$store" --json
    fits answer_checkpoint
    expect 0 '^in the store  2 checkpoints, the newest 2, of .* ago; took ' "$weir" status "$store"
    expect 0 '^newest  +2, of ' "$weir" status "$store"
    expect 0 '' "$weir" status "$store" --json
    status_fits "s['newest'] == 2 and 0 < s['age_ns'] < 600e9 and s['stored_bytes'] > 0"
    expect 0 '^task lines.0 > split' "$weir" dump "$store"
    expect 0 '' "$weir" dump "$store" --json
    fits answer_dump
    expect 0 "^checkpoint 3 is kept as the savepoint $work/saved: took" \
        "$weir" savepoint "$store" "$work/saved"
    expect 0 '^3[[:space:]]+sound' "$weir" verify "$work/saved" newest
    expect 5 'is a savepoint already' "$weir" savepoint "$store" "$work/saved"
    expect 5 '"error":"WEIR_REFUSED","text":"no savepoint: ' \
        "$weir" savepoint "$store" "$work/saved" --json
    expect 0 "process $pid was asked to stop \\(suspend\\)" "$weir" stop "$store"
    ends_with 6
}

# A path that is relative is the asker's, not the program's.
it_stops_in_every_way() {
    fresh
    start
    (cd "$work" && "$weir" stop "$store" --savepoint last >"$work/said.log") || fail "no savepoint"
    grep -q "is kept as the savepoint $work/last\$" "$work/said.log" ||
        fail "$(cat "$work/said.log")"
    ends_with 6
    expect 0 '' "$weir" verify "$work/last"
    start
    expect 0 '"mode":"now"' "$weir" stop "$store" --now --json
    fits answer_stop
    ends_with 6
    start
    expect 5 'so the job goes on' "$weir" stop "$store" --savepoint "$work/last"
    expect 0 '^state  +running' "$weir" status "$store"
    expect 0 'was asked to stop \(drain\)' "$weir" stop "$store" --drain
    ends_with 0
}

nobody_runs() {
    fresh
    expect 3 "$store" "$weir" status "$store"
    expect 3 "$store" "$weir" snapshot "$store"
    start
    local was=$pid
    expect 0 '' "$weir" snapshot "$store"
    kill -KILL "$pid"
    ends_with 137
    expect 1 "^state  +no run is alive; the last was run 1, process $was\$" "$weir" status "$store"
    expect 1 '^in the store  1 checkpoint, the newest 1, ' "$weir" status "$store"
    expect 1 '' "$weir" status "$store" --json
    status_fits "not s['running'] and s['epoch'] == 1 and s['newest'] == 1 and 'pid' not in s"
    for verb in snapshot stop dump; do
        expect 3 "no program runs on $store .*run --store $store" "$weir" "$verb" "$store"
    done
    expect 3 'no program runs on' "$weir" savepoint "$store" "$work/none"
    expect 3 '^\{"error":"WEIR_NOT_FOUND"' "$weir" snapshot "$store" --json
    expect 1 '^state  +a savepoint: nothing runs on it; written in run 1$' \
        "$weir" status "$work/saved"
    printf 'x' >>"$store/checkpoints/$(ls "$store/checkpoints")/MANIFEST.json"
    expect 3 'no run is alive' "$weir" status "$store"
    expect 3 'MANIFEST' "$weir" status "$store"
}

alive_holds_the_lock() {
    flock_of "$store" | grep -q WRITE
}

flock_of() { # STORE: what the kernel says of its lock
    grep ":$(stat -c %i "$1/LOCK" 2>/dev/null || echo none) " /proc/locks
}

# Alive, says the lock; what it does nobody can tell.
one_that_is_mute() {
    fresh --no-control
    background "$log" "${run[@]}"
    until_true 20 alive_holds_the_lock || fail "no start: $(cat "$log")"
    expect 0 "^state  +run 1 is alive, process $pid: no program runs on .*--no-control" \
        "$weir" status "$store"
    expect 0 '' "$weir" status "$store" --json
    status_fits "s['running'] and s['pid'] == $pid and '--no-control' in s['mute']"
    expect 3 '--no-control' "$weir" snapshot "$store"
    kill -TERM "$pid"
    ends_with 6
}

what_has_no_sense_is_refused() {
    expect 2 'too few arguments' "$weir" snapshot
    expect 2 'too few arguments' "$weir" savepoint "$store"
    expect 2 'too many arguments, the first is: b' "$weir" stop a b
    expect 2 '--drain and --now: say one of them' "$weir" stop "$store" --drain --now
    expect 2 '--savepoint and --now: say one' "$weir" stop "$store" --savepoint "$work/x" --now
    expect 2 'this verb has no such option: drain' "$weir" status "$store" --drain
    expect 2 'the path is no UTF-8' "$weir" savepoint "$work/saved" "$work/"$'\377'
    expect 0 'keep the last checkpoint there' "$weir" stop --help
}

text "$work/text" 20000
try_properties a_running_job_is_asked it_stops_in_every_way nobody_runs one_that_is_mute \
    what_has_no_sense_is_refused
