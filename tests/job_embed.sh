#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The example of a host with a loop of its own: two jobs in one process, stopped, killed and started
# again.
#
#     tests/job_embed.sh BUILD_FOLDER

source "$(dirname "$0")/tools/job.bash"
program=$1/examples/embed

oracle() { # COUNT FIRST: what a job of COUNT numbers has to publish
    awk -v count="$1" -v first="$2" 'BEGIN {
        for (n = 0; n < count; n++) sum[n % 10] += 2 * n + first
        for (class = 0; class < 10; class++) print class "\t" sum[class]
    }'
}

fresh() {
    folder=$work/folder.$((++folders)) log=$work/run.$folders.log
    mkdir "$folder"
}
folders=0

is_exact() { # COUNT
    local job first=0
    for job in evens odds; do
        published "$folder/$job.output" | sort >"$work/published"
        oracle "$1" "$first" | cmp - "$work/published" || fail "$job: wrong sums"
        first=1
    done
}

leaves_no_memory() {
    [[ $(tail -n 1 "$log") == *", 0 left" ]] || fail "memory is left: $(tail -n 1 "$log")"
}

both_have_checkpoints() { # HOW_MANY
    has_checkpoints "$folder/evens.store" "$1" && has_checkpoints "$folder/odds.store" "$1"
}

both_run() { # HOW_MANY starts
    (($(grep -cE 'begins|goes on' "$log") == 2 * $1))
}

ends_with() { # CODE
    code_of wait "$pid" 2>/dev/null # quiet: the shell tells of kills
    ((code == $1)) || fail "exit $code, not $1"$'\n'"$(cat "$log")"
}

two_jobs_end_on_one_loop() {
    fresh
    code_of "$program" "$folder" 100000 >"$log" 2>&1
    ((code == 0)) || fail "exit $code"
    is_exact 100000
    leaves_no_memory
    code_of "$program" "$folder" 100000 >"$log" 2>&1
    ((code == 0 && $(grep -c 'had ended before' "$log") == 2)) || fail "$(cat "$log")"
    leaves_no_memory
}

its_own_signal_handling_stops_both() {
    local round
    fresh
    for round in 1 2; do
        background "$log" "$program" "$folder" 12000 4000
        until_true 20 both_run "$round" || fail "they don't start"$'\n'"$(cat "$log")"
        until_true 20 both_have_checkpoints "$round" || fail "no checkpoints"$'\n'"$(cat "$log")"
        kill -TERM "$pid"
        ends_with 6
        leaves_no_memory
    done
    code_of "$program" "$folder" 12000 >>"$log" 2>&1
    ((code == 0)) || fail "exit $code"$'\n'"$(cat "$log")"
    grep -q 'evens: goes on from checkpoint' "$log" || fail "$(cat "$log")"
    is_exact 12000
}

a_kill_loses_nothing() {
    fresh
    background "$log" "$program" "$folder" 12000 8000
    until_true 20 both_have_checkpoints 2 || fail "no checkpoints"$'\n'"$(cat "$log")"
    kill -KILL "$pid"
    ends_with 137
    code_of "$program" "$folder" 12000 >>"$log" 2>&1
    ((code == 0)) || fail "exit $code"$'\n'"$(cat "$log")"
    is_exact 12000
}

# It is libweir's alone: nothing of weir_main, nothing of CZMQ.
it_links_the_library_alone() {
    local needed
    needed=$(readelf -d "$program" | sed -nE 's/.*NEEDED.*\[(lib(weir|czmq)[^]]*)\]/\1/p')
    [[ $needed == libweir.so* && $needed != *$'\n'* ]] || fail "it needs: $needed"
}

echo "seed $seed"
for property in two_jobs_end_on_one_loop its_own_signal_handling_stops_both a_kill_loses_nothing \
    it_links_the_library_alone; do
    "$property"
    echo "ok: $property"
done
