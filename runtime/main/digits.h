/* SPDX-License-Identifier: Apache-2.0
 *
 * digits: whole numbers on a command line: digits and nothing else - no sign, no blank, no "0x".
 */
#ifndef DIGITS_H
#define DIGITS_H

#include "weir_base.h"

/* Takes the digits at the front: what follows them, or NULL when there are none or too many. */
const char *digits_take(const char *text, uint64_t *number);

/* The whole text, between least and most. `what` ("--retain") opens the message. */
enum weir_result digits_parse(const char *what, const char *text, uint64_t least, uint64_t most,
                              uint64_t *number, struct weir_error *error) WEIR_MUST_USE;

#endif
