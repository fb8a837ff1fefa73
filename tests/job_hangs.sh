#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Something hangs: an operator that does not return, a sink that does not come back from prepare or
# commit, a disk that does not answer. It is told with its name, for how long, the record and the
# stack; and where the process may be ended for it, its supervisor starts it again, and the output
# is exact.
#
#     tests/job_hangs.sh BUILD_FOLDER

source "$(dirname "$0")/tools/job.bash"
faulty=$1/tests/programs/faulty
fault=$1/tests/fault.so
rate=20000
lines=10000

# A sanitizer's own handlers and interceptors are on the stack, too.
sanitized=no
(($(nm -D "$1/libweir.so" | grep -Ec '__[at]san_init') == 0)) || sanitized=yes

fresh() { # [HANG_AFTER [INPUT]]: another store, output and log
    store=$work/store.$((++stores)) out=$work/out.$stores log=$work/run.$stores.log
    letters=$work/letters.$stores
    at=(--store "$store" --set "input=${2:-$work/text}" --set "output=$out" --set "rate=$rate"
        --interval 20ms --restart-delay 10ms --hang-after "${1:-300ms}")
}
stores=0

says() { # an extended regular expression, in the log
    grep -Eq -- "$1" "$log" || fail "\"$1\" is not in what it says:"$'\n'"$(tail -n 30 "$log")"
}
logged() { # the same, as a condition
    grep -Eq -- "$1" "$log"
}
ends() { # CODE COMMAND...: what it says is in $log
    local want=$1
    shift
    code_of timeout -s KILL 60 "$@" >>"$log" 2>&1
    ((code == want)) || fail "exit $code, not $want: $*"$'\n'"$(tail -n 30 "$log")"
}

# hangs_until_ended COMMAND...: by three signals, which is what ends a job that hangs.
hangs_until_ended() { # PATTERN COMMAND...
    local pattern=$1
    shift
    background "$log" "$@"
    until_true 20 logged "$pattern" || fail "it does not tell: $pattern"$'\n'"$(tail "$log")"
    kill -TERM "$pid"
    until_true 20 logged 'SIGTERM' || fail "it does not hear"
    kill -TERM "$pid"
    sleep 0.2 # or the next signal would be the same one
    kill -TERM "$pid"
    code_of wait "$pid"
    ((code == 6)) || fail "exit $code of one that was stopped"$'\n'"$(tail "$log")"
}

an_operator_that_does_not_return_is_told_of() {
    fresh
    hangs_until_ended 'hangs: ' "$faulty" run "${at[@]}" --timeout 500ms --set fault=hang \
        --set every=3000
    says 'hangs: lines\.0: at work, in process of faulty for [0-9.]+ m?s.*, at record 3000: value '
    says 'thread [0-9]+$'
    [[ $sanitized == yes ]] || says '#0 .*(pause|syscall).* in '
    says '#[0-9]+ go_wrong[.a-z0-9]*\+0x[0-9a-f]+ in faulty'
    ends 0 "$faulty" run "${at[@]}"
    same_counts "an operator that hung, and was ended" "$work/counts" "$out"
}

an_operator_that_returns_late_is_told_of_too() {
    fresh 100ms
    ends 0 "$faulty" run "${at[@]}" --set fault=slow --set every=4000
    says 'hangs: lines\.0: .* in process of faulty'
    says 'no longer hangs: lines\.0: it goes on'
    same_counts "an operator that was slow" "$work/counts" "$out"
}

hangs_and_restarts() { # WHAT PATTERN [OPTION...]
    fresh
    ends 0 "$faulty" run "${at[@]}" --supervise --hang-action restart --set fault=hang "${@:3}"
    says "hangs: $2"
    says 'ending the process for it'
    says 'was ended with exit code 7, for something in it hung'
    says '#[0-9]+ go_wrong[.a-z0-9]*\+0x[0-9a-f]+ in faulty'
    says 'starting again in .*restart 1 of at most 3'
    same_counts "$1" "$work/counts" "$out"
}

a_run_that_hangs_starts_again_and_is_exact() {
    hangs_and_restarts "in process" '.*in process of faulty.*at record' \
        --set every=$((lines * 2 / 3))
    says 'in faulty, subtask 0, process, at record [0-9]+: value '
    hangs_and_restarts "in prepare" '.*in prepare of faulty' --set at=prepare --set every=6
    says 'in faulty, subtask 0, prepare$'
    hangs_and_restarts "in commit" '.*in commit of faulty' --set at=commit --set every=6
    says 'in faulty, subtask 0, commit$'
}

