/* SPDX-License-Identifier: Apache-2.0
 *
 * refusal: the sentence that turns a command line down, and the known name that a mistyped one was
 * probably meant to be.
 */
#ifndef REFUSAL_H
#define REFUSAL_H

#include "weir_base.h"

/* Fills the error and answers WEIR_INVALID, so that a failing path is one line. */
enum weir_result refuse(struct weir_error *error, const char *format, ...) WEIR_PRINTF(2, 3);

/* Offer every known name; `best` stays NULL when none is near. */
struct nearest {
    const char *word;
    const char *best; /* borrowed from the offers */
    size_t distance;  /* edits from word to best; the bar the next offer must get under */
};
struct nearest nearest_to(const char *word);
void nearest_offer(struct nearest *nearest, const char *candidate);

#endif
