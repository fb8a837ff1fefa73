# SPDX-License-Identifier: Apache-2.0
"""rows: reads a list of what may go wrong, and knows what its rows can name. For tests/cases and
tests/faults; how a row is read is said at the top of CASES.md."""
import glob
import os
import re

# A function that leaves a test.
SKIPS = re.compile(r"\nstatic void (\w+)\(void\)\n\{(?:(?!\n\}).)*cr_skip_test\(", re.S)
TEST = re.compile(r"^Test\(\s*(\w+)\s*,\s*(\w+)([^{]*?)\)\s*\{", re.MULTILINE)
PLANTED_BY = ("tests/test_sim_job.c", "tests/test_sim_store.c", "tests/test_channel.c")
FUZZERS = {"engine", "replay", "fuzz"}  # what tests/fuzz/ has beside its targets
WAITED_FOR = re.compile(r"- `waits for: ([a-z ]+)` - \S")
FILE = re.compile(r"(job|plain)_(\w+)\.(sh|c)(?:/(\w+))?")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def words_of(text, name):
    """The names in one of sim_plan.c's tables, without "none"."""
    table = re.search(name + r"\[\w+\] = \{(.*?)\}", text, re.DOTALL)
    return set(re.findall(r'"(\w+)"', table.group(1))) - {"none"}


class Known:
    """What a row can name."""

    def __init__(self, root):
        self.root = root
        self.tests = {}     # by suite/name: is it run?
        self.programs = {}  # by suite/name: the test of ctest that it is in
        self.skips = set()  # those that some builds pass over
        for path in glob.glob(os.path.join(root, "tests", "test_*.c")):
            text = read(root, path)
            for match in TEST.finditer(text):
                name = f"{match.group(1)}/{match.group(2)}"
                self.tests[name] = ".disabled" not in match.group(3)
                self.programs[name] = os.path.basename(path)[5:-2]
                body = text[match.end():text.find("\n}", match.end())]
                if any(f"{call}(" in body for call in ["cr_skip_test", *SKIPS.findall(text)]):
                    self.skips.add(name)
        woken = "".join(read(root, path) for path in PLANTED_BY)
        self.woken = set(re.findall(r'"(\w+)"', woken))
        self.planted = set()
        for folder in ("checkpoint", "runtime", "operators", "tests"):
            for path in glob.glob(os.path.join(root, folder, "*.c")):
                self.planted |= set(re.findall(r"WEIR_PLANT\((\w+)\)", read(root, path)))
        faults = read(root, "tests/model/run").split('FAULTS = """')[1].split('"""')[0]
        self.faults = {line.split()[0] for line in faults.split("\n") if line.strip()}
        self.fuzzed = {os.path.basename(path)[:-2]
                       for path in glob.glob(os.path.join(root, "tests", "fuzz", "*.c"))} - FUZZERS
        plan = read(root, "tests/sim_plan.c")
        self.troubles = words_of(plan, "fault_names") | words_of(plan, "condition_names")

    def lacks(self, word):
        """What is wrong with a name in a row; None when it exists and is run."""
        if word.startswith("plant: "):
            name = word[7:]
            if name not in self.planted:
                return f"no bug {name} is planted"
            return None if name in self.woken else f"no test wakes the bug {name}"
        if word.startswith("model: "):
            return None if word[7:] in self.faults else f"the model has no fault {word[7:]}"
        if word.startswith("lives: "):
            known = word[7:] in self.troubles
            return None if known else f"simulated lives have no {word[7:]}"
        if word.startswith("fuzz: "):
            return None if word[6:] in self.fuzzed else f"nothing is fuzzed as {word[6:]}"
        file = FILE.fullmatch(word)
        if file:
            return self.lacks_file(word.split("/")[0], file.group(4))
        if not re.fullmatch(r"\w+/\w+", word):
            return f"{word} is no test, script, fuzz target, plant, trouble or fault of the model"
        if word not in self.tests:
            return f"no test {word}"
        return None if self.tests[word] else f"the test {word} is disabled"

    def lacks_file(self, name, part):
        if not os.path.exists(os.path.join(self.root, "tests", name)):
            return f"no file tests/{name}"
        if part is None or self.has_part(name, part):
            return None
        return f"tests/{name} does not try {part}"

    def has_part(self, name, part):
        """A property of a script: defined there and called somewhere; or a figure of a sweep."""
        text = read(self.root, "tests/" + name)
        sweep = re.search(r"tools/sweep\" (\w+)", text)
        if sweep:
            return part in sweeps(self.root, sweep.group(1))
        return (re.search(rf"^{part}\(\)", text, re.MULTILINE) is not None
                and len(re.findall(rf"\b{part}\b", text)) > 1)

    def program(self, word):
        """The test of ctest that has passed when this has."""
        if word.startswith("fuzz: "):
            return "fuzz_replay"
        file = FILE.fullmatch(word)
        if not file:
            return self.programs[word]
        return file.group(2) if file.group(1) == "job" else f"{file.group(1)}_{file.group(2)}"


