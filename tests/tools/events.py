#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""events.py - do events say what runtime/EVENTS.md documents, and nothing else?

    events.py EVENTS.md [FILE]... [--want EVENT,EVENT...]

Reads the tables of EVENTS.md; checks the examples in it, then the lines of each FILE: every member
documented, of the documented type, none missing that is there "always". --want: these events, and
maybe others, must be in the files.
"""
import json
import re
import sys

TYPES = {
    "number": lambda v: type(v) is int,
    "flag": lambda v: type(v) is bool,
    "text": lambda v: type(v) is str,
    "time": lambda v: type(v) is str and re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", v) is not None,
}


def refuse(what):
    sys.exit(f"events: {what}")


def read_tables(path):
    """Event -> member -> (type, always), those of every event under None; and the examples."""
    tables, examples, event, inside = {}, [], False, False
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            heading = re.match(r"## (?:event `(\w+)`|(every event)|.*)", line)
            if heading:
                event = heading[1] if heading[1] else (None if heading[2] else False)
                if event is not False:
                    tables[event] = {}
            row = re.match(r"\| `(\w+)` \| (\w+) \| ([^|]+) \|", line)
            if row and event is not False:
                if row[2] not in TYPES or row[1] in tables[event]:
                    refuse(f"{path}:{number}: a type that does not exist, or a member twice")
                tables[event][row[1]] = (row[2], row[3].strip() == "always")
            if inside and not line.startswith("```"):
                examples.append((event, f"{path}:{number}", line))
            if line.startswith("```"):
                inside = line.startswith("```json") and event is not False
    return tables, examples


def check(tables, where, line):
    """The event's name."""
    def no_twins(pairs):
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            refuse(f"{where}: a member twice: {line}")
        return dict(pairs)

    try:
        members = json.loads(line, object_pairs_hook=no_twins)
    except ValueError as error:
        refuse(f"{where}: no JSON: {error}: {line}")
    name = members.get("event") if type(members) is dict else None
    if name is None or name not in tables:
        refuse(f"{where}: no documented event: {line}")
    known = tables[None] | tables[name]
    for member, value in members.items():
        if member not in known:
            refuse(f"{where}: {name}.{member} is not documented: {line}")
        if not TYPES[known[member][0]](value):
            refuse(f"{where}: {name}.{member} is no {known[member][0]}: {line}")
    for member, (_, always) in known.items():
        if always and member not in members:
            refuse(f"{where}: {name}.{member} is missing: {line}")
    if members["weir"] != 1:
        refuse(f"{where}: version {members['weir']}")
    return name


def main(arguments):
    want = set()
    if "--want" in arguments:
        at = arguments.index("--want")
        want = set(arguments[at + 1].split(","))
        del arguments[at:at + 2]
    tables, examples = read_tables(arguments[0])
    if None not in tables or not tables[None]:
        refuse(f"{arguments[0]}: no table for every event")
    for event, where, line in examples:
        if check(tables, where, line) != event:
            refuse(f"{where}: an example of another event")
    bare = set(tables) - {None} - {event for event, _, _ in examples}
    if bare:
        refuse(f"{arguments[0]}: no example of {', '.join(sorted(bare))}")
    seen = {}
    for path in arguments[1:]:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    refuse(f"{path}:{number}: half a line")
                name = check(tables, f"{path}:{number}", line.decode("utf-8"))
                seen[name] = seen.get(name, 0) + 1
    if want - set(seen):
        refuse(f"not said: {', '.join(sorted(want - set(seen)))}")
    print("events:", " ".join(f"{name} {count}" for name, count in sorted(seen.items())))


main(sys.argv[1:])
