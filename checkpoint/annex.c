/* SPDX-License-Identifier: Apache-2.0 */
#include "annex.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "disk.h"
#include "error.h"
#include "file.h"
#include "memory.h"
#include "plant.h"

#define NAME_END ".spill" /* what an earlier run left is removed by these (runtime/spill) */
#define RANGE_LEAST ((size_t)64 << 10)
#define MOVE_SIZE ((size_t)256 << 10) /* bytes at a time: what holds a task up */
#define AGAIN 16u                     /* parts of the budget between attempts that fail */

void annex_init(struct annex *annex, const char *folder, uint32_t epoch, uint64_t budget)
{
    *annex =
        (struct annex){.folder = folder, .epoch = epoch, .budget = budget, .page = memory_page()};
}

static size_t whole_pages(const struct annex *annex, size_t size)
{
    return (size + annex->page - 1) / annex->page * annex->page;
}

/* ------------------------------------------------------------------------------ taking -- */

/* With a small budget small ranges: many segments then have little. */
static size_t range_size(const struct annex *annex, size_t size)
{
    uint64_t wanted = annex->budget / 16;
    wanted = wanted < RANGE_LEAST ? RANGE_LEAST : wanted > ANNEX_RANGE ? ANNEX_RANGE : wanted;
    return whole_pages(annex, size > wanted ? size : (size_t)wanted);
}

static struct annex_range *range_new(const struct annex *annex,
                                     const struct weir_allocator *allocator, size_t size)
{
    struct annex_range *range = memory_zeroed(allocator, 1, sizeof *range);
    if (range == NULL)
        return NULL;
    range->file = -1;
    range->allocator = allocator;
    range->size = range_size(annex, size);
    range->base = memory_map(range->size);
    if (range->base == NULL) {
        memory_release(allocator, range);
        return NULL;
    }
    return range;
}

unsigned char *annex_take(struct annex *annex, struct annex_ranges *ranges,
                          const struct weir_allocator *allocator, size_t size)
{
    struct annex_range *range = ranges->last;
    size = whole_pages(annex, size);
    if (range == NULL || size > range->size - range->used) {
        range = range_new(annex, allocator, size);
        if (range == NULL)
            return NULL;
        if (ranges->last != NULL)
            ranges->last->next = range;
        else
            ranges->first = range;
        ranges->last = range;
    }
    if (ranges->next == NULL)
        ranges->next = range;
    unsigned char *taken = range->base + range->used;
    range->used += size;
    atomic_fetch_add_explicit(&annex->held, size, memory_order_relaxed);
    return taken;
}

