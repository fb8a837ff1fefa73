#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Who must not touch a store any more, or may not: a run that was stopped, lost its lock and wakes
# when another one has gone on; children that an operator forked; two runs on copies of one store.
# And a store that is taken away, or can't be written. Nothing is lost, doubled, or said wrongly.
#
#     tests/job_fences.sh BUILD_FOLDER      WEIR_KILLS=200: so many runs that wake

source "$(dirname "$0")/tools/job.bash"
faulty=$1/tests/programs/faulty
sqlite=$1/examples/sqlite_sink
fault=$1/tests/fault.so
trials=${WEIR_KILLS:-4}
rate=12000
lines=9000

# With a sanitizer nothing can be put in front of it.
sanitized=no
(($(nm -D "$1/libweir.so" | grep -Ec '__[at]san_init') == 0)) || sanitized=yes

fresh() { # [RATE [RESTART_DELAY]]: another store, output and log
    store=$work/store.$((++stores)) out=$work/out.$stores log=$work/run.$stores.log
    at=(--store "$store" --set "input=$work/text" --set "output=$out" --interval 15ms
        --restart-delay "${2:-10ms}" --retain 10 --set "rate=${1:-$rate}")
}
stores=0

says() { # an extended regular expression, in the log
    grep -Eq -- "$1" "$log" || fail "\"$1\" is not in what it says:"$'\n'"$(tail -n 30 "$log")"
}
ends_with() { # CODE
    code_of wait "$pid" 2>/dev/null # quiet: the shell tells of kills
    ((code == $1)) || fail "exit $code, not $1"$'\n'"$(tail -n 20 "$log")"
}

# ---- woken ---------------------------------------------------------------------------------------

state_of() { # PID: T when it is stopped
    sed -E 's/^.*\) (.).*/\1/' "/proc/$1/stat" 2>/dev/null || echo Z
}
is_stopped_or_gone() {
    [[ $(state_of "$1") == [TZ] ]]
}
has_newer() { # STORE ID
    local id
    id=$(newest "$1")
    ((${id:-0} > $2 + 1)) || is_gone "$pid"
}

