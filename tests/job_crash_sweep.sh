#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# word_count is killed at every file call that it makes, once each, also while it recovers; what it
# publishes is exact all the same.
#
#     tests/job_crash_sweep.sh BUILD_FOLDER
exec python3 "$(dirname "$0")/tools/sweep" crash "$1"
