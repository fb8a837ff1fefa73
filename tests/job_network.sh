#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# word_count over tcp on a bad network, in each mode: every connection between its tasks goes
# through tools/detour.c. Where messages are only delayed, in pieces, out of order and doubled, the
# job must not even fail. Where connections break, it goes on, or fails within seconds and names the
# channel; started again, it goes on from its last checkpoint. Where one breaks within a batch, it
# must fail. What it publishes is exact. At last the same is done to a program that does not look
# for gaps, and must be noticed.
#
#     tests/job_network.sh BUILD_FOLDER [PROPERTY...]      WEIR_ROUNDS=20 for the long version
#
# WEIR_PLANT=NAME does it to the program `planted`, with that bug awake.

source "$(dirname "$0")/tools/job.bash"
build=$1
detour=$build/tests/detour
shim=$build/tests/detour_shim.so
[[ -z ${WEIR_PLANT:-} ]] || program=$build/tests/planted
rounds=${WEIR_ROUNDS:-1}
rate=6000     # lines a second
lines=9000    # so a job takes one and a half at least
files=6       # of input, so that all sources have some
cuts=4        # in all starts of a job, at most
patience=60   # seconds until a start counts as hanging
late_ms=15000 # from the last cut to the failure, at most; on an idle machine it takes one or two
trial=0 exact=0 gaps=0 restored=0 lost=0 cut=0 slowest_ms=0
declare -A sum=()

# ---- the detour ----------------------------------------------------------------------------------

# begin_detour CUTS CONDITION...
begin_detour() {
    rm -f "$work/detour.log"
    background "$work/detour.log" "$detour" $((seed * 1000 + trial)) "$@"
    detour_pid=$pid
    until_true 20 grep -qs '^port ' "$work/detour.log" || fail "the detour does not start"
    port=$(sed -n 's/^port //p' "$work/detour.log")
    trial=$((trial + 1))
}

