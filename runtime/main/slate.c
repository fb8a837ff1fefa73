/* SPDX-License-Identifier: Apache-2.0 */
#include "slate.h"

#include <string.h>
#include <sys/mman.h>

struct slate *slate_new(void)
{
    struct slate *slate = mmap(NULL, sizeof *slate, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0); /* zeroed */

    return slate == MAP_FAILED ? NULL : slate;
}

void slate_free(struct slate **slate)
{
    if (*slate != NULL)
        munmap(*slate, sizeof **slate);
    *slate = NULL;
}

static uint64_t sum_of(const struct slate_place *place)
{
    return weir_hash((struct weir_bytes){&place->memory, sizeof place->memory});
}

void slate_keep(struct slate *slate, const struct slate_memory *memory)
{
    uint32_t next = atomic_load(&slate->turn) + 1;
    struct slate_place *place = &slate->places[next & 1];

    memcpy(&place->memory, memory, sizeof *memory);
    place->sum = sum_of(place);
    atomic_store(&slate->turn, next);
}

static bool believe(const struct slate_place *place, struct slate_memory *memory)
{
    if (place->sum != sum_of(place) || place->memory.suspects.used > SUSPECTS_MOST)
        return false;
    memcpy(memory, &place->memory, sizeof *memory);
    return true;
}

void slate_recall(const struct slate *slate, struct slate_memory *memory)
{
    uint32_t turn = atomic_load(&slate->turn);

    if (!believe(&slate->places[turn & 1], memory))
        believe(&slate->places[(turn + 1) & 1], memory); /* older, and better than nothing */
}

bool slate_stopping(const struct slate *slate)
{
    uint32_t stops = atomic_load(&slate->stops);

    return (stops & ~(uint32_t)SLATE_STOPS_ALL) == 0 && /* Z2 */
           (stops & ~(1u << WEIR_STOP_DRAIN)) != 0;
}

void slate_wipe(struct slate *slate)
{
    atomic_store(&slate->finished, 0);
    atomic_store(&slate->seen_ns, 0);
    atomic_store(&slate->records_in, 0);
    atomic_store(&slate->checkpoint, 0);
    crash_wipe(&slate->crash);
}
