#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Files are moved into a directory while the program that watches it, with three tasks, is killed at
# random moments and started again: every line of every file comes out once.

source "$(dirname "$0")/tools/job.bash"
program=$1/tests/programs/lines
files=${WEIR_FILES:-120}
in=$work/in
command=("$program" run --store "$work/store" --interval 50ms --parallelism 3 --set from=folder
    --set "input=$in" --set end=.end --set "output=$work/out" --set rate=30000)

# file NUMBER: 1 to 2,000 lines, the last one without its newline.
file() {
    awk -v n="$1" 'BEGIN { for (i = 1; i <= n * 7919 % 2000; i++) print n, i; printf "%d end", n }'
}

move_in() {
    local n
    for ((n = 1; n <= files; n++)); do
        file "$n" >"$in/.new"
        mv "$in/.new" "$in/$((n * 37 % files))-$n"
        sleep 0.05 # the pace of whoever brings them
    done
    touch "$in/.end"
}

echo "seed $seed"
mkdir "$in"
move_in &
mover=$!
killed=0
while kill -0 "$mover" 2>/dev/null; do
    "${command[@]}" >>"$work/run.log" 2>&1 &
    pid=$!
    sleep "0.$((RANDOM % 700 + 200))" # the moment of the kill
    kill -KILL "$pid" 2>/dev/null || true
    code_of wait "$pid" 2>/dev/null
    ((code == 0)) && [ -e "$in/.end" ] && break # it came to its end before
    ((code == 137)) || fail "exit $code before it was killed"
    killed=$((killed + 1))
done
wait "$mover" || fail "the files could not be moved in"
code_of "${command[@]}" >>"$work/run.log" 2>&1
((code == 0)) || fail "exit $code of the last run"
((killed >= 3)) || fail "only $killed kills"
for ((n = 1; n <= files; n++)); do
    file "$n"
    echo
done | sort >"$work/expected"
published "$work/out" | sort | cmp - "$work/expected" || fail "not every line came once"
echo "ok: $files files, $(wc -l <"$work/expected") lines, killed $killed times"
exercised "$killed"
