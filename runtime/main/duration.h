/* SPDX-License-Identifier: Apache-2.0
 *
 * duration: lengths of time as people write them, "100ms" or "1s". A number without a unit is
 * refused: whoever writes 100 means milliseconds here and seconds there.
 */
#ifndef DURATION_H
#define DURATION_H

#include "weir_base.h"

/* Units us, ms, s, min, h; a whole number before them. `what` ("--interval") opens the message.
 * zero: may it be 0? At most 146 years, so that it can be added to what the clock says. */
enum weir_result duration_parse(const char *what, const char *text, bool zero, int64_t *ns,
                                struct weir_error *error) WEIR_MUST_USE;

#endif
