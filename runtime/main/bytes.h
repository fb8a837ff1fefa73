/* SPDX-License-Identifier: Apache-2.0
 *
 * bytes: amounts of memory as people write them, "64KiB" or "10GB". A number without a unit is
 * refused, and so is KB: to some it is 1000, to others 1024.
 */
#ifndef BYTES_H
#define BYTES_H

#include "weir_base.h"

/* Units B; kB, MB, GB, TB of 1000; KiB, MiB, GiB, TiB of 1024; a whole number before them. `what`
 * ("--set memory:") opens the message. */
enum weir_result bytes_parse(const char *what, const char *text, uint64_t *bytes,
                             struct weir_error *error) WEIR_MUST_USE;

#endif
