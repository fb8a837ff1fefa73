#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""client.py SOCKET ID FILE RATE - sends a file's lines to a socket source, so many a second, and is
acknowledged (weir_socket_source of weir_sources.h has the protocol).

It goes on over any break, for SECONDS without a new count at most, and ends when all lines are
durable. It fails when weir forgets a line that it has said was.
"""
import select
import socket
import sys
import time

SECONDS = 60


class Client:
    def __init__(self, path, name, lines, rate):
        self.path, self.name, self.lines, self.rate = path, name, lines, rate
        self.durable = 0  # lines that weir has taken on itself
        self.breaks = 0
        self.first = None  # what weir had of them when this client began, and when that was
        self.begun = self.heard = time.monotonic()

    def run(self):
        while self.durable < len(self.lines):
            try:
                with socket.socket(socket.AF_UNIX) as stream:
                    stream.connect(self.path)
                    self.talk(stream)
            except OSError:
                self.breaks += 1
                if time.monotonic() - self.heard > SECONDS:
                    sys.exit(f"client {self.name}: nothing new for {SECONDS} s")
                time.sleep(0.005)  # until somebody listens again

    def talk(self, stream):
        """One connection, until it breaks or all is durable."""
        stream.sendall(f"weir 1 {self.name}\n".encode())
        sent, text = None, b""
        while self.durable < len(self.lines):
            if select.select([stream], [], [], 0.002)[0]:
                more = stream.recv(4096)
                if not more:
                    raise OSError("the other end is gone")
                *counts, text = (text + more).split(b"\n")
                for count in counts:
                    self.take(count)
                if sent is None and counts:
                    sent = self.durable
                    self.begin()
            if sent is not None:
                sent = self.send(stream, sent)

    def begin(self):
        if self.first is None:
            self.first, self.begun = self.durable, time.monotonic()

    def take(self, count):
        if not count.isdigit():
            sys.exit(f"client {self.name}: weir says {count!r}")
        if int(count) < self.durable:
            sys.exit(f"client {self.name}: weir had {self.durable} lines and now {int(count)}")
        if int(count) > self.durable:
            self.heard = time.monotonic()
        self.durable = int(count)

    def send(self, stream, sent):
        due = self.first + int((time.monotonic() - self.begun) * self.rate)
        due = min(due, len(self.lines))
        if due > sent:
            stream.sendall(b"".join(self.lines[sent:due]))
        return max(sent, due)


def main():
    path, name, file, rate = sys.argv[1:]
    with open(file, "rb") as lines:
        client = Client(path, name, lines.readlines(), float(rate))
    client.run()
    print(f"client {name}: {len(client.lines)} lines, {client.breaks} breaks")


main()
