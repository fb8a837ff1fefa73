# SPDX-License-Identifier: Apache-2.0
#
# job.bash: what the tests that start, kill and restart word_count share. Source it with the build
# folder as first argument; it makes $work, which goes away with the test, and sets $program.
#
# Bytes are compared, so everything runs under LC_ALL=C. Chance comes from $seed, which is printed:
# WEIR_SEED=... repeats a test's decisions (not its timing).

set -euo pipefail
export LC_ALL=C
program=$1/examples/word_count
seed=${WEIR_SEED:-$((RANDOM * 32768 + RANDOM))}
RANDOM=$((seed % 32768))
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-job.XXXXXX")

finish() { # $disk: a file system of the test's own; it goes after all who use it
    local code=$? pid
    for pid in $(jobs -p); do # children of this shell that still run, nobody else
        kill -KILL "$pid" 2>/dev/null || true
    done
    wait
    if ((code != 0 && code != 77)); then
        echo "FAILED (exit $code); seed $seed; the last lines of each log:"
        tail -n 5 "$work"/*.log 2>/dev/null || true
    fi
    [[ -z ${disk:-} ]] || umount "$disk" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

fail() {
    echo "FAILED: $*"
    exit 1
}

# text FILE LINES: words of a skewed vocabulary, blanks of every kind in every place, empty lines,
# bytes above 127, CR, NUL and form feed, and a last line without newline.
text() {
    awk -v seed="$seed" -v lines="$2" '
        function word(  n) {
            n = int(exp(rand() * 9))
            if (n % 97 == 0) return "\303\244" n
            if (n % 89 == 0) return n "\r"
            if (n % 83 == 0) return "a\001\fb" n
            return "w" n
        }
        BEGIN {
            srand(seed)
            for (i = 0; i < lines; i++) {
                line = ""
                for (j = int(rand() * 12); j > 0; j--)
                    line = line (rand() < 0.1 ? " \t " : " ") word()
                print rand() < 0.5 ? line : substr(line, 2)
            }
        }' >"$1"
    printf 'nul\0inside \377\376 \t\n\n  last line without newline' >>"$1"
}

# counts FILE: the oracle. word<TAB>count, sorted.
counts() {
    tr -s ' \t' '\n\n' <"$1" | sed '/^$/d' | sort | uniq -c |
        sed -E 's/^ *([0-9]+) (.*)$/\2\t\1/' | sort
}

# published DIR: all that is visible, in the order of the parts' names.
published() {
    find "$1" -maxdepth 1 -type f -name 'part-*' -print0 | sort -z | xargs -0r cat
}

# same_counts WHAT EXPECTED DIR
same_counts() {
    published "$3" | sort >"$work/published"
    cmp "$2" "$work/published" || fail "$1: the counts differ from the oracle's"
}

# same_updates WHAT EXPECTED DIR: each word's updates are 1, 2, ... n, in order, n the oracle's.
same_updates() {
    published "$3" | awk -F '\t' '
        $2 != ++n[$1] { print "word " $1 ": update " $2 " where " n[$1] " is due"; exit bad = 1 }
        END { if (bad) exit 1; for (w in n) print w "\t" n[w] }' | sort >"$work/published" ||
        fail "$1: $(head -n 1 "$work/published")"
    cmp "$2" "$work/published" || fail "$1: the last updates differ from the oracle's"
}

# background LOG COMMAND...: its pid in $pid.
background() {
    local log=$1
    shift
    "$@" >>"$log" 2>&1 &
    pid=$!
}

is_gone() { # PID: it has ended, whether or not somebody has asked for its exit code
    [[ ! -e /proc/$1 || $(sed -E 's/^.*\) (.).*/\1/' "/proc/$1/stat" 2>/dev/null || echo Z) == Z ]]
}

# until_true SECONDS COMMAND...: polls; false when the time is over.
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.02
    done
}

# code_of COMMAND...: runs it, its exit code in $code.
code_of() {
    code=0
    "$@" || code=$?
}

# expect CODE PATTERN COMMAND...: the exit code, and an extended regular expression that what it
# prints, in $work/said.log, must match.
expect() {
    local want=$1 pattern=$2
    shift 2
    code_of "$@" >"$work/said.log" 2>&1
    ((code == want)) || fail "exit $code, not $want: $*"$'\n'"$(cat "$work/said.log")"
    grep -Eq -- "$pattern" "$work/said.log" ||
        fail "\"$pattern\" is not in what it says: $*"$'\n'"$(cat "$work/said.log")"
}

# try_properties NAME...: runs these functions, and tells how long each took.
try_properties() {
    local property began
    for property; do
        began=$(date +%s%3N)
        "$property"
        echo "ok: $property ($(($(date +%s%3N) - began)) ms)"
    done
}

