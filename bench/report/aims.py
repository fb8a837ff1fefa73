# SPDX-License-Identifier: Apache-2.0
"""aims: what weir means to cost at most, beside what was measured."""
from report.figures import figure, histogram, named, quantity, tick


def aims():
    """(what, scenario, figure, labels, limit, unit, whether more is better)"""
    adaptive = {"mode": "adaptive"}
    yield ("keyed count every 1 s, of the plain loop", "overhead", "of_plain",
           {**adaptive, "interval_ms": 1000}, 0.6, "", True)
    yield ("keyed count every 1 s, of raw ZeroMQ", "overhead", "of_raw_zmq",
           {**adaptive, "interval_ms": 1000}, 0.9, "", True)
    for interval_ms, name, limit in ((1000, "1 s", 3), (100, "100 ms", 8), (10, "10 ms", 25)):
        yield (f"throughput lost, every {name}", "overhead", "overhead",
               {**adaptive, "interval_ms": interval_ms}, limit, "%", False)
    yield ("added latency at p99.9, half load", "latency", "added_p99_9",
           {"load": 0.5, "checkpoints": "on"}, 1000, "us", False)
    for interval_ms in (10, 30, 100, 300, 1000):
        yield (f"exactly-once delay at p99, every {interval_ms} ms", "exactly_once_delay", "p99",
               {"interval_ms": interval_ms}, 3 * interval_ms + 5, "ms", False)
    yield ("first correct output after kill -9, 64 MiB, every 100 ms", "recovery", "output",
           {"state_mib": 64, "interval_ms": 100}, 250, "ms", False)


def judged(result):
    """For each aim that was measured: what, the figure, its limit in words, and whether it is
    "met", "missed", or was measured when it was "too noisy" to tell."""
    if result["size"] == "trial":
        return
    for what, scenario, name, labels, limit, unit, more in aims():
        found = figure(result, scenario, name, **labels)
        if found:
            met = found["median"] >= limit if more else found["median"] <= limit
            words = f"{'at least' if more else 'at most'} {tick(limit, unit)}"
            noisy = "noise" in named(result["scenarios"], scenario)
            yield what, found, words, "too noisy" if noisy else "met" if met else "missed"


def claims(result):
    """The five figures that stand at the top: (what, value, under which conditions)."""
    lost = figure(result, "overhead", "overhead", mode="adaptive", interval_ms=1000)
    if lost:
        yield "throughput lost", quantity(lost["median"], "%"), "a checkpoint every second"
    late = histogram(result, "latency", "latency", load=0.5, checkpoints="on")
    if late and "p99_99" in late:
        yield "latency, p99.99", quantity(late["p99_99"], "ns"), "half load, checkpoints on"
    cut = histogram(result, "overhead", "cut", mode="adaptive", interval_ms=100)
    if cut:
        at = "p99" if "p99" in cut else "most"
        yield f"the cut's pause, {at}", quantity(cut[at], "ns"), "every 100 ms"
    size = figure(result, "overhead", "checkpoint", mode="adaptive", interval_ms=1000)
    if size:
        yield "a checkpoint's bytes", quantity(size["median"], "MiB"), "every second"
    output = figure(result, "recovery", "output")
    if output:
        yield ("output after kill -9", quantity(output["median"], "ms"),
               "until the first that is new and right")


def last_line(result):
    """key=value, of what was measured."""
    values = {}
    wanted = [("of_plain", "overhead", "of_plain", {"mode": "adaptive", "interval_ms": 1000}),
              ("of_raw_zmq", "overhead", "of_raw_zmq", {"mode": "adaptive", "interval_ms": 1000})]
    for interval_ms, name in ((1000, "1s"), (100, "100ms"), (10, "10ms")):
        wanted.append((f"overhead_{name}_percent", "overhead", "overhead",
                       {"mode": "adaptive", "interval_ms": interval_ms}))
    wanted.append(("added_p99_9_us", "latency", "added_p99_9",
                   {"load": 0.5, "checkpoints": "on"}))
    for interval_ms in (10, 100, 1000):
        wanted.append((f"delay_p99_{interval_ms}ms", "exactly_once_delay", "p99",
                       {"interval_ms": interval_ms}))
    wanted += [("recovery_output_ms", "recovery", "output", {}),
               ("recovery_caught_up_ms", "recovery", "caught_up", {})]
    for interval in ("1s", "100ms", "10ms"):
        wanted.append((f"own_overhead_{interval}_percent", "own", "overhead",
                       {"interval": interval}))
    wanted.append(("own_output_ms", "own", "output", {}))
    for key, scenario, name, labels in wanted:
        found = figure(result, scenario, name, **labels)
        if found:
            values[key] = f"{found['median']:.4g}"
    values["noisy"] = sum("noise" in s for s in result["scenarios"])
    values["failed"] = sum("failed" in s for s in result["scenarios"])
    return " ".join(f"{key}={value}" for key, value in values.items())