had_ended() { # ID
    ((code == 0)) && grep -q '"final": true' "$store"/checkpoints/*"$1"/MANIFEST.json
}

# What counts: manifests, the containers that they name, and what is published.
picture() {
    find "$store/checkpoints" -name MANIFEST.json -print0 | sort -z | xargs -0r md5sum
    find "$store/checkpoints" -name MANIFEST.json -print0 | xargs -0r awk -v "data=$store/data" '
        /"epoch":/ { epoch = $2 + 0 }
        /"number":/ { printf "%s/%010d-%020d.seg\n", data, epoch, $2 }' |
        sort -u | xargs -r md5sum
    "$1"
}
parts() {
    find "$out" -name 'part-*' -print0 | sort -z | xargs -0r md5sum
}
rows() {
    sqlite3 -cmd '.timeout 20000' "$database" \
        'SELECT * FROM orders ORDER BY number; SELECT * FROM totals ORDER BY customer'
}

# One run stands before its K-th call of these, another takes the store over, and the first one
# wakes. Where it had come to its end, it may say so.
woken_at() { # K CALLS OUTSIDE COMMAND...
    local k=$1 calls=$2 outside=$3 first second before
    shift 3
    LD_PRELOAD=$fault WEIR_FAULT_NO_LOCK=1 WEIR_FAULT=stop WEIR_FAULT_AT=$k \
        WEIR_FAULT_ONLY=$calls background "$log" "$@"
    first=$pid
    until_true 30 is_stopped_or_gone "$first" || fail "it never came to call $k"
    [[ $(state_of "$first") == T ]] || fail "it had ended before call $k"$'\n'"$(tail "$log")"
    before=$(newest "$store")
    LD_PRELOAD=$fault WEIR_FAULT_NO_LOCK=1 background "$log.second" "$@"
    second=$pid
    until_true 30 has_newer "$store" "${before:-0}" || fail "the second run does not get on"
    if is_gone "$second" && grep -q 'database is locked' "$log.second"; then
        # The first one stands in a transaction, and the database keeps others out.
        kill -CONT "$first"
        code_of wait "$first"
        ((code == 3 || code == 5)) || fail "call $k: exit $code of the one that woke"
        code_of "$@" >>"$log.second" 2>&1
        ((code == 0)) || fail "exit $code of the third"
        return 0
    fi
    kill -STOP "$second" 2>/dev/null || true
    until_true 10 is_stopped_or_gone "$second"
    picture "$outside" >"$work/before"
    kill -CONT "$first"
    code_of wait "$first"
    ((code == 3 || code == 5)) || had_ended "$before" ||
        fail "call $k: exit $code of the one that woke"$'\n'"$(tail -n 12 "$log" "$log.second")"
    picture "$outside" >"$work/after"
    cmp -s "$work/before" "$work/after" ||
        fail "call $k: the one that woke has changed this: $(diff "$work/before" "$work/after")"
    codes[code]=$((${codes[code]:-0} + 1))
    kill -CONT "$second" 2>/dev/null || true
    code_of wait "$second"
    ((code == 0)) || fail "exit $code of the second"$'\n'"$(tail "$log.second")"
}

every_call=openat,close,pread,pwrite,fsync,fstatat,mkdirat,unlinkat,renameat2
one_that_wakes_too_late_changes_nothing() {
    local i codes=()
    [[ $sanitized == no ]] || return 0
    for ((i = 0; i < trials; i++)); do
        fresh
        woken_at $((150 + RANDOM % 300)) "$every_call" parts "$program" run "${at[@]}" \
            --set emit=updates
        same_updates "one run woke after another" "$work/counts" "$out"
    done
    echo "figure: fences woken=$trials refused=${codes[3]:-0} failed=${codes[5]:-0}"
    ((${codes[3]:-0} > 0)) || fail "none was told that it has to stop"
}

one_that_wakes_too_late_leaves_a_database_alone() {
    local i database codes=()
    [[ $sanitized == no && -x $sqlite ]] && command -v sqlite3 >"$work/null" || return 0
    awk 'BEGIN { srand(7); for (i = 1; i <= 3000; i++)
        print i, "customer" int(rand() * 20), int(rand() * 10000) }' >"$work/orders"
    for ((i = 0; i < (trials + 3) / 4; i++)); do
        fresh
        database=$work/orders.$stores.db
        woken_at $((6 + RANDOM % 20)) mkdirat,renameat2 rows "$sqlite" run --store "$store" \
            --interval 20ms --set "input=$work/orders" --set "database=$database" --set rate=1500
        sqlite3 "$database" 'SELECT number, customer, cents FROM orders ORDER BY number' |
            tr '|' ' ' | cmp - "$work/orders" || fail "the orders are not those of the input"
    done
}

# ---- forked --------------------------------------------------------------------------------------

children() { # processes of the program FILE, but the test's own
    local exe
    for exe in /proc/[0-9]*/exe; do
        [[ $exe -ef $1 ]] && echo "${exe//[^0-9]/}"
    done
    true
}
no_children() {
    [[ -z $(children "$1") ]]
}

# It returns into a task whose thread is the only one: not a record more is its own.
a_child_that_comes_back_is_ended() {
    local spans
    cp "$faulty" "$work/forks" # so that its processes are known
    for spans in no yes; do
        fresh 0
        expect 0 'ended' "$work/forks" run "${at[@]}" --set fault=fork --set every=1000 \
            --set "spans=$spans"
        same_counts "children that come back, spans=$spans" "$work/counts" "$out"
        until_true 10 no_children "$work/forks" || fail "children: $(children "$work/forks")"
    done
}

a_child_that_stays_keeps_no_other_run_away() {
    fresh
    cp "$faulty" "$work/leaves"
    expect 0 'ended' "$work/leaves" run "${at[@]}" --set fault=leave-child --set every=6000
    ! no_children "$work/leaves" || fail "there is no child"
    expect 0 'already ended' "$faulty" run "${at[@]}" # the lock is let go, not only closed
    same_counts "a child that stays" "$work/counts" "$out"
    kill -KILL $(children "$work/leaves")
}

