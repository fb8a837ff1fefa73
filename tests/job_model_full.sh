#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All searches of the model, the larger ones too: up to an hour on two processors, and 7 GiB of
# memory.
set -euo pipefail
if ! command -v spin >/dev/null; then
    echo "skipped: spin is not there (Debian: spin)"
    exit 77
fi
"$(dirname "$0")/model/run"
exec "$(dirname "$0")/model/run" --large
