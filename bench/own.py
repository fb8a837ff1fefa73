#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""own.py - what checkpoints cost a job of one's own, from outside: by its options, its events and
the answers to `status`. Says JSON lines as the other programs here do.

    own.py SECONDS ROUNDS KILLS SEED INTERVAL,INTERVAL... JOB run [OPTION]...

Each run of the job is a new one, with a store of its own; {dir} in an option becomes a new folder,
for what it writes. Runs without checkpoints and with them take turns; SECONDS of each are measured,
or all of it if its input ends before. Then the supervised job is killed KILLS times.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

WARM = 0.2       # share of SECONDS that is run before it is measured
PATIENCE = 60    # seconds for what a job should say soon
STOPPED = (0, 6)  # it has ended, or was stopped
OURS = ("--store", "--interval", "--json", "--supervise", "--restore", "--no-control")


class Failed(Exception):
    pass


class Ended(Exception):
    """The job's input has ended: the event `end`, and when it was heard."""


class Job:
    """One process and what it says, with the moment at which it was heard."""

    def __init__(self, command, interval, supervised):
        self.folder = tempfile.mkdtemp(prefix="weir-bench-own-")
        self.store = os.path.join(self.folder, "store")
        options = [word.replace("{dir}", self.folder) for word in command[1:]]
        self.program, self.events = command[0], []
        self.news = threading.Condition()
        self.log = open(os.path.join(self.folder, "log"), "w+", encoding="utf-8",
                        errors="replace")
        self.process = subprocess.Popen(
            [self.program, *options, "--json", "--store", self.store, "--interval", interval]
            + (["--supervise"] if supervised else []),
            stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL, text=True,
            errors="replace")
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            with self.news:
                self.events.append((time.monotonic(), event))
                self.news.notify_all()
        with self.news:
            self.events.append((time.monotonic(), {"event": "closed"}))
            self.news.notify_all()

    def words(self):
        """What it said last on standard error."""
        self.log.seek(0)
        lines = self.log.read().strip().splitlines()
        silent = f"exit code {self.process.poll()}, and not a word"
        return " / ".join(lines[-3:]) if lines else silent

    def wait(self, kinds, after=0, seconds=PATIENCE):
        """The next event of these kinds behind the first `after` ones: (index, time, event)."""
        deadline, at = time.monotonic() + seconds, after
        with self.news:
            while True:
                for at in range(at, len(self.events)):
                    heard, event = self.events[at]
                    if event["event"] in kinds:
                        return at, heard, event
                    if event["event"] == "end":
                        raise Ended(event, heard)
                    if event["event"] == "closed":
                        raise Failed(self.words())
                at = max(at, len(self.events))
                if not self.news.wait(deadline - time.monotonic()):
                    raise Failed(f"it has not said {' or '.join(kinds)} in {seconds} s")

    def rest(self, seconds):
        """Waits for the time to pass; raises Ended when the job does before."""
        try:
            self.wait((), after=len(self.events), seconds=seconds)
        except Failed as failed:
            if self.process.poll() is not None:
                raise failed

    def status(self):
        """Its own counts, and how long it has run when they were taken."""
        run = subprocess.run([self.program, "status", "--json", "--store", self.store],
                             capture_output=True, text=True, timeout=PATIENCE, check=False)
        if run.returncode == 0:
            return json.loads(run.stdout)
        self.wait((), seconds=2)  # has it ended meanwhile?
        raise Failed(f"status: {run.stdout.strip() or run.stderr.strip()}")

    def has_ended(self):
        with self.news:
            return any(event["event"] == "end" for _, event in self.events)

    def close(self):
        if self.process.poll() is None and not self.has_ended():
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.listener.join(PATIENCE)
        # Who is asked to stop on the last steps of its own end does not hear of it any more.
        sound = code in STOPPED or (code == -signal.SIGTERM and self.has_ended())
        words = "" if sound else self.words()
        self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return words


def say(**members):
    print(json.dumps(members), flush=True)


def figure(name, unit, better, rounds):
    line = sorted(rounds)
    middle = len(line) // 2
    median = line[middle] if len(line) % 2 else (line[middle - 1] + line[middle]) / 2
    return {"name": name, "unit": unit, "better": better, "median": median, "least": line[0],
            "most": line[-1], "rounds": list(rounds)}


