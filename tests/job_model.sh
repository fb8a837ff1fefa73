#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The model of the checkpoint protocol, searched completely at small sizes, and the faults planted
# in it, each of which must be found: every sixth of the searches, job_model_full.sh does them all.
# Needs nothing of the build.
#
#     tests/job_model.sh [BUILD_FOLDER]
set -euo pipefail
if ! command -v spin >/dev/null; then
    echo "skipped: spin is not there (Debian: spin)"
    exit 77
fi
exec "$(dirname "$0")/model/run" --part 6
