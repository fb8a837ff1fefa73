#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Jobs that fail, crash and are killed, and start again: what they publish in the end is exact, and
# what happened is told with its cause.
#
#     tests/job_supervise.sh BUILD_FOLDER      WEIR_KILLS=200 WEIR_SECONDS=60 for the long version

source "$(dirname "$0")/tools/job.bash"
faulty=$1/tests/programs/faulty
kills=${WEIR_KILLS:-20}
seconds=${WEIR_SECONDS:-5} # a run that is killed would last that long
rate=4000
lines=$((seconds * rate))

# A sanitizer has handlers of its own: it says where it crashed, and then the process exits.
sanitized=no
(($(nm -D "$1/libweir.so" | grep -c __asan_init) == 0)) || sanitized=yes

fresh() { # another store, output and log
    store=$work/store.$((++stores))
    out=$work/out.$stores
    log=$work/run.$stores.log
    letters=$work/letters.$stores
    at=(--store "$store" --set "input=$work/text" --set "output=$out")
}
stores=0
paced=(--set "rate=$rate")
brisk=(--set "rate=$((4 * rate))")
quick=(--interval 20ms --restart-delay 10ms)

# expect CODE COMMAND...: what it says is in $log.
expect() {
    local want=$1
    shift
    code_of timeout -s KILL 120 "$@" >>"$log" 2>&1
    ((code == want)) || fail "exit $code, not $want: $*"$'\n'"$(tail -n 20 "$log")"
}
says() { # an extended regular expression, in the log
    grep -Eq -- "$1" "$log" || fail "\"$1\" is not in what it says:"$'\n'"$(tail -n 20 "$log")"
}
says_not() {
    ! grep -Eq -- "$1" "$log" || fail "it says what it should not: $(grep -E -- "$1" "$log")"
}
count_of() {
    grep -Ec -- "$1" "$log" || true
}

child_of() { # PID: its child, or nothing
    local children=
    read -r children <"/proc/$1/task/$1/children" 2>/dev/null || true
    echo "${children%% *}"
}
has_child() { # PID [BUT_NOT]: sets $child
    child=$(child_of "$1")
    [[ -n $child && $child != "${2:-}" ]]
}
# supervised COMMAND...: starts it in the background; $pid is the supervisor.
supervised() {
    background "$log" "$@" --supervise
    until_true 20 has_child "$pid" || fail "no child: $*"
}

# ---- killed --------------------------------------------------------------------------------------

killed_children() { # MOST_MS [OPTION...]
    local most=$1 child= before= i
    fresh
    supervised "$program" run "${at[@]}" "${quick[@]}" --max-restarts 1000 "${@:2}"
    for ((i = 0; i < kills; i++)); do
        # Who is killed again and again before it has a checkpoint waits for up to 30 s.
        until_true 60 has_child "$pid" "$before" || fail "no child after $i kills"
        before=$child
        sleep "$(printf '0.%03d' $((RANDOM % most)))"
        kill -KILL "$child" || fail "it had ended after $i kills"
    done
    code_of wait "$pid"
    ((code == 0)) || fail "exit $code after $kills kills: ${*:2}"
    (($(count_of 'was killed by SIGKILL') == kills)) || fail "not all $kills kills were told"
    says 'had taken in [0-9]+ records, the newest checkpoint was [0-9]+'
}
killed_at_random_moments_is_exact() {
    killed_children $((seconds * 1000 / kills)) "${paced[@]}"
    same_counts "killed $kills times" "$work/counts" "$out"
    killed_children $((seconds * 1000 / kills)) --set "rate=$((2 * rate))" --set emit=updates \
        --parallelism 2 --endpoint tcp://127.0.0.1
    same_updates "killed $kills times, parallel" "$work/counts" "$out"
    exercised killed_at_random_moments_is_exact $((2 * kills))
}

child_dies_with_its_supervisor() {
    local child=
    fresh
    # By itself it would run for minutes.
    supervised "$program" run "${at[@]}" "${quick[@]}" --set "rate=$((lines / 300))"
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints"
    kill -KILL "$pid"
    code_of wait "$pid" 2>/dev/null
    until_true 10 is_gone "$child" || fail "the child has outlived its supervisor"
    expect 0 "$program" run "${at[@]}"
    same_counts "after the supervisor's death" "$work/counts" "$out"
}

# ---- failing now and then ------------------------------------------------------------------------

errors_now_and_then_are_exact() {
    fresh
    expect 0 "$faulty" run "${at[@]}" "${quick[@]}" "${brisk[@]}" --set every=$((lines / 6))
    says 'it was told to fail'
    (($(count_of 'failed: .*told to fail') >= 3)) || fail "it failed $(count_of failed:) times"
    says 'restart 1 of at most 3'
    says 'restored from checkpoint [0-9]+'
    same_counts "errors" "$work/counts" "$out"
    exercised errors_now_and_then_are_exact "$(count_of 'failed: .*told to fail')"
}

