#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# `weir copy`, `drop`, `gc` and `fsck`: copies hold what the checkpoint holds, need nothing else,
# and jobs go on from them, also when they are made while the job runs; what is removed is what was
# meant, and no other checkpoint loses a byte, wherever the tool is killed; nothing is removed while
# a job runs.
#
#     tests/job_weir_clean.sh BUILD_FOLDER

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
[[ -n ${TMPDIR:-} || ! -w /dev/shm ]] || export TMPDIR=/dev/shm # hundreds of syncs
source "$here/tools/job.bash"
source "$here/tools/weir.bash"
program=$build/examples/word_count
words=$work/words bank=$work/bank

# words_run STORE OUTPUT [OPTION...]
words_run() {
    "$program" run --quiet --store "$1" --interval 20ms --retain 1000 --set "input=$work/text" \
        --set "output=$2" "${@:3}"
}

make_stores() {
    awk 'BEGIN { for (i = 0; i < 3000; i++) print "one two w" i % 700, "w" int(i / 3), "zwei" }' \
        >"$work/text"
    counts "$work/text" >"$work/counts"
    words_run "$words" "$work/out" --set rate=15000
    "$build/examples/bank" run --quiet --store "$bank" --interval 40ms --mode unaligned \
        --retain 1000 --set orders=1500 --set rate=6000 --set accounts=100 --set clearing=1000 \
        --set "journal=$work/journal"
    mapfile -t ids < <(checkpoints "$words")
    mapfile -t bank_ids < <(checkpoints "$bank")
    ((${#ids[@]} > 6 && ${#bank_ids[@]} > 4)) || fail "too few checkpoints"
}

# same_content A ID B: checkpoint ID holds the same in both stores.
same_content() {
    local node
    for node in $4; do
        cmp <("$weir" state "$1" "$2" "$node" --json) <("$weir" state "$3" "$2" "$node" --json) ||
            fail "the state of $node in $3"
    done
    cmp <("$weir" inflight "$1" "$2" --json) <("$weir" inflight "$3" "$2" --json) ||
        fail "what is in flight in $3"
}

copies_are_whole() {
    local id=${ids[${#ids[@]} / 2]} other=${bank_ids[2]}
    (($("$weir" show "$words" "$id" --json | sed -E 's/.*"older_bytes":([0-9]+).*/\1/') > 0)) ||
        fail "nothing is shared: a poor test"
    "$weir" copy "$words" "$id" "$work/copy" --json >"$work/copied.json"
    fits copy "$work/copied.json"
    expect 0 "^checkpoint $other, .* is a savepoint in $work/money$" \
        "$weir" copy "$bank" "$other" "$work/money"
    same_content "$words" "$id" "$work/copy" count
    same_content "$bank" "$other" "$work/money" accounts
    mv "$words" "$work/away"
    expect 0 "^$id"$'\tsound$' "$weir" verify "$work/copy"
    [[ $(checkpoints "$work/copy") == "$id" ]] || fail "others were copied too"
    find "$work/copy" -printf '%P %m %s %T@ %C@\n' | sort >"$work/picture"
    expect 0 'would go on' "$weir" explain "$work/copy" newest "$program" -- --set input=x \
        --set output=y
    find "$work/copy" -printf '%P %m %s %T@ %C@\n' | sort | cmp "$work/picture" - ||
        fail "the copy was changed"
    mv "$work/away" "$words"
    expect 3 'is a savepoint already, and is never changed' "$weir" copy "$words" "$id" "$work/copy"
    expect 3 'is not a store and not empty' "$weir" copy "$words" "$id" "$work"
    expect 3 'lies inside the store' "$weir" copy "$words" "$id" "$words/inside"
    expect 3 'no such checkpoint' "$weir" copy "$words" 4711 "$work/never"
    cp -r "$words" "$work/damaged"
    for file in "$work"/damaged/data/*; do
        printf '\377' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") - 8)) conv=notrunc \
            status=none
    done
    expect 3 'data/[0-9-]+\.seg' "$weir" copy "$work/damaged" newest "$work/never"
    [[ ! -e $work/never ]] || fail "a copy that failed is there"
}

# A job dies half way; another one goes on from a copy of where it was, in a store of its own.
jobs_go_on_from_copies() {
    background "$work/run.log" "$program" run --quiet --store "$work/half" --interval 10ms \
        --retain 1000 --set "input=$work/text" --set "output=$work/half-out" --set rate=6000
    until_true 60 has_checkpoints "$work/half" 8 || fail "too few checkpoints"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    "$weir" copy "$work/half" newest "$work/half-copy" >"$work/said.log"
    rm -r "$work/half"
    find "$work/half-copy" -printf '%P %m %s %T@ %C@\n' | sort >"$work/picture"
    words_run "$work/new" "$work/half-out" --restore "$work/half-copy"
    same_counts "from a copy" "$work/counts" "$work/half-out"
    grep -q . "$work/half-copy/SAVEPOINT" || fail "it is no savepoint"
    find "$work/half-copy" -printf '%P %m %s %T@ %C@\n' | sort | cmp "$work/picture" - ||
        fail "the copy was changed"
}

# While the job runs and its retention removes: a copy is sound, or there is none; the job is exact.
the_job_does_not_notice() {
    local made=0 i
    background "$work/run.log" "$program" run --quiet --store "$work/live" --interval 10ms \
        --retain 2 --set "input=$work/text" --set "output=$work/live-out" --set rate=4000
    until_true 60 has_checkpoints "$work/live" 1 || fail "no checkpoint"
    for ((i = 0; i < 100; i++)); do
        ! is_gone "$pid" || break
        if "$weir" copy "$work/live" newest "$work/live-$i" >"$work/said.log" 2>&1; then
            expect 0 sound "$weir" verify "$work/live-$i"
            made=$((made + 1))
        else
            [[ ! -e $work/live-$i ]] || fail "a part of a copy: $(cat "$work/said.log")"
        fi
    done
    wait "$pid" || fail "the job failed"
    ((made > 0)) || fail "no copy was made: a poor test"
    same_counts "beside copies" "$work/counts" "$work/live-out"
    echo "$made copies beside a running job, $((i - made)) of what was gone"
}

# littered NAME: a copy of the words in $store, with what deaths and people leave behind.
littered() {
    store=$work/$1
    cp -r "$words" "$store"
    cp "$store/data/$(ls "$store/data" | head -n 1)" \
        "$store/data/0000000001-00000000000000004711.seg"
    rm -rf "$store/checkpoints/$(printf %020d "${ids[1]}")"/*
    touch "$store/checkpoints/$(printf %020d "${ids[1]}")/MANIFEST.json.tmp"
}

fsck_finds() {
    local store name
    name=$(ls "$words/data" | head -n 1)
    [[ $name =~ ^[0-9]+-[0-9]+\.seg$ ]] || fail "files have another name"
    expect 0 '^# 0 damaged, 0 checkpoints would go, 0 partial rounds, 0 unnamed files of 0 B, 0 f' \
        "$weir" fsck "$words"
    littered litter
    touch "$store/notes" "$store/data/more-notes"
    expect 1 '^unnamed'$'\t-\t''data/0000000001-00000000000000004711.seg' "$weir" fsck "$store"
    expect 1 "^partial"$'\t'"${ids[1]}"$'\t' "$weir" fsck "$store"
    expect 1 "^foreign.*'notes' is not weir's" "$weir" fsck "$store"
    expect 1 "^foreign.*more-notes is not weir's" "$weir" fsck "$store"
    code_of "$weir" fsck "$store" --json >"$work/fsck.json"
    fits fsck "$work/fsck.json"
    expect 1 '^removed: unnamed' "$weir" fsck "$store" --repair
    [[ -e $store/notes && -e $store/data/more-notes ]] || fail "what is not weir's is gone"
    rm "$store/notes" "$store/data/more-notes"
    expect 0 '^# 0 damaged, 0 checkpoints would go, 0 partial' "$weir" fsck "$store"
    expect 0 ', 0 damaged' "$weir" verify "$store" --all

    littered broken
    truncate -s 200 "$store/checkpoints/$(printf %020d "${ids[3]}")/MANIFEST.json"
    expect 3 "^damaged"$'\t'"${ids[3]}.*MANIFEST.json" "$weir" fsck "$store"
    expect 3 "it stays: a checkpoint whose manifest can't be read may name it" \
        "$weir" fsck "$store" --repair
    [[ -e $store/data/0000000001-00000000000000004711.seg ]] || fail "what may be needed is gone"
    expect 0 "^removed: excess"$'\t'"${ids[3]}" "$weir" drop "$store" "${ids[3]}"
    [[ ! -e $store/data/0000000001-00000000000000004711.seg ]] || fail "it is still there"
    expect 0 ' 0 damaged' "$weir" verify "$store" --all
    rm "$store"/data/"$(ls "$store/data" | head -n 1)"
    expect 3 '^damaged.*it names a file that is missing' "$weir" fsck "$store"
}

gc_keeps() {
    local store
    littered kept
    find "$store" | sort >"$work/picture"
    expect 0 "^# 0 damaged, $((${#ids[@]} - 1 - 3)) checkpoints would go, 1 partial" \
        "$weir" gc "$store" --keep 3 --dry-run
    find "$store" | sort | cmp "$work/picture" - || fail "--dry-run"
    "$weir" gc "$store" --keep 3 --dry-run --json | grep -v '"found":"excess"' |
        grep -o '"file":"data[^"]*"' | sort >"$work/due"
    [[ -s $work/due ]] || fail "nothing would go: a poor test"
    "$weir" gc "$store" --json >"$work/gc.json"
    fits gc "$work/gc.json"
    [[ $(checkpoints "$store" | wc -l) == $((${#ids[@]} - 1)) ]] || fail "gc removes checkpoints"
    expect 0 '^removed: excess' "$weir" gc "$store" --keep 3
    [[ $(checkpoints "$store") == "$(printf '%s\n' "${ids[@]: -3}")" ]] || fail "--keep 3"
    find "$store/data" -type f -printf '"file":"data/%P"\n' | sort | comm -12 - "$work/due" |
        grep -q . && fail "--dry-run said that these would go, and they are there"
    expect 0 ' 0 damaged' "$weir" verify "$store" --all
    same_content "$words" "${ids[-2]}" "$store" count
    expect 2 '^weir: --keep wants a number from 1 on, not: 0;' "$weir" gc "$store" --keep 0
    # Of those that can be read: damaged ones do not count, and stay.
    littered sick
    truncate -s 200 "$store/checkpoints/$(printf %020d "${ids[-1]}")/MANIFEST.json"
    expect 1 '^damaged' "$weir" gc "$store" --keep 1
    [[ $(checkpoints "$store") == "$(printf '%s\n' "${ids[@]: -2}")" ]] || fail "of readable ones"
    # A job goes on in what is left, and never uses an id again.
    littered onward
    "$weir" drop "$store" "${ids[-1]}" --force >"$work/said.log"
    "$weir" gc "$store" --keep 1 >"$work/said.log"
    cp -r "$work/out" "$work/onward-out"
    rm "$work"/onward-out/part-* # published behind what is the newest now
    words_run "$store" "$work/onward-out"
    (($(newest "$store") > ids[-1])) || fail "an id is used again"
    "$weir" state "$store" newest count --key-format utf8 | sort | cmp "$work/counts" - ||
        fail "a job that went on"
}

drop_drops() {
    local store=$work/dropped
    cp -r "$words" "$store"
    expect 1 'no run is alive; the last was run 1, process' "$weir" status "$store"
    "$weir" gc "$store" >"$work/said.log"
    expect 1 'no run is alive; the last to have the store was a cleaning, process [0-9]+, counted' \
        "$weir" status "$store"
    expect 1 '"running":false,.*"cleaning":true' "$weir" status "$store" --json
    expect 3 "checkpoint ${ids[-1]} is the newest: without it .*\\(--force\\)" \
        "$weir" drop "$store" "${ids[0]}" "${ids[-1]}"
    expect 3 'checkpoint 4711: there is no such' "$weir" drop "$store" "${ids[0]}" 4711
    expect 2 'say by number what is to go' "$weir" drop "$store" newest
    expect 2 'too few arguments' "$weir" drop "$store"
    [[ $(checkpoints "$store") == "$(checkpoints "$words")" ]] || fail "a refused drop removes"
    expect 0 "^removed: excess"$'\t'"${ids[2]}" "$weir" drop "$store" "${ids[0]}" "${ids[2]}"
    "$weir" drop "$store" "${ids[1]}" --json >"$work/drop.json"
    fits drop "$work/drop.json"
    [[ $(checkpoints "$store") == "$(printf '%s\n' "${ids[@]:3}")" ]] || fail "drop"
    expect 0 ' 0 damaged' "$weir" verify "$store" --all
    expect 0 "^# 0 damaged.* 0 partial rounds, 0 unnamed" "$weir" fsck "$store"
    expect 3 'is a savepoint, and is never changed' "$weir" gc "$work/copy"
    expect 3 'nowhere does not exist' "$weir" gc "$work/nowhere"
    [[ ! -e $work/nowhere ]] || fail "a store was made"
}

nothing_goes_while_a_job_runs() {
    local store=$work/running verb
    background "$work/run.log" "$program" run --quiet --store "$store" --interval 10ms \
        --retain 5 --set "input=$work/text" --set "output=$work/running-out" --set rate=2000
    until_true 60 has_checkpoints "$store" 3 || fail "no checkpoint"
    for verb in "drop $store 1" "gc $store" "gc $store --keep 1" "fsck $store --repair"; do
        # shellcheck disable=SC2086
        expect 3 "is in use by another run: process $pid, epoch 1, since" "$weir" $verb
    done
    # Looking goes on, and what the run writes is no litter.
    code_of "$weir" fsck "$store" >"$work/said.log" 2>&1
    ! grep -E '^(unnamed|partial)' "$work/said.log" || fail "what a run writes is called litter"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    expect 0 '^# 0 damaged' "$weir" gc "$store" --keep 1
    words_run "$store" "$work/running-out"
    same_counts "cleaned between two runs" "$work/counts" "$work/running-out"
}

# killed_at K COMMAND...: false when it has not so many calls.
killed_at() {
    rm -f "$work/fault.log"
    code_of env LD_PRELOAD="$build/tests/fault.so" WEIR_FAULT="$mode" WEIR_FAULT_AT="$1" \
        WEIR_FAULT_ONLY=pwrite,fsync,unlinkat,renameat2 WEIR_FAULT_LOG="$work/fault.log" \
        "${@:2}" >"$work/said.log" 2>&1
    grep -q '^fired' "$work/fault.log"
}

each_call_broken() {
    local store mode at count=0 left verb
    littered small
    "$weir" gc "$store" --keep 5 >"$work/said.log"
    mv "$store" "$work/pattern"
    for mode in kill fail; do
        for verb in gc drop fsck; do
            for ((at = 1; ; at++)); do
                store=$work/victim
                rm -rf "$store"
                cp -r "$work/pattern" "$store"
                cp "$store/data/$(ls "$store/data" | head -n 1)" \
                    "$store/data/0000000001-00000000000000004711.seg"
                mkdir "$store/checkpoints/$(printf %020d 1)" 2>/dev/null || true
                case $verb in
                gc) killed_at "$at" "$weir" gc "$store" --keep 2 || break ;;
                drop) killed_at "$at" "$weir" drop "$store" "${ids[-2]}" "${ids[-4]}" || break ;;
                fsck) killed_at "$at" "$weir" fsck "$store" --repair || break ;;
                esac
                count=$((count + 1))
                expect 0 ' 0 damaged' "$weir" verify "$store" --all
                has_checkpoints "$store" 2 || fail "$verb, $mode at $at: too much is gone"
                [[ $(newest "$store") == "${ids[-1]}" ]] || fail "$verb, $mode at $at: the newest"
                code_of "$weir" fsck "$store" >"$work/said.log" 2>&1
                ((code < 3)) || fail "$verb, $mode at $at: $(cat "$work/said.log")"
                expect 0 '^# 0 damaged' "$weir" fsck "$store" --repair
            done
            ((at > 5)) || fail "$verb has made no calls"
        done
    done
    echo "$count calls were broken"
}

echo "seed $seed"
make_stores
try_properties copies_are_whole jobs_go_on_from_copies the_job_does_not_notice fsck_finds \
    gc_keeps drop_drops \
    nothing_goes_while_a_job_runs each_call_broken
