#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Savepoints of word_count: taken while it runs and with its stop, restored into new stores, never
# changed; and what happens when one can't be written. Output is exact throughout. One property
# needs to mount a small tmpfs, as root or in a namespace of its own, and is passed over where that
# can't be.
#
#     tests/job_savepoint.sh BUILD_FOLDER [PROPERTY...]

if [[ $(id -u) != 0 && -z ${WEIR_NAMESPACE:-} ]] && unshare -Urm true 2>/dev/null; then
    WEIR_NAMESPACE=1 exec unshare -Urm bash "$0" "$@"
fi
here=$(cd "$(dirname "$0")" && pwd)
source "$here/tools/job.bash"
program=$(cd "$1" && pwd)/examples/word_count
faulty=$(cd "$1" && pwd)/tests/programs/faulty
other=$(cd "$1" && pwd)/examples/two_inputs
export XDG_RUNTIME_DIR=$work/session
mkdir -m 700 "$XDG_RUNTIME_DIR"
lines=4000

fresh() { # [OPTION...]: another store, output and log; `run` would go on for some seconds
    ((++stores))
    store=$work/store.$stores out=$work/out.$stores log=$work/run.$stores.log
    saved=$work/saved.$stores
    job=("$program" run --parallelism 2 --set "input=$work/text" --set "output=$out" "$@")
    pace=(--interval 50ms --set "rate=$((lines / 2))")
    run=("${job[@]}" "${pace[@]}" --store "$store")
}
stores=0

ask() { # VERB [OPTION...]: its code in $code, what it says in $said
    code_of "$program" "$1" --store "$store" "${@:2}" >"$work/said" 2>"$work/complaint"
    said=$(cat "$work/said" "$work/complaint")
}
is_told() { # CODE PATTERN: of the last ask
    ((code == $1)) || fail "exit $code, not $1: $said"$'\n'"$(tail -n 20 "$log")"
    grep -Eq -- "$2" <<<"$said" || fail "\"$2\" is not in what it says: $said"
}
fits() { # OBJECT: of EVENTS.md, what the last ask with --json has said
    echo "$said" >"$work/answer.json"
    python3 "$here/tools/events.py" "$here/../runtime/EVENTS.md" --object "$1" \
        "$work/answer.json" || fail "it does not fit EVENTS.md: $said"
}
begin() { # COMMAND...: in the background, until there are checkpoints
    background "$log" "$@"
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints: $*"$'\n'"$(cat "$log")"
}
ends() { # CODE
    code_of wait "$pid" 2>/dev/null
    ((code == $1)) || fail "exit $code, not $1"$'\n'"$(tail -n 20 "$log")"
}
hurries() { # to the end, without its pace
    ask stop
    ends 6
    expect 0 'ended: all input is processed' "${job[@]}" --store "$store"
}

# Every byte, name, size and time of a directory.
picture() {
    cd "$1"
    find . -printf '%P %y %m %s %T@\n' | sort
    find . -type f | sort | xargs sha256sum
    cd "$work"
}
keep() { # DIR: it must not change from now on
    picture "$1" >"$1.picture"
}
is_as_it_was() { # DIR
    picture "$1" | diff "$1.picture" - || fail "the savepoint $1 was changed"
}

