/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint_sample: a small job's graph - "lines" (1 task) and "count" (2 tasks, one state) - and
 * its checkpoints, for tests of what is stored. Something was in flight at each: in two pieces on
 * its way into count's first task, in one at the outlet of lines. Each adds to the log of count's
 * state, two blobs in its first task and one in its second; it has those of older ones when a test
 * says so.
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
        (struct manifest_state){sample_text("total"), sample_text("u64"), 1, 8, 0, false};
    graph->edge_count = 1;
    graph->edges = memory_zeroed(NULL, 1, sizeof *graph->edges);
    graph->edges[0] = (struct manifest_edge){0,
                                             1,
                                             sample_text("out"),
                                             sample_text("in"),
                                             sample_text("by_key"),
                                             sample_text("utf8"),
                                             sample_text(""),
                                             false};
}

/* How many blobs of content in flight a task has. */
static inline uint32_t sample_pieces(uint32_t task)
{
    return task == 2 ? 0 : task + 1;
}

/* How many blobs a round adds to the log of a task's state. */
static inline uint32_t sample_segments(uint32_t task)
{
    return task == 0 ? 0 : 3 - task;
}

/* Behind those that the task has. */
static inline void sample_add_segment(struct manifest_task *task,
                                      const struct manifest_segment *segment)
{
    task->state = memory_resize(NULL, task->state, task->state_count * sizeof *task->state,
                                (task->state_count + 1) * sizeof *task->state);
    task->state[task->state_count++] = *segment;
}

static inline void sample_add_state(struct manifest_task *task, const struct manifest_blob *place)
{
    const struct manifest_segment segment = manifest_single(0, place);
    sample_add_segment(task, &segment);
}

/* To be held: something of that container. */
static inline struct manifest_segment sample_within(uint32_t epoch, uint64_t number)
{
    const struct manifest_blob place = {
        .blob = {.kind = BLOB_STATE}, .file_epoch = epoch, .file_number = number};
    return manifest_single(0, &place);
}

/* The log of an older checkpoint becomes the beginning of this one's. */
static inline void sample_share(struct manifest *manifest, const struct manifest *older)
{
    for (uint32_t i = 0; i < manifest->task_count; i++) {
        struct manifest_task *task = &manifest->tasks[i], own = *task;
        task->state = NULL;
        task->state_count = 0;
        for (uint32_t k = 0; k < older->tasks[i].state_count; k++)
            sample_add_segment(task, &older->tasks[i].state[k]);
        for (uint32_t k = 0; k < own.state_count; k++)
            sample_add_segment(task, &own.state[k]);
        memory_release(NULL, own.state);
    }
}

static inline void sample_task(struct manifest_task *task, uint32_t index, uint32_t epoch,
                               uint64_t id)
{
    *task = (struct manifest_task){
        .node = index == 0 ? 0 : 1,
        .subtask = index == 2 ? 1 : 0,
        .handles = index,
        .letters = 10 * index,
        .cut_ns = 21,
        .cut_cpu_ns = 20,
        .note = sample_text("at \"byte\" 17\n"),
        .inflight = memory_zeroed(NULL, 2, sizeof *task->inflight),
        .inflight_count = sample_pieces(index),
        .channel_bytes = index == 1 ? 30 : 0,
        .outlet_bytes = index == 0 ? 20 : 0,
        .overtook = index == 1,
        .phases = {11, 12, 13, 14 + index},
        .last_edge = index == 0 ? MANIFEST_NONE : 0,
        .last_from = index == 0 ? MANIFEST_NONE : 0,
    };
    struct manifest_blob place = {{BLOB_SNAPSHOT, epoch, index, id, 100, 36, 0xfedcba9876543210u},
                                  epoch,
                                  1,
                                  index * 100,
                                  0,
                                  0};
    task->part = place;
    place.blob.kind = BLOB_INFLIGHT;
    for (uint32_t i = 0; i < task->inflight_count; i++) {
        place.offset += 1000;
        task->inflight[i] = place;
    }
}

/* Everything but the blobs. */
static inline void sample_manifest(struct manifest *manifest, uint32_t epoch, uint64_t id)
{
    *manifest = (struct manifest){.epoch = epoch, .id = id, .triggered_ns = (int64_t)(1000 * id)};
    for (unsigned i = 0; i < STORE_ID_SIZE; i++)
        manifest->store_id[i] = (unsigned char)(i + 1);
    manifest->duration_ns = 5;
    manifest->sealed_ns = 4;
    manifest->mode = MANIFEST_ADAPTIVE;
    manifest->overtaken = true;
    manifest->last_task = 1;
    manifest->job = sample_text("words");
    manifest->reason = sample_text("interval");
    sample_graph(&manifest->graph);
    manifest->task_count = 3;
    manifest->tasks = memory_zeroed(NULL, 3, sizeof *manifest->tasks);
    for (uint32_t i = 0; i < 3; i++)
        sample_task(&manifest->tasks[i], i, epoch, id);
}

