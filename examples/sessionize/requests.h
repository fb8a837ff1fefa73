/* SPDX-License-Identifier: Apache-2.0
 *
 * requests: an operator that makes requests of the lines of an access log, and event time of their
 * stamps. Its outputs:
 *
 *     requests   key: the client's number, 8 bytes; value: struct request, then the client's name;
 *                time: that of the line
 *     rejects    key: "malformed", or "late"; value: the line
 *
 * A server writes a line when it has answered, so lines are out of order by as much as an answer
 * may take. The operator's watermark stays `disorder_ns` behind the latest time that it has seen;
 * what comes behind it all the same is late, and nobody downstream has to think about it.
 */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "weir.h"

struct request {
    uint64_t bytes;
};

weir_node requests(struct weir_graph *graph, const char *name, int64_t disorder_ns);

#endif
