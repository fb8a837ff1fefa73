#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of job_word_count.sh: 20 kills in each run of at least 30 s.
WEIR_KILLS=20 WEIR_SECONDS=30 exec bash "$(dirname "$0")/job_word_count.sh" "$@"
