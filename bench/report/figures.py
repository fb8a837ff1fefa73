# SPDX-License-Identifier: Apache-2.0
"""figures: finding things in results, and saying numbers."""
import re

TIMES = [("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9)]
SHORT = {"us": "µs"}


def scenario(result, name):
    return next((s for s in result["scenarios"] if s["name"] == name and s["rows"]), None)


def rows(result, name, **labels):
    """The scenario's rows that have these labels."""
    found = scenario(result, name)
    return [r for r in (found["rows"] if found else [])
            if all(r["labels"].get(label) == value for label, value in labels.items())]


def named(items, name):
    return next((item for item in items if item["name"] == name), None)


def figure(result, name, of, **labels):
    """The first figure `of` that name; None."""
    for row in rows(result, name, **labels):
        found = named(row["figures"], of)
        if found:
            return found
    return None


def histogram(result, name, of, **labels):
    for row in rows(result, name, **labels):
        found = named(row["histograms"], of)
        if found:
            return found
    return None


def digits(value):
    """Three that mean something, and no more."""
    if value == 0:
        return "0"
    size = abs(value)
    places = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.0995 else 3
    return f"{value:.{places}f}"


def scaled(size, unit):
    """What a value in `unit` is divided by, and the unit that reads best for one of that size."""
    factor = dict(TIMES).get(unit)
    if factor and size:
        best, scale = [(u, f) for u, f in TIMES if f == 1 or abs(size * factor) >= f][-1]
        return scale / factor, SHORT.get(best, best)
    return 1, SHORT.get(unit, unit)


def quantity(value, unit):
    """"1.25 ms"."""
    divisor, unit = scaled(value, unit)
    return f"{digits(value / divisor)} {unit}".rstrip()


def tick(value, unit):
    """As quantity, of a round value: "10 ms", not "10.0 ms"."""
    number, *rest = quantity(value, unit).split(" ")
    return " ".join([f"{float(number):g}"] + rest)


def spread(item):
    """"1.2 (0.9 .. 1.4) ms", or the one round there was."""
    if len(item["rounds"]) == 1:
        return quantity(item["median"], item["unit"])
    ends = (item["median"], item["least"], item["most"])
    divisor, unit = scaled(max(abs(end) for end in ends), item["unit"])
    median, least, most = (digits(end / divisor) for end in ends)
    return f"{median} ({least} .. {most}) {unit}".rstrip()


def title(name):
    """"added p99.9" of "added_p99_9"."""
    return re.sub(r"(p\d\d)_(\d+)", r"\1.\2", name).replace("_", " ")


def percentiles(item):
    """The told ones of a histogram, and the most, in words."""
    said = [f"{title(p)} {quantity(item[p], item['unit'])}"
            for p in ("p50", "p90", "p99", "p99_9", "p99_99") if p in item]
    return ", ".join(said + [f"most {quantity(item['most'], item['unit'])}"])


def curve(item):
    """Of a histogram: pairs of the share of values that are not above it, and that value."""
    seen, points = 0, []
    for bucket in item["buckets"]:
        seen += bucket["count"]
        points.append((seen / item["count"], min(bucket["highest"], item["most"])))
    return points
