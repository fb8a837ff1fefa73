# SPDX-License-Identifier: Apache-2.0
"""scenarios: what is run, how, and how long that takes about; by size.

trial tries the tool in seconds, and its figures mean nothing; quick ends within five minutes on two
processors; full takes more than an hour.
"""
import collections
import os
import sys

# options: of the program; seconds: about, to tell the time left
Run = collections.namedtuple("Run", "scenario program options seconds")
# Where it is not called as its scenario is.
PROGRAMS = {"exactly_once_delay": "delay", "fanout": "shape", "chain": "shape",
            "record_size": "shape"}
SHAPES = {"fanout": 6, "chain": 5, "record_size": 5}


def run(scenario, options, seconds):
    return Run(scenario, PROGRAMS.get(scenario, scenario), options.split(), seconds)


def recovery(mib, interval_ms, options, seconds):
    """One run for each size of state and interval: they are rows of one scenario."""
    return run("recovery", f"--mib {mib} --interval-ms {interval_ms} {options}", seconds)


def shapes(seconds, rounds):
    """fanout, chain and record_size: three turns for each shape and round."""
    return [run(name, f"--scenario {name} --seconds {seconds} --rounds {rounds}",
                3 * (1.2 * seconds + 0.1) * rounds * count) for name, count in SHAPES.items()]


RUNS = {
    "trial": [
        run("limits", "--seconds 0.02 --rounds 1", 1),
        run("overhead", "--seconds 0.1 --rounds 1 --keys 10000 --longest-ms 100", 3),
        run("latency", "--seconds 0.15 --warm-seconds 0.05 --rounds 1 --keys 10000 --search no "
            "--interval-ms 50", 2),
        run("exactly_once_delay", "--seconds 0.2 --warm-seconds 0.1 --rounds 1 --keys 10000", 8),
        recovery(1, 50, "--kills 1 --rate 20000", 3),
        *shapes(0.1, 1),
        run("throughput", "--seconds 0.05 --rounds 1 --only 1k", 1),
        run("backpressure", "--rounds 1 --aligned-rounds 0 --record-ms 2", 3),
    ],
    "quick": [
        run("limits", "--seconds 0.3 --rounds 3", 4),
        run("overhead", "--seconds 1 --rounds 3 --longest-ms 1000", 85),
        run("latency", "--seconds 3 --warm-seconds 0.5 --rounds 3 --search no", 70),
        run("exactly_once_delay", "--seconds 1.5 --warm-seconds 0.5 --rounds 3", 45),
        recovery(64, 100, "--kills 8", 20),
        run("throughput", "--seconds 1 --rounds 1", 11),
        run("backpressure", "--rounds 7 --aligned-rounds 0", 6),
    ],
    "full": [
        run("limits", "--seconds 1 --rounds 5", 20),
        run("overhead", "--seconds 5 --rounds 5", 900),
        run("latency", "--seconds 30 --warm-seconds 3 --rounds 5", 1300),
        run("exactly_once_delay", "--seconds 10 --warm-seconds 1 --rounds 5", 320),
        *[recovery(mib, interval_ms, "--kills 20", 20 * (2 + interval_ms / 250 + mib / 200))
          for mib in (1, 64, 512) for interval_ms in (100, 1000)],
        *shapes(3, 5),
        run("throughput", "--seconds 3.5 --rounds 3", 100),
        run("backpressure", "--rounds 15 --aligned-rounds 2", 40),
    ],
}
# What a size has no time for, unless it is named.
WHEN_ASKED = {"trial": [], "quick": shapes(1, 3), "full": []}
LEFT_OUT = {
    "trial": ["nearly everything: a trial says nothing of weir"],
    "quick": ["overhead: checkpoints every 10 s",
              "latency: the search for the sustainable rate; p99.99 has few samples",
              "recovery: other sizes of state than 64 MiB, and other intervals than 100 ms",
              "fanout, chain, record_size, unless they are asked for",
              "backpressure: aligned checkpoints"],
    "full": [],
}
# A job of one's own: seconds, rounds, kills, intervals, and how long it takes about.
OWN = {"trial": ("0.5", "1", "1", "100ms", 6),
       "quick": ("2.5", "3", "8", "1s,100ms,10ms", 110),
       "full": ("12", "5", "20", "10s,1s,100ms,10ms", 750)}


def own(size, seed, command):
    """The run of such a job, by own.py, in bench/during."""
    seconds, rounds, kills, intervals, guess = OWN[size]
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "own.py")
    return Run("own", "during", [sys.executable, os.path.normpath(script), seconds, rounds, kills,
                                 str(seed), intervals, *command], guess)


NAMES = list(dict.fromkeys(r.scenario for r in RUNS["full"]))

# Programs that say one line of key=value: unit and which way is better, by the key's end.
LINE_UNITS = {"_ms": ("ms", "less"), "_mb": ("MB", "less")}


def line_figures(line):
    """The figures of such a line."""
    figures = []
    for pair in line.split():
        name, value = pair.split("=")
        unit, better = next((u for end, u in LINE_UNITS.items() if name.endswith(end)),
                            ("", "more"))
        number = float(value)
        if number:  # 0: not measured
            figures.append({"name": name, "unit": unit, "better": better, "median": number,
                            "least": number, "most": number, "rounds": [number]})
    return figures
