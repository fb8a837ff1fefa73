#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# bench/run in small: that every scenario comes to an end and its results are as documented, that
# the report is whole, that two results are compared rightly; and that what is wrong is noticed: a
# program that fails, output that is lost or miscounted, a damaged file, a bad command line. No
# figure is looked at: a test machine is no place to measure.
#
#     tests/job_bench.sh BUILD_FOLDER [PROPERTY...]

source "$(dirname "$0")/tools/job.bash"
build=$1
bench=$(cd "$(dirname "$0")/../bench" && pwd)
export TMPDIR=$work WEIR_SEED=$seed

report() { # WHAT
    python3 "$(dirname "$0")/tools/bench_report.py" "$bench" "$1" "$work/out" trial ||
        fail "$1"
}

every_scenario_ends_and_says_what_is_documented() {
    local code last
    code_of python3 "$bench/run" "$build" --trial --out "$work/out" >"$work/run.log" 2>&1
    ((code == 0)) || fail "exit $code"$'\n'"$(cat "$work/run.log")"
    report sound
    last=$(tail -n 1 "$work/run.log")
    [[ $last =~ ^[a-z0-9_]+=[^\ ]+(\ [a-z0-9_]+=[^\ ]+)*$ && $last == *\ failed=0 ]] ||
        fail "the last line is no key=value: $last"
    grep -Eq '^ *[0-9]+ %  overhead, [0-9]+:[0-9][0-9] left$' "$work/run.log" ||
        fail "no progress is told"
    [[ -z $(find "$work" -maxdepth 1 -name 'weir-bench-*') ]] || fail "a folder is left"
}

damaged_results_are_refused() {
    report catches
    sed 's/"bench":1,/"bench":2,/' "$work/out/trial.json" >"$work/other.json"
    expect 2 'other.json: it is no result' python3 "$bench/run" "$build" --trial \
        --compare "$work/other.json"
    head -c 1000 "$work/out/trial.json" >"$work/cut.json"
    expect 2 'cut.json: ' python3 "$bench/run" "$build" --trial --compare "$work/cut.json"
    expect 2 'none.json: .*No such file' python3 "$bench/run" "$build" --trial \
        --compare "$work/none.json"
}

results_are_compared() {
    report compares
    expect 0 '^beside 20' python3 "$bench/run" "$build" --trial --scenario limits \
        --compare "$work/out/trial.json" --out "$work/again"
    grep -q 'have too few rounds to say' "$work/said.log" || fail "rounds are not counted"
    grep -q '^left out: recovery: not asked for' "$work/said.log" || fail "what is left out is not"
}

# A build folder with all that is there, but for NAME, which is what standard input says.
in_place_of() { # NAME
    rm -rf "$work/fake"
    mkdir -p "$work/fake/bench"
    cp "$build"/bench/{limits,delay,recovery,paced} "$work/fake/bench"
    cat >"$work/fake/bench/$1"
    chmod +x "$work/fake/bench/$1"
}

a_program_that_fails_is_told_and_the_others_are_measured() {
    in_place_of backpressure <<<$'#!/bin/sh\necho "backpressure: planted" >&2\nexit 3'
    expect 1 'FAILED: backpressure: planted' python3 "$bench/run" "$work/fake" --trial \
        --scenario backpressure --out "$work/failed"
    grep -Eq 'memcpy +rate' "$work/said.log" || fail "limits were not measured"
    tail -n 1 "$work/said.log" | grep -q ' failed=1$' || fail "failures are not counted"
}

