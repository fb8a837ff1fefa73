/* SPDX-License-Identifier: Apache-2.0
 *
 * visits: an operator that gathers a client's requests into visits: two of less than gap_ns apart
 * belong to the same one. Input BY_KEY, from `requests`; a record a visit comes out - key: the
 * client's name, value: struct visit - as soon as the watermark says that nothing can be added to
 * it any more.
 */
#ifndef VISITS_H
#define VISITS_H

#include "weir.h"

struct visit {
    int64_t first, last; /* ns since 1970: its first and last request */
    uint64_t hits, bytes;
};

weir_node visits(struct weir_graph *graph, const char *name, int64_t gap_ns);

#endif
