#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A short word count under valgrind's memcheck, with checkpoints, stopped halfway and gone on with:
# no invalid access, no value used before it was set, no leak. (helgrind and DRD know nothing of
# libzmq's lock-free queues and report over a hundred things that are not so.)
#
#     tests/job_valgrind.sh BUILD_FOLDER

source "$(dirname "$0")/tools/job.bash"

# memcheck CODE ARGUMENT...: word_count, stopped by SIGTERM after 8 seconds.
memcheck() {
    local want=$1
    shift
    code_of timeout --preserve-status 8 valgrind --quiet --error-exitcode=99 --leak-check=full \
        --errors-for-leak-kinds=definite,indirect --fair-sched=yes \
        --suppressions="$tools/valgrind.supp" "$program" "$@" >"$work/memcheck.log" 2>&1
    ((code == want)) || fail "exit $code, not $want: $*"$'\n'"$(tail -n 60 "$work/memcheck.log")"
}

tools=$(dirname "$0")/tools
text "$work/text" 400
counts "$work/text" >"$work/expected"
run=(run --store "$work/store" --interval 100ms --parallelism 2 --set emit=final
    --set "input=$work/text" --set "output=$work/out")
memcheck 6 "${run[@]}" --set rate=40
memcheck 0 "${run[@]}"
same_counts "under memcheck" "$work/expected" "$work/out"
