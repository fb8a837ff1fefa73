# SPDX-License-Identifier: Apache-2.0
"""compare: what is different between two results, and whether that is more than noise.

A figure has changed when each median lies outside of the other's spread. Of less than three rounds
nothing is said, for a spread of two is luck.
"""
from report.figures import named

ROUNDS_LEAST = 3


def outside(value, spread):
    return value < spread["least"] or value > spread["most"]


def verdict(new, old):
    """"better", "worse", "changed", "no difference seen" or "too few rounds"."""
    if min(len(new["rounds"]), len(old["rounds"])) < ROUNDS_LEAST:
        return "too few rounds"
    if not outside(new["median"], old) or not outside(old["median"], new):
        return "no difference seen"
    if new["better"] == "neither":
        return "changed"
    return "better" if (new["median"] < old["median"]) == (new["better"] == "less") else "worse"


def changes(new, old):
    """(scenario, row, figure of new, figure of old, verdict) for all that is in both."""
    for scenario in new["scenarios"]:
        before = named(old["scenarios"], scenario["name"])
        for row in scenario["rows"]:
            row_before = named(before["rows"], row["name"]) if before else None
            for figure in row["figures"]:
                was = named(row_before["figures"], figure["name"]) if row_before else None
                if was and was["unit"] == figure["unit"]:
                    yield scenario["name"], row["name"], figure, was, verdict(figure, was)


def doubts(new, old):
    """Why the two should not be compared at all, as sentences."""
    for member in ("cpu", "processors", "memory_mib", "kernel", "file_system", "compiler", "flags"):
        if new["machine"][member] != old["machine"][member]:
            yield (f"the machines differ: {member} is {new['machine'][member]}, and was "
                   f"{old['machine'][member]}")
    if new["size"] != old["size"]:
        yield f"the sizes differ: {new['size']}, and {old['size']}"
    for which, result in (("this run", new), ("the old run", old)):
        noisy = [s["name"] for s in result["scenarios"] if "noise" in s]
        if noisy:
            yield f"{which} was too noisy: {', '.join(noisy)}"
