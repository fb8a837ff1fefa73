/* SPDX-License-Identifier: Apache-2.0
 *
 * manual: the manual page weir(1), and completion for bash, made of the table of verbs, so that
 * neither can say anything else than --help.
 */
#ifndef MANUAL_H
#define MANUAL_H

#include "verb.h"

/* The source of the page, for man. */
void manual_page(const struct verb *verbs, size_t count, FILE *to);
void manual_completion(const struct verb *verbs, size_t count, FILE *to);

#endif