# A job that publishes what it is told to: the lines of $1, each a part of its own.
publishes() {
    in_place_of paced <<FAKE
#!/usr/bin/env bash
for word; do [[ \$word != output=* ]] || output=\${word#output=}; done
echo '{"weir": 1, "event": "start", "pid": '\$\$'}'
number=0
while read -r line; do
    echo "\$line" >"\$output/.staged"
    mv "\$output/.staged" "\$output/part-00000-\$((number++))"
done <<<"$1"
exec tail -f /dev/null
FAKE
}

# With 10 keys and a line for each 5th record.
lost_and_doubled_and_miscounted_output_is_noticed() {
    local wrong lines
    for wrong in "20 1 3" "10 1 2" "15 1 3"; do
        lines=$'10 1 2\n'$wrong
        publishes "$lines"
        expect 1 'wrong: ".*", where number 15 is due, count 2' "$work/fake/bench/delay" \
            --keys 10 --every 5 --rounds 1
    done
    publishes "nonsense"
    expect 1 'no such line is written' "$work/fake/bench/delay" --keys 10 --every 5 --rounds 1
}

a_job_that_ends_too_early_is_told() {
    in_place_of paced <<<$'#!/bin/sh\necho "paced: planted" >&2\nexit 5'
    expect 1 'the program has ended too early' "$work/fake/bench/recovery" --kills 1
    grep -q 'paced: planted' "$work/said.log" || fail "its own words are lost"
}

nothing_is_left() {
    [[ -z $(pgrep -f "$work" | grep -v "^$$\$") ]] &&
        [[ -z $(find "$work" -maxdepth 1 -name 'weir-bench*') ]]
}
# Of that scenario, for it has most to end: a supervisor, its child, and who kills it.
an_interrupted_run_leaves_nothing() {
    background "$work/interrupted.log" python3 "$bench/run" "$build" --quick \
        --scenario recovery --out "$work/none"
    until_true 60 eval 'compgen -G "$work/weir-bench-run-*/weir-bench-*/output/part-*" \
        >/dev/null' || fail "no output in a minute"
    kill -TERM "$pid"
    code_of wait "$pid"
    ((code == 143)) || fail "interrupted, and exit $code"$'\n'"$(cat "$work/interrupted.log")"
    until_true 60 nothing_is_left ||
        fail "left over: $(pgrep -af "$work"; find "$work" -maxdepth 1 -name 'weir-bench*')"
}

own_result() { # PYTHON: of the scenario `own`
    python3 -c 'import json, sys
own = json.load(open(sys.argv[1]))["scenarios"][1]
names = [row["name"] for row in own["rows"]]
assert eval(sys.argv[2]), own' "$work/own/trial.json" "$1" || fail "$1"
}
a_job_of_ones_own_is_measured() {
    python3 "$bench/run" "$build" --trial --out "$work/own" -- "$build/bench/paced" run \
        --set keys=1000 --set output={dir}/out >"$work/own.log" 2>&1 ||
        fail "exit $?"$'\n'"$(cat "$work/own.log")"
    own_result 'names == ["off", "every 100ms", "kill -9, every 100ms"]'
    own_result '{"overhead", "rate"} <= {f["name"] for f in own["rows"][1]["figures"]}'
    own_result '"steal" in own and "failed" not in own'
    grep -q '<h2>Your job</h2>' "$work/own/trial.html" || fail "the report does not have it"
    # One whose input ends at once.
    text "$work/text" 50
    python3 "$bench/run" "$build" --trial --out "$work/own" -- "$program" run \
        --set input="$work/text" --set output={dir}/out >"$work/own.log" 2>&1 ||
        fail "exit $?"$'\n'"$(cat "$work/own.log")"
    own_result 'any("whole runs" in note for note in own["notes"])'
    own_result '"ended after 0 kills" in str(own["notes"])'
}

a_job_of_ones_own_that_fails_is_told() {
    expect 1 'FAILED: own: .*output' python3 "$bench/run" "$build" --trial --out "$work/own" -- \
        "$program" run --set input="$work"
    expect 2 'no such program' python3 "$bench/run" "$build" --trial -- "$work/none" run
    expect 2 'behind -- comes JOB run' python3 "$bench/run" "$build" --trial -- "$program" plan
    expect 2 '--store: leave it out' python3 "$bench/run" "$build" --trial -- "$program" run \
        --store x
    expect 2 'not for a job' python3 "$bench/run" "$build" --scenario recovery -- "$program" run
}

a_wrong_command_line_is_refused() {
    local wrong program
    for wrong in --hours "--scenario nothing" "--quick --full" "--compare" "--out"; do
        # shellcheck disable=SC2086
        expect 2 'usage: bench/run.sh' python3 "$bench/run" "$build" $wrong
    done
    expect 2 'not built there' python3 "$bench/run" "$work" --trial
    for program in limits overhead latency delay recovery shape; do
        expect 2 "usage: $program" "$build/bench/$program" --rounds
        expect 2 "usage: $program" "$build/bench/$program" --nothing 1
        expect 2 "usage: $program" "$build/bench/$program" --seconds 0
        expect 2 "usage: $program" "$build/bench/$program" --keys 1x
    done
    expect 2 'at least 1' "$build/bench/paced" run --set output="$work/o" --set rate=0
}

echo "seed $seed"
shift
properties=(a_wrong_command_line_is_refused every_scenario_ends_and_says_what_is_documented
    damaged_results_are_refused results_are_compared
    a_program_that_fails_is_told_and_the_others_are_measured
    lost_and_doubled_and_miscounted_output_is_noticed a_job_that_ends_too_early_is_told
    an_interrupted_run_leaves_nothing a_job_of_ones_own_is_measured
    a_job_of_ones_own_that_fails_is_told)
try_properties "${@:-${properties[@]}}"
