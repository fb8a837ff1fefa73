#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of job_soak.sh: ten minutes of turns, and a planted bug.
WEIR_MINUTES=10 exec bash "$(dirname "$0")/job_soak.sh" "$@"
