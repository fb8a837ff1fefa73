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

# watch DIR SUMS: checksums each part as soon as it is seen; after SUMS.stop is there, once more.
watch() {
    local -A seen
    local part new last=no
    while [[ $last == no ]]; do
        [[ ! -e $2.stop ]] || last=yes
        new=()
        for part in "$1"/part-*; do
            if [[ -z ${seen[$part]:-} && -e $part ]]; then
                seen[$part]=1
                new+=("$part")
            fi
        done
        ((${#new[@]} == 0)) || printf '%s\0' "${new[@]}" | xargs -0 md5sum >>"$2"
        sleep 0.05
    done
}

# random_ms MOST
random_ms() {
    local ms=$((RANDOM * 32768 + RANDOM))
    ms=$((ms % $1))
    printf '%d.%03d' $((ms / 1000)) $((ms % 1000))
}

# killed_after TIME COMMAND...: true when it was killed, false when it had ended by itself before.
killed_after() {
    local time=$1
    shift
    background "$work/run.log" "$@"
    sleep "$time"
    kill -KILL "$pid" 2>/dev/null || true
    code_of wait "$pid" 2>/dev/null # quiet: the shell tells of the kill
    case $code in
    137) return 0 ;;
    0) return 1 ;;
    *) fail "exit $code before it was killed" ;;
    esac
}

# survive KILLS MOST_MS COMMAND...: kills it up to KILLS times, then lets it end.
survive() {
    local most=$1 each=$2
    killed=0
    shift 2
    while ((killed < most)); do
        killed_after "$(random_ms "$each")" "$@" || break
        killed=$((killed + 1))
    done
    code_of "$@" >>"$work/run.log" 2>&1
    ((code == 0)) || fail "exit $code of the last run"
}

# try final|updates PARALLELISM ENDPOINT KILLS MOST_MS [OPTION...]
try() {
    local emit=$1 what="emit=$1 parallelism=$2 $3" most=$4 each=$5
    local out=$work/out sums=$work/sums watcher
    local command=("$program" run --store "$work/store" --parallelism "$2" --endpoint "$3"
        --set "input=$work/text" --set "output=$out" --set "emit=$1" "${@:6}")

    rm -rf "$work/store" "$out" "$work/run.log" "$sums.stop"
    : >"$sums"
    watch "$out" "$sums" &
    watcher=$!
    began=$(date +%s%3N)
    survive "$most" "$each" "${command[@]}"
    took_ms=$(($(date +%s%3N) - began))
    touch "$sums.stop"
    wait "$watcher" || fail "$what: a part was gone before it could be read"
    md5sum --quiet -c "$sums" || fail "$what: a part changed after it was visible"
    (($(wc -l <"$sums") == $(find "$out" -name 'part-*' | wc -l))) ||
        fail "$what: a part was gone, or came unseen"
    "same_$([[ $emit == final ]] && echo counts || echo updates)" "$what" "$work/counts" "$out"
    echo "ok: $what ${*:6}: killed $killed times, exact"
    all=$((all + killed)) runs=$((runs + 1))
}

all=0 runs=0
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
echo "figure: word_count runs=$runs kills=$all exact=$runs"
