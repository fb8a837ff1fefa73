#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What test_tail_source and test_sqlite_sink try in part: longer orders of events, and a death at
# every file call of every recovery.

WEIR_FULL=1 "$1/tests/test_tail_source" --verbose=0 &&
    WEIR_FULL=1 exec "$1/tests/test_sqlite_sink" --verbose=0