# It never gets past that record: the third time it is poison.
a_record_at_which_it_hangs_each_time_becomes_a_dead_letter() {
    fresh 300ms "$work/poisoned"
    awk '{ print } NR == 5000 { print "a b poison c" }' "$work/text" >"$work/poisoned"
    ends 0 "$faulty" run "${at[@]}" --supervise --hang-action restart \
        --dead-letters "$letters" --set fault=hang --set word=poison
    same_counts "poison that hangs" "$work/counts" "$out"
    [[ $(tail -n 1 "$letters"/*.letter) == "a b poison c" ]] || fail "$(ls "$letters")"
    grep -aEq '^cause: it hung' "$letters"/*.letter || fail "$(head -n 8 "$letters"/*.letter)"
}

# The call does not come back; the second process finds the disk well.
a_disk_that_does_not_answer() {
    local call
    [[ $sanitized == no ]] || return 0 # nothing can be put in front of a sanitizer
    for call in fsync pwrite renameat2; do
        fresh
        code_of env LD_PRELOAD="$fault" WEIR_FAULT=stall WEIR_FAULT_ONLY="$call" \
            WEIR_FAULT_AT=12 WEIR_FAULT_ONCE="$work/stalled.$stores" timeout -s KILL 60 \
            "$program" run --store "$store" --set "input=$work/text" --set "output=$out" \
            --set "rate=$rate" --set emit=updates --interval 20ms --restart-delay 10ms \
            --hang-after 300ms --supervise --hang-action restart >>"$log" 2>&1
        ((code == 0)) || fail "exit $code, $call"$'\n'"$(tail -n 30 "$log")"
        [[ -e $work/stalled.$stores ]] || fail "$call: it never stalled"
        says 'hangs: (the writer: [a-z ]+ checkpoint [0-9]+|.* of output) for'
        says "#[0-9]+ ($call|meet)\\+0x"
        says 'was ended with exit code 7'
        same_updates "a disk that stalled at $call" "$work/counts" "$out"
    done
}

what_hangs_is_an_event() {
    fresh
    ends 0 "$faulty" run "${at[@]}" --supervise --hang-action restart --set fault=hang --json \
        --set every=$((lines * 2 / 3))
    mv "$log" "$work/events"
    fresh 100ms
    ends 0 "$faulty" run "${at[@]}" --json --set fault=slow --set every=4000
    python3 "$(dirname "$0")/tools/events.py" "$(dirname "$0")/../runtime/EVENTS.md" "$log" \
        "$work/events" --want hung,returned,died,restarting,end
}

# D3
one_that_hangs_and_was_asked_to_stop_is_stopped() {
    fresh 2s
    background "$log" "$faulty" run "${at[@]}" --supervise --hang-action restart \
        --set fault=hang --set every=6000
    until_true 20 has_checkpoints "$store" 1 || fail "no checkpoint"
    sleep 0.1
    kill -TERM "$pid"
    code_of wait "$pid"
    ((code == 6)) || fail "exit $code"$'\n'"$(tail "$log")"
    ! logged 'starting again' || fail "it was started again"
}

nonsense_is_refused() {
    fresh
    expect 2 '--hang-after 5ms: say at least 100ms, or off' "$faulty" run "${at[@]:0:6}" \
        --hang-after 5ms
    expect 2 '--hang-action kill: say warn or restart' "$faulty" run "${at[@]:0:6}" \
        --hang-action kill
    expect 2 '--hang-action restart needs --supervise' "$faulty" run "${at[@]:0:6}" \
        --hang-action restart
    expect 2 '--hang-action restart and --hang-after off' "$faulty" run "${at[@]:0:6}" \
        --hang-action restart --supervise --hang-after off
    expect 2 '--hang-action needs --store' "$faulty" run --set "input=$work/text" \
        --set "output=$out" --hang-action warn
}

echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"
try_properties an_operator_that_does_not_return_is_told_of \
    an_operator_that_returns_late_is_told_of_too a_run_that_hangs_starts_again_and_is_exact \
    a_record_at_which_it_hangs_each_time_becomes_a_dead_letter a_disk_that_does_not_answer \
    what_hangs_is_an_event one_that_hangs_and_was_asked_to_stop_is_stopped nonsense_is_refused
