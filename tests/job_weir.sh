#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tool `weir` on stores that the examples make - aligned and incremental, unaligned with records
# in flight, a savepoint - and on damaged ones: its texts, beside what they should be; its JSON, as
# checkpoint/tool/README.md documents it; its numbers, beside those of others; its exit codes.
#
#     tests/job_weir.sh BUILD_FOLDER

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
source "$here/tools/job.bash"
source "$here/tools/weir.bash"
words=$work/words bank=$work/bank

# What differs between two runs: numbers, and how wide columns are because of them.
mask() {
    sed -E 's/[0-9a-f]{32}/ID/g; s/\[[-.|=# ]*\]/[CHART]/; s/[0-9]{4}-[0-9-]+ [0-9:]+Z/TIME/g
        s/[0-9]+(\.[0-9]+)?( (B|[KMGT]iB|us|ms|s|min))?/N/g; s/ +/ /g; s/^ | $//g'
}

# looks_like COMMAND...: what it prints, masked, is the standard input.
looks_like() {
    "$@" | mask >"$work/said.txt"
    diff - "$work/said.txt" || fail "it prints something else: $*"
}

make_stores() {
    awk 'BEGIN { for (i = 0; i < 3000; i++) print "one two w" i % 700, "w" int(i / 3), "zwei" }' \
        >"$work/text"
    counts "$work/text" >"$work/counts"
    "$build/examples/word_count" run --quiet --store "$words" --interval 20ms --mode aligned \
        --parallelism 2 --retain 1000 --set "input=$work/text" --set "output=$work/out" \
        --set rate=15000
    # Credits queue up before the clearing, so that some are on their way in most checkpoints.
    "$build/examples/bank" run --quiet --store "$bank" --interval 40ms --mode unaligned \
        --retain 1000 --set orders=1500 --set rate=6000 --set accounts=100 --set clearing=1000 \
        --set "journal=$work/journal"
    mapfile -t word_ids < <(checkpoints "$words")
    mapfile -t bank_ids < <(checkpoints "$bank")
    ((${#word_ids[@]} > 4 && ${#bank_ids[@]} > 4)) || fail "too few checkpoints"
}

help_is_there() {
    local verb
    expect 0 '^usage: weir VERB STORE' "$weir" --help
    expect 0 '^weir [0-9]+\.[0-9]+' "$weir" --version
    for verb in list show state inflight diff verify; do
        expect 0 "^usage: weir $verb STORE" "$weir" "$verb" --help
        [[ $("$weir" help "$verb") == "$(cat "$work/said.log")" ]] || fail "help $verb"
        expect 2 "^weir: too few arguments; .weir $verb --help. says more$" "$weir" "$verb"
        expect 2 '^weir: unknown option.*: --nonsense;' "$weir" "$verb" "$words" --nonsense
        expect 3 '^weir: .*nowhere.* does not exist; give the directory' \
            "$weir" "$verb" "$work/nowhere" $([[ $verb == diff ]] && echo 1 2) \
            $([[ $verb == state ]] && echo newest count) $([[ $verb == inflight ]] && echo newest)
    done
    expect 2 'no verb is given' "$weir"
    expect 2 "there is no verb 'lost'" "$weir" lost
    expect 2 "there is no verb 'lost'" "$weir" help lost
    expect 2 'too many arguments' "$weir" help list show
    expect 2 'too many arguments, the first is: b;' "$weir" list a b
    expect 2 'this verb has no such option: key;' "$weir" list "$words" --key 3
    expect 2 '^weir: --limit wants a number from 1 on, not: none;' \
        "$weir" state "$words" newest count --limit none
    expect 2 'an option without its value: --key;' "$weir" state "$words" newest count --key
    expect 2 '^weir: --key and --prefix exclude' \
        "$weir" state "$words" newest count --key a --prefix b
}

nothing_empty_is_taken() {
    local verb option
    for verb in list show verify gc fsck status snapshot stop dump; do
        expect 2 "^weir: STORE is empty; .weir $verb --help. says more$" "$weir" "$verb" ''
    done
    expect 2 '^weir: ID is empty;' "$weir" show "$words" ''
    expect 2 '^weir: NODE is empty;' "$weir" state "$words" newest ''
    expect 2 '^weir: A is empty;' "$weir" diff "$words" '' newest
    expect 2 '^weir: DEST is empty;' "$weir" copy "$words" newest ''
    expect 2 '^weir: DEST is empty;' "$weir" savepoint "$words" ''
    expect 2 '^weir: ID is empty;' "$weir" drop "$words" 1 2 ''
    expect 2 '^weir: JOB is empty;' "$weir" explain "$words" newest ''
    expect 2 '^weir: --savepoint is empty: give it a value;' "$weir" stop "$words" --savepoint ''
    for option in limit prefix key-format value-format; do
        expect 2 "^weir: --$option is empty" "$weir" state "$words" newest count "--$option" ''
    done
    expect 2 '^weir: --edge is empty' "$weir" inflight "$bank" newest --edge ''
    expect 2 '^weir: --invariant is empty' "$weir" verify "$words" --invariant=
    expect 2 '^weir: --keep is empty' "$weir" gc "$words" --dry-run --keep ''
    expect 2 '^weir: --to is empty' "$weir" export "$words" newest --to '' --format csv
    expect 2 '^weir: --format is empty' "$weir" export "$words" newest --to "$work/x" --format ''
    expect 1 '^weir: there is no key ' "$weir" state "$words" newest count --key ''
}

nothing_is_given_twice() {
    local option
    for option in limit prefix key-format value-format; do
        expect 2 "^weir: --$option is given twice; .weir state --help. says more$" \
            "$weir" state "$words" newest count "--$option" 1 "--$option=1"
    done
    for option in json no-pager counts; do
        expect 2 "^weir: --$option is given twice" "$weir" show "--$option" "$words" "--$option"
    done
    expect 2 '^weir: --keep is given twice' "$weir" gc "$words" --dry-run --keep 3 --keep 3
    expect 2 '^weir: --savepoint is given twice' "$weir" stop "$words" --savepoint a --savepoint b
}

complaints_steer_no_terminal() {
    local odd=$'x\033[31m\ny\302\233\377\303\244' shown='x\\x1b\[31m\\x0ay\\xc2\\x9b\\xffä'
    expect 2 "there is no verb '$shown'" "$weir" "$odd"
    expect 2 "too many arguments, the first is: $shown;" "$weir" list "$words" "$odd"
    expect 2 "no node '$shown'" "$weir" state "$words" newest "$odd"
    expect 2 "'$shown' is no checkpoint's id" "$weir" show "$words" "$odd"
    expect 3 'x\?\[31m\?y.* does not exist' "$weir" list "$work/$odd" # the library says so
}

list_names_each() {
    json list "$words"
    [[ $(grep -c '"readable":true' "$work/list.json") == "${#word_ids[@]}" ]] || fail "list"
    [[ $("$weir" list "$words" | awk 'NR > 1 { print $1 }') == "$(checkpoints "$words")" ]] ||
        fail "list: the ids"
    looks_like "$weir" list "$words" < <(
        echo 'ID TAKEN AGE TOOK MODE REASON NEW SHARED IN FLIGHT STATUS'
        for ((i = 1; i < ${#word_ids[@]}; i++)); do
            echo 'N TIME N N aligned interval N N N readable'
        done
        echo 'N TIME N N aligned final N N N readable, final'
    )
}

# How many handles a checkpoint has differs: sinks confirm when they do.
show_but_handles() {
    "$weir" show "$1" | awk '!/^handle of / { lines = lines $0 "\n" }
        END { sub(/\n+$/, "", lines); print lines }'
}
show_tells_all() {
    local id
    json show "$words"
    json show "$bank" "${bank_ids[2]}"
    looks_like show_but_handles "$words" <<'TEXT'
checkpoint N of job word_count: all input had ended
store ID, N key groups
taken TIME, age N; reason: final; mode: aligned
took N; the last task had cut and sent its markers after N
size N, decompressed N; of it shared with earlier ones N
in flight N at readers, N at writers
run N, a first start

NODE OPERATOR VERSION TASKS STATES
lines line_source N N N
split function N N N
count reduce N N N
output line_sink N N N

EDGE ROUTING KEYS VALUES
lines.out > split.in forward - -
split.out > count.in by_key - -
count.out > output.in forward - -

STATE KIND FORMAT VERSION ENTRIES STORED DECOMPRESSED SEGMENTS
count/cell value uN N - N N N

TASK STORED IN FLIGHT HANDLES LETTERS CUT STATUS POSITION
lines.N N N N N N ended all read
lines.N N N N N N ended all read
split.N N N N N N ended
split.N N N N N N ended
count.N N N N N N ended
count.N N N N N N ended
output.N N N N N N ended N parts
output.N N N N N N ended N parts

phases in N: . wait, - align, | cut, = record, # write
TASK PHASES
lines.N [CHART]
lines.N [CHART]
split.N [CHART]
split.N [CHART]
count.N [CHART]
count.N [CHART]
output.N [CHART]
output.N [CHART]
TEXT
    for id in "${word_ids[@]}"; do "$weir" show "$words" "$id"; done | mask | grep '^handle' |
        sort -u | diff - <(echo 'handle of output.N, prepared for checkpoint N: ".staged-ID-N-N-N'\
            'part-N-N"') || fail "handles"
    expect 0 "^count/cell +value +u64 +0 +$(wc -l <"$work/counts") " "$weir" show "$words" --counts
    json show "$words" newest --counts
    grep -q "\"entries\":$(wc -l <"$work/counts")[,}]" "$work/show.json" || fail "--counts"
    expect 3 'there is no such checkpoint; .weir list. shows' "$weir" show "$words" 4711
    expect 2 "'last' is no checkpoint's id" "$weir" show "$words" last
    expect 2 "'0' is no checkpoint's id" "$weir" show "$words" 0
    expect 2 "'3x' is no checkpoint's id" "$weir" show "$words" 3x
}

state_is_what_was_counted() {
    "$weir" state "$words" newest count/cell --key-format utf8 | sort | cmp "$work/counts" - ||
        fail "the counts are not the oracle's"
    json state "$words" newest count
    [[ $("$weir" state "$words" newest count --key one) == $'"one"\t3000' ]] || fail "--key"
    [[ $("$weir" state "$words" newest count --key 0x6f6e65) == $'"one"\t3000' ]] || fail "hex key"
    [[ $("$weir" state "$words" newest count --key two --key-format hex \
        --value-format 'u32[2]' 2>&1) == *"'two' is no key of count/cell, whose keys look"* ]] ||
        fail "--key-format"
    [[ $("$weir" state "$words" newest count --key two --value-format 'u32[2]') == \
        $'"two"\t[3000, 0]' ]] || fail "--value-format"
    [[ $("$weir" state "$words" newest count --prefix w69 --key-format utf8 | sort) == \
        "$(grep '^w69' "$work/counts")" ]] || fail "--prefix"
    [[ $("$weir" state "$words" newest count --limit 7 | wc -l) == 7 ]] || fail "--limit"
    expect 1 'there is no key nobody$' "$weir" state "$words" newest count --key nobody
    expect 1 "node 'lines' has no keyed state" "$weir" state "$words" newest lines
    expect 2 "node 'count' has no state 'total'" "$weir" state "$words" newest count/total
    expect 2 "no node 'cont'; there is: lines, split, count, output" \
        "$weir" state "$words" newest cont
    expect 2 "'u63' is no format" "$weir" state "$words" newest count --value-format u63
    expect 2 "'x' is no key of accounts/accounts, whose keys look like 17" \
        "$weir" state "$bank" newest accounts --key x
    "$weir" state "$bank" newest accounts --key 7 |
        grep -Eqx $'7\t\\{opening: 1000, balance: [0-9]+\\}' || fail "an account"
}

# --prefix reads what --key reads; what fits nothing is told.
keys_are_read_alike() {
    local shown one
    one=$("$weir" state "$words" newest count --key one)
    for shown in on 0x6f6e '"on"' '\x6fn' 0X6F6E; do
        [[ $("$weir" state "$words" newest count --prefix "$shown") == "$one" ]] ||
            fail "--prefix $shown"
    done
    for shown in one 0x6f6e65 '"one"' '\x6fne'; do
        [[ $("$weir" state "$words" newest count --key "$shown") == "$one" ]] || fail "--key $shown"
    done
    [[ $("$weir" state "$words" newest count --key-format hex --prefix 6f6e 2>&1) == \
        $'0x6f6e65\t3000' ]] || fail "--prefix of hex"
    expect 1 'there is no key 0xff00' "$weir" state "$words" newest count --key 0xff00
    for shown in 0x6f6 '\q'; do
        expect 2 'is no beginning of keys of count/cell, whose keys look like' \
            "$weir" state "$words" newest count --prefix "$shown"
    done
    expect 2 "'0x07' is no key of accounts/accounts, whose keys look like 17" \
        "$weir" state "$bank" newest accounts --key 0x07
    expect 1 'there is no key 0x0700000000000070' \
        "$weir" state "$bank" newest accounts --key 0x0700000000000070
    [[ $("$weir" state "$words" newest count --key-format u16 --key 0x6f6e65 2>&1) == \
        $'0x6f6e65\t3000'*"none of the 1 keys fits --key-format 'u16': they are bytes" ]] ||
        fail "a key that does not fit is not found"
}

formats_that_nothing_fits_are_told() {
    local rows
    rows=$("$weir" state "$bank" newest accounts | wc -l)
    expect 0 "^weir: none of the $rows values fits --value-format 'u16': they are bytes$" \
        "$weir" state "$bank" newest accounts --value-format u16
    expect 0 "^weir: none of the $rows keys fits --key-format 'u16'" \
        "$weir" state "$bank" newest accounts --key-format u16
    expect 0 "^weir: none of the [0-9]+ values fits --value-format 'u16'" \
        "$weir" inflight "$bank" "$fullest" --value-format u16
    expect 1 "^weir: none of the [0-9]+ values fits --value-format 'u16'" \
        "$weir" diff "$bank" "${bank_ids[1]}" newest --value-format u16
    "$weir" state "$bank" newest accounts --key-format u64 --value-format 'u64[2]' \
        >/dev/null 2>"$work/said.log"
    [[ ! -s $work/said.log ]] || fail "a complaint of what fits: $(cat "$work/said.log")"
}

# The money on accounts and on its way, as the tool tells of it, is the bank's: with --invariant,
# with `bank audit`, and added up here.
in_flight_is_the_money_on_its_way() {
    local id most=0 balance flying records step=$((${#bank_ids[@]} / 8 + 1)) i
    mkdir "$work/books"
    "$build/examples/bank" audit --store "$bank" >"$work/audit"
    for ((i = 0; i < ${#bank_ids[@]}; i += step)); do
        id=${bank_ids[i]}
        "$weir" inflight "$bank" "$id" --json >"$work/books/$id.inflight"
        "$weir" state "$bank" "$id" accounts --json >"$work/books/$id.state"
    done
    python3 - "$work/books" >"$work/sums" <<'PYTHON' || fail "the money: $(cat "$work/sums")"
import json, pathlib, sys

def lines(path):
    return [json.loads(line) for line in path.open()]

for path in sorted(pathlib.Path(sys.argv[1]).glob("*.inflight")):
    flying, accounts = lines(path), lines(path.with_suffix(".state"))
    credits = [one["value"]["amount"] for one in flying
               if one["to"] in ("accounts", "clearing") and one["input"] != "orders"]
    balance, opening = (sum(one["value"][of] for one in accounts) for of in ("balance", "opening"))
    assert balance + sum(credits) == opening, (path, balance, sum(credits), opening)
    channels = {}
    for one in flying:
        channel = tuple(one[of] for of in ("from", "from_subtask", "to", "to_subtask", "output"))
        assert one["position"] == channels.get(channel, 0) + 1, one
        channels[channel] = one["position"]
        if one["input"] == "credits" or one["to"] == "clearing":
            assert one["key"] == one["value"]["to"], one
    print(path.stem, balance, sum(credits), len(credits))
PYTHON
    while read -r id balance flying records; do
        grep -Eq "^ *$id .* $balance +$flying +$records +ok\$" "$work/audit" ||
            fail "the audit of checkpoint $id has not $balance $flying $records"
        ((records <= most)) || most=$records fullest=$id
    done <"$work/sums"
    ((most > 3)) || fail "next to nothing was in flight: a poor test"
    json inflight "$bank" "$fullest"
    looks_like "$weir" inflight "$bank" "$fullest" --edge accounts:clearing --limit 1 <<<$(
        printf 'accounts.N>clearing.N\tN\treader\t-\tN\t%s' \
            '{position: N, from: N, to: N, amount: N}')
    [[ $("$weir" inflight "$bank" "$fullest" | wc -l) == $(wc -l <"$work/inflight.json") ]] ||
        fail "text and JSON differ"
    expect 2 "there is no edge 'accounts:nobody'" \
        "$weir" inflight "$bank" "$fullest" --edge accounts:nobody
}

# diff of the counts at A and B is what follows from `state` of both.
diff_is_what_state_says() {
    local a=${word_ids[$1]} b=${word_ids[$2]}
    "$weir" state "$words" "$a" count --key-format utf8 | sort >"$work/before"
    "$weir" state "$words" "$b" count --key-format utf8 | sort >"$work/after"
    join -t $'\t' -a 1 -a 2 -e - -o 0,1.2,2.2 "$work/before" "$work/after" | awk -F '\t' '
        $2 == $3 { next }
        $2 == "-" { print "+ count/cell\t" $1 "\t" $3; next }
        $3 == "-" { print "- count/cell\t" $1 "\t" $2; next }
        { print "~ count/cell\t" $1 "\t" $2 "\t->\t" $3 }' | sort >"$work/due"
    code_of "$weir" diff "$words" "$a" "$b" --key-format utf8 >"$work/told"
    ((code == ($(wc -l <"$work/due") > 0))) || fail "diff answers $code"
    grep -v '^#' "$work/told" | sort | cmp "$work/due" - || fail "diff $a $b"
    tail -n 1 "$work/told" |
        grep -Eqx '# count/cell: [0-9]+ added, [0-9]+ removed, [0-9]+ changed' ||
        fail "diff $a $b: the sums"
}

diff_tells_changes() {
    local last=$((${#word_ids[@]} - 1))
    diff_is_what_state_says 1 2
    diff_is_what_state_says 2 1
    diff_is_what_state_says 0 "$last"
    diff_is_what_state_says "$last" 1
    grep -q '^[-]' "$work/due" || fail "nothing was removed: a poor test"
    expect 0 '^# count/cell: 0 added, 0 removed, 0 changed$' "$weir" diff "$words" newest newest
    expect 1 '^~ accounts/accounts' "$weir" diff "$bank" "${bank_ids[1]}" newest accounts
    expect 2 "there is no state 'acounts'" "$weir" diff "$bank" 1 newest acounts
    json diff "$bank" "${bank_ids[1]}" newest
}

# An invariant that fails at one checkpoint, and one that has another name.
make_invariants() {
    local cc
    cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
    cat >"$work/odd.c" <<CODE
#include <weir_checkpoint.h>
WEIR_API weir_invariant_function NAME;
enum weir_result NAME(struct weir_checkpoint *checkpoint,
                      void (*report)(void *context, const char *violation), void *context,
                      struct weir_error *error)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    (void)error;
    weir_checkpoint_describe(checkpoint, &info);
    if (info.id == ${bank_ids[1]})
        report(context, "this is the second");
    return WEIR_OK;
}
CODE
    "$cc" -shared -fPIC -DNAME=weir_invariant -I "$build/include" "$work/odd.c" -o "$work/odd.so"
    "$cc" -shared -fPIC -DNAME=another -I "$build/include" "$work/odd.c" -o "$work/unnamed.so"
}

verify_asks_invariants() {
    local invariant=$build/examples/bank_invariant.so
    json verify "$bank" --all
    [[ $(grep -c '"sound":true' "$work/verify.json") == "${#bank_ids[@]}" ]] || fail "verify --all"
    expect 0 "^# ${#bank_ids[@]} checkpoints, 0 damaged, 0 with violations$" \
        "$weir" verify "$bank" --all --invariant "$invariant"
    expect 0 "^${bank_ids[3]}"$'\tsound$' "$weir" verify "$bank" "${bank_ids[3]}"
    expect 3 "WEIR_NOT_FOUND.*there is no node 'accounts'" \
        "$weir" verify "$words" --invariant "$invariant"
    make_invariants
    cd "$work"
    expect 1 "^${bank_ids[1]}"$'\tVIOLATED\tthis is the second$' \
        "$weir" verify "$bank" --all --invariant odd.so
    cd - >/dev/null
    [[ $(grep -c VIOLATED "$work/said.log") == 1 ]] || fail "others too"
    json verify "$bank" "${bank_ids[1]}" --invariant "$work/odd.so"
    grep -q '"violations":\["this is the second"\]' "$work/verify.json" || fail "no violation"
    expect 2 'unnamed.so has no function weir_invariant' \
        "$weir" verify "$bank" --invariant "$work/unnamed.so"
    expect 2 "the invariant can't be loaded: .*nowhere.so" \
        "$weir" verify "$bank" --invariant "$work/nowhere.so"
    expect 2 'an id and --all exclude each other' "$weir" verify "$bank" 3 --all
    expect 3 'there is no such checkpoint' "$weir" verify "$bank" 4711
}

# damaged NAME: a copy of the bank's store, in $store.
damaged() {
    store=$work/damaged-$1
    cp -r "$bank" "$store"
    newest_folder=$store/checkpoints/$(printf %020d "${bank_ids[-1]}")
}

damage_is_named() {
    local store newest_folder file verbs verb
    damaged manifest
    truncate -s 300 "$newest_folder/MANIFEST.json"
    expect 3 "^ *${bank_ids[-1]} .* DAMAGED$" "$weir" list "$store"
    expect 3 'MANIFEST.json' "$weir" list "$store"
    fits list <("$weir" list "$store" --json 2>"$work/complaint.json")
    fits complaint "$work/complaint.json"
    for verb in show "state $store newest accounts" "inflight $store newest" \
        "diff $store ${bank_ids[0]} newest" verify; do
        [[ $verb == *' '* ]] || verb="$verb $store"
        # shellcheck disable=SC2086
        expect 3 "checkpoint ${bank_ids[-1]}.*MANIFEST.json" "$weir" $verb
    done
    expect 0 'sound' "$weir" verify "$store" "${bank_ids[0]}"

    damaged byte
    file=$(find "$store/data" -type f | sort | head -n 1)
    printf '\377' | dd of="$file" bs=1 seek=80 conv=notrunc status=none
    expect 3 "^${bank_ids[0]}"$'\tWEIR_DAMAGED\t' "$weir" verify "$store" --all
    damaged gone
    rm "$store"/data/*
    expect 3 'data/[0-9-]+\.seg' "$weir" state "$store" newest accounts
    expect 3 'data/[0-9-]+\.seg' "$weir" diff "$store" "${bank_ids[0]}" newest
    expect 3 'data/[0-9-]+\.seg' "$weir" inflight "$store" "$fullest"
    expect 3 'data/[0-9-]+\.seg' "$weir" verify "$store"
    mkdir "$work/empty"
    expect 3 '^weir: .*empty' "$weir" list "$work/empty"
    expect 3 '^weir: ' "$weir" list "$work/text"
}

# It has only looked: a store's files are as they were. Who reads may have had enough.
nothing_is_disturbed() {
    find "$bank" "$words" -printf '%P %m %s %T@ %C@\n' | sort | cmp "$work/picture" - ||
        fail "a store was changed"
    code_of bash -c '"$0" state "$1" newest count | head -n 1' "$weir" "$words" >"$work/said.log"
    ((code == 0)) && grep -q . "$work/said.log" || fail "into head: $code"
}

# A reader that goes away says nothing and changes nothing; a full disk has an exit code.
output_ends_well() {
    local each json
    for json in '' --json; do
        for each in "state $bank newest accounts" "inflight $bank $fullest" "list $bank" \
            "show $bank" "verify $bank --all" --help --version 'help --man' 'help --bash'; do
            [[ $json == '' || $each == *" $bank"* ]] || continue
            # shellcheck disable=SC2086
            python3 -c 'import os, subprocess, sys
reader, writer = os.pipe()
os.close(reader)
sys.exit(subprocess.run(sys.argv[1:], stdout=writer).returncode)' "$weir" $each $json \
                >"$work/said.log" 2>&1 || fail "exit $? into a pipe nobody reads: $each $json"
            [[ ! -s $work/said.log ]] || fail "$each $json complains: $(cat "$work/said.log")"
            # shellcheck disable=SC2016
            expect 8 'not all of the answer could be written: No space left on device' \
                bash -c '"$@" >/dev/full' - "$weir" $each $json
        done
    done
}

# on_terminal SETTING... -- COMMAND...: its exit code; what a terminal shows of it in said.log.
on_terminal() {
    python3 - "$@" <<'PYTHON' >"$work/said.log"
import os, pty, sys
at = sys.argv.index("--")
settings = dict(one.split("=", 1) for one in sys.argv[1:at])
command = sys.argv[at + 1:]
child, terminal = pty.fork()
if child == 0:
    os.execve(command[0], command, dict(os.environ, **settings))
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    sys.stdout.buffer.write(part.replace(b"\r", b""))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
PYTHON
}

a_pager_may_fail() {
    local pager whole
    whole=$("$weir" list "$words" | mask)
    for pager in "$work/nosuchpager" 'head -n 1 >/dev/null; exit 3'; do
        on_terminal TERM=xterm NO_COLOR=1 "PAGER=$pager" -- "$weir" list "$words"
        grep -q '^weir: the pager has failed, with exit code [0-9]*:' "$work/said.log" ||
            fail "$pager: not told"
        sed '0,/^weir: the pager has failed/d' "$work/said.log" | mask >"$work/rest"
        diff "$work/rest" <(echo "$whole") || fail "$pager: not all of it"
    done
    on_terminal TERM=xterm NO_COLOR=1 'PAGER=sed s/^/:/' -- "$weir" list "$words"
    [[ $(sed 's/^://' "$work/said.log" | mask) == "$whole" ]] || fail "a pager was not used"
    ! grep -qv '^:' "$work/said.log" || fail "a pager was not used for all of it"
    on_terminal TERM=dumb 'PAGER=sed s/^/:/' -- "$weir" list "$words"
    [[ $(mask <"$work/said.log") == "$whole" ]] || fail "TERM=dumb has a pager, or colours"
}

echo "seed $seed"
make_stores
find "$bank" "$words" -printf '%P %m %s %T@ %C@\n' | sort >"$work/picture"
try_properties help_is_there nothing_empty_is_taken nothing_is_given_twice \
    complaints_steer_no_terminal list_names_each show_tells_all state_is_what_was_counted \
    keys_are_read_alike in_flight_is_the_money_on_its_way formats_that_nothing_fits_are_told \
    diff_tells_changes verify_asks_invariants damage_is_named nothing_is_disturbed \
    output_ends_well a_pager_may_fail
