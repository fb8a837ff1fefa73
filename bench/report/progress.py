# SPDX-License-Identifier: Apache-2.0
"""progress: a bar with the time left on a terminal, a line now and then elsewhere."""
import sys
import time

CELLS = 30
PAUSE = {True: 0.2, False: 15}  # seconds between two signs of life, on a terminal or not


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    def __init__(self, runs, out=sys.stderr):
        self.out, self.terminal = out, out.isatty()
        self.guesses = [run.seconds for run in runs]
        self.began, self.shown = time.monotonic(), 0
        self.at, self.run_began, self.share, self.name = 0, self.began, 0.0, ""

    def start(self, at, name):
        self.at, self.name, self.share = at, name, 0.0
        self.run_began = time.monotonic()
        self.show(True)

    def step(self, done, of):
        self.share = done / of if of else 0.0
        self.show(False)

    def left(self):
        """What remains of this run by its own pace, once that can be told; then the guesses, by how
        right they have been."""
        passed = time.monotonic() - self.run_began
        guess = self.guesses[self.at]
        whole = passed / self.share if self.share > 0.1 else max(guess, passed)
        before = sum(self.guesses[:self.at]) + guess * self.share
        spent = time.monotonic() - self.began
        wrong = spent / before if before > 5 else 1.0
        return max(0.0, whole - passed) + sum(self.guesses[self.at + 1:]) * max(0.5, wrong)

    def show(self, now):
        clock_now = time.monotonic()
        if not now and clock_now - self.shown < PAUSE[self.terminal]:
            return
        self.shown = clock_now
        spent, left = clock_now - self.began, self.left()
        share = spent / (spent + left) if spent + left > 0 else 0.0
        if self.terminal:
            bar = ("#" * int(CELLS * share)).ljust(CELLS, ".")
            self.out.write(f"\r[{bar}] {self.name}, {clock(left)} left \x1b[K")
        else:
            self.out.write(f"{100 * share:3.0f} %  {self.name}, {clock(left)} left\n")
        self.out.flush()

    def end(self):
        if self.terminal:
            self.out.write("\r\x1b[K")
            self.out.flush()
