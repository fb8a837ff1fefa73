/* links: sim */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is moved out to files and read there, over simulated doors: what is mapped comes from
 * what was written, and a write to it is a crash. And a state that is larger than the memory it may
 * have, against a naive twin.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "annex.h"
#include "disk.h"
#include "exercised.h"
#include "explore.h"
#include "memory.h"
#include "segment_blobs.h"
#include "sim.h"
#include "state_inside.h"

#define FOLDER "/scratch"
#define PAGE ((size_t)4096)
#define KIB ((size_t)1024)

static struct annex annex;

static void begin(uint64_t budget)
{
    sim_start(1);
    sim_disk_wipe();
    cr_assert_eq(disk_make_folder(DISK_CWD, FOLDER), 0);
    annex_init(&annex, FOLDER, 7, budget);
}

static void end(void)
{
    annex_free(&annex);
    cr_expect_eq(annex.held, 0);
    cr_expect_eq(annex.moved, 0);
    cr_expect_eq(sim_end(), 0);
}

static unsigned char byte_at(size_t i)
{
    return (unsigned char)explore_mix(i + 1);
}

static void fill(unsigned char *bytes, size_t size, size_t from)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(from + i);
}

static bool is_filled(const unsigned char *bytes, size_t size, size_t from)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != byte_at(from + i))
            return false;
    return true;
}

/* ------------------------------------------------------------------------- bare memory -- */

#define BLOCKS 40

struct blocks {
    struct annex_ranges ranges;
    unsigned char *data[BLOCKS];
    size_t size[BLOCKS];
};

static void take_all(struct blocks *blocks)
{
    *blocks = (struct blocks){0};
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks->size[i] = i % 7 == 6 ? 300 * KIB + 10 : PAGE * (1 + i % 5);
        blocks->data[i] = annex_take(&annex, &blocks->ranges, NULL, blocks->size[i]);
        cr_assert_not_null(blocks->data[i]);
        cr_assert_eq((uintptr_t)blocks->data[i] % PAGE, 0);
        fill(blocks->data[i], blocks->size[i], i * 1000000);
    }
}

static bool all_filled(const struct blocks *blocks)
{
    for (size_t i = 0; i < BLOCKS; i++)
        if (!is_filled(blocks->data[i], blocks->size[i], i * 1000000))
            return false;
    return true;
}

Test(annex, what_is_moved_out_reads_as_before_at_the_same_place)
{
    struct blocks blocks;
    begin(64 * KIB);
    take_all(&blocks);
    uint64_t whole = annex.held, moved = 0;
    cr_expect_eq(annex_held(&blocks.ranges), whole);
    for (uint64_t part; (part = annex_move(&annex, &blocks.ranges, 20 * KIB)) > 0;) {
        moved += part;
        cr_assert_eq(annex.moved, moved);
        cr_assert_eq(annex.held + annex.moved, whole);
        cr_assert(all_filled(&blocks));
        cr_assert_leq(sim_disk_left(), 1, "a range that is moved whole keeps no descriptor");
    }
    cr_expect_eq(annex.held, 0);
    cr_expect_eq(sim_disk_mapped(), whole);
    cr_expect_eq(sim_disk_left(), 0);
    annex_release(&annex, &blocks.ranges);
    end();
}

Test(annex, what_is_taken_behind_what_was_moved_moves_later)
{
    struct annex_ranges ranges = {0};
    begin(64 * KIB);
    for (size_t i = 0; i < 30; i++) {
        unsigned char *block = annex_take(&annex, &ranges, NULL, PAGE);
        fill(block, PAGE, i);
        cr_assert_eq(annex_move(&annex, &ranges, 1), PAGE); /* whole pages */
        cr_assert(is_filled(block, PAGE, i));
        cr_assert_eq(annex_move(&annex, &ranges, 1), 0);
        cr_assert_eq(sim_disk_left(), 0);
    }
    annex_release(&annex, &ranges);
    end();
}

Test(annex, what_was_released_goes_a_little_at_a_time)
{
    struct blocks blocks;
    begin(64 * KIB);
    cr_expect_not(annex_tidy(&annex, 1));
    take_all(&blocks);
    annex_move(&annex, &blocks.ranges, 300 * KIB);
    uint64_t whole = annex.held + annex.moved;
    annex_release(&annex, &blocks.ranges);
    cr_expect_eq(annex.held + annex.moved, whole, "it is there until it is given back");
    for (unsigned times = 0; annex_tidy(&annex, 1); times++) {
        uint64_t now = annex.held + annex.moved;
        cr_assert_lt(now, whole);
        cr_assert_leq(whole - now, 304 * KIB, "one range");
        cr_assert_lt(times, 100);
        whole = now;
    }
    cr_expect_eq(whole, 0);
    end();
}

