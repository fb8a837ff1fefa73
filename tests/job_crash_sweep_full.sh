#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of job_crash_sweep.sh: no call is passed over, in more settings.
exec python3 "$(dirname "$0")/tools/sweep" crash "$1" --full
