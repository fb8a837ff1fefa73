#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of test_job_damage.c: every bit of every byte, every length.
WEIR_FULL=1 exec "$1/tests/test_job_damage" --verbose=0
