#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rotate - standard input into a log that is rotated by renaming, as a program and logrotate do.

    rotate.py LOG numbered|dated BYTES BYTES_A_SECOND SEED

Writes pieces that end anywhere; rotates at the first end of a line behind BYTES. Now and then it
writes on into the renamed file for a while, as a program does that has not been told yet. When all
is written it makes LOG.end.
"""
import os
import random
import sys
import time


class Log:
    def __init__(self, path, style):
        self.path, self.style, self.count = path, style, 0
        self.file = open(path, "ab", buffering=0)

    def rename(self):
        self.count += 1
        if self.style == "dated":
            os.rename(self.path, f"{self.path}-{self.count:08d}")
        else:
            for number in range(self.count, 1, -1):
                os.rename(f"{self.path}.{number - 1}", f"{self.path}.{number}")
            os.rename(self.path, f"{self.path}.1")
        with open(self.path, "ab"):  # the new one is there before the writer goes to it
            pass

    def reopen(self):
        self.file.close()
        self.file = open(self.path, "ab", buffering=0)


def pieces(source, chance):
    """The input in pieces; each second one ends at the end of a line."""
    while data := source.read(chance.randrange(1, 1 << 18)):
        yield data + source.readline()


def main(path, style, size, speed, seed):
    chance = random.Random(int(seed))
    log, written, total, late = Log(path, style), 0, 0, 0
    began = time.monotonic()
    for data in pieces(sys.stdin.buffer, chance):
        cut = chance.randrange(len(data) + 1)
        log.file.write(data[:cut])
        log.file.write(data[cut:])
        written += len(data)
        total += len(data)
        if late:
            late -= 1
            if not late:
                log.reopen()
                written = 0
        elif written >= int(size):
            log.rename()
            late = chance.randrange(1, 4)
            if late == 1:
                late, written = 0, 0
                log.reopen()
        ahead = total / float(speed) - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)
    with open(path + ".end", "w"):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
