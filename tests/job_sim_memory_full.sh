#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of test_sim_memory.c, and of what test_sim_job.c has of it: every allocation.
WEIR_FULL=1 "$1/tests/test_sim_job" --filter 'sim_job/every_allocation_fails' --verbose=0 &&
    WEIR_FULL=1 exec "$1/tests/test_sim_memory" --verbose=0
