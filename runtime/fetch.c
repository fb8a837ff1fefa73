/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch.h"

#include <stdatomic.h>
#include <stdio.h>

#include "clock.h"
#include "error.h"
#include "memory.h"

#define SECOND_NS 1000000000
#define MIB 1048576u

/* Who reads: the first trouble of its blobs. */
struct hand {
    struct blob_buffer stored;
    uint32_t failed; /* blob; count: none */
    enum weir_result result;
    struct weir_error error;
};

/* Blobs of one segment that are read together. */
struct share {
    const struct fetch *fetch;
    uint32_t task, count;
    const struct manifest_blob *blobs;
    struct blob_buffer *raw; /* one a blob */
    struct hand *hands;
    atomic_uint failed; /* a blob that is none; what lies behind it need not be read */
};

void fetch_begin(struct fetch *fetch, const struct run *run, const struct store *store,
                 const struct manifest *manifest)
{
    *fetch = (struct fetch){.run = run, .store = store, .manifest = manifest};
    crew_begin(&fetch->crew, "fetch", run->allocator);
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

static void read_blob(void *work, uint32_t i, uint32_t number)
{
    struct share *share = work;
    struct hand *hand = &share->hands[number];
    if (i > atomic_load_explicit(&share->failed, memory_order_relaxed))
        return;
    enum weir_result result =
        store_fetch(share->fetch->store, share->fetch->manifest, share->task, &share->blobs[i],
                    &hand->stored, &share->raw[i], i < hand->failed ? &hand->error : NULL);
    if (!result || i > hand->failed)
        return;
    hand->failed = i;
    hand->result = result;
    atomic_store_explicit(&share->failed, i, memory_order_relaxed);
}

/* F1 */
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
    uint32_t count = fetch->crew.helpers + 1;
    for (uint32_t i = 0; i < count; i++)
        hands[i] = (struct hand){.failed = share->count};
    share->hands = hands;
    crew_run(&fetch->crew, share->count, read_blob, share);
    for (uint32_t i = 0; i < count; i++)
        blob_buffer_free(&hands[i].stored, fetch->run->allocator);
    enum weir_result result = first_trouble(hands, count, error);
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
        memory_zeroed(fetch->run->allocator, fetch->crew.helpers + (size_t)1, sizeof *hands);
    if (!hands)
        return error_memory(error, "a segment of state", sizeof *hands);
    for (uint32_t at = 0; !result && at < count; at += FETCH_AHEAD) {
        struct share share = {.fetch = fetch, .task = task, .blobs = blobs + at, .raw = raw};
        share.count = count - at < FETCH_AHEAD ? count - at : FETCH_AHEAD;
        atomic_init(&share.failed, share.count);
        result = fetch_share(fetch, &share, hands, segment, error);
    }
    memory_release(fetch->run->allocator, hands);
    return result;
}
