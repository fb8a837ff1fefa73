#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
WEIR_KILLS=60 exec "$(dirname "$0")/job_fences.sh" "$@"
