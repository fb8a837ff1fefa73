# SPDX-License-Identifier: Apache-2.0
"""chart: small SVG charts, each readable by itself at 360 points' width. A page that is narrower
than two of them stacks them; so none needs to shrink until nobody can read it.

Colours are classes (s0, s1, s2: series), which the page's style sheet has for light and for dark.
"""
import html
import math

WIDTH, HEIGHT = 380, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 14, 40
MARKS = ["circle", "square", "diamond"]  # so that colour is never alone


def escape(text):
    return html.escape(str(text), quote=True)


def attributes(given):
    return "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
                   for name, value in given.items())


def tag(name, content=None, **given):
    numbers = {k: f"{v:.1f}" if isinstance(v, float) else v for k, v in given.items()}
    if content is None:
        return f"<{name}{attributes(numbers)}/>"
    return f"<{name}{attributes(numbers)}>{content}</{name}>"


def words(x, y, text, **given):
    return tag("text", escape(text), x=float(x), y=float(y), **given)


class Scale:
    """From values to points; `ticks` are values."""

    def __init__(self, low, high, begin, end, log=False):
        self.log, self.begin, self.end = log, begin, end
        self.ticks = decades(low, high) if log else steps(low, high)
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def at(self, value):
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return self.begin + (self.end - self.begin) * (value - low) / (high - low)


def steps(low, high):
    """Round values that enclose both; zero is among them when it lies between."""
    span = (high - low) or abs(high) or 1.0
    rough = span / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, max(last, first + 1) + 1)]


def decades(low, high):
    first = math.floor(math.log10(low) + 1e-9)
    last = max(math.ceil(math.log10(high) - 1e-9), first + 1)
    return [10.0 ** i for i in range(first, last + 1)]


def mark(series, x, y, title):
    """A point of a series; hovering over it says what it is."""
    given, note = {"class_": f"s{series} mark"}, tag("title", escape(title))
    if MARKS[series % len(MARKS)] == "circle":
        return tag("circle", note, cx=float(x), cy=float(y), r=4.5, **given)
    size = 4.2 if MARKS[series % len(MARKS)] == "square" else 4.4
    turn = "" if size == 4.2 else f"rotate(45 {x:.1f} {y:.1f})"
    return tag("rect", note, x=x - size, y=y - size, width=2 * size, height=2 * size,
               transform=turn, **given)


class Chart:
    """The frame: a value axis on the left; what stands below is the caller's."""

    def __init__(self, title, low, high, say, log=False):
        self.title, self.parts, self.say = title, [], say
        self.y = Scale(low, high, HEIGHT - BOTTOM, TOP, log)
        for value in self.y.ticks:
            y = self.y.at(value)
            zero = " zero" if value == 0 and self.y.low < 0 else ""
            self.add(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_=f"grid{zero}"))
            self.add(words(LEFT - 7, y + 4, say(value), text_anchor="end"))

    def add(self, part):
        self.parts.append(part)

    def below(self, x, text, line=0):
        self.add(words(x, HEIGHT - BOTTOM + 17 + 14 * line, text, text_anchor="middle"))

    def axis(self, text):
        self.add(words((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, text, text_anchor="middle",
                       class_="axis"))

    def limit(self, value, x1, x2, title):
        y = self.y.at(value)
        self.add(tag("line", tag("title", escape(title)), x1=float(x1), x2=float(x2), y1=y, y2=y,
                     class_="limit"))

    def svg(self):
        return tag("svg", tag("title", escape(self.title)) + "".join(self.parts),
                   viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=self.title)


def groups_of(count):
    """The middle of each of so many groups, and how wide one is."""
    width = (WIDTH - LEFT - RIGHT) / count
    return [LEFT + width * (i + 0.5) for i in range(count)], width


def ranges(title, groups, series, say, axis, limits=(), log=False):
    """Dots with a line from least to most. groups: names; series: (name, [item or None]), an item
    being (middle, least, most, title); limits: (value or None, title) of each group."""
    items = [item for _, line in series for item in line if item]
    ends = [end for item in items for end in item[1:3]] + [v for v, _ in limits if v is not None]
    low, high = min(ends), max(ends)
    chart = Chart(title, low if log else min(0, low), high, say, log)
    middles, width = groups_of(len(groups))
    for at, (middle, name) in enumerate(zip(middles, groups)):
        chart.below(middle, name)
        if at < len(limits) and limits[at][0] is not None:
            chart.limit(limits[at][0], middle - 0.42 * width, middle + 0.42 * width, limits[at][1])
        for number, (_, line) in enumerate(series):
            if line[at]:
                x = middle + (number - (len(series) - 1) / 2) * min(26, 0.28 * width)
                value, least, most, note = line[at]
                chart.add(tag("line", x1=float(x), x2=float(x), y1=chart.y.at(least),
                              y2=chart.y.at(most), class_=f"s{number} range"))
                chart.add(mark(number, x, chart.y.at(value), note))
    chart.axis(axis)
    return chart.svg()


def strips(title, groups, values, tick, say):
    """Every value of each group as a dot, and a line at the median. values: (median, [value])."""
    every = [v for _, line in values for v in line]
    chart = Chart(title, 0, max(every), tick)
    middles, width = groups_of(len(groups))
    for middle, name, (median, line) in zip(middles, groups, values):
        chart.below(middle, name)
        for at, value in enumerate(line):
            # Spread out by their order, so that equal ones are seen.
            x = middle + 0.5 * width * ((at + 0.5) / len(line) - 0.5)
            chart.add(tag("circle", tag("title", escape(say(value))), cx=x,
                          cy=chart.y.at(value), r=3.2, class_="s0 dot"))
        y = chart.y.at(median)
        chart.add(tag("line", x1=middle - 0.36 * width, x2=middle + 0.36 * width, y1=y, y2=y,
                      class_="s0 median"))
        chart.add(words(middle, max(TOP + 8, y - 8), say(median), text_anchor="middle",
                        class_="value"))
    return chart.svg()


def tail(title, series, say, low, high):
    """Latency by percentile, the rare ones stretched: series: [(share, value)]."""
    chart = Chart(title, low, high, say, log=True)
    nines = 4

    def x_of(share):
        rare = -math.log10(max(1 - share, 10.0 ** -(nines + 1)))
        return LEFT + (WIDTH - LEFT - RIGHT) * min(rare, nines) / nines

    for rare, name in enumerate(["0", "p90", "p99", "p99.9", "p99.99"]):
        x = LEFT + (WIDTH - LEFT - RIGHT) * rare / nines
        chart.add(tag("line", x1=float(x), x2=float(x), y1=TOP, y2=HEIGHT - BOTTOM, class_="grid"))
        if rare:
            chart.add(words(min(x, WIDTH - RIGHT - 16), HEIGHT - BOTTOM + 17, name,
                            text_anchor="middle"))
    for number, points in enumerate(series):
        seen = [(s, v) for s, v in points if 1 - s >= 10.0 ** -(nines + 0.3)]
        path = " L".join(f"{x_of(s):.1f} {chart.y.at(v):.1f}" for s, v in thin(seen, x_of))
        if path:
            chart.add(tag("path", d="M" + path, class_=f"s{number} curve"))
    chart.axis("share of records that are not slower")
    return chart.svg()


def thin(points, x_of):
    """Those that move by a point or more: a histogram has hundreds."""
    last = None
    for share, value in points:
        x = x_of(share)
        if last is None or x - last >= 1:
            last = x
            yield share, value
