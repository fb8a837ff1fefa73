#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The examples beside word_count, killed with SIGKILL several times while they run: each checkpoint
# that comes is a reason to kill. What they published in the end is what an independent program,
# with another method, makes of the same input.
#
#     tests/job_examples.sh BUILD_FOLDER       WEIR_KILLS=20 for the long version

source "$(dirname "$0")/tools/job.bash"
root=$(cd "$(dirname "$0")/.." && pwd)
examples=$1/examples
kills=${WEIR_KILLS:-4} # of each run
rate=8000              # lines a second, over all sources
lines=24000            # so a run that is killed lasts 3 seconds

# survive NAME PARALLELISM OPTION...: killed again and again, and then let go to its end.
survive() {
    local name=$1 store=$work/store count=0
    local command=("$examples/$name" run --quiet --store "$store" --parallelism "$2" --interval 40ms
        --set "rate=$((rate * $2))" "${@:3}") # all input is one split: one source has all of it
    rm -rf "$store" "$work/out" "$work/rejects" "$work/run.log"
    while ((count < kills)) && killed "$store" "${command[@]}"; do
        count=$((count + 1))
    done
    ((count == kills)) || fail "$name: the input ended after $count kills"
    code_of "${command[@]}" >>"$work/run.log" 2>&1
    ((code == 0)) || fail "$name: exit $code of the last run"
    all=$((all + count)) runs=$((runs + 1))
}

# exact NAME EXPECTED DIR
exact() {
    published "$3" | sort >"$work/published"
    cmp "$2" "$work/published" || fail "$1: the output differs from the oracle's"
}

# ---- custom_operator ----

# Twelve devices that rest now and then, for about as long as they may.
signs() {
    awk -v seed="$seed" -v lines="$lines" 'BEGIN {
        srand(seed)
        for (i = 0; i < lines; i++) {
            do {
                now += int(rand() * 4)
                device = int(rand() * 12)
            } while (now < rests[device])
            if (rand() < 0.2) rests[device] = now + 30 + int(rand() * 40)
            print 1700000000 + now, "device-" device
        }
    }'
}

# Device by device; the end of the log is as late as anybody knows.
silences() { # SIGNS
    local end
    end=$(tail -n 1 "$1" | cut -d ' ' -f 1)
    sort -s -k2,2 "$1" | awk -v end="$end" '
        function leave() {
            if (!seen) return
            if (last + 60 <= end) print device "\tsilent since " last
            print device "\tseen " seen
            seen = 0
        }
        $2 != device { leave() }
        {
            if (seen++ && $1 - last >= 60) {
                print $2 "\tsilent since " last
                print $2 "\tback after " $1 - last
            }
            device = $2
            last = $1
        }
        END { leave() }' | sort
}

# ---- two_inputs ----

sales() {
    awk -v seed="$seed" -v lines="$lines" 'BEGIN {
        srand(seed)
        for (i = 0; i < lines; i++) print "p" int(exp(rand() * 6)), int(rand() * 20)
    }'
}

prices() { # some products have several, some none; the highest edition comes first, last or between
    awk -v seed="$seed" 'BEGIN {
        srand(seed + 1)
        for (i = 0; i < 2000; i++) {
            p = int(rand() * 400)
            if (p % 10 && !((p, e = 1 + int(rand() * 1000)) in done)) {
                done[p, e] = 1
                print "p" p, e, 1 + int(rand() * 5000)
            }
        }
    }'
}

revenue() { # SALES PRICES
    sort -k1,1 -k2,2nr "$2" | awk '!seen[$1]++ { print $1, $3 }' | sort -k1,1 >"$work/latest"
    awk '{ sold[$1] += $2 } END { for (p in sold) print p, sold[p] }' "$1" |
        sort -k1,1 >"$work/sold"
    join -a 1 -a 2 -e none -o 0,1.2,2.2 "$work/sold" "$work/latest" |
        awk '{ print $1 "\t" ($2 == "none" ? 0 : $2) "\t" ($3 == "none" ? "no price" : $2 * $3) }' |
        sort
}

# ---- sessionize ----

# To $work/visits and $work/left-out.
visits() { # LOG
    python3 "$root/tests/tools/visits.py" "$1" "$work/visits" "$work/left-out"
}

all=0 runs=0
echo "seed $seed"

signs >"$work/signs"
silences "$work/signs" >"$work/expected"
grep -q "back after" "$work/expected" || fail "custom_operator: nobody came back: a poor test"
for parallelism in 1 3; do
    survive custom_operator "$parallelism" --set "input=$work/signs" --set "output=$work/out" \
        --set limit=60s --set disorder=0s
    exact "custom_operator, parallelism $parallelism" "$work/expected" "$work/out"
done

sales >"$work/sales"
prices >"$work/prices"
revenue "$work/sales" "$work/prices" >"$work/expected"
grep -q "no price" "$work/expected" || fail "two_inputs: all have a price: a poor test"
for parallelism in 1 3; do
    survive two_inputs "$parallelism" --set "sales=$work/sales" --set "prices=$work/prices" \
        --set "output=$work/out"
    exact "two_inputs, parallelism $parallelism" "$work/expected" "$work/out"
done

"$root/examples/sessionize/make_log" "$lines" "$seed" >"$work/log"
visits "$work/log"
[[ $(wc -l <"$work/left-out") == 2 ]] ||
    fail "sessionize: none late, or none malformed: a poor test"
for parallelism in 1 3; do
    survive sessionize "$parallelism" --set "input=$work/log" --set "output=$work/out" \
        --set "rejects=$work/rejects"
    exact "sessionize, parallelism $parallelism" "$work/visits" "$work/out"
    exact "sessionize, parallelism $parallelism, rejects" "$work/left-out" "$work/rejects"
done
echo "figure: examples runs=$runs kills=$all exact=$runs visits=$(wc -l <"$work/visits")"
