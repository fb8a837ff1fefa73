# SPDX-License-Identifier: Apache-2.0
"""jobs - the programs that soak runs, their input, and what must come out of each.

A Job draws its size and writes its input into its folder. `expected()` is a Counter of the records
that are due, found by another method than the program's; `published()` is what is there.
"""
import collections
import os
import sqlite3
import subprocess
import sys
import zlib

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools")
sys.path.insert(0, TOOLS)
from visits import visits  # noqa: E402

MAKE_LOG = os.path.join(TOOLS, "..", "..", "examples", "sessionize", "make_log")


def lines_of(folder):
    """The records of a line sink that are visible."""
    records = collections.Counter()
    for name in parts_of(folder):
        with open(os.path.join(folder, name), "rb") as file:
            records.update(file.read().split(b"\n")[:-1])
    return records


def parts_of(folder):
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(name for name in names if name.startswith("part-"))


class Job:
    program = None  # below the build folder
    rescales = True  # each life may have another parallelism
    moves = True  # a savepoint of it may be gone on from in another store
    is_keyed = True
    lives_of_its_own = ()  # troubles that only this job has
    most = 5  # parallelism
    source_splits = 1  # parts of the input; one source has all of one

    def __init__(self, folder, chance):
        self.folder, self.chance = folder, chance
        self.output = self.path("out")
        self.seconds = chance.uniform(0.8, 4) * (4 if chance.random() < 0.1 else 1)
        self.rate = chance.randrange(2000, 9000)  # lines a second, over all sources
        self.lines = int(self.seconds * self.rate)
        self.sums = {}
        self.prepare()

    def path(self, name):
        return os.path.join(self.folder, name)

    def outputs(self):
        return [self.output]

    def pace(self, parallelism):
        """A source has its share of the rate, though it may be the only one with lines."""
        return "rate=%d" % (self.rate * max(1, parallelism // self.source_splits))

    def helpers(self):
        """What has to run beside the job: command lines, which must end with 0."""
        return []

    def published(self):
        return sum((lines_of(folder) for folder in self.outputs()), collections.Counter())

    def strange(self):
        """What is wrong besides lost and doubled records, or None."""
        return None

    def checks(self, _store):
        """Arguments of the program that must answer 0 in the end."""
        return []

    def environment(self):
        return {}

    def look(self):
        """What was visible stays as it was: what is wrong, or None."""
        sums = {}
        for folder in self.outputs():
            for name in parts_of(folder):
                with open(os.path.join(folder, name), "rb") as file:
                    data = file.read()
                sums[folder, name] = len(data), zlib.crc32(data)
        changed = [name for name, value in self.sums.items() if sums.get(name) != value]
        self.sums = sums
        return "%s/%s changed after it was visible" % changed[0] if changed else None


class Words(Job):
    program = "examples/word_count"

    def prepare(self):
        self.source_splits = self.chance.randrange(1, 5)
        self.emit = self.chance.choice(("final", "updates"))
        self.counts = collections.Counter()
        os.mkdir(self.path("text"))
        for number in range(self.source_splits):
            with open(self.path("text/%d" % number), "wb") as file:
                for _ in range(self.lines // self.source_splits):
                    words = [self.word() for _ in range(self.chance.randrange(8))]
                    self.counts.update(words)
                    file.write(self.chance.choice((b" ", b"\t ")).join(words) + b"\n")

    def word(self):
        number = int(2 ** (self.chance.random() * 12))
        return b"\xc3\xa4\x01%d\r" % number if number % 89 == 0 else b"w%d" % number

    def parameters(self, _):
        return ["input=" + self.path("text"), "output=" + self.output, "emit=" + self.emit]

    def expected(self):
        if self.emit == "final":
            return collections.Counter(b"%s\t%d" % item for item in self.counts.items())
        return collections.Counter(b"%s\t%d" % (word, i) for word, count in self.counts.items()
                                   for i in range(1, count + 1))


class Faulty(Words):
    """Word count with an operator that fails and crashes, when its life says so."""
    program = "tests/programs/faulty"
    lives_of_its_own = ("operator",) * 6

    def prepare(self):
        super().prepare()
        self.emit = "final"
        self.spans = self.chance.choice(("no", "yes"))

    def parameters(self, _):
        return ["input=" + self.path("text"), "output=" + self.output, "spans=" + self.spans]


class Revenue(Job):
    """Two inputs, joined by key."""
    program = "examples/two_inputs"

    def prepare(self):
        self.sold, self.price = collections.Counter(), {}
        with open(self.path("sales"), "w", encoding="ascii") as file:
            for _ in range(self.lines):
                product, quantity = self.chance.randrange(300), self.chance.randrange(1, 9)
                self.sold[product] += quantity
                file.write("p%d %d\n" % (product, quantity))
        with open(self.path("prices"), "w", encoding="ascii") as file:
            for edition in self.chance.sample(range(1, 9 * self.lines), self.lines // 3):
                product, cents = self.chance.randrange(330), self.chance.randrange(1, 5000)
                self.price[product] = max(self.price.get(product, (0, 0)), (edition, cents))
                file.write("p%d %d %d\n" % (product, edition, cents))

    def parameters(self, _):
        return ["sales=" + self.path("sales"), "prices=" + self.path("prices"),
                "output=" + self.output]

    def expected(self):
        def cents(product):
            if product not in self.price:
                return "no price"
            return "%d" % (self.sold[product] * self.price[product][1])
        return collections.Counter(
            b"p%d\t%d\t%s" % (product, self.sold[product], cents(product).encode())
            for product in self.sold.keys() | self.price.keys())


class Silence(Job):
    """Keyed state, timers by event time, and a finish in steps."""
    program = "examples/custom_operator"
    rescales = False  # its operator saves what no other subtask could take

    def prepare(self):
        self.seen, rests, now = collections.defaultdict(list), {}, 1700000000
        with open(self.path("signs"), "w", encoding="ascii") as file:
            for _ in range(self.lines):
                now += self.chance.randrange(4)
                device = self.chance.randrange(12)
                while now < rests.get(device, 0):
                    now += 1
                if self.chance.random() < 0.2:
                    rests[device] = now + 30 + self.chance.randrange(40)
                self.seen[device].append(now)
                file.write("%d device-%d\n" % (now, device))
        self.end = now

    def parameters(self, _):
        return ["input=" + self.path("signs"), "output=" + self.output, "limit=60s", "disorder=0s"]

    def expected(self):
        due = collections.Counter()
        for device, times in self.seen.items():
            name = b"device-%d\t" % device
            for last, time in zip(times, times[1:] + [None]):
                if (self.end if time is None else time) - last >= 60:
                    silence = name + b"silent since %d" % last
                    due[silence] += 1
                    if time is not None:
                        due[name + b"back after %d" % (time - last)] += 1
            due[name + b"seen %d" % len(times)] += 1
        return +due


class Visits(Job):
    """Watermarks and sessions; what is late or malformed is counted, in a second output."""
    program = "examples/sessionize"
    rescales = False  # where a log's time has come to is saved by its one source

    def prepare(self):
        with open(self.path("log"), "wb") as file:
            subprocess.run([MAKE_LOG, str(self.lines), str(self.chance.randrange(1 << 20))],
                           stdout=file, check=True)

    def outputs(self):
        return [self.output, self.path("rejects")]

    def parameters(self, _):
        return ["input=" + self.path("log"), "output=" + self.output,
                "rejects=" + self.path("rejects")]

    def expected(self):
        found, left_out = visits(self.path("log"))
        return collections.Counter(found + left_out)


class Bank(Job):
    """Money in a circle. Which orders are refused is chance, but not what follows from that."""
    program = "examples/bank"
    OPENING = 1000

    def prepare(self):
        self.accounts = self.chance.randrange(50, 500)
        self.seed = self.chance.randrange(1 << 30)
        self.source_splits = self.most  # each subtask gives its share of the orders

    def parameters(self, _):
        return ["journal=" + self.output, "orders=%d" % self.lines, "seed=%d" % self.seed,
                "accounts=%d" % self.accounts, "clearing=%d" % self.rate]

    def entries(self):
        """(what, account, position, amount) of each line, times how often it is there."""
        for line, times in lines_of(self.output).items():
            words = line.split()
            if words[0] == b"closing":
                yield ("closing", int(words[1]), None, int(words[-1])), times
            else:
                position, payer, payee, amount = map(int, words[:4])
                what = words[4].decode()
                yield (what, payee if what == "received" else payer, position, amount), times

    def published(self):
        """Whether an order was paid or refused: it was served."""
        records = collections.Counter()
        for (what, account, position, _), times in self.entries():
            name = {"closing": account, "received": position}.get(what, position)
            records[{"paid": "served", "refused": "served"}.get(what, what), name] += times
        return records

    def expected(self):
        due = collections.Counter(("served", position) for position in range(self.lines))
        for (what, account, position, _), _ in self.entries():
            due["closing", account] = 1
            if what == "paid":
                due["received", position] = 1
        return due

    def checks(self, store):
        return [["audit", "--store", store]]

    def strange(self):
        balances, closed = collections.defaultdict(lambda: self.OPENING), {}
        for (what, account, _, amount), times in self.entries():
            if what == "closing":
                closed[account] = amount
            else:
                balances[account] += times * {"paid": -amount, "received": amount}.get(what, 0)
        wrong = [account for account in closed if closed[account] != balances[account]]
        return "account %d does not add up" % wrong[0] if wrong else None


class Orders(Job):
    """Rows in two tables of an SQLite database, by transactions."""
    program = "examples/sqlite_sink"

    def prepare(self):
        self.writers = self.chance.randrange(1, 4)
        self.orders, self.totals = [], {}
        with open(self.path("orders"), "w", encoding="ascii") as file:
            for number in range(1, self.lines + 1):
                customer = "c%d" % self.chance.randrange(20)
                cents = self.chance.randrange(-1000, 9000)
                count, total = self.totals.get(customer, (0, 0))
                self.totals[customer] = (count + 1, total + cents)
                self.orders.append((number, customer, cents))
                file.write("%d %s %d\n" % self.orders[-1])

    def outputs(self):
        return []

    def parameters(self, _):
        return ["input=" + self.path("orders"), "database=" + self.path("db"),
                "writers=%d" % self.writers]

    def expected(self):
        totals = [(customer, *rest) for customer, rest in self.totals.items()]
        return collections.Counter(self.orders + totals)

    def published(self):
        database = sqlite3.connect(self.path("db"))
        try:
            rows = database.execute("SELECT number, customer, cents FROM orders").fetchall()
            rows += database.execute("SELECT customer, orders, cents FROM totals").fetchall()
        finally:
            database.close()
        return collections.Counter(rows)

    def strange(self):
        database = sqlite3.connect(self.path("db"))
        try:
            said = database.execute("PRAGMA integrity_check").fetchone()[0]
        finally:
            database.close()
        return None if said == "ok" else "SQLite finds damage: %s" % said


class Lines(Job):
    """A source that others write to while the job lives, and dies."""
    program = "tests/programs/lines"
    rescales = False
    moves = False  # a journal stays with its store
    is_keyed = False
    most = 1

    def pace(self, _):
        return "rate=0"  # who writes has a pace


class Tail(Lines):
    """A log that is rotated while it is written."""

    def prepare(self):
        with open(self.path("numbers"), "w", encoding="ascii") as file:
            file.writelines("%08d a line of a log\n" % i for i in range(self.lines))

    def helpers(self):
        size = os.path.getsize(self.path("numbers"))
        open(self.path("log"), "wb").close()
        return [["sh", "-c", 'exec python3 "$0" "$@" <"$NUMBERS"',
                 os.path.join(TOOLS, "rotate.py"), self.path("log"),
                 self.chance.choice(("numbered", "dated")), str(size // 12),
                 str(int(size / self.seconds)), str(self.chance.randrange(1 << 30))]]

    def environment(self):
        return {"NUMBERS": self.path("numbers")}

    def parameters(self, _):
        return ["from=tail", "input=" + self.path("log"), "end=" + self.path("log.end"),
                "output=" + self.output]

    def expected(self):
        return collections.Counter(b"%08d a line of a log" % i for i in range(self.lines))


class Socket(Lines):
    """Clients that keep their lines until they are told that these are durable."""
    BOTH = ('python3 "$0" "$1" a "$2" "$3" & a=$!; python3 "$0" "$1" b "$2" "$3" || exit 1; '
            'wait $a && python3 "$0" "$1" end END')

    def prepare(self):
        self.lines //= 2  # of each client

    def helpers(self):
        return [["bash", "-c", self.BOTH, os.path.join(TOOLS, "sender.py"), self.path("socket"),
                 str(self.lines), str(int(8 * self.lines / self.seconds))]]

    def environment(self):
        return {"WEIR_PATIENCE": "120"}

    def parameters(self, _):
        return ["from=socket", "input=" + self.path("socket"), "end=END", "output=" + self.output]

    def expected(self):
        return collections.Counter(b"%s %d" % (name, i) for name in (b"a", b"b")
                                   for i in range(1, self.lines + 1))


KINDS = (Words, Faulty, Revenue, Silence, Visits, Bank, Orders, Tail, Socket)
