# SPDX-License-Identifier: Apache-2.0
"""text: results as a table for terminals; a list of lines."""
from report.aims import judged
from report.compare import changes, doubts
from report.figures import percentiles, spread, title


def head(result):
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["libraries"].items())
    yield f"{versions}; commit {result['commit']}; {result['size']}, {result['time']}"
    yield (f"{machine['processors']} x {machine['cpu']}, {machine['memory_mib']} MiB, Linux "
           f"{machine['kernel']}, stores on {machine['file_system']}")
    yield f"{machine['compiler']},{machine['flags']}; load {machine['load']:.2f} at the start"


def columns(cells, widths):
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()


def table(heading, lines):
    lines = [heading] + lines
    widths = [max(len(line[i]) for line in lines) for i in range(len(heading))]
    for at, line in enumerate(lines):
        yield "  " + columns(line, widths)
        if at == 0:
            yield "  " + columns(["-" * width for width in widths], widths)


def scenario_lines(scenario):
    yield ""
    yield f"{scenario['name']}  ({scenario['seconds']:.0f} s)"
    if "failed" in scenario:
        yield f"  FAILED: {scenario['failed']}"
    if "noise" in scenario:
        yield f"  TOO NOISY: {scenario['noise']}"
    lines = []
    for row in scenario["rows"]:
        said = [(title(f["name"]), spread(f)) for f in row["figures"]]
        said += [(title(h["name"]), percentiles(h)) for h in row["histograms"]]
        for at, (name, words) in enumerate(said):
            lines.append(["" if at else row["name"], name, words])
    if lines:
        yield from table(["", "what", "median (least .. most)"], lines)
    for note in scenario["notes"]:
        yield f"  {note}"


def aim_lines(result):
    lines = [[what, words, spread(found), said]
             for what, found, words, said in judged(result)]
    if lines:
        yield ""
        yield "aims"
        yield from table(["", "aim", "median (least .. most)", ""], lines)


def compare_lines(result, old):
    yield ""
    yield f"beside {old['time']}, commit {old['commit']}"
    for doubt in doubts(result, old):
        yield f"  {doubt}"
    found = list(changes(result, old))
    lines = [[f"{scenario}: {row}", title(figure["name"]), spread(was), spread(figure),
              said] for scenario, row, figure, was, said in found
             if said in ("better", "worse", "changed")]
    if lines:
        yield from table(["", "what", "was", "is", ""], lines)
    counts = [sum(f[4] == said for f in found)
              for said in ("no difference seen", "too few rounds")]
    yield (f"  {len(lines)} changed; of {counts[0]} no difference is seen; {counts[1]} have too"
           " few rounds to say")


def lines(result, old=None):
    yield from head(result)
    for scenario in result["scenarios"]:
        yield from scenario_lines(scenario)
    yield from aim_lines(result)
    if old:
        yield from compare_lines(result, old)
    for what in result["left_out"]:
        yield f"left out: {what}"
