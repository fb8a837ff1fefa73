/* SPDX-License-Identifier: Apache-2.0
 *
 * The table against a naive twin: an array by key number that knows which keys live, with which
 * value, and whether the scan has seen them. WEIR_TEST_SEED repeats a run.
 */
#include "state.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GROUPS 128u
#define KEY_MAX 40

/* --- chance ------------------------------------------------------------------------------- */

static uint64_t chance_state;

static void chance_begin(void)
{
    const char *text = getenv("WEIR_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    fprintf(stderr, "WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
    chance_state = seed * 0x9e3779b97f4a7c15u + 1;
}

static uint64_t chance(uint64_t below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return (chance_state >> 11) % below;
}

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

static struct snapshot_writer save(const struct state *state)
{
    struct snapshot_writer writer = {.grow = grow};
    state_save(state, &writer);
    cr_assert(!writer.failed);
    return writer;
}

/* Loads a body from memory of exactly its size, so that a sanitizer sees overreading. */
static enum weir_result load(struct state *state, const unsigned char *body, size_t size,
                             uint32_t first_group, uint32_t end_group)
{
    unsigned char *copy = malloc(size == 0 ? 1 : size);
    memcpy(copy, body, size);
    struct snapshot_section section = {.body = copy, .left = size};
    struct weir_error error = {0};
    enum weir_result result = state_load(state, &section, first_group, end_group, GROUPS, &error);
    cr_assert(result == WEIR_OK || (error.code == result && error.text[0] != 0));
    free(copy);
    return result;
}

static void save_and_load(struct state **state, uint32_t value_size)
{
    struct snapshot_writer writer = save(*state);
    state_free(state);
    *state = state_new(NULL, value_size);
    cr_assert_eq(load(*state, writer.data, writer.size, 0, GROUPS), WEIR_OK);
    struct snapshot_writer again = save(*state);
    cr_assert(again.size == writer.size && memcmp(again.data, writer.data, writer.size) == 0);
    free(writer.data);
    free(again.data);
}

/* --- the twin ----------------------------------------------------------------------------- */

struct twin_key {
    uint32_t version;
    uint32_t size; /* of the value */
    bool lives;
    bool seen; /* by the scan, in this life */
};

struct twin {
    struct twin_key *keys;
    uint32_t key_count;
    uint32_t value_size; /* 0: variable */
    uint64_t live;
    struct state *state;
    unsigned char *scratch;
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

static void twin_free(struct twin *twin)
{
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
    state_prefetch_slot(twin->state, hash);
    state_prefetch_entry(twin->state, hash);
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
    bool lived = state_remove(twin->state, key_bytes(&key), state_hash(key_bytes(&key)));
    cr_assert_eq(lived, expected->lives);
    twin->live -= lived;
    expected->lives = false;
}

static uint32_t number_of(struct weir_bytes bytes)
{
    uint32_t number = 0;
    for (size_t i = 0; i < bytes.size && i < 3; i++)
        number |= (uint32_t)((const unsigned char *)bytes.data)[i] << (8 * i);
    return number;
}

/* At the end every key that lives has been seen, whenever it was born. */
static void twin_scan(struct twin *twin)
{
    struct weir_bytes key, value;
    if (state_scan_next(twin->state, &key, &value)) {
        struct twin_key *seen = &twin->keys[number_of(key)];
        cr_assert(seen->lives && !seen->seen, "key %u", (unsigned)number_of(key));
        cr_assert(value_is(value, seen->size, seen->version));
        seen->seen = true;
        return;
    }
    for (uint32_t i = 0; i < twin->key_count; i++)
        cr_assert(!twin->keys[i].lives || twin->keys[i].seen, "key %u", (unsigned)i);
    if (chance(2) == 0)
        return; /* and go on from the end */
    state_scan_rewind(twin->state);
    for (uint32_t i = 0; i < twin->key_count; i++)
        twin->keys[i].seen = false;
}

/* Rewinds in the middle of a scan, too. */
static void twin_rewind(struct twin *twin)
{
    state_scan_rewind(twin->state);
    for (uint32_t i = 0; i < twin->key_count; i++)
        twin->keys[i].seen = false;
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
}

/* Phases that grow and phases that shrink, so that compaction happens at every size. */
static void twin_run(struct twin *twin, int phases, int steps)
{
    for (int phase = 0; phase < phases; phase++) {
        uint64_t remove_share = phase % 2 == 0 ? 5 + chance(25) : 45 + chance(30);
        for (int step = 0; step < steps; step++)
            twin_step(twin, remove_share);
        twin_check(twin);
        if (chance(3) == 0)
            twin_rewind(twin);
        if (chance(2) == 0)
            save_and_load(&twin->state, twin->value_size);
        cr_assert_eq(state_count(twin->state), twin->live);
    }
}

Test(state, fixed_cells_match_a_naive_twin)
{
    static const uint32_t value_sizes[] = {1, 8, 24, 31};
    chance_begin();
    for (size_t i = 0; i < sizeof value_sizes / sizeof *value_sizes; i++) {
        struct twin twin = twin_new(40000, value_sizes[i]);
        twin_run(&twin, 8, 60000);
        twin_free(&twin);
    }
}

Test(state, variable_values_match_a_naive_twin)
{
    chance_begin();
    struct twin twin = twin_new(2500, 0);
    twin_run(&twin, 24, 8000);
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
        cr_assert(state_remove(state, (struct weir_bytes){&i, 8}, 0));
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
        cr_assert(state_remove(state, key, state_hash(key)));
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
    for (uint64_t i = 0; i < 1000000; i += 1000) {
        fill(state, 50000 + i, 51000 + i);
        drain(state, i, i + 1000);
        cr_assert_leq(state_bytes(state), 4 * least);
    }
    cr_assert_eq(state_count(state), 50000);
    state_free(&state);
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
    for (uint32_t i = 0; i < 400; i += 2)
        failed |= put_again(state, i, i % 50 == 0 ? 300008 : i * 10 + 8);
    for (uint32_t i = 0; i < 400; i += 50) {
        struct key key = key_number(i);
        cr_assert(state_remove(state, key_bytes(&key), state_hash(key_bytes(&key))));
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
    cr_assert_gt(k, 10);
}

Test(state, any_failing_allocation_fails_a_load_and_leaves_nothing)
{
    struct state *full = state_new(NULL, 0);
    put_many(full);
    struct snapshot_writer body = save(full);
    state_free(&full);
    enum weir_result result = WEIR_NO_MEMORY;
    for (uint64_t k = 3; result != WEIR_OK; k++) { /* 3 belong to state_new */
        struct failing failing = {.left = k};
        struct weir_allocator allocator = {failing_allocate, failing_release, &failing};
        struct state *state = state_new(&allocator, 0);
        cr_assert_not_null(state);
        result = load(state, body.data, body.size, 0, GROUPS);
        cr_assert(result == WEIR_OK || result == WEIR_NO_MEMORY);
        cr_assert_eq(state_count(state), result == WEIR_OK ? 392 : 0);
        if (result == WEIR_OK)
            check_many(state);
        else
            cr_assert_eq(load(state, body.data, body.size, 0, GROUPS), WEIR_OK);
        state_free(&state);
        cr_assert_eq(failing.held, 0);
    }
    free(body.data);
}

/* --- damage ------------------------------------------------------------------------------- */

/* A few entries of all shapes whose keys are in groups [32, 64), in mid-scan. */
static struct snapshot_writer small_body(uint32_t value_size)
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
    cr_assert(state_scan_next(state, &key, &value));
    struct snapshot_writer writer = save(state);
    state_free(&state);
    return writer;
}

/* Whatever was loaded is a table: the scan and the index agree, and no key is foreign. */
static void check_well_formed(struct state *state)
{
    struct weir_bytes key, value, again;
    uint64_t count = 0;
    while (state_scan_next(state, &key, &value))
        cr_assert_leq(++count, state_count(state));
    state_scan_rewind(state);
    for (count = 0; state_scan_next(state, &key, &value); count++) {
        uint64_t hash = state_hash(key);
        cr_assert(state_group(hash, GROUPS) >= 32 && state_group(hash, GROUPS) < 64);
        cr_assert(state_get(state, key, hash, &again));
        cr_assert(again.data == value.data && again.size == value.size);
    }
    cr_assert_eq(count, state_count(state));
}

/* Loads into a fresh table; true when it was accepted. */
static bool try_body(const unsigned char *body, size_t size, uint32_t value_size)
{
    struct state *state = state_new(NULL, value_size);
    enum weir_result result = load(state, body, size, 32, 64);
    cr_assert(result == WEIR_OK || result == WEIR_DAMAGED);
    if (result == WEIR_DAMAGED)
        cr_assert_eq(state_count(state), 0);
    check_well_formed(state);
    state_free(&state);
    return result == WEIR_OK;
}

Test(state, a_truncated_body_is_damaged)
{
    for (uint32_t value_size = 0; value_size <= 16; value_size += 8) {
        struct snapshot_writer body = small_body(value_size);
        for (size_t size = 0; size < body.size; size++)
            cr_assert(!try_body(body.data, size, value_size));
        cr_assert(try_body(body.data, body.size, value_size));
        body.data = realloc(body.data, body.size + 8);
        memset(body.data + body.size, 0, 8);
        cr_assert(!try_body(body.data, body.size + 8, value_size));
        free(body.data);
    }
}

Test(state, a_changed_byte_is_damaged_or_a_sound_table)
{
    for (uint32_t value_size = 0; value_size <= 12; value_size += 12) {
        struct snapshot_writer body = small_body(value_size);
        for (size_t at = 0; at < body.size; at++) {
            unsigned char was = body.data[at];
            for (unsigned value = 0; value < 256; value++) {
                body.data[at] = (unsigned char)value;
                bool taken = try_body(body.data, body.size, value_size);
                cr_assert(taken || value != was);
            }
            body.data[at] = was;
        }
        free(body.data);
    }
}

Test(state, a_key_that_is_there_twice_is_damaged)
{
    static const unsigned char zero[8];
    struct snapshot_writer writer = {.grow = grow};
    snapshot_u64(&writer, 2);
    snapshot_u64(&writer, 0);
    for (int i = 0; i < 2; i++) {
        snapshot_u32(&writer, 8);
        snapshot_u32(&writer, 0);
        snapshot_bytes(&writer, zero, sizeof zero);
    }
    struct state *state = state_new(NULL, 0);
    cr_assert_eq(load(state, writer.data, writer.size, 0, GROUPS), WEIR_DAMAGED);
    writer.data[24] = 1;
    cr_assert_eq(load(state, writer.data, writer.size, 0, GROUPS), WEIR_OK);
    state_free(&state);
    free(writer.data);
}

Test(state, padding_that_is_not_zero_is_damaged)
{
    struct state *state = state_new(NULL, 0);
    put_size(state, 3, 5, WEIR_OK);
    struct snapshot_writer body = save(state);
    state_free(&state);
    cr_assert_eq(body.size, 16 + 8 + 8 + 8);
    state = state_new(NULL, 0);
    for (size_t at = 24; at < body.size; at++) {
        bool padding = (at >= 24 + 3 && at < 32) || at >= 32 + 5;
        body.data[at] ^= 0x40;
        if (padding)
            cr_assert_eq(load(state, body.data, body.size, 0, GROUPS), WEIR_DAMAGED);
        body.data[at] ^= 0x40;
    }
    cr_assert_eq(load(state, body.data, body.size, 0, GROUPS), WEIR_OK);
    state_free(&state);
    free(body.data);
}

Test(state, counts_that_lie_are_damaged_and_take_no_memory)
{
    struct snapshot_writer body = small_body(0);
    struct failing failing = {.left = 3}; /* nothing beyond state_new */
    struct weir_allocator allocator = {failing_allocate, failing_release, &failing};
    struct state *state = state_new(&allocator, 0);
    memset(body.data + 2, 0xff, 4);
    cr_assert_eq(load(state, body.data, body.size, 32, 64), WEIR_DAMAGED);
    state_free(&state);
    free(body.data);
}

Test(state, keys_of_foreign_groups_are_refused)
{
    struct snapshot_writer body = small_body(0);
    struct state *state = state_new(NULL, 0);
    cr_assert_eq(load(state, body.data, body.size, 0, 32), WEIR_DAMAGED);
    cr_assert_eq(load(state, body.data, body.size, 64, GROUPS), WEIR_DAMAGED);
    cr_assert_eq(load(state, body.data, body.size, 32, 32), WEIR_DAMAGED);
    cr_assert_eq(load(state, body.data, body.size, 32, 64), WEIR_OK);
    state_free(&state);
    free(body.data);
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
