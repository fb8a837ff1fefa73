#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""visits - the oracle of sessionize: what the example must make of an access log.

    visits.py LOG VISITS LEFT_OUT

Requests sorted by client and time, and cut where the gap is: no watermark, no timer.
"""
import re
import sys
from collections import Counter, defaultdict
from datetime import datetime

FORM = re.compile(rb'([^ ]+) [^ ]+ [^\[]+\[([^\]]+)\] "(?:[^"\\]|\\.)*" \d{3} (\d{1,15}|-)'
                  rb' "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)"')
DISORDER = 120  # seconds that a line may be late
GAP = 1800  # seconds without a request that end a visit


def requests(log):
    """(time, bytes) of each client, and how many lines are left out, by the reason."""
    found, left_out, latest = defaultdict(list), Counter(), None
    for line in log.read().split(b"\n")[:-1]:
        fields = FORM.fullmatch(line)
        try:
            time = int(datetime.strptime(fields[2].decode(), "%d/%b/%Y:%H:%M:%S %z").timestamp())
        except (TypeError, ValueError):
            left_out[b"malformed"] += 1
            continue
        if latest is not None and time < latest - DISORDER:
            left_out[b"late"] += 1
            continue
        latest = time if latest is None else max(latest, time)
        sent = 0 if fields[3] == b"-" else int(fields[3])
        found[fields[1] + b' "' + fields[4] + b'"'].append((time, sent))
    return found, left_out


def visits(path):
    """The lines of both outputs, without their newlines."""
    with open(path, "rb") as log:
        found, left_out = requests(log)
    lines = []
    for client, list_of in found.items():
        list_of.sort()
        visit = []
        for time, sent in list_of + [(float("inf"), 0)]:
            if visit and time - visit[-1][0] >= GAP:
                lines.append(b"%d\t%d\t%d\t%d\t%s" % (visit[0][0], visit[-1][0], len(visit),
                                                     sum(v[1] for v in visit), client))
                visit = []
            visit.append((time, sent))
    return lines, [b"%d\t%s" % (count, why) for why, count in left_out.items()]


def main(log, *outputs):
    for path, lines in zip(outputs, visits(log)):
        with open(path, "wb") as out:
            out.writelines(line + b"\n" for line in sorted(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
