/* SPDX-License-Identifier: Apache-2.0
 *
 * trace: addresses of a stack as lines for people, with the functions' names:
 *
 *     #0 parse_line+0x1c in word_count
 *     #1 task_step+0x2d0 in libweir.so.0.1
 *
 * For addresses of this process, or of a child that it forked and that has not started another
 * program since: their code lies at the same places. Names come from the object's own table of
 * symbols, which knows static functions too (dladdr knows only what is exported); a stripped object
 * has what it exports.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stddef.h>

/* Lines of at most 200 bytes, each with its newline; what does not fit `room` is left out. The
 * first address is where the innermost function stood, the others are where functions will return
 * to. */
void trace_print(void *const *addresses, int count, char *text, size_t room);

#endif
