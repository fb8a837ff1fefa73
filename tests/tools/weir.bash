# SPDX-License-Identifier: Apache-2.0
#
# weir.bash: what the tests of the tool `weir` share: the program, in $weir, and whether its JSON is
# as checkpoint/tool/README.md documents it. Source it behind job.bash; $build is the build folder,
# and $here that of the tests.

weir=$build/bin/weir

# fits OBJECT FILE: each line of FILE has the documented members, of the documented types.
fits() {
    python3 "$here/tools/tool_json.py" "$here/../checkpoint/tool/README.md" "$1" "$2" ||
        fail "JSON of $1"
}

# json VERB WORD...: its lines, in $work/VERB.json, are as documented.
json() {
    code_of "$weir" "$@" --json >"$work/$1.json" 2>"$work/said.log"
    ((code <= 1)) || fail "exit $code: $*: $(cat "$work/said.log")"
    fits "$1" "$work/$1.json"
}
