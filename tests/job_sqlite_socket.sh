#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# From the client to the database: two clients send orders to the socket of the example sqlite_sink
# and are acknowledged; the program is killed at random moments and started again, and now and then
# a client is. In the end each order is in the database once, and the totals are awk's.
#
#     tests/job_sqlite_socket.sh BUILD_FOLDER      WEIR_KILLS=60 for more

source "$(dirname "$0")/tools/job.bash"
sender=$(dirname "$0")/tools/sender.py
program=$1/examples/sqlite_sink
kills=${WEIR_KILLS:-20}
lines=$((kills * 250)) # of each client
rate=13000             # bytes a second of each client; a line has about 18
[[ -x $program ]] || exit 77

# orders FIRST FILE: every second number from FIRST on.
orders() {
    awk -v seed="$((seed + $1))" -v first="$1" -v lines="$lines" 'BEGIN {
        srand(seed)
        for (i = 0; i < lines; i++)
            print first + 2 * i, "customer" int(rand() * 20), int(rand() * 10000) - 1000
    }' >"$2"
}

# send NAME FILE: in the background, its pid in $pid.
send() {
    background "$work/client.$1.log" python3 "$sender" "$work/socket" "$1" "@$2" $rate
}

# random_sleep MOST_MS
random_sleep() {
    sleep "0.$(printf '%03d' $((RANDOM % $1)))"
}

# try PARALLELISM
try() {
    local killed job odd even again=0 database=$work/$1.db
    local command=("$program" run --store "$work/store" --interval 20ms --parallelism "$1"
        --set "socket=$work/socket" --set "database=$database")
    rm -rf "$work/store" "$work"/client.*.log
    send odd "$work/orders.1"
    odd=$pid
    send even "$work/orders.2"
    even=$pid
    for ((killed = 0; killed < kills; killed++)); do
        background "$work/run.log" "${command[@]}"
        job=$pid
        random_sleep 250
        if ((killed % 5 == 4)); then # a client that begins anew knows nothing, but weir does
            kill -KILL "$odd" || fail "the client was done after $killed kills"
            code_of wait "$odd" 2>/dev/null
            send odd "$work/orders.1"
            odd=$pid
            again=$((again + 1))
        fi
        kill -KILL "$job" 2>/dev/null || fail "it had ended after $killed kills"
        code_of wait "$job" 2>/dev/null # quiet: the shell tells of the kill
        kill -0 "$even" 2>/dev/null || fail "a client was done after $killed kills"
    done
    background "$work/run.log" "${command[@]}"
    job=$pid
    code_of wait "$odd"
    ((code == 0)) || fail "parallelism $1: $(tail -n 1 "$work/client.odd.log")"
    code_of wait "$even"
    ((code == 0)) || fail "parallelism $1: $(tail -n 1 "$work/client.even.log")"
    python3 "$sender" "$work/socket" last END >/dev/null ||
        fail "the end did not arrive"
    code_of wait "$job"
    ((code == 0)) || fail "parallelism $1: exit $code of the last run"
    sqlite3 "$database" "SELECT number, customer, cents FROM orders ORDER BY number" |
        tr '|' ' ' | cmp - "$work/orders" || fail "parallelism $1: not each order once"
    sqlite3 "$database" "SELECT customer, orders, cents FROM totals ORDER BY customer" |
        cmp - "$work/totals" || fail "parallelism $1: the totals differ from awk's"
    echo "ok: parallelism $1: the job was killed $killed times, a client $again times, exact;" \
        "$(tail -qn 1 "$work"/client.{odd,even}.log | tr '\n' ' ')"
}

echo "seed $seed"
orders 1 "$work/orders.1"
orders 2 "$work/orders.2"
sort -n "$work/orders.1" "$work/orders.2" >"$work/orders"
awk '{ n[$2]++; cents[$2] += $3 } END { for (c in n) print c "|" n[c] "|" cents[c] }' \
    "$work/orders" | sort -t '|' -k 1,1 >"$work/totals"
try 1
try 3
exercised $((2 * kills))
echo "figure: sqlite_socket kills=$((2 * kills)) exact=2"
