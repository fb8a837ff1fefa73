#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long version of test_bad_bytes.c: every byte, every length, every pair of blobs.
WEIR_FULL=1 exec "$1/tests/test_bad_bytes" --verbose=0
