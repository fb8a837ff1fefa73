# SPDX-License-Identifier: Apache-2.0
"""plan - what is drawn for one life of a job: its options, and its trouble.

All of a life's chance is spent here, before it begins, so that a turn can be told and lived again.
"""
import dataclasses
import math

MODES = ("aligned", "unaligned", "adaptive")
# How a life ends that is not a turn's last. Those that kill need no luck, so they come more often.
TROUBLES = ("kill", "kill", "kill in start", "kill at commit", "kill at commit", "kill at call",
            "kill at call", "kill worker", "stop", "stop", "savepoint", "savepoint", "error",
            "error", "full disk", "short", "interrupted", "stall", "halt", "network", "network")
CHANGING = "pwrite,fsync,mkdirat,unlinkat,renameat,renameat2,linkat"
EIO, ENOMEM, EMFILE, ENOSPC, EINTR = 5, 12, 24, 28, 4
FOR_EVER = 1000000000
STALLED_FOR = 300  # ms until a supervisor ends what stalls


@dataclasses.dataclass
class Plan:
    trouble: str  # one of the above, or "none"
    parallelism: int
    after_ms: int  # from the start, or from the first record where it has to live by then
    options: list = dataclasses.field(default_factory=list)
    parameters: list = dataclasses.field(default_factory=list)  # of the program, for --set
    shim: dict = dataclasses.field(default_factory=dict)  # WEIR_FAULT_..., of tools/fault.c
    network: list = dataclasses.field(default_factory=list)  # arguments of tools/detour.c
    commits: int = 0  # that are waited for, from the start on
    kills: int = 1
    moves: bool = False  # the next life begins with the savepoint, in another store
    supervised: bool = False
    meanwhile: list = dataclasses.field(default_factory=list)  # (ms, what)

    def told(self):
        where = ["", " after %d ms" % self.after_ms, " after %d commits" % self.commits]
        words = [self.trouble + where[0 if self.trouble == "none" else 2 if self.commits else 1]]
        words += ["parallelism %d" % self.parallelism, " ".join(self.options), *self.parameters]
        words += ["%s=%s" % item for item in self.shim.items()]
        words += ["network " + " ".join(self.network)] if self.network else []
        return ", ".join(words + ["%s at %d ms" % (what, ms) for ms, what in self.meanwhile])


def draw(chance, job, last):
    """A Plan. The last life of a turn has no trouble, but has all that nobody may notice."""
    trouble = "none" if last else chance.choice(TROUBLES + job.lives_of_its_own)
    parallelism = chance.randint(1, job.most) if job.rescales else job.parallelism
    plan = Plan(trouble, parallelism, chance.randrange(50, 1500))
    plan.options = options(chance, plan, job.is_keyed)
    if trouble in ("kill worker", "operator", "stall") or chance.random() < 0.2:
        supervise(chance, plan)
    elif not last:  # else its program would have to begin again, and the turn with it
        plan.options += ["--max-restarts", str(chance.choice((0, 3)))]
    {"kill in start": kill_in_start, "kill at commit": kill_at_commit, "kill at call": kill_at_call,
     "kill worker": kill_worker, "savepoint": savepoint, "error": error, "full disk": full_disk,
     "short": short, "interrupted": interrupted, "stall": stall, "halt": halt, "network": network,
     "operator": operator}.get(trouble, lambda *_: None)(chance, plan)
    if not plan.network and chance.random() < 0.1:
        bad_network(chance, plan, 0)
    elif not plan.network:
        plan.options += ["--endpoint", chance.choice(("inproc", "inproc", "tcp://127.0.0.1"))]
    if trouble not in ("stall", "halt"):  # nobody answers then
        plan.meanwhile = meanwhile(chance, plan)
    return plan


def options(chance, plan, is_keyed):
    interval = int(math.exp(chance.uniform(math.log(5), math.log(1000))))
    drawn = ["--mode", chance.choice(MODES), "--interval", "%dms" % interval,
             "--retain", str(chance.randint(1, 5)), "--restart-delay", "10ms"]
    if drawn[1] == "adaptive":
        drawn += ["--alignment-max", "%dms" % chance.choice((1, 5, 50))]
    if chance.random() < 0.4:
        drawn += ["--full-every", str(chance.randint(1, 6))]
    if is_keyed and chance.random() < 0.4:
        drawn += ["--state-memory", "%dKiB" % (plan.parallelism * chance.choice((16, 64, 1024)))]
    if chance.random() < 0.3:
        drawn += ["--memory-max", chance.choice(("256MiB", "1GiB"))]
    if chance.random() < 0.3:
        drawn += ["--recording-max", chance.choice(("256KiB", "4MiB"))]
    if chance.random() < 0.3:
        drawn += ["--timeout", chance.choice(("100ms", "1s"))]
    if chance.random() < 0.3:
        drawn += chance.choice((["--rounds", "1"], ["--rounds", "4"], ["--min-pause", "10ms"]))
    return drawn


