#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The power goes, as far as a program can bring that about: store and output of word_count lie on an
# ext4 of their own, on a loop device, which is shut down at random moments - from then on nothing
# reaches the disk - and mounted anew. No checkpoint that was told of is lost, the next start
# goes on from it or a newer one, and what is published is exact. Needs to mount and to shut down a
# file system, as root.
#
#     tests/job_power_cut.sh BUILD_FOLDER      WEIR_CUTS=200 for a longer one
#
# WEIR_PLANT=NAME does it to the program `planted`, with that bug awake: the last thing that is
# tried, for it must be noticed.

source "$(dirname "$0")/tools/job.bash"
[[ -z ${WEIR_PLANT:-} ]] || program=$1/tests/planted
cuts=${WEIR_CUTS:-12}
image=$work/image disk=$work/disk
mkdir "$disk"

# To skip is for who may not: a test that can be run and is not is a failure.
make_disk() {
    truncate -s 64M "$image"
    if ! mkfs.ext4 -q -F "$image" >"$work/said" 2>&1 || ! plug_in >"$work/said" 2>&1; then
        echo "skipped: no ext4 can be mounted here: $(head -n 1 "$work/said")"
        exit 77
    fi
}
plug_in() {
    mount -t ext4 -o loop "$image" "$disk"
}

# What was not synced is lost, a file that was written at the last moment to begin with.
power_goes() {
    python3 - "$disk" <<'END' || fail "the file system can't be shut down"
import fcntl, os, struct, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
with open(sys.argv[1] + "/unsynced", "w") as file:
    file.write("gone")
EXT4_IOC_SHUTDOWN, NOT_EVEN_THE_LOG = 0x8004587D, 2
fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack("I", NOT_EVEN_THE_LOG))
END
}
power_comes() {
    until_true 10 umount "$disk" 2>/dev/null || fail "the file system is still in use"
    plug_in || fail "the file system does not come back"
    [[ ! -s $disk/unsynced ]] || fail "what was not synced is there: that was no power cut"
    rm -f "$disk/unsynced"
}

told() { # the newest checkpoint that was told of, in all runs
    sed -n 's/.*"event": "committed".*"checkpoint": \([0-9]*\).*/\1/p' "$work/run.log" |
        sort -n | tail -n 1
}
what_was_told_is_there() {
    local newest last
    newest=$(newest "$store") last=$(told)
    ((${newest:-0} >= ${last:-0})) || fail "$last was told, and $newest is the newest there is"
}
# What a reader found after a cut is the same after the next one.
what_was_durable_stays() {
    [[ ! -s $work/sums ]] || md5sum --quiet -c "$work/sums" || fail "a part is another, or gone"
    find "$out" -name 'part-*' -print0 2>/dev/null | xargs -0r md5sum >"$work/sums"
}

try() { # final|updates PARALLELISM
    local cut
    store=$disk/store out=$disk/out
    rm -rf "$store" "$out" "$work/run.log" "$work/sums"
    command=("$program" run --json --store "$store" --parallelism "$2" --interval 10ms --retain 3
        --set "input=$work/text" --set "output=$out" --set "emit=$1")
    for ((cut = 0; cut < cuts / 2; cut++)); do
        background "$work/run.log" "${command[@]}" --set "rate=$((rate * $2))"
        random_ms 400
        sleep "$pause" # the moment of the cut
        power_goes
        kill -KILL "$pid" 2>/dev/null || true
        code_of wait "$pid" 2>/dev/null
        ((code != 0)) || fail "the input ended after $cut cuts"
        power_comes
        what_was_told_is_there
        what_was_durable_stays
    done
    code_of "${command[@]}" >>"$work/run.log" 2>&1
    ((code == 0)) || fail "exit $code of the last run"
    what_was_durable_stays
    "same_$([[ $1 == final ]] && echo counts || echo updates)" "emit=$1" "$work/counts" "$out"
    echo "ok: emit=$1: the power went $cut times, up to checkpoint $(told); exact"
}

# Blobs that were never synced are lost with the power, and the checkpoints that name them.
a_program_that_does_not_sync_is_noticed() { # BUILD
    code_of env WEIR_PLANT=container_sync_skipped WEIR_CUTS=8 bash "$0" "$1" >"$work/shown.log" 2>&1
    ((code == 1)) && grep -q '^FAILED: ' "$work/shown.log" ||
        fail "a program that does not sync was not noticed: exit $code"
    echo "ok: planted: $(grep -m 1 '^FAILED: ' "$work/shown.log")"
}

rate=10000
echo "seed $seed"
make_disk
text "$work/text" $((rate * cuts))
counts "$work/text" >"$work/counts"
try updates 1
try final 2
[[ -n ${WEIR_PLANT:-} ]] || a_program_that_does_not_sync_is_noticed "$1"
exercised $((cuts / 2 * 2))
echo "figure: power_cut cuts=$((cuts / 2 * 2)) exact=2"
