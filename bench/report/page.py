# SPDX-License-Identifier: Apache-2.0
"""page: results as one HTML file that needs nothing else: no network, no script; light and dark;
wide and narrow."""
import os

from report import chart
from report.aims import claims, judged
from report.chart import escape, tag
from report.compare import changes, doubts
from report.figures import (curve, figure, histogram, named, percentiles, quantity, rows,
                            scenario, spread, tick, title)

HERE = os.path.dirname(os.path.abspath(__file__))
MODES = ("aligned", "unaligned", "adaptive")
SHAPES = (("fanout", "Many tasks", "As many sources as sinks, a channel between any two.",
           "sources x sinks"),
          ("chain", "Many steps", "Tasks that pass each record on, one behind the other.", "tasks"),
          ("record_size", "Large records", "A source and a sink.", "bytes of a value"))


def legend(names):
    return tag("p", "".join(
        tag("span", chart.tag("svg", chart.mark(at, 7, 7, name), viewBox="0 0 14 14", width=14,
                              height=14) + escape(name), class_="key")
        for at, name in enumerate(names)), class_="legend")


def panel(svg, caption=""):
    return tag("figure", (tag("figcaption", escape(caption)) if caption else "") + svg)


def table(heading, lines, last=False):
    """What is wider than the page scrolls by itself. `last`: the last cell is a verdict."""
    def row(cells, kind):
        given = {"class_": "is-" + cells[-1].replace(" ", "-")} if last and kind == "td" else {}
        return tag("tr", "".join(tag(kind, escape(cell)) for cell in cells), **given)
    body = "".join(row(line, "td") for line in lines)
    return tag("div", tag("table", tag("thead", row(heading, "th")) + tag("tbody", body)),
               class_="scroll", tabindex="0")


def figures_table(item, opened):
    lines = [["" if at else row["name"], name, words]
             for row in item["rows"]
             for at, (name, words) in enumerate(
                 [(title(f["name"]), spread(f)) for f in row["figures"]] +
                 [(title(h["name"]), percentiles(h)) for h in row["histograms"]])]
    return tag("details", tag("summary", "all figures: median (least .. most)") +
               table(["", "what", ""], lines), **({"open": ""} if opened else {}))


def section(result, name, title, text, content):
    item = named(result["scenarios"], name)
    if not item:
        return ""
    warnings = "".join(
        tag("p", escape(f"{word}: {item[member]}"), class_="warning")
        for member, word in (("failed", "Failed"), ("noise", "Too noisy to be believed")) if
        member in item)
    notes = "".join(tag("p", escape(note), class_="note") for note in item["notes"])
    return tag("section", tag("h2", escape(title)) + tag("p", escape(text)) + warnings +
               (content if item["rows"] else "") + notes +
               (figures_table(item, not content) if item["rows"] else ""), id=name)


# ---- the charts ---------------------------------------------------------------------------------

def overhead_charts(result):
    intervals = sorted({r["labels"]["interval_ms"] for r in rows(result, "overhead")
                        if "interval_ms" in r["labels"]}, reverse=True)
    limits = {1000: 3, 100: 8, 10: 25}
    names = [tick(ms, "ms") for ms in intervals]

    def lines(of):
        for mode in MODES:
            found = [figure(result, "overhead", of, mode=mode, interval_ms=ms) for ms in intervals]
            yield mode, [f and (f["median"], f["least"], f["most"], f"{mode}: {spread(f)}")
                         for f in found]
    lost = chart.ranges("throughput lost, percent", names, list(lines("overhead")),
                        lambda v: f"{v:g} %", "time between checkpoints",
                        [(limits.get(ms), f"aim: {limits.get(ms)} %") for ms in intervals])
    plain = chart.ranges("rate, as a share of the plain loop's", names, list(lines("of_plain")),
                         lambda v: f"{v:g}", "time between checkpoints")
    return legend(MODES) + tag(
        "div", panel(lost, "throughput lost (dashes: the aim)") +
        panel(plain, "rate, as a share of the plain loop's") + cut_chart(result, intervals, names),
        class_="charts")


def cut_chart(result, intervals, names):
    lines = []
    for mode in MODES:
        found = [histogram(result, "overhead", "cut", mode=mode, interval_ms=ms)
                 for ms in intervals]
        lines.append((mode, [h and (h.get("p50", h["least"]), h["least"], h["most"],
                                    f"{mode}: {percentiles(h)}") for h in found]))
    if not any(item for _, line in lines for item in line):
        return ""
    return panel(chart.ranges("how long a cut holds a task", names, lines,
                              lambda v: tick(v, "ns"), "time between checkpoints", log=True),
                 "how long a cut holds a task: least, median, most")


