#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# demo.sh: counts the words of some 200 MB of text with weir, kills the program again and again
# while it does, and shows that the result is exact all the same. For Debian 12, from a fresh clone,
# as root or with sudo:
#
#     examples/demo.sh
#
# It exits with 0 only when the counts are, byte for byte, those of an independent count by tr, awk
# and sort. Everything it makes lies in one temporary folder, except build/release.

set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'END'
usage: examples/demo.sh [option]...
  --size MB        how much text, in millions of bytes (default 200)
  --kills N        how often the program is killed (default 5)
  --seconds S      how long the counting takes at least, kills apart (default 20)
  --parallelism N  tasks of each operator (default 2)
  --seed N         repeats the moments of another run's kills
  --program FILE   a word_count that is built already: nothing is installed or built
  --keep           keep the text, the store, the output and the logs
END
}

size=200 kills=5 seconds=20 parallelism=2 seed=$((RANDOM)) program='' keep=no
while (($# > 0)); do
    case $1 in
    --size | --kills | --seconds | --parallelism | --seed)
        [[ ${2:-} =~ ^[1-9][0-9]{0,5}$ ]] || { echo "demo.sh: $1 needs a number" >&2; exit 2; }
        declare "${1#--}=$2"
        shift 2
        ;;
    --program)
        program=$(realpath -e -- "${2:?--program needs a file}")
        shift 2
        ;;
    --keep) keep=yes && shift ;;
    --help) usage && exit 0 ;;
    *) echo "demo.sh: unknown option $1" >&2 && usage >&2 && exit 2 ;;
    esac
done
RANDOM=$((seed % 32768))

root=$(realpath -- "$(dirname -- "$0")/..")
# shellcheck source=tests/tools/packages.bash
source "$root/tests/tools/packages.bash"
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-demo.XXXXXX")
text=$work/text store=$work/store output=$work/output log=$work/log
pid=''

finish() {
    local code=$?
    if [[ -n $pid ]]; then
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    if ((code != 0)) && [[ -s $log ]]; then
        echo "--- the last lines that word_count said:"
        tail -n 10 "$log"
    fi
    if [[ $keep == yes ]]; then
        echo "kept: $work"
    else
        rm -rf "$work"
    fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '%s\n' "$*"; }
title() { printf '\n== %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*"
    exit 1
}
# 1234567 -> 1,234,567
thousands() { sed -E ':a; s/^([0-9]+)([0-9]{3})/\1,\2/; ta' <<<"$1"; }
now_ms() { date +%s%3N; }

# ------------------------------------------------------------------------------ what is needed --

install() {
    install_missing gcc libc6-dev make cmake pkg-config libzmq3-dev libczmq-dev liblz4-dev \
        libxxhash-dev libjansson-dev libcsv-dev libcriterion-dev mawk || fail "apt-get install"
}

build() {
    say "building $root/build/release/examples/word_count"
    (cd "$root" && cmake --preset release &&
        cmake --build --preset release --target example_word_count) \
        >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; fail "the build"; }
    program=$root/build/release/examples/word_count
}

# The descriptions of all of Debian's packages, as often as it takes.
make_text() {
    apt-cache dumpavail >"$work/once" 2>/dev/null || true
    if (($(stat -c %s "$work/once") < 1000000)); then
        renew_packages || fail "apt-get update"
        apt-cache dumpavail >"$work/once"
    fi
    (($(stat -c %s "$work/once") >= 1000000)) || fail "apt-cache dumpavail gave no text"
    while (($(stat -c %s "$text" 2>/dev/null || echo 0) < size * 1000000)); do
        if ((size >= 100)); then
            cat "$work/once"
        else
            head -c "$((size * 1000000))" "$work/once"
        fi >>"$text"
    done
    rm "$work/once"
    bytes=$(stat -c %s "$text")
    lines=$(wc -l <"$text")
}

# ------------------------------------------------------------------------------ start and kill --

start() {
    : >"$log"
    "$program" run --store "$store" --interval 100ms --parallelism "$parallelism" \
        --set "input=$text" --set "output=$output" --set "rate=$rate" 2>>"$log" &
    pid=$!
}

# Waits until the run has said how it began.
began() {
    local deadline=$((SECONDS + 60))
    until grep -Eq 'restored from checkpoint|first start|already ended' "$log"; do
        kill -0 "$pid" 2>/dev/null || fail "word_count ended before it began"
        ((SECONDS < deadline)) || fail "word_count did not begin within 60 s"
        sleep 0.01
    done
}

newest_manifest() { find "$store/checkpoints" -name MANIFEST.json 2>/dev/null | sort | tail -n 1; }

