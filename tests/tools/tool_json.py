#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tool_json - does what `weir --json` prints fit the tables of checkpoint/tool/README.md?

    tests/tools/tool_json.py README OBJECT FILE

Each line of FILE has the documented members of OBJECT, of the documented types.
"""
import json, re, sys
document, name, path = sys.argv[1:]
TYPES = {"number": lambda v: type(v) is int, "flag": lambda v: type(v) is bool,
         "text": lambda v: type(v) is str, "array": lambda v: type(v) is list,
         "value": lambda v: True}
tables = {}
for line in open(document, encoding="utf-8"):
    row = re.match(r"\| `(\w+)` \| (`\w+` \w+.*) \|$", line)
    if row:
        members = re.findall(r"`(\w+)` (\w+)(\??)", row[2])
        tables[row[1]] = {member: (kind, not maybe) for member, kind, maybe in members}

def check(name, value):
    table = tables[name]
    for member, (kind, always) in table.items():
        if member not in value:
            assert not always, f"{name} has no {member}: {value}"
        else:
            assert TYPES[kind](value[member]), f"{member} is no {kind}: {value}"
    for member, inner in value.items():
        assert member in table, f"{member} of {name} is not documented: {value}"
        # Of its own, or one that several share.
        own = name.split("_")[0] + "_" + member
        inside = own if own in tables else member
        for one in inner if type(inner) is list and inside in tables else []:
            check(inside, one)

lines = [json.loads(line) for line in open(path, encoding="utf-8")]
assert lines, "nothing is said"
for line in lines:
    check(name, line)
