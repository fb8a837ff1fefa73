/* SPDX-License-Identifier: Apache-2.0
 *
 * config: a file of options, one a line. The text:
 *
 *     # a comment, to the end of the line; # counts as one at the start of a line or after a blank
 *     interval = 100ms
 *     supervise = yes
 *     set input = text
 *
 * The names are those of the command line without their dashes; blanks around names and values do
 * not count, empty lines neither. A value can't hold " #": that one is said on the command line.
 * The file is text: a control character other than tab, newline and a CR before it is refused.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "weir_base.h"

#define CONFIG_LIMIT ((size_t)64 << 10) /* bytes */

struct config {
    const char *path; /* borrowed */
    char *text;       /* of this struct; entries point into it */
    char *next;       /* line, or NULL */
    unsigned line;    /* of the newest entry, from 1 */
};

struct config_entry {
    const char *name;
    const char *parameter; /* of a "set NAME = ..."; otherwise NULL */
    const char *value;
};

/* Reads the whole file. On failure there is nothing to free. */
enum weir_result config_open(struct config *config, const char *path,
                             struct weir_error *error) WEIR_MUST_USE;
/* The next entry, WEIR_NOT_FOUND at the end. Errors name file and line. */
enum weir_result config_next(struct config *config, struct config_entry *entry,
                             struct weir_error *error) WEIR_MUST_USE;
/* Puts "FILE:LINE: " before what a value's check has said of "--name". */
enum weir_result config_blame(const struct config *config, struct weir_error *error);
/* The entries' texts go with it. */
void config_free(struct config *config);

#endif
