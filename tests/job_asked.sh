#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Programs that are asked while they run: status, checkpoint, stop, dump; and when nobody is there.
# job_savepoint.sh has savepoints.
#
#     tests/job_asked.sh BUILD_FOLDER

here=$(dirname "$0")
source "$here/tools/job.bash"
faulty=$1/tests/programs/faulty

export XDG_RUNTIME_DIR=$work/session
mkdir -m 700 "$XDG_RUNTIME_DIR"

fresh() { # [OPTION...]: another store and output folder
    store=$work/store.$((++stores)) out=$work/out.$stores log=$work/run.$stores.log
    run=("$program" run --store "$store" --set "input=$work/text" --set "output=$out"
        --set emit=updates "$@")
}
stores=0

ask() { # VERB [OPTION...]: its code in $code, what it says in $said
    code_of "$program" "$1" --store "$store" "${@:2}" >"$work/said" 2>"$work/complaint"
    said=$(cat "$work/said" "$work/complaint")
}

fits() { # OBJECT: of EVENTS.md, what the last ask with --json has said
    echo "$said" >"$work/answer.json"
    python3 "$here/tools/events.py" "$here/../runtime/EVENTS.md" --object "$1" \
        "$work/answer.json" || fail "it does not fit EVENTS.md: $said"
}

answers() {
    ask status
    ((code == 0))
}

start() { # paced: it lasts until it is stopped
    background "$log" "${run[@]}" --interval off --set rate=100 "$@"
    until_true 20 answers || fail "no answer: $said"$'\n'"$(cat "$log")"
}

expect() { # CODE PATTERN: of the last ask
    ((code == $1)) || fail "exit $code, not $1: $said"
    grep -Eq -- "$2" <<<"$said" || fail "\"$2\" is not in what it says: $said"
}

ends_with() { # CODE
    code_of wait "$pid" 2>/dev/null # quiet: the shell tells of kills
    ((code == $1)) || fail "exit $code, not $1"$'\n'"$(cat "$log")"
}

member() { # NAME: of the JSON in $said
    sed -nE "s/.*\"$1\":\"?([^,\"}]*).*/\1/p" <<<"$said"
}

nobody_is_there() {
    fresh
    ask status
    expect 3 "$store"
    code_of "$program" status >"$work/said" 2>&1
    ((code == 2)) || fail "without --store: exit $code"
    start
    ask stop --now
    ends_with 6
    for verb in status checkpoint stop dump; do
        ask "$verb"
        expect 3 "no program runs on $store .*run --store $store"
    done
    ask savepoint --to "$work/savepoint"
    expect 3 "no program runs on $store .*run --store $store"
}

it_tells_how_it_is() {
    fresh
    start
    ask status
    expect 0 "process $pid"
    expect 0 "first start"
    ask status --json
    expect 0 '^\{"weir":1,"ok":true,"ask":"status"'
    [[ $(member pid) == "$pid" && $(member state) == running && $(member store) == "$store" ]] ||
        fail "status: $said"
    fits answer_status
    ask dump --json
    fits answer_dump
    ask dump
    expect 0 '^job word_count, epoch 1: '
    expect 0 '^no checkpoint is being taken'
    expect 0 '^task lines.0 > split'
    ask checkpoint
    expect 0 '^checkpoint 1: took '
    has_checkpoints "$store" 1 || fail "no checkpoint in the store"
    ask checkpoint --json
    [[ $(member ok) == true && $(member checkpoint) == 2 ]] || fail "checkpoint: $said"
    fits answer_checkpoint
    ask status --json
    fits answer_status
    ask stop --now
    expect 0 "process $pid was asked to stop \(now\)"
    ends_with 6
}

a_stop_from_outside_loses_nothing() {
    fresh
    start
    ask stop --json
    fits answer_stop
    ends_with 6
    (($(checkpoints "$store" | wc -l) == 1)) || fail "no last checkpoint"
    start
    ask status --json
    [[ $(member restored_from) == 1 && $(member epoch) == 2 ]] || fail "status: $said"
    ask stop --drain
    ends_with 0
    code_of "${run[@]}" >>"$log" 2>&1
    ((code == 0)) || fail "after a drain: exit $code"
}

