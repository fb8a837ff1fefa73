/* SPDX-License-Identifier: Apache-2.0 */
#include "crew.h"

#include <criterion/criterion.h>
#include <stdatomic.h>

#define PARTS 1000u

struct tally {
    atomic_uint calls[PARTS];
    atomic_uint busy[CREW_HELPERS + 1]; /* hands that are in a part */
    atomic_uint most;                   /* the highest hand */
    bool failed;
};

static void count_part(void *work, uint32_t i, uint32_t hand)
{
    struct tally *tally = work;
    tally->failed |= atomic_fetch_add(&tally->busy[hand], 1) != 0;
    atomic_fetch_add(&tally->calls[i], 1);
    if (hand > atomic_load(&tally->most))
        atomic_store(&tally->most, hand);
    atomic_fetch_sub(&tally->busy[hand], 1);
}

Test(crew, does_each_part_once_with_any_number_of_hands)
{
    for (uint32_t helpers = 0; helpers < 6; helpers++)
        for (uint32_t count = 0; count <= PARTS; count = count < 8 ? count + 1 : count * 5) {
            struct tally tally = {.failed = false};
            struct crew crew;
            crew_begin(&crew, "crew", NULL);
            crew.helpers = helpers;
            crew_run(&crew, count, count_part, &tally);
            cr_assert(!tally.failed, "a hand does one part at a time");
            cr_assert_leq(atomic_load(&tally.most), count < CREW_WORTH ? 0 : helpers);
            for (uint32_t i = 0; i < PARTS; i++)
                cr_assert_eq(atomic_load(&tally.calls[i]), i < count);
        }
}

static void *refuse(void *context, size_t size)
{
    (void)context;
    (void)size;
    return NULL;
}

static void release(void *context, void *memory)
{
    (void)context;
    cr_assert_null(memory);
}

Test(crew, goes_on_without_helpers_that_do_not_start)
{
    const struct weir_allocator none = {.allocate = refuse, .release = release};
    struct tally tally = {.failed = false};
    struct crew crew;
    crew_begin(&crew, "crew", &none);
    crew.helpers = 3;
    crew_run(&crew, PARTS, count_part, &tally);
    cr_assert_eq(atomic_load(&tally.most), 0);
    for (uint32_t i = 0; i < PARTS; i++)
        cr_assert_eq(atomic_load(&tally.calls[i]), 1);
}
