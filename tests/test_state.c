/* SPDX-License-Identifier: Apache-2.0
 *
 * The table against a naive twin: an array by key number that knows which keys live, with which
 * value, and whether the scan has seen them. WEIR_TEST_SEED repeats a run.
 */
#include "chance.h"
#include "exercised.h"
#include "explore.h"
#include "segment_blobs.h"
#include "state.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GROUPS 128u
#define KEY_MAX 40

/* --- keys and values by number ------------------------------------------------------------ */

struct key {
    unsigned char data[KEY_MAX];
    size_t size;
};

/* Key 0 is empty, 1..255 have one byte, a third of the others 8, the rest 2..40. */
static struct key key_number(uint32_t number)
{
    struct key key = {.size = number == 0 ? 0 : number < 256 ? 1 : 2 + number % 39};
    if (number >= 256 && number % 3 == 0)
        key.size = 8;
    for (size_t i = 0; i < key.size; i++)
        key.data[i] = (unsigned char)(i < 3 ? number >> (8 * i) : number * 31 + i * 7);
    return key;
}

static struct weir_bytes key_bytes(const struct key *key)
{
    return (struct weir_bytes){key->data, key->size};
}

static void value_fill(unsigned char *value, size_t size, uint32_t version)
{
    for (size_t i = 0; i < size; i++)
        value[i] = (unsigned char)(version + i * 5 + (i >> 8));
}

static bool value_is(struct weir_bytes value, size_t size, uint32_t version)
{
    const unsigned char *data = value.data;
    if (value.size != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (data[i] != (unsigned char)(version + i * 5 + (i >> 8)))
            return false;
    return true;
}

/* --- saving and loading ------------------------------------------------------------------- */

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context;
    (void)size;
    return realloc(data, capacity);
}

/* What a checkpoint has of a state: the body of its section, and its segments' blobs. */
struct saved {
    struct snapshot_writer body;
    struct saved_blob {
        unsigned char *data;
        size_t size;
        bool first; /* of its segment */
        uint32_t least, most;
    } * blobs;
    uint32_t count;
};

static void save_segment(struct saved *saved, const struct segment *segment)
{
    struct segment_blobs blobs;
    uint32_t before = saved->count;
    cr_assert(segment_blobs_begin(&blobs, segment));
    while (segment_blobs_next(&blobs)) {
        saved->blobs = realloc(saved->blobs, (saved->count + 1) * sizeof *saved->blobs);
        struct saved_blob *blob = &saved->blobs[saved->count];
        *blob = (struct saved_blob){malloc(blobs.size + 1), blobs.size, saved->count == before,
                                    blobs.first, blobs.last};
        segment_blobs_fill(&blobs, blob->data);
        saved->count++;
    }
    segment_blobs_end(&blobs);
    cr_assert_gt(saved->count, before, "a segment has a blob at least");
}

static void save_segments(struct saved *saved, const struct state_cut *cut)
{
    for (uint32_t i = 0; i < cut->count; i++)
        save_segment(saved, cut->segments[i]);
}

static struct saved save(struct state *state)
{
    struct saved saved = {.body = {.grow = grow}};
    struct state_cut cut;
    cr_assert_eq(state_cut(state, &cut), WEIR_OK);
    state_save(state, &saved.body);
    cr_assert(!saved.body.failed);
    save_segments(&saved, &cut);
    state_cut_free(&cut);
    return saved;
}

static void saved_free(struct saved *saved)
{
    for (uint32_t i = 0; i < saved->count; i++)
        free(saved->blobs[i].data);
    free(saved->blobs);
    free(saved->body.data);
    *saved = (struct saved){0};
}

static const struct weir_allocator *load_allocator; /* of what is loaded */
static const struct state_crew *load_crew;

/* A block of memory of exactly its size, so that a sanitizer sees overreading. */
static bool adopt(struct segment *segment, const struct saved_blob *blob)
{
    unsigned char *copy = load_allocator
                              ? load_allocator->allocate(load_allocator->context, blob->size + 1)
                              : malloc(blob->size > 0 ? blob->size : 1);
    if (copy == NULL)
        return false;
    memcpy(copy, blob->data, blob->size);
    return segment_restore(segment, copy, blob->size, blob->size, blob->least, blob->most);
}

/* The segment that begins with blob *at; NULL: no memory. */
static struct segment *saved_segment(const struct saved *saved, uint32_t *at)
{
    struct segment *segment = segment_new(load_allocator);
    bool room = segment != NULL;
    for (bool first = true; *at < saved->count && (first || !saved->blobs[*at].first);
         first = false) {
        room = room && adopt(segment, &saved->blobs[*at]);
        ++*at;
    }
    if (room)
        return segment;
    segment_release(segment);
    return NULL;
}

static enum weir_result load(struct state *state, const struct saved *saved, uint32_t first_group,
                             uint32_t end_group)
{
    struct state_range range = {first_group, end_group, GROUPS};
    struct weir_error error = {0};
    enum weir_result result = WEIR_OK;
    for (uint32_t at = 0; at < saved->count && result == WEIR_OK;) {
        struct segment *segment = saved_segment(saved, &at);
        if (segment == NULL)
            return WEIR_NO_MEMORY;
        result = state_load_segment(state, segment, &range, load_crew, &error);
    }
    unsigned char *copy = malloc(saved->body.size + 1);
    if (saved->body.size > 0)
        memcpy(copy, saved->body.data, saved->body.size);
    struct snapshot_section section = {.body = copy, .left = saved->body.size};
    if (result == WEIR_OK)
        result = state_load(state, &section, load_crew, &error);
    cr_assert(result == WEIR_OK || (error.code == result && error.text[0] != 0));
    free(copy);
    return result;
}

static void save_and_load(struct state **state, uint32_t value_size)
{
    struct saved saved = save(*state);
    state_free(state);
    *state = state_new(NULL, value_size);
    cr_assert_eq(load(*state, &saved, 0, GROUPS), WEIR_OK);
    saved_free(&saved);
}