a_job_goes_on_after_its_savepoint_and_another_begins_there() {
    fresh --set emit=updates
    begin "${run[@]}"
    mkdir "$work/elsewhere"
    cd "$work/elsewhere" # not the job's directory: the path is relative to who asks
    ask savepoint --to sp
    cd "$work"
    local sp=$work/elsewhere/sp
    is_told 0 "^checkpoint [0-9]+ is kept as the savepoint $sp: took "
    [[ -e $sp/SAVEPOINT && $(checkpoints "$sp" | wc -l) == 1 ]] || fail "no savepoint: $(ls "$sp")"
    keep "$sp"
    ask savepoint --json --to "$saved"
    fits answer_savepoint
    ask status
    is_told 0 '^savepoints +2 written, the newest of checkpoint '
    hurries
    grep -q "is kept as the savepoint $sp\$" "$log" || fail "the log does not tell"
    same_updates "a job that went on" "$work/counts" "$out"
    move_away_what_is_newer "${job[@]}" --store "$store.new" --restore "$sp"
    expect 0 "restored from checkpoint $(newest "$sp"), the savepoint $sp; goes on in $store.new" \
        "${job[@]}" --store "$store.new" --restore "$sp"
    same_updates "another job from its savepoint" "$work/counts" "$out"
    is_as_it_was "$sp"
}
# COMMAND...: as its refusals say, until it would start.
move_away_what_is_newer() {
    local subtask number part
    mkdir -p "$out.newer"
    for _ in 1 2; do
        expect 5 "move subtask [0-9]'s parts from number [0-9]+ on away first" "$@"
        subtask=$(sed -nE "s/.*move subtask ([0-9]+)'s.*/\1/p" "$work/said.log")
        number=$(sed -nE "s/.*from number ([0-9]+) on.*/\1/p" "$work/said.log")
        for part in "$out/part-$(printf %05d "$subtask")"-*; do
            ((10#${part##*-} < number)) || mv "$part" "$out.newer"
        done
    done
}

# Once for each way to checkpoint: the savepoint of an unaligned one holds what was in flight.
a_job_that_stopped_with_a_savepoint_goes_on_in_a_new_store() {
    local mode emit
    for mode in aligned unaligned adaptive; do
        for emit in final updates; do
            fresh --mode "$mode" --set "emit=$emit"
            begin "${run[@]}"
            ask stop --json --savepoint "$saved"
            ((code == 0)) || fail "$said"$'\n'"$(cat "$log")"
            fits answer_stop
            keep "$saved"
            ends 6
            expect 3 'leave out --restore' "${job[@]}" --store "$store" --restore "$saved"
            expect 0 "the savepoint $saved; goes on in $store.new" \
                "${job[@]}" --store "$store.new" --restore "$saved"
            "same_$([[ $emit == final ]] && echo counts || echo updates)" "$mode $emit" \
                "$work/counts" "$out"
            is_as_it_was "$saved"
            expect 3 'holds checkpoints already' "${job[@]}" --store "$store.new" --restore "$saved"
            expect 0 'already ended' "${job[@]}" --store "$store.new"
        done
    done
}

# An operator that is slow, so that records are queued: these go along.
what_was_in_flight_goes_along() {
    local slow
    fresh
    job=("$faulty" run --parallelism 2 --set "input=$work/text" --set "output=$out" --set spans=yes)
    slow=(--mode unaligned --interval off --set fault=slow --set every=20)
    background "$log" "${job[@]}" "${slow[@]}" --json --store "$store"
    until_true 20 answers || fail "no answer"$'\n'"$(cat "$log")"
    ask stop --savepoint "$saved"
    is_told 0 "is kept as the savepoint $saved"
    ends 6
    python3 "$here/tools/events.py" "$here/../runtime/EVENTS.md" "$log" \
        --want start,stopping,committed,saved,end
    grep -Eq '"overtook": [1-9].*"channel_bytes": [1-9]' "$log" || fail "nothing was in flight"
    keep "$saved"
    expect 0 'restored from checkpoint' "${job[@]}" --store "$store.new" --restore "$saved"
    same_counts "with records in flight" "$work/counts" "$out"
    is_as_it_was "$saved"
}
answers() {
    ask status
    ((code == 0)) && grep -Eq '[1-9][0-9]* taken by tasks' <<<"$said"
}

a_drained_job_ends_with_its_savepoint() {
    fresh --set emit=updates
    begin "${run[@]}"
    ask stop --drain --savepoint "$saved"
    is_told 0 "^process $pid stops \(drain\); checkpoint [0-9]+ is kept as the savepoint $saved\$"
    ends 0
    keep "$saved"
    [[ $(newest "$saved") == $(newest "$store") ]] || fail "it is not the last checkpoint"
    published "$out" | sort >"$work/drained"
    expect 0 'already ended' "${job[@]}" --store "$store.new" --restore "$saved"
    published "$out" | sort | cmp "$work/drained" - || fail "it published more"
    is_as_it_was "$saved"
}

# Of a run, of its stop, and of the start from it.
mistakes_lose_nothing() {
    fresh --set emit=updates
    begin "${run[@]}"
    mkdir "$work/empty" && echo something >"$work/file"
    ask savepoint --to "$work/no/where"
    is_told 5 'no savepoint: .*does not exist: make it first'
    ask savepoint --to "$work/file/sp"
    is_told 5 'no savepoint: .*/file, which should hold it, is not a directory: name another place'
    ask savepoint --to "$work/file"
    is_told 5 'no savepoint: .*is not a directory'
    ask savepoint --to "$store/data/sp"
    is_told 5 'no savepoint: .*lies inside the store'
    ask savepoint --to "$(printf '%s/\377' "$work")"
    is_told 2 'is no UTF-8'
    ask savepoint --to "$work/empty"
    is_told 0 "is kept as the savepoint $work/empty"
    keep "$work/empty"
    ask savepoint --to "$work/empty"
    is_told 5 'is a savepoint already, and is never changed: name another directory'
    ask stop --savepoint "$work/no/where"
    is_told 5 'no savepoint, so the job goes on: .*does not exist'
    grep -q 'could not be written, so the job is not stopped' "$log" || fail "not in the log"
    ask status
    is_told 0 '^state +running'
    is_told 0 '^no savepoint +6 times, the last time: '
    is_as_it_was "$work/empty"
    ask stop --savepoint "$saved"
    is_told 0 'is kept as'
    ends 6
    keep "$saved"
    expect 3 ": savepoint $work/none does not exist" "${job[@]}" --store "$store.new" \
        --restore "$work/none"
    expect 3 ": savepoint $work/file is not a directory" "${job[@]}" \
        --store "$store.new" --restore "$work/file"
    expect 3 "is a savepoint, and is never changed: .*--restore $saved" "${job[@]}" --store "$saved"
    expect 3 'is a savepoint, and is never changed' "${job[@]}" --store "$saved" \
        --restore "$work/empty"
    expect 3 'has 128 key groups' "$program" run --key-groups 7 --store "$store.new" \
        --set "input=$work/text" --set "output=$out" --restore "$saved"
    [[ ! -e $store.new ]] || fail "a start that was refused has made a store"
    expect 4 "was something renamed.*state '.*' of node 'count': [0-9]+ keys" "$other" run \
        --store "$store.new" --set "sales=$work/text" --set "prices=$work/text" \
        --set "output=$out" --restore "$saved"
    # A savepoint that is older than what was published does not go with that output.
    expect 5 'published after the checkpoint this run was restored from' "${job[@]}" \
        --store "$store.old" --restore "$work/empty"
    cp -r "$saved" "$work/damaged"
    printf 'xx' | dd of="$(find "$work/damaged/data" -type f | head -n 1)" bs=1 seek=150 \
        conv=notrunc status=none
    expect 3 'holds nothing else: --restore another one' "${job[@]}" --store "$store.new" \
        --restore "$work/damaged"
    cp -r "$saved" "$work/unfinished"
    rm -r "$work/unfinished/checkpoints/"*
    expect 3 ": savepoint $work/unfinished was never finished" "${job[@]}" \
        --store "$store.new" --restore "$work/unfinished"
    # After all of which the right command is as good as before.
    expect 0 "the savepoint $saved; goes on in $store.new" "${job[@]}" --store "$store.new" \
        --restore "$saved"
    same_updates "after every mistake" "$work/counts" "$out"
    is_as_it_was "$saved"
}

# Killed before and after its first checkpoint: the same command, and the one without --restore.
a_run_that_began_with_a_savepoint_is_killed_and_goes_on() {
    fresh --set emit=updates
    begin "${run[@]}"
    ask stop --savepoint "$saved"
    ends 6
    keep "$saved"
    store=$store.new
    run=("${job[@]}" "${pace[@]}" --store "$store")
    background "$log" "${job[@]}" --store "$store" --interval off --set rate=10 --restore "$saved"
    until_true 20 answers || fail "no answer"$'\n'"$(cat "$log")"
    kill -KILL "$pid"
    ends 137
    begin "${run[@]}" --restore "$saved"
    kill -KILL "$pid"
    ends 137
    expect 3 'leave out --restore' "${run[@]}" --restore "$saved"
    expect 0 "restored from checkpoint [0-9]+ of $store" "${job[@]}" --store "$store"
    same_updates "killed after a savepoint" "$work/counts" "$out"
    is_as_it_was "$saved"
}

# The child's death is its supervisor's business, and --restore PATH holds until a checkpoint.
a_supervised_job_stops_with_a_savepoint_and_begins_with_one() {
    fresh --set emit=updates
    begin "${run[@]}" --supervise
    ask stop --savepoint "$saved"
    is_told 0 'is kept as'
    ends 6
    grep -q 'goes on from checkpoint' "$log" || fail "it did not stop as asked"
    keep "$saved"
    store=$store.new
    run=("${job[@]}" "${pace[@]}" --store "$store" --supervise --restart-delay 10ms)
    begin "${run[@]}" --restore "$saved"
    local child=
    read -r child _ <"/proc/$pid/task/$pid/children" || true # it has no newline
    kill -KILL "$child"
    until_true 10 grep -q 'runs again' "$log" || fail "it was not started again"
    kill -TERM "$pid"
    ends 6
    grep -q 'the same command, without --restore, goes on from checkpoint' "$log" ||
        fail "it sends people back to the savepoint"$'\n'"$(tail -n 5 "$log")"
    expect 0 "restored from checkpoint [0-9]+ of $store" "${job[@]}" --store "$store"
    same_updates "supervised" "$work/counts" "$out"
    is_as_it_was "$saved"
}

# Each record takes 200 ms, and the marker waits behind them all.
a_stop_that_does_not_wait_wins_over_one_that_does() {
    fresh
    background "$log" "$faulty" run --store "$store" --set "input=$work/text" --set "output=$out" \
        --mode aligned --interval off --set fault=slow --set every=1 --set spans=yes \
        --stop-deadline 300ms
    until_true 20 answers || fail "no answer"$'\n'"$(cat "$log")"
    "$program" stop --store "$store" --savepoint "$saved" >"$work/asked.log" 2>&1 &
    local asker=$!
    until_true 10 grep -q 'stopping (control) when one last checkpoint' "$log" || fail "not heard"
    ask stop --savepoint "$saved.2"
    is_told 5 'no savepoint: somebody else has asked for a stop that leaves one'
    sleep 0.5 # the deadline of a plain stop is no deadline for this one
    kill -0 "$pid" || fail "it stopped without its savepoint"
    kill -TERM "$pid"
    ends 6
    code_of wait "$asker"
    ((code == 5)) || fail "exit $code of who asked: $(cat "$work/asked.log")"
    grep -q 'the run ended before the savepoint was done\|the job was over' "$work/asked.log" ||
        fail "$(cat "$work/asked.log")"
    [[ ! -e $saved ]] || fail "there is something: $(ls "$saved")"
}

# Both at once.
a_plain_stop_is_kept_whatever_becomes_of_a_savepoint() {
    local asker
    for _ in 1 2 3; do
        fresh --set emit=updates
        begin "${run[@]}"
        "$program" stop --store "$store" --savepoint "$work/no/where" >"$work/asked.log" 2>&1 &
        asker=$!
        ((RANDOM % 2)) || until_true 10 grep -q 'stopping (control) when' "$log"
        kill -TERM "$pid"
        ends 6
        code_of wait "$asker"
        ((code == 5 || code == 3)) || # 3: it came too late to be heard
            fail "exit $code of who asked: $(cat "$work/asked.log")"
        expect 0 'restored from checkpoint' "${job[@]}" --store "$store"
        same_updates "stopped twice" "$work/counts" "$out"
    done
}

# Both while another checkpoint is taken, for a second or two, since lines come a little faster than
# they are worked off: then they share their last checkpoint, whose savepoint fails.
a_plain_stop_is_kept_that_shares_its_checkpoint_with_a_savepoint() {
    fresh
    background "$log" "$faulty" run --store "$store" --set "input=$work/text" --set "output=$out" \
        --mode aligned --interval off --set fault=slow --set every=1 --set spans=yes --set rate=8
    until_true 20 at_work || fail "no answer"$'\n'"$(cat "$log")"
    kill -USR1 "$pid"
    until_true 10 takes_one || fail "no checkpoint is being taken"
    "$program" stop --store "$store" --savepoint "$work/no/where" >"$work/asked.log" 2>&1 &
    local asker=$!
    until_true 10 grep -q 'stopping (control) when' "$log" || fail "not heard"
    kill -TERM "$pid"
    ends 6
    grep -q 'no savepoint in .*/no/where: saving checkpoint 2:' "$log" &&
        grep -q 'the same command goes on from checkpoint 2$' "$log" ||
        fail "what was tested here?"$'\n'"$(cat "$log")"
    ! grep -q 'stop-deadline' "$log" || fail "the stop was forgotten"$'\n'"$(cat "$log")"
    code_of wait "$asker"
    ((code == 5)) || fail "exit $code of who asked: $(cat "$work/asked.log")"
}
at_work() {
    answers && grep -Eq '([7-9]|[0-9]{2,}) from sources' <<<"$said"
}
takes_one() {
    ask status
    grep -Eq '^now +1 is being taken' <<<"$said"
}

# What fails on a disk that is full gives back what it took.
a_full_disk_costs_the_savepoint_and_nothing_else() {
    local disk=$work/disk full
    mkdir "$disk"
    if ! mount -t tmpfs -o size=256k,mode=0700 weir-test "$disk" 2>"$work/mount.said"; then
        echo "passed over: no file system can be mounted here: $(head -n 1 "$work/mount.said")"
        return
    fi
    trap 'umount -l "$work/disk" 2>/dev/null || true; finish' EXIT
    fresh --set emit=updates
    begin "${run[@]}"
    dd if=/dev/zero of="$disk/something_else" bs=4k count=62 status=none
    full=$(df --output=used "$disk" | tail -n 1)
    ask savepoint --to "$disk/sp"
    is_told 5 'no savepoint: .*(No space left|is full)'
    ask stop --savepoint "$disk/sp"
    is_told 5 'no savepoint, so the job goes on: .*(No space left|is full)'
    [[ $(ls "$disk") == something_else ]] || fail "something is left: $(ls -R "$disk")"
    [[ $(df --output=used "$disk" | tail -n 1) == "$full" ]] || fail "the disk is fuller"
    ask status
    is_told 0 '^state +running'
    rm "$disk/something_else"
    ask savepoint --to "$disk/sp"
    is_told 0 "is kept as the savepoint $disk/sp"
    hurries
    same_updates "on a full disk" "$work/counts" "$out"
    umount "$disk"
    trap finish EXIT
}

cd "$work"
echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"
all=(a_job_goes_on_after_its_savepoint_and_another_begins_there
    a_job_that_stopped_with_a_savepoint_goes_on_in_a_new_store what_was_in_flight_goes_along
    a_drained_job_ends_with_its_savepoint mistakes_lose_nothing
    a_run_that_began_with_a_savepoint_is_killed_and_goes_on
    a_supervised_job_stops_with_a_savepoint_and_begins_with_one
    a_stop_that_does_not_wait_wins_over_one_that_does
    a_plain_stop_is_kept_whatever_becomes_of_a_savepoint
    a_plain_stop_is_kept_that_shares_its_checkpoint_with_a_savepoint
    a_full_disk_costs_the_savepoint_and_nothing_else)
shift
try_properties "${@:-${all[@]}}"
