/* SPDX-License-Identifier: Apache-2.0
 *
 * scan: `finish` of operators that emit what they know of each key when all input has ended. The
 * scan's position is part of the keyed state, so a cut between two calls needs nothing else.
 */
#ifndef SCAN_H
#define SCAN_H

#include "weir.h"

/* Gives `each` some keys of state number `state`, 256 or about 256 KiB of values at most: a marker
 * waits for them. A failed run ends the scan. */
enum weir_progress scan_some(struct weir_context *context, unsigned state,
                             enum weir_result (*each)(void *self, struct weir_context *context,
                                                      struct weir_bytes key,
                                                      struct weir_bytes value),
                             void *self);

#endif
