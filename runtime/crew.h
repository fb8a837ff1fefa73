/* SPDX-License-Identifier: Apache-2.0
 *
 * crew: hands for work that falls into numbered parts, none of which waits for another: whoever
 * asks and a thread on each other processor take the next part that nobody has, until there is
 * none. Helpers are started for one piece of work and joined: none is there between two calls. One
 * that can't be started is not missed.
 */
#ifndef CREW_H
#define CREW_H

#include "thread.h"

#define CREW_HELPERS 31u /* at most, besides the one who asks */

struct crew {
    const struct weir_allocator *allocator;
    const char *name; /* of its threads, with a number behind it */
    uint32_t helpers;
};

/* `name` is borrowed, 12 bytes at most. */
void crew_begin(struct crew *crew, const char *name, const struct weir_allocator *allocator);

/* Calls part(work, i, hand) once for each i below `count` and returns when all have returned; their
 * writes are visible then. No two that run at the same time have the same hand, 0 to `helpers`; the
 * one who asks is 0. Few parts (below CREW_WORTH) are done by that one alone. */
#define CREW_WORTH 4u /* fewer are done in the time that a thread takes to start */
typedef void crew_part(void *work, uint32_t i, uint32_t hand);
void crew_run(const struct crew *crew, uint32_t count, crew_part *part, void *work);

#endif
