#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""events.py - do programs say what runtime/EVENTS.md documents, and nothing else?

    events.py EVENTS.md [FILE]... [--want EVENT,EVENT...]
    events.py EVENTS.md --object NAME FILE

Reads the tables of EVENTS.md; checks the examples in it, then the lines of each FILE: every member
documented, of the documented type, none missing that is there "always". --want: these events, and
maybe others, must be in the files; "all": all that are documented. --object: the whole FILE is one
JSON object, the documented one of that name.
"""
import json
import re
import sys

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
TYPES = {
    "number": lambda v: type(v) is int,
    "flag": lambda v: type(v) is bool,
    "text": lambda v: type(v) is str,
    "time": lambda v: type(v) is str and re.fullmatch(TIME, v) is not None,
    "texts": lambda v: type(v) is dict and all(type(t) is str for t in v.values()),
}
EVERY = "every event"


def refuse(what):
    sys.exit(f"events: {what}")


def no_twins(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a member twice")
    return dict(pairs)


def parse(where, text):
    try:
        return json.loads(text, object_pairs_hook=no_twins)
    except ValueError as error:
        refuse(f"{where}: no JSON: {error}: {text}")


class Document:
    """Tables by "event NAME", "object NAME" and EVERY: member -> (type, always). And examples."""

    def __init__(self, path):
        self.path, self.tables, self.examples = path, {}, []
        name, inside = None, False
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.startswith("## "):
                    heading = re.match(r"## (event|object) `(\w+)`", line)
                    name = f"{heading[1]} {heading[2]}" if heading else None
                    name = EVERY if line.startswith(f"## {EVERY}") else name
                    if name:
                        self.tables[name] = {}
                row = re.match(r"\| `(\w+)` \| ([\w ]+) \| ([^|]+) \|", line)
                if row and name:
                    if row[1] in self.tables[name]:
                        refuse(f"{path}:{number}: {row[1]} twice")
                    self.tables[name][row[1]] = (row[2], row[3].strip() == "always")
                if inside and not line.startswith("```"):
                    self.examples.append((name, f"{path}:{number}", line))
                if line.startswith("```"):
                    inside = line.startswith("```json") and name is not None
        for name, table in self.tables.items():
            for member, (kind, _) in table.items():
                if not table or not self.is_type(kind):
                    refuse(f"{path}: {name}.{member}: no type \"{kind}\"")

    def is_type(self, kind):
        """A word of TYPES, "object NAME", "list of text" or "list of NAME"."""
        word = re.sub(r"^(object|list of) ", "", kind)
        return kind in TYPES or kind == "list of text" or f"object {word}" in self.tables

    def check_value(self, where, kind, value):
        if kind in TYPES:
            if not TYPES[kind](value):
                refuse(f"{where} is no {kind}: {value}")
        elif kind.startswith("object "):
            self.check_object(where, value, self.tables[kind])
        else:
            if type(value) is not list:
                refuse(f"{where} is no list: {value}")
            one = kind.removeprefix("list of ")
            for i, element in enumerate(value):
                self.check_value(f"{where}[{i}]", one if one == "text" else f"object {one}",
                                 element)

    def check_object(self, where, members, table):
        if type(members) is not dict:
            refuse(f"{where}: no object: {members}")
        for member, value in members.items():
            if member not in table:
                refuse(f"{where}.{member} is not documented: {members}")
            self.check_value(f"{where}.{member}", table[member][0], value)
        for member, (_, always) in table.items():
            if always and member not in members:
                refuse(f"{where}.{member} is missing: {members}")

    def check_event(self, where, line):
        """The event's name."""
        members = parse(where, line)
        name = members.get("event") if type(members) is dict else None
        if f"event {name}" not in self.tables:
            refuse(f"{where}: no documented event: {line}")
        self.check_object(f"{where}: {name}", members,
                          self.tables[EVERY] | self.tables[f"event {name}"])
        if members["weir"] != 1:
            refuse(f"{where}: version {members['weir']}")
        return name

    def check_examples(self):
        for name, where, line in self.examples:
            if name.startswith("event "):
                if self.check_event(where, line) != name.removeprefix("event "):
                    refuse(f"{where}: an example of another event")
            else:
                self.check_object(where, parse(where, line), self.tables[name])
        shown = {name for name, _, _ in self.examples}
        for name in self.tables:
            if name.startswith("event ") and name not in shown:
                refuse(f"{self.path}: no example of {name}")


def option(arguments, name):
    if name not in arguments:
        return None
    at = arguments.index(name)
    value = arguments[at + 1]
    del arguments[at:at + 2]
    return value


def main(arguments):
    want = option(arguments, "--want")
    whole = option(arguments, "--object")
    document = Document(arguments[0])
    if not document.tables.get(EVERY):
        refuse(f"{arguments[0]}: no table for {EVERY}")
    document.check_examples()
    if whole:
        with open(arguments[1], encoding="utf-8") as file:
            value = parse(arguments[1], file.read())
        document.check_value(arguments[1], f"object {whole}", value)
        return
    seen = {}
    for path in arguments[1:]:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    refuse(f"{path}:{number}: half a line")
                name = document.check_event(f"{path}:{number}", line.decode("utf-8"))
                seen[name] = seen.get(name, 0) + 1
    every = {name.removeprefix("event ") for name in document.tables if name.startswith("event ")}
    wanted = every if want == "all" else set(want.split(",") if want else ())
    missing = wanted - set(seen)
    if missing:
        refuse(f"not said: {', '.join(sorted(missing))}")
    print("events:", " ".join(f"{name} {count}" for name, count in sorted(seen.items())))


main(sys.argv[1:])
