/* SPDX-License-Identifier: Apache-2.0
 *
 * Maps, lists, timers and values that expire against naive twins, over cuts that are kept, dropped
 * and restored from, and over changes of parallelism. WEIR_TEST_SEED repeats a run.
 */
#include "chance.h"
#include "exercised.h"
#include "explore.h"
#include "segment_blobs.h"
#include "state_list.h"
#include "state_map.h"
#include "state_timers.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GROUPS 128u
#define TTL 500

/* --- keys and values by number ------------------------------------------------------------ */

/* In two bytes, the high one first, and more behind them: their order is that of their numbers. */
struct key {
    unsigned char data[24];
    struct weir_bytes bytes;
};

static struct weir_bytes key_fill(struct key *key, uint32_t number)
{
    size_t size = number == 0 ? 0 : number % 3 == 0 ? 8 : 2 + number % 23;
    for (size_t i = 0; i < size; i++)
        key->data[i] = (unsigned char)(i == 0 ? number >> 8 : i == 1 ? number : number * 7 + i);
    return key->bytes = (struct weir_bytes){key->data, size};
}

static uint32_t number_of(struct weir_bytes bytes)
{
    const unsigned char *data = bytes.data;
    return bytes.size == 0 ? 0 : (uint32_t)data[0] << 8 | data[1];
}

static void value_fill(unsigned char *value, size_t size, uint32_t version)
{
    for (size_t i = 0; i < size; i++)
        value[i] = (unsigned char)(version * 11 + i * 5 + (version >> 8));
}

static bool value_is(struct weir_bytes value, size_t size, uint32_t version)
{
    const unsigned char *data = value.data;
    bool same = value.size == size;
    for (size_t i = 0; same && i < size; i++)
        same = data[i] == (unsigned char)(version * 11 + i * 5 + (version >> 8));
    return same;
}

/* --- a job's tasks ------------------------------------------------------------------------ */

/* The state of one node: some tasks, each with a range of groups. */
#define TASKS 5u
#define CUTS 3u

struct blob {
    unsigned char *data;
    size_t size;
    bool first; /* of its segment */
    uint32_t least, most;
};

/* What a checkpoint has of a task. */
struct saved {
    struct blob body;
    struct blob *blobs; /* of all its segments */
    uint32_t count;
};

struct cut {
    struct saved tasks[TASKS];
    uint32_t parallelism; /* 0: none was kept here */
    void *twin;
};

struct node {
    struct state_type type;
    struct state *tasks[TASKS];
    uint32_t parallelism;
    int64_t now;
    int64_t written; /* what is written now, at that time */
    struct cut cuts[CUTS];
};

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context;
    (void)size;
    return realloc(data, capacity);
}

static void node_begin(struct node *node, struct state_type type)
{
    *node = (struct node){.type = type, .parallelism = 1, .now = INT64_MIN};
    node->tasks[0] = state_new_of(NULL, &type);
}

static uint32_t owner_of(const struct node *node, uint64_t hash)
{
    return state_owner(state_group(hash, GROUPS), node->parallelism, GROUPS);
}

/* The state that has the key, told what time it is. */
static struct state *task_of(struct node *node, struct weir_bytes key, uint64_t *hash)
{
    *hash = state_hash(key);
    struct state *state = node->tasks[owner_of(node, *hash)];
    state_set_time(state, node->now);
    return state;
}

/* The same for a write, at `now` or for a record that is ahead or late. */
static struct state *task_to_write(struct node *node, int64_t now, struct weir_bytes key,
                                   uint64_t *hash)
{
    struct state *state = task_of(node, key, hash);
    node->written = now;
    if (chance(4) > 0)
        return state;
    int64_t time = now == INT64_MIN ? (int64_t)chance(2000) : now + (int64_t)chance(300) - 100;
    state_write_at(state, time);
    if (time > now)
        node->written = time;
    return state;
}

static void save_segment(struct saved *saved, const struct segment *segment)
{
    struct segment_blobs blobs;
    cr_assert(segment_blobs_begin(&blobs, segment));
    for (bool first = true; segment_blobs_next(&blobs); first = false) {
        saved->blobs = realloc(saved->blobs, (saved->count + 1) * sizeof *saved->blobs);
        struct blob *blob = &saved->blobs[saved->count++];
        *blob = (struct blob){malloc(blobs.size), blobs.size, first, blobs.first, blobs.last};
        segment_blobs_fill(&blobs, blob->data);
    }
    segment_blobs_end(&blobs);
}

