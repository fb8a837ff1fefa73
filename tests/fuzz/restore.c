/* SPDX-License-Identifier: Apache-2.0
 *
 * restore: a byte, and edits of a store (samples.h) that a whole job is started on, on the
 * simulated disk: as it was, with another parallelism, from the savepoint, by a program that was
 * changed. It is refused or fails with its reason, or ends; nothing is left behind.
 */
#include "fuzz.h"
#include "samples.h"

#define MEMORY ((size_t)48 << 20) /* bytes: some times what it takes as it is */

enum { OTHER_PARALLELISM = 3, FROM_SAVEPOINT = 4, LARGE = 8, CHANGE = 16 };

static void run(const unsigned char *data, size_t size)
{
    static const uint32_t parallelism[] = {0, 1, 3, 5};
    struct fuzz_input input = {data, size};
    uint8_t how = fuzz_u8(&input);
    bool large = (how & LARGE) != 0;
    struct rich_start start = {.parallelism = parallelism[how & OTHER_PARALLELISM],
                               .from_savepoint = (how & FROM_SAVEPOINT) != 0,
                               .change = (enum rich_change)(how / CHANGE % RICH_CHANGES),
                               .may_drop = how / CHANGE >= RICH_CHANGES};
    struct rich_end end;

    samples_put_edited(large, input);
    start.allocator = fuzz_memory(MEMORY);
    rich_go_on(samples_store(large), &start, &end);
    fuzz_must(end.left == 0, "something is left behind");
    fuzz_must(fuzz_memory_taken() == 0, "%zu bytes are left behind", fuzz_memory_taken());
    if (end.result == WEIR_TIMEOUT)
        return; /* it stands still: there may be something that it waits for */
    if (end.result != WEIR_OK)
        fuzz_must(end.error.text[0] != '\0', "no reason");
    else if (input.size == 0 && start.change == RICH_AS_IT_WAS)
        fuzz_must(end.exact, "it was not edited, and is not exact: %u are missing", end.missing);
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    unsigned char how = (unsigned char)(n % 9 + n / 2 % 16 * CHANGE);

    fuzz_put(to, &how, 1);
    return samples_edits(n / 2, to);
}

const struct fuzz_target fuzz_restore = {"restore", run, seed, NULL};
