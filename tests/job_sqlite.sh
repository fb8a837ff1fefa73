#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# sqlite_sink, the example, is killed at random moments and started again until its input ends: each
# order is in the database once, and the totals are what awk makes of the input. While it runs,
# another program reads the database: it sees the first orders, up to a cut, and never half of what
# is between two cuts.
#
#     tests/job_sqlite.sh BUILD_FOLDER      WEIR_KILLS=60 for more

source "$(dirname "$0")/tools/job.bash"
program=$1/examples/sqlite_sink
kills=${WEIR_KILLS:-20}
lines=$((kills * 250))
database=$work/orders.db
[[ -x $program ]] || exit 77

sql() {
    sqlite3 -cmd '.timeout 20000' "$database" "$1"
}

# orders FILE: numbers from 1 on, a few customers, amounts of either sign.
orders() {
    awk -v seed="$seed" -v lines="$lines" 'BEGIN {
        srand(seed)
        for (i = 1; i <= lines; i++)
            print i, "customer" int(rand() * 20), int(rand() * 10000) - 1000
    }' >"$1"
}

# look LOG: after LOG.stop is there, once more. A line a look, all of it from one transaction: files
# published, orders, the highest number, their sum.
look() {
    local last=no
    while [[ $last == no ]]; do
        [[ ! -e $1.stop ]] || last=yes
        sql "SELECT (SELECT sum(next) FROM weir_published WHERE target = 'orders'), count(*),
             coalesce(max(number), 0), coalesce(sum(cents), 0) FROM orders" \
            >>"$1" 2>"$1.errors" || grep -q 'no such table\|unable to open' "$1.errors" ||
            fail "a reader got: $(cat "$1.errors")"
        sleep 0.01
    done
}

# check_looks LOG WRITERS: what was seen came in whole files, and never went away. With one writer
# it was the first orders: a source reads its one split in order.
check_looks() {
    awk -F '|' -v writers="$2" '
        NR == FNR { split($0, order, " "); sum[FNR] = sum[FNR - 1] + order[3]; next }
        writers == 1 && ($2 != $3 || $4 != sum[$2]) {
            print "not the first " $2 " orders, which make " sum[$2] ": " $0; exit bad = 1
        }
        $1 in at && at[$1] != $2 { print "half a file: " $0; exit bad = 1 }
        $1 < files || $2 < before { print "orders went away: " $0; exit bad = 1 }
        { at[$1] = before = $2; files = $1; looks++ }
        END { if (!bad) print looks + 0, length(at) }' "$work/orders" "$1" ||
        fail "$(tail -n 1 "$1")"
}

# check WHAT
check() {
    sql "SELECT number, customer, cents FROM orders ORDER BY number" | tr '|' ' ' |
        cmp - "$work/orders" || fail "$1: the orders are not those of the input, each once"
    sql "SELECT customer, orders, cents FROM totals ORDER BY customer" | cmp - "$work/totals" ||
        fail "$1: the totals differ from awk's"
    [[ $(sql 'PRAGMA integrity_check') == ok ]] || fail "$1: SQLite finds damage"
    [[ -d $work/store/nodes/orders && -z $(find "$work/store/nodes" -type f) ]] ||
        fail "$1: staged rows are left over"
}

# try PARALLELISM WRITERS: kills it $kills times, then lets it end.
try() {
    local killed watcher looks=$work/looks.$1.$2 what="parallelism $1, $2 writers"
    local command=("$program" run --store "$work/store" --interval 20ms --parallelism "$1"
        --set "input=$work/orders" --set "database=$database" --set "writers=$2"
        --set "rate=$((1000 * $1))")
    rm -rf "$work/store" "$database"*
    : >"$looks"
    look "$looks" &
    watcher=$!
    for ((killed = 0; killed < kills; killed++)); do
        background "$work/run.log" "${command[@]}"
        sleep "0.$(printf '%03d' $((RANDOM % 250)))"
        kill -KILL "$pid" 2>/dev/null || fail "it had ended after $killed kills"
        code_of wait "$pid" 2>/dev/null # quiet: the shell tells of the kill
    done
    code_of "${command[@]}" >>"$work/run.log" 2>&1
    ((code == 0)) || fail "$what: exit $code of the last run"
    touch "$looks.stop"
    wait "$watcher" || fail "the reader failed"
    check "$what"
    read -r seen states <<<"$(check_looks "$looks" "$2")"
    ((seen > 0 && states > 1)) || fail "$what: the reader saw: $seen $states"
    echo "ok: $what: killed $killed times, exact; $seen looks saw $states states"
    # Once more: nothing is left to do, and nothing comes twice.
    code_of "${command[@]}" >>"$work/run.log" 2>&1
    ((code == 0)) || fail "exit $code after the end"
    check "after the end"
}

# refused WHAT WORDS COMMAND...
refused() {
    code_of "${@:3}" >"$work/refused" 2>&1
    ((code != 0)) || fail "$1: it ran"
    grep -q -- "$2" "$work/refused" || fail "$1: it said $(cat "$work/refused")"
    echo "ok: $1: refused"
}

echo "seed $seed"
orders "$work/orders"
awk '{ n[$2]++; cents[$2] += $3 } END { for (c in n) print c "|" n[c] "|" cents[c] }' \
    "$work/orders" | sort -t '|' -k 1,1 >"$work/totals"
try 1 1
try 3 1
try 3 3
again=("$program" run --set "input=$work/orders" --set "database=$database")
refused "another store" "another history" "${again[@]}" --store "$work/other"
refused "a fresh start" "does not continue" "${again[@]}" --store "$work/store" --parallelism 3 \
    --set writers=3 --restore none
refused "no store" "another history" "${again[@]}"
check "after the refusals"
exercised $((3 * kills))
echo "figure: sqlite kills=$((3 * kills)) exact=3"
