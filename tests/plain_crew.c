/* links: zmq */
/* SPDX-License-Identifier: Apache-2.0
 *
 * A log's index made by several threads, for ThreadSanitizer: all keys are in it afterwards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crew.h"
#include "segment_blobs.h"
#include "state.h"

#define KEYS UINT64_C(60000)
#define ROUNDS 3u
#define SIZE 64u /* of a value: a segment is several blobs, which hands share as well */

static void fail(const char *what)
{
    fprintf(stderr, "plain_crew: %s\n", what);
    abort();
}

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context;
    (void)size;
    return realloc(data, capacity);
}

static void run(void *self, uint32_t count, state_part *part, void *work)
{
    crew_run(self, count, part, work);
}

/* Every third key is written again in each round, so older segments have values that are not the
 * newest. */
static void write_round(struct state *state, uint64_t round)
{
    for (uint64_t i = 0; i < KEYS; i++) {
        struct weir_bytes key = {&i, sizeof i};
        uint64_t *cell =
            round == 0 || i % 3 == round ? state_cell(state, key, state_hash(key)) : NULL;
        if (cell)
            *cell = i + round;
    }
}

static struct segment *restored(const struct segment *segment)
{
    struct segment *copy = segment_new(NULL);
    struct segment_blobs blobs;
    if (!copy || !segment_blobs_begin(&blobs, segment))
        fail("no memory");
    while (segment_blobs_next(&blobs)) {
        unsigned char *data = malloc(blobs.size);
        if (!data)
            fail("no memory");
        segment_blobs_fill(&blobs, data);
        if (!segment_restore(copy, data, blobs.size, blobs.size, blobs.first, blobs.last))
            fail("no memory");
    }
    segment_blobs_end(&blobs);
    return copy;
}

static void load(struct state *state, const struct state_cut *cut,
                 const struct snapshot_writer *body)
{
    const struct state_range range = {0, 128, 128};
    struct weir_error error;
    struct crew crew;
    crew_begin(&crew, "index", NULL);
    crew.helpers = 3;
    const struct state_crew hands = {run, &crew, 4};
    for (uint32_t i = 0; i < cut->count; i++)
        if (state_load_segment(state, restored(cut->segments[i]), &range, &hands, &error))
            fail(error.text);
    struct snapshot_section section = {.body = body->data, .left = body->size};
    if (state_load(state, &section, &hands, &error))
        fail(error.text);
}

int main(void)
{
    struct state *state = state_new(NULL, SIZE);
    struct state *other = state_new(NULL, SIZE);
    struct snapshot_writer body = {.grow = grow};
    struct state_cut cut;
    if (!state || !other)
        fail("no memory");
    for (uint64_t round = 0; round < ROUNDS; round++) {
        write_round(state, round);
        if (state_cut(state, &cut))
            fail("no memory");
        if (round + 1 < ROUNDS)
            state_cut_free(&cut);
    }
    state_save(state, &body);
    load(other, &cut, &body);
    for (uint64_t i = 0; i < KEYS; i++) {
        struct weir_bytes key = {&i, sizeof i}, value;
        uint64_t wanted = i + (i % 3), found = 0;
        if (state_get(other, key, state_hash(key), &value))
            memcpy(&found, value.data, sizeof found);
        if (found != wanted)
            fail("a key has another value");
    }
    state_cut_free(&cut);
    free(body.data);
    state_free(&state);
    state_free(&other);
    return 0;
}
