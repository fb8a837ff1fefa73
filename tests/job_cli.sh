#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What word_count answers on its command line: exit codes and messages, what it refuses and what
# helps then.
#
#     tests/job_cli.sh BUILD_FOLDER

source "$(dirname "$0")/tools/job.bash"

fresh() { # another store and output folder
    store=$work/store.$((++stores))
    out=$work/out.$stores
    io=(--set "input=$work/text" --set "output=$out")
    run=("$program" run --store "$store" "${io[@]}")
}
stores=0

usage_is_refused_by_name() {
    fresh
    expect 2 'no verb: say run or plan' "$program"
    expect 2 'unknown verb; did you mean run' "$program" rnu
    expect 2 'did you mean --interval' "${run[@]}" --inteval 1s
    expect 2 '100 has no unit; say 100ms or 100s' "${run[@]}" --interval 100
    expect 2 'from 1 to 1024' "${run[@]}" --parallelism 0
    expect 2 'did you mean "rate"' "${run[@]}" --set rat=5
    expect 2 'none of final\|updates' "${run[@]}" --set emit=never
    expect 2 '--dot means nothing to "run"' "${run[@]}" --dot
    expect 2 '--dead-letters needs --store' "$program" run "${io[@]}" --dead-letters "$work/letters"
    expect 2 'say adaptive, aligned or unaligned' "${run[@]}" --mode crooked
    expect 2 '--rounds 9: .*from 1 to 8' "${run[@]}" --rounds 9
    expect 2 'or the path of a savepoint with a / in it: ./sp' "${run[@]}" --restore sp
    expect 2 'status needs --store' "$program" status
    expect 2 'savepoint needs --to DIR' "$program" savepoint --store "$store"
    expect 2 '--savepoint and --now: say one of them' "$program" stop --store "$store" --now \
        --savepoint "$work/sp"
    expect 2 'missing: --set input=.* and --set output=' "$program" run
    [[ ! -e $store ]] || fail "a refused command line left a store"
}

help_version_and_plan() {
    fresh
    expect 0 'word_count [0-9.]+ \(weir [0-9.]+\)' "$program" --version
    expect 0 '--store DIR' "$program" --help
    expect 0 'exactly' "$program" plan "${io[@]}"
    local node
    for node in lines split count output; do
        expect 0 "$node" "$program" plan --parallelism 2 "${io[@]}"
    done
    [[ ! -e $out ]] || fail "plan made the output folder"
}

# Neither has an option that the other lacks, nor a value that is one word.
readme_lists_the_options() {
    "$program" --help | grep -oE '^  --[a-z-]+' | tr -d ' ' | grep -vE '^--(help|version)$' \
        >"$work/help.options"
    grep -oE '^\| `--[a-z-]+`' "$(dirname "$0")/../README.md" | tr -d '|` ' |
        grep -vE '^--(help|version)$' >"$work/readme.options"
    diff "$work/help.options" "$work/readme.options" ||
        fail "README.md and --help do not list the same options in the same order"
    "$program" --help | sed -nE 's/^  --(mode|log-level) ([a-z|]+)( .*)?$/\1 \2/p' \
        >"$work/help.values"
    sed -nE 's/^\| `--(mode|log-level)` \| ([^|]*) \|.*/\1 \2/p' "$(dirname "$0")/../README.md" |
        sed -E 's/`//g; s/, /|/g; s/ +$//' >"$work/readme.values"
    [[ $(wc -l <"$work/help.values") == 2 ]] || fail "--help lists no values"
    diff "$work/help.values" "$work/readme.values" ||
        fail "README.md and --help do not list the same values"
}