/* --- the twin ----------------------------------------------------------------------------- */

struct twin_key {
    uint32_t version;
    uint32_t size; /* of the value */
    bool lives;
    bool seen; /* by the scan, in this life */
    bool born; /* since the scan began: it need not be seen */
};

/* A cut that nobody has written yet. */
struct past {
    struct state_cut cut;
    struct snapshot_writer body;
    struct twin_key *keys; /* as they were; NULL: no cut */
    uint64_t live;
};

#define PASTS 3

struct twin {
    struct past pasts[PASTS];
    struct twin_key *keys;
    uint32_t key_count;
    uint32_t value_size; /* 0: variable */
    uint64_t live;
    struct state *state;
    unsigned char *scratch;
    uint64_t cut_every; /* steps, about */
};

#define VALUE_MAX ((size_t)600 << 10)

static struct twin twin_new(uint32_t key_count, uint32_t value_size)
{
    struct twin twin = {.keys = calloc(key_count, sizeof(struct twin_key)),
                        .key_count = key_count,
                        .value_size = value_size,
                        .state = state_new(NULL, value_size),
                        .scratch = malloc(VALUE_MAX)};
    cr_assert_not_null(twin.state);
    return twin;
}

static void past_free(struct past *past)
{
    state_cut_free(&past->cut);
    free(past->body.data);
    free(past->keys);
    *past = (struct past){0};
}

static void twin_free(struct twin *twin)
{
    for (uint32_t i = 0; i < PASTS; i++)
        past_free(&twin->pasts[i]);
    state_free(&twin->state);
    cr_assert_null(twin->state);
    free(twin->keys);
    free(twin->scratch);
}

static void twin_check_key(const struct twin *twin, uint32_t number)
{
    const struct twin_key *expected = &twin->keys[number];
    struct key key = key_number(number);
    struct weir_bytes value;
    bool lives = state_get(twin->state, key_bytes(&key), state_hash(key_bytes(&key)), &value);
    cr_assert_eq(lives, expected->lives, "key %u", (unsigned)number);
    if (lives)
        cr_assert(value_is(value, expected->size, expected->version), "key %u", (unsigned)number);
}

static void twin_check(const struct twin *twin)
{
    cr_assert_eq(state_count(twin->state), twin->live);
    for (uint32_t i = 0; i < twin->key_count; i++)
        twin_check_key(twin, i);
}

static uint32_t chance_size(const struct twin *twin)
{
    if (twin->value_size > 0)
        return twin->value_size;
    if (chance(2000) == 0)
        return (uint32_t)chance(VALUE_MAX);
    return (uint32_t)chance(chance(4) == 0 ? 4000 : 40);
}

static void twin_born(struct twin *twin, struct twin_key *key)
{
    if (key->lives)
        return;
    key->lives = true;
    key->seen = false;
    key->born = true;
    twin->live++;
}

static void twin_put(struct twin *twin, uint32_t number)
{
    struct twin_key *expected = &twin->keys[number];
    struct key key = key_number(number);
    twin_born(twin, expected);
    expected->version++;
    expected->size = chance_size(twin);
    value_fill(twin->scratch, expected->size, expected->version);
    cr_assert_eq(state_put(twin->state, key_bytes(&key), state_hash(key_bytes(&key)),
                           (struct weir_bytes){twin->scratch, expected->size}),
                 WEIR_OK);
}

static void twin_cell(struct twin *twin, uint32_t number)
{
    struct twin_key *expected = &twin->keys[number];
    struct key key = key_number(number);
    uint64_t hash = state_hash(key_bytes(&key));
    unsigned char *cell = state_cell(twin->state, key_bytes(&key), hash);
    cr_assert(cell != NULL && (uintptr_t)cell % 8 == 0);
    struct weir_bytes view = {cell, twin->value_size};
    for (size_t i = 0; !expected->lives && i < twin->value_size; i++)
        cr_assert_eq(cell[i], 0);
    if (expected->lives)
        cr_assert(value_is(view, expected->size, expected->version));
    twin_born(twin, expected);
    expected->size = twin->value_size;
    value_fill(cell, twin->value_size, ++expected->version);
}

static void twin_remove(struct twin *twin, uint32_t number)
{
    struct twin_key *expected = &twin->keys[number];
    struct key key = key_number(number);
    enum weir_result result =
        state_remove(twin->state, key_bytes(&key), state_hash(key_bytes(&key)));
    cr_assert_eq(result, expected->lives ? WEIR_OK : WEIR_NOT_FOUND);
    twin->live -= expected->lives;
    expected->lives = false;
}

static uint32_t number_of(struct weir_bytes bytes)
{
    uint32_t number = 0;
    for (size_t i = 0; i < bytes.size && i < 3; i++)
        number |= (uint32_t)((const unsigned char *)bytes.data)[i] << (8 * i);
    return number;
}

static void twin_unseen(struct twin *twin)
{
    for (uint32_t i = 0; i < twin->key_count; i++)
        twin->keys[i].seen = twin->keys[i].born = false;
}

/* At the end every key that has lived all the while has been seen. */
static void twin_scan(struct twin *twin)
{
    struct weir_bytes key, value;
    enum weir_result result = state_scan_next(twin->state, &key, &value);
    if (result == WEIR_OK) {
        struct twin_key *seen = &twin->keys[number_of(key)];
        cr_assert(seen->lives && !seen->seen, "key %u", (unsigned)number_of(key));
        cr_assert(value_is(value, seen->size, seen->version));
        seen->seen = true;
        return;
    }
    for (uint32_t i = 0; i < twin->key_count; i++)
        cr_assert(!twin->keys[i].lives || twin->keys[i].seen || twin->keys[i].born, "key %u",
                  (unsigned)i);
    cr_assert_eq(result, WEIR_NOT_FOUND);
    if (chance(2) == 0)
        return; /* and go on from the end */
    state_scan_rewind(twin->state);
    twin_unseen(twin);
}

