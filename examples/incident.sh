#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# incident.sh: one account of a bank is wrong. When did it go wrong, and how? The checkpoints know.
# For Debian 12, from a fresh clone, as root or with sudo:
#
#     examples/incident.sh
#
# It exits with 0 only when each step shows what it should. Everything it makes lies in one
# temporary folder, except build/release.

set -euo pipefail
export LC_ALL=C

usage() {
    cat <<'END'
usage: examples/incident.sh [option]...
  --build DIR  what is built already: nothing is installed or built
  --seed N     other orders (default 1)
  --keep       keep the stores, the journals and the logs
END
}

build='' seed=1 keep=no
while (($# > 0)); do
    case $1 in
    --build)
        build=$(realpath -e -- "${2:?--build needs a directory}")
        shift 2
        ;;
    --seed)
        [[ ${2:-} =~ ^[1-9][0-9]{0,5}$ ]] || { echo "incident.sh: $1 needs a number" >&2; exit 2; }
        seed=$2
        shift 2
        ;;
    --keep) keep=yes && shift ;;
    --help) usage && exit 0 ;;
    *) echo "incident.sh: unknown option $1" >&2 && usage >&2 && exit 2 ;;
    esac
done

root=$(realpath -- "$(dirname -- "$0")/..")
# shellcheck source=tests/tools/packages.bash
source "$root/tests/tools/packages.bash"
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-incident.XXXXXX")
store=$work/store

finish() {
    local code=$?
    if ((code != 0)) && [[ -s $work/log ]]; then
        echo "--- the last lines that were said:"
        tail -n 10 "$work/log"
    fi
    if [[ $keep == yes ]]; then
        echo "kept: $work"
    else
        rm -rf "$work"
    fi
}
trap finish EXIT