# restore_for_programs HERE WHAT CODE PROGRAM ARGUMENT...: how it would go on, as JSON.
restore_for_programs() {
    local here=$1 what=$2 wanted=$3 other=$4
    shift 4
    code_of "$other" plan --json --store "$store" --restore latest "$@" >"$work/$what.json" \
        2>"$work/said.log"
    ((code == wanted)) || fail "plan --json --restore, $what: exit $code: $(cat "$work/said.log")"
    python3 "$here/tools/events.py" "$here/../runtime/EVENTS.md" --object program_plan \
        "$work/$what.json" || fail "plan --json --restore, $what, does not fit EVENTS.md"
    grep -q '"restore":' "$work/$what.json" || fail "plan --json --restore, $what: no restore"
}

plan_for_programs() {
    fresh
    local here
    here=$(dirname "$0")
    "$program" plan --parallelism 2 --json "${io[@]}" >"$work/plan.json"
    python3 "$here/tools/events.py" "$here/../runtime/EVENTS.md" --object program_plan \
        "$work/plan.json" || fail "plan --json does not fit EVENTS.md"
    expect 0 '"split" -> "count" \[label="by_key.n4 channels"\]' "$program" plan --dot \
        --parallelism 2 "${io[@]}"
    expect 0 'parameter emit = final \(final\|updates, default\)' "$program" plan "${io[@]}"
    code_of "$program" plan "${io[@]}" >/dev/full 2>"$work/said.log"
    ((code == 5)) || fail "exit $code, and the plan was not written"
    restore_for_programs "$here" first_start 0 "$program" --parallelism 2 "${io[@]}"
    expect 0 'ended' "${run[@]}" --parallelism 2
    restore_for_programs "$here" rescaled 0 "$program" --parallelism 3 "${io[@]}"
    restore_for_programs "$here" another 4 "$(dirname "$program")/two_inputs" \
        --set "sales=$work/text" --set "prices=$work/text" --set "output=$out"
    if command -v dot >/dev/null; then
        "$program" plan --dot "${io[@]}" | dot -Tsvg >/dev/null || fail "Graphviz can't read it"
    fi
}

options_from_a_file() {
    fresh
    printf '%s\n' '# word_count' "store = $store" "set input = $work/text" 'set output = nowhere' \
        'interval = 10ms # often' >"$work/job.conf"
    expect 0 'a checkpoint every 10.0 ms' "$program" run --config "$work/job.conf" \
        --set "output=$out"
    same_counts "options from a file" "$work/counts" "$out"
    echo 'inteval = 5ms' >>"$work/job.conf"
    expect 2 "$work/job.conf:6: inteval: unknown option; did you mean --interval" "$program" run \
        --config "$work/job.conf" --set "output=$out"
    expect 2 'is no line of the form|a byte 0x' "$program" run --config "$program"
}

quiet_is_quiet() {
    fresh
    code_of "${run[@]}" --quiet >"$work/said.log" 2>&1
    ((code == 0)) || fail "exit $code"
    [[ ! -s $work/said.log ]] || fail "--quiet says $(cat "$work/said.log")"
    expect 5 "$work/nowhere" "$program" run --quiet --store "$store.2" --set "output=$out.2" \
        --set "input=$work/nowhere"
}

# What it says must not land in files that have got the numbers of the closed streams.
closed_streams() {
    fresh
    "${run[@]}" --interval 5ms --set "rate=$((lines / 2))" <&- >&- 2>&- &
    pid=$!
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints after 20 s"
    local fd
    for fd in 0 1 2; do
        [[ $(readlink "/proc/$pid/fd/$fd") == /dev/null ]] ||
            fail "stream $fd is $(readlink "/proc/$pid/fd/$fd")"
    done
    code_of wait "$pid"
    ((code == 0)) || fail "exit $code with closed streams"
    same_counts "closed streams" "$work/counts" "$out"
    code_of "$program" plan "${io[@]}" >&- 2>"$work/said.log"
    ((code == 5)) || fail "exit $code for a plan that nobody got"
}

input_that_is_not_there() {
    fresh
    expect 5 "$work/nowhere" "$program" run --store "$store" --set "input=$work/nowhere" \
        --set "output=$out"
}

