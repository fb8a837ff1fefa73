# SPDX-License-Identifier: Apache-2.0
"""life - one life of a job: a process that is started, troubled as its plan says, and ends.

What has happened to it is taken from what is there afterwards - its exit code, its events, the log
of the calls that were broken - and not from what was tried.
"""
import collections
import json
import os
import re
import signal
import subprocess
import time

STARTS = 30  # seconds that a start may take
PATIENCE = 120  # and a stop, or what is left of the input: then it hangs
LEAVES = 5  # and what has been killed with it
STOPPED = 6
# The troubles that are more than a signal, by which they are counted.
FAULTS = ("error", "full disk", "short", "interrupted", "stall", "halt", "network", "operator")


class Broken(Exception):
    """What must not happen has happened."""


def processes_of(session):
    """The numbers of the live processes of a session. One that is dead may have threads that are
    not yet, and with them all that it holds, the lock of a store too."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, encoding="ascii", errors="replace") as file:
                    words = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(words[3]) == session and (words[0] != "Z" or int(words[17]) > 1):
                found.append(int(name))
    return found


class Life:
    def __init__(self, turn, number, plan):
        self.turn, self.plan = turn, plan
        self.log = turn.path("life.%d.json" % number)
        self.errors = turn.path("life.%d.err" % number)
        self.broken = turn.path("life.%d.calls" % number)
        self.process = self.detour = self.told = self.error = None
        self.asked = set()  # kinds of ends that it was asked for
        self.count = collections.Counter()

    # ---- what it is started with

    def command(self, verb="run"):
        command = [self.turn.program, verb, "--store", self.turn.store]
        if verb != "run":
            return command
        job, parallelism = self.turn.job, self.plan.parallelism
        values = job.parameters(parallelism) + self.plan.parameters
        values.append("rate=0" if self.plan.trouble == "none" else job.pace(parallelism))
        command += ["--json", *self.plan.options]
        command += ["--parallelism", str(parallelism)] if job.most > 1 else []
        command += ["--restore", self.turn.begins_with()] if self.turn.begins_with() else []
        return command + [word for value in values for word in ("--set", value)]

    def environment(self):
        environment, preload = self.turn.environment(), []
        if self.plan.shim:
            preload.append(self.turn.built("tests/fault.so"))
            environment["WEIR_FAULT_LOG"] = self.broken
            for name, value in self.plan.shim.items():
                value = self.turn.path("%s.%s" % (self.broken, value)) if name == "ONCE" else value
                environment["WEIR_FAULT" + "_" * (name != "FAULT") + name * (name != "FAULT")] = \
                    str(value)
        if self.plan.network:
            preload.append(self.turn.built("tests/detour_shim.so"))
            environment["WEIR_DETOUR"] = self.begin_detour()
        if preload:
            environment["LD_PRELOAD"] = ":".join(preload)
        return environment

    def begin_detour(self):
        self.detour = subprocess.Popen([self.turn.built("tests/detour"), *self.plan.network],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        port = self.detour.stdout.readline().split()
        if len(port) != 2 or port[0] != b"port":
            raise Broken("the detour does not start")
        return port[1].decode()

    # ---- living

    def live(self):
        """True when the job has come to its end."""
        with open(self.log, "ab") as log, open(self.errors, "ab") as errors:
            try:
                environment = self.environment()
                self.process = subprocess.Popen(self.command(), env=environment, stdout=log,
                                                stderr=errors, stdin=subprocess.DEVNULL,
                                                start_new_session=True)
                self.count["starts"] += 1
                self.meet()
                self.wait(PATIENCE)
            finally:
                self.clear()
        self.sum_up()
        return self.judge()

    def meet(self):
        began = time.monotonic()
        for at, what in self.plan.meanwhile:
            if self.goes_on_for(began + at / 1000 - time.monotonic()):
                getattr(self, what)()
        if self.plan.trouble == "none" or not self.is_running():
            return
        if self.plan.trouble in ("stop", "savepoint") and not self.has_started():
            return
        if self.plan.commits:
            self.goes_on_until(lambda: self.events("committed") >= self.plan.commits, STARTS)
        elif not self.goes_on_for(began + self.plan.after_ms / 1000 - time.monotonic()):
            return
        {"stop": self.stop, "savepoint": self.stop_with_savepoint, "kill worker": self.kill_workers,
         "halt": self.wake}.get(self.plan.trouble, self.kill)()

    def is_running(self):
        return self.process.poll() is None

    def goes_on_for(self, seconds):
        self.turn.look_up()
        try:
            self.process.wait(max(0, seconds))
        except subprocess.TimeoutExpired:
            return True
        return False

    def goes_on_until(self, happens, seconds):
        """True when it has happened, and the process is still there."""
        deadline = time.monotonic() + seconds
        while not happens() and time.monotonic() < deadline:
            if not self.goes_on_for(0.005):
                return False
        return self.is_running()

    def events(self, *names):
        with open(self.log, "rb") as file:
            text = file.read()
        return sum(text.count(b'"event": "%s"' % name.encode()) for name in names)

    def has_started(self):
        """It has handlers for signals, and answers."""
        return self.goes_on_until(lambda: self.events("start", "restored") > 0, STARTS)

    def worker(self):
        """Who does the work: it, or its child."""
        pid, children = self.process.pid, []
        if self.plan.supervised:
            try:
                with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
                    children = file.read().split()
            except OSError:
                pass  # it has just ended
        return int(children[0]) if children else pid

    def send(self, pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    # ---- its end

    def kill(self):
        self.asked.add("kill")
        self.send(self.worker() if self.plan.after_ms % 2 else self.process.pid, signal.SIGKILL)
        if self.plan.supervised and self.goes_on_for(self.plan.after_ms / 3000):
            self.send(self.process.pid, signal.SIGKILL)

    def kill_workers(self):
        self.asked.add("kill")
        for _ in range(self.plan.kills):
            worker = self.worker()
            if worker != self.process.pid:
                self.send(worker, signal.SIGKILL)
            if not self.goes_on_for(self.plan.after_ms / 3000):
                return
        self.kill()

    def wake(self):
        self.send(self.worker(), signal.SIGCONT)
        self.goes_on_for(0.2)
        self.kill()

    def stop(self):
        self.asked.add("stop")
        if self.plan.after_ms % 3 == 0:
            self.ask("stop", *(["--now"] if self.plan.after_ms % 2 else []))
        else:
            self.send(self.process.pid, signal.SIGTERM)

    def stop_with_savepoint(self):
        self.asked.add("stop")
        folder = self.turn.new_savepoint()
        if self.ask("stop", "--savepoint", folder) == 0:
            self.turn.savepoints.append(folder)
            self.told = folder if self.plan.moves else None
        elif self.is_running():  # it goes on, or has not heard
            self.kill()

    # ---- what happens meanwhile

    def ask(self, verb, *options):
        with open(self.errors, "ab") as errors:
            code = subprocess.run([*self.command(verb), *options], stdin=subprocess.DEVNULL,
                                  env=self.turn.environment(), stdout=errors, stderr=errors,
                                  timeout=PATIENCE, check=False).returncode
        if code not in (0, 3, 5):
            raise Broken("exit %d of %s" % (code, verb))
        return code

    def pause(self):
        worker = self.worker()
        self.send(worker, signal.SIGSTOP)
        self.count["pauses"] += 1
        self.goes_on_for(self.plan.after_ms / 5000)
        self.send(worker, signal.SIGCONT)

    def checkpoint(self):
        if self.has_started():
            self.send(self.process.pid, signal.SIGUSR1)

    def dump(self):
        if self.has_started():
            self.send(self.process.pid, signal.SIGUSR2)

    def status(self):
        self.ask("status")

    def savepoint(self):
        folder = self.turn.new_savepoint()
        if self.has_started() and self.ask("savepoint", "--to", folder) == 0:
            self.turn.savepoints.append(folder)
            self.count["savepoints"] += 1

    def rival(self):
        """A second run of the store must be refused as long as there is this one."""
        if not self.has_started():
            return
        with open(self.errors, "ab") as errors:
            code = subprocess.run(self.command(), env=self.turn.environment(), stdout=errors,
                                  stdin=subprocess.DEVNULL, stderr=errors, timeout=PATIENCE,
                                  check=False).returncode
        self.count["rivals"] += 1
        if code != 3 and (code != 0 or self.is_running()):
            raise Broken("exit %d of a second run" % code)

    # ---- what has become of it

    def wait(self, seconds):
        if self.goes_on_for(0) and self.goes_on_until(lambda: False, seconds):
            if self.has_started():
                self.send(self.process.pid, signal.SIGUSR2)  # who waits for what, into the log
                self.goes_on_for(2)
            raise Broken("it hangs: %s" % os.path.basename(self.log))

    def clear(self):
        """Nobody is left; what was not there to be found does not count against the life."""
        if self.process is not None and self.is_running():
            self.send(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.detour is not None:
            self.detour.terminate()
            sums = dict(re.findall(rb"(\w+)=(\d+)", self.detour.communicate()[0]))
            self.count["network"] += sum(int(sums[name]) for name in sums if re.match(
                rb"cut_(in_|between)", name))  # and not those that went with another
            self.count["disorder"] += sum(int(sums.get(name, 0)) for name in (
                b"items_overtaken", b"credits_overtaken", b"items_twice", b"credits_twice"))

    def sum_up(self):
        told = []
        with open(self.log, "rb") as file:
            for line in file:
                try:
                    told.append(json.loads(line))
                except ValueError as error:
                    raise Broken("no JSON: %r" % line[:200]) from error
        named = collections.Counter(event["event"] for event in told)
        self.error = next((event["error"] for event in reversed(told) if "error" in event), "?")
        died = [event for event in told if event["event"] == "died"]
        ended = sum(event.get("ends", False) for event in told if event["event"] == "hung")
        killed = sum(event.get("signal") == signal.SIGKILL for event in died)
        self.count["trouble " + self.plan.trouble] = 1
        self.count["commits"] = named["committed"]
        self.count["aborted"] = named["aborted"]
        self.count["restored"] = named["restored"]
        self.count["kills"] = max(0, killed - ended) + (self.process.returncode == -signal.SIGKILL)
        self.count["operator"] = sum(
            event.get("node") == "faulty" for event in told if event["event"] == "failed")
        if self.plan.trouble == "operator":
            self.count["operator"] += len(died) - killed
        if os.path.exists(self.broken):
            with open(self.broken, encoding="utf-8", errors="replace") as file:
                fired = sum(line.startswith("fired ") for line in file)
            if "ONCE" in self.plan.shim:
                fired = min(fired, 1)
            if self.plan.shim["FAULT"] not in ("kill", "torn"):
                self.count[self.plan.trouble] += fired
            self.count["fired"] = fired

    def faults(self):
        return {name: self.count[name] for name in FAULTS}

    def judge(self):
        code = self.process.returncode
        left = processes_of(self.process.pid)
        deadline = time.monotonic() + LEAVES
        while left and time.monotonic() < deadline:
            time.sleep(0.02)
            left = processes_of(self.process.pid)
        for pid in left:
            self.send(pid, signal.SIGKILL)
        if left:
            raise Broken("%d of its processes outlived it" % len(left))
        hurt = self.count["kills"] + self.count["fired"] + sum(self.faults().values())
        allowed = {0}
        if "stop" in self.asked:
            allowed.add(STOPPED)
        if "kill" in self.asked or self.count["fired"]:
            allowed.add(-signal.SIGKILL)
        if hurt:
            allowed |= {3, 5}
        if code not in allowed:
            raise Broken("exit %d of %s: %s" % (code, os.path.basename(self.log), self.error))
        return code == 0