/* How many of the calls so named there are, and each of them fails in turn. */
static void fail_each(const char *name, int os_error)
{
    unsigned failed = 0;
    for (uint64_t k = 1; k < 1000; k++) {
        struct blocks blocks;
        begin(64 * KIB);
        take_all(&blocks);
        uint64_t whole = annex.held;
        sim_disk_fail_of(name, k, os_error, 0);
        while (annex_move(&annex, &blocks.ranges, 100 * KIB) > 0)
            ;
        bool came = sim_disk_failed();
        cr_assert(all_filled(&blocks), "%s %d", name, (int)k);
        cr_assert_eq(annex.held + annex.moved, whole);
        if (annex.held > 0) { /* not what is removed or closed in vain */
            cr_assert(came);
            cr_assert_eq(annex.trouble, -os_error);
            cr_assert_eq(annex_excess(&annex, 0), 0, "not again before there is more");
            cr_assert_gt(annex_excess(&annex, 1) + annex.again_at, annex.held);
        }
        while (annex_move(&annex, &blocks.ranges, 100 * KIB) > 0)
            ;
        cr_assert_eq(annex.held, 0, "the next attempt moves what is left");
        cr_assert_eq(annex.trouble, 0);
        cr_assert(all_filled(&blocks));
        annex_release(&annex, &blocks.ranges);
        end();
        failed += came;
        if (!came)
            break;
    }
    exercised(failed);
    cr_expect_gt(failed, 10, "%s: %u", name, failed);
}

Test(annex, each_file_call_may_fail_and_nothing_is_lost)
{
    fail_each("open", EMFILE);
    fail_each("remove", EIO);
    fail_each("reserve", ENOSPC);
    fail_each("write", EIO);
    fail_each("map", ENOMEM);
    fail_each("close", EIO);
}

Test(annex, short_writes_are_completed)
{
    struct blocks blocks;
    begin(64 * KIB);
    sim_disk_short(2);
    take_all(&blocks);
    while (annex_move(&annex, &blocks.ranges, 100 * KIB) > 0)
        ;
    cr_expect_eq(annex.held, 0);
    cr_expect(all_filled(&blocks));
    annex_release(&annex, &blocks.ranges);
    end();
}

Test(annex, memory_that_is_not_there_is_not_counted)
{
    for (uint64_t k = 1; k <= 2; k++) { /* of a range: what describes it, and itself */
        struct annex_ranges ranges = {0};
        begin(64 * KIB);
        sim_memory_fail(k, 1);
        cr_expect_null(annex_take(&annex, &ranges, NULL, PAGE));
        cr_expect_eq(annex.held, 0);
        cr_expect_not_null(annex_take(&annex, &ranges, NULL, PAGE));
        annex_release(&annex, &ranges);
        end();
    }
}

Test(annex, a_folder_is_tried_before_it_is_relied_on)
{
    static const char *const calls[] = {"open", "reserve", "write", "map"};
    struct weir_error error;
    begin(64 * KIB);
    cr_expect_eq(annex_try(&annex, &error), WEIR_OK);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        sim_disk_fail_of(calls[i], 1, EOPNOTSUPP, 0);
        cr_expect_neq(annex_try(&annex, &error), WEIR_OK, "%s", calls[i]);
        cr_expect_not_null(strstr(error.text, FOLDER), "%s", error.text);
        cr_expect_not_null(strstr(error.text, "state_memory"), "%s", error.text);
    }
    cr_expect_eq(annex_try(&annex, &error), WEIR_OK);
    end();
}

