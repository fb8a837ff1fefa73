#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of job_modes.sh: 200 kills in each run of at least 100 s.
WEIR_KILLS=200 WEIR_SECONDS=100 exec bash "$(dirname "$0")/job_modes.sh" "$@"