static struct saved save(struct state *state)
{
    struct saved saved = {0};
    struct state_cut cut;
    struct snapshot_writer body = {.grow = grow};
    cr_assert_eq(state_cut(state, &cut), WEIR_OK);
    state_save(state, &body);
    saved.body = (struct blob){.data = body.data, .size = body.size};
    for (uint32_t i = 0; i < cut.count; i++)
        save_segment(&saved, cut.segments[i]);
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

static struct state *load_with(const struct weir_allocator *allocator, const struct node *node,
                               const struct saved *saved, uint32_t task, uint32_t parallelism)
{
    struct state *state = state_new_of(allocator, &node->type);
    struct state_range range = {state_first_group(task, parallelism, GROUPS),
                                state_first_group(task + 1, parallelism, GROUPS), GROUPS};
    struct weir_error error = {0};
    for (uint32_t i = 0; i < saved->count;) {
        struct segment *segment = segment_new(NULL);
        do {
            const struct blob *blob = &saved->blobs[i++];
            unsigned char *copy = malloc(blob->size);
            memcpy(copy, blob->data, blob->size);
            cr_assert(
                segment_restore(segment, copy, blob->size, blob->size, blob->least, blob->most));
        } while (i < saved->count && !saved->blobs[i].first);
        cr_assert_eq(state_load_segment(state, segment, &range, NULL, &error), WEIR_OK, "%s",
                     error.text);
    }
    struct snapshot_section section = {.body = saved->body.data, .left = saved->body.size};
    cr_assert_eq(state_load(state, &section, NULL, &error), WEIR_OK, "%s", error.text);
    return state;
}

static struct state *load(const struct node *node, const struct saved *saved, uint32_t task,
                          uint32_t parallelism)
{
    return load_with(NULL, node, saved, task, parallelism);
}

static void cut_free(struct cut *cut)
{
    for (uint32_t i = 0; i < cut->parallelism; i++)
        saved_free(&cut->tasks[i]);
    free(cut->twin);
    *cut = (struct cut){0};
}

static void node_free(struct node *node)
{
    for (uint32_t i = 0; i < node->parallelism; i++)
        state_free(&node->tasks[i]);
    for (uint32_t i = 0; i < CUTS; i++)
        cut_free(&node->cuts[i]);
}

/* Kept, in place of an older one, or aborted: nobody asks for it again. */
static void node_cut(struct node *node, const void *twin, size_t twin_size)
{
    struct cut cut = {.parallelism = node->parallelism, .twin = malloc(twin_size)};
    memcpy(cut.twin, twin, twin_size);
    for (uint32_t i = 0; i < node->parallelism; i++)
        cut.tasks[i] = save(node->tasks[i]);
    if (chance(3) == 0) {
        cut_free(&cut);
        return;
    }
    struct cut *place = &node->cuts[chance(CUTS)];
    cut_free(place);
    *place = cut;
}

/* Everything goes on from there. The clock may stand before what the states know. */
static void node_restore(struct node *node, void *twin, size_t twin_size)
{
    const struct cut *cut = &node->cuts[chance(CUTS)];
    if (cut->parallelism == 0)
        return;
    for (uint32_t i = 0; i < node->parallelism; i++)
        state_free(&node->tasks[i]);
    node->parallelism = cut->parallelism;
    for (uint32_t i = 0; i < node->parallelism; i++)
        node->tasks[i] = load(node, &cut->tasks[i], i, node->parallelism);
    memcpy(twin, cut->twin, twin_size);
}

static void hand_over(struct node *node, struct state *from)
{
    struct state_entry entry;
    for (uint32_t i = 0; i < node->parallelism; i++)
        state_set_time(node->tasks[i], state_time(from));
    state_scan_rewind(from);
    while (state_scan_entry(from, &entry) == WEIR_OK)
        cr_assert_eq(state_enter(node->tasks[owner_of(node, entry.hash)], &entry), WEIR_OK);
}

/* Another parallelism: entries go to the new owners of their groups. */
static void node_rescale(struct node *node)
{
    struct state *old[TASKS];
    uint32_t count = node->parallelism;
    memcpy(old, node->tasks, sizeof old);
    node->parallelism = 1 + (uint32_t)chance(TASKS);
    for (uint32_t i = 0; i < node->parallelism; i++)
        node->tasks[i] = state_new_of(NULL, &node->type);
    for (uint32_t i = 0; i < count; i++) {
        hand_over(node, old[i]);
        state_free(&old[i]);
    }
}

static void node_upheave(struct node *node, void *twin, size_t twin_size, int64_t *now)
{
    uint64_t dice = chance(20);
    if (dice < 12)
        node_cut(node, twin, twin_size);
    else if (dice < 16)
        node_restore(node, twin, twin_size);
    else
        node_rescale(node);
    node->now = *now;
}

/* Now and then a step back, which nobody must believe. */
static void node_tick(struct node *node, int64_t *now)
{
    if (*now == INT64_MIN && chance(50) > 0)
        return;
    *now = *now == INT64_MIN ? 1000 : *now + (int64_t)chance(20);
    node->now = chance(10) == 0 ? *now - (int64_t)chance(2000) : *now;
    for (uint32_t i = 0; i < node->parallelism; i++)
        state_set_time(node->tasks[i], *now);
}

static int64_t expiry_next(const struct node *node)
{
    return node->type.ttl_ns == 0 || node->written == INT64_MIN
               ? INT64_MAX
               : node->written + (int64_t)node->type.ttl_ns;
}

/* --- maps, and plain values: maps of one sub key ------------------------------------------ */

#define MAP_KEYS 30u
#define MAP_SUBS 120u

struct map_entry {
    uint32_t version;
    uint32_t size;
    int64_t expiry;
    bool lives;
};

struct map_twin {
    int64_t now;
    uint32_t versions;
    struct map_entry entries[MAP_KEYS][MAP_SUBS];
};

static bool lives(const struct map_twin *twin, uint32_t key, uint32_t sub)
{
    const struct map_entry *entry = &twin->entries[key][sub];
    return entry->lives && entry->expiry > twin->now;
}

static void map_write(struct node *node, struct map_twin *twin, uint32_t k, uint32_t s)
{
    struct key key, sub;
    unsigned char value[600];
    uint64_t hash;
    struct map_entry *entry = &twin->entries[k][s];
    struct state *state = task_to_write(node, twin->now, key_fill(&key, k), &hash);
    key_fill(&sub, s);
    bool was = lives(twin, k, s);
    uint32_t size = node->type.value_size, old = entry->size, version = entry->version;
    *entry = (struct map_entry){++twin->versions, size > 0 ? size : (uint32_t)chance(600),
                                expiry_next(node), true};
    if (size == 0 || chance(2) == 0) {
        value_fill(value, entry->size, entry->version);
        cr_assert_eq(state_map_put(state, key.bytes, hash, sub.bytes,
                                   (struct weir_bytes){value, entry->size}),
                     WEIR_OK);
        return;
    }
    unsigned char *cell = state_map_cell(state, key.bytes, hash, sub.bytes);
    cr_assert(cell != NULL && (uintptr_t)cell % 8 == 0);
    if (was)
        cr_assert(value_is((struct weir_bytes){cell, size}, old, version));
    for (uint32_t i = 0; !was && i < size; i++)
        cr_assert_eq(cell[i], 0, "a cell that is new, or has expired, is zeros");
    value_fill(cell, size, entry->version);
}

static void map_remove(struct node *node, struct map_twin *twin, uint32_t k, uint32_t s)
{
    struct key key, sub;
    uint64_t hash;
    struct state *state = task_of(node, key_fill(&key, k), &hash);
    enum weir_result result = state_map_remove(state, key.bytes, hash, key_fill(&sub, s));
    cr_assert_eq(result, lives(twin, k, s) ? WEIR_OK : WEIR_NOT_FOUND);
    twin->entries[k][s].lives = false;
}

static void map_check(struct node *node, const struct map_twin *twin, uint32_t k, uint32_t s)
{
    struct key key, sub;
    struct weir_bytes value;
    uint64_t hash;
    struct state *state = task_of(node, key_fill(&key, k), &hash);
    bool there = state_map_get(state, key.bytes, hash, key_fill(&sub, s), &value);
    cr_assert_eq(there, lives(twin, k, s), "key %u, sub key %u", (unsigned)k, (unsigned)s);
    if (there)
        cr_assert(value_is(value, twin->entries[k][s].size, twin->entries[k][s].version));
}

/* From any sub key on, also one that is not there. */
static void map_walk(struct node *node, const struct map_twin *twin, uint32_t k, uint32_t from)
{
    struct key key, after;
    struct weir_bytes sub, value;
    uint64_t hash;
    struct state *state = task_of(node, key_fill(&key, k), &hash);
    const struct weir_bytes *behind = NULL;
    if (from > 0) {
        key_fill(&after, from - 1);
        behind = &after.bytes;
    }
    for (uint32_t s = from; s < MAP_SUBS; s++) {
        if (!lives(twin, k, s))
            continue;
        cr_assert(state_map_next(state, key.bytes, behind, &sub, &value));
        cr_assert_eq(number_of(sub), s, "key %u", (unsigned)k);
        cr_assert(value_is(value, twin->entries[k][s].size, twin->entries[k][s].version));
        behind = &sub;
    }
    cr_assert(!state_map_next(state, key.bytes, behind, &sub, &value));
}

static uint32_t map_size(const struct map_twin *twin, uint32_t k)
{
    uint32_t size = 0;
    for (uint32_t s = 0; s < MAP_SUBS; s++)
        size += lives(twin, k, s);
    return size;
}

static void map_clear(struct node *node, struct map_twin *twin, uint32_t k)
{
    struct key key;
    uint64_t hash, removed, most = chance(2) == 0 ? UINT64_MAX : chance(40);
    struct state *state = task_of(node, key_fill(&key, k), &hash);
    uint32_t size = map_size(twin, k);
    cr_assert_eq(state_map_count(state, key.bytes), size);
    cr_assert_eq(state_map_clear(state, key.bytes, hash, most, &removed), WEIR_OK);
    if (node->type.ttl_ns == 0)
        cr_assert_eq(removed, most < size ? most : size);
    /* What has expired counts as removed, and comes in the order of sub keys too. */
    for (uint32_t s = 0; s < MAP_SUBS; s++) {
        struct key sub;
        struct weir_bytes value;
        bool there = state_map_get(state, key.bytes, hash, key_fill(&sub, s), &value);
        cr_assert(!there || lives(twin, k, s));
        twin->entries[k][s].lives &= there;
    }
    cr_assert_leq(size - map_size(twin, k), removed);
}

/* Each key that has something comes once; in each task they come in one order. */
static void map_scan(struct node *node, const struct map_twin *twin)
{
    bool seen[MAP_KEYS] = {false};
    for (uint32_t i = 0; i < node->parallelism; i++) {
        struct weir_bytes key;
        state_set_time(node->tasks[i], node->now);
        state_scan_rewind(node->tasks[i]);
        while (state_scan_next_key(node->tasks[i], &key) == WEIR_OK) {
            cr_assert(!seen[number_of(key)]);
            seen[number_of(key)] = true;
        }
        state_scan_rewind(node->tasks[i]);
    }
    for (uint32_t k = 0; k < MAP_KEYS; k++)
        cr_assert_eq(seen[k], map_size(twin, k) > 0, "key %u", (unsigned)k);
}

static void map_check_all(struct node *node, const struct map_twin *twin)
{
    for (uint32_t k = 0; k < MAP_KEYS; k++) {
        map_walk(node, twin, k, 0);
        for (uint32_t s = 0; s < MAP_SUBS; s++)
            map_check(node, twin, k, s);
    }
    map_scan(node, twin);
}

static void map_step(struct node *node, struct map_twin *twin, uint64_t write_of_100)
{
    uint32_t k = (uint32_t)chance(1 + chance(MAP_KEYS)), s = (uint32_t)chance(MAP_SUBS);
    uint64_t dice = chance(100);
    if (dice < write_of_100)
        map_write(node, twin, k, s);
    else if (dice < 85)
        map_remove(node, twin, k, s);
    else if (dice < 92)
        map_check(node, twin, k, s);
    else if (dice < 98)
        map_walk(node, twin, k, s);
    else
        map_clear(node, twin, k);
}

static void map_run(struct state_type type, uint32_t steps)
{
    struct node node;
    struct map_twin *twin = calloc(1, sizeof *twin);
    twin->now = INT64_MIN;
    node_begin(&node, type);
    for (uint32_t phase = 0; phase < 10; phase++) {
        uint64_t writes = 20 + chance(60), upheavals = 1 + chance(phase % 2 == 0 ? 50 : 2000);
        for (uint32_t i = 0; i < steps; i++) {
            map_step(&node, twin, writes);
            node_tick(&node, &twin->now);
            if (chance(upheavals) == 0)
                node_upheave(&node, twin, sizeof *twin, &twin->now);
        }
        map_check_all(&node, twin);
    }
    node_free(&node);
    free(twin);
}

Test(state_kinds, maps_match_a_naive_twin)
{
    chance_begin();
    map_run((struct state_type){STATE_MAP, 0, 0}, explore_part(6000));
    map_run((struct state_type){STATE_MAP, 12, 0}, explore_part(6000));
}

Test(state_kinds, maps_whose_values_expire_match_a_naive_twin)
{
    chance_begin();
    map_run((struct state_type){STATE_MAP, 0, TTL}, explore_part(6000));
    map_run((struct state_type){STATE_MAP, 16, 20 * TTL}, explore_part(6000));
}

/* --- lists -------------------------------------------------------------------------------- */

#define LIST_KEYS 20u
#define LIST_MAX 300u

struct list {
    uint32_t versions[LIST_MAX];
    uint32_t length;
    int64_t expiry;
};

struct list_twin {
    int64_t now;
    uint32_t versions;
    struct list lists[LIST_KEYS];
};

static uint32_t length_of(const struct list_twin *twin, uint32_t k)
{
    return twin->lists[k].expiry > twin->now ? twin->lists[k].length : 0;
}

static size_t list_value_size(const struct node *node, uint32_t version)
{
    return node->type.value_size > 0 ? node->type.value_size : version % 50;
}

static struct weir_bytes list_value(const struct node *node, unsigned char *room, uint32_t version)
{
    size_t size = list_value_size(node, version);
    value_fill(room, size, version);
    return (struct weir_bytes){room, size};
}

static void list_append(struct node *node, struct list_twin *twin, uint32_t k)
{
    struct key key;
    uint64_t hash;
    unsigned char room[64];
    struct list *list = &twin->lists[k];
    struct state *state = task_to_write(node, twin->now, key_fill(&key, k), &hash);
    list->length = length_of(twin, k);
    if (list->length == LIST_MAX)
        return;
    struct weir_bytes value = list_value(node, room, ++twin->versions);
    cr_assert_eq(state_list_append(state, key.bytes, hash, value), WEIR_OK);
    list->versions[list->length++] = twin->versions;
    list->expiry = expiry_next(node);
}

static void list_put(struct node *node, struct list_twin *twin, uint32_t k)
{
    struct key key;
    uint64_t hash, index = chance(LIST_MAX);
    unsigned char room[64];
    struct state *state = task_to_write(node, twin->now, key_fill(&key, k), &hash);
    struct weir_bytes value = list_value(node, room, ++twin->versions);
    bool there = index < length_of(twin, k);
    cr_assert_eq(state_list_put(state, key.bytes, hash, index, value),
                 there ? WEIR_OK : WEIR_NOT_FOUND);
    if (!there)
        return;
    twin->lists[k].versions[index] = twin->versions;
    twin->lists[k].expiry = expiry_next(node);
}

static void list_truncate(struct node *node, struct list_twin *twin, uint32_t k)
{
    struct key key;
    uint64_t hash, count = chance(2) == 0 ? 0 : chance(LIST_MAX);
    struct state *state = task_to_write(node, twin->now, key_fill(&key, k), &hash);
    cr_assert_eq(state_list_truncate(state, key.bytes, hash, count), WEIR_OK);
    if (count >= length_of(twin, k))
        return;
    twin->lists[k].length = (uint32_t)count;
    twin->lists[k].expiry = expiry_next(node);
}

static void list_check(struct node *node, const struct list_twin *twin, uint32_t k)
{
    struct key key;
    uint64_t hash;
    struct weir_bytes value;
    struct state *state = task_of(node, key_fill(&key, k), &hash);
    uint32_t length = length_of(twin, k);
    cr_assert_eq(state_list_count(state, key.bytes, hash), length, "key %u", (unsigned)k);
    cr_assert(!state_list_get(state, key.bytes, hash, length, &value));
    for (uint32_t i = 0; i < length; i++) {
        uint32_t version = twin->lists[k].versions[i];
        cr_assert(state_list_get(state, key.bytes, hash, i, &value));
        cr_assert(value_is(value, list_value_size(node, version), version));
    }
}

static void list_scan(struct node *node, const struct list_twin *twin)
{
    bool seen[LIST_KEYS] = {false};
    for (uint32_t i = 0; i < node->parallelism; i++) {
        struct weir_bytes key;
        state_set_time(node->tasks[i], node->now);
        state_scan_rewind(node->tasks[i]);
        while (state_scan_next_key(node->tasks[i], &key) == WEIR_OK)
            seen[number_of(key)] = true;
        state_scan_rewind(node->tasks[i]);
    }
    for (uint32_t k = 0; k < LIST_KEYS; k++)
        cr_assert_eq(seen[k], length_of(twin, k) > 0, "key %u", (unsigned)k);
}

static void list_run(struct state_type type, uint32_t steps)
{
    struct node node;
    struct list_twin *twin = calloc(1, sizeof *twin);
    twin->now = INT64_MIN;
    node_begin(&node, type);
    for (uint32_t phase = 0; phase < 10; phase++) {
        uint64_t upheavals = 1 + chance(phase % 2 == 0 ? 50 : 2000);
        for (uint32_t i = 0; i < steps; i++) {
            uint32_t k = (uint32_t)chance(1 + chance(LIST_KEYS));
            uint64_t dice = chance(200);
            if (dice < 150)
                list_append(&node, twin, k);
            else if (dice < 190)
                list_put(&node, twin, k);
            else if (dice < 195)
                list_check(&node, twin, k);
            else
                list_truncate(&node, twin, k);
            node_tick(&node, &twin->now);
            if (chance(upheavals) == 0)
                node_upheave(&node, twin, sizeof *twin, &twin->now);
        }
        for (uint32_t k = 0; k < LIST_KEYS; k++)
            list_check(&node, twin, k);
        list_scan(&node, twin);
    }
    node_free(&node);
    free(twin);
}

Test(state_kinds, lists_match_a_naive_twin)
{
    chance_begin();
    list_run((struct state_type){STATE_LIST, 0, 0}, explore_part(8000));
    list_run((struct state_type){STATE_LIST, 12, 0}, explore_part(8000));
}

Test(state_kinds, lists_that_expire_match_a_naive_twin)
{
    chance_begin();
    list_run((struct state_type){STATE_LIST, 0, TTL}, explore_part(8000));
    list_run((struct state_type){STATE_LIST, 8, 20 * TTL}, explore_part(8000));
}

/* --- timers ------------------------------------------------------------------------------- */

#define TIMER_KEYS 25u
#define TIMER_TIMES 200u
#define TIMER_TAGS 2u

struct timer_twin {
    int64_t now;
    bool set[PAIR_TIMER_KINDS][TIMER_TIMES][TIMER_KEYS][TIMER_TAGS];
};

static struct pair_timer timer_of(uint32_t time, uint32_t tag, uint32_t kind)
{
    return (struct pair_timer){(int64_t)time * 10 - 1000, tag, kind};
}

static void timer_change(struct node *node, struct timer_twin *twin, bool set)
{
    struct key key;
    uint64_t hash;
    uint32_t k = (uint32_t)chance(TIMER_KEYS), time = (uint32_t)chance(TIMER_TIMES);
    uint32_t tag = (uint32_t)chance(TIMER_TAGS), kind = (uint32_t)chance(PAIR_TIMER_KINDS);
    struct state *state = task_of(node, key_fill(&key, k), &hash);
    bool *is = &twin->set[kind][time][k][tag];
    if (set)
        cr_assert_eq(state_timer_set(state, key.bytes, hash, timer_of(time, tag, kind)), WEIR_OK);
    else
        cr_assert_eq(state_timer_cancel(state, key.bytes, hash, timer_of(time, tag, kind)),
                     *is ? WEIR_OK : WEIR_NOT_FOUND);
    *is = set;
}

/* What a task must take next: the first in the order of time, key, tag, of its own keys. */
static bool timer_first(const struct node *node, const struct timer_twin *twin, uint32_t kind,
                        uint32_t task, uint32_t first[3])
{
    struct key key;
    for (uint32_t time = 0; time < TIMER_TIMES; time++)
        for (uint32_t k = 0; k < TIMER_KEYS; k++)
            for (uint32_t tag = 0; tag < TIMER_TAGS; tag++)
                if (twin->set[kind][time][k][tag] &&
                    owner_of(node, state_hash(key_fill(&key, k))) == task) {
                    first[0] = time;
                    first[1] = k;
                    first[2] = tag;
                    return true;
                }
    return false;
}

static void timers_fire(struct node *node, struct timer_twin *twin, uint32_t most)
{
    uint32_t task = (uint32_t)chance(node->parallelism), kind = (uint32_t)chance(2);
    uint32_t first[3] = {0, 0, 0};
    int64_t now = timer_of((uint32_t)chance(TIMER_TIMES), 0, 0).time;
    for (uint32_t i = 0; i < most; i++) {
        struct weir_bytes key;
        struct pair_timer timer;
        bool any = timer_first(node, twin, kind, task, first);
        cr_assert_eq(state_timer_next(node->tasks[task], kind),
                     any ? timer_of(first[0], 0, 0).time : INT64_MAX);
        enum weir_result result = state_timer_take(node->tasks[task], kind, now, &key, &timer);
        bool due = any && timer_of(first[0], 0, 0).time <= now;
        cr_assert_eq(result, due ? WEIR_OK : WEIR_NOT_FOUND);
        if (!due)
            return;
        cr_assert(number_of(key) == first[1] && timer.tag == first[2] && timer.kind == kind);
        cr_assert_eq(timer.time, timer_of(first[0], 0, 0).time);
        twin->set[kind][first[0]][first[1]][first[2]] = false;
    }
}

Test(state_kinds, timers_match_a_naive_twin)
{
    chance_begin();
    struct node node;
    struct timer_twin *twin = calloc(1, sizeof *twin);
    node_begin(&node, (struct state_type){STATE_TIMERS, 0, 0});
    for (uint32_t i = explore_part(60000); i > 0; i--) {
        uint64_t dice = chance(100);
        if (dice < 97)
            timer_change(&node, twin, dice < 75);
        else
            timers_fire(&node, twin, (uint32_t)chance(100));
        if (chance(200) == 0)
            node_upheave(&node, twin, sizeof *twin, &twin->now);
    }
    for (uint32_t i = 0; i < 200; i++)
        timers_fire(&node, twin, 1000);
    node_free(&node);
    free(twin);
}

/* --- what is left of it ------------------------------------------------------------------- */

static void put_number(struct state *state, uint64_t number)
{
    struct weir_bytes key = {&number, sizeof number};
    cr_assert_eq(state_put(state, key, state_hash(key), key), WEIR_OK);
}

/* Each key lives for 2000 more, and nobody ever asks for it again. */
Test(state_kinds, what_has_expired_is_swept_by_what_is_written)
{
    struct state_type type = {STATE_VALUE, 8, 2000};
    struct state *state = state_new_of(NULL, &type);
    struct state_cut cut;
    uint64_t most = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        state_set_time(state, (int64_t)i);
        put_number(state, i);
        if (i % 1000 == 0) {
            cr_assert_eq(state_cut(state, &cut), WEIR_OK);
            state_cut_free(&cut);
        }
        if (i > 20000 && state_count(state) > most)
            most = state_count(state);
    }
    cr_assert_leq(most, 2 * 2000);
    cr_assert_lt(state_bytes(state), (uint64_t)1 << 20);
    state_free(&state);
}

