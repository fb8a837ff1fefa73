#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of test_sim_memory.c: every allocation.
WEIR_FULL=1 exec "$1/tests/test_sim_memory" --verbose=0
