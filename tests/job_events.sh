#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What word_count says with --json: every line of real lives - a first start, a kill, a restart, a
# stop, an end, a failure, a start that is refused - fits runtime/EVENTS.md, in the right order, and
# nothing else is on standard output.
#
#     tests/job_events.sh BUILD_FOLDER

source "$(dirname "$0")/tools/job.bash"
here=$(dirname "$0")

# fits FILE EVENT,EVENT...: documented, and these among them.
fits() {
    python3 "$here/tools/events.py" "$here/../runtime/EVENTS.md" "$1" --want "$2" ||
        fail "$1 does not fit EVENTS.md"
}
# last FILE MEMBER: of the last event.
last() {
    tail -n 1 "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$2"
}
events_of() { # FILE EVENT: how many
    grep -c "\"event\": \"$2\"" "$1" || true
}
has_events() { # FILE EVENT HOW_MANY
    [[ -e $1 ]] && (($(events_of "$1" "$2") >= $3))
}

fresh() {
    store=$work/store.$((++stores))
    out=$work/out.$stores
    run=("$program" run --json --store "$store" --interval 20ms --set "input=$work/text"
        --set "output=$out")
}
stores=0

# start_json FILE ARGUMENT...: in the background, paced so that it lasts some seconds.
start_json() {
    local events=$1
    shift
    "${run[@]}" --set "rate=$((lines / 3))" "$@" >"$events" 2>"$events.log" &
    pid=$!
}

a_life_that_is_killed_restored_stopped_and_ends() {
    fresh
    start_json "$work/killed"
    until_true 20 has_events "$work/killed" committed 2 || fail "no checkpoints after 20 s"
    kill -KILL "$pid"
    code_of wait "$pid" 2>/dev/null
    fits "$work/killed" start,committed

    start_json "$work/stopped"
    until_true 20 has_events "$work/stopped" committed 2 || fail "no checkpoints after 20 s"
    kill -TERM "$pid"
    code_of wait "$pid"
    ((code == 6)) || fail "exit $code after SIGTERM"
    fits "$work/stopped" restored,committed,stopping,end
    [[ $(last "$work/stopped" event) == end && $(last "$work/stopped" outcome) == stopped ]] ||
        fail "the last event of a stopped run: $(tail -n 1 "$work/stopped")"
    [[ $(last "$work/stopped" checkpoint) == $(checkpoints "$store" | tail -n 1) ]] ||
        fail "it does not go on from the newest checkpoint"

    code_of "${run[@]}" >"$work/ended" 2>"$work/ended.log"
    ((code == 0)) || fail "exit $code at the end"
    fits "$work/ended" restored,end
    [[ $(last "$work/ended" outcome) == ended ]] || fail "it does not say that it ended"
    [[ ! -s $work/ended.log ]] || fail "something is on standard error: $(cat "$work/ended.log")"
    same_counts "a job that said it as JSON" "$work/counts" "$out"
}

checkpoints_that_come_to_nothing() {
    fresh
    start_json "$work/late" --timeout 1us
    until_true 20 has_events "$work/late" aborted 3 || fail "no aborted checkpoints after 20 s"
    kill -KILL "$pid"
    code_of wait "$pid" 2>/dev/null
    fits "$work/late" start,aborted
    fresh # a checkpoint that names those who had not answered names as many as have room
    start_json "$work/many" --timeout 1us --parallelism 12 --mode aligned
    until_true 20 has_events "$work/many" aborted 3 || fail "no aborted checkpoints after 20 s"
    kill -KILL "$pid"
    code_of wait "$pid" 2>/dev/null
    grep -Eq '"timed out: [0-9]+ of 24 tasks had not answered: lines.0 .*; and [0-9]+ more"' \
        "$work/many" || fail "$(grep aborted "$work/many" | head -n 3)"
    fresh
    "$program" run --store "$store" --interval 20ms --timeout 1us --parallelism 12 --mode aligned \
        --set "input=$work/text" --set "output=$out" --set "rate=$((lines / 3))" 2>"$work/said" &
    pid=$!
    until_true 20 grep -q 'more$' "$work/said" || fail "$(cat "$work/said")"
    kill -KILL "$pid"
    code_of wait "$pid" 2>/dev/null
    grep -Eq '^word_count:   lines.0 ' "$work/said" || fail "not a line each: $(cat "$work/said")"
    awk 'length > 250 { exit 1 }' "$work/said" || fail "lines too long: $(cat "$work/said")"
}

a_run_that_can_not_begin() {
    fresh
    code_of "${run[@]}" --restore 7 >"$work/refused" 2>"$work/refused.log"
    ((code == 3)) || fail "exit $code for a checkpoint that is not there"
    fits "$work/refused" failed,end
    [[ $(last "$work/refused" result) == WEIR_* ]] || fail "no result"
    fresh
    code_of "${run[@]}" --interval 5 >"$work/usage" 2>"$work/usage.log"
    ((code == 2)) || fail "exit $code for a wrong option"
    [[ ! -s $work/usage && -s $work/usage.log ]] || fail "a refusal belongs on standard error"
}

a_reader_that_goes_away() {
    fresh
    set +o pipefail
    "${run[@]}" | head -n 1 >"$work/one"
    set -o pipefail
    fits "$work/one" start
    same_counts "a job whose reader went away" "$work/counts" "$out"
}

# On a terminal: Ctrl-C after two checkpoints, then once more to the end.
a_terminal_has_a_live_line_and_nothing_is_left_of_it() {
    fresh
    local said=$work/terminal
    run=("$program" run --store "$store" --interval 100ms --set "input=$work/text"
        --set "output=$out" --set "rate=$((lines / 3))")
    code_of env TERM=xterm python3 "$here/tools/terminal.py" "$store" "$said" "${run[@]}"
    ((code == 6)) || fail "exit $code after Ctrl-C on a terminal"
    tr '\r' '\n' <"$said" >"$said.log" # the newest lines are shown when this fails
    grep -Eq $'^\x1b\\[Kword_count: [0-9.]+ (k )?records/s \\| [0-9]+ %' "$said.log" ||
        fail "no live line with records and percents"
    grep -Eq ' \| checkpoint [1-9][0-9]*: [0-9.]+ s old, took [0-9.]+ m?s, ' "$said.log" ||
        fail "no checkpoint in it"
    # What comes last was printed after the line was cleared away, and is not overwritten.
    python3 - "$said" <<'END' || fail "something is left of the live line"
import sys
said = open(sys.argv[1], "rb").read()
assert said.endswith(b"\n"), "the last line has no end"
shown = [line.split(b"\x1b[K")[-1] for line in said.replace(b"\r\n", b"\n").split(b"\n")]
assert not any(b"records/s" in line for line in shown), shown
END
    expect_counts_after_restart
}
expect_counts_after_restart() {
    code_of "${run[@]}" >"$work/again.log" 2>&1
    ((code == 0)) || fail "exit $code of the restart"
    same_counts "a job stopped by Ctrl-C" "$work/counts" "$out"
}

lines=6000
echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"
for property in a_life_that_is_killed_restored_stopped_and_ends \
    checkpoints_that_come_to_nothing a_run_that_can_not_begin \
    a_reader_that_goes_away a_terminal_has_a_live_line_and_nothing_is_left_of_it; do
    "$property"
    echo "ok: $property"
done