/* Removed as expired, although what an older segment says of it would not have been. */
Test(state_kinds, no_older_value_comes_back_where_times_to_live_have_been_longer)
{
    struct node node;
    struct saved saved;
    uint64_t number = 7;
    struct weir_bytes key = {&number, sizeof number}, value;
    node_begin(&node, (struct state_type){STATE_VALUE, 8, 10000});
    state_set_time(node.tasks[0], 0);
    put_number(node.tasks[0], number);
    node.type.ttl_ns = 10;
    for (int64_t now = 0; now < 3; now++) {
        saved = save(node.tasks[0]);
        state_free(&node.tasks[0]);
        node.tasks[0] = load(&node, &saved, 0, 1);
        saved_free(&saved);
        cr_assert_eq(state_get(node.tasks[0], key, state_hash(key), &value), now < 2);
        state_set_time(node.tasks[0], now * 100);
        if (now == 0)
            put_number(node.tasks[0], number);
        if (now == 1)
            cr_assert_eq(state_remove(node.tasks[0], key, state_hash(key)), WEIR_NOT_FOUND);
    }
    cr_assert_eq(state_count(node.tasks[0]), 0);
    node_free(&node);
}

Test(state_kinds, timers_that_came_and_went_between_two_cuts_leave_nothing)
{
    struct state_type type = {STATE_TIMERS, 0, 0};
    struct state *state = state_new_of(NULL, &type);
    struct state_cut cut;
    struct weir_bytes key;
    struct pair_timer timer;
    for (uint64_t i = 0; i < 2000; i++) {
        struct weir_bytes own = {&i, sizeof i};
        struct pair_timer set = {(int64_t)(i * 7919 % 2003), i, 0};
        cr_assert_eq(state_timer_set(state, own, state_hash(own), set), WEIR_OK);
    }
    cr_assert_lt(state_bytes(state), 2000 * 140);
    printf("figure: %.1f bytes a timer\n", (double)state_bytes(state) / 2000);
    for (uint64_t i = 0; i < 2000; i++)
        cr_assert_eq(state_timer_take(state, 0, INT64_MAX, &key, &timer), WEIR_OK);
    cr_assert_eq(state_timer_take(state, 0, INT64_MAX, &key, &timer), WEIR_NOT_FOUND);
    cr_assert_eq(state_cut(state, &cut), WEIR_OK);
    cr_assert_eq(cut.count, 0);
    state_cut_free(&cut);
    state_free(&state);
}