say() { printf '%s\n' "$*"; }
title() { printf '\n== %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*"
    exit 1
}
# shows COMMAND...: says it, and runs it; what it prints also goes to $work/said.
shows() {
    local word line='$'
    for word in "$@"; do
        line+=" ${word//$work\//}"
    done
    say "${line//$build\//}"
    code=0
    "$@" >"$work/said" 2>>"$work/log" || code=$?
}
# picks FIELD [OF]: of JSON lines, by a program in python with `lines`; prints what that prints.
picks() { python3 -c "import json, sys
lines = [json.loads(line) for line in open('$work/said')]
$1"; }

# ------------------------------------------------------------------------------ what is needed --

prepare() {
    title "preparing"
    install_missing gcc libc6-dev make cmake pkg-config libzmq3-dev libczmq-dev liblz4-dev \
        libxxhash-dev libjansson-dev libcsv-dev libsqlite3-dev mawk python3
    build=$root/build/release
    say "building build/release"
    (cd "$root" && cmake --preset release -DWEIR_TESTS=OFF &&
        cmake --build --preset release -j"$(nproc)" --target example_bank weir_tool \
            example_bank_invariant) >"$work/log" 2>&1 || fail "the build"
}

[[ -n $build ]] || prepare
bank=$build/examples/bank weir=$build/bin/weir invariant=$build/examples/bank_invariant.so
for file in "$bank" "$weir" "$invariant"; do
    [[ -e $file ]] || fail "there is no $file: build it, or leave out --build"
done
orders=1500 accounts=1000
of_the_bank=(--set "seed=$seed" --set "orders=$orders" --set "accounts=$accounts")

# An order that is sure to be paid, for it is the payer's first and the account opens with enough,
# and whose credit goes through the clearing, where it will have to wait.
choose_order() {
    "$bank" run --quiet "${of_the_bank[@]}" --set "journal=$work/rehearsal" 2>>"$work/log" ||
        fail "the rehearsal"
    cat "$work"/rehearsal/part-* | awk '
        $5 == "paid" || $5 == "refused" {
            if (!($2 in first) || $1 < first[$2]) { first[$2] = $1; line[$2] = $0 }
        }
        END {
            for (payer in line) {
                split(line[payer], order, " ")
                if (order[1] > 700 && order[1] < 1100 && order[2] % 2 != order[3] % 2 &&
                    order[4] >= 100 && order[3] > 0)
                    print line[payer]
            }
        }' | sort -n | head -n 1 >"$work/order"
    read -r order payer payee amount _ <"$work/order" || fail "no order that would do; try --seed"
}

# ----------------------------------------------------------------------------------- the story --

the_bank_runs() {
    title "a bank runs, and takes a checkpoint every 50 ms"
    "$bank" run --store "$store" --interval 50ms --mode unaligned --retain 1000 \
        "${of_the_bank[@]}" --set rate=3000 --set clearing=300 --set "bug=$order" \
        --set "journal=$work/journal" >>"$work/log" 2>&1 || fail "the bank"
    say "it has ended without complaint. In the evening the books do not balance."
}

when_did_it_go_wrong() {
    title "which checkpoint is the first in which money is not conserved?"
    shows "$weir" verify "$store" --all --invariant "$invariant" --json
    ((code == 1)) || fail "verify answers $code, and should have found violations (1)"
    read -r before bad sound violated < <(picks "
good = [one['checkpoint'] for one in lines if one['sound'] and not one['violations']]
bad = [one['checkpoint'] for one in lines if one['violations']]
assert bad and max([i for i in good if i < bad[0]]) < bad[0] and max(good) < bad[0], 'in turn'
print(max(good), bad[0], len(good), len(bad))") || fail "no first bad checkpoint"
    picks "print(*[one['violations'][0] for one in lines if one['checkpoint'] == $bad])"
    say "$sound are right, the last of them $before; $violated are wrong, from $bad on"
}

what_has_changed() {
    title "what of the accounts is another in $bad than in $before?"
    shows "$weir" diff "$store" "$before" "$bad" accounts --json
    ((code == 1)) || fail "diff answers $code, and should have found changes (1)"
    read -r account was is changes < <(picks "
rows = [one for one in lines if one.get('change') == 'changed']
grown = [one for one in rows
         if one['after']['balance'] - one['before']['balance'] > one['before']['opening'] * 5]
assert len(grown) == 1, grown
one = grown[0]
print(one['key'], one['before']['balance'], one['after']['balance'], len(rows))") ||
        fail "no account stands out: $(head -n 3 "$work/said")"
    say "$changes accounts; one of them by more than anybody owns: account $account," \
        "which had $was and has $is"
    [[ $account == "$payee" ]] || fail "it was account $payee"
}

what_was_on_its_way() {
    title "what was about to reach account $account when $before was taken?"
    shows "$weir" inflight "$store" "$before" --json
    ((code == 0)) || fail "inflight answers $code"
    picks "
for one in lines:
    value = one['value']
    if isinstance(value, dict) and one['to'] in ('accounts', 'clearing') \
            and one['input'] != 'orders' and value['to'] == $account:
        print(value['position'], value['from'], value['to'], value['amount'],
              one['from'], one['to'])
" >"$work/flying"
    grep -q "^$order $payer $payee $amount " "$work/flying" ||
        fail "order $order is not among them: $(cat "$work/flying")"
    while read -r number from _ sum where to; do
        say "order $number: $sum from account $from, between $where and $to"
    done <"$work/flying"
    say "So $amount were on their way, and $((is - was)) have arrived."
}

# told PATTERN COUNT: so many lines of the last replay match.
told() {
    local count
    count=$(grep -Ec -- "$1" "$work/replay" || true)
    ((count == $2)) || fail "\"$1\" is told $count times, and should be $2: $(cat "$work/replay")"
}

# replays CHECKPOINT COUNT: as a debugger would, without anybody seeing anything of it.
replays() {
    find "$store" "$work/journal" -type f -exec md5sum {} + | sort >"$work/bytes"
    shows "$bank" run --store "$store" --restore "$1" --no-publish --until "$2" \
        "${of_the_bank[@]}" --set clearing=100000 --set "bug=$order" --set "watch=$account" \
        --set "journal=$work/journal"
    ((code == 0)) || fail "the replay answers $code"
    sed -n '/from checkpoint/,$p' "$work/log" | tac | sed '/from checkpoint/q' | tac >"$work/replay"
    told 'ended, and has published nothing' 1
    find "$store" "$work/journal" -type f -exec md5sum {} + | sort | cmp "$work/bytes" - ||
        fail "the replay has changed something"
    grep "account $account: " "$work/replay" | sed 's/^bank: accounts.*: account/account/' || true
}

# The newest checkpoint in which order $order had not been given yet, and how many come before it.
find_the_time() {
    local next middle first=0 end
    mapfile -t ids < <("$weir" list "$store" | awk -v before="$before" '$1 + 0 > 0 && $1 <= before {
        print $1 }')
    end=${#ids[@]} # of those from `end` on it had, of those before `first` it had not
    while ((first < end)); do
        middle=$(((first + end) / 2))
        next=$("$weir" show "$store" "${ids[middle]}" | sed -nE 's/.*next number ([0-9]+).*/\1/p')
        [[ -n $next ]] || fail "checkpoint ${ids[middle]} does not say how far its source was"
        if ((next < order)); then
            first=$((middle + 1)) early=${ids[middle]} left=$((order - next))
        else
            end=$middle
        fi
    done
    ((first > 0)) || fail "there is no checkpoint from before order $order"
}

back_in_time() {
    find_the_time
    title "back to checkpoint $early, and on to the order before that one"
    replays "$early" "$left"
    told "order $order,.* received" 0
    told "has $is\$" 0
    title "and one order more"
    replays "$early" "$((left + 1))"
    told "order $order, of $amount from $payer to $payee, is received: has [0-9]{5,}\$" 1
    say "There it is: stop a debugger at that record (README.md, Time travel)."
}

choose_order
the_bank_runs
when_did_it_go_wrong
what_has_changed
what_was_on_its_way
back_in_time
