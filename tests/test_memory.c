/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

#include "memory.h"

/* An allocator that counts, and says no when it has none left. */
struct purse {
    size_t asked, left;
};

static void *take(void *context, size_t size)
{
    struct purse *purse = context;
    purse->asked++;
    return size <= purse->left ? malloc(size) : NULL;
}

static void give(void *context, void *memory)
{
    (void)context;
    free(memory);
}

Test(memory, a_product_beyond_any_size_is_refused_without_asking)
{
    struct purse purse = {.left = 100};
    struct weir_allocator allocator = {take, give, &purse};
    cr_expect_null(memory_zeroed(NULL, SIZE_MAX / 2, 3));
    cr_expect_null(memory_zeroed(&allocator, SIZE_MAX / 8 + 1, 8));
    cr_expect_null(memory_text(&allocator, "", SIZE_MAX));
    cr_expect_eq(purse.asked, 0);
}

Test(memory, nothing_has_a_place_of_its_own)
{
    struct purse purse = {.left = 100};
    struct weir_allocator allocator = {take, give, &purse};
    const struct weir_allocator *both[] = {NULL, &allocator};
    for (int i = 0; i < 2; i++) {
        void *none[] = {memory_take(both[i], 0), memory_zeroed(both[i], 0, 8),
                        memory_zeroed(both[i], 8, 0),
                        memory_resize(both[i], memory_take(both[i], 8), 8, 0)};
        for (size_t k = 0; k < sizeof none / sizeof *none; k++) {
            cr_assert_not_null(none[k]);
            for (size_t n = 0; n < k; n++)
                cr_expect_neq(none[k], none[n]);
        }
        for (size_t k = 0; k < sizeof none / sizeof *none; k++)
            memory_release(both[i], none[k]);
    }
}

Test(memory, what_can_not_be_made_larger_stays_as_it_was)
{
    struct purse purse = {.left = 8};
    struct weir_allocator allocator = {take, give, &purse};
    char *old = memory_text(&allocator, "as it was", 7);
    cr_assert_not_null(old);
    cr_expect_null(memory_resize(&allocator, old, 8, 9));
    cr_expect_str_eq(old, "as it w");
    memory_release(&allocator, old);
    cr_expect_null(memory_text(&allocator, "too long", 8));
    cr_expect_null(memory_zeroed(&allocator, 3, 3));
}

/* Also where it asks for huge pages. */
Test(memory, what_is_zeroed_is_zero_of_any_size)
{
    static const size_t sizes[] = {1, 4096, (size_t)5 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *memory = memory_zeroed(NULL, sizes[i], 1);
        size_t sum = 0;
        cr_assert_not_null(memory);
        for (size_t at = 0; at < sizes[i]; at++)
            sum += memory[at];
        cr_expect_eq(sum, 0, "%zu", sizes[i]);
        memory_release(NULL, memory);
    }
}

Test(memory, more_than_the_address_space_is_not_mapped)
{
    size_t page = memory_page();
    cr_expect_null(memory_map(SIZE_MAX / 2 / page * page));
    unsigned char *mapped = memory_map(2 * page);
    cr_assert_not_null(mapped);
    cr_expect_eq(mapped[0] | mapped[2 * page - 1], 0);
    memory_unmap(mapped, 2 * page);
}