/* Rewinds in the middle of a scan, too. */
static void twin_rewind(struct twin *twin)
{
    state_scan_rewind(twin->state);
    twin_unseen(twin);
}

/* A cut, to be written much later: in the order of the past, or not. */
static void twin_cut(struct twin *twin)
{
    struct past *past = &twin->pasts[chance(PASTS)];
    past_free(past);
    past->body = (struct snapshot_writer){.grow = grow};
    cr_assert_eq(state_cut(twin->state, &past->cut), WEIR_OK);
    state_save(twin->state, &past->body);
    past->live = twin->live;
    past->keys = malloc(twin->key_count * sizeof *past->keys);
    memcpy(past->keys, twin->keys, twin->key_count * sizeof *past->keys);
}

/* What was cut is as it was then, whatever has happened since. */
static void twin_restore(struct twin *twin)
{
    struct past *past = &twin->pasts[chance(PASTS)];
    if (past->keys == NULL)
        return;
    struct saved saved = {.body = past->body};
    past->body = (struct snapshot_writer){0};
    save_segments(&saved, &past->cut);
    state_free(&twin->state);
    twin->state = state_new(NULL, twin->value_size);
    cr_assert_eq(load(twin->state, &saved, 0, GROUPS), WEIR_OK);
    saved_free(&saved);
    memcpy(twin->keys, past->keys, twin->key_count * sizeof *past->keys);
    twin->live = past->live;
    past_free(past);
    twin_check(twin);
}

static void twin_step(struct twin *twin, uint64_t remove_share)
{
    uint32_t number = (uint32_t)chance(twin->key_count);
    uint64_t dice = chance(100);
    if (dice < remove_share)
        twin_remove(twin, number);
    else if (dice < 75 && twin->value_size > 0 && chance(2) == 0)
        twin_cell(twin, number);
    else if (dice < 75)
        twin_put(twin, number);
    else if (dice < 80)
        twin_check_key(twin, number);
    else
        for (uint64_t i = chance(8); i > 0; i--)
            twin_scan(twin);
    if (chance(twin->cut_every) == 0)
        twin_cut(twin);
}

/* Phases that grow and phases that shrink, so that compaction happens at every size. */
static void twin_run(struct twin *twin, int phases, int steps)
{
    for (int phase = 0; phase < phases; phase++) {
        static const uint64_t rates[] = {10, 100, 1000, 10000, UINT64_MAX};
        twin->cut_every =
            rates[chance(twin->key_count < 5000 ? 5 : 2) + (twin->key_count < 5000 ? 0 : 3)];
        uint64_t remove_share = phase % 2 == 0 ? 5 + chance(25) : 45 + chance(30);
        for (int step = 0; step < steps; step++)
            twin_step(twin, remove_share);
        twin_check(twin);
        if (chance(3) == 0)
            twin_rewind(twin);
        if (chance(3) == 0)
            save_and_load(&twin->state, twin->value_size);
        else if (chance(2) == 0)
            twin_restore(twin);
        cr_assert_eq(state_count(twin->state), twin->live);
    }
}

Test(state, fixed_cells_match_a_naive_twin)
{
    static const uint32_t value_sizes[] = {1, 8, 24, 31};
    chance_begin();
    for (size_t i = 0; i < sizeof value_sizes / sizeof *value_sizes; i++) {
        struct twin twin = twin_new(40000, value_sizes[i]);
        twin_run(&twin, 8, (int)explore_part(60000));
        twin_free(&twin);
    }
}

Test(state, variable_values_match_a_naive_twin)
{
    chance_begin();
    struct twin twin = twin_new(2500, 0);
    twin_run(&twin, 24, (int)explore_part(8000));
    twin_free(&twin);
}

Test(state, tiny_tables_match_a_naive_twin)
{
    chance_begin();
    for (int i = 0; i < 50; i++) {
        struct twin twin = twin_new(1 + (uint32_t)chance(300), i % 2 == 0 ? 0 : 16);
        twin_run(&twin, 20, 100);
        twin_free(&twin);
    }
}

/* --- sizes -------------------------------------------------------------------------------- */

static void put_size(struct state *state, size_t key_size, size_t value_size,
                     enum weir_result expected)
{
    unsigned char *key = malloc(key_size + 1), *value = malloc(value_size + 1);
    memset(key, 'k', key_size + 1);
    value_fill(value, value_size, 9);
    struct weir_bytes view = {key, key_size}, got;
    uint64_t hash = state_hash(view), count = state_count(state);
    cr_assert_eq(state_put(state, view, hash, (struct weir_bytes){value, value_size}), expected);
    if (expected == WEIR_OK)
        cr_assert(state_get(state, view, hash, &got) && value_is(got, value_size, 9));
    else
        cr_assert_eq(state_count(state), count);
    free(key);
    free(value);
}

Test(state, takes_every_size_up_to_the_limits_and_none_above)
{
    struct state *state = state_new(NULL, 0);
    for (size_t key_size = 0; key_size <= 40; key_size++)
        for (size_t value_size = 0; value_size <= 40; value_size++)
            put_size(state, key_size, value_size, WEIR_OK);
    for (size_t size = ((size_t)256 << 10) - 48; size <= (256 << 10) + 8; size += 4)
        put_size(state, 8, size, WEIR_OK);
    put_size(state, STATE_KEY_LIMIT, STATE_VALUE_LIMIT, WEIR_OK);
    put_size(state, 5, STATE_VALUE_LIMIT + 1, WEIR_TOO_LARGE);
    put_size(state, STATE_KEY_LIMIT + 1, 5, WEIR_TOO_LARGE);
    put_size(state, 6, 1, WEIR_OK);
    cr_assert_eq(state_count(state), 42);
    save_and_load(&state, 0);
    cr_assert_eq(state_count(state), 42);
    state_free(&state);
}

