#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Who may touch a store: one run at a time, even a stopped one; nobody when it was moved away. And
# how a damaged blob is told of and got around.
#
#     tests/job_two_runs.sh BUILD_FOLDER

source "$(dirname "$0")/tools/job.bash"

fresh() { # [OPTION...]: another store and output folder
    store=$work/store.$((++stores)) out=$work/out.$stores log=$work/run.$stores.log
    run=("$program" run --store "$store" --set "input=$work/text" --set "output=$out" "$@")
}
stores=0

start_paced() {
    background "$log" "${run[@]}" --interval 30ms --set "rate=$((lines / 3))"
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints after 20 s"
}

ends_with() { # CODE
    code_of wait "$pid" 2>/dev/null # quiet: the shell tells of kills
    ((code == $1)) || fail "exit $code, not $1"$'\n'"$(cat "$log")"
}

# The kernel holds the lock for it, so no timeout can take the store away.
a_stopped_process_keeps_the_store() {
    fresh --set emit=updates
    start_paced
    kill -STOP "$pid"
    expect 3 "in use by another run: process $pid" "${run[@]}"
    sleep 1
    expect 3 "in use by another run: process $pid" "${run[@]}" --restore none
    kill -CONT "$pid"
    ends_with 0
    same_updates "a run that was stopped for a while" "$work/counts" "$out"
}

# Its lock dies with it.
a_killed_process_leaves_no_lock() {
    fresh --set emit=updates
    start_paced
    kill -STOP "$pid"
    kill -KILL "$pid"
    ends_with 137
    expect 0 'restored from checkpoint' "${run[@]}"
    same_updates "the run after one that was killed" "$work/counts" "$out"
}

runs_that_start_at_once() {
    local round each pids won=0
    for ((round = 0; round < 8; round++)); do
        fresh --set emit=updates --interval 5ms
        pids=()
        for ((each = 0; each < 4; each++)); do
            background "$log" "${run[@]}"
            pids+=("$pid")
        done
        for pid in "${pids[@]}"; do
            code_of wait "$pid"
            ((code == 0 || code == 3)) || fail "exit $code of one of four"$'\n'"$(cat "$log")"
            won=$((won + (code == 0)))
        done
        expect 0 'already ended' "${run[@]}"
        same_updates "four runs at once" "$work/counts" "$out"
    done
    ((won >= 8)) || fail "only $won of 8 rounds had a winner"
}

a_store_that_is_moved_away_ends_the_run() {
    fresh --set emit=updates
    start_paced
    mv "$store" "$store.moved"
    ends_with 3
    grep -q 'moved or removed' "$log" || fail "it does not say why"$'\n'"$(cat "$log")"
    mv "$store.moved" "$store"
    expect 0 'restored from checkpoint' "${run[@]}"
    same_updates "a store that was away for a while" "$work/counts" "$out"
}

# What a run that was killed had published stays; a sink refuses to publish that once more.
a_damaged_blob_is_named_and_got_around() {
    local ids newest older blob at
    fresh # emit=final: nothing is published yet
    start_paced
    kill -KILL "$pid"
    ends_with 137
    mapfile -t ids < <(checkpoints "$store")
    newest=${ids[-1]} older=${ids[-2]}
    # The container that the newest manifest names last holds nothing else's blobs.
    blob=$(grep -oE '"number": *[0-9]+' "$store"/checkpoints/*"$newest"/MANIFEST.json |
        tail -n 1 | grep -oE '[0-9]+$')
    blob=$(find "$store/data" -name "*-$(printf '%020d' "$blob").seg")
    at=$((RANDOM % $(stat -c %s "$blob")))
    cp "$blob" "$work/blob"
    printf "\\x$(printf %x $(($(od -An -tu1 -j $at -N 1 "$blob") ^ 4)))" |
        dd of="$blob" bs=1 seek=$at conv=notrunc status=none
    expect 3 "checkpoint $newest: data/${blob##*/}" "${run[@]}"
    expect 3 "older and sound: $older" "${run[@]}"
    expect 3 "--restore $older" "${run[@]}" --restore "$newest"
    expect 0 "restored from checkpoint $older( |\$)" "${run[@]}" --restore "$older"
    same_counts "restored from an older checkpoint" "$work/counts" "$out"
}

# A checkpoint older than what is visible: publishing on would double it, so it is refused.
an_older_checkpoint_never_doubles_what_is_visible() {
    local ids
    fresh --set emit=updates
    start_paced
    kill -KILL "$pid"
    ends_with 137
    mapfile -t ids < <(checkpoints "$store")
    find "$out" -name 'part-*' | sort | xargs md5sum >"$work/before"
    expect 5 'part-' "${run[@]}" --restore "${ids[0]}"
    md5sum --quiet -c "$work/before" || fail "what was visible has changed"
}

lines=6000
echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"
for property in a_stopped_process_keeps_the_store a_killed_process_leaves_no_lock \
    runs_that_start_at_once a_store_that_is_moved_away_ends_the_run \
    a_damaged_blob_is_named_and_got_around an_older_checkpoint_never_doubles_what_is_visible; do
    "$property"
    echo "ok: $property"
done
