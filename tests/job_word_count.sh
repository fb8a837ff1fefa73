#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# word_count is killed at random moments and started again until its input ends; what it published
# is what coreutils count, byte for byte. While it runs, every part that becomes visible is
# checksummed at once: at the end it must still be the same.
#
#     tests/job_word_count.sh BUILD_FOLDER      WEIR_KILLS=20 WEIR_SECONDS=30 for the long version

source "$(dirname "$0")/tools/job.bash"
kills=${WEIR_KILLS:-3}     # of each paced run
seconds=${WEIR_SECONDS:-3} # a paced run lasts at least that long
lines=$((seconds * 4000))

all=0 runs=0
try() { # as try_word_count
    try_word_count "$@"
    all=$((all + killed)) runs=$((runs + 1))
}

echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"

# Paced: the kills fall into the stream. Their sum stays below the length of the run. The input is
# one split, so one of N sources has all of it, at an N-th of the rate.
paced() { # final|updates PARALLELISM ENDPOINT
    try "$@" "$kills" "$each" --interval 50ms --set "rate=$((lines / seconds * $2))"
}
each=$((seconds * 1000 / kills))
paced final 1 inproc
((killed == kills)) || fail "the input ended after $killed kills"
paced updates 2 inproc
paced updates 5 tcp://127.0.0.1
# A quarter of the words' counts, or less, may be in memory.
try updates 2 inproc "$kills" "$each" --interval 50ms --set "rate=$((lines / seconds * 2))" \
    --state-memory 32KiB
if ((kills > 10)); then
    paced updates 1 inproc
    paced final 2 tcp://127.0.0.1
    paced final 5 inproc
fi

# Unpaced: the kills fall into the start, the restore, the last checkpoint and its publication.
try updates 2 inproc 0 1 --interval 10ms
unkilled_ms=$took_ms
total=0
for ((round = 0; round < kills; round++)); do
    try updates 2 inproc 4 "$unkilled_ms" --interval 10ms
    total=$((total + killed))
    try final 5 tcp://127.0.0.1 4 "$unkilled_ms" --interval 10ms
    total=$((total + killed))
done
((total > 0)) || fail "no kill came in time"
exercised "$all"
echo "figure: word_count runs=$runs kills=$all exact=$runs"
