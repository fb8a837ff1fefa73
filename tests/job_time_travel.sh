#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# `run --no-publish`: an earlier stretch once more. Nothing of it can be seen afterwards, in the
# store and in the output folders, down to the last byte; it ends where it was told; a job that runs
# on the store meanwhile is not disturbed.
#
#     tests/job_time_travel.sh BUILD_FOLDER

here=$(cd "$(dirname "$0")" && pwd)
source "$here/tools/job.bash"
bank=$1/examples/bank
weir=$1/bin/weir
lines=$1/tests/programs/lines
export XDG_RUNTIME_DIR=$work/session
mkdir -m 700 "$XDG_RUNTIME_DIR"

# Everything below $work/kept: names, kinds, bytes, and when it was changed last.
picture() {
    (cd "$work/kept" && find . -printf '%p %y %s %T@ %i\n' | sort &&
        find . -type f -print0 | sort -z | xargs -0 md5sum)
}

# travels RECORDS COMMAND...: a replay that gives so many records, and leaves no trace.
travels() {
    local records=$1
    shift
    picture >"$work/before"
    expect 0 "^[a-z_]+: this run: $records records from sources in .*, 0 checkpoints" "$@"
    grep -q 'ended, and has published nothing' "$work/said.log" || fail "$(cat "$work/said.log")"
    picture | cmp "$work/before" - || fail "it has left a trace: $*"
    left=$(find "$work" -maxdepth 1 | wc -l)
    ((left == things)) || fail "it has made something: $(ls "$work")"
}

make_stores() {
    mkdir "$work/kept"
    words=("$program" run --store "$work/kept/words" --set "input=$work/kept/text"
        --set "output=$work/kept/out")
    text "$work/kept/text" 3000
    "${words[@]}" --quiet --interval 20ms --mode aligned --parallelism 2 --retain 1000 \
        --set rate=6000
    money=("$bank" run --store "$work/kept/bank" --set orders=1500 --set accounts=100
        --set "journal=$work/kept/journal")
    "${money[@]}" --quiet --interval 40ms --mode unaligned --retain 1000 --set rate=6000 \
        --set clearing=1000
    has_checkpoints "$work/kept/words" 5 || fail "too few checkpoints of words: a poor test"
    has_checkpoints "$work/kept/bank" 5 || fail "too few checkpoints of the bank: a poor test"
    : >"$work/before" && : >"$work/said.log"
    things=$(find "$work" -maxdepth 1 | wc -l)
}

a_checkpoint_of_the_middle() { # STORE
    checkpoints "$1" | sed -n '3p'
}

nothing_is_published() {
    local id
    id=$(a_checkpoint_of_the_middle "$work/kept/bank")
    travels 50 "${money[@]}" --no-publish --restore "$id" --until 50 --set clearing=1000
    travels 50 "${money[@]}" --no-publish --restore "$id" --until 50 --parallelism 2
    travels 1500 "${money[@]}" --no-publish --restore none
    id=$(a_checkpoint_of_the_middle "$work/kept/words")
    travels 10 "${words[@]}" --no-publish --restore "$id" --until 10 --parallelism 2
    travels 10 "${words[@]}" --no-publish --restore "$id" --until 10
    travels '[0-9]+' "${words[@]}" --no-publish --restore "$id"
    picture >"$work/before"
    expect 0 'had already ended|already ended' "${words[@]}" --no-publish # the newest
    picture | cmp "$work/before" - || fail "a replay of an end has left a trace"
}

from_the_beginning_without_a_store() {
    travels 7 "$program" run --no-publish --until 7 --set "input=$work/kept/text" \
        --set "output=$work/none"
    grep -q '^word_count: from the beginning$' "$work/said.log" || fail "$(cat "$work/said.log")"
}

# From a savepoint, without a store.
travelled() { # SAVEPOINT
    picture >"$work/before"
    expect 0 "^word_count: from checkpoint [0-9]+ of $1\$" "$program" run --no-publish \
        --restore "$1" --until 3 --set "input=$work/kept/text" --set "output=$work/live.out"
    picture | cmp "$work/before" - || fail "a replay of a savepoint has left a trace"
}

# Its sockets, its lock and its checkpoints are its own.
a_job_runs_meanwhile() {
    local store=$work/live.store
    live=("$program" run --store "$store" --interval 50ms --set "input=$work/kept/text"
        --set "output=$work/live.out" --set rate=300)
    background "$work/live.log" "${live[@]}"
    until_true 20 has_checkpoints "$store" 1 || fail "no checkpoint: $(cat "$work/live.log")"
    expect 0 'published nothing' "$program" run --store "$store" --no-publish --until 5 \
        --set "input=$work/kept/text" --set "output=$work/live.out"
    expect 0 "process $pid" "$weir" status "$store"
    expect 0 '^checkpoint ' "$weir" snapshot "$store"
    expect 0 '^checkpoint ' "$weir" savepoint "$store" "$work/kept/saved"
    travelled "$work/kept/saved"
    expect 0 'was asked to stop' "$weir" stop "$store" --now
    code_of wait "$pid"
    ((code == 6)) || fail "exit $code: $(cat "$work/live.log")"
    rm -rf "$store" "$work/live.out" "$work/live.log"
}

# A live stream can't be given again, and is not touched.
what_reads_a_stream_is_refused() {
    local store=$work/stream.store
    local stream=("$lines" run --store "$store" --set from=stdin --set "output=$work/stream.out")
    printf 'one\ntwo\n' | "${stream[@]}" --quiet
    code_of "${stream[@]}" --no-publish <<<three >"$work/said.log" 2>&1
    ((code != 0)) || fail "it reads a stream: $(cat "$work/said.log")"
    grep -q 'a source that confirms what it has read' "$work/said.log" ||
        fail "$(cat "$work/said.log")"
    rm -rf "$store" "$work/stream.out"
}

what_has_no_sense_is_refused() {
    expect 2 'needs --no-publish' "${words[@]}" --until 5
    expect 2 '--interval means nothing with --no-publish' "${words[@]}" --no-publish --interval 1s
    expect 2 '--supervise means nothing with --no-publish' "${words[@]}" --no-publish --supervise
    expect 2 '--dead-letters means nothing with' "${words[@]}" --no-publish --dead-letters "$work/x"
    expect 2 'say how many records' "${words[@]}" --no-publish --until 0
    expect 2 'say how many records' "${words[@]}" --no-publish --until 2026-01-31
    expect 3 'no such checkpoint|is no checkpoint|not there' "${words[@]}" --no-publish \
        --restore 4711
    expect 3 'none' "$program" run --store "$work/none" --no-publish \
        --set "input=$work/kept/text" --set "output=$work/none.out"
    [[ ! -e $work/none && ! -e $work/none.out ]] || fail "it has made something"
}

# What a file says of other runs is no reason to refuse this one, and is passed over.
a_file_for_other_runs() {
    printf 'interval = 20ms\nsupervise = yes\ndead-letters = %s\n' "$work/letters" \
        >"$work/kept/file"
    travels 5 "${words[@]}" --config "$work/kept/file" --no-publish --restore none --until 5
}

make_stores
try_properties nothing_is_published from_the_beginning_without_a_store a_job_runs_meanwhile \
    what_reads_a_stream_is_refused what_has_no_sense_is_refused a_file_for_other_runs