def supervise(chance, plan):
    plan.supervised = True
    plan.options += ["--supervise", "--max-restarts", str(chance.choice((3, 1000)))]


def meanwhile(chance, plan):
    """What a user may do to a job that runs."""
    done = [what for what in ("pause", "pause", "checkpoint", "dump", "status", "savepoint")
            if chance.random() < 0.15]
    if plan.trouble in ("error", "full disk"):  # one that is asked for waits until there is room
        done = [what for what in done if what != "savepoint"]
    # Another run of the same store; where this one may fail it could take its place.
    if plan.trouble in ("kill", "stop", "none") and not plan.supervised and chance.random() < 0.2:
        done.append("rival")
    return sorted((chance.randint(0, plan.after_ms), what) for what in done)


# ---- the troubles --------------------------------------------------------------------------------

def call(chance):
    """The number of a file call: a start makes some 130."""
    return chance.randrange(1, 150) if chance.random() < 0.4 else chance.randrange(150, 900)


def kill_in_start(chance, plan):
    plan.after_ms = chance.randrange(40)


def kill_at_commit(chance, plan):
    plan.commits = chance.randint(1, 6)


def kill_at_call(chance, plan):
    plan.shim = {"FAULT": chance.choice(("kill", "torn")), "AT": call(chance)}


def kill_worker(chance, plan):
    plan.kills = chance.randint(1, 4)


def savepoint(chance, plan):
    plan.moves = chance.random() < 0.7


def error(chance, plan):
    late = chance.random() < 0.3
    plan.shim = {"FAULT": "late" if late else "fail", "AT": call(chance), "ERRNO": EIO}
    if late or chance.random() < 0.5:
        plan.shim["ONLY"] = CHANGING
    elif chance.random() < 0.3:
        plan.shim["ERRNO"] = chance.choice((ENOMEM, EMFILE))
    span = chance.choice((1, 1, 1, 3, 20, FOR_EVER))
    plan.shim["LAST"] = plan.shim["AT"] + span - 1
    if chance.random() < 0.3:
        plan.options += ["--tolerated", "2"]


def full_disk(chance, plan):
    plan.shim = {"FAULT": "fail", "ERRNO": ENOSPC, "ONLY": "pwrite,fsync,mkdirat,renameat2,openat",
                 "AT": call(chance)}
    plan.shim["LAST"] = plan.shim["AT"] + chance.choice((1, 10, 50, FOR_EVER)) - 1


def short(chance, plan):
    plan.shim = {"FAULT": "short", "ONLY": "pread,pwrite", "AT": chance.randrange(1, 60)}
    plan.shim["LAST"] = plan.shim["AT"] + chance.choice((1, 10, 100)) - 1


def interrupted(chance, plan):
    """Each call is tried again, so it may not fail for ever."""
    plan.shim = {"FAULT": "fail", "ERRNO": EINTR, "ONLY": "pread,pwrite",
                 "AT": chance.randrange(1, 60)}
    plan.shim["LAST"] = plan.shim["AT"] + chance.randrange(5)


def stall(chance, plan):
    """The disk does not answer: once, so that the next child comes through."""
    plan.shim = {"FAULT": "stall", "AT": call(chance), "ONCE": "stalled"}
    plan.options += ["--hang-after", "%dms" % STALLED_FOR, "--hang-action", "restart"]
    plan.after_ms = chance.randrange(1500, 3000)


def halt(chance, plan):
    """It stops just before a file call, wakes, and is killed a moment later."""
    plan.shim = {"FAULT": "stop", "AT": call(chance), "ONCE": "halted"}


def network(chance, plan):
    bad_network(chance, plan, chance.randint(1, 3))


def bad_network(chance, plan, cuts):
    conditions = [word for word in ("delay", "pieces", "reorder", "duplicates")
                  if chance.random() < 0.6]
    if cuts and chance.random() < 0.5:
        conditions.append("loss")
    plan.network = [str(chance.randrange(1 << 30)), str(cuts)] + conditions
    plan.options += ["--endpoint", "tcp://127.0.0.1"]


def operator(chance, plan):
    plan.parameters = ["fault=" + chance.choice(("error", "segfault", "abort", "exit")),
                       "every=%d" % chance.randrange(300, 3000)]
