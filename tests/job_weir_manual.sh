#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The manual page and bash's completion know every verb and option that --help knows, and no other;
# and long work shows a bar on a terminal, which goes away, and nowhere else.
#
#     tests/job_weir_manual.sh BUILD_FOLDER

build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
source "$here/tools/job.bash"
source "$here/tools/weir.bash"

verbs() {
    "$weir" --help | awk '/^  [a-z]/ { print $1 }'
}
# options VERB: those of its help.
options() {
    "$weir" "$1" --help | awk '/^  --/ { sub(/^  /, ""); sub(/  .*/, ""); print }' |
        grep -oE -- '--[a-z-]+'
}

the_page_says_what_help_says() {
    local verb option
    "$weir" help --man >"$work/weir.1"
    command -v groff >/dev/null || exit 77
    groff -man -Tutf8 -ww -z "$work/weir.1" >"$work/said.log" 2>&1
    [[ ! -s $work/said.log ]] || fail "groff: $(cat "$work/said.log")"
    groff -man -Tascii -P-c -P-b -P-u -rLL=200n "$work/weir.1" >"$work/page"
    [[ $(verbs | wc -l) -gt 9 ]] || fail "too few verbs: a poor test"
    for verb in $(verbs); do
        grep -q "^ *weir $verb STORE" "$work/page" || fail "the page has no $verb"
        sed -n "/^ *weir $verb STORE/,/^ *weir [a-z]* STORE\|^[A-Z]/p" "$work/page" |
            tail -n +2 >"$work/part"
        for option in $(options "$verb" | grep -vxE -- '--(json|no-pager)'); do
            grep -qE -- "^ *(--.* )?$option( |,|\$)" "$work/part" ||
                fail "the page has no $option of $verb"
        done
        "$weir" "$verb" --help | sed -n 3p | tr -s ' ' >"$work/about"
        tr -s ' ' <"$work/page" | grep -qF "$(cat "$work/about")" || fail "what $verb is about"
    done
}

# completed WORD...: what stands for the last of them, in $COMPREPLY.
completed() {
    COMP_WORDS=("$weir" "$@") COMP_CWORD=$#
    _weir
}

completion_knows_them() {
    local verb
    "$weir" help --bash >"$work/weir.bash"
    # shellcheck disable=SC1091
    source "$work/weir.bash"
    completed ''
    [[ $(printf '%s\n' "${COMPREPLY[@]}" | grep -v '^--' | sort) == "$(verbs | sort)" ]] ||
        fail "other verbs: ${COMPREPLY[*]}"
    completed ex
    [[ ${COMPREPLY[*]} == "export explain" ]] || fail "ex: ${COMPREPLY[*]}"
    for verb in $(verbs); do
        completed "$verb" store --
        diff <(printf '%s\n' "${COMPREPLY[@]}" | sort -u) \
            <((options "$verb" && echo --help) | sort -u) || fail "other options of $verb"
    done
    completed export store 3 --format c
    [[ ${COMPREPLY[*]} == csv ]] || fail "formats: ${COMPREPLY[*]}"
    completed show "$here/golden/store" ''
    [[ $(printf '%s\n' "${COMPREPLY[@]}" | sort) == \
        $( (echo newest && checkpoints "$here/golden/store") | sort) ]] ||
        fail "ids: ${COMPREPLY[*]}"
    completed show "$here/golden/st"
    [[ ${COMPREPLY[*]} == "$here/golden/store" ]] || fail "stores: ${COMPREPLY[*]}"
}

# On a terminal, stopped in the middle of its work until more than a second has gone by.
a_bar_for_long_work() {
    cat >"$work/bar.py" <<'PYTHON'
import os, pty, select, sys, time

def run(command, environment):
    """What it says on a terminal; it is stopped once, for more than a second."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(command[0], command, dict(os.environ, **environment))
    pid, status = os.waitpid(child, os.WUNTRACED)
    assert os.WIFSTOPPED(status), status
    began = time.monotonic()
    while time.monotonic() < began + 1.05:  # it is time itself that is waited for
        select.select([], [], [], 0.05)
    os.kill(child, 18)
    said = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    assert os.waitpid(child, 0)[1] == 0, said
    return said

shim, at, command = sys.argv[1], sys.argv[2], sys.argv[3:]
said = run(command, {"LD_PRELOAD": shim, "WEIR_FAULT": "stop", "WEIR_FAULT_AT": at,
                     "WEIR_FAULT_ONLY": "pread", "PAGER": "", "NO_COLOR": "1"})
assert b"%, " in said and b" of " in said, said
assert said.rindex(b"\r\x1b[K") > said.rindex(b"%, "), said
PYTHON
    local each
    for each in "verify $here/golden/store" "verify $here/golden/store --all" \
        "export $here/golden/store newest --format jsonl --to $work/out" \
        "copy $here/golden/store newest $work/copy"; do
        # Behind the manifests.
        # shellcheck disable=SC2086
        python3 "$work/bar.py" "$build/tests/fault.so" $([[ $each == *all ]] && echo 14 || echo 5) \
            "$weir" $each || fail "no bar: $each"
    done
    "$weir" verify "$here/golden/store" --all >/dev/null 2>"$work/said.log"
    [[ ! -s $work/said.log ]] || fail "a bar without a terminal"
}

echo "seed $seed"
try_properties the_page_says_what_help_says completion_knows_them a_bar_for_long_work
