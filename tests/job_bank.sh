#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The bank's money is all there: in every checkpoint that was ever taken, in each mode, at
# parallelism 1, 3 and 5, however often the bank is killed. No checkpoint is retired, so one audit
# in the end sees them all; others run beside the job. At last its journal is checked line by line.
# Which mode gets which parallelism is drawn from the seed; in full each gets all of them.
#
#     tests/job_bank.sh BUILD_FOLDER       WEIR_KILLS=200 WEIR_SECONDS=100 WEIR_TURNS=3 in full

source "$(dirname "$0")/tools/job.bash"
program=$1/examples/bank
kills=${WEIR_KILLS:-3}     # of each run
seconds=${WEIR_SECONDS:-1} # a run lasts at least that long
turns=${WEIR_TURNS:-1}     # runs of each mode, each at another parallelism
rate=6000                  # orders a second
orders=$((seconds * rate))
accounts=1000
clearing=1500 # credits a second, of twice as many: they queue up

# books WHAT: the journal in $work/journal is one that the bank may have written. What the orders
# are is known; which of them were refused is chance, for it depends on when credits arrived. But
# given the lines of an account, each line follows from those before it.
books() {
    python3 - "$work/journal" "$orders" "$accounts" "$seed" <<'PYTHON' || fail "$1: the journal"
import pathlib, sys
from collections import Counter, defaultdict

OPENING, AMOUNT_MOST, MASK = 1000, 400, (1 << 64) - 1
journal, orders, accounts, seed = pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:])

def draws(series):
    while True:
        series = (series + 0x9e3779b97f4a7c15) & MASK
        mixed = ((series ^ series >> 30) * 0xbf58476d1ce4e5b9) & MASK
        mixed = ((mixed ^ mixed >> 27) * 0x94d049bb133111eb) & MASK
        yield mixed ^ mixed >> 31

def order(position):
    draw = draws(next(draws(seed)) + position)
    payer = next(draw) % accounts
    payee = (payer + 1 + next(draw) % (accounts - 1)) % accounts
    return payer, payee, 1 + next(draw) % AMOUNT_MOST

def check(right, what):
    if not right:
        sys.exit(what)

balances, closed = defaultdict(lambda: OPENING), {}
told = {word: Counter() for word in ("paid", "refused", "received")}
for part in sorted(journal.glob("part-*")):  # an account's lines are one subtask's, in order
    for line in part.read_text().splitlines():
        *numbers, balance = [int(word) if word.isdigit() else word for word in line.split()]
        if numbers[0] == "closing":
            account, due, word = numbers[1], balances[numbers[1]], "closing"
            check(account not in closed, f"closed twice: {line}")
            closed[account] = balance
        else:
            position, payer, payee, amount, word = numbers
            account = payee if word == "received" else payer
            due = balances[account] + {"paid": -amount, "refused": 0, "received": amount}[word]
            check(order(position) == (payer, payee, amount), f"there is no such order: {line}")
            check(account not in closed, f"closed already: {line}")
            check(due >= 0, f"not covered: {line}")
            check(word != "refused" or amount > due, f"covered, but refused: {line}")
            told[word][position] += 1
        check(balance == due, f"it must be {due}: {line}")
        balances[account] = due
check(told["paid"] + told["refused"] == Counter(range(orders)), "an order is lost, or doubled")
check(told["received"] == told["paid"], "a credit is lost, or doubled")
check(closed == balances, "an account was not closed")
check(sum(closed.values()) == OPENING * len(closed), "there is not as much money as at first")
check(told["refused"], "no order was refused: a poor test")
PYTHON
}

# audit FILE: of all checkpoints in the store; not one may be wrong.
audit() {
    "$program" audit --store "$work/store" >"$work/$1" &&
        tail -n 1 "$work/$1" | grep -q ', 0 wrong$'
}

# Audits beside the job, until there is $work/stop.
watch_books() {
    until [[ -e $work/stop ]]; do
        ! has_checkpoints "$work/store" 1 || audit audit-beside || return 1
        sleep $((seconds / 10)).3 # the more there will be, the longer an audit takes
    done
}

# Those that a run has called committed, in $work/committed, are there, and were audited.
all_audited() {
    sed -n 's/.*"event": "committed".*"checkpoint": \([0-9]*\),.*/\1/p' "$work/run.log" |
        sort >"$work/committed"
    [[ -s $work/committed ]] &&
        [[ -z $(awk '$NF == "ok" { print $1 }' "$work/audit" | sort |
            comm -23 "$work/committed" -) ]]
}

# try MODE PARALLELISM
try() {
    local what="$1, parallelism $2" watcher count most
    local command=("$program" run --json --max-restarts 0 --store "$work/store" --mode "$1"
        --parallelism "$2" --interval 20ms --retain 1000000 --set "journal=$work/journal"
        --set "orders=$orders" --set "accounts=$accounts" --set "seed=$seed" --set "rate=$rate"
        --set "clearing=$clearing")
    [[ $1 != adaptive ]] || command+=(--alignment-max 10ms)

    rm -rf "$work/store" "$work/journal" "$work/run.log" "$work/stop"
    watch_books &
    watcher=$!
    survive_kills "$kills" $((seconds * 1000 / kills)) "${command[@]}"
    touch "$work/stop"
    wait "$watcher" || fail "$what: beside the job: $(grep -v ' ok$' "$work/audit-beside")"
    ((killed == kills)) || fail "$what: all was paid after $killed kills"
    audit audit || fail "$what: $(grep -v ' ok$' "$work/audit")"
    all_audited || fail "$what: not all that was committed was audited"
    books "$what"

    read -r count most < <(awk '$NF == "ok" { n++; if ($5 > most) most = $5 }
        END { print n, most + 0 }' "$work/audit")
    [[ $1 == aligned ]] || ((most > 0)) || fail "$what: no money was in flight: a poor test"
    echo "ok: $what: killed $killed times, $count checkpoints audited, at most $most in flight"
    all=$((all + killed)) runs=$((runs + 1)) audited=$((audited + count))
    in_flight=$((most > in_flight ? most : in_flight))
}

all=0 runs=0 audited=0 in_flight=0
modes=(aligned unaligned adaptive)
echo "seed $seed"
mkdir "$work/test"
"$1/examples/bank_test" "$work/test" >"$work/test.log" || fail "bank_test"
for ((i = 0; i < 3; i++)); do
    for ((turn = 0; turn < turns; turn++)); do
        try "${modes[i]}" $((1 + 2 * ((i + turn + seed) % 3)))
    done
done
exercised "$all"
echo "figure: bank runs=$runs kills=$all exact=$runs checkpoints_audited=$audited" \
    "most_in_flight=$in_flight"