# The kernel's lock is the child's as well. Who finds it locked is told what to do about it.
a_child_that_outlives_a_killed_run_is_named() {
    local child
    fresh
    cp "$faulty" "$work/outlives"
    background "$log" "$work/outlives" run "${at[@]}" --set fault=leave-child --set every=2000
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints"
    two_of_them() { (($(children "$work/outlives" | wc -l) > 1)); }
    until_true 20 two_of_them || fail "no child"
    kill -KILL "$pid"
    ends_with 137
    expect 3 "process $pid, .*has ended, but one that it forked has LOCK open, or .*fuser" \
        "$faulty" run "${at[@]}"
    for child in $(children "$work/outlives"); do
        kill -KILL "$child"
    done
    until_true 10 no_children "$work/outlives" || fail "it does not end"
    expect 0 'restored from checkpoint' "$faulty" run "${at[@]}"
    same_counts "after a child that outlived it" "$work/counts" "$out"
}

# ---- copied --------------------------------------------------------------------------------------

halfway() { # a store of a run that was stopped in the middle
    fresh
    background "$log" "$program" run "${at[@]}" --set emit=updates
    until_true 20 has_checkpoints "$store" 3 || fail "no checkpoints"
    kill -TERM "$pid"
    ends_with 6
}

# Each copy with its own output is a run of its own.
copies_of_store_and_output_are_two_runs() {
    halfway
    cp -a "$store" "$store.copy"
    cp -a "$out" "$out.copy"
    background "$log" "$program" run "${at[@]}" --set emit=updates
    expect 0 'restored from checkpoint' "$program" run --store "$store.copy" \
        --set "input=$work/text" --set "output=$out.copy" --set emit=updates
    ends_with 0
    same_updates "the original" "$work/counts" "$out"
    same_updates "the copy" "$work/counts" "$out.copy"
}

# With one output for both, nothing is published twice: one of them is refused, or both, by name.
copies_with_one_output_never_double_it() {
    local codes second
    halfway
    cp -a "$store" "$store.copy"
    background "$log" "$program" run "${at[@]}" --set emit=updates --max-restarts 1
    second=$pid
    background "$log.copy" "$program" run --store "$store.copy" --set "input=$work/text" \
        --set "output=$out" --set emit=updates --set "rate=$rate" --interval 15ms --max-restarts 1
    code_of wait "$pid"
    codes=$code
    code_of wait "$second"
    codes+=" $code"
    [[ $codes == *5* ]] || fail "exit codes $codes: nobody was refused"
    grep -Eqh 'part-|staged-|another' "$log" "$log.copy" ||
        fail "it does not say which file: $(tail -n 5 "$log" "$log.copy")"
    published "$out" | awk -F '\t' '$2 != ++n[$1] { exit 1 }' ||
        fail "codes $codes: an update came twice, or one is missing before another"
}

# ---- taken away ----------------------------------------------------------------------------------

a_store_that_is_removed_ends_the_run() {
    fresh $((rate / 4))
    background "$log" "$program" run "${at[@]}" --set emit=updates
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints"
    mv "$store" "$store.gone" # at once: half a store would be another case
    rm -rf "$store.gone" 2>"$work/null" || rm -rf "$store.gone" # it may make a file meanwhile
    ends_with 3
    says 'moved or removed|was removed'
    parts >"$work/before"
    # What was published there belongs to a history that is gone: it is not begun anew upon it.
    expect 5 'part-|another' "$program" run "${at[@]}" --set emit=updates
    parts | cmp - "$work/before" || fail "what was published has changed"
}

# The job fails, and while it waits to be started again something takes the store away: HOW. It is
# refused, and what was published is left as it was; nobody makes a store in its place.
gone_when_restarted() { # PATTERN RUN_OPTION FAULT HOW...
    local pattern=$1 option=$2 fault=$3
    shift 3
    fresh $((rate / 2)) 2s
    background "$log" "$faulty" run "${at[@]}" "$option" --set "every=$((lines / 2))" \
        --set "fault=$fault"
    until_true 30 grep -q 'starting again in' "$log" || fail "it does not fail: $(tail "$log")"
    kill -STOP "$pid"
    ! grep -q 'runs again' "$log" || fail "it was faster than this test, which looks often enough"
    has_checkpoints "$store" 1 || fail "it had no checkpoint: a poor test"
    parts >"$work/before"
    "$@" 2>"$work/null"
    kill -CONT "$pid"
    ends_with 3
    says "store $store $pattern"
    parts | cmp - "$work/before" || fail "what was published has changed"
    (($(grep -c 'started anew\|first start' "$log") == 1)) || fail "it was begun anew"
}

