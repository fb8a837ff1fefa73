#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of job_bank.sh: each mode at each parallelism, 200 kills in each run.
WEIR_KILLS=200 WEIR_SECONDS=100 WEIR_TURNS=3 exec bash "$(dirname "$0")/job_bank.sh" "$@"