Test(state, a_fixed_size_state_takes_values_of_its_size_only)
{
    struct state *state = state_new(NULL, 8);
    put_size(state, 3, 7, WEIR_INVALID);
    put_size(state, 3, 9, WEIR_INVALID);
    put_size(state, 3, 8, WEIR_OK);
    unsigned char *key = calloc(1, STATE_KEY_LIMIT + 1);
    cr_assert_null(state_cell(state, (struct weir_bytes){key, STATE_KEY_LIMIT + 1}, 1));
    cr_assert_not_null(state_cell(state, (struct weir_bytes){key, STATE_KEY_LIMIT}, 1));
    cr_assert_eq(state_count(state), 2);
    free(key);
    state_free(&state);
}

Test(state, a_value_may_be_put_from_a_view_of_the_same_state)
{
    struct state *state = state_new(NULL, 0);
    struct weir_bytes a = {"a", 1}, b = {"b", 1}, view, got;
    uint64_t hash_a = state_hash(a), hash_b = state_hash(b);
    for (size_t size = 0; size < 300000; size = size * 2 + 1) {
        put_size(state, 4, size, WEIR_OK);
        struct weir_bytes source = {"kkkk", 4};
        cr_assert(state_get(state, source, state_hash(source), &view));
        cr_assert_eq(state_put(state, a, hash_a, view), WEIR_OK);
        cr_assert(state_get(state, a, hash_a, &view) && value_is(view, size, 9));
        cr_assert_eq(state_put(state, b, hash_b, view), WEIR_OK);
        cr_assert(state_get(state, b, hash_b, &got) && value_is(got, size, 9));
    }
    state_free(&state);
}

Test(state, many_equal_hashes_are_still_different_keys)
{
    struct state *state = state_new(NULL, 8);
    for (uint64_t i = 0; i < 500; i++)
        *(uint64_t *)state_cell(state, (struct weir_bytes){&i, 8}, 0) = i;
    for (uint64_t i = 0; i < 500; i += 2)
        cr_assert_eq(state_remove(state, (struct weir_bytes){&i, 8}, 0), WEIR_OK);
    struct weir_bytes last = {NULL, 0}, next, found;
    for (uint64_t i = 0; i < 250; i++, last = next) {
        cr_assert_eq(state_scan_next(state, &next, &found), WEIR_OK);
        cr_assert(i == 0 || memcmp(next.data, last.data, 8) > 0, "in the order of keys");
        cr_assert(memcmp(next.data, found.data, 8) == 0);
    }
    cr_assert_eq(state_scan_next(state, &next, &found), WEIR_NOT_FOUND);
    for (uint64_t i = 0; i < 500; i++) {
        struct weir_bytes value;
        bool lives = state_get(state, (struct weir_bytes){&i, 8}, 0, &value);
        cr_assert_eq(lives, i % 2 == 1);
        cr_assert(!lives || *(const uint64_t *)value.data == i);
    }
    state_free(&state);
}

/* --- memory ------------------------------------------------------------------------------- */

static void fill(struct state *state, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        struct weir_bytes key = {&i, 8};
        uint64_t *cell = state_cell(state, key, state_hash(key));
        cr_assert_not_null(cell);
        *cell = i;
    }
}

static void drain(struct state *state, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        struct weir_bytes key = {&i, 8};
        cr_assert_eq(state_remove(state, key, state_hash(key)), WEIR_OK);
    }
}

Test(state, gives_memory_back_when_most_keys_have_gone)
{
    struct state *state = state_new(NULL, 8);
    fill(state, 0, 500000);
    uint64_t full = state_bytes(state);
    drain(state, 100, 500000);
    cr_assert_lt(state_bytes(state), full / 4);
    cr_assert_eq(state_count(state), 100);
    state_free(&state);
}

Test(state, coming_and_going_does_not_grow_the_table)
{
    struct state *state = state_new(NULL, 8);
    fill(state, 0, 50000);
    uint64_t least = state_bytes(state);
    for (uint64_t i = 0; i < explore_part(explore_part(1000000)); i += 1000) {
        fill(state, 50000 + i, 51000 + i);
        drain(state, i, i + 1000);
        cr_assert_leq(state_bytes(state), 4 * least);
    }
    cr_assert_eq(state_count(state), 50000);
    state_free(&state);
}

/* The last part first, and every other one before those between; by hands in turn. */
static void run_backward(void *self, uint32_t count, state_part *part, void *work)
{
    uint32_t *most = self;
    *most = count > *most ? count : *most;
    for (uint32_t i = count; i > 0; i--)
        if (i % 2 == 0)
            part(work, i - 1, i % 3);
    for (uint32_t i = count; i > 0; i--)
        if (i % 2 == 1)
            part(work, i - 1, i % 3);
}

/* Keys that were written in many segments, removed in some and written again. */
static struct state *much_changed(uint64_t keys)
{
    struct state *state = state_new(NULL, 8);
    struct state_cut cut;
    fill(state, 0, keys);
    for (uint64_t round = 1; round < 6; round++) {
        cr_assert_eq(state_cut(state, &cut), WEIR_OK);
        state_cut_free(&cut);
        drain(state, round * 1000, round * 1000 + 700);
        fill(state, round * 1000 + 300, round * 1000 + 500);
        for (uint64_t i = round; i < keys; i += 7) {
            struct weir_bytes key = {&i, 8}, value;
            uint64_t next = i * 16 + round;
            if (state_get(state, key, state_hash(key), &value))
                cr_assert_eq(state_put(state, key, state_hash(key), (struct weir_bytes){&next, 8}),
                             WEIR_OK);
        }
    }
    return state;
}

static void check_same(struct state *state, struct state *other)
{
    struct weir_bytes key, value, same;
    cr_assert_eq(state_count(state), state_count(other));
    cr_assert_eq(state_count(state), (uint64_t)100000 - 5 * 500);
    while (state_scan_next(state, &key, &value) == WEIR_OK) {
        cr_assert(state_get(other, key, state_hash(key), &same));
        cr_assert(memcmp(value.data, same.data, 8) == 0);
    }
}