def latency_charts(result):
    every = [h for r in rows(result, "latency") for h in r["histograms"] if h["name"] == "latency"]
    if not every:
        return ""
    low = max(1, min(h["least"] for h in every))
    high = max(h["most"] for h in every)
    panels = ""
    for load in sorted({r["labels"]["load"] for r in rows(result, "latency")
                        if "load" in r["labels"]}):
        pair = [histogram(result, "latency", "latency", load=load, checkpoints=which)
                for which in ("off", "on")]
        panels += panel(chart.tail(f"latency at {100 * load:.0f} % load",
                                   [curve(h) if h else [] for h in pair],
                                   lambda v: tick(v, "ns"), low, high),
                        f"{100 * load:.0f} % of the sustainable load")
    return legend(("checkpoints off", "checkpoints on")) + tag("div", panels, class_="charts")


def delay_charts(result):
    found = rows(result, "exactly_once_delay")
    names = [tick(r["labels"]["interval_ms"], "ms") for r in found]
    items, limits = [], []
    for row in found:
        item, interval_ms = named(row["histograms"], "delay"), row["labels"]["interval_ms"]
        most = item.get("p99", item["most"]) / 1e6
        middle = item.get("p50", item["least"]) / 1e6
        items.append((middle, middle, most, percentiles(item)))
        limits.append((3 * interval_ms + 5, f"aim for p99: {3 * interval_ms + 5} ms"))
    svg = chart.ranges("from due to published", names, [("delay", items)],
                       lambda v: tick(v, "ms"), "time between checkpoints", limits, log=True)
    return tag("div", panel(svg, "from due to published: p50, and up to p99 (dashes: the aim)"),
               class_="charts")


def recovery_charts(result):
    steps = ("running", "output", "caught_up", "replayed")
    panels = ""
    for row in rows(result, "recovery"):
        found = [named(row["figures"], step) for step in steps]
        if all(found):
            panels += panel(
                chart.strips(f"after kill -9: {row['name']}", [s.replace("_", " ") for s in steps],
                             [(f["median"], f["rounds"]) for f in found],
                             lambda v: tick(v, "ms"), lambda v: quantity(v, "ms")), row["name"])
    return tag("div", panels, class_="charts")


def of_figure(item, name):
    """For chart.ranges."""
    return item and (item["median"], item["least"], item["most"], f"{name}: {spread(item)}")


def shape_charts(result, name, axis):
    """fanout, chain, record_size: rates, rounds and memory by shape."""
    found = rows(result, name)
    names = [r["name"].removesuffix(" tasks") for r in found]

    def line(of, words):
        return words, [of_figure(named(r["figures"], of), words) for r in found]
    durable = [named(r["histograms"], "durable") for r in found]
    panels = panel(chart.ranges(
        f"{name}: rate", names, [line("rate_off", "checkpoints off"), line("rate", "on")],
        lambda v: f"{v:g} M/s", axis, log=name == "record_size"), "records a second")
    if any(durable):
        panels += panel(chart.ranges(
            f"{name}: rounds", names,
            [("durable", [h and (h.get("p50", h["least"]), h["least"], h["most"], percentiles(h))
                          for h in durable])],
            lambda v: tick(v, "ns"), axis, log=True),
            "from a checkpoint's trigger until it is durable: least, median, most")
    panels += panel(chart.ranges(f"{name}: memory", names, [line("memory", "most")],
                                 lambda v: f"{v:g} MiB", axis), "the most that weir had allocated")
    return legend(("checkpoints off", "every 100 ms")) + tag("div", panels, class_="charts")


def own_charts(result):
    """Of a job of one's own: what it loses by interval, and its kills."""
    with_ = [r for r in rows(result, "own") if named(r["figures"], "overhead")]
    lost = [named(r["figures"], "overhead") for r in with_]
    panels = ""
    if lost:
        panels += panel(chart.ranges(
            "throughput lost, percent", [r["labels"]["interval"] for r in with_],
            [("lost", [(f["median"], f["least"], f["most"], spread(f)) for f in lost])],
            lambda v: f"{v:g} %", "time between checkpoints"), "throughput lost")
    for row in rows(result, "own"):
        found = [named(row["figures"], step) for step in ("running", "output")]
        if all(found):
            panels += panel(chart.strips(
                row["name"], ["running", "output"], [(f["median"], f["rounds"]) for f in found],
                lambda v: tick(v, "ms"), lambda v: quantity(v, "ms")), row["name"])
    return tag("div", panels, class_="charts")


# ---- the rest -----------------------------------------------------------------------------------

