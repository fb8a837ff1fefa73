#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# word_count is killed at every third file call that it makes, also while it recovers, and at some
# where it has another parallelism then, state in files, or a savepoint to go on from; what it
# publishes is exact all the same. (In full, and in the simulator, at every one.)
#
#     tests/job_crash_sweep.sh BUILD_FOLDER
exec python3 "$(dirname "$0")/tools/sweep" crash "$1"
