/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_node: for readers that want a task's context: a whole job of one source, on the simulated
 * disk, that calls them and ends. One thread.
 */
#ifndef FUZZ_NODE_H
#define FUZZ_NODE_H

#include <stddef.h>

#include "weir.h"

/* Runs `inside` as the source's open; answers how the job ended, *error says why. With a store it
 * is a first start on /own, which is made. Ends the process when the job stands still or leaves
 * anything behind, memory too, of which it has so many bytes. */
enum weir_result fuzz_node(enum weir_result (*inside)(struct weir_context *context),
                           bool with_store, size_t memory, struct weir_error *error);

/* Writes a file of /shelf, which is made; only the simulated disk's. */
void fuzz_node_file(const char *name, const void *bytes, size_t size);
/* A copy that ends with a zero, to be freed; NULL: there is no such file of /shelf. */
char *fuzz_node_read(const char *name, size_t *size);

#endif
