#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# `weir explain`: what it says of a checkpoint and a program is what a start of that program then
# does: as it was, with another parallelism, with a graph that is another. What can't be asked is
# told, and the store is as it was.
#
#     tests/job_weir_explain.sh BUILD_FOLDER

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
source "$here/tools/job.bash"
source "$here/tools/weir.bash"
program=$build/examples/word_count
words=$work/words bank=$work/bank kinds=$build/tests/programs/kinds

make_stores() {
    awk 'BEGIN { for (i = 0; i < 2000; i++) print "one two w" i % 70 }' >"$work/text"
    "$program" run --quiet --store "$words" --interval 20ms --parallelism 2 --retain 1000 \
        --set "input=$work/text" --set "output=$work/out" --set rate=10000
    "$build/examples/bank" run --quiet --store "$bank" --interval 40ms --mode unaligned \
        --retain 1000 --set orders=1500 --set rate=6000 --set accounts=100 --set clearing=1000 \
        --set "journal=$work/journal"
    mapfile -t ids < <(checkpoints "$words")
    mapfile -t bank_ids < <(checkpoints "$bank")
    ((${#ids[@]} > 2 && ${#bank_ids[@]} > 2)) || fail "too few checkpoints"
    cd "$work"
    job=(--set input=text --set output=out)
}

it_goes_on() {
    expect 0 "^checkpoint ${ids[1]} would go on in word_count$" \
        "$weir" explain "$words" "${ids[1]}" "$program" -- --parallelism 2 "${job[@]}"
    expect 0 '^ *count/cell +0 +as it was$' \
        "$weir" explain "$words" "${ids[1]}" "$program" -- --parallelism 2 "${job[@]}"
    expect 0 "^count +3, was 2 +shared out" \
        "$weir" explain "$words" newest "$program" -- --parallelism 3 "${job[@]}"
    expect 0 "^split.out -> count.in +records in flight go where their keys go" \
        "$weir" explain "$words" newest "$program" -- --parallelism 3 "${job[@]}"
    "$weir" explain "$words" newest "$program" --json -- --parallelism 3 "${job[@]}" \
        >"$work/explain.json"
    fits explain "$work/explain.json"
    grep -q '"fits":true' "$work/explain.json" || fail "it does not fit"
    cp "$program" "$work/counter" # of this folder
    expect 0 'would go on' "$weir" explain "$words" newest counter -- "${job[@]}"
}

# agree SAYS START PROGRAM [OPTION...]: the exit codes of explain, and of a start that tries it.
agree() {
    local says=$1 start=$2 job=$3
    shift 3
    rm -rf again
    cp -r "$words" again
    expect "$says" '' "$weir" explain again newest "$job" -- --set input=text "$@"
    expect "$start" '' "$job" run --store again --set input=text "$@"
}

a_start_agrees() {
    agree 0 0 "$program" --parallelism 2 --set output=out
    agree 0 0 "$program" --parallelism 3 --set output=out
    agree 1 4 "$kinds"
    agree 3 3 "$program" --set output=out --key-groups 64
    grep -q 'has 128 key groups' "$work/said.log" || fail "$(cat "$work/said.log")"
}

# More channels than there are sockets, also of a graph that is not restored.
too_many_channels() {
    local many=(--parallelism 300 --set orders=1500 --set "journal=$work/journal") verb
    for verb in "plan" "plan --store $bank --restore latest" "run --store $work/again"; do
        # shellcheck disable=SC2086
        expect 2 'more than the 65535 sockets of ZeroMQ: lower the parallelism' \
            "$build/examples/bank" $verb "${many[@]}"
    done
    expect 2 'bank says \(exit code 2\): .*lower the parallelism' \
        "$weir" explain "$bank" newest "$build/examples/bank" -- "${many[@]}"
}

it_would_be_refused() {
    expect 1 "^checkpoint ${bank_ids[1]} would NOT go on in kinds$" \
        "$weir" explain "$bank" "${bank_ids[1]}" "$kinds" -- --set input=text
    expect 1 '^no place: accounts/accounts: [0-9]+ keys$' \
        "$weir" explain "$bank" "${bank_ids[1]}" "$kinds" -- --set input=text
    expect 1 '^gone: accounts/accounts is not in the graph$' \
        "$weir" explain "$bank" "${bank_ids[1]}" "$kinds" -- --set input=text
    expect 1 '^dropped: accounts/accounts: [0-9]+ keys$' \
        "$weir" explain "$bank" "${bank_ids[1]}" "$kinds" -- --set input=text --allow-dropped-state
    code_of "$weir" explain "$bank" "${bank_ids[1]}" "$kinds" --json -- --set input=text \
        >"$work/explain.json" 2>"$work/said.log"
    ((code == 1)) || fail "exit $code"
    fits explain "$work/explain.json"
    grep -q '"fits":false' "$work/explain.json" || fail "it fits"
}

what_can_not_be_asked() {
    printf '#!/bin/sh\necho "{}"\n' >silent
    printf '#!/bin/sh\nkill -KILL $$\n' >dies
    chmod +x silent dies
    expect 2 'silent says nothing of a checkpoint .*: is it a program of a weir job' \
        "$weir" explain "$words" newest silent
    expect 2 'dies says nothing of a checkpoint \(exit code -1\)' \
        "$weir" explain "$words" newest dies
    expect 2 "nowhere can't be run: No such file" "$weir" explain "$words" newest nowhere
    expect 2 "text can't be run: Permission denied" "$weir" explain "$words" newest text
    expect 2 'word_count says \(exit code 2\): .*input' "$weir" explain "$words" newest "$program"
    expect 2 'word_count says \(exit code 2\): .*nonsense' \
        "$weir" explain "$words" newest "$program" -- --nonsense
    expect 3 'no such checkpoint' "$weir" explain "$words" 4711 "$program" -- "${job[@]}"
    expect 2 'too few arguments' "$weir" explain "$words" newest
    expect 2 '"error":"WEIR_INVALID"' "$weir" explain "$words" newest nowhere --json
}

nothing_is_disturbed() {
    find "$bank" "$words" -printf '%P %m %s %T@ %C@\n' | sort | cmp "$work/picture" - ||
        fail "a store was changed"
}

echo "seed $seed"
make_stores
find "$bank" "$words" -printf '%P %m %s %T@ %C@\n' | sort >"$work/picture"
try_properties it_goes_on a_start_agrees too_many_channels it_would_be_refused \
    what_can_not_be_asked nothing_is_disturbed
