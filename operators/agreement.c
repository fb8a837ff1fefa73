/* SPDX-License-Identifier: Apache-2.0 */
#include "agreement.h"

#include <stddef.h>

void agreement_init(struct agreement *agreement)
{
    atomic_init(&agreement->busy, 0);
    agreement->users = 0;
    agreement->value = NULL;
}

/* A spin lock: it is held for a few instructions, some tens of times in the life of a job. */
static void enter(struct agreement *agreement)
{
    while (atomic_exchange_explicit(&agreement->busy, 1, memory_order_acquire))
        ;
}

static void leave(struct agreement *agreement)
{
    atomic_store_explicit(&agreement->busy, 0, memory_order_release);
}

void *agreement_join(struct agreement *agreement, void *mine)
{
    enter(agreement);
    if (agreement->users++ == 0)
        agreement->value = mine;
    void *value = agreement->value;
    leave(agreement);
    return value;
}

void *agreement_leave(struct agreement *agreement)
{
    enter(agreement);
    void *value = NULL;
    if (--agreement->users == 0) {
        value = agreement->value;
        agreement->value = NULL;
    }
    leave(agreement);
    return value;
}
