#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What signals do to a running program, alone and under its supervisor: stop with a last checkpoint,
# stop at once, take a checkpoint, say who waits for what.
#
#     tests/job_signals.sh BUILD_FOLDER [PROPERTY...]

source "$(dirname "$0")/tools/job.bash"
here=$(dirname "$0")
faulty=$1/tests/programs/faulty
lines=12000

fresh() { # another store, output and log; `run` goes on for some seconds
    store=$work/store.$((++stores))
    out=$work/out.$stores
    log=$work/run.$stores.log
    at=(--store "$store" --set "input=$work/text" --set "output=$out")
    next=$program
    run=("$program" run "${at[@]}" --interval 20ms --set "rate=$((lines / 4))")
}
stores=0
modes=("" --supervise)

says() { # an extended regular expression, in the log
    grep -Eq -- "$1" "$log" || fail "\"$1\" is not in what it says:"$'\n'"$(tail -n 20 "$log")"
}
says_not() {
    ! grep -Eq -- "$1" "$log" || fail "it says what it should not: $(grep -E -- "$1" "$log")"
}
said() {
    grep -Eqs -- "$1" "$log"
}
child_of() { # PID: sets $child
    child=
    read -r child _ <"/proc/$1/task/$1/children" 2>/dev/null || true
    [[ -n $child ]]
}
begin() { # COMMAND...: in the background, until there are checkpoints
    background "$log" "$@"
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints: $*"
}
# ends CODE WHAT: the program that begin started.
ends() {
    code_of wait "$pid"
    ((code == $1)) || fail "$2: exit $code, not $1"$'\n'"$(tail -n 20 "$log")"
}
goes_on() { # the same command, without a fault, goes on to the exact end
    code_of "$next" run "${at[@]}" >>"$log" 2>&1
    ((code == 0)) || fail "$1: exit $code of the next start"$'\n'"$(tail -n 20 "$log")"
    same_counts "$1" "$work/counts" "$out"
}
suspended_once() {
    (($(grep -c 'stopping .*after one last checkpoint' "$log") == 1)) || fail "$1: not one stop"
    says_not 'stopping .*\) at once'
    says 'goes on from checkpoint [0-9]+'
}

one_ctrl_c_is_one() {
    local mode
    for mode in "${modes[@]}"; do
        fresh
        code_of python3 "$here/tools/terminal.py" "$store" "$log" "${run[@]}" $mode
        ((code == 6)) || fail "exit $code after Ctrl-C $mode"$'\n'"$(tail -n 20 "$log")"
        suspended_once "Ctrl-C $mode"
        goes_on "after Ctrl-C $mode"
    done
}

# To the supervisor, to its child, or to the whole group, as those who end services do.
it_does_not_matter_whom_a_stop_is_sent_to() {
    local whom child=
    for whom in supervisor child both; do
        fresh
        begin "${run[@]}" --supervise
        child_of "$pid" || fail "no child"
        case $whom in
        supervisor) kill -TERM "$pid" ;;
        child) kill -TERM "$child" ;;
        both) kill -TERM "$pid" "$child" ;;
        esac
        ends 6 "SIGTERM to $whom"
        suspended_once "SIGTERM to $whom"
        goes_on "SIGTERM to $whom"
    done
}

# The first asks for a checkpoint that can't be had: the operator hangs. The second asks to stop at
# once, which it can't either. The third does not ask.
third_signal_ends_what_hangs() {
    local mode
    for mode in "${modes[@]}"; do
        fresh
        background "$log" "$faulty" run "${at[@]}" --set fault=hang --set every=1 $mode
        until_true 10 said 'first start' || fail "it does not start"
        kill -USR2 "$pid"
        until_true 10 said 'task lines.0 > faulty.*process' || fail "no dump of what hangs $mode"
        kill -TERM "$pid"
        until_true 10 said 'stopping .*after one last' || fail "the first is not heeded $mode"
        kill -TERM "$pid"
        until_true 10 said 'stopping .*\) at once' || fail "the second is not heeded $mode"
        kill -TERM "$pid"
        ends 6 "the third signal $mode"
        next=$faulty
        goes_on "after three signals $mode"
    done
}

stopped_again_is_gone() {
    kill -TERM "$pid" 2>/dev/null || true # two that come at once may be one
    is_gone "$pid"
}
third_signal_ends_what_hangs_when_it_is_opened() {
    local mode
    for mode in "${modes[@]}"; do
        fresh
        background "$log" "$faulty" run "${at[@]}" --set fault=hang --set open=yes $mode
        until_true 10 test -e "$store/LOCK" || fail "it does not start $mode"
        until_true 10 stopped_again_is_gone || fail "signals do not end it $mode"
        ends 6 "signals before it had started $mode"
    done
}

