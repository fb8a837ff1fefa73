/* SPDX-License-Identifier: Apache-2.0 */
#include "exercised.h"
#include "sink_world.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdlib.h>

#include "explore.h"

struct world world_make(const struct world_sink *sink, unsigned total)
{
    sink->graph->count = 0;
    return (struct world){.sink = sink, .node = sink->add(sink->graph), .total = total};
}

void world_end(struct world *world)
{
    fake_end(&world->task);
    world->running = false;
}

bool world_start(struct world *world)
{
    struct fake_run run = {
        .epoch = ++world->epoch,
        .store = WORLD_STORE,
        .folder = world->sink->folder,
        .allocator = world->allocator,
    };
    run.saved = world->durable ? &world->items : NULL;
    world->running = true;
    world->read = world->covered;
    fake_items_free(&world->pending);
    if (fake_start(&world->task, world->sink->graph, world->node, &run) != WEIR_OK)
        return false;
    return !world->durable || fake_commit(&world->task, &world->handles) == WEIR_OK;
}

bool world_feed(struct world *world)
{
    char key[16], line[16];
    snprintf(key, sizeof key, "key %u", world->read);
    snprintf(line, sizeof line, "line %u", world->read++);
    return fake_process(&world->task, key, line) == WEIR_OK;
}

bool world_round(struct world *world, enum fate fate)
{
    struct weir_saver items = {0};
    if (fake_cut(&world->task, &items) != WEIR_OK) {
        fake_items_free(&items);
        return false;
    }
    fake_items_copy(&world->pending, &world->task.handles);
    if (fate == ABORTED) {
        fake_items_free(&items);
        return true;
    }
    fake_items_free(&world->items);
    fake_items_free(&world->handles);
    world->items = items;
    fake_items_copy(&world->handles, &world->pending);
    world->durable = true;
    world->covered = world->read;
    if (fate == DURABLE_BUT_NOT_TOLD)
        return true;
    for (int i = 0; i <= (fate == COMMITTED_TWICE); i++)
        if (fake_commit(&world->task, &world->pending) != WEIR_OK)
            return false;
    fake_items_free(&world->pending);
    return true;
}

void world_expect_prefix(const struct world *world)
{
    unsigned seen = world->sink->count_visible();
    cr_assert_leq(seen, world->covered, "visible before its checkpoint was durable");
    if (world->covered == world->total && world->pending.count == 0 && world->running)
        cr_assert_eq(seen, world->total);
}

bool world_run(struct world *world, const enum fate *fates, size_t fate_count)
{
    if (!world_start(world))
        return false;
    world_expect_prefix(world);
    for (size_t i = 0; world->covered < world->total || world->pending.count > 0; i++) {
        for (unsigned j = 0; j < i % 3 + 1 && world->read < world->total; j++)
            if (!world_feed(world))
                return false;
        if (!world_round(world, i < fate_count ? fates[i] : COMMITTED))
            return false;
        world_expect_prefix(world);
    }
    return true;
}

void world_free(struct world *world)
{
    if (world->running)
        world_end(world);
    fake_items_free(&world->items);
    fake_items_free(&world->handles);
    fake_items_free(&world->pending);
}

void world_expect_all(struct world *world)
{
    cr_assert_eq(world->covered, world->total);
    world_expect_prefix(world);
    cr_expect_eq(world->sink->count_staged(), 0);
}

/* ---- deaths ---- */

static bool crash_twice(const struct world_sink *sink, unsigned limit, unsigned again,
                        const enum fate *fates, size_t fate_count)
{
    struct world world = world_make(sink, 9);
    bool fired = false;
    for (unsigned attempt = 0; attempt < 3; attempt++) {
        fake_files_reset();
        fake_file_limit = attempt == 0 ? limit : attempt == 1 ? again : UINT32_MAX;
        if (world_run(&world, fates, fate_count))
            break;
        fired = fired || attempt == 0;
        cr_assert_neq(world.task.failed.code, WEIR_OK);
        cr_assert_lt(attempt, 2, "%s", world.task.failed.text);
        world_end(&world);
        fake_files_reset();
        world_expect_prefix(&world);
    }
    fake_files_reset();
    world_expect_all(&world);
    world_free(&world);
    sink->empty();
    return fired;
}

void world_crash_everywhere(const struct world_sink *sink, const enum fate *fates,
                            size_t fate_count, unsigned again)
{
    unsigned limit = 0;
    while (crash_twice(sink, limit, again, fates, fate_count))
        limit += explore_share();
    exercised(limit / explore_share());
    cr_expect_gt(limit, 20);
}

/* ---- hunger ---- */

struct larder {
    unsigned left; /* allocations that are granted */
    int taken;     /* and not given back */
};

static void *allocate(void *larder_, size_t size)
{
    struct larder *larder = larder_;
    if (larder->left == 0)
        return NULL;
    larder->left--;
    larder->taken++;
    return malloc(size);
}

static void release(void *larder_, void *memory)
{
    struct larder *larder = larder_;
    larder->taken--;
    free(memory);
}

/* False when there was enough. */
static bool starve(const struct world_sink *sink, unsigned allocations)
{
    struct world world = world_make(sink, 9);
    struct larder larder = {.left = allocations};
    struct weir_allocator allocator = {allocate, release, &larder};
    fake_files_reset();
    world.allocator = &allocator;
    bool starved = !world_run(&world, NULL, 0);
    if (starved) {
        cr_assert_eq(world.task.failed.code, WEIR_NO_MEMORY, "%s", world.task.failed.text);
        world_end(&world);
        cr_assert_eq(larder.taken, 0);
        larder.left = UINT_MAX;
        cr_assert(world_run(&world, NULL, 0), "%s", world.task.failed.text);
    }
    world_expect_all(&world);
    world_free(&world);
    cr_assert_eq(larder.taken, 0);
    sink->empty();
    return starved;
}

void world_starve_everywhere(const struct world_sink *sink)
{
    unsigned allocations = 0;
    while (starve(sink, allocations))
        allocations++;
    cr_expect_gt(allocations, 1);
}

void world_die_between_steps(const struct world_sink *sink, unsigned seeds)
{
    srand(5);
    for (unsigned seed = 0; seed < seeds; seed++) {
        struct world world = world_make(sink, 12);
        cr_assert(world_start(&world), "%s", world.task.failed.text);
        while (world.covered < world.total || world.pending.count > 0) {
            unsigned dice = (unsigned)rand() % 10;
            if (dice < 5 && world.read < world.total)
                cr_assert(world_feed(&world), "%s", world.task.failed.text);
            else if (dice < 8)
                cr_assert(world_round(&world, (enum fate)((unsigned)rand() % 4)), "%s",
                          world.task.failed.text);
            else {
                fake_file_limit = 0; /* even close can do nothing */
                world_end(&world);
                fake_files_reset();
                cr_assert(world_start(&world), "%s", world.task.failed.text);
            }
            world_expect_prefix(&world);
        }
        world_expect_all(&world);
        world_free(&world);
        sink->empty();
    }
}