def turn(command, interval, seconds):
    """One run: its records a second, the events of its checkpoints, whether its input ended."""
    job, ended = Job(command, interval, False), False
    words = ""
    try:
        at, began, _ = job.wait(("start",))
        try:
            job.rest(WARM * seconds)
            before = job.status()
            job.rest(seconds)
            after = job.status()
            counted = after["records_emitted"] - before["records_emitted"]
            span = (after["running_ns"] - before["running_ns"]) / 1e9
        except Ended as end:
            event, heard = end.args
            if event["outcome"] != "ended":
                raise Failed(event.get("error", event["outcome"])) from end
            ended, counted, span = True, event["records_emitted"], heard - began
        checkpoints = [(heard, event) for heard, event in job.events[at:]
                       if event["event"] == "committed" and event["why"] == "interval"]
    finally:
        words = job.close()
    if words:
        raise Failed(words)
    if counted == 0 or span <= 0:
        raise Failed("its sources gave no record while it was measured")
    return counted / span, checkpoints, ended


class Interval:
    def __init__(self, name):
        self.name, self.rates, self.lost, self.checkpoints, self.waits = name, [], [], [], []

    def add(self, rate, off, checkpoints):
        self.rates.append(rate / 1e6)
        self.lost.append(100 * (1 - rate / off))
        self.checkpoints += [event for _, event in checkpoints]
        # Who came right behind a trigger was published with the commit after the next one.
        triggers = [heard - event["duration_ns"] / 1e9 for heard, event in checkpoints]
        self.waits += [1e3 * (checkpoints[i + 1][0] - triggers[i])
                       for i in range(len(checkpoints) - 1)]

    def row(self):
        figures = [figure("overhead", "%", "less", self.lost),
                   figure("rate", "M/s", "more", self.rates)]
        for name, unit, member, scale in (("checkpoint", "MiB", "bytes", 1 << 20),
                                          ("cut", "ms", "cut_ns", 1e6),
                                          ("durable", "ms", "duration_ns", 1e6)):
            if self.checkpoints:
                figures.append(figure(name, unit, "less",
                                      [event[member] / scale for event in self.checkpoints]))
        if self.waits:
            figures.append(figure("longest_delay", "ms", "less", self.waits))
        return {"name": f"every {self.name}", "labels": {"interval": self.name},
                "figures": figures}


def overhead(command, seconds, rounds, intervals, step):
    """off, A, off, B, off ...: each beside the mean of those before and behind it."""
    found, off_rates, ended = [Interval(name) for name in intervals], [], False
    for _ in range(rounds):
        before, _, over = turn(command, "off", seconds)
        off_rates.append(before / 1e6)
        ended |= over
        for interval in found:
            rate, checkpoints, over = turn(command, interval.name, seconds)
            after, _, over_too = turn(command, "off", seconds)
            interval.add(rate, (before + after) / 2, checkpoints)
            before, ended = after, ended or over or over_too
            step()
    say(line="row", name="off", labels={"interval": "off"},
        figures=[figure("rate", "M/s", "more", off_rates)])
    for interval in found:
        say(line="row", **interval.row())
    if ended:
        say(line="note", text="its input ends: those rates are of whole runs, their end included")


def recovery(command, interval, kills, seed, step):
    """From each kill until it runs again, and until the first checkpoint then is published."""
    dice, running, output = random.Random(seed), [], []
    job = Job(command, interval, True)
    try:
        at, _, event = job.wait(("start",))
        for _ in range(kills):
            for _ in range(2):
                at, _, _ = job.wait(("committed",), after=at + 1)
            job.rest(dice.random() * 0.1)
            at, killed = len(job.events), time.monotonic()
            os.kill(event["pid"], signal.SIGKILL)
            at, heard, event = job.wait(("restored",), after=at)
            running.append(1e3 * (heard - killed))
            at, heard, _ = job.wait(("committed",), after=at + 1)
            output.append(1e3 * (heard - killed))
            step()
    except Ended:
        say(line="note", text=f"its input ended after {len(output)} kills")
    finally:
        words = job.close()
    if words:
        raise Failed(words)
    if output:
        say(line="row", name=f"kill -9, every {interval}",
            labels={"interval": interval, "seed": seed},
            figures=[figure("running", "ms", "less", running[:len(output)]),
                     figure("output", "ms", "less", output)])


def usage(what):
    print(f"own.py: {what}", file=sys.stderr)
    sys.exit(2)


def main(arguments):
    if len(arguments) < 7 or arguments[6] != "run":
        usage("SECONDS ROUNDS KILLS SEED INTERVAL,INTERVAL... JOB run [OPTION]...")
    seconds, rounds, kills, seed = float(arguments[0]), *(int(word) for word in arguments[1:4])
    intervals, command = arguments[4].split(","), arguments[5:]
    done, of = 0, rounds * len(intervals) + kills

    def step():
        nonlocal done
        done += 1
        say(line="step", done=done, of=of)

    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        overhead(command, seconds, rounds, intervals, step)
        recovery(command, "100ms", kills, seed, step)
    except (Failed, OSError) as failed:
        print(f"own: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
