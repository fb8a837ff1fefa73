/* SPDX-License-Identifier: Apache-2.0
 *
 * exercised: how often the test at hand has made its fault happen - a death at a file call, a
 * changed byte, a refused allocation - as the line that tests/faults looks for when it counts for
 * FAULTS.md. Only of a test that passes; with several such lines their sum counts.
 */
#ifndef EXERCISED_H
#define EXERCISED_H

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

static inline void exercised(uint64_t times)
{
    printf("exercised: %s/%s %" PRIu64 "\n", criterion_current_test->category,
           criterion_current_test->name, times);
    fflush(stdout);
}

/* Of a bug that was woken and caught, `kind` "plant", or a trouble of simulated lives, "lives". */
static inline void exercised_by_name(const char *kind, const char *name, uint64_t times)
{
    printf("exercised: %s: %s %" PRIu64 "\n", kind, name, times);
    fflush(stdout);
}

#endif
