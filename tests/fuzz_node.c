/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_node.h"

#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "fuzz_bytes.h"
#include "sim.h"

#define STEPS 200000u /* more is a livelock */
#define PATIENCE_NS INT64_C(60000000000)

static enum weir_result (*what)(struct weir_context *context);

static enum weir_result node_open(void *self, struct weir_context *context, const void *config)
{
    (void)self, (void)config;
    return what(context);
}

static enum weir_progress node_poll(void *self, struct weir_context *context)
{
    (void)self, (void)context;
    return WEIR_END;
}

static const struct weir_operator node_table = {WEIR_SIZED(struct weir_operator), .kind = "node",
                                                .open = node_open, .poll = node_poll};

static enum weir_result watch(struct weir_job *job, struct weir_error *error)
{
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    enum weir_result result = weir_job_wait(job, PATIENCE_NS, &outcome, error);

    fuzz_must(result != WEIR_TIMEOUT, "it stands still");
    return outcome == WEIR_OUTCOME_ENDED ? WEIR_OK : error->code;
}

enum weir_result fuzz_node(enum weir_result (*inside)(struct weir_context *context),
                           bool with_store, size_t memory, struct weir_error *error)
{
    const struct weir_allocator *allocator = fuzz_memory(memory);
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options), .interval_ns = -1,
                                       .store = with_store ? "/own" : NULL, .allocator = allocator};
    struct weir_node_options node = {WEIR_SIZED(struct weir_node_options), .name = "node",
                                     .table = &node_table, .parallelism = 1};
    struct weir_job *job = NULL;

    what = inside;
    sim_start(1);
    sim_step_limit(STEPS);
    struct weir_graph *graph = weir_graph_new(allocator);
    weir_graph_add(graph, &node);
    enum weir_result result = weir_job_start(graph, &options, &job, error);
    if (result == WEIR_OK)
        result = watch(job, error);
    weir_job_close(&job);
    weir_graph_free(&graph);
    fuzz_must(sim_end() == 0, "something is left behind");
    fuzz_must(fuzz_memory_taken() == 0, "%zu bytes are left behind", fuzz_memory_taken());
    return result;
}

static struct file_node *folder(void)
{
    struct file_node *there = files_find(files_root(), "shelf");
    return there != NULL ? there : files_add(files_root(), "shelf", true);
}

void fuzz_node_file(const char *name, const void *bytes, size_t size)
{
    struct file_node *file = files_find(folder(), name);
    if (file == NULL)
        file = files_add(folder(), name, false);
    if (size > 0)
        files_write(file, bytes, size, 0);
}

char *fuzz_node_read(const char *name, size_t *size)
{
    const struct file_node *file = files_find(folder(), name);
    if (file == NULL)
        return NULL;
    char *copy = malloc(file->cached.size + 1);
    fuzz_must(copy != NULL, "no memory");
    if (file->cached.size > 0)
        memcpy(copy, file->cached.data, file->cached.size);
    copy[file->cached.size] = '\0';
    *size = file->cached.size;
    return copy;
}