/* However long the list was. */
Test(state_kinds, what_is_cut_off_a_list_is_removed_by_what_is_written)
{
    struct state_type type = {STATE_LIST, 8, 0};
    struct state *state = state_new_of(NULL, &type);
    uint64_t number = 1, other = 2, hash, hash_other;
    struct weir_bytes key = {&number, sizeof number}, key_other = {&other, sizeof other}, value;
    hash = state_hash(key);
    hash_other = state_hash(key_other);
    for (uint64_t i = 0; i < 20000; i++)
        cr_assert_eq(state_list_append(state, key, hash, key), WEIR_OK);
    cr_assert_eq(state_list_truncate(state, key, hash, 0), WEIR_OK);
    cr_assert_eq(state_list_count(state, key, hash), 0);
    cr_assert(!state_list_get(state, key, hash, 0, &value));
    cr_assert_gt(state_count(state), 10000, "not at once");
    for (uint64_t i = 0; i < 200000 && state_count(state) > 2; i++) {
        cr_assert_eq(state_list_append(state, key_other, hash_other, key), WEIR_OK);
        cr_assert_eq(state_list_truncate(state, key_other, hash_other, 0), WEIR_OK);
    }
    cr_assert_leq(state_count(state), 2);
    state_free(&state);
}

/* --- what none of them takes -------------------------------------------------------------- */

