#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Three clients send lines that they keep until they are acknowledged, while the program is killed
# and started again: every line of each comes out once, in order.
#
#     tests/job_socket.sh BUILD_FOLDER      WEIR_KILLS=200 for a longer one

source "$(dirname "$0")/tools/job.bash"
program=$1/tests/programs/lines
tools=$(dirname "$0")/tools
kills=${WEIR_KILLS:-20}
lines=$((kills * 3000))
socket=$work/socket
command=("$program" run --store "$work/store" --interval 50ms --set from=socket
    --set "input=$socket" --set end=END --set "output=$work/out")

echo "seed $seed"
senders=()
for name in a b c; do # 8 bytes a line; it takes 0.6 s for each kill
    background "$work/sender.log" python3 "$tools/sender.py" "$socket" "$name" "$lines" 40000
    senders+=("$pid")
done
still_sending() {
    kill -0 "${senders[0]}" 2>/dev/null
}

killed=0
while ((killed < kills)); do
    background "$work/run.log" "${command[@]}"
    sleep "0.$((RANDOM % 400 + 100))" # the moment of the kill
    still_sending || fail "all was sent after $killed kills"
    kill -KILL "$pid" 2>/dev/null || fail "it ended by itself"
    code_of wait "$pid" 2>/dev/null
    ((code == 137)) || fail "exit $code before it was killed"
    killed=$((killed + 1))
done
background "$work/run.log" "${command[@]}"
run=$pid
for pid in "${senders[@]}"; do
    wait "$pid" || fail "a client gave up"
done
python3 "$tools/sender.py" "$socket" end END >>"$work/sender.log" || fail "the end was not taken"
code_of wait "$run"
((code == 0)) || fail "exit $code of the last run"

published "$work/out" | awk -v lines="$lines" '
    $2 != ++n[$1] { print "client " $1 ": line " $2 " where " n[$1] " is due"; exit bad = 1 }
    END { if (bad) exit 1
          for (c in n) { sum++; if (n[c] != lines) { print c ": " n[c] " lines"; exit 1 } }
          if (sum != 3) { print sum " clients"; exit 1 } }' || fail "not every line came once"
cat "$work/sender.log"
echo "ok: $((3 * lines)) acknowledged lines, killed $killed times, each line once"
exercised "$killed"
echo "figure: socket lines=$((3 * lines)) kills=$killed exact"