/* In parts, whose ends keys spill over, in any order. */
Test(state, the_index_of_a_log_is_the_same_whatever_hands_make_it)
{
    uint32_t parts = 0;
    const struct state_crew crew = {run_backward, &parts, 3};
    struct state *state = much_changed(100000), *alone = state_new(NULL, 8);
    struct state *together = state_new(NULL, 8);
    struct saved saved = save(state);
    cr_assert_eq(load(alone, &saved, 0, GROUPS), WEIR_OK);
    load_crew = &crew;
    cr_assert_eq(load(together, &saved, 0, GROUPS), WEIR_OK);
    load_crew = NULL;
    cr_assert_gt(parts, 3, "%u parts", (unsigned)parts);
    check_same(state, alone);
    check_same(alone, together);
    drain(together, 10000, 99000); /* what is garbage is known: memory comes back */
    cr_assert_lt(state_bytes(together), state_bytes(alone) / 2);
    saved_free(&saved);
    state_free(&state);
    state_free(&alone);
    state_free(&together);
}

struct failing {
    uint64_t left; /* allocations until the one that fails */
    uint64_t held;
};

static void *failing_allocate(void *context, size_t size)
{
    struct failing *failing = context;
    if (failing->left-- == 0)
        return NULL;
    void *memory = malloc(size);
    memset(memory, 0xa5, size);
    failing->held++;
    return memory;
}

static void failing_release(void *context, void *memory)
{
    struct failing *failing = context;
    failing->held--;
    free(memory);
}

/* Puts until it works: the one failure must have changed nothing, the next try must succeed. */
static bool put_again(struct state *state, uint32_t number, size_t size)
{
    unsigned char *value = malloc(size + 1);
    value_fill(value, size, number);
    struct key key = key_number(number);
    struct weir_bytes bytes = {value, size}, old, now;
    uint64_t hash = state_hash(key_bytes(&key));
    uint64_t count = state_count(state);
    bool lived = state_get(state, key_bytes(&key), hash, &old);
    enum weir_result result = state_put(state, key_bytes(&key), hash, bytes);
    bool failed = result != WEIR_OK;
    if (failed) {
        cr_assert(result == WEIR_NO_MEMORY && state_count(state) == count);
        cr_assert_eq(state_get(state, key_bytes(&key), hash, &now), lived);
        cr_assert(!lived || (now.data == old.data && now.size == old.size));
        cr_assert_eq(state_put(state, key_bytes(&key), hash, bytes), WEIR_OK);
    }
    free(value);
    return failed;
}

static bool put_many(struct state *state)
{
    bool failed = false;
    for (uint32_t i = 0; i < 400; i++)
        failed |= put_again(state, i, i % 50 == 0 ? 300000 : i * 10);
    struct state_cut cut;
    enum weir_result cutting = state_cut(state, &cut);
    failed |= cutting == WEIR_NO_MEMORY;
    cr_assert(cutting == WEIR_OK || state_cut(state, &cut) == WEIR_OK);
    state_cut_free(&cut);
    for (uint32_t i = 0; i < 400; i += 2)
        failed |= put_again(state, i, i % 50 == 0 ? 300008 : i * 10 + 8);
    for (uint32_t i = 0; i < 400; i += 50) {
        struct key key = key_number(i);
        enum weir_result result = state_remove(state, key_bytes(&key), state_hash(key_bytes(&key)));
        failed |= result == WEIR_NO_MEMORY;
        if (result == WEIR_NO_MEMORY)
            result = state_remove(state, key_bytes(&key), state_hash(key_bytes(&key)));
        cr_assert_eq(result, WEIR_OK);
    }
    cr_assert_eq(state_count(state), 392);
    return failed;
}

static void check_many(const struct state *state)
{
    for (uint32_t i = 0; i < 400; i++) {
        struct key key = key_number(i);
        struct weir_bytes value;
        bool lives = state_get(state, key_bytes(&key), state_hash(key_bytes(&key)), &value);
        cr_assert_eq(lives, i % 50 != 0);
        cr_assert(!lives || value_is(value, i % 2 == 0 ? i * 10 + 8 : i * 10, i));
    }
}

/* True when the scenario met the failure. */
static bool survive_failure_at(uint64_t k)
{
    struct failing failing = {.left = k};
    struct weir_allocator allocator = {failing_allocate, failing_release, &failing};
    struct state *state = state_new(&allocator, 0);
    bool failed = state == NULL;
    if (state != NULL) {
        failed = put_many(state);
        check_many(state);
        state_free(&state);
    }
    cr_assert_eq(failing.held, 0);
    return failed;
}

Test(state, any_failing_allocation_leaves_the_table_as_it_was)
{
    uint64_t k = 0;
    while (survive_failure_at(k))
        k++;
    exercised(k);
    cr_assert_gt(k, 10);
}

Test(state, any_failing_allocation_fails_a_load_and_leaves_nothing)
{
    struct state *full = state_new(NULL, 0);
    put_many(full);
    struct saved saved = save(full);
    state_free(&full);
    enum weir_result result = WEIR_NO_MEMORY;
    uint64_t k = 6; /* belong to state_new */
    for (; result != WEIR_OK; k++) {
        struct failing failing = {.left = k};
        struct weir_allocator allocator = {failing_allocate, failing_release, &failing};
        struct state *state = state_new(&allocator, 0);
        cr_assert_not_null(state);
        load_allocator = &allocator;
        result = load(state, &saved, 0, GROUPS);
        load_allocator = NULL;
        cr_assert(result == WEIR_OK || result == WEIR_NO_MEMORY);
        cr_assert_eq(state_count(state), result == WEIR_OK ? 392 : 0);
        if (result == WEIR_OK)
            check_many(state);
        state_free(&state);
        cr_assert_eq(failing.held, 0);
    }
    exercised(k - 6);
    cr_assert_gt(k, 8);
    saved_free(&saved);
}

