/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch.h"

#include <stdatomic.h>
#include <stdio.h>

#include "clock.h"
#include "error.h"
#include "memory.h"
#include "thread.h"

#define SECOND_NS 1000000000
#define MIB 1048576u
#define WORTH_HELP 4u /* blobs; fewer are read in the time a thread takes to start */

/* Blobs of one segment that are read together. */
struct share {
    const struct fetch *fetch;
    uint32_t task, count;
    const struct manifest_blob *blobs;
    struct blob_buffer *raw; /* one a blob */
    atomic_uint next;        /* blob that nobody has taken yet */
};

struct hand {
    struct share *share;
    struct blob_buffer stored;
    uint32_t failed; /* blob; count: none */
    enum weir_result result;
    struct weir_error error;
};

void fetch_begin(struct fetch *fetch, const struct run *run, const struct store *store,
                 const struct manifest *manifest)
{
    uint32_t processors = thread_processors();
    *fetch = (struct fetch){.run = run, .store = store, .manifest = manifest};
    fetch->helpers = processors > FETCH_HELPERS ? FETCH_HELPERS : processors - 1;
    fetch->began_ns = fetch->told_ns = clock_now_ns();
    for (uint32_t i = 0; i < manifest->task_count; i++)
        for (uint32_t k = 0; k < manifest->tasks[i].state_count; k++)
            fetch->total += manifest->tasks[i].state[k].raw_size;
}

/* ---------------------------------------------------------------------------- progress -- */

/* "512 MiB" "1.5 GiB" */
static void print_bytes(char text[24], uint64_t bytes)
{
    if (bytes < 1024 * (uint64_t)MIB)
        snprintf(text, 24, "%u MiB", (unsigned)(bytes / MIB));
    else
        snprintf(text, 24, "%.1f GiB", (double)bytes / MIB / 1024);
}

/* At most once a second. */
static void tell(struct fetch *fetch)
{
    char done[24], total[24];
    int64_t now_ns = clock_now_ns(), took_ns = now_ns - fetch->began_ns;
    if (now_ns - fetch->told_ns < SECOND_NS || fetch->done == 0 || fetch->done > fetch->total)
        return;
    fetch->told_ns = now_ns;
    double left = (double)(fetch->total - fetch->done) / (double)fetch->done;
    print_bytes(done, fetch->done);
    print_bytes(total, fetch->total);
    run_log(fetch->run, WEIR_LOG_INFO, "restoring: %s of %s, %.1f s left", done, total,
            (double)took_ns / SECOND_NS * left);
}

/* ----------------------------------------------------------------------------- reading -- */

/* One blob a step. */
static struct step hand_step(void *self)
{
    struct hand *hand = self;
    struct share *share = hand->share;
    const struct step done = {STEP_DONE, -1, INT64_MAX};
    uint32_t i = atomic_fetch_add_explicit(&share->next, 1, memory_order_relaxed);
    if (i >= share->count)
        return done;
    hand->result = store_fetch(share->fetch->store, share->fetch->manifest, share->task,
                               &share->blobs[i], &hand->stored, &share->raw[i], &hand->error);
    if (!hand->result)
        return (struct step){STEP_AGAIN, -1, INT64_MAX};
    hand->failed = i;
    atomic_store_explicit(&share->next, share->count, memory_order_relaxed); /* enough */
    return done;
}

/* Who can't be started is not missed. */
static void read_share(struct share *share, struct hand *hands, uint32_t helpers)
{
    struct thread *threads[FETCH_HELPERS];
    struct weir_error ignored;
    uint32_t started = 0;
    for (; started < helpers; started++) {
        struct actor actor = {.step = hand_step, .self = &hands[started + 1]};
        snprintf(actor.name, sizeof actor.name, "fetch-%u", started + 1);
        if (thread_start(&actor, share->fetch->run->allocator, &threads[started], &ignored))
            break;
    }
    while (hand_step(&hands[0]).what == STEP_AGAIN)
        ;
    while (started > 0)
        thread_join(&threads[--started]);
}

/* F2 */
static enum weir_result first_trouble(const struct hand *hands, uint32_t count,
                                      struct weir_error *error)
{
    const struct hand *first = &hands[0];
    for (uint32_t i = 1; i < count; i++)
        if (hands[i].failed < first->failed)
            first = &hands[i];
    if (first->result && error)
        *error = first->error;
    return first->result;
}

static enum weir_result put(struct share *share, struct segment *segment, struct weir_error *error)
{
    for (uint32_t i = 0; i < share->count; i++) {
        const struct blob_buffer raw = share->raw[i];
        share->raw[i] = (struct blob_buffer){0};
        if (!segment_restore(segment, raw.data, raw.size, raw.capacity, share->blobs[i].first,
                             share->blobs[i].last))
            return error_memory(error, "a segment of state", raw.size);
    }
    return WEIR_OK;
}

static enum weir_result fetch_share(struct fetch *fetch, struct share *share, struct hand *hands,
                                    struct segment *segment, struct weir_error *error)
{
    uint32_t helpers = share->count < WORTH_HELP ? 0 : fetch->helpers;
    for (uint32_t i = 0; i <= helpers; i++)
        hands[i] = (struct hand){.share = share, .failed = share->count};
    read_share(share, hands, helpers);
    for (uint32_t i = 0; i <= helpers; i++)
        blob_buffer_free(&hands[i].stored, fetch->run->allocator);
    enum weir_result result = first_trouble(hands, helpers + 1, error);
    if (!result)
        result = put(share, segment, error);
    for (uint32_t i = 0; i < share->count; i++) {
        fetch->done += share->blobs[i].blob.raw_size;
        blob_buffer_free(&share->raw[i], fetch->run->allocator);
    }
    tell(fetch);
    return result;
}

enum weir_result fetch_blobs(struct fetch *fetch, uint32_t task, const struct manifest_blob *blobs,
                             uint32_t count, struct segment *segment, struct weir_error *error)
{
    struct blob_buffer raw[FETCH_AHEAD] = {{0}};
    enum weir_result result = WEIR_OK;
    struct hand *hands =
        memory_zeroed(fetch->run->allocator, fetch->helpers + (size_t)1, sizeof *hands);
    if (!hands)
        return error_memory(error, "a segment of state", sizeof *hands);
    for (uint32_t at = 0; !result && at < count; at += FETCH_AHEAD) {
        struct share share = {.fetch = fetch, .task = task, .blobs = blobs + at, .raw = raw};
        share.count = count - at < FETCH_AHEAD ? count - at : FETCH_AHEAD;
        atomic_init(&share.next, 0);
        result = fetch_share(fetch, &share, hands, segment, error);
    }
    memory_release(fetch->run->allocator, hands);
    return result;
}
