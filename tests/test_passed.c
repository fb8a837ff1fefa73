/* SPDX-License-Identifier: Apache-2.0
 *
 * passed: marks beside the definition of a scan's order, written and read back, and refused.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "passed.h"
#include "state.h"

enum { GROUPS = 8, KEYS = 400 };

static char names[KEYS][8];
static struct weir_bytes keys[KEYS];

static void make_keys(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        int size = snprintf(names[i], sizeof names[i], "%u", i * i % 977);
        keys[i] = (struct weir_bytes){names[i], (size_t)size};
    }
}

TestSuite(passed, .init = make_keys);

static int order_of_bytes(struct weir_bytes a, struct weir_bytes b)
{
    for (size_t i = 0; i < a.size && i < b.size; i++) {
        int by = ((const unsigned char *)a.data)[i] - ((const unsigned char *)b.data)[i];
        if (by != 0)
            return by;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}

/* A scan has gone over groups 2 to 5, to and with the key `at`. */
static struct passed_mark mark_at(struct weir_bytes at, uint64_t tag)
{
    return (struct passed_mark){
        .first = 2, .end = 6, .groups = GROUPS, .tag = tag, .within = true, .key = at};
}

static bool in_groups(uint64_t hash)
{
    uint32_t group = state_group(hash, GROUPS);
    return group >= 2 && group < 6;
}

Test(passed, holds_what_comes_before_the_mark_in_its_groups)
{
    unsigned held = 0;
    for (unsigned i = 0; i < KEYS; i += 7)
        for (unsigned j = 0; j < KEYS; j++) {
            /* Few tags, so that many keys share one. */
            uint64_t hash = state_hash(keys[j]) & ~(uint64_t)0xfffffffc;
            uint64_t tag = state_hash(keys[i]) & 3;
            struct passed_mark mark = mark_at(keys[i], tag);
            bool before = (uint32_t)hash < tag ||
                          ((uint32_t)hash == tag && order_of_bytes(keys[j], keys[i]) <= 0);
            bool is = passed_mark_holds(&mark, hash, keys[j]);
            cr_assert_eq(is, in_groups(hash) && before, "key %u, mark at %u", j, i);
            mark.within = false;
            cr_assert_eq(passed_mark_holds(&mark, hash, keys[j]),
                         in_groups(hash) && (uint32_t)hash < tag);
            held += is;
        }
    cr_assert(held > KEYS, "%u", held);
}

Test(passed, holds_whole_keys_by_all_of_their_hash)
{
    unsigned held = 0;
    for (unsigned i = 0; i < KEYS; i += 7)
        for (unsigned j = 0; j < KEYS; j++) {
            uint64_t hash = state_hash(keys[j]), stood = state_hash(keys[i]);
            struct passed_mark mark = mark_at(keys[i], (uint32_t)stood);
            struct passed passed = {&mark, 1};
            bool before = hash < stood || (hash == stood && order_of_bytes(keys[j], keys[i]) <= 0);
            bool is = passed_holds_whole(&passed, hash, keys[j]);
            cr_assert_eq(is, in_groups(hash) && before, "key %u, mark at %u", j, i);
            held += is;
            mark.within = false; /* behind no key yet, or at the end */
            cr_assert_not(passed_holds_whole(&passed, hash, keys[j]));
            mark.tag = (uint64_t)UINT32_MAX + 1;
            cr_assert_eq(passed_holds_whole(&passed, hash, keys[j]), in_groups(hash));
        }
    cr_assert(held > KEYS, "%u", held);
}

Test(passed, tells_keys_of_one_hash_apart_and_a_prefix_comes_first)
{
    struct weir_bytes ab = {"ab", 2}, abc = {"abc", 3}, none = {NULL, 0};
    uint64_t hash = 0;
    while (!in_groups(hash))
        hash += (uint64_t)1 << 60;
    struct passed_mark at_ab = mark_at(ab, (uint32_t)hash);
    struct passed_mark at_none = mark_at(none, (uint32_t)hash);
    cr_assert(passed_mark_holds(&at_ab, hash, ab));
    cr_assert(passed_mark_holds(&at_ab, hash, none));
    cr_assert_not(passed_mark_holds(&at_ab, hash, abc));
    cr_assert(passed_mark_holds(&at_none, hash, none));
    cr_assert_not(passed_mark_holds(&at_none, hash, ab));
}

