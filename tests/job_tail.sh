#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A log grows and is rotated while the program that follows it is killed at random moments and
# started again: what it published is what was written, byte for byte.
#
#     tests/job_tail.sh BUILD_FOLDER      WEIR_MEGABYTES=10000 for the long version

source "$(dirname "$0")/tools/job.bash"
program=$1/tests/programs/lines
tools=$(dirname "$0")/tools
megabytes=${WEIR_MEGABYTES:-50}    # over both styles
seconds=${WEIR_SECONDS:-6}         # that each style's writing lasts, at least
lines=$((megabytes * 1000000 / 2 / 64))
total=0

# 64 bytes each, so that a megabyte is known.
numbers() {
    seq -f '%015.0f a line of a log, and as long as such lines are.' "$lines"
}

# try numbered|dated
try() {
    local style=$1 log=$work/log killed=0 writer rotated
    local command=("$program" run --store "$work/store" --interval 50ms --set from=tail
        --set "input=$log" --set "end=$log.end" --set "output=$work/out")
    rm -rf "$work/store" "$work/out" "$log"*
    : >"$log"
    numbers | python3 "$tools/rotate.py" "$log" "$style" $((lines * 64 / 40)) \
        $((lines * 64 / seconds)) "$seed" &
    writer=$!
    while kill -0 "$writer" 2>/dev/null; do
        background "$work/run.log" "${command[@]}"
        random_ms 700 # the moment of the kill
        sleep "$pause"
        kill -KILL "$pid" 2>/dev/null || true
        code_of wait "$pid" 2>/dev/null
        ((code == 137 || code == 0)) || fail "$style: exit $code before it was killed"
        ((code == 0)) || killed=$((killed + 1))
    done
    wait "$writer" || fail "the writer failed"
    code_of "${command[@]}" >>"$work/run.log" 2>&1
    ((code == 0)) || fail "$style: exit $code of the last run"
    rotated=$(find "$work" -maxdepth 1 -name 'log[.-][0-9]*' | wc -l)
    ((killed >= 3 && rotated >= 10)) || fail "$style: only $killed kills, $rotated rotations"
    cmp <(published "$work/out") <(numbers) || fail "$style: what came out is not what went in"
    echo "ok: $style: $((lines * 64 / 1000000)) MB, rotated $rotated times, killed $killed times"
    total=$((total + killed))
}

echo "seed $seed"
try numbered
try dated
exercised "$total"
echo "figure: tail MB=$megabytes kills=$total exact"