/* --- damage ------------------------------------------------------------------------------- */

/* A few entries of all shapes whose keys are in groups [32, 64), in mid-scan. */
static struct saved small_saved(uint32_t value_size)
{
    struct state *state = state_new(NULL, value_size);
    for (uint32_t i = 0; state_count(state) < 6; i += 13) {
        struct key key = key_number(i);
        uint64_t hash = state_hash(key_bytes(&key));
        uint32_t group = state_group(hash, GROUPS);
        unsigned char value[24];
        size_t size = value_size > 0 ? value_size : i % 20;
        value_fill(value, size, i);
        if (group >= 32 && group < 64)
            cr_assert_eq(state_put(state, key_bytes(&key), hash, (struct weir_bytes){value, size}),
                         WEIR_OK);
    }
    struct weir_bytes key, value;
    cr_assert_eq(state_scan_next(state, &key, &value), WEIR_OK);
    struct saved first = save(state);
    saved_free(&first);
    cr_assert_eq(state_scan_next(state, &key, &value), WEIR_OK);
    cr_assert_eq(state_put(state, key, state_hash(key), value), WEIR_OK);
    cr_assert_eq(state_scan_next(state, &key, &value), WEIR_OK);
    cr_assert_eq(state_remove(state, key, state_hash(key)), WEIR_OK);
    struct saved saved = save(state);
    cr_assert_eq(saved.count, 2);
    state_free(&state);
    return saved;
}

/* Whatever was loaded is a table: the scan and the index agree, and no key is foreign. */
static void check_well_formed(struct state *state)
{
    struct weir_bytes key, value, again;
    uint64_t count = 0;
    while (state_scan_next(state, &key, &value) == WEIR_OK)
        cr_assert_leq(++count, state_count(state));
    state_scan_rewind(state);
    for (count = 0; state_scan_next(state, &key, &value) == WEIR_OK; count++) {
        uint64_t hash = state_hash(key);
        cr_assert(state_group(hash, GROUPS) >= 32 && state_group(hash, GROUPS) < 64);
        cr_assert(state_get(state, key, hash, &again));
        cr_assert(again.data == value.data && again.size == value.size);
    }
    cr_assert_eq(count, state_count(state));
}

/* Loads into a fresh table; true when it was accepted. */
static bool try_saved(const struct saved *saved, uint32_t value_size)
{
    struct state *state = state_new(NULL, value_size);
    enum weir_result result = load(state, saved, 32, 64);
    cr_assert(result == WEIR_OK || result == WEIR_DAMAGED);
    if (result == WEIR_OK)
        check_well_formed(state);
    else
        cr_assert_eq(state_count(state), 0);
    state_free(&state);
    return result == WEIR_OK;
}

/* The bytes that a checkpoint has of it: the body's, then the blobs'. */
static unsigned char *byte_at(struct saved *saved, size_t at)
{
    if (at < saved->body.size)
        return &saved->body.data[at];
    at -= saved->body.size;
    for (uint32_t i = 0; i < saved->count; at -= saved->blobs[i++].size)
        if (at < saved->blobs[i].size)
            return &saved->blobs[i].data[at];
    return NULL;
}

Test(state, a_truncated_body_or_blob_is_damaged)
{
    for (uint32_t value_size = 0; value_size <= 16; value_size += 8) {
        struct saved saved = small_saved(value_size);
        size_t whole = saved.body.size;
        for (saved.body.size = 0; saved.body.size < whole; saved.body.size++)
            cr_assert(!try_saved(&saved, value_size));
        for (uint32_t i = 0; i < saved.count; i++) {
            size_t size = saved.blobs[i].size;
            for (size_t less = 0; less < size; less++) {
                saved.blobs[i].size = less;
                (void)try_saved(&saved, value_size); /* what was replaced may be missing */
            }
            saved.blobs[i].size = size;
        }
        cr_assert(try_saved(&saved, value_size));
        snapshot_u64(&saved.body, 0);
        cr_assert(!try_saved(&saved, value_size), "bytes behind the body");
        saved_free(&saved);
    }
}

Test(state, a_changed_byte_is_damaged_or_a_sound_table)
{
    uint64_t changes = 0;
    for (uint32_t value_size = 0; value_size <= 12; value_size += 12) {
        struct saved saved = small_saved(value_size);
        unsigned char *byte;
        for (size_t at = 0; (byte = byte_at(&saved, at)) != NULL; at++) {
            unsigned char was = *byte;
            for (unsigned value = 0; value < 256; value++) {
                *byte = (unsigned char)value;
                bool taken = try_saved(&saved, value_size);
                cr_assert(taken || value != was);
            }
            *byte = was;
            changes += 255;
        }
        saved_free(&saved);
    }
    exercised(changes);
}

static void add_entry(struct snapshot_writer *writer, uint64_t key, uint32_t value_size)
{
    snapshot_u32(writer, 8);
    snapshot_u32(writer, value_size);
    snapshot_u64(writer, key);
}

static enum weir_result load_one_blob(const struct snapshot_writer *blob, uint64_t keys)
{
    struct saved_blob only = {blob->data, blob->size, true, 0, UINT32_MAX};
    struct saved saved = {.body = {.grow = grow}, .blobs = &only, .count = 1};
    struct state *state = state_new(NULL, 0);
    snapshot_u64(&saved.body, keys);
    snapshot_u64(&saved.body, 0); /* time */
    snapshot_u64(&saved.body, 0);
    snapshot_u32(&saved.body, 0);
    enum weir_result result = load(state, &saved, 0, GROUPS);
    state_free(&state);
    free(saved.body.data);
    return result;
}