/* One byte more than a key may have. Nothing of it is read. */
static const struct weir_bytes too_large = {"", STATE_KEY_LIMIT + 1};

Test(state_kinds, a_key_beyond_the_limit_is_refused_by_maps_and_not_there)
{
    struct state *state = state_new_of(NULL, &(struct state_type){STATE_MAP, 8, 0});
    struct weir_bytes sound = {"key", 3}, value = {"8 bytes.", 8}, sub;
    for (int which = 0; which < 2; which++) {
        struct weir_bytes key = which ? sound : too_large, in_key = which ? too_large : sound;
        cr_expect_eq(state_map_put(state, key, 1, in_key, value), WEIR_TOO_LARGE);
        cr_expect_null(state_map_cell(state, key, 1, in_key));
        cr_expect_not(state_map_get(state, key, 1, in_key, &value));
        cr_expect_eq(state_map_remove(state, key, 1, in_key), WEIR_TOO_LARGE);
    }
    cr_expect_not(state_map_next(state, sound, NULL, &sub, &value));
    cr_expect_eq(state_count(state), 0);
    state_free(&state);
}

Test(state_kinds, a_key_beyond_the_limit_is_refused_by_lists_and_has_no_elements)
{
    struct state *state = state_new_of(NULL, &(struct state_type){STATE_LIST, 8, 0});
    struct weir_bytes value = {"8 bytes.", 8};
    cr_expect_eq(state_list_append(state, too_large, 1, value), WEIR_TOO_LARGE);
    cr_expect_eq(state_list_put(state, too_large, 1, 0, value), WEIR_TOO_LARGE);
    cr_expect_eq(state_list_truncate(state, too_large, 1, 0), WEIR_TOO_LARGE);
    cr_expect_eq(state_list_count(state, too_large, 1), 0);
    cr_expect_not(state_list_get(state, too_large, 1, 0, &value));
    cr_expect_eq(state_count(state), 0);
    state_free(&state);
}

