/* SPDX-License-Identifier: Apache-2.0
 *
 * feed_bed: what the tests of sources with a journal share: an instance that dies and is started
 * again with a new epoch, its last checkpoint, and the lines that came of it, of which those after
 * the checkpoint are forgotten with a death.
 */
#ifndef FEED_BED_H
#define FEED_BED_H

#include "fake_context.h"
#include "scratch.h"

struct feed_bed {
    struct weir_graph *graph;
    weir_node node;
    struct weir_context task;
    struct fake_run run;
    struct weir_saver saved, pending; /* the last checkpoint, and handles not committed yet */
    bool has_saved;
    char *out;                            /* the lines that came, each with a newline */
    size_t out_size, out_saved, out_room; /* bytes */
    char folder[256];
};

static inline void feed_bed_init(struct feed_bed *bed, const char *folder)
{
    *bed = (struct feed_bed){.graph = weir_graph_new(NULL)};
    snprintf(bed->folder, sizeof bed->folder, "%s/journal", folder);
    mkdir(bed->folder, 0700);
    bed->run.store = "0123456789abcdef0123456789abcdef";
    bed->run.folder = bed->folder;
    bed->out_room = 1;
    bed->out = calloc(1, bed->out_room);
}

static inline void feed_bed_free(struct feed_bed *bed)
{
    fake_items_free(&bed->saved);
    fake_items_free(&bed->pending);
    weir_graph_free(&bed->graph);
    free(bed->out);
}

static inline enum weir_result feed_bed_start(struct feed_bed *bed)
{
    bed->run.epoch++;
    bed->run.saved = bed->has_saved ? &bed->saved : NULL;
    enum weir_result result = fake_start(&bed->task, bed->graph, bed->node, &bed->run);
    if (result == WEIR_OK && bed->has_saved && bed->task.table->commit)
        result = fake_commit(&bed->task, &bed->pending);
    return result;
}

static inline void feed_bed_take(struct feed_bed *bed)
{
    struct weir_context *task = &bed->task;
    size_t more = 0;
    for (size_t i = 0; i < task->emitted_count; i++)
        more += task->emitted[i].value.size + 1;
    if (bed->out_size + more + 1 > bed->out_room) {
        bed->out_room = 2 * (bed->out_size + more + 1);
        bed->out = realloc(bed->out, bed->out_room);
    }
    for (size_t i = 0; i < task->emitted_count; i++) {
        memcpy(bed->out + bed->out_size, task->emitted[i].value.data, task->emitted[i].value.size);
        bed->out_size += task->emitted[i].value.size;
        bed->out[bed->out_size++] = '\n';
    }
    bed->out[bed->out_size] = '\0';
    fake_forget_emitted(task);
}

/* Until it rests, ends or fails. */
static inline enum weir_progress feed_bed_poll(struct feed_bed *bed)
{
    enum weir_progress progress = WEIR_MORE;
    while (progress == WEIR_MORE && bed->task.failed.code == WEIR_OK)
        progress = bed->task.table->poll(bed->task.self, &bed->task);
    feed_bed_take(bed);
    return progress;
}

/* A checkpoint whose handles wait for feed_bed_commit. False when the instance failed. */
static inline bool feed_bed_cut(struct feed_bed *bed)
{
    struct weir_saver saved = {0};
    if (fake_cut(&bed->task, &saved) != WEIR_OK) {
        fake_items_free(&saved);
        return false;
    }
    fake_items_free(&bed->saved);
    fake_items_copy(&bed->pending, &bed->task.handles);
    bed->saved = saved;
    bed->has_saved = true;
    bed->out_saved = bed->out_size;
    return true;
}

static inline enum weir_result feed_bed_commit(struct feed_bed *bed)
{
    enum weir_result result = fake_commit(&bed->task, &bed->pending);
    if (result == WEIR_OK)
        fake_items_free(&bed->pending);
    return result;
}

static inline void feed_bed_die(struct feed_bed *bed)
{
    fake_end(&bed->task);
    bed->out_size = bed->out_saved;
    bed->out[bed->out_size] = '\0';
}

/* ---- an allocator that gives so often and no more ---- */

struct scarce {
    size_t left;
};

static inline void *scarce_allocate(void *context, size_t size)
{
    struct scarce *scarce = context;
    if (scarce->left == 0)
        return NULL;
    scarce->left--;
    return aligned_alloc(16, (size + 15) / 16 * 16);
}

static inline void scarce_release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

/* Starts, polls and cuts with ever more memory, until there is enough: before that, each run must
 * have failed for want of it. `prepare` makes the input. */
static inline void feed_bed_scarce(struct feed_bed *bed, void (*prepare)(void))
{
    for (size_t most = 0;; most++) {
        struct scarce scarce = {most};
        struct weir_allocator allocator = {scarce_allocate, scarce_release, &scarce};
        bed->run.allocator = &allocator;
        prepare();
        bool whole =
            feed_bed_start(bed) == WEIR_OK && feed_bed_poll(bed) == WEIR_END && feed_bed_cut(bed);
        enum weir_result code = bed->task.failed.code;
        cr_assert_eq(code, whole ? WEIR_OK : WEIR_NO_MEMORY, "%zu allocations: %s", most,
                     bed->task.failed.text);
        fake_end(&bed->task);
        bed->has_saved = false;
        if (whole)
            break;
        cr_assert_lt(most, 1000);
    }
    bed->run.allocator = NULL;
}

#endif
