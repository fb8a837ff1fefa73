#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Programs are killed with SIGKILL and started again with another parallelism, up and down, with
# aligned and with unaligned checkpoints: what they publish is exact all the same, and a word's
# updates keep their order. Twenty of all pairs of parallelisms up to 8, drawn from the seed; with
# --full all of them.
#
#     tests/job_rescale.sh BUILD_FOLDER       WEIR_PAIRS=all for the long version

source "$(dirname "$0")/tools/job.bash"
examples=$1/examples
pairs=${WEIR_PAIRS:-20}
rate=16000 # lines a second
lines=8000

# lives WHAT P Q COMMAND...: with parallelism p, q, p, and to its end with q.
lives() {
    local what=$1 p=$2 q=$3 parallelism
    shift 3
    rm -rf "$work/store" "$work/out" "$work/run.log"
    for parallelism in "$p" "$q" "$p"; do
        killed "$work/store" "$@" --store "$work/store" --parallelism "$parallelism" || break
        kills=$((kills + 1))
    done
    code_of "$@" --store "$work/store" --parallelism "$q" >>"$work/run.log" 2>&1
    ((code == 0)) || fail "$what, $p to $q: exit $code of the last run"
    runs=$((runs + 1))
}

# each_update WHAT: of each word there are the updates 1, 2, ... n, each once, and in order within a
# part. (A word goes from one subtask's parts to another's, and names of parts begin with these.)
each_update() {
    find "$work/out" -name 'part-*' -print0 | xargs -0r awk -F '\t' '
        FNR == 1 { split("", last) }
        $2 <= last[$1] { print "word " $1 ": " $2 " after " last[$1] " in " FILENAME; exit 1 }
        { last[$1] = $2; print $1 "\t" $2 }' >"$work/updates" ||
        fail "$1: $(tail -n 1 "$work/updates")"
    sort -t "$(printf '\t')" -k 1,1 -k 2,2n "$work/updates" | awk -F '\t' '
        $2 != ++n[$1] { print "word " $1 ": update " $2 " where " n[$1] " is due"; exit bad = 1 }
        END { if (!bad) for (w in n) print w "\t" n[w] }' | sort >"$work/published"
    cmp "$work/counts" "$work/published" || fail "$1: $(head -n 1 "$work/published")"
}

# In all of them a source reads a part of the input, or one of them all.
words() { # P Q MODE
    local emit=$( ((($1 + $2) % 2)) && echo updates || echo final)
    lives "word_count $3" "$1" "$2" "$examples/word_count" run --quiet --mode "$3" \
        --interval 20ms --set "input=$work/text" --set "output=$work/out" --set "emit=$emit" \
        --set "rate=$rate"
    if [[ $emit == final ]]; then
        same_counts "word_count $3, $1 to $2" "$work/counts" "$work/out"
    else
        each_update "word_count $3, $1 to $2"
    fi
}

revenue() { # P Q MODE
    lives "two_inputs $3" "$1" "$2" "$examples/two_inputs" run --quiet --mode "$3" \
        --interval 20ms --set "sales=$work/sales" --set "prices=$work/prices" \
        --set "output=$work/out" --set "rate=$rate"
    published "$work/out" | sort >"$work/published"
    cmp "$work/revenue" "$work/published" || fail "two_inputs $3, $1 to $2: the output differs"
}

# Money goes round a cycle. What an order comes to depends on chance, but not the sum of all.
bank() { # P Q MODE
    lives "bank $3" "$1" "$2" "$examples/bank" run --quiet --mode "$3" --interval 20ms \
        --set "journal=$work/out" --set "orders=$lines" --set accounts=200 --set "seed=$seed" \
        --set "rate=$rate" --set clearing=6000
    "$examples/bank" audit --store "$work/store" >"$work/audit" ||
        fail "bank $3, $1 to $2: $(grep -v ' ok$' "$work/audit")"
    published "$work/out" | awk -v orders="$lines" '
        $1 == "closing" { closed++; sum += $NF; next }
        $5 == "paid" || $5 == "refused" { done[$1]++; if ($5 == "paid") owed[$1]++ }
        $5 == "received" { owed[$1]-- }
        END {
            for (order in owed)
                if (owed[order] != 0) { print "order " order " is not settled"; exit 1 }
            for (i = 0; i < orders; i++)
                if (done[i] != 1) { print "order " i ": " done[i] + 0; exit 1 }
            if (sum != 1000 * closed) { print sum " in " closed " accounts"; exit 1 }
        }' >"$work/said" || fail "bank $3, $1 to $2: $(cat "$work/said")"
}

programs=(words revenue bank)
modes=(aligned unaligned)
runs=0 kills=0
echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"
awk -v seed="$seed" -v lines="$lines" 'BEGIN {
    srand(seed)
    for (i = 0; i < lines; i++) print "product-" int(rand() * 300), 1 + int(rand() * 9)
}' >"$work/sales"
awk -v seed="$seed" 'BEGIN {
    srand(seed + 1)
    for (i = 0; i < 2000; i++) {
        product = int(rand() * 320)
        print "product-" product, ++edition[product], 100 + int(rand() * 900)
    }
}' >"$work/prices"
awk 'NR == FNR { sold[$1] += $2; seen[$1] = 1; next }
     { seen[$1] = 1; if ($2 > edition[$1]) { edition[$1] = $2; cents[$1] = $3 } }
     END { for (p in seen) printf "%s\t%d\t%s\n", p, sold[p],
           (p in cents) ? sold[p] * cents[p] "" : "no price" }' \
    "$work/sales" "$work/prices" | sort >"$work/revenue"

if [[ $pairs == all ]]; then
    for program in "${programs[@]}"; do
        for mode in "${modes[@]}"; do
            for p in {1..8}; do
                for q in {1..8}; do
                    "$program" "$p" "$q" "$mode"
                done
            done
            echo "ok: $program $mode"
        done
    done
else
    for ((i = 0; i < pairs; i++)); do
        p=$((1 + RANDOM % 8)) q=$((1 + RANDOM % 8))
        ((p != q)) || q=$((1 + q % 8))
        "${programs[i % 3]}" "$p" "$q" "${modes[i / 3 % 2]}"
        echo "ok: ${programs[i % 3]} ${modes[i / 3 % 2]}, $p to $q"
    done
fi
((kills > runs)) || fail "$kills kills in $runs runs: the input ended too early"
exercised "$kills"
echo "figure: rescale runs=$runs kills=$kills exact=$runs"