def sweeps(root, which):
    """What tools/sweep counts by itself, of one of its two."""
    names = read(root, "tests/tools/sweep").split(f"{which.upper()}_COUNTS = (")
    return re.findall(r'"(\w+)"', names[1].split(")")[0]) if len(names) > 1 else []


class Row:
    def __init__(self, line, name, cells):
        self.line, self.name, self.cells = line, name, cells
        self.names = []  # what its last column but those of `after` names
        self.waits = False


class Rows:
    """A list, with what is wrong with it in `findings`: (line, kind, what). `last` is each letter's
    last number; `says` and `after` are how many columns stand before and behind the names."""

    def __init__(self, text, known, last, says=1, after=0):
        self.known = known
        self.last = last
        self.says, self.after = says, after
        self.findings = []
        self.rows = []
        self.next = dict.fromkeys(last, 1)
        self.waitable = set(WAITED_FOR.findall(text))
        self.waited_for = set()
        self.named = self.waiting = 0
        for number, line in enumerate(text.split("\n"), 1):
            self.line = number
            if re.match(r"\| [A-Z]\d", line):
                self.read_row(line)
        self.line = 0
        for letter, number in last.items():
            if self.next[letter] <= number:
                self.find("number", f"{letter}{self.next[letter]} to {letter}{number} are missing")
        for thing in sorted(self.waitable - self.waited_for):
            self.find("waits", f"nothing waits for {thing}")

    def find(self, kind, what):
        self.findings.append((self.line, kind, what))

    def read_row(self, line):
        cells = line[2:-2].split(" | ")
        match = re.fullmatch(r"([A-Z])(\d+)", cells[0])
        if (not match or match.group(1) not in self.last or not line.endswith(" |")
                or "|" in "".join(cells) or len(cells) != 2 + self.says + self.after):
            self.find("row", f"can't be read: {line}")
            return
        letter, number = match.groups()
        row = Row(self.line, cells[0], cells)
        self.rows.append(row)
        self.check_number(letter, int(number))
        for says in cells[1:1 + self.says]:
            if len(says.split()) < (3 if self.says == 1 else 1):
                self.find("row", f"{row.name} says nothing")
        if len(" ".join(cells[1:1 + self.says]).split()) < 3:
            self.find("row", f"{row.name} says next to nothing")
        parts = [part for part in cells[1 + self.says].split("; ") if part.strip()]
        if not parts:
            self.find("row", f"{row.name} names nothing")
        for part in parts:
            self.read_part(row, part.strip())

    def check_number(self, letter, number):
        if number != self.next[letter]:
            self.find("number", f"{letter}{number} where {letter}{self.next[letter]} belongs")
        if number > self.last[letter]:
            self.find("number", f"there is no {letter}{number}")
        self.next[letter] = number + 1

    def read_part(self, row, part):
        if part.startswith("waits for: "):
            thing = part[11:]
            row.waits = True
            self.waiting += 1
            self.waited_for.add(thing)
            if thing not in self.waitable:
                self.find("waits", f"{thing} is not in the list at the top")
        elif part.startswith("not offered: "):
            row.waits = True
            if len(part.split()) < 5:
                self.find("row", "not offered, and no reason why")
        else:
            self.read_names(row, part)

    def read_names(self, row, part):
        for word in part.split(", "):
            match = re.fullmatch(r"`([^`]+)`", word)
            problem = self.known.lacks(match.group(1)) if match else f"{word} is no name"
            self.named += match is not None
            if problem:
                self.find("name", problem)
            else:
                row.names.append(match.group(1))


def show_breaks(breaks, text, look):
    """How many of the breaks (kind, pattern, instead) of a good text look(text) does not notice."""
    failures = 0
    for kind, pattern, instead in breaks:
        broken, count = re.subn(pattern, instead, text, count=1)
        kinds = {finding[1] for finding in look(broken).findings}
        if count != 1 or kind not in kinds:
            print(f"{pattern} -> {instead}: expected {kind}, got {kinds or 'nothing'}")
            failures += 1
    return failures