Test(state_kinds, a_key_beyond_the_limit_is_refused_by_timers)
{
    struct state *state = state_new_of(NULL, &(struct state_type){STATE_TIMERS, 0, 0});
    struct pair_timer timer = {0, 1, 2};
    cr_expect_eq(state_timer_set(state, too_large, 1, timer), WEIR_TOO_LARGE);
    cr_expect_eq(state_timer_cancel(state, too_large, 1, timer), WEIR_TOO_LARGE);
    cr_expect_eq(state_count(state), 0);
    state_free(&state);
}

Test(state_kinds, an_element_is_put_where_there_is_one_and_of_its_size)
{
    struct state *state = state_new_of(NULL, &(struct state_type){STATE_LIST, 8, 0});
    struct weir_bytes key = {"key", 3}, first = {"1 of it.", 8}, other = {"another.", 8}, got;
    uint64_t hash = state_hash(key);
    cr_expect_eq(state_list_append(state, key, hash, (struct weir_bytes){"short", 5}),
                 WEIR_INVALID);
    cr_expect_eq(state_list_put(state, key, hash, 0, first), WEIR_NOT_FOUND);
    cr_assert_eq(state_list_append(state, key, hash, first), WEIR_OK);
    cr_expect_eq(state_list_put(state, key, hash, 0, (struct weir_bytes){"short", 5}),
                 WEIR_INVALID);
    cr_expect_eq(state_list_put(state, key, hash, 1, other), WEIR_NOT_FOUND);
    cr_assert(state_list_get(state, key, hash, 0, &got));
    cr_expect_eq(memcmp(got.data, first.data, 8), 0);
    cr_expect_eq(state_list_put(state, key, hash, 0, other), WEIR_OK);
    cr_assert(state_list_get(state, key, hash, 0, &got));
    cr_expect_eq(memcmp(got.data, other.data, 8), 0);
    cr_expect_eq(state_list_count(state, key, hash), 1);
    state_free(&state);
}

/* --- no memory ---------------------------------------------------------------------------- */