Test(state, a_key_that_is_twice_in_a_segment_is_damaged_but_behind_its_tombstone)
{
    struct snapshot_writer twice = {.grow = grow}, again = {.grow = grow};
    add_entry(&twice, 5, 0);
    add_entry(&twice, 5, 0);
    cr_assert_eq(load_one_blob(&twice, 1), WEIR_DAMAGED);
    twice.data[8] = 6;
    cr_assert_eq(load_one_blob(&twice, 2), WEIR_OK);
    cr_assert_eq(load_one_blob(&twice, 1), WEIR_DAMAGED);
    add_entry(&again, 5, SEGMENT_TOMB);
    cr_assert_eq(load_one_blob(&again, 0), WEIR_OK);
    add_entry(&again, 5, SEGMENT_TOMB);
    add_entry(&again, 5, 0);
    cr_assert_eq(load_one_blob(&again, 1), WEIR_OK);
    add_entry(&again, 5, SEGMENT_TOMB);
    cr_assert_eq(load_one_blob(&again, 1), WEIR_DAMAGED, "nothing is removed that way");
    free(twice.data);
    free(again.data);
}

Test(state, padding_that_is_not_zero_is_damaged)
{
    struct state *state = state_new(NULL, 0);
    put_size(state, 3, 5, WEIR_OK);
    struct saved saved = save(state);
    state_free(&state);
    cr_assert_eq(saved.blobs[0].size, 8 + 8 + 8);
    for (size_t at = 8; at < saved.blobs[0].size; at++) {
        bool padding = (at >= 8 + 3 && at < 16) || at >= 16 + 5;
        bool key = at < 8 + 3; /* its hash is another, and outside of the blob's range */
        saved.blobs[0].data[at] ^= 0x40;
        state = state_new(NULL, 0);
        cr_assert_eq(load(state, &saved, 0, GROUPS), padding || key ? WEIR_DAMAGED : WEIR_OK);
        state_free(&state);
        saved.blobs[0].data[at] ^= 0x40;
    }
    saved_free(&saved);
}

Test(state, counts_that_lie_are_damaged_and_take_no_memory)
{
    struct saved saved = small_saved(0);
    struct state *state = state_new(NULL, 0);
    memset(saved.body.data + 2, 0xff, 4);
    cr_assert_eq(load(state, &saved, 32, 64), WEIR_DAMAGED);
    cr_assert_lt(state_bytes(state), 20000);
    state_free(&state);
    saved_free(&saved);
}

Test(state, keys_of_foreign_groups_are_refused)
{
    static const uint32_t ranges[][2] = {{0, 32}, {64, GROUPS}, {32, 32}, {32, 64}};
    struct saved saved = small_saved(0);
    for (int i = 0; i < 4; i++) {
        struct state *state = state_new(NULL, 0);
        cr_assert_eq(load(state, &saved, ranges[i][0], ranges[i][1]),
                     i == 3 ? WEIR_OK : WEIR_DAMAGED);
        state_free(&state);
    }
    saved_free(&saved);
}

/* --- the log ------------------------------------------------------------------------------ */

static uint64_t cut_bytes(struct state *state, uint64_t *segments)
{
    struct saved saved = save(state);
    uint64_t bytes = 0;
    *segments = 0;
    for (uint32_t i = 0; i < saved.count; i++) {
        bytes += saved.blobs[i].size;
        *segments += saved.blobs[i].first;
    }
    saved_free(&saved);
    return bytes;
}

static uint64_t cut_segments(struct state *state)
{
    struct state_cut cut;
    cr_assert_eq(state_cut(state, &cut), WEIR_OK);
    uint64_t segments = cut.count;
    state_cut_free(&cut);
    return segments;
}

/* cut_bytes; but counting bytes takes as long as writing them, so with WEIR_TEST_SHARE most turns
 * do not, and answer 0. */
static uint64_t cut_at_turn(struct state *state, uint64_t *segments, uint64_t turn)
{
    if (turn % explore_share() == 0)
        return cut_bytes(state, segments);
    *segments = cut_segments(state);
    return 0;
}

/* L1: what a checkpoint adds to the one before is what has changed, once each. */
Test(state, a_cut_adds_what_has_changed)
{
    struct state *state = state_new(NULL, 8);
    uint64_t segments, before, after;
    fill(state, 0, 100000);
    before = cut_bytes(state, &segments);
    cr_assert_eq(before, 100000 * 24);
    cr_assert_eq(segments, 1);
    for (int i = 0; i < 3; i++)
        fill(state, 500, 1500);
    after = cut_bytes(state, &segments);
    cr_assert_eq(after - before, 1000 * 24);
    cr_assert_eq(segments, 2);
    cr_assert_eq(cut_bytes(state, &segments), after, "nothing has changed");
    cr_assert_eq(segments, 2);
    drain(state, 500, 600);
    cr_assert_eq(cut_bytes(state, &segments) - after, 100 * 16, "tombstones have no value");
    state_free(&state);
}

/* However many cuts there are, and however unevenly keys change. */
Test(state, log_and_list_stay_bounded)
{
    chance_begin();
    for (int skewed = 0; skewed < 2; skewed++) {
        struct state *state = state_new(NULL, 8);
        uint64_t segments, live = 50000 * 24;
        fill(state, 0, 50000);
        for (int cut = 0; cut < (int)explore_part(explore_part(1000)); cut++) {
            uint64_t below = skewed && chance(10) > 0 ? 500 : 50000, from = chance(below);
            for (int i = 0; i < 300; i++, from = chance(below))
                fill(state, from, from + 1);
            uint64_t bytes = cut_at_turn(state, &segments, (uint64_t)cut);
            cr_assert(bytes <= 2 * live + (512 << 10) && segments <= 100, "%d bytes, %d segments",
                      (int)bytes, (int)segments);
        }
        cr_assert_eq(state_count(state), 50000);
        state_free(&state);
    }
}

static uint64_t list_after_idle_cuts(struct state *state)
{
    uint64_t segments = 0, before = UINT64_MAX;
    for (int i = 0; i < 300 && segments != before; i++) {
        before = segments;
        segments = cut_segments(state);
    }
    return segments;
}

