#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The disk under the store fills up while word_count runs: checkpoints come to nothing and it says
# why, lines are read on, and when there is room again the next checkpoint succeeds. What is
# published is exact. Needs to mount a small tmpfs, as root or in a namespace of its own.
#
#     tests/job_full_disk.sh BUILD_FOLDER

if [[ $(id -u) != 0 && -z ${WEIR_NAMESPACE:-} ]] && unshare -Urm true 2>/dev/null; then
    WEIR_NAMESPACE=1 exec unshare -Urm bash "$0" "$@"
fi
source "$(dirname "$0")/tools/job.bash"
disk=$work/disk
mkdir "$disk"
if ! mount -t tmpfs -o size=1m,mode=0700 weir-test "$disk" 2>"$work/mount.said"; then
    echo "skipped: no file system can be mounted here: $(head -n 1 "$work/mount.said")"
    exit 77
fi

store=$disk/store out=$work/out log=$work/run.log

newer_than() { # ID
    local id
    id=$(newest "$store")
    ((${id:-0} > $1))
}
aborted() { # HOW_MANY: as the log tells, "(and N before it)" included
    (($(sed -nE 's/.* came to nothing.*/1 &/p' "$log" |
        awk '{ n += 1; if (match($0, /and [0-9]+ before/)) n += substr($0, RSTART + 4) }
             END { print n + 0 }') >= $1))
}
fill() {
    dd if=/dev/zero of="$disk/something_else" bs=4k status=none 2>/dev/null && return 1
    dd if=/dev/zero of="$disk/the_rest" bs=1 status=none 2>/dev/null || true
}

try() { # final|updates
    local before lines_before said seconds=3
    rm -rf "$store" "$out" "$log"
    background "$log" "$program" run --store "$store" --interval 50ms --set "rate=$rate" \
        --set "input=$work/text" --set "output=$out" --set "emit=$1"
    until_true 20 has_checkpoints "$store" 2 || fail "no checkpoints after 20 s"
    fill || fail "the file system does not fill up"
    before=$(newest "$store")
    sleep 0.5 # the tail of what was committed comes out
    lines_before=$(published "$out" | wc -l)
    until_true 20 aborted 10 || fail "no ten checkpoints came to nothing on a full disk"
    grep -Eq 'checkpoint [0-9]+.*(No space left|is full)' "$log" ||
        fail "the log does not name the reason"
    sleep "$seconds"
    kill -0 "$pid" || fail "the job did not outlast a full disk"
    newer_than $((before + 2)) && fail "checkpoints were committed on a full disk"
    newer_than $((before - 1)) || fail "a checkpoint was dropped to make room"
    rm "$disk/something_else" "$disk/the_rest"
    until_true 10 newer_than $((before + 2)) || fail "no checkpoint after space was freed"
    if [[ $1 == updates ]]; then # what was read meanwhile comes out at once; a line has 5 words
        sleep 0.5
        (($(published "$out" | wc -l) - lines_before > seconds * rate * 2)) ||
            fail "the stream stood still: from $lines_before lines to $(published "$out" | wc -l)"
    fi
    code_of wait "$pid"
    ((code == 0)) || fail "exit $code"
    "same_$([[ $1 == final ]] && echo counts || echo updates)" "emit=$1" "$work/counts" "$out"
    said=$(grep -Eo '[0-9]+ checkpoints committed, [0-9]+ came to nothing' "$log")
    said=${said##*, } # so many rounds met a full disk
    exercised "${said%% *}"
    echo "figure: full_disk emit=$1" \
        "$(grep -Eo '[0-9]+ checkpoints committed, [0-9]+ came to nothing' "$log")"
}

rate=3000
echo "seed $seed"
text "$work/text" $((rate * 8))
counts "$work/text" >"$work/counts"
try updates
try final
