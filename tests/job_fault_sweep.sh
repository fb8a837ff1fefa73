#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Every file call that word_count makes fails once: it goes on and ends exactly, or it stops and
# says why, and the next start is exact.
#
#     tests/job_fault_sweep.sh BUILD_FOLDER
exec python3 "$(dirname "$0")/tools/sweep" fault "$1"
