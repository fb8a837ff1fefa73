#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# soak.sh in small: a turn of each job, all of whose decisions are the same each time. And that it
# notices what is wrong: a record too few, or too many; a damaged store; files and processes that
# are left; in full, a bug planted in weir.
#
#     tests/job_soak.sh BUILD_FOLDER [PROPERTY...]      WEIR_TEST_SEED=S: other turns;
#                                                       WEIR_MINUTES=10 for the long version

export WEIR_SEED=${WEIR_SEED:-${WEIR_TEST_SEED:-31}}
source "$(dirname "$0")/tools/job.bash"
soak=$(dirname "$0")/soak/run
build=$1
minutes=${WEIR_MINUTES:-}
export TMPDIR=$work

# run_soak NAME OPTION...: its exit code in $work/NAME.code, what it says in $work/NAME.log.
run_soak() {
    local code
    mkdir "$work/$1"
    code_of env TMPDIR="$work/$1" python3 "$soak" "$build" --seed "$seed" "${@:2}" \
        >"$work/$1.log" 2>&1
    echo "$code" >"$work/$1.code"
}
# ended NAME CODE
ended() {
    [[ $(cat "$work/$1.code") == "$2" ]] ||
        fail "$1: exit $(cat "$work/$1.code"), not $2"$'\n'"$(cat "$work/$1.log")"
}
# total NAME WHAT: a number in the line of totals.
total() {
    sed -nE "/^records=/s/(^|.* )$2=([0-9]+).*/\2/p" "$work/$1.log"
}

a_turn_of_each_job_is_exact() {
    local what turns=(--turns 9 --lives 3)
    [[ -z $minutes ]] || turns=(--minutes "$minutes")
    run_soak exact "${turns[@]}"
    ended exact 0
    for what in records checkpoints kills faults; do
        (($(total exact $what) > 0)) || fail "$what=0: a poor test"$'\n'"$(cat "$work/exact.log")"
    done
    [[ $(total exact lost) == 0 && $(total exact doubled) == 0 ]] ||
        fail "it counts what is wrong, and ends with 0"
    [[ -z $(ls "$work/exact") ]] || fail "it has left $(ls "$work/exact")"
    tail -n 7 "$work/exact.log"
    exercised a_turn_of_each_job_is_exact $(($(total exact kills) + $(total exact faults)))
    echo "figure: soak $(tail -n 1 "$work/exact.log")"
}

# finds PLANT PATTERN LOST DOUBLED: told with its seed and its number, and kept.
finds() {
    local kept log=$work/$1.log
    ended "$1" 1
    grep -Eq "^FAILED: seed $seed, turn 0, [a-z]+: $2" "$log" ||
        fail "$1: not for what it is"$'\n'"$(cat "$log")"
    [[ "$(total "$1" lost) $(total "$1" doubled)" == "$3 $4" ]] ||
        fail "$1: miscounted: $(tail -n 1 "$log")"
    grep -Fxq "  again: tests/soak.sh --seed $seed --turn 0" "$log" ||
        fail "$1: it does not say how to repeat it"
    kept=$(sed -n 's/^ *kept: //p' "$log")
    [[ -s $kept/plan && -s $kept/life.1.json && -e $kept/store.1/LOCK ]] ||
        fail "$1: not all is kept in $kept: $(ls "$kept")"
    echo "ok: $1: $(grep -m 1 ^FAILED "$log" | cut -c 1-90)"
}

what_is_wrong_is_found() {
    local plant pid pids=()
    for plant in lost doubled damaged left outlived; do
        run_soak $plant --turn 0 --lives 0 --plant $plant &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid"
    done
    finds lost '1 records are lost, 0 doubled' 1 0
    finds doubled '0 records are lost, 1 doubled' 0 1
    finds damaged 'sound: ' 0 0
    grep -q 'checksum does not match' "$work/damaged.log" || fail "the damage is not named"
    finds left 'left over: .*999999.seg' 0 0
    finds outlived '[0-9]+ of its processes outlived it' 0 0
    cmp <(grep '^life ' "$work/lost.log") <(grep '^life ' "$work/doubled.log") ||
        fail "the same seed and turn, and other decisions"
    grep -q '^life 2: none, parallelism' "$work/lost.log" || fail "no decisions are told"
    exercised what_is_wrong_is_found 5
}

# Word count with a gate that forgets what came before a marker: a dozen turns find that, or more,
# for it takes a record at the right moment.
a_planted_bug_is_found() {
    run_soak planted --turns 60 --plant arrivals_not_logged
    ended planted 1
    (($(total planted lost) > 0)) || fail "not for what it does"$'\n'"$(cat "$work/planted.log")"
    exercised a_planted_bug_is_found 1
}

a_wrong_command_line_is_refused() {
    local wrong
    for wrong in --hours "--minutes" "--minutes 0" "--minutes x" "--seed -1" "--turn 1.5"; do
        # shellcheck disable=SC2086
        expect 2 'usage: tests/soak.sh' bash "$(dirname "$0")/soak.sh" $wrong
    done
}

echo "seed $seed"
shift
properties=(a_wrong_command_line_is_refused what_is_wrong_is_found a_turn_of_each_job_is_exact)
[[ -z $minutes ]] || properties+=(a_planted_bug_is_found)
try_properties "${@:-${properties[@]}}"
