#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of job_network.sh: 20 jobs in each mode on each network.
WEIR_ROUNDS=20 exec bash "$(dirname "$0")/job_network.sh" "$@"
