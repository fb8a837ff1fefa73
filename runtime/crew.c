/* SPDX-License-Identifier: Apache-2.0 */
#include "crew.h"

#include <stdatomic.h>
#include <stdio.h>

struct piece {
    crew_part *part;
    void *work;
    uint32_t count;
    atomic_uint next; /* part that nobody has taken yet */
};

struct hand {
    struct piece *piece;
    uint32_t number;
};

void crew_begin(struct crew *crew, const char *name, const struct weir_allocator *allocator)
{
    uint32_t processors = thread_processors();
    *crew = (struct crew){.allocator = allocator, .name = name};
    crew->helpers = processors > CREW_HELPERS ? CREW_HELPERS : processors - 1;
}

/* One part a step. */
static struct step hand_step(void *self)
{
    const struct hand *hand = self;
    struct piece *piece = hand->piece;
    uint32_t i = atomic_fetch_add_explicit(&piece->next, 1, memory_order_relaxed);
    if (i >= piece->count)
        return (struct step){STEP_DONE, -1, INT64_MAX};
    piece->part(piece->work, i, hand->number);
    return (struct step){STEP_AGAIN, -1, INT64_MAX};
}

void crew_run(const struct crew *crew, uint32_t count, crew_part *part, void *work)
{
    struct piece piece = {.part = part, .work = work, .count = count};
    struct hand hands[CREW_HELPERS + 1];
    struct thread *threads[CREW_HELPERS];
    struct weir_error ignored;
    uint32_t helpers = count < CREW_WORTH ? 0 : crew->helpers, started = 0;
    atomic_init(&piece.next, 0);
    for (uint32_t i = 0; i <= helpers; i++)
        hands[i] = (struct hand){.piece = &piece, .number = i};
    for (; started < helpers; started++) {
        struct actor actor = {.step = hand_step, .self = &hands[started + 1]};
        snprintf(actor.name, sizeof actor.name, "%.12s-%u", crew->name, (started + 1) % 100);
        if (thread_start(&actor, crew->allocator, &threads[started], &ignored))
            break;
    }
    while (hand_step(&hands[0]).what == STEP_AGAIN)
        ;
    while (started > 0)
        thread_join(&threads[--started]);
}