/* Puts a chain of ranges in front of what is left already. */
static void leave(struct annex *annex, struct annex_range *first, struct annex_range *last)
{
    last->next = atomic_load_explicit(&annex->left, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&annex->left, &last->next, first,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

void annex_release(struct annex *annex, struct annex_ranges *ranges)
{
    if (ranges->first != NULL)
        leave(annex, ranges->first, ranges->last);
    *ranges = (struct annex_ranges){0};
}

static void range_free(struct annex *annex, struct annex_range *range)
{
    if (range->file >= 0)
        disk_close(range->file);
    memory_unmap(range->base, range->size);
    atomic_fetch_sub_explicit(&annex->held, range->used - range->moved, memory_order_relaxed);
    atomic_fetch_sub_explicit(&annex->moved, range->moved, memory_order_relaxed);
    memory_release(range->allocator, range);
}

/* All are taken, and those that are too many put back: nobody else can have one meanwhile. */
bool annex_tidy(struct annex *annex, unsigned most)
{
    if (atomic_load_explicit(&annex->left, memory_order_relaxed) == NULL)
        return false;
    struct annex_range *range = atomic_exchange_explicit(&annex->left, NULL, memory_order_acquire);
    bool any = range != NULL;
    for (; range != NULL && most > 0; most--) {
        struct annex_range *next = range->next;
        range_free(annex, range);
        range = next;
    }
    if (range == NULL)
        return any;
    struct annex_range *last = range;
    while (last->next != NULL)
        last = last->next;
    leave(annex, range, last);
    return any;
}

void annex_free(struct annex *annex)
{
    while (annex_tidy(annex, UINT_MAX))
        ;
}

uint64_t annex_held(const struct annex_ranges *ranges)
{
    uint64_t held = 0;
    for (const struct annex_range *range = ranges->first; range != NULL; range = range->next)
        held += range->used - range->moved;
    return held;
}

/* ------------------------------------------------------------------------------ moving -- */

static int open_file(struct annex *annex)
{
    char path[4200];
    int size = snprintf(path, sizeof path, "%s/%u-state-%u" NAME_END, annex->folder, annex->epoch,
                        atomic_fetch_add_explicit(&annex->files, 1, memory_order_relaxed));
    if (size < 0 || (size_t)size >= sizeof path)
        return -ENAMETOOLONG;
    int file = disk_open(DISK_CWD, path, DISK_CREATE);
    if (file >= 0)
        (void)!disk_remove(DISK_CWD, path); /* what stays is removed by the next start */
    return file;
}

static void close_file(struct annex_range *range)
{
    if (range->file >= 0)
        disk_close(range->file); /* what is mapped stays */
    range->file = -1;
}

/* X2, X4: the order matters. */
static int move_part(struct annex *annex, struct annex_range *range, size_t size)
{
    if (range->file < 0) {
        range->file = open_file(annex);
        range->file_begins = range->moved;
    }
    if (range->file < 0)
        return range->file;
    unsigned char *from = range->base + range->moved;
    uint64_t offset = range->moved - range->file_begins;
    int failure = disk_reserve(range->file, offset, size);
    bool skipped = WEIR_PLANT(moved_unwritten) && annex->files > 1; /* annex_try makes the first */
    if (failure == 0 && !skipped)
        failure = file_write(range->file, from, size, offset);
    if (failure == 0)
        failure = disk_map(range->file, offset, size, from);
    return failure < 0 ? failure : 0;
}

/* False: it failed, and will not be tried again before there is more. */
static bool moved_part(struct annex *annex, struct annex_range *range, size_t size)
{
    int failure = move_part(annex, range, size);
    atomic_store_explicit(&annex->trouble, failure, memory_order_relaxed);
    if (failure == 0) {
        range->moved += size;
        atomic_fetch_sub_explicit(&annex->held, size, memory_order_relaxed);
        atomic_fetch_add_explicit(&annex->moved, size, memory_order_relaxed);
    }
    if (failure != 0 || range->moved == range->used) /* X3 */
        close_file(range);
    uint64_t held = atomic_load_explicit(&annex->held, memory_order_relaxed);
    atomic_store_explicit(&annex->again_at, failure != 0 ? held + annex->budget / AGAIN : 0,
                          memory_order_relaxed);
    return failure == 0;
}

uint64_t annex_move(struct annex *annex, struct annex_ranges *ranges, uint64_t most)
{
    uint64_t moved = 0;
    while (ranges->next != NULL && moved < most) {
        struct annex_range *range = ranges->next;
        size_t size = range->used - range->moved;
        uint64_t wanted = most - moved < MOVE_SIZE ? most - moved : MOVE_SIZE;
        if (size > wanted)
            size = whole_pages(annex, (size_t)wanted);
        if (size > 0 && !moved_part(annex, range, size))
            break;
        moved += size;
        if (range->moved == range->used)
            ranges->next = range->next;
    }
    return moved;
}

uint64_t annex_excess(struct annex *annex, uint64_t more)
{
    uint64_t held = atomic_load_explicit(&annex->held, memory_order_relaxed);
    if (held + more <= annex->budget ||
        held < atomic_load_explicit(&annex->again_at, memory_order_relaxed))
        return 0;
    return held + more - annex->budget;
}

bool annex_warns(struct annex *annex, int *trouble)
{
    *trouble = atomic_load_explicit(&annex->trouble, memory_order_relaxed);
    if (*trouble != 0)
        return !atomic_exchange_explicit(&annex->warned, true, memory_order_relaxed);
    if (atomic_load_explicit(&annex->warned, memory_order_relaxed))
        atomic_store_explicit(&annex->warned, false, memory_order_relaxed);
    return false;
}

bool annex_is_overrun(struct annex *annex, int *trouble)
{
    *trouble = atomic_load_explicit(&annex->trouble, memory_order_relaxed);
    return *trouble != 0 &&
           atomic_load_explicit(&annex->held, memory_order_relaxed) / 2 > annex->budget;
}

/* -------------------------------------------------------------------------------- a try -- */

enum weir_result annex_try(struct annex *annex, struct weir_error *error)
{
    struct annex_ranges ranges = {0};
    unsigned char *page = annex_take(annex, &ranges, NULL, annex->page);
    if (page == NULL)
        return error_memory(error, "what state_memory needs", annex->page);
    memset(page, 0x5A, annex->page);
    bool right = annex_move(annex, &ranges, annex->page) == annex->page;
    int trouble = atomic_load_explicit(&annex->trouble, memory_order_relaxed);
    for (size_t i = 0; right && i < annex->page; i++)
        right = page[i] == 0x5A;
    annex_release(annex, &ranges);
    annex_free(annex);
    atomic_store_explicit(&annex->again_at, 0, memory_order_relaxed);
    if (trouble != 0)
        return error_os(error, -trouble,
                        "state_memory: the scratch folder %s can't hold state that is mapped",
                        annex->folder);
    if (!right)
        return error_set(error, WEIR_DAMAGED, 0,
                         "state_memory: the scratch folder %s gives back other bytes than it took",
                         annex->folder);
    return WEIR_OK;
}
