#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Many more random lives than the bounded tier draws.
set -euo pipefail
exec env WEIR_SIM_SEEDS="${WEIR_SIM_SEEDS:-10000}" "$1/tests/test_sim_job" \
    --filter 'sim_job/random_lives' --verbose=0
