#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sender - a client of weir_socket_source that keeps its lines until they are acknowledged.

    sender.py SOCKET ID LINES BYTES_A_SECOND     lines "ID NUMBER", from 1
    sender.py SOCKET ID @FILE BYTES_A_SECOND     those of a file
    sender.py SOCKET ID END                      one line: END

It connects again as often as it has to, until WEIR_PATIENCE seconds (60) bring no progress.
"""
import os
import select
import socket
import sys
import time

WINDOW = 20000  # lines that were sent and not acknowledged


class Sender:
    def __init__(self, path, name, line_of, count, speed):
        self.path, self.name, self.line_of, self.count = path, name, line_of, count
        self.speed = speed
        self.told = self.breaks = 0
        self.began = self.progress = time.monotonic()
        self.written = 0

    def run(self):
        while self.told < self.count:
            if time.monotonic() - self.progress > float(os.environ.get("WEIR_PATIENCE", 60)):
                sys.exit(f"{self.name}: no progress behind line {self.told}")
            try:
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.connect(self.path)
                    self.talk(peer)
            except OSError:
                time.sleep(0.01)  # nobody listens: it is being started
            self.breaks += 1

    def talk(self, peer):
        peer.sendall(f"weir 1 {self.name}\n".encode())
        peer.setblocking(False)
        sent, out, heard = None, b"", b""
        while self.told < self.count:
            if sent is not None and not out:
                out, sent = self.more(sent)
            wait = 0.01 if sent is not None and not out else 1
            readable, writable, _ = select.select([peer], [peer] if out else [], [], wait)
            if writable:
                done = peer.send(out)
                self.written += done
                out = out[done:]
            if readable:
                data = peer.recv(4096)
                if not data:
                    return
                *lines, heard = (heard + data).split(b"\n")
                for line in lines:
                    self.hear(line)
                    sent = self.told if sent is None else sent

    def more(self, sent):
        """The next lines, as far as window and speed let them."""
        ahead = self.written - self.speed * (time.monotonic() - self.began)
        if ahead > 0:
            return b"", sent
        step = min(1000, max(1, int(self.speed / 400)))
        last = min(self.count, self.told + WINDOW, sent + step)
        lines = "".join(self.line_of(i) + "\n" for i in range(sent + 1, last + 1))
        return lines.encode(), max(sent, last)

    def hear(self, line):
        if line.startswith(b"error"):
            raise OSError(line.decode())
        if int(line) < self.told:
            sys.exit(f"{self.name}: was told {line.decode()} after {self.told}")
        self.told = int(line)
        self.progress = time.monotonic()


def main(path, name, what, speed="1e12"):
    if what == "END":
        sender = Sender(path, name, lambda i: "END", 1, 1e12)
    elif what[0] == "@":
        with open(what[1:], encoding="utf-8") as file:
            lines = file.read().splitlines()
        sender = Sender(path, name, lambda i: lines[i - 1], len(lines), float(speed))
    else:
        sender = Sender(path, name, lambda i: f"{name} {i}", int(what), float(speed))
    sender.run()
    print(f"{name}: {sender.told} lines acknowledged, {sender.breaks} attempts")


if __name__ == "__main__":
    main(*sys.argv[1:])
