/* SPDX-License-Identifier: Apache-2.0
 *
 * out: whole lines to a descriptor. One write for each, so that lines of several threads and
 * processes do not mix; and no SIGPIPE: that nobody reads any more what a job says is no reason to
 * end the job.
 */
#ifndef OUT_H
#define OUT_H

#include <stddef.h>

/* Blocks while the reader is slow. What can't be written is dropped. Any thread. */
void out_write(int fd, const char *text, size_t size);

#endif
