#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# libzmq and CZMQ are refused an allocation of theirs. They end the process then, or the call fails
# and the run with it; for weir that is a death like any other: the next start is exact.
#
#     tests/job_scarce.sh BUILD_FOLDER       WEIR_PLACES=N refused ones of each setting (10)

source "$(dirname "$0")/tools/job.bash"
ulimit -c 0
shim=$1/tests/scarce.so
places=${WEIR_PLACES:-10}
cases=0 deaths=0 errors=0

# job_of NAME OPTION...: its command in ${job[@]}.
job_of() {
    out=$work/out.$1
    job=("$program" run --store "$work/store.$1" --quiet --interval 15ms --retain 2
        --set "input=$work/text" --set "output=$out" --set emit=updates --set rate=20000 "${@:2}")
}

# scarcely LIBRARY K LOG COMMAND...: its exit code in $code.
scarcely() {
    rm -f "$3"
    code_of env LD_PRELOAD="$shim" WEIR_SCARCE="$1" WEIR_SCARCE_AT="$2" WEIR_SCARCE_LOG="$3" \
        "${@:4}" >"$work/said.log" 2>&1
}

# One allocation less.
refuse() { # WHAT LIBRARY K OPTION...
    local what="$1, allocation $3 of $2" name=$((++cases))
    job_of "$name" --max-restarts 0 "${@:4}"
    scarcely "$2" "$3" "$work/refused.log" "${job[@]}"
    case $code in
    0) ;; # fewer this time, or it goes without
    134) deaths=$((deaths + 1)) ;;
    3 | 5)
        grep -q 'memory' "$work/said.log" || fail "$what: exit $code: $(cat "$work/said.log")"
        errors=$((errors + 1))
        ;;
    *) fail "$what: exit $code: $(cat "$work/said.log")" ;;
    esac
    ((code == 0)) || grep -q "^refused $3\$" "$work/refused.log" ||
        fail "$what: exit $code, and nothing was refused"
    code_of "${job[@]}" >"$work/said.log" 2>&1
    ((code == 0)) || fail "$what: exit $code of the next start: $(cat "$work/said.log")"
    same_updates "$what" "$work/counts" "$out"
    rm -rf "$work/store.$name" "$out"
}

refuse_some() { # WHAT LIBRARY OPTION...
    local all i
    job_of whole "${@:3}"
    scarcely "$2" 0 "$work/whole.log" "${job[@]}"
    ((code == 0)) || fail "$1: exit $code, and nothing was refused: $(cat "$work/said.log")"
    same_updates "$1" "$work/counts" "$out"
    rm -rf "$work/store.whole" "$out"
    all=$(sed -n 's/^calls //p' "$work/whole.log")
    ((all > 20)) || fail "$1: $2 allocates ${all:-nothing}: $(cat "$work/whole.log")"
    for ((i = 0; i < places; i++)); do
        refuse "$1" "$2" $((1 + (all * i + RANDOM % all) / places)) "${@:3}"
    done
    echo "ok: $1: $places of $all allocations of $2"
}

# Its supervisor starts it again.
by_itself() {
    local k
    for k in 40 90; do
        job_of "supervised.$k" --supervise --endpoint tcp://127.0.0.1 --no-control
        WEIR_SCARCE_ONCE=$work/once.$k scarcely libzmq "$k" "$work/refused.log" "${job[@]}"
        ((code == 0)) || fail "supervised: exit $code: $(cat "$work/said.log")"
        grep -q "^refused $k\$" "$work/refused.log" || fail "supervised: nothing was refused"
        same_updates "supervised" "$work/counts" "$out"
    done
}

lines=600
echo "seed $seed"
text "$work/text" "$lines"
counts "$work/text" >"$work/counts"
refuse_some "inside the process" libzmq --no-control --parallelism 2
refuse_some "over tcp" libzmq --no-control --parallelism 2 --endpoint tcp://127.0.0.1
refuse_some "what answers questions" libczmq
by_itself
((deaths > 0)) || fail "no allocation that was refused ended the process"
exercised "$cases"
echo "figure: scarce refused=$cases deaths=$deaths errors=$errors exact=$cases"
