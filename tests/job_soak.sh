#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# soak.sh in small: a turn of each job, all of whose decisions are the same each time. And that it
# notices what is wrong: a record too few, or too many; a damaged store; what is left over, files
# and processes; a bug planted in weir.
#
#     tests/job_soak.sh BUILD_FOLDER [PROPERTY...]      WEIR_TEST_SEED=S for other turns

export WEIR_SEED=${WEIR_SEED:-${WEIR_TEST_SEED:-31}}
source "$(dirname "$0")/tools/job.bash"
soak=$(dirname "$0")/soak/run
build=$1
jobs=9
share=${WEIR_TEST_SHARE:-1} # of builds that repeat this: a third of the jobs, drawn by the seed
export TMPDIR=$work

# run_soak OPTION...: its exit code in $code, what it says in $work/soak.log.
run_soak() {
    code_of python3 "$soak" "$build" --seed "$seed" "$@" >"$work/soak.log" 2>&1
}
total() { # NAME: in the line of totals
    sed -nE "s/^(records=.* )?$1=([0-9]+).*/\2/p; s/^records=.* $1=([0-9]+).*/\1/p" \
        "$work/soak.log" | head -n 1
}

a_turn_of_each_job_is_exact() {
    local name
    run_soak --turns $((share > 1 ? jobs / 3 : jobs))
    ((code == 0)) || fail "exit $code"$'\n'"$(cat "$work/soak.log")"
    for name in records checkpoints kills faults; do
        (($(total $name) > 0)) || fail "$name=0: a poor test"$'\n'"$(cat "$work/soak.log")"
    done
    [[ $(total lost) == 0 && $(total doubled) == 0 ]] || fail "$(tail -n 1 "$work/soak.log")"
    tail -n 6 "$work/soak.log"
    [[ -z $(find "$work" -name 'weir-soak.*') ]] || fail "its folder is left"
    exercised a_turn_of_each_job_is_exact $(($(total kills) + $(total faults)))
    echo "figure: soak $(tail -n 1 "$work/soak.log")"
}

# finds PLANT PATTERN LOST DOUBLED: in the first turn, told with its seed and its number.
finds() {
    local kept
    run_soak --turn 0 --lives 0 --plant "$1"
    ((code == 1)) || fail "$1: exit $code"$'\n'"$(cat "$work/soak.log")"
    grep -Eq "^FAILED: seed $seed, turn 0, [a-z]+: .*$2" "$work/soak.log" ||
        fail "$1: not for what it is"$'\n'"$(cat "$work/soak.log")"
    [[ "$(total lost) $(total doubled)" == "$3 $4" ]] ||
        fail "$1: miscounted: $(tail -n 1 "$work/soak.log")"
    grep -Fq "again: tests/soak.sh --seed $seed --turn 0" "$work/soak.log" ||
        fail "$1: it does not say how to repeat it"
    kept=$(sed -n 's/^ *kept: //p' "$work/soak.log")
    [[ -s $kept/plan && -s $kept/life.1.json && -e $kept/store.1/LOCK ]] ||
        fail "$1: not all is kept in $kept: $(ls "$kept")"
    echo "ok: $(grep -m 1 ^FAILED "$work/soak.log" | cut -c 1-120)"
}

what_is_wrong_is_found() {
    finds lost '1 records are lost, 0 doubled' 1 0
    finds doubled '0 records are lost, 1 doubled' 0 1
    finds damaged 'sound: .*' 0 0
    grep -q 'checksum does not match' "$work/soak.log" || fail "the damage is not named"
    finds left 'left over: .*999999.seg' 0 0
    finds outlived '[0-9]+ of its processes outlived it' 0 0
    exercised what_is_wrong_is_found 5
}

# Some turns of the same word count, with a gate that forgets what comes before a marker.
a_planted_bug_is_found() {
    run_soak --turns 12 --plant arrivals_not_logged
    ((code == 1)) || fail "exit $code: it was not noticed"$'\n'"$(cat "$work/soak.log")"
    grep -Eq '^FAILED: .*[1-9][0-9]* records are lost' "$work/soak.log" ||
        fail "not for what it does"$'\n'"$(cat "$work/soak.log")"
    (($(total lost) > 0)) || fail "nothing is counted"
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
try_properties "${@:-${properties[@]}}"