# Ids of the checkpoints that a store holds, ascending.
checkpoints() {
    local manifest
    for manifest in "$1"/checkpoints/*/MANIFEST.json; do
        [[ -e $manifest ]] || continue
        manifest=${manifest%/MANIFEST.json}
        echo $((10#${manifest##*/}))
    done
}
has_checkpoints() { # STORE HOW_MANY
    (($(checkpoints "$1" | wc -l) >= $2))
}

# exercised [PROPERTY] COUNT: how often this script, or a property of it, has made its fault happen;
# for tests/faults, which counts for FAULTS.md.
exercised() {
    echo "exercised: ${0##*/}${2:+/$1} ${2:-$1}"
}

# ---- killed at random moments ----

# random_ms MOST: a number of seconds below MOST thousandths, in $pause. (Not for $(...): there
# RANDOM would not follow the seed.)
random_ms() {
    local ms=$((RANDOM * 32768 + RANDOM))
    ms=$((ms % $1))
    printf -v pause '%d.%03d' $((ms / 1000)) $((ms % 1000))
}

# killed_after SECONDS COMMAND...: true when it was killed, false when it had ended by itself before.
killed_after() {
    local seconds=$1
    shift
    background "$work/run.log" "$@"
    sleep "$seconds"
    kill -KILL "$pid" 2>/dev/null || true
    code_of wait "$pid" 2>/dev/null # quiet: the shell tells of the kill
    case $code in
    137) return 0 ;;
    0) return 1 ;;
    *) fail "exit $code before it was killed" ;;
    esac
}

# survive_kills KILLS MOST_MS COMMAND...: kills it up to KILLS times, then lets it end; how often in
# $killed.
survive_kills() {
    local most=$1 each=$2
    killed=0
    shift 2
    while ((killed < most)); do
        random_ms "$each"
        killed_after "$pause" "$@" || break
        killed=$((killed + 1))
    done
    code_of "$@" >>"$work/run.log" 2>&1
    ((code == 0)) || fail "exit $code of the last run"
}

# watch_parts DIR SUMS: checksums each part as soon as it is seen; after SUMS.stop is there, once
# more. It ends with the test, also with one that is killed.
watch_parts() {
    local -A seen
    local part new last=no
    while [[ $last == no && -e /proc/$$ ]]; do
        [[ ! -e $2.stop ]] || last=yes
        new=()
        for part in "$1"/part-*; do
            if [[ -z ${seen[$part]:-} && -e $part ]]; then
                seen[$part]=1
                new+=("$part")
            fi
        done
        ((${#new[@]} == 0)) || printf '%s\0' "${new[@]}" | xargs -0 md5sum >>"$2"
        sleep 0.05
    done
}

# begin_watch: of the parts in $work/out. What an earlier run of word_count has left goes away.
begin_watch() {
    out=$work/out sums=$work/sums
    rm -rf "$work/store" "$out" "$work/run.log" "$sums.stop"
    : >"$sums"
    watch_parts "$out" "$sums" &
    watcher=$!
}

# end_watch WHAT final|updates: the parts stayed as they were seen first, and say what $work/counts
# says.
end_watch() {
    touch "$sums.stop"
    wait "$watcher" || fail "$1: a part was gone before it could be read"
    md5sum --quiet -c "$sums" || fail "$1: a part changed after it was visible"
    (($(wc -l <"$sums") == $(find "$out" -name 'part-*' | wc -l))) ||
        fail "$1: a part was gone, or came unseen"
    "same_$([[ $2 == final ]] && echo counts || echo updates)" "$1" "$work/counts" "$out"
}

# try_word_count final|updates PARALLELISM ENDPOINT KILLS MOST_MS [OPTION...]: $work/text is counted
# and killed meanwhile; see end_watch. How often it was killed in $killed, how long it took in
# $took_ms.
try_word_count() {
    local what="emit=$1 parallelism=$2 $3 ${*:6}" out sums watcher began
    begin_watch
    began=$(date +%s%3N)
    survive_kills "$4" "$5" "$program" run --store "$work/store" --parallelism "$2" \
        --endpoint "$3" --set "input=$work/text" --set "output=$out" --set "emit=$1" "${@:6}"
    took_ms=$(($(date +%s%3N) - began))
    end_watch "$what" "$1"
    echo "ok: $what: killed $killed times, exact"
}

newest() { # STORE: its newest checkpoint
    checkpoints "$1" | tail -n 1
}

moved() { # STORE BEFORE: true when there is a newer checkpoint, or the program is gone
    [[ $(newest "$1") != "$2" ]] || is_gone "$pid"
}

# killed STORE COMMAND...: lets it run to its next checkpoint and kills it there. False: it had
# ended before.
killed() {
    local store=$1 before
    before=$(newest "$store")
    shift
    background "$work/run.log" "$@"
    until_true 60 moved "$store" "$before" || fail "no checkpoint within a minute: $*"
    kill -KILL "$pid" 2>/dev/null || true
    code_of wait "$pid" 2>/dev/null # quiet: the shell tells of the kill
    case $code in
    137) return 0 ;;
    0) return 1 ;;
    *) fail "exit $code before it was killed: $*" ;;
    esac
}
