#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of job_scarce.sh.
WEIR_PLACES=${WEIR_PLACES:-150} exec bash "$(dirname "$0")/job_scarce.sh" "$1"
