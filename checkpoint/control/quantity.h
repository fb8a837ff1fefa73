/* SPDX-License-Identifier: Apache-2.0
 *
 * quantity: lengths of time and amounts of memory, as programs tell people of them.
 */
#ifndef QUANTITY_H
#define QUANTITY_H

#include <stdint.h>

#define DURATION_TEXT 32
/* "850 us", "12.3 ms", "4.2 s", "2 min 5 s", "3 h 12 min": two or three digits are enough for
 * people. Returns `text`. */
const char *duration_print(int64_t ns, char text[DURATION_TEXT]);
/* Whole seconds at the least: for estimates. */
const char *duration_round(int64_t ns, char text[DURATION_TEXT]);

#define BYTES_TEXT 32
/* "850 B", "12.3 kB", "4.2 MB": three digits are enough for people. Returns `text`. */
const char *bytes_print(uint64_t bytes, char text[BYTES_TEXT]);

#endif