errors_of_parallel_tasks_are_exact() {
    fresh
    expect 0 "$faulty" run "${at[@]}" "${quick[@]}" --set "rate=$((4 * rate))" --parallelism 2 \
        --set every=$((lines / 8)) --set spans=yes --max-restarts 10 --supervise
    (($(count_of 'failed: .*told to fail') >= 3)) || fail "it failed $(count_of failed:) times"
    same_counts "errors of parallel tasks" "$work/counts" "$out"
    exercised errors_of_parallel_tasks_are_exact "$(count_of 'failed: .*told to fail')"
}

# dies_in FUNCTION SIGNAL FRAME: the trace names the function.
dies_in() {
    [[ $sanitized == no ]] || return 0
    says "was killed by $2 .*in faulty, subtask 0, process, at record [0-9]+: value "
    says "#$3 $1[.a-z0-9]*\\+0x[0-9a-f]+ in faulty"
}
crashes_now_and_then_are_exact() {
    local fault
    for fault in segfault overflow abort exit; do
        fresh
        expect 0 "$faulty" run "${at[@]}" "${quick[@]}" "${brisk[@]}" --set every=$((lines / 6)) \
            --set "fault=$fault" --supervise
        same_counts "$fault" "$work/counts" "$out"
        case $fault in
        segfault) dies_in touch_nothing SIGSEGV 0 ;;
        overflow) [[ $sanitized == yes ]] || says 'was killed by SIGSEGV' ;;
        abort) dies_in go_wrong SIGABRT '[0-9]+' ;;
        exit) says 'ended with exit code 3' ;;
        esac
    done
}

# ---- poison --------------------------------------------------------------------------------------

# Text with as many poisoned lines, well apart, and the counts of the text without them.
poisoned_text() { # HOW_MANY
    awk -v every=$((lines / ($1 + 1))) -v most="$1" '
        { print }
        NR % every == 0 && ++n <= most { print "a b poison number " n; print "c d" }
        ' "$work/text" >"$work/poisoned"
    sed '/poison/d' "$work/poisoned" >"$work/healthy"
    counts "$work/healthy" >"$work/healthy.counts"
    at=(--store "$store" --set "input=$work/poisoned" --set "output=$out")
}
# each_once HOW_MANY: a dead letter for each, and nothing else.
each_once() {
    local expected published
    expected=$(grep -a poison "$work/poisoned")
    published=$(find "$letters" -type f -exec tail -n 1 {} \; -exec echo \; | sed '/^$/d' | sort)
    [[ $published == "$expected" ]] || fail "the letters are: $published"
    (($(find "$letters" -type f | wc -l) == $1)) || fail "$(ls -A "$letters")"
}
events_of() { # EVENT JQ-LIKE-MEMBER...: the members' values, a line for each such event
    python3 - "$log" "$@" <<'END'
import json, sys
for line in open(sys.argv[1]):
    event = json.loads(line)
    if event["event"] == sys.argv[2]:
        print(*(event.get(name) for name in sys.argv[3:]), sep="|")
END
}

poison_becomes_a_dead_letter() {
    local fault spans more
    for fault in error segfault; do
        [[ $fault == error || $sanitized == no ]] || continue
        for spans in no yes; do
            fresh
            poisoned_text 2
            more=()
            [[ $fault == error ]] || more=(--supervise)
            expect 0 "$faulty" run "${at[@]}" "${quick[@]}" "${more[@]}" --set "fault=$fault" \
                --set word=poison --set "spans=$spans" --dead-letters "$letters" --json
            same_counts "poison, $fault, spans $spans" "$work/healthy.counts" "$out"
            each_once 2
            (($(events_of end dead_letters) >= 1)) || fail "$(grep -a '"end"' "$log")"
            python3 "$(dirname "$0")/tools/events.py" "$(dirname "$0")/../runtime/EVENTS.md" \
                "$log" --want poisoned,restarting,end
            [[ $(events_of poisoned node subtask skipped failures | sort -u) == \
                "faulty|0|True|3" ]] ||
                fail "poisoned: $(events_of poisoned node subtask skipped failures)"
            (($(events_of poisoned preview | grep -c 'poison number') == 2)) ||
                fail "$(events_of poisoned preview)"
            if [[ $fault == segfault ]]; then
                events_of died trace signal_name node preview | tr '\n' ' ' |
                    grep -q 'touch_nothing.*|SEGV|faulty|.*poison number' ||
                    fail "$(events_of died trace signal_name node preview)"
            fi
        done
    done
}

