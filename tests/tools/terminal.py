#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""terminal.py - runs a program on a terminal of its own and presses Ctrl-C once.

    terminal.py STORE LOG COMMAND...

Ctrl-C is pressed when STORE holds its tenth checkpoint: the program has long heeded signals then,
and two of them would be two. The terminal sends SIGINT to all of the program's processes, as it
would to a user's. What the program says goes to LOG. The exit code is
the program's; 99 when it has not ended after a minute.
"""
import glob
import os
import pty
import select
import signal
import sys
import time

store, log, command = sys.argv[1], sys.argv[2], sys.argv[3:]
program, terminal = pty.fork()
if program == 0:
    os.execv(command[0], command)
deadline = time.monotonic() + 60
pressed = False
with open(log, "ab", buffering=0) as out:
    while True:
        if time.monotonic() > deadline:
            os.kill(program, signal.SIGKILL)
            sys.exit(99)
        if not pressed and any(
                int(path.split("/")[-2]) >= 10
                for path in glob.glob(store + "/checkpoints/*/MANIFEST.json")):
            os.write(terminal, b"\x03")
            pressed = True
        if not select.select([terminal], [], [], 0.02)[0]:
            continue
        try:
            said = os.read(terminal, 65536)
        except OSError:  # the last process has closed the terminal
            break
        if not said:
            break
        out.write(said)
status = os.waitpid(program, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
