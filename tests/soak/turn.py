# SPDX-License-Identifier: Apache-2.0
"""turn - one job in a folder of its own, its lives, and what it has published in the end."""
import collections
import os
import random
import shutil
import subprocess

import containers
import jobs
import plan
from life import PATIENCE, STOPPED, Broken, Life, processes_of

MOST_LIVES = 7  # with a trouble, in a turn
PAGE = 4096  # bytes: what is tried before anything is written
PLANTS = ("lost", "doubled", "damaged", "left", "outlived")  # besides those of tools/planted.c
IN_STORE = {"LOCK", "data", "checkpoints", "nodes", "scratch", "FAILED"}


def is_scratch(path):
    """A scratch file loses its name as soon as it is made. Of a run that is killed in between, or
    whose disk fails, it stays until a run comes that needs scratch files: next to nothing."""
    return path.endswith(".spill") and os.path.getsize(path) <= PAGE


class Interrupted(Exception):
    """Somebody wants soak to end."""


class Turn:
    """`over`: an event, set when soak is to end. `planted`: what is broken on purpose, or None: one
    of PLANTS, or a bug that tools/planted.c has."""

    def __init__(self, build, folder, seed, number, most_lives, over, planted=None):
        self.build, self.folder, self.number, self.over = build, folder, number, over
        self.planted = planted
        chance = random.Random("%d %d" % (seed, number))
        kinds = [kind for kind in jobs.KINDS if os.path.exists(self.built(kind.program))]
        random.Random(seed).shuffle(kinds)
        os.makedirs(folder)
        for name in ("session", "tmp"):  # what is left in them is left by weir
            os.mkdir(self.path(name), 0o700)
        kind = kinds[number % len(kinds)]
        if planted:
            kind = jobs.Faulty if planted == "outlived" else jobs.Words
        self.job = kind(folder, chance)
        self.job.parallelism = chance.randint(1, self.job.most)
        self.plans = [plan.draw(chance, self.job, False)
                      for _ in range(min(most_lives, chance.randint(2, MOST_LIVES)))]
        self.plans += [plan.draw(chance, self.job, True) for _ in range(2)]
        if planted == "outlived":
            self.plans[-2].parameters = ["fault=leave-child", "every=100"]
        asleep = planted in (None, *PLANTS)
        self.program = self.built(self.job.program if asleep else "tests/planted")
        self.stores, self.savepoints, self.started_from = [self.path("store.1")], [], None
        self.count = collections.Counter()
        self.helpers = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def built(self, name):
        return os.path.join(self.build, name)

    @property
    def store(self):
        return self.stores[-1]

    def environment(self):
        woken = {"WEIR_PLANT": self.planted} if self.planted else {}
        return dict(os.environ, **woken, LC_ALL="C", XDG_RUNTIME_DIR=self.path("session"),
                    TMPDIR=self.path("tmp"), **self.job.environment())

    def look_up(self):
        if self.over.is_set():
            raise Interrupted

    def new_savepoint(self):
        self.count["asked"] += 1
        return self.path("savepoint.%d" % self.count["asked"])

    def begins_with(self):
        """The savepoint that a start has to name: until its store has a checkpoint of its own."""
        folder = os.path.join(self.store, "checkpoints")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        if any(os.path.exists(os.path.join(folder, name, "MANIFEST.json")) for name in names):
            return None
        return self.started_from

    # ---- its lives

    def run(self):
        """Raises Broken."""
        try:
            for command in self.job.helpers():
                with open(self.path("helper.log"), "ab") as log:
                    self.helpers.append(subprocess.Popen(
                        command, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log,
                        stderr=log, start_new_session=True))
            self.live()
            for helper in self.helpers:
                if helper.wait(PATIENCE) != 0:
                    raise Broken("exit %d of %s" % (helper.returncode, helper.args[0]))
            self.plant()
            self.settle()
        except subprocess.TimeoutExpired as late:
            raise Broken("it hangs: %s" % late.cmd[:3]) from late
        finally:
            for helper in self.helpers:
                for pid in processes_of(helper.pid):
                    os.kill(pid, 9)
                helper.wait()

    def live(self):
        """Until the job has ended, and once more: then nothing is left to do."""
        *troubled, last, again = self.plans
        for number, each in enumerate([*troubled, last]):
            ended = self.live_once(number + 1, each)
            if ended:
                break
        if not ended:
            raise Broken("it has not ended")
        self.live_once(len(self.plans), again)

    def live_once(self, number, each):
        life = Life(self, number, each)
        try:
            ended = life.live()
        finally:
            self.count.update(life.count)
            self.count["faults"] += sum(life.faults().values())
            with open(self.path("plan"), "a", encoding="utf-8") as file:
                code = life.process.returncode if life.process else None
                file.write("life %d: %s: exit %s, %s\n" % (number, each.told(), code,
                                                         dict(+life.count)))
        wrong = self.job.look()
        if wrong:
            raise Broken(wrong)
        self.count[each.options[1]] += 1
        if life.told and self.job.moves and life.process.returncode == STOPPED:
            self.started_from = life.told
            self.stores.append(self.path("store.%d" % (len(self.stores) + 1)))
            self.count["moves"] += 1
        return ended

    # ---- what is there in the end

    def settle(self):
        expected, published = self.job.expected(), self.job.published()
        self.count["records"] = sum(published.values())
        self.count["lost"] = sum((expected - published).values())
        self.count["doubled"] = sum((published - expected).values())
        if expected != published:
            shown = [*(expected - published), *(published - expected)][:3]
            raise Broken("%d records are lost, %d doubled or strange: %s" % (
                self.count["lost"], self.count["doubled"], shown))
        wrong = self.job.strange() or self.job.look()
        if wrong:
            raise Broken(wrong)
        self.check(self.built("tests/programs/sound"), *self.stores, *self.savepoints)
        for command in self.job.checks(self.store):
            self.check(self.program, *command)
        self.check_left()

    def check(self, *command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
        if done.returncode != 0:
            raise Broken("%s: %s" % (os.path.basename(command[0]),
                                     done.stdout.decode(errors="replace").strip()))

    def check_left(self):
        """No scratch file, no staged output, no container without a manifest."""
        left = [name for name in os.listdir(self.store) if name not in IN_STORE]
        for folder in (self.path("session"), self.path("tmp"), os.path.join(self.store, "scratch")):
            left += [name for inside, _, names in os.walk(folder) for name in names
                     if not is_scratch(os.path.join(inside, name))]
        for folder in self.job.outputs():
            left += [name for name in os.listdir(folder)
                     if not name.startswith("part-") and name != ".weir-history"]
        left += containers.there(self.store) - containers.named(self.store)
        if left:
            raise Broken("left over: %s" % sorted(left))

    def plant(self):
        """For the test of soak itself: what it must find."""
        if self.planted in ("lost", "doubled"):
            folder = self.job.outputs()[0]
            path = os.path.join(folder, jobs.parts_of(folder)[-1])
            with open(path, "rb") as file:
                lines = file.read().splitlines(keepends=True)
            with open(path, "wb") as file:
                file.writelines(lines[1:] if self.planted == "lost" else lines + lines[:1])
        elif self.planted == "damaged":
            name = sorted(containers.named(self.store))[-1]
            with open(os.path.join(self.store, "data", name), "r+b") as file:
                file.seek(70)
                byte = file.read(1)[0]
                file.seek(70)
                file.write(bytes([byte ^ 1]))
        elif self.planted == "left":
            with open(os.path.join(self.store, "data", "%010d-%020d.seg" % (1, 999999)), "wb"):
                pass

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