# All letters, and all lines, once, although the process is killed before and after each of them.
poison_is_left_out_once_under_kills() {
    local child= before= i code
    fresh
    poisoned_text 2
    supervised "$faulty" run "${at[@]}" "${quick[@]}" "${brisk[@]}" --max-restarts 1000 \
        --set word=poison --dead-letters "$letters"
    for ((i = 0; i < 10; i++)); do
        until_true 20 has_child "$pid" "$before" || break
        before=$child
        sleep "$(printf '0.%03d' $((RANDOM % 400)))"
        kill -KILL "$child" 2>/dev/null || break
    done
    code_of wait "$pid"
    ((code == 0)) || fail "exit $code"
    same_counts "poison under kills" "$work/healthy.counts" "$out"
    each_once 2
}

# Both letters are in the last start's only checkpoint: its numbers are exact.
letters_are_told_at_the_end() {
    fresh
    poisoned_text 2
    expect 0 "$faulty" run "${at[@]}" --interval 1h --restart-delay 10ms --max-restarts 100 \
        --set word=poison --dead-letters "$letters"
    each_once 2
    says "this run: 2 dead letters, records that were left out, in $letters\$"
}

poison_is_named_when_it_may_not_be_left_out() {
    fresh
    poisoned_text 1
    expect 5 "$faulty" run "${at[@]}" "${quick[@]}" --set word=poison
    says 'in faulty, subtask 0, process, at record [0-9]+: value a b poison number 1'
    says 'has failed 3 times .*poison number 1.*--dead-letters DIR'
    says 'giving up after 3 restarts'
    says_not 'dead letter$'
}

# ---- giving up -----------------------------------------------------------------------------------

gives_up_after_failures_in_a_row() {
    fresh
    expect 5 "$faulty" run "${at[@]}" "${quick[@]}" --set every=1
    (($(count_of 'failed: ') == 4)) || fail "it failed $(count_of 'failed: ') times, not 1 + 3"
    says 'giving up after 3 restarts'
    fresh
    expect 5 "$faulty" run "${at[@]}" "${quick[@]}" --set every=1 --max-restarts 1
    (($(count_of 'failed: ') == 2)) || fail "it failed $(count_of 'failed: ') times, not 1 + 1"
}

gives_up_when_the_process_dies_at_once() {
    local when
    for when in open=yes every=1; do
        fresh
        expect 5 "$faulty" run "${at[@]}" "${quick[@]}" --set "$when" --set fault=abort \
            --supervise --max-restarts 2
        (($(count_of 'was killed by SIGABRT') == 3)) ||
            fail "$when: $(count_of 'was killed by') deaths, not 3"
        says 'giving up after 2 restarts'
    done
}

refused_start_is_not_repeated() {
    fresh
    expect 5 "$faulty" run "${at[@]}" --set open=yes
    says_not ': starting again'
    expect 5 "$faulty" run "${at[@]}" --set open=yes --supervise
    says_not ': starting again|was killed|ended with'
    expect 2 "$faulty" run "${at[@]}" --interval 100 --supervise
    mkdir "$work/foreign.$stores"
    echo something >"$work/foreign.$stores/file"
    expect 3 "$faulty" run --store "$work/foreign.$stores" "${at[@]:2}" --supervise
    says_not ': starting again|was killed|ended with'
}

without_a_store_nothing_is_repeated() {
    fresh
    expect 5 "$faulty" run "${at[@]:2}" --set every=100
    says_not ': starting again'
}

# --restore says where the job begins; as long as it has committed nothing it begins there.
restore_is_for_the_beginning() {
    fresh
    expect 0 "$program" run "${at[@]}" --interval 10ms
    out=$out.anew
    expect 5 "$faulty" run --store "$store" --set "input=$work/text" --set "output=$out" \
        --restore none --interval off --restart-delay 10ms --set every=100
    says_not 'restored from'
    expect 0 "$faulty" run --store "$store" --set "input=$work/text" --set "output=$out" \
        --restore none "${quick[@]}" "${brisk[@]}" --set every=$((lines / 4))
    says 'restored from'
    same_counts "begun anew, and failed on the way" "$work/counts" "$out"
}

source_of_tests=(
    killed_at_random_moments_is_exact child_dies_with_its_supervisor errors_now_and_then_are_exact
    errors_of_parallel_tasks_are_exact crashes_now_and_then_are_exact
    poison_becomes_a_dead_letter poison_is_left_out_once_under_kills letters_are_told_at_the_end
    poison_is_named_when_it_may_not_be_left_out
    gives_up_after_failures_in_a_row gives_up_when_the_process_dies_at_once
    refused_start_is_not_repeated without_a_store_nothing_is_repeated
    restore_is_for_the_beginning)

echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"
for property in "${@:2}" $( (($# > 1)) || echo "${source_of_tests[@]}"); do
    began=$(date +%s%3N)
    "$property"
    echo "ok: $property ($(($(date +%s%3N) - began)) ms)"
done