/* Segments that are small, or large, or one large one in whose way many small ones stand. */
Test(state, the_list_gets_shorter_again_and_is_left_alone_then)
{
    const uint32_t sizes[] = {1, explore_part(explore_part(20000))};
    uint64_t from = 0;
    for (int i = 0; i < 2; i++) {
        struct state *state = state_new(NULL, 8);
        for (int cut = 0; cut < 80; cut++, from += sizes[i]) {
            fill(state, from, from + sizes[i]);
            cut_segments(state);
        }
        cr_assert_leq(list_after_idle_cuts(state), 100);
        struct state_cut one, other;
        cr_assert_eq(state_cut(state, &one), WEIR_OK);
        cr_assert_eq(state_cut(state, &other), WEIR_OK);
        cr_assert_eq(one.count, other.count);
        for (uint32_t k = 0; k < one.count; k++)
            cr_assert(one.segments[k] == other.segments[k], "idle, and written again");
        state_cut_free(&one);
        state_cut_free(&other);
        state_free(&state);
    }
    struct state *state = state_new(NULL, 8);
    uint32_t many = explore_part(explore_part(1000000));
    fill(state, 0, many);
    cut_segments(state);
    fill(state, 0, many / 10 * 6); /* the large one has garbage enough to be a victim */
    for (uint64_t key = 2000000; key < 2000000 + explore_part(3000); key++) {
        struct state_cut cut;
        fill(state, key, key + 1);
        cr_assert_eq(state_cut(state, &cut), WEIR_OK);
        cr_assert_leq(cut.count, 250);
        state_cut_free(&cut);
    }
    state_free(&state);
}

/* Nothing of them is in the checkpoint, not even that there was something. */
Test(state, keys_that_came_and_went_between_two_cuts_leave_nothing)
{
    struct state *state = state_new(NULL, 8);
    struct state_cut cut;
    fill(state, 0, 100);
    drain(state, 0, 100);
    cr_assert_eq(state_cut(state, &cut), WEIR_OK);
    cr_assert_eq(cut.count, 0);
    state_cut_free(&cut);
    fill(state, 0, 10);
    save_and_load(&state, 8);
    fill(state, 10, 100);
    drain(state, 10, 100);
    save_and_load(&state, 8);
    cr_assert_eq(state_count(state), 10);
    state_free(&state);
}

/* 95541 and 165592 have one tag: the position of the scan is one of them, until it is rewound. */
Test(state, a_scan_that_stood_within_a_tag_is_rewound)
{
    struct state *state = state_new(NULL, 8);
    struct weir_bytes key, value;
    fill(state, 95541, 95542);
    fill(state, 165592, 165593);
    cr_assert_eq(state_scan_next(state, &key, &value), WEIR_OK);
    save_and_load(&state, 8);
    cr_assert_eq(state_scan_next(state, &key, &value), WEIR_OK);
    cr_assert_eq(state_scan_next(state, &key, &value), WEIR_NOT_FOUND);
    state_scan_rewind(state);
    cr_assert_eq(state_scan_next(state, &key, &value), WEIR_OK);
    state_scan_rewind(state);
    save_and_load(&state, 8);
    cr_assert_eq(state_scan_next(state, &key, &value), WEIR_OK);
    drain(state, 95541, 95542);
    drain(state, 165592, 165593);
    cr_assert_eq(state_scan_next(state, &key, &value), WEIR_NOT_FOUND);
    save_and_load(&state, 8);
    state_free(&state);
}

/* Where what is gone is overwritten, for testing. */
Test(state, a_value_may_be_put_from_a_part_of_itself)
{
    struct state *state = state_new(NULL, 0);
    struct weir_bytes key = {"k", 1}, view;
    state_scribble(state, 0xee);
    cr_assert_eq(
        state_put(state, key, state_hash(key), (struct weir_bytes){"0123456789abcdefghijklmn", 24}),
        WEIR_OK);
    cr_assert(state_get(state, key, state_hash(key), &view));
    view.size = 10;
    cr_assert_eq(state_put(state, key, state_hash(key), view), WEIR_OK);
    cr_assert(state_get(state, key, state_hash(key), &view));
    cr_assert(view.size == 10 && memcmp(view.data, "0123456789", 10) == 0);
    state_free(&state);
}

/* Tombstones stand behind a large old segment that has hardly any garbage. */
Test(state, tombstones_do_not_pile_up)
{
    struct state *state = state_new(NULL, 8);
    uint64_t segments;
    fill(state, 0, 20000);
    for (uint64_t i = 20000; i < explore_part(explore_part(400000)); i += 100) {
        cut_segments(state);
        drain(state, i - 100, i);
        fill(state, i, i + 100);
        cr_assert_leq(cut_at_turn(state, &segments, i / 100), (uint64_t)3 << 20);
    }
    cr_assert_eq(state_count(state), 20000);
    state_free(&state);
}

/* --- groups ------------------------------------------------------------------------------- */

Test(state, every_group_has_the_owner_whose_range_holds_it)
{
    for (uint32_t parallelism = 1; parallelism <= 130; parallelism++) {
        cr_assert_eq(state_first_group(0, parallelism, GROUPS), 0);
        cr_assert_eq(state_first_group(parallelism, parallelism, GROUPS), GROUPS);
        for (uint32_t group = 0; group < GROUPS; group++) {
            uint32_t owner = state_owner(group, parallelism, GROUPS);
            cr_assert_lt(owner, parallelism);
            cr_assert_leq(state_first_group(owner, parallelism, GROUPS), group);
            cr_assert_lt(group, state_first_group(owner + 1, parallelism, GROUPS));
        }
    }
}

Test(state, the_group_of_a_hash_is_below_the_number_of_groups)
{
    static const uint32_t numbers[] = {1, 2, 127, 128, 129, 32768, UINT32_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        cr_assert_eq(state_group(0, numbers[i]), 0);
        cr_assert_eq(state_group(UINT64_MAX, numbers[i]), numbers[i] - 1);
    }
}
