#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Standard input through a program that dies: a file, over kill -9; a pipe that outlives the
# program, over stops and failures. What came out is what went in, byte for byte.

source "$(dirname "$0")/tools/job.bash"
program=$1/tests/programs/lines
lines=200000
command=("$program" run --store "$work/store" --interval 50ms --set from=stdin
    --set "output=$work/out")

numbers() {
    seq -f 'line %.0f of standard input' "$lines"
}

# signal_after TIME SIGNAL: the code of a run that gets it; its input is descriptor 3.
signal_after() {
    "${command[@]}" --set rate=60000 <&3 >>"$work/run.log" 2>&1 &
    pid=$!
    sleep "$1" # the moment of the signal
    kill "-$2" "$pid" 2>/dev/null || true
    code_of wait "$pid" 2>/dev/null
}

# try WHAT SIGNAL CODE RUNS: code of a run that was hit; its input is opened by input_again.
try() {
    local run hit=0
    for ((run = 0; run < $4; run++)); do
        input_again
        signal_after "0.$((RANDOM % 500 + 200))" "$2"
        ((code == $3 || code == 0)) || fail "$1: exit $code after SIG$2"
        ((code == 0)) || hit=$((hit + 1))
    done
    input_again
    code_of "${command[@]}" <&3 >>"$work/run.log" 2>&1
    ((code == 0)) || fail "$1: exit $code of the last run"
    ((hit >= 3)) || fail "$1: only $hit of $4 runs were hit"
    cmp <(published "$work/out") <(numbers) || fail "$1: what came out is not what went in"
    echo "ok: $1: $hit times SIG$2, exact"
    exercised "$hit"
    rm -rf "$work/store" "$work/out"
}

echo "seed $seed"
numbers >"$work/input"

input_again() { # each run opens the file anew
    exec 3<"$work/input"
}
try "a file" KILL 137 5

exec 3< <(numbers)
input_again() { # the same pipe
    :
}
try "a pipe" TERM 6 5