/* Nothing was in flight after all. */
static inline void sample_aligned(struct manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->task_count; i++) {
        struct manifest_task *task = &manifest->tasks[i];
        task->inflight_count = 0;
        task->channel_bytes = task->outlet_bytes = 0;
        task->overtook = false;
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

/* The same of one piece of what was in flight. */
static inline size_t sample_piece(char piece[64], uint64_t id, uint32_t task, uint32_t index)
{
    return (size_t)snprintf(piece, 64, "checkpoint %llu, in flight at task %u: piece %u",
                            (unsigned long long)id, task, index);
}

/* The same of one that a round has added to the log of a task's state. */
static inline size_t sample_segment(char segment[64], uint64_t id, uint32_t task, uint32_t index)
{
    return (size_t)snprintf(segment, 64, "checkpoint %llu, state of task %u: segment %u",
                            (unsigned long long)id, task, index);
}

/* Step 2 of round `id`; manifest is filled, ready to be committed once it is synced. */
static inline void sample_parts(struct store *store, uint64_t id, struct manifest *manifest)
{
    struct weir_error error;
    char raw[64];
    sample_manifest(manifest, store_epoch(store), id);
    for (uint32_t i = 0; i < 3; i++) {
        struct manifest_task *task = &manifest->tasks[i];
        size_t size = sample_part(raw, id, i);
        cr_assert_eq(store_part(store, id, BLOB_SNAPSHOT, i, (struct weir_bytes){raw, size},
                                &task->part, &error),
                     WEIR_OK, "%s", error.text);
        for (uint32_t k = 0; k < task->inflight_count; k++) {
            size = sample_piece(raw, id, i, k);
            cr_assert_eq(store_part(store, id, BLOB_INFLIGHT, i, (struct weir_bytes){raw, size},
                                    &task->inflight[k], &error),
                         WEIR_OK, "%s", error.text);
        }
        for (uint32_t k = 0; k < sample_segments(i); k++) {
            struct manifest_blob place;
            size = sample_segment(raw, id, i, k);
            cr_assert_eq(store_part(store, id, BLOB_STATE, i, (struct weir_bytes){raw, size},
                                    &place, &error),
                         WEIR_OK, "%s", error.text);
            sample_add_state(task, &place);
        }
    }
}

/* The state of a task reads back: of each round that added to it, what that round wrote. */
static inline void sample_expect_state(struct store *store, const struct manifest *manifest,
                                       uint32_t task)
{
    const struct manifest_task *of = &manifest->tasks[task];
    struct weir_error error;
    struct blob_buffer out = {0};
    char raw[64];
    cr_assert_geq(of->state_count, sample_segments(task));
    for (uint32_t k = 0, index = 0; k < of->state_count; k++, index++) {
        const struct blob *blob = &of->state[k].place.blob;
        if (k > 0 && of->state[k - 1].place.blob.id != blob->id)
            index = 0;
        size_t size = sample_segment(raw, blob->id, blob->task, index);
        cr_assert_eq(store_read_state(store, manifest, task, k, &out, &error), WEIR_OK, "%s",
                     error.text);
        cr_assert(out.size == size && memcmp(out.data, raw, size) == 0);
    }
    blob_buffer_free(&out, NULL);
}

/* All blobs of a checkpoint that sample_parts wrote read back. */
static inline void sample_expect(struct store *store, const struct manifest *manifest)
{
    struct weir_error error;
    struct blob_buffer out = {0};
    char raw[64];
    for (uint32_t i = 0; i < 3; i++) {
        size_t size = sample_part(raw, manifest->id, i);
        cr_assert_eq(store_read(store, manifest, i, &out, &error), WEIR_OK, "%s", error.text);
        cr_assert(out.size == size && memcmp(out.data, raw, size) == 0);
        cr_assert_eq(manifest->tasks[i].inflight_count, sample_pieces(i));
        for (uint32_t k = 0; k < sample_pieces(i); k++) {
            size = sample_piece(raw, manifest->id, i, k);
            cr_assert_eq(store_read_inflight(store, manifest, i, k, &out, &error), WEIR_OK, "%s",
                         error.text);
            cr_assert(out.size == size && memcmp(out.data, raw, size) == 0);
        }
        sample_expect_state(store, manifest, i);
    }
    blob_buffer_free(&out, NULL);
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
