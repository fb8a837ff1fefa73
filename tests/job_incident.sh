#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The story of the wrong account, as a newcomer runs it, but with programs that are built already.
# That it would notice when a step does not show what it should is shown too.
#
#     tests/job_incident.sh BUILD_FOLDER

source "$(dirname "$0")/tools/job.bash"
story=$(dirname "$0")/../examples/incident.sh
build=$(realpath "$1")

the_story_is_told() {
    TMPDIR=$work "$story" --build "$build" >"$work/story.log" 2>&1 || fail "it exits with $?"
    for words in 'are not the [0-9]+ that were there at first' \
        '^[0-9]+ are right, the last of them' \
        'one of them by more than anybody owns: account [0-9]+' \
        '^order [0-9]+: [0-9]+ from account [0-9]+, between ' \
        '^account [0-9]+: order .* is received: has [0-9]{5}' 'There it is'; do
        grep -Eq "$words" "$work/story.log" || fail "it does not say \"$words\""
    done
    [[ -z $(find "$work" -name 'weir-incident.*') ]] || fail "it left its files behind"
}

# A bank whose programs differ from the real ones: NAME, and what stands before the real command.
other_bank() { # SCRIPT
    rm -rf "$work/other"
    mkdir -p "$work/other/examples"
    ln -s "$build/bin" "$work/other/bin"
    ln -s "$build/examples/bank_invariant.so" "$work/other/examples/"
    {
        echo '#!/usr/bin/env bash'
        echo "$1"
        echo "exec '$build/examples/bank' \"\$@\""
    } >"$work/other/examples/bank"
    chmod +x "$work/other/examples/bank"
}

notices() { # PATTERN
    code_of env TMPDIR="$work" "$story" --build "$work/other" >"$work/wrong.log" 2>&1
    ((code != 0)) || fail "the story was believed"
    grep -Eq "FAILED: $1" "$work/wrong.log" || fail "it failed for another reason"
}

# shellcheck disable=SC2016
it_notices_a_bank_without_a_bug() {
    other_bank 'for word in "$@"; do [[ $word == bug=* ]] && word=bug=0; words+=("$word"); done
        set -- "${words[@]}"'
    notices 'verify answers 0, and should have found violations'
}

# shellcheck disable=SC2016
it_notices_a_replay_that_goes_too_far() {
    other_bank 'if [[ " $* " == *" --until "* ]]; then
            for word in "$@"; do
                [[ ${last:-} == --until ]] && word=$((word + 1))
                words+=("$word") last=$word
            done
            set -- "${words[@]}"
        fi'
    notices '"order [0-9]+,.* received" is told 1 times, and should be 0'
}

try_properties the_story_is_told it_notices_a_bank_without_a_bug \
    it_notices_a_replay_that_goes_too_far