def tiles(result):
    return tag("div", "".join(
        tag("div", tag("span", escape(what), class_="what") + tag("strong", escape(value)) +
            tag("span", escape(how), class_="how"), class_="tile")
        for what, value, how in claims(result)), class_="tiles")


def aims_table(result):
    lines = [[what, words, spread(found), said]
             for what, found, words, said in judged(result)]
    if not lines:
        return ""
    return tag("section", tag("h2", "Aims") +
               table(["", "aim", "median (least .. most)", ""], lines, last=True))


def compare_table(result, old):
    if not old:
        return ""
    lines = [[f"{name}: {row}", title(figure_["name"]), spread(was), spread(figure_),
              said] for name, row, figure_, was, said in changes(result, old)
             if said in ("better", "worse", "changed")]
    doubted = list(doubts(result, old))
    lines_of_doubt = "<br/>".join(escape(doubt) for doubt in doubted)
    body = tag("p", lines_of_doubt, class_="warning") if doubted else ""
    body += table(["", "what", "was", "is", ""], lines, last=True) if lines else tag(
        "p", "Nothing has changed by more than the spread of the rounds.")
    return tag("section", tag("h2", escape(f"Beside {old['time']}, commit {old['commit']}")) + body)


def machine_table(result):
    lines = [[name.replace("_", " "), str(value)] for name, value in result["machine"].items()]
    lines += [[name, version] for name, version in result["libraries"].items()]
    lines += [["command", result["command"]]]
    lines += [["left out", what] for what in result["left_out"]]
    return tag("section", tag("h2", "Machine") + table(["", ""], lines), id="machine")


def warning_of(result):
    noisy = [s["name"] for s in result["scenarios"] if "noise" in s]
    if result["size"] == "trial":
        return tag("p", "A trial: these figures mean nothing.", class_="warning")
    if noisy:
        return tag("p", escape("Others were busy on this machine while it was measured; do not "
                               f"believe: {', '.join(noisy)}."), class_="warning")
    return ""


def body(result, old):
    machine = result["machine"]
    where = (f"{machine['processors']} × {machine['cpu']}, Linux {machine['kernel']}, stores on "
             f"{machine['file_system']}; commit {result['commit']}, {result['time']}, "
             f"{result['size']}")
    has = {name: scenario(result, name) is not None
           for name in ("exactly_once_delay", "latency", "overhead")}
    return "".join([
        tag("header", tag("h1", "What checkpoints cost") + tag("p", escape(where), class_="meta")),
        warning_of(result), tiles(result), aims_table(result), compare_table(result, old),
        section(result, "own", "Your job",
                "Runs of it without checkpoints and with them, in turns, each in a new store; and"
                " kills of it, supervised. Output: the first checkpoint after the kill is durable,"
                " and what it covers is published. Longest delay: from a trigger to the commit"
                " after the next, as long as a record waits at most.", own_charts(result)),
        section(result, "overhead", "Throughput",
                "A keyed count, by the time between checkpoints and their mode, beside the same job"
                " without, in turns. Dots are medians of the rounds, lines reach from the least to"
                " the most.", overhead_charts(result) if has["overhead"] else ""),
        section(result, "latency", "Latency",
                "An open loop: from when a record was due until it was counted, so what waits"
                " behind a stall counts too.", latency_charts(result) if has["latency"] else ""),
        section(result, "exactly_once_delay", "Delay of exactly-once output",
                "From when a record was due at the source until another process sees the line made"
                " of it. It is published with the checkpoint that covers it.",
                delay_charts(result) if has["exactly_once_delay"] else ""),
        section(result, "recovery", "After kill -9",
                "A supervised job is killed. Running: it says so again. Output: a record due after"
                " the kill is published, and right. Caught up: output is as fresh as before."
                " Replayed: input processed again. A dot is a kill, the line their median.",
                recovery_charts(result)),
        *[section(result, name, title_, text, shape_charts(result, name, axis)
                  if scenario(result, name) else "") for name, title_, text, axis in SHAPES],
        section(result, "limits", "Limits of the machine",
                "The same machine without weir: copying, LZ4 on such state, and what a commit can't"
                " do without.", ""),
        section(result, "throughput", "Throughput by keys",
                "Rates as shares of a plain loop's; ckpt: with a checkpoint every second.", ""),
        section(result, "backpressure", "Under back-pressure",
                "How long a checkpoint takes when every queue before a slow operator is full.", ""),
        machine_table(result)])


def html(result, old=None):
    with open(os.path.join(HERE, "page.css"), encoding="utf-8") as file:
        style = file.read()
    return ("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
            f"<title>weir: what checkpoints cost</title><style>{style}</style></head>"
            f"<body><main>{body(result, old)}</main></body></html>\n")