# Its counts in $counted, and added to $sum.
end_detour() {
    local word
    kill -TERM "$detour_pid" 2>/dev/null || fail "the detour is gone"
    code_of wait "$detour_pid"
    ((code == 0)) || fail "the detour: exit $code"
    declare -gA counted=()
    for word in $(sed -n 's/^sum //p' "$work/detour.log"); do
        counted[${word%=*}]=${word#*=}
        sum[${word%=*}]=$((${sum[${word%=*}]:-0} + ${word#*=}))
    done
}

# begin MODE PARALLELISM CUTS CONDITION...
begin() {
    what="$1, parallelism $2, ${*:4}, trial $trial"
    command=("$program" run --store "$work/store" --parallelism "$2" --mode "$1"
        --endpoint tcp://127.0.0.1 --interval 20ms --set "input=$work/text"
        --set "output=$work/out" --set emit=updates --set "rate=$rate")
    # so that some rounds turn, and some do not
    [[ $1 != adaptive ]] || command+=(--alignment-max 5ms)
    begin_detour "${@:3}"
    begin_watch
}

# start [OPTION...]: its exit code in $code.
start() {
    code_of env LD_PRELOAD="$shim" WEIR_DETOUR="$port" timeout -s KILL "$patience" \
        "${command[@]}" "$@" >"$work/start.log" 2>&1
    cat "$work/start.log" >>"$work/run.log"
    ((code != 137)) || fail "$what: it hangs"
}

end() {
    end_watch "$what" updates
    end_detour
    exact=$((exact + 1))
}

# ---- delays, another order, doubles --------------------------------------------------------------

disordered() { # MODE PARALLELISM
    local what count name
    begin "$1" "$2" 0 delay pieces reorder duplicates
    start --max-restarts 0
    ((code == 0)) || fail "$what: exit $code: $(grep -a failed: "$work/start.log")"
    end
    # A pipe each way between any two tasks that share a channel; none of them broke.
    count=$((2 * $2 * $2))
    ((counted[connections] == count)) ||
        fail "$what: ${counted[connections]} connections, not $count"
    for name in items_overtaken credits_overtaken items_twice credits_twice; do
        ((counted[$name] > 0)) || fail "$what: $name: none, a poor test"
    done
    echo "ok: $what: ${counted[messages]} messages," \
        "${counted[items_overtaken]} items and ${counted[credits_overtaken]} credits overtaken," \
        "${counted[items_twice]} and ${counted[credits_twice]} doubled; exact"
}

disorder_is_put_right() {
    local round
    for ((round = 0; round < rounds; round++)); do
        disordered aligned 2
        disordered unaligned 3
        disordered adaptive 2
    done
}

# ---- connections that break ----------------------------------------------------------------------

# The start that has just failed did so because of a cut, and soon.
noticed() {
    local now at took
    now=$(date +%s%3N)
    at=$(sed -n 's/^cut at \([0-9]*\)\.\([0-9]*\):.*/\1\2/p' "$work/detour.log" | tail -n 1)
    [[ -n $at ]] || fail "$what: it failed and nothing was cut: $(tail -n 3 "$work/start.log")"
    took=$((now - at))
    ((took < late_ms)) || fail "$what: failed only $took ms after the last cut"
    slowest_ms=$((took > slowest_ms ? took : slowest_ms))
}

# All failures say that something is missing, which item of which channel, and who misses it.
failures_are_told() {
    local lost='(does not come, though later ones were sent|came after item [0-9]+)'
    local clear="failed: (lines|count)\.[0-9]+: channel [0-9]+: item [0-9]+ $lost: something was"
    clear+=" lost on the way; restart from the last checkpoint$"
    failed=$(grep -ac 'failed: ' "$work/run.log" || true)
    (($(grep -acE "$clear" "$work/run.log" || true) == failed)) ||
        fail "$what: $(grep -a 'failed: ' "$work/run.log" | grep -avE "$clear" | head -n 3)"
}

# At most CUTS in all starts of the job. How many there were in $broke, how often it failed in
# $failed.
broken() { # CUTS MODE PARALLELISM CONDITION...
    local starts
    begin "$2" "$3" "$1" "${@:4}"
    for ((starts = 1; ; starts++)); do
        start --max-restarts $((trial % 2)) --restart-delay 10ms
        ((code != 0)) || break
        ((code == 5)) || fail "$what: exit $code: $(tail -n 3 "$work/start.log")"
        noticed
        ((starts <= $1)) || fail "$what: it failed $starts times, for $1 cuts"
    done
    failures_are_told
    end
    broke=$(grep -c '^cut at' "$work/detour.log" || true)
    gaps=$((gaps + failed))
    restored=$((restored + $(grep -ac 'restored from checkpoint' "$work/run.log" || true)))
    echo "ok: $what: $broke cuts, $failed failures; exact"
}

a_loss_is_noticed() {
    local round what broke failed modes=(aligned unaligned adaptive)
    # On a slow machine it may come before the first checkpoint, or not at all.
    for ((round = 0; round < rounds || (restored == 0 && round < 5); round++)); do
        broken 1 "${modes[RANDOM % 3]}" 2 delay pieces loss
        ((failed >= broke)) || fail "$what: a batch was lost, and it did not fail"
        lost=$((lost + broke))
    done
    ((gaps > 0 && restored > 0)) || fail "$gaps gaps, $restored restored: a poor test"
}

# Cuts need not lose anything.
cuts_are_survived() {
    local round what broke failed
    for ((round = 0; round < rounds; round++)); do
        broken "$cuts" aligned 2 pieces
        cut=$((cut + broke))
        broken "$cuts" unaligned 3 delay pieces reorder duplicates
        cut=$((cut + broke))
        broken "$cuts" adaptive 2 delay pieces
        cut=$((cut + broke))
    done
}

# ---- the proof -----------------------------------------------------------------------------------

# shown PROPERTY PATTERN: with a gate that takes items as they come, the property must fail, and say
# this. The gate still misses what was promised; when nothing comes behind a loss for long, that is
# enough, so there are some tries.
shown() {
    local try
    for ((try = 0, code = 0; code == 0 && try < 5; try++)); do
        code_of env WEIR_PLANT=sequence_unchecked WEIR_SEED=$((seed + try)) WEIR_ROUNDS=1 \
            bash "$0" "$build" "$1" >"$work/shown.log" 2>&1
    done
    ((code != 0)) || fail "$1: a program that does not look for gaps was not noticed"
    grep -qE "^FAILED: .*($2)" "$work/shown.log" ||
        fail "$1: not for what it does: $(grep '^FAILED: ' "$work/shown.log")"
    echo "ok: planted: $(grep -m 1 '^FAILED: ' "$work/shown.log")"
}

a_program_that_does_not_look_for_gaps_is_noticed() {
    # What comes too early, twice or not at all may be too much for the program itself.
    local wrong='the last updates differ|update [0-9]+ where [0-9]+ is due|word_count: failed: '
    shown disorder_is_put_right "$wrong"
    shown a_loss_is_noticed "$wrong"
}

echo "seed $seed"
mkdir "$work/text"
for ((file = 0; file < files; file++)); do
    seed=$((seed + file)) text "$work/text/$file" $((lines / files))
done
for ((file = 0; file < files; file++)); do
    cat "$work/text/$file"
    echo # else its last word and the next file's first are one
done >"$work/all"
counts "$work/all" >"$work/counts"

properties=(disorder_is_put_right a_loss_is_noticed cuts_are_survived
    a_program_that_does_not_look_for_gaps_is_noticed)
for property in "${@:2}" $( (($# > 1)) || echo "${properties[@]}"); do
    began=$SECONDS
    "$property"
    echo "$property: $((SECONDS - began)) s"
done
cut_in=()
for place in greeting handshake between header payload batch; do
    cut_in+=("$place=${sum[cut_$([[ $place == between ]] || echo in_)$place]}")
done
exercised disorder_is_put_right $((sum[items_overtaken] + sum[credits_overtaken] +
    sum[items_twice] + sum[credits_twice]))
exercised a_loss_is_noticed "$lost"
exercised cuts_are_survived "$cut"
echo "figure: network jobs=$exact exact=$exact messages=${sum[messages]}" \
    "overtaken=${sum[items_overtaken]}+${sum[credits_overtaken]}" \
    "doubled=${sum[items_twice]}+${sum[credits_twice]} cuts: ${cut_in[*]}" \
    "failed_by_gap=$gaps restored=$restored slowest_ms=$slowest_ms"
