#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does what transcript.md says, and holds what is said against it.

    walk.py TRANSCRIPT [LACKING...]

A step is a line that begins with "    $ " and the lines under it: what it prints, on either stream,
and "[exit N]" when that is not 0. They all run in one bash, in the current folder. Between steps,

    <!-- until: COMMAND -->      waits for COMMAND to succeed, 30 seconds at most
    <!-- needs: WORD -->         what follows, up to the next heading, is passed over when WORD is
                                 among LACKING

Placeholders stand for what varies, see KINDS; a line of three dots for any number of lines. After a
step has passed, its expectation is falsified, a character here, the exit code there, and must fail:
a matcher that takes everything would go unnoticed.
"""
import re
import shlex
import subprocess
import sys
import threading
import time

KINDS = {
    "n": r"[0-9]+",
    "id": r"[0-9a-f]{32}",
    "time": r"[0-9]+(?:\.[0-9]+)? (?:ns|us|ms|s|min|h)",
    "size": r"[0-9]+(?:\.[0-9]+)? (?:bytes|[kMG]i?B|B)",
    "date": r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{8,12}(?:Z| UTC)",
    "text": r".+",
}
PLACEHOLDER = re.compile(r"<([a-z]+)>")
PATIENCE_S = 30
MARK = "@@ended@@"


def fail(text):
    sys.exit(f"FAILED: {text}")


def parse(path):
    """The steps in order: (line number, kind, command or word, expected lines, exit code)."""
    steps = []
    blank = 0  # lines, which belong to the output if more of it follows
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines, 1):
        order = re.fullmatch(r"<!-- (until|needs): (.*) -->", line)
        if line.startswith("#"):
            steps.append([number, "heading", line, [], 0])
        elif order:
            steps.append([number, order[1], order[2], [], 0])
        elif line.startswith("    $ "):
            steps.append([number, "run", line[6:], [], 0])
        elif line.startswith("    "):
            if not steps or steps[-1][1] != "run":
                fail(f"{path}:{number}: this belongs to no command")
            code = re.fullmatch(r"    \[exit ([0-9]+)\]", line)
            if code:
                steps[-1][4] = int(code[1])
            elif steps[-1][2].endswith("\\") and not steps[-1][3]:
                steps[-1][2] += "\n" + line[4:]
            else:
                steps[-1][3] += [""] * (blank if steps[-1][3] else 0) + [line[4:]]
        blank = 0 if line else blank + 1
    return steps


def pattern(lines):
    """One regular expression for all of the expected lines."""
    whole = ""
    for line in lines:
        if line == "...":
            whole += r"(?:.*\n)*?"
            continue
        at = 0
        for found in PLACEHOLDER.finditer(line):
            if found[1] not in KINDS:
                fail(f"<{found[1]}> is no placeholder: there are {', '.join(KINDS)}")
            whole += re.escape(line[at:found.start()]) + KINDS[found[1]]
            at = found.end()
        whole += re.escape(line[at:]) + r"\n"
    return whole


def falsified(lines):
    """The expectation with one word wrong, for each line that has a word; and with a line more."""
    for index, line in enumerate(lines):
        at = len(line) - 1
        while at >= 0 and (not line[at].isalnum() or inside_placeholder(line, at)):
            at -= 1
        if line != "..." and at >= 0:
            other = "x" if line[at] != "x" else "y"
            yield lines[:index] + [line[:at] + other + line[at + 1:]] + lines[index + 1:]
    if "..." not in lines:
        yield lines + ["one line more"]


def inside_placeholder(line, at):
    return any(found.start() <= at < found.end() for found in PLACEHOLDER.finditer(line))


class Shell:
    def __init__(self):
        self.bash = subprocess.Popen(["bash", "--norc"], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def say(self, command):
        """Its output, and its exit code."""
        order = f"eval {shlex.quote(command)} </dev/null 2>&1\nprintf '{MARK}%s\\n' $?\n"
        self.bash.stdin.write(order.encode())
        self.bash.stdin.flush()
        watch = threading.Timer(PATIENCE_S, self.bash.kill)
        watch.start()
        try:
            return self.answer(command)
        finally:
            watch.cancel()

    def answer(self, command):
        said = ""
        while True:
            line = self.bash.stdout.readline().decode("utf-8", "replace")
            if line == "":
                fail(f"no end after {PATIENCE_S} s, or the shell is gone: {command}")
            if MARK in line:
                rest, code = line.rsplit(MARK, 1)
                return said + (rest + "\n" if rest else ""), int(code)
            said += line


def wait_until(shell, where, command):
    deadline = time.monotonic() + PATIENCE_S
    while shell.say(command)[1] != 0:
        if time.monotonic() > deadline:
            fail(f"{where}: not so after {PATIENCE_S} s: {command}\n{shell.say('tail *.log')[0]}")
        time.sleep(0.02)


def check(where, command, expected, said, wanted, code):
    if re.fullmatch(pattern(expected), said) and code == wanted:
        for wrong in falsified(expected):
            if re.fullmatch(pattern(wrong), said):
                fail(f"{where}: takes what is wrong: {wrong}")
        return
    fits = len(expected)
    while fits > 0 and not re.match(pattern(expected[:fits]), said):
        fits -= 1
    shown = [("     " if index < fits else "  !! ") + line for index, line in enumerate(expected)]
    fail(f"{where}: $ {command}\nexpected, exit {wanted}:\n" + "\n".join(shown) +
         f"\ngot, exit {code}:\n" + "\n".join("     " + line for line in said.splitlines()))


def main(path, lacking):
    shell = Shell()
    passed = left_out = 0
    over = False
    for number, kind, command, expected, wanted in parse(path):
        where = f"{path}:{number}"
        if kind == "heading":
            over = False
        elif kind == "needs":
            over = command in lacking
        elif over:
            left_out += kind == "run"
        elif kind == "until":
            wait_until(shell, where, command)
        else:
            said, code = shell.say(command)
            check(where, command, expected, said, wanted, code)
            passed += 1
    print(f"{passed} steps as written" + (f", {left_out} not possible here" if left_out else ""))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