store_that_can_not_be_used() {
    fresh
    expect 3 "$work/text" "$program" run --store "$work/text/store" "${io[@]}"
    mkdir "$work/foreign"
    echo something >"$work/foreign/file"
    expect 3 "$work/foreign" "$program" run --store "$work/foreign" "${io[@]}"
    [[ $(ls -A "$work/foreign") == file ]] || fail "a refused store was changed"
}

without_a_store() {
    fresh
    expect 0 'no checkpoints' "$program" run "${io[@]}"
    same_counts "without a store" "$work/counts" "$out"
}

ended_job_says_so() {
    fresh
    expect 0 'first start' "${run[@]}"
    same_counts "first run" "$work/counts" "$out"
    find "$out" -type f | sort | xargs md5sum >"$work/before"
    expect 0 'already ended' "${run[@]}"
    md5sum --quiet -c "$work/before" || fail "an ended job changed its output"
    same_counts "second run" "$work/counts" "$out"
}

# Starts the job at a pace, so that it would last some seconds, and waits for two checkpoints.
start_paced() {
    background "$work/paced.log" "${run[@]}" --interval 50ms --set "rate=$((lines / 3))" "$@"
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints after 20 s"
}

second_run_is_locked_out() {
    fresh
    start_paced
    expect 3 "$store" "${run[@]}"
    expect 3 "$store" "${run[@]}" --restore none
    code_of wait "$pid"
    ((code == 0)) || fail "the first run was disturbed: exit $code"
    same_counts "the run that held the store" "$work/counts" "$out"
}

stopped_run_goes_on() {
    fresh
    start_paced
    kill -TERM "$pid"
    code_of wait "$pid"
    ((code == 6)) || fail "exit $code after SIGTERM"
    grep -q 'stopped on request' "$work/paced.log" || fail "it does not say that it stopped"
    expect 3 'key groups' "${run[@]}" --key-groups 64
    expect 4 'allow-dropped-state' "$(dirname "$program")/sessionize" run --store "$store" \
        "${io[@]}" --set "rejects=$work/rejects"
    expect 0 'restored from checkpoint [0-9]+' "${run[@]}" --parallelism 2
    same_counts "a stopped run" "$work/counts" "$out"
}

second_signal_stops_at_once() {
    fresh
    start_paced --set emit=updates
    kill -TERM "$pid"
    kill -TERM "$pid" 2>/dev/null || true
    code_of wait "$pid"
    ((code == 6)) || fail "exit $code after two SIGTERM"
    expect 0 'restored from checkpoint [0-9]+' "${run[@]}" --set emit=updates
    same_updates "a run stopped at once" "$work/counts" "$out"
}

damaged_checkpoint_is_refused() {
    fresh
    start_paced
    kill -KILL "$pid"
    code_of wait "$pid" 2>/dev/null # quiet: the shell tells of the kill
    local ids newest older manifest
    mapfile -t ids < <(checkpoints "$store")
    newest=${ids[-1]} older=${ids[-2]}
    manifest=$store/checkpoints/$(printf '%020d' "$newest")/MANIFEST.json
    # One digit of the manifest becomes another.
    sed -i '0,/[0-8]/s/[0-8]/9/' "$manifest"
    expect 3 "(^|[^0-9])$older([^0-9]|\$)" "${run[@]}"
    expect 3 "(^|[^0-9])$newest([^0-9]|\$)" "${run[@]}"
    expect 3 . "${run[@]}" --restore 999999
    expect 0 "restored from checkpoint $older( |\$)" "${run[@]}" --restore "$older"
    same_counts "restored from an older checkpoint" "$work/counts" "$out"
}

lines=12000
echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"
for property in usage_is_refused_by_name help_version_and_plan \
    readme_lists_the_options plan_for_programs \
    options_from_a_file quiet_is_quiet closed_streams input_that_is_not_there \
    store_that_can_not_be_used without_a_store ended_job_says_so second_run_is_locked_out \
    stopped_run_goes_on second_signal_stops_at_once damaged_checkpoint_is_refused; do
    "$property"
    echo "ok: $property"
done
