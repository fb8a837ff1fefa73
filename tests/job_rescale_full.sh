#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of job_rescale.sh: all pairs of parallelisms up to 8, each program, each mode.
WEIR_PAIRS=all exec bash "$(dirname "$0")/job_rescale.sh" "$@"
