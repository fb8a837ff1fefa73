#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The demo, small: as a newcomer runs it, but with a program that is built already and little text.
# That it would notice a wrong result is shown too.
#
#     tests/job_demo_small.sh BUILD_FOLDER

source "$(dirname "$0")/tools/job.bash"
demo=$(dirname "$0")/../examples/demo.sh

if (($(apt-cache dumpavail 2>/dev/null | wc -c) < 1000000)); then
    echo "skipped: no package lists to make text of"
    exit 77
fi

TMPDIR=$work "$demo" --program "$program" --size 5 --kills 3 --seconds 5 \
    --seed "$((seed % 1000 + 1))" \
    >"$work/demo.log" 2>&1 || fail "the demo exits with $?"
for words in 'resumed from checkpoint' 'replayed:' 'identical, byte for byte' \
    'After 3 kills no word was lost'; do
    grep -q "$words" "$work/demo.log" || fail "the demo does not say \"$words\""
done
[[ -z $(find "$work" -name 'weir-demo.*') ]] || fail "the demo left its files behind"
echo "ok: the demo succeeds and cleans up"

# A program that reads all but the last lines.
cat >"$work/liar" <<END
#!/usr/bin/env bash
for word in "\$@"; do
    if [[ \$word == input=* ]]; then
        [[ -e "$work/short" ]] || head -n -5 "\${word#input=}" >"$work/short"
        word=input=$work/short
    fi
    words+=("\$word")
done
exec "$program" "\${words[@]}"
END
chmod +x "$work/liar"
code_of env TMPDIR="$work" "$demo" --program "$work/liar" --size 1 --kills 1 --seconds 2 \
    >"$work/liar.log" 2>&1
((code != 0)) || fail "the demo believed a program that loses words"
grep -q 'FAILED: the counts are not' "$work/liar.log" || fail "the demo failed for another reason"
echo "ok: the demo notices lost words"
