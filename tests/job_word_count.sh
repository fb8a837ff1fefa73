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

# watch DIR SUMS: checksums each part as soon as it is seen.
watch() {
    local -A seen
    local part
    while :; do
        for part in "$1"/part-*; do
            if [[ -e $part && -z ${seen[$part]:-} ]]; then
                seen[$part]=1
                md5sum "$part" >>"$2"
            fi
        done
        sleep 0.02
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

    rm -rf "$work/store" "$out" "$work/run.log"
    : >"$sums"
    watch "$out" "$sums" &
    watcher=$!
    survive "$most" "$each" "${command[@]}"
    sleep 0.1 # one more look
    kill "$watcher"
    wait "$watcher" 2>/dev/null || true
    md5sum --quiet -c "$sums" || fail "$what: a part changed after it was visible"
    (($(wc -l <"$sums") == $(find "$out" -name 'part-*' | wc -l))) ||
        fail "$what: a part was gone, or came unseen"
    "same_$([[ $emit == final ]] && echo counts || echo updates)" "$what" "$work/counts" "$out"
    echo "ok: $what ${*:6}: killed $killed times, exact"
}

echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"

# Paced: the kills fall into the stream. Their sum stays below the length of the run.
paced=(--interval 50ms --set "rate=$((lines / seconds))")
each=$((seconds * 1000 / kills))
try final 1 inproc "$kills" "$each" "${paced[@]}"
((killed == kills)) || fail "the input ended after $killed kills"
try updates 2 inproc "$kills" "$each" "${paced[@]}"
try updates 5 tcp://127.0.0.1 "$kills" "$each" "${paced[@]}"
if ((kills > 10)); then
    try updates 1 inproc "$kills" "$each" "${paced[@]}"
    try final 2 tcp://127.0.0.1 "$kills" "$each" "${paced[@]}"
    try final 5 inproc "$kills" "$each" "${paced[@]}"
fi

# Unpaced: the kills fall into the start, the restore, the last checkpoint and its publication.
began=$(date +%s%3N)
try updates 2 inproc 0 1 --interval 10ms
unkilled_ms=$(($(date +%s%3N) - began))
total=0
for ((round = 0; round < kills; round++)); do
    try updates 2 inproc 4 "$unkilled_ms" --interval 10ms
    total=$((total + killed))
    try final 5 tcp://127.0.0.1 4 "$unkilled_ms" --interval 10ms
    total=$((total + killed))
done
((total > 0)) || fail "no kill came in time"