static uint32_t allocations_left = UINT32_MAX;

static void *take_memory(void *context, size_t size)
{
    (void)context;
    return allocations_left > 0 && allocations_left-- > 0 ? malloc(size) : NULL;
}

static void give_memory(void *context, void *memory)
{
    (void)context;
    free(memory);
}

/* What was taken over has no room for a key yet when its first timer is due. */
/* Each key once, also when every step is refused memory first. */
Test(state_kinds, a_scan_that_is_refused_memory_goes_on_where_it_stood)
{
    static const struct weir_allocator allocator = {take_memory, give_memory, NULL};
    static const enum state_kind kinds[] = {STATE_VALUE, STATE_MAP, STATE_LIST};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct state_type type = {kinds[k], 8, 0};
        struct state *state = state_new_of(&allocator, &type);
        struct weir_bytes key, value;
        unsigned seen[40] = {0}, refused = 0;
        for (uint64_t i = 0; i < 40; i++) {
            struct weir_bytes own = {&i, sizeof i};
            uint64_t hash = kinds[k] == STATE_VALUE ? 7 : state_hash(own); /* all alike */
            enum weir_result put = kinds[k] == STATE_VALUE ? state_put(state, own, hash, own)
                                   : kinds[k] == STATE_MAP
                                       ? state_map_put(state, own, hash, own, own)
                                       : state_list_append(state, own, hash, own);
            cr_assert_eq(put, WEIR_OK);
        }
        for (enum weir_result result = WEIR_OK; result != WEIR_NOT_FOUND;) {
            for (int with = 0; with < 2; with++) {
                allocations_left = with ? UINT32_MAX : 0;
                result = kinds[k] == STATE_VALUE ? state_scan_next(state, &key, &value)
                                                 : state_scan_next_key(state, &key);
                allocations_left = UINT32_MAX;
                refused += result == WEIR_NO_MEMORY;
                if (result != WEIR_NO_MEMORY)
                    break;
            }
            cr_assert(result == WEIR_OK || result == WEIR_NOT_FOUND);
            if (result == WEIR_OK)
                seen[*(const uint64_t *)key.data]++;
        }
        for (size_t i = 0; i < 40; i++)
            cr_expect_eq(seen[i], 1, "%zu: key %zu: %u times", k, i, seen[i]);
        cr_expect_gt(refused, 0, "%zu", k);
        state_free(&state);
    }
}

/* A state that has the same, without any of it having been put there by key: loaded, or entry by
 * entry. */
static struct state *take_over(const struct weir_allocator *allocator, struct node *node,
                               bool by_entry)
{
    struct saved saved = save(node->tasks[0]);
    struct state *state;
    if (by_entry) {
        struct state_entry entry;
        state = state_new_of(allocator, &node->type);
        state_scan_rewind(node->tasks[0]);
        while (state_scan_entry(node->tasks[0], &entry) == WEIR_OK)
            cr_assert_eq(state_enter(state, &entry), WEIR_OK);
    } else {
        state = load_with(allocator, node, &saved, 0, 1);
    }
    saved_free(&saved);
    return state;
}

/* Nothing looks as if it were not there, because its key had to be put together first. */
Test(state_kinds, what_was_taken_over_is_found_without_memory)
{
    static const struct weir_allocator allocator = {take_memory, give_memory, NULL};
    static char name[3000], part[500];
    const struct weir_bytes key = {name, sizeof name}, sub = {part, sizeof part}, first = {"1", 1};
    const struct pair_timer timer = {5, 7, 1};
    uint64_t hash = state_hash(key);
    for (int which = 0; which < 6; which++) {
        static const enum state_kind kinds[] = {STATE_MAP, STATE_LIST, STATE_TIMERS};
        struct node node;
        struct weir_bytes value = {NULL, 0};
        struct pair_timer due;
        enum state_kind kind = kinds[which % 3];
        node_begin(&node, (struct state_type){kind, 0, 0});
        cr_assert_eq(kind == STATE_MAP    ? state_map_put(node.tasks[0], key, hash, sub, first)
                     : kind == STATE_LIST ? state_list_append(node.tasks[0], key, hash, first)
                                          : state_timer_set(node.tasks[0], key, hash, timer),
                     WEIR_OK);
        struct state *state = take_over(&allocator, &node, which > 2);
        allocations_left = 0;
        if (kind == STATE_MAP) {
            cr_expect(state_map_get(state, key, hash, sub, &value) && value.size == 1);
        } else if (kind == STATE_LIST) {
            cr_expect_eq(state_list_count(state, key, hash), 1);
            cr_expect(state_list_get(state, key, hash, 0, &value) && value.size == 1);
        } else {
            enum weir_result result = state_timer_take(state, 1, 5, &value, &due);
            allocations_left = UINT32_MAX;
            if (result == WEIR_NO_MEMORY) /* for the note that it is gone: it is due again */
                result = state_timer_take(state, 1, 5, &value, &due);
            cr_expect_eq(result, WEIR_OK);
            cr_expect(value.size == sizeof name && due.time == 5 && due.tag == 7);
            cr_expect_eq(state_timer_count(state, 1), 0);
        }
        allocations_left = UINT32_MAX;
        state_free(&state);
        node_free(&node);
    }
}

/* --- memory that is refused once ---------------------------------------------------------- */

enum { SCARCE_KEYS = 24, SCARCE_ROUNDS = 12 };

static struct scarce {
    struct weir_allocator allocator;
    uint64_t left; /* allocations before the one that is refused */
    bool refused;
} scarce;

static void *scarce_take(void *context, size_t size)
{
    (void)context;
    if (scarce.left-- > 0)
        return malloc(size);
    scarce.left = UINT64_MAX;
    scarce.refused = true;
    return NULL;
}

static void scarce_release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

