# SPDX-License-Identifier: Apache-2.0
"""schema: is an object what RESULTS.md says? Its tables are read, not repeated.

    check(document) raises Mismatch, a sentence that names the member.
"""
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
BUCKETS_SEEN = 50  # a histogram has hundreds, all made by one loop; their sum is checked as well


class Mismatch(Exception):
    pass


def is_real(value):
    return type(value) in (int, float)


def is_labels(value):
    return type(value) is dict and all(type(v) is str or is_real(v) for v in value.values())


TYPES = {
    "number": lambda value: type(value) is int,
    "real": is_real,
    "text": lambda value: type(value) is str,
    "labels": is_labels,
}


def read_tables(path):
    """Object -> member -> (type, whether it is there always)."""
    tables, name = {}, None
    with open(path, encoding="utf-8") as file:
        for line in file:
            heading = re.match(r"## object `(\w+)`", line)
            if heading:
                name = heading[1]
                tables[name] = {}
            row = re.match(r"\| `(\w+)` \| ([\w ]+) \| ([^|]+) \|", line)
            if row and name:
                tables[name][row[1]] = (row[2], row[3].strip() == "always")
    return tables


TABLES = read_tables(os.path.join(HERE, "..", "RESULTS.md"))


def check_value(where, kind, value):
    if kind in TYPES:
        if not TYPES[kind](value):
            raise Mismatch(f"{where} is no {kind}: {str(value)[:80]}")
    elif kind.startswith("object "):
        check_object(where, kind.removeprefix("object "), value)
    else:
        one = kind.removeprefix("list of ")
        if type(value) is not list:
            raise Mismatch(f"{where} is no list: {str(value)[:80]}")
        for at, element in enumerate(value[:BUCKETS_SEEN] if one == "bucket" else value):
            check_value(f"{where}[{at}]", one if one in TYPES else f"object {one}", element)


def check_object(where, kind, value):
    table = TABLES[kind]
    if type(value) is not dict:
        raise Mismatch(f"{where} is no object: {str(value)[:80]}")
    for member, content in value.items():
        if member not in table:
            raise Mismatch(f"{where}.{member} is not documented")
        check_value(f"{where}.{member}", table[member][0], content)
    for member, (_, always) in table.items():
        if always and member not in value:
            raise Mismatch(f"{where}.{member} is missing")
    if kind == "histogram" and sum(b["count"] for b in value["buckets"]) != value["count"]:
        raise Mismatch(f"{where}.count is not the sum of its buckets")


def check(document):
    if type(document) is not dict or document.get("bench") != 1:
        raise Mismatch("it is no result of bench/run.sh, of a version that is known here")
    check_object("result", "result", document)