Test(annex, trouble_is_told_once_until_it_is_over)
{
    struct annex_ranges ranges = {0};
    int trouble;
    begin(4 * PAGE);
    for (size_t i = 0; i < 8; i++)
        fill(annex_take(&annex, &ranges, NULL, PAGE), PAGE, i);
    cr_expect_not(annex_warns(&annex, &trouble));
    for (size_t i = 0; i < 2; i++) {
        sim_disk_fail_of("reserve", 1, ENOSPC, 0);
        cr_expect_eq(annex_move(&annex, &ranges, PAGE), 0);
        cr_expect(annex_warns(&annex, &trouble));
        cr_expect_eq(trouble, -ENOSPC);
        cr_expect_not(annex_warns(&annex, &trouble));
        cr_expect_not(annex_is_overrun(&annex, &trouble), "twice is not more than twice");
        cr_expect_eq(annex_move(&annex, &ranges, PAGE), PAGE);
        cr_expect_not(annex_warns(&annex, &trouble));
        fill(annex_take(&annex, &ranges, NULL, PAGE), PAGE, i);
    }
    for (size_t i = 0; i < 2; i++)
        fill(annex_take(&annex, &ranges, NULL, PAGE), PAGE, i);
    cr_expect_not(annex_is_overrun(&annex, &trouble), "moves do not fail");
    sim_disk_fail_of("reserve", 1, ENOSPC, 0);
    cr_expect_eq(annex_move(&annex, &ranges, PAGE), 0);
    cr_expect(annex_is_overrun(&annex, &trouble));
    cr_expect_eq(trouble, -ENOSPC);
    annex_release(&annex, &ranges);
    end();
}

/* ----------------------------------------------------------------- a state and its twin -- */

#define KEYS 600u
#define VALUE_MOST 20000u
#define CUTS 3 /* that are still to be written */

/* What one key should have: a value of that size, its bytes from `seed`; none: present is false. */
struct expected {
    bool present;
    uint32_t size;
    uint32_t seed;
};

/* A cut that somebody writes: its segments, and what they held when it was made. */
struct written {
    struct state_cut cut;
    uint64_t *sums;
};

struct twin {
    uint64_t draw;
    struct state *state;
    struct expected keys[KEYS];
    struct written cuts[CUTS];
    _Atomic uint64_t orphaned;
    unsigned char value[VALUE_MOST];
    uint64_t moved_most;
};

static uint64_t hash_of(uint32_t *key)
{
    return state_hash((struct weir_bytes){key, sizeof *key});
}

static void put_one(struct twin *twin, uint32_t key)
{
    struct expected *wanted = &twin->keys[key];
    uint32_t most = explore_below(&twin->draw, 100) == 0 ? VALUE_MOST : 400;
    wanted->present = true;
    wanted->size = (uint32_t)explore_below(&twin->draw, most);
    wanted->seed = (uint32_t)explore_random(&twin->draw);
    fill(twin->value, wanted->size, wanted->seed);
    cr_assert_eq(state_put(twin->state, (struct weir_bytes){&key, sizeof key}, hash_of(&key),
                           (struct weir_bytes){twin->value, wanted->size}),
                 WEIR_OK);
}

static void check_one(struct twin *twin, uint32_t key)
{
    const struct expected *wanted = &twin->keys[key];
    struct weir_bytes value;
    bool there =
        state_get(twin->state, (struct weir_bytes){&key, sizeof key}, hash_of(&key), &value);
    cr_assert_eq(there, wanted->present, "key %u", key);
    if (there)
        cr_assert(value.size == wanted->size && is_filled(value.data, value.size, wanted->seed),
                  "key %u", key);
}

static void remove_one(struct twin *twin, uint32_t key)
{
    enum weir_result result =
        state_remove(twin->state, (struct weir_bytes){&key, sizeof key}, hash_of(&key));
    cr_assert_eq(result, twin->keys[key].present ? WEIR_OK : WEIR_NOT_FOUND);
    twin->keys[key].present = false;
}

static uint64_t sum_of(const struct segment *segment)
{
    struct segment_blobs blobs;
    uint64_t sum = 0;
    cr_assert(segment_blobs_begin(&blobs, segment));
    while (segment_blobs_next(&blobs)) {
        unsigned char *blob = malloc(blobs.size);
        cr_assert_not_null(blob);
        segment_blobs_fill(&blobs, blob);
        sum = explore_mix(sum ^ explore_fingerprint(blob, blobs.size));
        free(blob);
    }
    segment_blobs_end(&blobs);
    return sum;
}

/* The writer is done with a cut: it has seen what was there when the cut was made. */
static void end_written(struct written *written)
{
    for (uint32_t i = 0; i < written->cut.count; i++)
        cr_assert_eq(sum_of(written->cut.segments[i]), written->sums[i]);
    free(written->sums);
    if (written->cut.segments != NULL)
        state_cut_free(&written->cut);
    *written = (struct written){0};
}

