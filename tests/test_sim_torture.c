/* links: sim */
/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_operator_torture in the simulator: every allocation of it fails in turn, and each time it
 * says so and leaves nothing behind.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "exercised.h"
#include "explore.h"
#include "sim.h"
#include "weir.h"

#define STEPS 12

static struct weir_torture_step steps[STEPS];

static enum weir_result count(void *self, struct weir_context *context, unsigned input,
                              const struct weir_record *record)
{
    (void)self, (void)input;
    uint64_t *cell = weir_cell(context, 0, &record->key);
    if (!cell)
        return WEIR_FAILED;
    ++*cell;
    weir_timer_set(context, WEIR_TIMER_EVENT, record->time + 3, 1);
    return weir_emit(context, 0,
                     &(struct weir_record){record->key, {cell, sizeof *cell}, record->time});
}

static enum weir_result tick(void *self, struct weir_context *context, enum weir_timer kind,
                             int64_t time, uint64_t tag)
{
    (void)self, (void)kind, (void)tag;
    return weir_emit(context, 0, &(struct weir_record){.time = time});
}

static enum weir_progress tell(void *self, struct weir_context *context)
{
    struct weir_bytes key, value;
    (void)self;
    if (!weir_scan_next(context, 0, &key, &value))
        return WEIR_END;
    weir_emit(context, 0, &(struct weir_record){key, value, WEIR_NO_TIME});
    return WEIR_MORE;
}

static enum weir_result torture(uint32_t trials, struct weir_error *error)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "counts",
                                               .process = count, .timer = tick, .finish = tell};
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "cells",
                                            .value_size = 8};
    static const struct weir_node_options node = {WEIR_SIZED(struct weir_node_options),
                                                  .name = "counts", .table = &table,
                                                  .states = &state, .state_count = 1};
    for (int64_t i = 0; i < STEPS; i++) {
        steps[i] = (struct weir_torture_step){.record = {{i % 3 ? "a" : "b", 1}, {0}, i}};
        steps[i].watermark = i % 5 == 4;
    }
    return weir_operator_torture(
        &(struct weir_torture_options){WEIR_SIZED(struct weir_torture_options), .node = &node,
                                       .steps = steps, .step_count = STEPS, .trials = trials},
        error);
}

Test(sim_torture, passes_as_with_real_doors)
{
    struct weir_error error = {0};
    sim_start(1);
    cr_assert_eq(torture(60, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(sim_end(), 0);
}

Test(sim_torture, survives_every_allocation_that_fails)
{
    uint64_t failed = 0;
    for (uint64_t k = 1;; k += explore_share()) {
        struct weir_error error = {0};
        sim_start(1);
        sim_memory_fail(k, 1);
        enum weir_result result = torture(5, &error);
        bool hit = sim_memory_failed();
        /* A message that was refused for want of memory may be sent again; a part of a checkpoint
         * is not (WEIR_PROTOCOL). It is never the operator's fault. */
        cr_assert(result != WEIR_FAILED && (hit || !result), "allocation %llu: %s: %s",
                  (unsigned long long)k, weir_result_name(result), error.text);
        cr_assert_eq(sim_end(), 0, "allocation %llu", (unsigned long long)k);
        if (!hit)
            break;
        failed += result == WEIR_NO_MEMORY;
    }
    exercised(failed);
    cr_assert_gt(failed, 100 / explore_share());
}
