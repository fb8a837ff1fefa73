#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# word_count under kill -9 in each mode of checkpoints, at parallelism 1, 3 and 5: exact in all of
# them, and what was in flight is in the checkpoints of those modes that let a marker overtake.
#
#     tests/job_modes.sh BUILD_FOLDER       WEIR_KILLS=200 WEIR_SECONDS=100 for the long version

source "$(dirname "$0")/tools/job.bash"
kills=${WEIR_KILLS:-3}     # of each run
seconds=${WEIR_SECONDS:-1} # a run lasts at least that long
lines=$((seconds < 10 ? seconds * 30000 : seconds * 5000)) # less than a split of 16 MiB

# How many of the store's checkpoints hold records that were in flight.
with_content() {
    (grep -lE '"(channel|outlet)_bytes": [1-9]' "$work"/store/checkpoints/*/MANIFEST.json || true) |
        wc -l
}

# The input is one split, so one of N sources has all of it, at an N-th of the rate. It is fast
# enough for queues to fill, and slow enough for all kills to come in time: together they take less
# than `seconds`.
try() { # MODE PARALLELISM ENDPOINT
    local content mode=(--mode "$1")
    [[ $1 != adaptive ]] || mode+=(--alignment-max 2ms) # so that some rounds turn, and some do not
    try_word_count updates "$2" "$3" "$kills" $((seconds * 1000 / kills)) "${mode[@]}" \
        --max-restarts 0 --interval 20ms --retain 1000000 --set "rate=$((lines / seconds * $2))"
    ((killed == kills)) || fail "$1, parallelism $2: the input ended after $killed kills"
    content=$(with_content)
    [[ $1 != aligned || $content == 0 ]] ||
        fail "aligned, parallelism $2: $content checkpoints hold what was in flight"
    all=$((all + killed)) runs=$((runs + 1))
    taken=$((taken + $(checkpoints "$work/store" | wc -l)))
    declare -g "content_$1=$((content_$1 + content))"
}

all=0 runs=0 taken=0 content_aligned=0 content_unaligned=0 content_adaptive=0
echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"
for mode in aligned unaligned adaptive; do
    try "$mode" 1 inproc
    try "$mode" 3 tcp://127.0.0.1
    try "$mode" 5 inproc
done
((content_unaligned > 0)) || fail "unaligned: nothing was ever in flight: a poor test"
exercised "$all"
echo "figure: modes runs=$runs kills=$all exact=$runs checkpoints=$taken" \
    "with_content=$((content_unaligned + content_adaptive))"