static void cut_one(struct twin *twin)
{
    struct written *written = &twin->cuts[explore_below(&twin->draw, CUTS)];
    end_written(written);
    cr_assert_eq(state_cut(twin->state, &written->cut), WEIR_OK);
    written->sums = calloc(written->cut.count + 1, sizeof *written->sums);
    cr_assert_not_null(written->sums);
    for (uint32_t i = 0; i < written->cut.count; i++)
        written->sums[i] = sum_of(written->cut.segments[i]);
}

/* What can't be moved: the open segment, which may have a part of the log, a block that is about to
 * be filled, and what only writers have. */
static void check_budget(struct twin *twin)
{
    const struct state *state = twin->state;
    uint64_t slack = state->bytes / 32 + 2 * CHUNK_SIZE + twin->orphaned;
    cr_assert_leq(annex.held, annex.budget + slack);
    cr_assert_leq(annex.moved, 3 * state->live + (uint64_t)2 * 1024 * KIB);
    if (annex.moved > twin->moved_most)
        twin->moved_most = annex.moved;
}

static void live(struct twin *twin, unsigned steps, unsigned cut_one_in)
{
    for (unsigned step = 0; step < steps; step++) {
        uint32_t key = (uint32_t)explore_below(&twin->draw, KEYS);
        uint64_t what = explore_below(&twin->draw, 10);
        if (what < 6)
            put_one(twin, key);
        else if (what == 6)
            remove_one(twin, key);
        else
            check_one(twin, key);
        if (cut_one_in > 0 && explore_below(&twin->draw, cut_one_in) == 0)
            cut_one(twin);
        state_ease(twin->state);
        check_budget(twin);
    }
}

static void run_twin(uint64_t seed, uint64_t budget, unsigned cut_one_in, bool bad_disk)
{
    static struct twin twin;
    twin = (struct twin){.draw = seed};
    begin(budget);
    twin.state = state_new(NULL, 0);
    cr_assert_not_null(twin.state);
    state_count_orphans(twin.state, &twin.orphaned);
    state_use_annex(twin.state, &annex);
    for (uint32_t key = 0; key < KEYS; key++)
        put_one(&twin, key);
    for (unsigned part = 0; part < 10; part++) {
        live(&twin, 600, cut_one_in);
        sim_disk_fail(bad_disk ? 1 + explore_below(&twin.draw, 10) : 0, ENOSPC);
    }
    for (uint32_t key = 0; key < KEYS; key++)
        check_one(&twin, key);
    cr_expect_gt(twin.moved_most, budget);
    for (unsigned i = 0; i < CUTS; i++)
        end_written(&twin.cuts[i]);
    state_free(&twin.state);
    end();
}

/* Cells alone, and no cut: what compaction has left goes back all the same. */
Test(annex, cells_that_change_for_ever_take_no_more_files_than_the_log)
{
    struct state *state;
    uint64_t most = 0, draw = explore_seed();
    begin(64 * KIB);
    state = state_new(NULL, 8);
    cr_assert_not_null(state);
    state_use_annex(state, &annex);
    static uint64_t counts[20000];
    for (unsigned step = 0; step < 400000; step++) {
        uint64_t key = step < 20000 ? step : explore_below(&draw, 20000);
        struct weir_bytes bytes = {&key, sizeof key};
        uint64_t *cell = state_cell(state, bytes, state_hash(bytes));
        cr_assert_not_null(cell);
        cr_assert_eq((*cell)++, counts[key]++);
        state_ease(state);
        most = annex.held + annex.moved > most ? annex.held + annex.moved : most;
    }
    cr_expect_leq(most, 3 * (uint64_t)20000 * 24 + 512 * KIB);
    cr_expect_gt(annex.moved, 4 * annex.budget);
    state_free(&state);
    end();
}

Test(annex, a_state_larger_than_its_memory_is_what_its_twin_is)
{
    uint64_t seed = explore_seed();
    unsigned rounds = explore_share() > 4 ? 1 : 4;
    for (unsigned round = 0; round < rounds; round++) {
        run_twin(explore_random(&seed), 64 * KIB, 20, false);
        run_twin(explore_random(&seed), 40 * KIB, 300, false);
        run_twin(explore_random(&seed), 64 * KIB, 0, false); /* nobody ever cuts */
        run_twin(explore_random(&seed), 64 * KIB, 50, true);
    }
}
