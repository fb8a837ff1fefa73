/* SPDX-License-Identifier: Apache-2.0
 *
 * log_line: a line of a web server's access log in the Combined Log Format,
 *
 *     HOST IDENT USER [29/Jan/2026:13:55:36 +0100] "REQUEST" STATUS BYTES "REFERER" "AGENT"
 *
 * where BYTES may be - and quotes inside the quoted parts are written \". Pure.
 */
#ifndef LOG_LINE_H
#define LOG_LINE_H

#include "weir.h"

struct log_line {
    struct weir_bytes host, agent; /* views into the line */
    int64_t time;                  /* ns since 1970, UTC */
    uint64_t bytes;                /* that were sent */
};

/* False: the line is not of this form. */
bool log_line_parse(struct weir_bytes text, struct log_line *line);

#endif