Test(passed, whole_keys_of_the_same_hash_go_by_their_bytes)
{
    unsigned met = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        uint64_t hash = state_hash(keys[i]);
        struct weir_bytes less = {names[i], keys[i].size - 1}, more = {names[i], keys[i].size + 1};
        struct passed_mark mark = mark_at(keys[i], (uint32_t)hash);
        struct passed passed = {&mark, 1};
        if (!in_groups(hash))
            continue;
        cr_assert(passed_holds_whole(&passed, hash, less));
        cr_assert(passed_holds_whole(&passed, hash, keys[i]));
        cr_assert_not(passed_holds_whole(&passed, hash, more));
        met++;
    }
    cr_assert(met > 0);
}

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context, (void)size;
    return realloc(data, capacity);
}

static bool read_back(const struct snapshot_writer *writer, struct passed_mark *mark)
{
    struct snapshot_reader reader = {writer->data, writer->size, false};
    struct snapshot_section section;
    cr_assert(snapshot_next(&reader, &section));
    cr_assert_eq(section.tag, SNAPSHOT_SCAN);
    cr_assert_eq(section.index, 9);
    return passed_mark_read(&section, mark);
}

Test(passed, reads_what_was_saved)
{
    struct passed passed = {0};
    struct passed_mark mark = mark_at(keys[3], 77), read;
    struct snapshot_writer writer = {.grow = grow};
    cr_assert(passed_add(&passed, NULL, &mark));
    cr_assert_neq(passed.marks[0].key.data, mark.key.data, "a copy");
    passed_save(&passed, 9, &writer);
    cr_assert(read_back(&writer, &read));
    cr_assert_eq(read.first, mark.first);
    cr_assert_eq(read.end, mark.end);
    cr_assert_eq(read.groups, mark.groups);
    cr_assert_eq(read.tag, mark.tag);
    cr_assert(read.within);
    cr_assert_eq(order_of_bytes(read.key, mark.key), 0);
    passed_clear(&passed, NULL);
    cr_assert_eq(passed.count, 0);
    free(writer.data);
}

Test(passed, refuses_each_value_that_can_not_be)
{
    static const struct bad {
        uint32_t first, end, groups, within;
        uint64_t tag;
        size_t key, cut; /* bytes of the key; of the section, that are missing */
        bool is_right;
    } cases[] = {
        {.first = 2, .end = 6, .groups = 8, .within = 1, .tag = 5, .key = 3, .is_right = true},
        {.first = 2, .end = 6, .groups = 8, .tag = (uint64_t)UINT32_MAX + 1, .is_right = true},
        {.first = 2, .end = 6, .groups = 8, .within = 2},
        {.first = 0, .end = 1, .groups = 0},
        {.first = 6, .end = 6, .groups = 8},
        {.first = 7, .end = 6, .groups = 8},
        {.first = 2, .end = 9, .groups = 8},
        {.first = 2, .end = 6, .groups = 8, .tag = (uint64_t)UINT32_MAX + 2},
        {.first = 2, .end = 6, .groups = 8, .key = 1},
        {.first = 2, .end = 6, .groups = 8, .within = 1, .key = (size_t)STATE_KEY_LIMIT + 1},
        {.first = 2, .end = 6, .groups = 8, .cut = 1},
        {.first = 2, .end = 6, .groups = 8, .cut = 8},
    };
    char *zeros = calloc(1, (size_t)STATE_KEY_LIMIT + 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct bad *bad = &cases[i];
        struct snapshot_writer writer = {.grow = grow};
        struct passed_mark mark;
        snapshot_begin(&writer, SNAPSHOT_SCAN, 9);
        snapshot_u32(&writer, bad->first);
        snapshot_u32(&writer, bad->end);
        snapshot_u32(&writer, bad->groups);
        snapshot_u32(&writer, bad->within);
        snapshot_bytes(&writer, zeros, bad->cut ? 8 - bad->cut : 0);
        if (!bad->cut)
            snapshot_u64(&writer, bad->tag);
        snapshot_bytes(&writer, zeros, bad->key);
        snapshot_end(&writer);
        cr_assert_eq(read_back(&writer, &mark), bad->is_right, "case %zu", i);
        free(writer.data);
    }
    free(zeros);
}

/* Refuses the `left`-th allocation. */
static void *scarce_take(void *context, size_t size)
{
    unsigned *left = context;
    return (*left)-- == 0 ? NULL : malloc(size);
}

static void scarce_release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

Test(passed, says_when_there_is_no_memory_and_holds_what_it_held)
{
    for (unsigned refused = 0; refused < 3; refused++) {
        unsigned left = refused;
        struct weir_allocator allocator = {scarce_take, scarce_release, &left};
        struct passed passed = {0};
        struct passed_mark mark = mark_at(keys[1], 5);
        cr_assert_eq(passed_add(&passed, &allocator, &mark), refused == 2);
        cr_assert_eq(passed.count, refused == 2);
        left = 100;
        passed_clear(&passed, &allocator);
    }
}