a_restart_makes_no_store() {
    gone_when_restarted 'is gone, or something of it is: a restart makes no new one' --quiet=no \
        error take_all
    [[ ! -e $store ]] || fail "there is a store again"
    gone_when_restarted 'is gone, or something of it is' --supervise segfault take_all
    [[ ! -e $store ]] || fail "there is a store again"
    gone_when_restarted 'is gone, or something of it is' --quiet=no error take_files
    [[ -z $(ls -A "$store") ]] || fail "there is a store again: $(ls "$store")"
    gone_when_restarted 'has lost checkpoint [0-9]+' --quiet=no error take_checkpoints
    gone_when_restarted 'has lost checkpoint [0-9]+' --quiet=no error take_newest
}
take_all() { rm -rf "$store"; }
take_files() { find "$store" -mindepth 1 -delete; }
take_checkpoints() { rm -rf "$store"/checkpoints/*; }
# Three, for of the last one the job need not have heard: it may go on from the one before then.
take_newest() {
    local id
    (($(checkpoints "$store" | wc -l) > 3)) || fail "too few checkpoints: a poor test"
    for id in $(checkpoints "$store" | tail -n 3); do
        rm -r "$store/checkpoints/$(printf '%020d' "$id")"
    done
}

# A store in which nothing can be made is like a full disk: rounds come to nothing, data flows.
a_store_that_can_not_be_written_for_a_while() {
    fresh $((rate / 4))
    held="$store/data $store/checkpoints"
    background "$log" "$program" run "${at[@]}" --set emit=updates --timeout 100ms
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints"
    if ! chattr +i $held 2>"$work/null"; then # as root, where the file system knows that
        held=
        ends_with 0
        echo "skipped: no chattr"
        return 0
    fi
    until_true 20 grep -q 'came to nothing.*not permitted' "$log" ||
        fail "it does not tell"$'\n'"$(tail "$log")"
    expect 5 'no savepoint: checkpoints have come to nothing for 200.0 ms .*not permitted' \
        "$program" savepoint --store "$store" --to "$work/no_savepoint"
    [[ ! -e $work/no_savepoint ]] || fail "it has made a folder for a savepoint that is none"
    chattr -i $held
    held=
    ends_with 0
    same_updates "not writable for a while" "$work/counts" "$out"
}

a_read_only_store_is_refused() {
    halfway
    parts >"$work/before"
    if ! mount --bind "$store" "$store" 2>"$work/null"; then
        echo "skipped: no mount"
        return 0
    fi
    mounted=$store
    mount -o remount,bind,ro "$store"
    expect 3 "store $store: .*read-only" "$program" run "${at[@]}" --set emit=updates
    umount "$store"
    mounted=
    parts | cmp - "$work/before" || fail "what was published has changed"
    expect 0 'restored from checkpoint' "$program" run "${at[@]}" --set emit=updates
    same_updates "read-only, then not" "$work/counts" "$out"
}
held=
mounted=
trap '[[ -z $mounted ]] || umount -l "$mounted"; [[ -z $held ]] || chattr -i $held; finish' EXIT

echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"
try_properties one_that_wakes_too_late_changes_nothing \
    one_that_wakes_too_late_leaves_a_database_alone a_child_that_comes_back_is_ended \
    a_child_that_stays_keeps_no_other_run_away a_child_that_outlives_a_killed_run_is_named \
    copies_of_store_and_output_are_two_runs copies_with_one_output_never_double_it \
    a_store_that_is_removed_ends_the_run a_restart_makes_no_store \
    a_store_that_can_not_be_written_for_a_while \
    a_read_only_store_is_refused
