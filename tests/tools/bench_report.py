#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_report.py - are a bench's results what RESULTS.md says, its report sound, and its
comparisons right?

    bench_report.py BENCH sound FOLDER SIZE      SIZE.json and SIZE.html there
    bench_report.py BENCH catches FOLDER SIZE    results that are damaged are refused, each by name
    bench_report.py BENCH compares FOLDER SIZE   what has changed is told, and what is noise is not

BENCH is the sources' folder bench/. Exit code 1, and a sentence, when not.
"""
import copy
import json
import os
import random
import re
import sys
import xml.dom.minidom

sys.dont_write_bytecode = True
SCENARIOS = {"limits", "overhead", "latency", "exactly_once_delay", "recovery", "fanout", "chain",
             "record_size", "throughput", "backpressure"}


def expect(true, what):
    if not true:
        sys.exit(f"bench_report: {what}")


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


# ---- sound --------------------------------------------------------------------------------------

def check_figure(where, figure):
    rounds = sorted(figure["rounds"])
    expect(rounds, f"{where}: no rounds")
    expect(figure["least"] == rounds[0] and figure["most"] == rounds[-1],
           f"{where}: least and most are not those of the rounds")
    below = sum(r < figure["median"] for r in rounds)
    above = sum(r > figure["median"] for r in rounds)
    expect(max(below, above) <= len(rounds) / 2, f"{where}: no median")


def check_histogram(where, histogram):
    last = -1
    for bucket in histogram["buckets"]:
        expect(last < bucket["lowest"] <= bucket["highest"], f"{where}: buckets out of order")
        expect(bucket["highest"] - bucket["lowest"] <= bucket["lowest"] / 128,
               f"{where}: a wide bucket")
        expect(bucket["count"] > 0, f"{where}: an empty bucket")
        last = bucket["highest"]
    told = [histogram[p] for p in ("least", "p50", "p90", "p99", "p99_9", "p99_99", "most")
            if p in histogram]
    expect(told == sorted(told), f"{where}: percentiles out of order")


def check_result(result, schema, size):
    schema.check(result)
    expect(result["size"] == size, f"size {result['size']}")
    expect({s["name"] for s in result["scenarios"]} == SCENARIOS, "not every scenario")
    for scenario in result["scenarios"]:
        expect("failed" not in scenario, f"{scenario['name']}: {scenario.get('failed')}")
        expect(scenario["rows"], f"{scenario['name']} has no rows")
        names = [row["name"] for row in scenario["rows"]]
        expect(len(set(names)) == len(names), f"{scenario['name']}: a row's name twice")
        for row in scenario["rows"]:
            where = f"{scenario['name']}: {row['name']}"
            expect(row["figures"] or row["histograms"], f"{where} is empty")
            for figure in row["figures"]:
                check_figure(f"{where}: {figure['name']}", figure)
            for histogram in row["histograms"]:
                check_histogram(f"{where}: {histogram['name']}", histogram)


def check_page(page):
    """Well-formed as XML too; nothing is fetched, nothing runs."""
    document = xml.dom.minidom.parseString(page.removeprefix("<!DOCTYPE html>"))
    for name in ("script", "link", "img", "iframe", "object"):
        expect(not document.getElementsByTagName(name), f"the report has a <{name}>")
    expect(not re.search(r"(https?:)?//[a-z]|@import|url\(", page), "the report points elsewhere")
    expect("prefers-color-scheme: dark" in page, "the report is not for the dark")
    charts = [e for e in document.getElementsByTagName("svg") if e.getAttribute("role") == "img"]
    expect(len(charts) >= 8, f"{len(charts)} charts")
    for chart in charts:
        title = chart.getAttribute("aria-label")
        width, height = (float(n) for n in chart.getAttribute("viewBox").split()[2:])
        marks = [e for kind in ("circle", "rect", "path") for e in chart.getElementsByTagName(kind)]
        expect(marks, f"nothing is drawn in: {title}")
        for text in chart.getElementsByTagName("text"):
            expect(0 <= float(text.getAttribute("x")) <= width and
                   0 <= float(text.getAttribute("y")) <= height, f"text outside of: {title}")
        for name in re.findall(r'="(-?nan|-?inf)"', chart.toxml()):
            expect(False, f"{name} in: {title}")


# ---- catches ------------------------------------------------------------------------------------

def places(value, path=()):
    """Every object and list in it, and how one gets there."""
    if type(value) in (dict, list):
        yield path
        for key in (value if type(value) is dict else range(min(len(value), 2))):
            yield from places(value[key], path + (key,))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def damage(result, path, dice):
    """Changes one thing there, so that it is no result any more; False: it still is one."""
    target = at(result, path)
    inside_labels = any(key in ("labels", "libraries") for key in path)
    if type(target) is list or inside_labels or not target:
        return False
    member = dice.choice(sorted(target))
    way = dice.randrange(3)
    if way == 0 and member in ("p50", "p90", "p99", "p99_9", "p99_99", "steal", "others", "noise"):
        return False
    if way == 0:
        del target[member]
    elif way == 1:
        target[member] = None
    else:
        target["planted"] = 1
    return True


def smaller(result):
    """With few buckets, so that it is copied soon."""
    for scenario in result["scenarios"]:
        for row in scenario["rows"]:
            for histogram in row["histograms"]:
                del histogram["buckets"][2:]
                histogram["count"] = sum(b["count"] for b in histogram["buckets"])


def catches(result, schema, seed):
    dice, caught = random.Random(seed), 0
    smaller(result)
    schema.check(result)
    every = list(places(result))
    for _ in range(300):
        broken = copy.deepcopy(result)
        if not damage(broken, dice.choice(every), dice):
            continue
        try:
            schema.check(broken)
        except schema.Mismatch:
            caught += 1
        else:
            expect(False, f"seed {seed}: damaged, and not noticed")
    expect(caught >= 50, f"only {caught} were damaged")
    print(f"damaged {caught} times, each noticed")


# ---- compares -----------------------------------------------------------------------------------

def figure(better, *rounds):
    line = sorted(rounds)
    return {"name": "f", "unit": "ms", "better": better, "median": line[len(line) // 2],
            "least": line[0], "most": line[-1], "rounds": list(rounds)}


def compares(result, compare, text):
    old = figure("less", 10, 11, 12)
    for new, verdict in ((figure("less", 10, 11, 12), "no difference seen"),
                         (figure("less", 5, 6, 7), "better"),
                         (figure("less", 15, 16, 17), "worse"),
                         (figure("less", 5, 9, 20), "no difference seen"),  # holds the old median
                         (figure("less", 11, 12, 13), "no difference seen"),
                         (figure("less", 50, 60), "too few rounds")):
        said = compare.verdict(new, old)
        expect(said == verdict, f"{new['rounds']} beside {old['rounds']}: {said}")
    more = compare.verdict(figure("more", 15, 16, 17), figure("more", 10, 11, 12))
    expect(more == "better", f"more of what should be more is {more}")
    neither = compare.verdict(figure("neither", 15, 16, 17), figure("neither", 10, 11, 12))
    expect(neither == "changed", f"what is neither is {neither}")
    other = copy.deepcopy(result)
    other["machine"]["cpu"] = "another"
    changed = other["scenarios"][1]["rows"][0]["figures"][0]
    planted = figure("more", 1, 2, 3)
    for name in ("median", "least", "most", "rounds", "better"):
        changed[name] = planted[name]
    here = copy.deepcopy(result)
    for name, value in (("median", 8), ("least", 7), ("most", 9), ("rounds", [7, 8, 9]),
                        ("better", "more")):
        here["scenarios"][1]["rows"][0]["figures"][0][name] = value
    lines = "\n".join(text.lines(here, other))
    expect("the machines differ: cpu" in lines, "another machine is not told")
    expect(re.search(r"better$", lines, re.M), "what is better is not told")
    print("compared")


def main(arguments):
    bench, what, folder, size = arguments
    sys.path.insert(0, bench)
    from report import compare, schema, text
    result = json.loads(read(folder, f"{size}.json"))
    if what == "sound":
        check_result(result, schema, size)
        check_page(read(folder, f"{size}.html"))
        print("sound")
    elif what == "catches":
        catches(result, schema, int(os.environ.get("WEIR_SEED", random.randrange(1 << 30))))
    else:
        compares(result, compare, text)


if __name__ == "__main__":
    main(sys.argv[1:])
