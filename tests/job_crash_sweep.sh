#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# word_count is killed at every second file call that it makes, also while it recovers; what it
# publishes is exact all the same. (In full, and in the simulator, at every one.)
#
#     tests/job_crash_sweep.sh BUILD_FOLDER
exec python3 "$(dirname "$0")/tools/sweep" crash "$1"