# Every line takes 200 ms: behind what lies in queues a marker takes minutes, ahead of it one line's
# time.
stop_that_takes_too_long_is_cut_short() {
    local slow
    fresh
    slow=("$faulty" run "${at[@]}" --interval 10s --set fault=slow --set every=1 --set spans=yes)
    background "$log" "${slow[@]}" --mode aligned --stop-deadline 300ms
    until_true 10 said 'first start' || fail "it does not start"
    kill -TERM "$pid"
    ends 6 "a stop with a deadline"
    says 'stopping \(--stop-deadline\) at once'
}
stop_that_overtakes_what_is_queued_takes_no_time() {
    local mode
    for mode in unaligned adaptive; do
        fresh
        at+=(--set spans=yes)
        background "$log" "$faulty" run "${at[@]}" --interval 10s --set fault=slow --set every=1 \
            --mode "$mode"
        until_true 10 said 'first start' || fail "it does not start"
        kill -TERM "$pid"
        ends 6 "a stop that overtakes, $mode"
        says 'checkpoint 1: took .* tasks overtook'
        says 'goes on from checkpoint 1'
        next=$faulty
        goes_on "overtaken and stopped, $mode"
    done
}

usr1_takes_a_checkpoint() {
    local mode
    for mode in "${modes[@]}" "--mode aligned" "--mode unaligned"; do
        fresh
        background "$log" "$program" run "${at[@]}" --interval off --set "rate=$((lines / 4))" $mode
        until_true 10 said 'first start' || fail "it does not start $mode"
        kill -USR1 "$pid"
        until_true 10 has_checkpoints "$store" 1 || fail "no checkpoint after SIGUSR1 $mode"
        kill -USR1 "$pid"
        until_true 10 has_checkpoints "$store" 2 || fail "one checkpoint after two SIGUSR1 $mode"
        kill -TERM "$pid"
        ends 6 "SIGTERM after SIGUSR1 $mode"
    done
}

usr2_says_who_waits_for_what() {
    local mode
    for mode in "${modes[@]}"; do
        fresh
        begin "${run[@]}" --quiet $mode
        kill -USR2 "$pid"
        until_true 10 said 'task count' || fail "no dump after SIGUSR2 $mode"
        says 'task lines'
        says 'task count.0'
        kill -TERM "$pid"
        ends 6 "SIGTERM after SIGUSR2 $mode"
        fresh
        begin "${run[@]}" --json $mode
        kill -USR2 "$pid"
        until_true 10 said '"event": "dump".*task count' || fail "no dump event $mode"
        kill -TERM "$pid"
        ends 6 "SIGTERM after SIGUSR2 $mode"
        python3 "$here/tools/events.py" "$here/../runtime/EVENTS.md" "$log" \
            --want dump,stopping,end
    done
}

stop_does_not_wait_for_a_restart() {
    fresh
    background "$log" "$faulty" run "${at[@]}" --set every=10 --restart-delay 10min
    until_true 10 said 'starting again in' || fail "it does not fail"
    kill -TERM "$pid"
    ends 6 "SIGTERM before a restart"
    next=$faulty
    goes_on "stopped before a restart"
    fresh
    background "$log" "$faulty" run "${at[@]}" --set every=10 --set fault=abort --supervise \
        --restart-delay 10min
    until_true 10 said 'starting again in' || fail "it does not die"
    kill -TERM "$pid"
    ends 6 "SIGTERM before the restart of a process"
    next=$faulty
    goes_on "stopped before the restart of a process"
}

what_was_ignored_stays_ignored() {
    local mode
    for mode in "${modes[@]}"; do
        fresh
        begin bash -c 'trap "" INT; exec "$@"' - "${run[@]}" $mode
        kill -INT "$pid"
        kill -USR1 "$pid" # comes later than the other, and is heeded
        kill -TERM "$pid"
        ends 6 "SIGTERM after an ignored SIGINT $mode"
        says 'stopping \(SIGTERM\) after one last'
        says_not 'SIGINT|stopping .*\) at once'
    done
}

# What is asked from outside, at a job that was started again and has a supervisor.
outside_asks_a_supervised_job() {
    local child=
    fresh
    begin "${run[@]}" --supervise --restart-delay 10ms
    child_of "$pid" || fail "no child"
    kill -KILL "$child"
    until_true 10 said 'runs again' || fail "it was not started again"
    until_true 10 "$program" status --store "$store" >"$work/status.log" 2>&1 ||
        fail "no status: $(cat "$work/status.log")"
    code_of "$program" checkpoint --store "$store" >"$work/status.log" 2>&1
    ((code == 0)) || fail "no checkpoint: $(cat "$work/status.log")"
    code_of "$program" stop --store "$store" >"$work/status.log" 2>&1
    ((code == 0)) || fail "stop: exit $code: $(cat "$work/status.log")"
    ends 6 "stop from outside"
    suspended_once "stop from outside"
    goes_on "stopped from outside"
}

echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"
all=(one_ctrl_c_is_one it_does_not_matter_whom_a_stop_is_sent_to third_signal_ends_what_hangs
    third_signal_ends_what_hangs_when_it_is_opened
    stop_that_takes_too_long_is_cut_short stop_that_overtakes_what_is_queued_takes_no_time
    usr1_takes_a_checkpoint usr2_says_who_waits_for_what
    stop_does_not_wait_for_a_restart what_was_ignored_stays_ignored outside_asks_a_supervised_job)
shift
try_properties "${@:-${all[@]}}"
