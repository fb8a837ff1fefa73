/* SPDX-License-Identifier: Apache-2.0
 *
 * node: what the constructors of ready-made operators share. They run on the thread that builds the
 * graph and report every mistake as its sticky error.
 */
#ifndef NODE_H
#define NODE_H

#include "weir.h"

/* What a constructor answers after a mistake: no node has this index. */
#define NODE_NONE ((weir_node){UINT32_MAX})

/* Copies the options of a caller who may have been compiled against an older header: what his
 * struct lacks reads as zero. False when they are missing or were made without WEIR_SIZED. */
bool node_options(struct weir_graph *graph, const char *name, const void *given, void *options,
                  size_t size);

/* Makes `what` is wrong with the options the graph's error; answers NODE_NONE. */
weir_node node_refuse(struct weir_graph *graph, const char *name, const char *what);

/* Adds a node with one input, one output and no keyed state. */
weir_node node_add(struct weir_graph *graph, const char *name, const struct weir_operator *table,
                   const void *config, uint32_t parallelism);
/* The same with one keyed state. config NULL: there was no memory for it, and the graph knows. */
weir_node node_keyed(struct weir_graph *graph, const char *name, const struct weir_operator *table,
                     const void *config, const struct weir_state *state, uint32_t parallelism);

#endif
