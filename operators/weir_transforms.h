/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_transforms.h - ready-made operators between sources and sinks. See
 * weir_operators.h for what holds for all.
 */
#ifndef WEIR_TRANSFORMS_H
#define WEIR_TRANSFORMS_H

#include "weir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Any number of records out for one in: the callback emits to output 0. (The plain record callback
 * under its usual name.) */
WEIR_API weir_node weir_flat_map(struct weir_graph *graph, const char *name, weir_function function,
                                 const void *config);
/* One out for one in: the callback changes *record (a copy it may point elsewhere: to static bytes,
 * or to parts of the input). */
typedef void (*weir_map_function)(struct weir_record *record, const void *config);
WEIR_API weir_node weir_map(struct weir_graph *graph, const char *name, weir_map_function function,
                            const void *config);
/* Lets through what the callback answers true for. */
typedef bool (*weir_filter_function)(const struct weir_record *record, const void *config);
WEIR_API weir_node weir_filter(struct weir_graph *graph, const char *name,
                               weir_filter_function function, const void *config);

/* Folds the records of a key into a cell; needs BY_KEY input. */
enum weir_reduce_emit {
    WEIR_REDUCE_FINAL,   /* one record per key (value: the cell) when all input has ended */
    WEIR_REDUCE_UPDATES, /* one after every record */
};
struct weir_reduce_options {
    size_t size;         /* WEIR_SIZED(struct weir_reduce_options) */
    uint32_t value_size; /* bytes of the cell, > 0; zeroed when a key is new */
    uint32_t version;    /* of its meaning */
    const char *format;  /* "u64"; may be NULL */
    void (*fold)(void *cell, const struct weir_record *record, const void *config);
    const void *config;
    enum weir_reduce_emit emit;
    uint32_t parallelism;
};
WEIR_API weir_node weir_reduce(struct weir_graph *graph, const char *name,
                               const struct weir_reduce_options *options);

#ifdef __cplusplus
}
#endif

#endif