# A number or text out of a manifest: it is plain JSON, so grep can do it.
first_number() { grep -Eo "\"$2\": ?-?[0-9]+" "$1" | grep -Eo -m 1 -- '-?[0-9]+$'; }
# What the line source notes of its subtasks: "text 12.3 of 200.0 MB".
positions() {
    grep -Eo '"note": ?"[^"]+ MB"' "$1" | sed -E 's/^.*"note": ?"(.*)"$/\1/' |
        paste -sd , | sed 's/,/, /g' || true
}

# What the killed run had durable, and how old that was when it was killed.
remember() {
    local manifest
    manifest=$(newest_manifest)
    checkpoint=0
    [[ -n $manifest ]] || return 0
    checkpoint=$((10#$(basename "$(dirname "$manifest")")))
    age_ms=$((killed_ms - $(first_number "$manifest" triggered_ns) / 1000000))
    position=$(positions "$manifest")
}

kill_it() {
    local began_ms wait_ms=$((200 + (RANDOM * 32768 + RANDOM) % most_ms))
    local code=0

    began_ms=$(now_ms)
    sleep "$((wait_ms / 1000)).$(printf %03d $((wait_ms % 1000)))"
    kill -KILL "$pid" 2>/dev/null || true
    killed_ms=$(now_ms)
    wait "$pid" 2>/dev/null || code=$?
    pid=''
    ((code == 137)) || fail "word_count was to be killed, but had ended with exit code $code"
    remember
    say "        killed with SIGKILL after $((killed_ms - began_ms)) ms," \
        "$([[ $checkpoint == 0 ]] && echo "before any checkpoint" ||
            echo "$age_ms ms after checkpoint $checkpoint was begun")"
}

# Does the run resume from what was durable when the last one was killed? Says what that means.
check_resumed() {
    local resumed
    resumed=$(sed -nE 's/.*restored from checkpoint ([0-9]+).*/\1/p' "$log" | head -n 1)
    resumed=${resumed:-0}
    ((resumed == checkpoint)) ||
        fail "it resumed from checkpoint $resumed, but the newest durable one is $checkpoint"
    if ((resumed == 0)); then
        say "run $1   nothing to resume from: starts at the first line"
        return
    fi
    say "run $1   resumed from checkpoint $resumed"
    say "        where the sources stood in it: ${position:-between two ranges of the text}"
    say "        replayed: what was read in the $age_ms ms between that checkpoint and the kill," \
        "about $(thousands $((age_ms * rate / 1000))) of $(thousands "$lines") lines"
}

count() {
    local run
    checkpoint=0
    for ((run = 1; run <= kills; run++)); do
        start
        began
        check_resumed "$run"
        kill_it
    done
    start
    began
    check_resumed "$run"
    say "        left alone until its input ends"
    local code=0
    wait "$pid" || code=$?
    pid=''
    ((code == 0)) || fail "the last run ended with exit code $code"
    sed -nE 's/^word_count: (this run|ended)/        \1/p' "$log"
}

# ------------------------------------------------------------------------------------- compare --

# The same count by other means: no weir, no checkpoint, no kill.
oracle() {
    tr -s ' \t' '\n\n' <"$text" |
        mawk 'length { n[$0]++ } END { for (w in n) printf "%s\t%d\n", w, n[w] }' | sort
}

compare() {
    oracle >"$work/expected"
    find "$output" -name 'part-*' -type f -print0 | sort -z | xargs -0r cat | sort >"$work/counted"
    if ! cmp -s "$work/expected" "$work/counted"; then
        say "expected (<) and counted (>) differ:"
        diff "$work/expected" "$work/counted" | head -n 20 || true
        fail "the counts are not those of tr, awk and sort"
    fi
    local words total
    words=$(wc -l <"$work/counted")
    total=$(mawk -F '\t' '{ n += $2 } END { printf "%.0f", n }' "$work/counted")
    say "identical, byte for byte: $(thousands "$words") different words," \
        "$(thousands "$total") in all."
    say "After $kills kills no word was lost and none was counted twice."
}

# ------------------------------------------------------------------------------------ the demo --

title "1. What is needed"
if [[ -z $program ]]; then
    install
    build
else
    say "taking $program as it is"
fi

title "2. The text"
make_text
rate=$((lines / seconds + 1))
# All kills together come before the paced input can end.
most_ms=$((seconds * 1000 / (kills + 1) > 400 ? seconds * 1000 / (kills + 1) - 200 : 200))
say "$(thousands "$bytes") bytes, $(thousands "$lines") lines of package descriptions"
say "read at $(thousands "$rate") lines a second, so that there is time to kill"

title "3. Counting words, a checkpoint every 100 ms, $kills kills" \
    "(--seed $seed repeats their moments)"
count

title "4. Comparing with an independent count by tr, awk and sort"
compare
