/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_sample: a small job's graph - "lines" (1 task) and "count" (2 tasks, one state) - and
 * its checkpoints, for tests of what is stored.
 */
#ifndef CHECKPOINT_SAMPLE_H
#define CHECKPOINT_SAMPLE_H

#include "scratch.h"

#include "memory.h"
#include "store.h"

static inline char *sample_text(const char *text)
{
    return memory_text(NULL, text, strlen(text));
}

static inline void sample_graph(struct manifest_graph *graph)
{
    graph->key_groups = 128;
    graph->node_count = 2;
    graph->nodes = memory_zeroed(NULL, 2, sizeof *graph->nodes);
    graph->nodes[0] =
        (struct manifest_node){sample_text("lines"), sample_text("line_source"), 1, 1, NULL, 0};
    graph->nodes[1] =
        (struct manifest_node){sample_text("count"), sample_text("function"), 0, 2, NULL, 1};
    graph->nodes[1].states = memory_zeroed(NULL, 1, sizeof(struct manifest_state));
    graph->nodes[1].states[0] =
        (struct manifest_state){sample_text("total"), sample_text("u64"), 1, 8};
    graph->edge_count = 1;
    graph->edges = memory_zeroed(NULL, 1, sizeof *graph->edges);
    graph->edges[0] = (struct manifest_edge){0,
                                             1,
                                             sample_text("out"),
                                             sample_text("in"),
                                             sample_text("by_key"),
                                             sample_text("utf8"),
                                             sample_text("")};
}

/* Everything but the parts. */
static inline void sample_manifest(struct manifest *manifest, uint32_t epoch, uint64_t id)
{
    *manifest = (struct manifest){.epoch = epoch, .id = id, .triggered_ns = 1000 * (int64_t)id};
    for (unsigned i = 0; i < STORE_ID_SIZE; i++)
        manifest->store_id[i] = (unsigned char)(i + 1);
    manifest->duration_ns = 5;
    manifest->job = sample_text("words");
    manifest->reason = sample_text("interval");
    sample_graph(&manifest->graph);
    manifest->task_count = 3;
    manifest->tasks = memory_zeroed(NULL, 3, sizeof *manifest->tasks);
    for (uint32_t i = 0; i < 3; i++) {
        struct manifest_task *task = &manifest->tasks[i];
        task->node = i == 0 ? 0 : 1;
        task->subtask = i == 2 ? 1 : 0;
        task->handles = i;
        task->letters = 10 * i;
        task->note = sample_text("at \"byte\" 17\n");
        task->part.file_epoch = epoch;
        task->part.file_number = 1;
        task->part.offset = i * 100;
        task->part.blob = (struct blob){BLOB_SNAPSHOT, epoch, i, id, 100, 36, 0xfedcba9876543210u};
    }
}

static inline void sample_options(struct store_options *options, const char *path)
{
    *options = (struct store_options){.path = path, .key_groups = 128};
    for (unsigned i = 0; i < STORE_ID_SIZE; i++)
        options->new_id[i] = (unsigned char)(i + 1);
}

static inline struct store *sample_store(const char *path)
{
    struct store_options options;
    struct weir_error error;
    struct store *store;
    sample_options(&options, path);
    cr_assert_eq(store_open(&options, &store, &error), WEIR_OK, "%s", error.text);
    return store;
}

/* The part of a task: tells the checkpoint and the task. */
static inline size_t sample_part(char part[64], uint64_t id, uint32_t task)
{
    return (size_t)snprintf(part, 64, "checkpoint %llu of task %u", (unsigned long long)id, task);
}

/* Steps 2-4 of round `id`; manifest is filled, ready to be committed. */
static inline void sample_parts(struct store *store, uint64_t id, struct manifest *manifest)
{
    struct weir_error error;
    sample_manifest(manifest, store_epoch(store), id);
    for (uint32_t i = 0; i < 3; i++) {
        char part[64];
        struct weir_bytes raw = {part, sample_part(part, id, i)};
        cr_assert_eq(store_part(store, id, i, raw, &manifest->tasks[i].part, &error), WEIR_OK, "%s",
                     error.text);
    }
}

static inline void sample_commit(struct store *store, uint64_t id)
{
    struct manifest manifest;
    struct weir_error error;
    cr_assert_eq(store_claim(store, id, &error), WEIR_OK, "%s", error.text);
    sample_parts(store, id, &manifest);
    cr_assert_eq(store_sync(store, id, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_OK, "%s", error.text);
    manifest_free(&manifest);
}

#endif
