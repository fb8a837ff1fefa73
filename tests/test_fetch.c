/* SPDX-License-Identifier: Apache-2.0
 *
 * A store with one segment of many blobs, and its threads: the doors are the real ones.
 */
#include "checkpoint_sample.h"

#include <stdio.h>
#include <string.h>

#include "fetch.h"
#include "scratch.h"
#include "state.h"

#define KEYS 120000u

static struct scratch scratch;
static char path[512], told[256];
static struct manifest manifest;
static struct manifest_blob *blobs;
static uint32_t blob_count;
static uint64_t entries_sum;
static struct store *store;

/* Of all bytes, in order. */
static uint64_t sum_of(const struct segment *segment)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < segment->count; i++)
        sum = sum * 31 +
              state_hash((struct weir_bytes){segment->blocks[i].data, segment->blocks[i].used});
    return sum;
}

static void note(void *context, enum weir_level level, const char *text)
{
    (void)context;
    cr_assert_eq(level, WEIR_LOG_INFO);
    snprintf(told, sizeof told, "%s", text);
}

static void fill(struct state *state)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        const struct weir_bytes view = {&key, sizeof key};
        uint64_t hash = state_hash(view), *value = state_cell(state, view, hash);
        for (int i = 0; i < 128; i++)
            value[i] = key;
    }
}

static void start(void)
{
    struct weir_error error;
    struct manifest_segment place;
    struct state *state = state_new(NULL, 1024);
    struct state_cut cut;
    scratch = scratch_make();
    snprintf(path, sizeof path, "%s/store", scratch.path);
    store = sample_store(path);
    cr_assert_eq(store_claim(store, 1, &error), WEIR_OK);
    sample_parts(store, 1, &manifest);
    fill(state);
    cr_assert_eq(state_cut(state, &cut), WEIR_OK);
    cr_assert_eq(store_segment(store, 1, 1, 0, cut.segments[0], &place, &error), WEIR_OK);
    sample_add_segment(&manifest.tasks[1], &place);
    state_cut_free(&cut);
    state_free(&state);
    cr_assert_eq(store_sync(store, 1, &error), WEIR_OK);
    cr_assert_eq(store_commit(store, &manifest, &error), WEIR_OK, "%s", error.text);
    blob_count = place.blob_count;
    cr_assert_gt(blob_count, FETCH_AHEAD, "more than one share");
    cr_assert_eq(store_list_blobs(store, &manifest, 1, 2, &blobs, &error), WEIR_OK);
    entries_sum = place.raw_size;
}

static void stop(void)
{
    memory_release(NULL, blobs);
    manifest_free(&manifest);
    store_close(&store);
    scratch_free(&scratch);
}

TestSuite(fetch, .init = start, .fini = stop);

static enum weir_result fetch_with(uint32_t helpers, uint64_t *sum, struct weir_error *error)
{
    struct monitor *lock = monitor_new(NULL);
    const struct run run = {.log = note, .log_lock = lock};
    struct fetch fetch;
    struct segment *segment = segment_new(NULL);
    fetch_begin(&fetch, &run, store, &manifest);
    fetch.crew.helpers = helpers;
    fetch.began_ns -= 2000000000; /* as if it took long */
    fetch.told_ns -= 2000000000;
    enum weir_result result = fetch_blobs(&fetch, 1, blobs, blob_count, segment, error);
    if (result == WEIR_OK) {
        cr_assert_eq(segment->count, blob_count);
        cr_assert_eq(fetch.done, entries_sum);
        for (uint32_t i = 0; i < blob_count; i++)
            cr_assert(segment->blocks[i].first == blobs[i].first &&
                      segment->blocks[i].last == blobs[i].last);
    }
    *sum = sum_of(segment);
    segment_release(segment);
    monitor_free(&lock);
    return result;
}

Test(fetch, any_number_of_helpers_brings_the_same_segment)
{
    struct weir_error error;
    uint64_t alone, sum;
    cr_assert_eq(fetch_with(0, &alone, &error), WEIR_OK, "%s", error.text);
    for (uint32_t helpers = 1; helpers < 6; helpers++) {
        cr_assert_eq(fetch_with(helpers, &sum, &error), WEIR_OK, "%s", error.text);
        cr_assert_eq(sum, alone);
    }
}

Test(fetch, says_how_far_it_is_once_a_second)
{
    struct weir_error error;
    uint64_t sum;
    told[0] = 0;
    cr_assert_eq(fetch_with(1, &sum, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(strncmp(told, "restoring: ", 11), 0, "\"%s\"", told);
    cr_assert_not_null(strstr(told, " MiB of "), "%s", told);
    cr_assert_not_null(strstr(told, " s left"), "%s", told);
}

/* A byte of a blob, flipped and back. */
static void flip(uint32_t blob)
{
    char name[640];
    snprintf(name, sizeof name, "%s/data/%010u-%020llu.seg", path, blobs[blob].file_epoch,
             (unsigned long long)blobs[blob].file_number);
    FILE *file = fopen(name, "r+b");
    cr_assert_not_null(file);
    cr_assert_eq(fseek(file, (long)(blobs[blob].offset + BLOB_HEADER_SIZE + 20), SEEK_SET), 0);
    int byte = fgetc(file);
    cr_assert_eq(fseek(file, -1, SEEK_CUR), 0);
    fputc(byte ^ 1, file);
    cr_assert_eq(fclose(file), 0);
}

Test(fetch, of_several_damaged_blobs_the_first_is_named)
{
    struct weir_error error;
    uint64_t sum;
    char at[64];
    for (uint32_t first = 0; first < blob_count; first += 23) {
        for (uint32_t i = first; i < blob_count; i += 3)
            flip(i);
        for (uint32_t helpers = 0; helpers < 5; helpers += 2) {
            cr_assert_eq(fetch_with(helpers, &sum, &error), WEIR_DAMAGED);
            snprintf(at, sizeof at, "at offset %llu (", (unsigned long long)blobs[first].offset);
            cr_assert_not_null(strstr(error.text, at), "%s", error.text);
        }
        for (uint32_t i = first; i < blob_count; i += 3)
            flip(i);
    }
    cr_assert_eq(fetch_with(2, &sum, &error), WEIR_OK, "%s", error.text);
}
