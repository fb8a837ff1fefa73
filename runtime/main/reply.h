/* SPDX-License-Identifier: Apache-2.0
 *
 * reply: the JSON that a running program answers with, put together. ../EVENTS.md documents every
 * member, and tests hold the two together. Without memory members are missing, or the whole says
 * so.
 */
#ifndef REPLY_H
#define REPLY_H

#include <jansson.h>

#include "weir.h"

enum { REPLY_VERSION = 1 };

/* With version, `ok`, and the question unless that is NULL. */
json_t *reply_begin(bool ok, const char *ask);
/* JSON is UTF-8, paths and operators' messages need not be: then what is not ASCII becomes "?". */
json_t *reply_text(const char *text);
/* JSON's whole numbers end at INT64_MAX. */
json_t *reply_number(uint64_t number);
/* From malloc, and never NULL: nobody is to wait for an answer that had no memory. Takes `root`. */
char *reply_print(json_t *root);
/* A whole answer: no, and why. */
char *reply_refused(const char *ask, const char *format, ...) WEIR_PRINTF(2, 3);
/* What weir_job_status tells. What is not there is left out. */
void reply_add_job(json_t *root, struct weir_job *job);

#endif
