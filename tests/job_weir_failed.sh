#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Why the last rounds came to nothing is in `weir list`, when the run is long gone, here of rounds
# whose folders could not be made; the ids are those of the events.
#
#     tests/job_weir_failed.sh BUILD_FOLDER

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
source "$here/tools/job.bash"
source "$here/tools/weir.bash"

what_failed_is_told() {
    local store=$work/store aborted
    awk 'BEGIN { for (i = 0; i < 2000; i++) print "one two w" i % 70 }' >"$work/text"
    LD_PRELOAD=$build/tests/fault.so WEIR_FAULT=fail WEIR_FAULT_ERRNO=28 WEIR_FAULT_AT=9 \
        WEIR_FAULT_LAST=12 WEIR_FAULT_ONLY=mkdirat "$program" run --store "$store" \
        --interval 20ms --set "input=$work/text" --set "output=$work/out" \
        --set rate=5000 --json >"$work/events.log" 2>&1 || fail "the job failed"
    aborted=$(grep -c '"event": "aborted"' "$work/events.log") || true
    ((aborted > 0)) || fail "no round came to nothing: a poor test"
    expect 0 '^ABORTED +GIVEN UP +AGE +WHY$' "$weir" list "$store"
    (($(grep -cE '^ *[0-9]+ .*Z .*No space left|^ *[0-9]+ .*Z .*is full' "$work/said.log") == \
        aborted)) || fail "not the $aborted rounds of the events: $(cat "$work/said.log")"
    "$weir" list "$store" --json >"$work/list.json"
    fits list "$work/list.json"
    [[ $(grep '"aborted":true' "$work/list.json" | grep -oE '"checkpoint":[0-9]+') == \
        $(grep '"event": "aborted"' "$work/events.log" | grep -oE '"checkpoint": [0-9]+' |
            tr -d ' ') ]] || fail "other ids than the events'"
    expect 0 '^# 0 damaged.* 0 foreign$' "$weir" fsck "$store"
    "$weir" copy "$store" newest "$work/copy" >"$work/said.log"
    [[ ! -e $work/copy/FAILED ]] || fail "a copy has it"
}

echo "seed $seed"
try_properties what_failed_is_told