/* What was refused memory has changed nothing, and succeeds the next time. */
#define TWICE(call)                                                                                \
    do {                                                                                           \
        enum weir_result first_result = (call);                                                    \
        if (first_result == WEIR_NO_MEMORY) {                                                      \
            cr_assert(scarce.refused);                                                             \
            first_result = (call);                                                                 \
        }                                                                                          \
        cr_assert_eq(first_result, WEIR_OK, "%s: %s", #call, weir_result_name(first_result));      \
    } while (0)

static struct state *scarce_state(struct state_type type, uint64_t left)
{
    scarce = (struct scarce){.allocator = {scarce_take, scarce_release, NULL}, .left = left};
    struct state *state = state_new_of(&scarce.allocator, &type);
    return state ? state : state_new_of(&scarce.allocator, &type);
}

static struct weir_bytes scarce_value(unsigned char *room, uint32_t version)
{
    struct weir_bytes value = {room, 1 + version * 37 % 90};
    value_fill(room, value.size, version);
    return value;
}

static uint32_t listed[SCARCE_KEYS][SCARCE_ROUNDS * 4], lengths[SCARCE_KEYS];

static void scarce_list_round(struct state *state, uint32_t round)
{
    unsigned char room[100];
    struct key key;
    for (uint32_t k = 0; k < SCARCE_KEYS; k++) {
        struct weir_bytes bytes = key_fill(&key, k + 1);
        uint64_t hash = state_hash(bytes);
        for (uint32_t n = 0; n < 3; n++) {
            uint32_t version = round * 100 + k * 3 + n;
            TWICE(state_list_append(state, bytes, hash, scarce_value(room, version)));
            listed[k][lengths[k]++] = version;
            cr_assert_eq(state_list_count(state, bytes, hash), lengths[k]);
        }
        uint32_t at = (round + k) % lengths[k];
        TWICE(state_list_put(state, bytes, hash, at, scarce_value(room, round + k)));
        listed[k][at] = round + k;
        if ((round + k) % 4 == 0) {
            lengths[k] = (round + k) % 3 == 0 ? 0 : lengths[k] / 2;
            TWICE(state_list_truncate(state, bytes, hash, lengths[k]));
        }
    }
}

static void scarce_list_check(struct state *state)
{
    struct weir_bytes value;
    struct key key;
    for (uint32_t k = 0; k < SCARCE_KEYS; k++) {
        struct weir_bytes bytes = key_fill(&key, k + 1);
        uint64_t hash = state_hash(bytes);
        cr_assert_eq(state_list_count(state, bytes, hash), lengths[k]);
        for (uint32_t i = 0; i < lengths[k]; i++) {
            cr_assert(state_list_get(state, bytes, hash, i, &value));
            cr_assert(value_is(value, 1 + listed[k][i] * 37 % 90, listed[k][i]), "%u of %u", i, k);
        }
        cr_assert_not(state_list_get(state, bytes, hash, lengths[k], &value));
    }
}

static void scarce_cut(struct state *state, struct state_cut *cut)
{
    state_cut_free(cut);
    TWICE(state_cut(state, cut));
}

Test(state_kinds, a_list_that_is_refused_memory_is_as_it_was)
{
    uint64_t left = 0;
    for (scarce.refused = true; scarce.refused; left++) {
        struct state *state = scarce_state((struct state_type){STATE_LIST, 0, 0}, left);
        struct state_cut cut = {0};
        memset(lengths, 0, sizeof lengths);
        for (uint32_t round = 0; round < SCARCE_ROUNDS; round++) {
            scarce_list_round(state, round);
            if (round % 3 == 2)
                scarce_cut(state, &cut);
            scarce_list_check(state);
        }
        state_cut_free(&cut);
        state_free(&state);
    }
    cr_assert(left > 20, "%" PRIu64, left);
    exercised(left - 1);
}

static uint32_t mapped[SCARCE_KEYS][SCARCE_ROUNDS]; /* version + 1; 0: not there */

static void scarce_map_round(struct state *state, uint32_t round)
{
    unsigned char room[100];
    struct key key, sub;
    for (uint32_t k = 0; k < SCARCE_KEYS; k++) {
        struct weir_bytes bytes = key_fill(&key, k + 1);
        uint64_t hash = state_hash(bytes);
        for (uint32_t s = 0; s <= round; s += 1 + k % 2) {
            struct weir_bytes under = key_fill(&sub, s);
            uint32_t version = round * 50 + k + s;
            TWICE(state_map_put(state, bytes, hash, under, scarce_value(room, version)));
            mapped[k][s] = version + 1;
        }
        if (mapped[k][round / 2]) {
            TWICE(state_map_remove(state, bytes, hash, key_fill(&sub, round / 2)));
            mapped[k][round / 2] = 0;
        }
        if ((round + k) % 7 == 0) {
            uint64_t removed = 0;
            TWICE(state_map_clear(state, bytes, hash, UINT64_MAX, &removed));
            memset(mapped[k], 0, sizeof mapped[k]);
            cr_assert_eq(state_map_count(state, bytes), 0);
        }
    }
}

static void scarce_map_check(struct state *state)
{
    struct weir_bytes value;
    struct key key, sub;
    for (uint32_t k = 0; k < SCARCE_KEYS; k++) {
        struct weir_bytes bytes = key_fill(&key, k + 1);
        for (uint32_t s = 0; s < SCARCE_ROUNDS; s++) {
            uint32_t version = mapped[k][s] - 1;
            struct weir_bytes under = key_fill(&sub, s);
            bool there = state_map_get(state, bytes, state_hash(bytes), under, &value);
            cr_assert_eq(there, mapped[k][s] != 0, "%u of %u", s, k);
            cr_assert(!there || value_is(value, 1 + version * 37 % 90, version), "%u of %u", s, k);
        }
    }
}

Test(state_kinds, a_map_that_is_refused_memory_is_as_it_was)
{
    uint64_t left = 0;
    for (scarce.refused = true; scarce.refused; left++) {
        struct state *state = scarce_state((struct state_type){STATE_MAP, 0, 0}, left);
        struct state_cut cut = {0};
        memset(mapped, 0, sizeof mapped);
        for (uint32_t round = 0; round < SCARCE_ROUNDS; round++) {
            scarce_map_round(state, round);
            if (round % 3 == 2)
                scarce_cut(state, &cut);
            scarce_map_check(state);
        }
        state_cut_free(&cut);
        state_free(&state);
    }
    cr_assert(left > 20, "%" PRIu64, left);
    exercised(left - 1);
}