signals_work_as_before() {
    fresh
    start
    kill -TERM "$pid"
    ends_with 6
    grep -q 'goes on from checkpoint 1' "$log" || fail "$(cat "$log")"
    [[ -z $(ls "$XDG_RUNTIME_DIR/weir") ]] || fail "a socket is left"
}

a_killed_program_leaves_a_socket_that_does_no_harm() {
    fresh
    start
    kill -KILL "$pid"
    ends_with 137
    [[ -n $(ls "$XDG_RUNTIME_DIR/weir") ]] || fail "no socket is left: what is tested here?"
    ask status
    expect 3 'no program runs on'
    start
    ask stop --now
    ends_with 6
    [[ -z $(ls "$XDG_RUNTIME_DIR/weir") ]] || fail "a socket is left"
}

two_programs_are_told_apart() {
    local first first_store
    fresh
    start
    first=$pid first_store=$store
    fresh
    start
    ask status --json
    [[ $(member pid) == "$pid" ]] || fail "status: $said"
    store=$first_store
    ask status --json
    [[ $(member pid) == "$first" ]] || fail "status: $said"
    ask stop --now
    code_of wait "$first"
    ((code == 6)) || fail "exit $code"
    kill -TERM "$pid"
    ends_with 6
}

a_second_run_does_not_take_the_name_away() {
    fresh
    start
    code_of "${run[@]}" >"$work/second.log" 2>&1
    ((code == 3)) || fail "exit $code of a second run"
    ask status --json
    [[ $(member pid) == "$pid" ]] || fail "status: $said"
    ask stop --now
    ends_with 6
}

who_wants_no_questions_gets_none() {
    fresh
    background "$log" "${run[@]}" --interval 20ms --set rate=100 --no-control
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints"
    ask status
    expect 3 'no-control'
    kill -TERM "$pid"
    ends_with 6
}

a_folder_that_others_may_use_costs_the_questions_and_not_the_job() {
    fresh
    chmod 755 "$XDG_RUNTIME_DIR/weir"
    background "$log" "${run[@]}" --interval 20ms --set rate=100
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints"$'\n'"$(cat "$log")"
    grep -q 'chmod 700' "$log" || fail "it says nothing"$'\n'"$(cat "$log")"
    ask status
    expect 3 'chmod 700'
    chmod 700 "$XDG_RUNTIME_DIR/weir"
    kill -TERM "$pid"
    ends_with 6
}

a_supervised_program_names_its_supervisor() {
    fresh
    start --supervise
    ask status --json
    [[ $(member parent) == "$pid" && $(member pid) != "$pid" ]] || fail "status: $said"
    ask stop
    ends_with 6
}

is_promised() {
    ask stop
    ((code == 0))
}

# It fails sooner than the program looks after what was asked, and begins again at once.
a_stop_that_was_promised_ends_a_job_that_keeps_failing() { # [OPTION...]
    fresh
    background "$log" "$faulty" run --store "$store" --set "input=$work/text" \
        --set "output=$out" --interval 5ms --restart-delay 1ms --max-restarts 1000000 \
        --set rate=2000 --set every=100 "$@"
    until_true 60 is_promised || fail "no promise: $said"$'\n'"$(cat "$log")"
    until_true 30 is_gone "$pid" || fail "promised: $said"$'\n'"$(tail -n 20 "$log")"
    code_of wait "$pid" 2>/dev/null
    # 5: the failure came first, and there was to be no other attempt
    ((code == 6 || code == 5)) || fail "exit $code"$'\n'"$(tail -n 20 "$log")"
}
and_one_that_keeps_crashing() {
    a_stop_that_was_promised_ends_a_job_that_keeps_failing --supervise --set fault=segfault
}

lines=100000
echo "seed $seed"
text "$work/text" "$lines"
for property in nobody_is_there it_tells_how_it_is a_stop_from_outside_loses_nothing \
    signals_work_as_before a_killed_program_leaves_a_socket_that_does_no_harm \
    two_programs_are_told_apart a_second_run_does_not_take_the_name_away \
    who_wants_no_questions_gets_none \
    a_folder_that_others_may_use_costs_the_questions_and_not_the_job \
    a_supervised_program_names_its_supervisor \
    a_stop_that_was_promised_ends_a_job_that_keeps_failing and_one_that_keeps_crashing; do
    "$property"
    echo "ok: $property"
done
