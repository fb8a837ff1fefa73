/* links: main */
/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_operator_torture: right operators pass, and each operator that is broken on purpose is
 * caught, by the course it should be caught by and in words that lead to the mistake.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"
#include "scratch.h"
#include "weir.h"

#define RECORDS 40
#define KEYS 3

static uint64_t numbers[RECORDS];
static struct weir_torture_step steps[RECORDS];

/* Records 1 .. RECORDS of KEYS keys, times ten apart, a watermark at every fifth step. */
static void make_steps(void)
{
    static const char *const keys[KEYS] = {"a", "b", "c"};
    for (uint64_t i = 0; i < RECORDS; i++) {
        numbers[i] = i + 1;
        steps[i] = (struct weir_torture_step){
            .record = {{keys[i * i % KEYS], 1}, {&numbers[i], 8}, (int64_t)(10 * i)}};
        if (i % 5 == 4) {
            steps[i].watermark = true;
            steps[i].record.time = (int64_t)(10 * i) - 15;
        }
    }
}

static uint64_t number_of(const struct weir_record *record)
{
    uint64_t number;
    cr_assert_eq(record->value.size, sizeof number);
    memcpy(&number, record->value.data, sizeof number);
    return number;
}

static enum weir_result emit_number(struct weir_context *context, struct weir_bytes key,
                                    uint64_t number, int64_t time)
{
    return weir_emit(context, 0, &(struct weir_record){key, {&number, sizeof number}, time});
}

static enum weir_result torture(const struct weir_operator *table, bool fed,
                                struct weir_error *error)
{
    static const struct weir_state states[] = {
        {WEIR_SIZED(struct weir_state), .name = "cells", .value_size = 8},
        {WEIR_SIZED(struct weir_state), .name = "texts"},
    };
    struct weir_node_options node = {WEIR_SIZED(struct weir_node_options), .name = "mine",
                                     .table = table, .states = states, .state_count = fed ? 2 : 0};
    struct weir_torture_options options = {WEIR_SIZED(struct weir_torture_options), .node = &node,
                                           .steps = steps, .step_count = fed ? RECORDS : 0};
    make_steps();
    memset(error, 0, sizeof *error);
    return weir_operator_torture(&options, error);
}

static void passes(const struct weir_operator *table, bool fed)
{
    struct weir_error error;
    cr_assert_eq(torture(table, fed, &error), WEIR_OK, "%s", error.text);
}

/* Caught with this code, in words that hold all of these. */
static void is_caught(const struct weir_operator *table, bool fed, enum weir_result code,
                      const char *words, const char *more)
{
    struct weir_error error;
    enum weir_result result = torture(table, fed, &error);
    cr_log_info("%s: %s", table->kind, error.text);
    cr_assert_eq(result, code, "%s: %s: %s", table->kind, weir_result_name(result), error.text);
    cr_assert(strstr(error.text, words), "%s: no \"%s\" in: %s", table->kind, words, error.text);
    cr_assert(strstr(error.text, more), "%s: no \"%s\" in: %s", table->kind, more, error.text);
}

/* ---- sums: state of an operator's own, in every state of repair ---- */

struct sums {
    uint64_t sum;
    uint64_t *heap;
    const void *kept;
    uint64_t emitted; /* by finish */
};

static enum weir_result add_up(void *self, struct weir_context *context, unsigned input,
                               const struct weir_record *record)
{
    struct sums *sums = self;
    (void)input;
    sums->sum += number_of(record);
    return emit_number(context, record->key, sums->sum, record->time);
}

static enum weir_result save_sum(void *self, struct weir_context *context, struct weir_saver *saver)
{
    struct sums *sums = self;
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&sums->sum, sizeof sums->sum});
    return WEIR_OK;
}

static enum weir_result load_sum(void *self, struct weir_context *context,
                                 struct weir_loader *loader, uint32_t version)
{
    struct sums *sums = self;
    enum weir_item kind;
    struct weir_bytes item;
    (void)context, (void)version;
    while (weir_load_next(loader, &kind, &item))
        memcpy(&sums->sum, item.data, sizeof sums->sum);
    return WEIR_OK;
}

#define SUMS .self_size = sizeof(struct sums)

Test(torture, passes_what_saves_its_state)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "sums",
                                               SUMS,
                                               .process = add_up,
                                               .save = save_sum,
                                               .load = load_sum};
    passes(&table, true);
}

Test(torture, catches_state_that_is_not_saved)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "forgets",
                                               SUMS, .process = add_up};
    is_caught(&table, true, WEIR_FAILED, "in the plain run it is", "saved state?");
}

static enum weir_result save_and_clear(void *self, struct weir_context *context,
                                       struct weir_saver *saver)
{
    enum weir_result result = save_sum(self, context, saver);
    ((struct sums *)self)->sum = 0;
    return result;
}

Test(torture, catches_a_save_that_changes_something)
{
    static const struct weir_operator table = {
        WEIR_SIZED(struct weir_operator), .kind = "clears", SUMS, .process = add_up,
        .save = save_and_clear,           .load = load_sum};
    is_caught(&table, true, WEIR_FAILED, "trial 3 of 100", "does save, prepare");
}

static enum weir_result save_and_emit(void *self, struct weir_context *context,
                                      struct weir_saver *saver)
{
    emit_number(context, (struct weir_bytes){0}, 1, WEIR_NO_TIME);
    return save_sum(self, context, saver);
}

Test(torture, catches_output_in_save)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "emits",
                                               SUMS,
                                               .process = add_up,
                                               .save = save_and_emit,
                                               .load = load_sum};
    is_caught(&table, true, WEIR_INVALID, "the plain run: mine[0]: ", "it emits in");
}

static enum weir_result refuse_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    (void)self, (void)context, (void)saver;
    return WEIR_UNSUPPORTED;
}

Test(torture, tells_of_a_save_that_refuses)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "refuses",
                                               SUMS,
                                               .process = add_up,
                                               .save = refuse_save,
                                               .load = load_sum};
    is_caught(&table, true, WEIR_UNSUPPORTED, "the plain run", "can't save itself");
}

static enum weir_result load_short(void *self, struct weir_context *context,
                                   struct weir_loader *loader, uint32_t version)
{
    struct sums *sums = self;
    load_sum(self, context, loader, version);
    sums->sum &= 0xff; /* as if it were a byte */
    return WEIR_OK;
}

Test(torture, catches_state_that_is_saved_too_small)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "narrow",
                                               SUMS,
                                               .process = add_up,
                                               .save = save_sum,
                                               .load = load_short};
    is_caught(&table, true, WEIR_FAILED, "restored at", "saved state?");
}

/* ---- what differs without any restart ---- */

static enum weir_result add_static(void *self, struct weir_context *context, unsigned input,
                                   const struct weir_record *record)
{
    static uint64_t sum;
    (void)self, (void)input;
    sum += number_of(record);
    return emit_number(context, record->key, sum, record->time);
}

Test(torture, catches_a_static_variable)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "static",
                                               .process = add_static};
    is_caught(&table, true, WEIR_FAILED, "trial 1 of 100", "a static variable");
}

static enum weir_result emit_clock(void *self, struct weir_context *context, unsigned input,
                                   const struct weir_record *record)
{
    (void)self, (void)input;
    return emit_number(context, record->key, (uint64_t)weir_now(context), record->time);
}

Test(torture, catches_who_asks_the_clock)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "clock",
                                               .process = emit_clock};
    is_caught(&table, true, WEIR_FAILED, "trial 1 of 100", "ask a clock");
}

static enum weir_result open_heap(void *self, struct weir_context *context, const void *config)
{
    struct sums *sums = self;
    const struct weir_allocator *memory = weir_memory(context);
    (void)config;
    sums->heap = memory->allocate(memory->context, 64);
    return sums->heap ? WEIR_OK : WEIR_NO_MEMORY;
}

static void close_heap(void *self, struct weir_context *context)
{
    const struct weir_allocator *memory = weir_memory(context);
    memory->release(memory->context, ((struct sums *)self)->heap);
}

static enum weir_result emit_heap(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    (void)input;
    return emit_number(context, record->key, ((struct sums *)self)->heap[3], record->time);
}

Test(torture, catches_memory_that_was_never_written)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "unwritten",
                                               SUMS,
                                               .open = open_heap,
                                               .process = emit_heap,
                                               .close = close_heap};
    is_caught(&table, true, WEIR_FAILED, "trial 1 of 100", "memory it did not write");
}

Test(torture, catches_memory_that_is_not_given_back)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "leaks",
                                               SUMS, .open = open_heap, .process = add_up};
    is_caught(&table, true, WEIR_FAILED, "the plain run", "64 bytes in 1 blocks");
}

static size_t emit_spans(void *self, struct weir_context *context, unsigned input,
                         const struct weir_record *records, size_t count)
{
    (void)self, (void)input;
    emit_number(context, records->key, count, WEIR_NO_TIME);
    return count;
}

Test(torture, catches_who_goes_by_batches)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "spans",
                                               .process_many = emit_spans};
    is_caught(&table, true, WEIR_FAILED, "trial 2 of 100", "how records are batched");
}

/* A sanitizer would end this one, and rightly. */
#if defined(__SANITIZE_ADDRESS__)
#define NO_VIEWS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NO_VIEWS 1
#endif
#endif
#ifndef NO_VIEWS
static enum weir_result emit_previous(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    struct sums *sums = self;
    (void)input;
    uint64_t number = 0;
    if (sums->kept)
        memcpy(&number, sums->kept, sizeof number);
    sums->kept = record->value.data;
    return emit_number(context, record->key, number, record->time);
}

Test(torture, catches_a_view_that_is_kept)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "views",
                                               SUMS, .process = emit_previous};
    is_caught(&table, true, WEIR_FAILED, "trial ", "in the plain run it is");
}
#endif

/* A view of state, used behind the put that ends it: the value has become another, or moved. */
static enum weir_result put_and_use_view(void *self, struct weir_context *context, unsigned input,
                                         const struct weir_record *record)
{
    struct weir_bytes view;
    unsigned char text[64];
    (void)self, (void)input;
    memset(text, (int)number_of(record), sizeof text);
    if (!weir_get(context, 1, &record->key, &view))
        view.size = 0;
    weir_put(context, 1, &record->key, (struct weir_bytes){text, 1 + number_of(record) % 60});
    return weir_emit(context, 0, &(struct weir_record){record->key, view, record->time});
}

Test(torture, catches_a_view_of_state_used_behind_a_put)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "stale",
                                               .process = put_and_use_view};
    is_caught(&table, true, WEIR_FAILED, "trial ", "output out");
}

static enum weir_result fail_at_ten(void *self, struct weir_context *context, unsigned input,
                                    const struct weir_record *record)
{
    (void)self, (void)input;
    return number_of(record) == 11 ? weir_fail(context, WEIR_MISMATCH, "eleven is too many")
                                   : WEIR_OK;
}

Test(torture, tells_of_an_operator_that_fails)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "fails",
                                               .process = fail_at_ten};
    is_caught(&table, true, WEIR_MISMATCH, "the plain run: mine[0]: ", "eleven is too many");
}

/* ---- keyed state, timers, finish ---- */

/* Counts by key; at each multiple of 50 it says so, by a timer; finish goes over all keys. */
static enum weir_result count_key(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    uint64_t *cell = weir_cell(context, 0, &record->key);
    (void)self, (void)input;
    if (!cell)
        return WEIR_FAILED;
    *cell += number_of(record);
    return weir_timer_set(context, WEIR_TIMER_EVENT, record->time / 50 * 50 + 50,
                          *(const unsigned char *)record->key.data);
}

static enum weir_result tell_key(void *self, struct weir_context *context, enum weir_timer kind,
                                 int64_t time, uint64_t tag)
{
    char key = (char)tag;
    struct weir_bytes name = {&key, 1};
    uint64_t *cell = weir_cell(context, 0, &name);
    (void)self, (void)kind;
    return cell ? emit_number(context, name, *cell, time) : WEIR_FAILED;
}

static enum weir_progress finish_keys(void *self, struct weir_context *context)
{
    struct weir_bytes key, value;
    (void)self;
    if (!weir_scan_next(context, 0, &key, &value))
        return WEIR_END;
    weir_emit(context, 0, &(struct weir_record){key, value, WEIR_NO_TIME});
    return WEIR_MORE;
}

Test(torture, passes_keyed_state_with_timers_and_a_resumable_finish)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "counts",
                                               .process = count_key, .timer = tell_key,
                                               .finish = finish_keys};
    passes(&table, true);
}

static enum weir_progress finish_from_memory(void *self, struct weir_context *context)
{
    struct sums *sums = self;
    emit_number(context, (struct weir_bytes){0}, sums->emitted, WEIR_NO_TIME);
    return ++sums->emitted == 5 ? WEIR_END : WEIR_MORE;
}

Test(torture, catches_a_finish_that_begins_anew)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "finishes",
                                               SUMS,
                                               .process = count_key,
                                               .timer = tell_key,
                                               .finish = finish_from_memory};
    is_caught(&table, true, WEIR_FAILED, "restored at end + ", "saved state?");
}

/* The timer fires, but the operator does not know what for. */
static enum weir_result arm(void *self, struct weir_context *context, unsigned input,
                            const struct weir_record *record)
{
    struct sums *sums = self;
    (void)input;
    sums->sum = number_of(record);
    return weir_timer_set(context, WEIR_TIMER_EVENT, record->time + 20, 0);
}

static enum weir_result fire(void *self, struct weir_context *context, enum weir_timer kind,
                             int64_t time, uint64_t tag)
{
    struct sums *sums = self;
    (void)kind, (void)tag;
    return sums->sum ? emit_number(context, (struct weir_bytes){0}, sums->sum, time) : WEIR_OK;
}

Test(torture, catches_a_timer_that_is_lost)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "timers",
                                               SUMS, .process = arm, .timer = fire};
    is_caught(&table, true, WEIR_FAILED, "is missing", "saved state?");
}

static enum weir_progress never_finish(void *self, struct weir_context *context)
{
    (void)self;
    return weir_idle(context, INT64_MAX, -1);
}

Test(torture, catches_who_stands_still)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "stands",
                                               .process = fail_at_ten, .finish = never_finish};
    static const struct weir_operator still = {WEIR_SIZED(struct weir_operator), .kind = "still",
                                               SUMS, .process = add_up, .finish = never_finish};
    is_caught(&table, true, WEIR_MISMATCH, "the plain run", "");
    is_caught(&still, true, WEIR_TIMEOUT, "the plain run", "it stands still");
}

/* ---- an operator that wakes and holds ---- */

struct slow {
    uint64_t held; /* a number not yet sent; 0: none */
    int64_t time;
};

static enum weir_result slow_take(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    struct slow *slow = self;
    (void)input;
    slow->held = number_of(record);
    slow->time = record->time;
    weir_hold(context, true);
    weir_wake(context, weir_now(context) + 1000, -1);
    return WEIR_OK;
}

static enum weir_result slow_wake(void *self, struct weir_context *context)
{
    struct slow *slow = self;
    if (slow->held)
        emit_number(context, (struct weir_bytes){0}, slow->held, slow->time);
    slow->held = 0;
    weir_hold(context, false);
    return WEIR_OK;
}

static enum weir_progress slow_finish(void *self, struct weir_context *context)
{
    slow_wake(self, context);
    return WEIR_END;
}

static enum weir_result slow_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){self, sizeof(struct slow)});
    return WEIR_OK;
}

static enum weir_result slow_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    enum weir_item kind;
    struct weir_bytes item;
    (void)version;
    while (weir_load_next(loader, &kind, &item))
        memcpy(self, item.data, sizeof(struct slow));
    if (((struct slow *)self)->held) {
        weir_hold(context, true);
        weir_wake(context, 0, -1);
    }
    return WEIR_OK;
}

Test(torture, passes_an_operator_that_wakes_and_holds)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "slow",
                                               .self_size = sizeof(struct slow),
                                               .process = slow_take,
                                               .wake = slow_wake,
                                               .finish = slow_finish,
                                               .save = slow_save,
                                               .load = slow_load};
    passes(&table, true);
}

/* ---- sources ---- */

struct counter {
    uint64_t next, said; /* said: what is saved */
};

static enum weir_progress count_up(void *self, struct weir_context *context)
{
    struct counter *counter = self;
    for (int i = 0; i < 3 && counter->next < 50; i++, counter->next++)
        emit_number(context, (struct weir_bytes){0}, counter->next, (int64_t)counter->next);
    weir_emit_watermark(context, (int64_t)counter->next);
    return counter->next < 50 ? WEIR_MORE : WEIR_END;
}

static enum weir_result save_counter(void *self, struct weir_context *context,
                                     struct weir_saver *saver)
{
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT,
              (struct weir_bytes){&((struct counter *)self)->next, sizeof(uint64_t)});
    return WEIR_OK;
}

static enum weir_result load_counter(void *self, struct weir_context *context,
                                     struct weir_loader *loader, uint32_t version)
{
    struct counter *counter = self;
    enum weir_item kind;
    struct weir_bytes item;
    (void)context, (void)version;
    while (weir_load_next(loader, &kind, &item))
        memcpy(&counter->next, item.data, sizeof counter->next);
    counter->said = counter->next;
    return WEIR_OK;
}

#define COUNTER .self_size = sizeof(struct counter), .load = load_counter

Test(torture, passes_a_source)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "source",
                                               COUNTER, .poll = count_up, .save = save_counter};
    passes(&table, false);
}

/* The position it saves is that of the poll before: what came since is sent twice. */
static enum weir_progress count_late(void *self, struct weir_context *context)
{
    struct counter *counter = self;
    counter->said = counter->next;
    return count_up(self, context);
}

static enum weir_result save_late(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    struct counter *counter = self;
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&counter->said, sizeof(uint64_t)});
    return WEIR_OK;
}

Test(torture, catches_a_position_that_is_saved_too_late)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "late",
                                               COUNTER, .poll = count_late, .save = save_late};
    is_caught(&table, false, WEIR_FAILED, "restored at move", "saved state?");
}

/* Right records, but readers would drop them: the watermark runs ahead after a restart. */
static enum weir_progress count_hasty(void *self, struct weir_context *context)
{
    struct counter *counter = self;
    weir_emit_watermark(context, (int64_t)counter->next + (weir_restored(context) ? 10 : 0));
    return count_up(self, context);
}

Test(torture, catches_a_watermark_that_runs_ahead_after_a_restart)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "hasty",
                                               COUNTER, .poll = count_hasty, .save = save_counter};
    is_caught(&table, false, WEIR_FAILED, "behind a watermark", "dropped at");
}

static enum weir_progress poll_for_ever(void *self, struct weir_context *context)
{
    (void)self, (void)context;
    return WEIR_MORE;
}

Test(torture, catches_a_source_without_end)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "endless",
                                               .poll = poll_for_ever};
    is_caught(&table, false, WEIR_TOO_LARGE, "the plain run", "need an end");
}

/* ---- sinks: an outside world of numbers, staged and visible ---- */

#define OUTSIDE 256
#define STAGED 65536 /* what every run of a trial has staged */

struct outside {
    uint64_t staged[STAGED], visible[OUTSIDE];
    size_t staged_count, visible_count;
};

/* The instance's part: what it staged since the last prepare begins at `from`. */
struct publisher {
    struct outside *outside;
    uint64_t from;
};

static enum weir_result begin_outside(void *context, struct weir_error *error)
{
    (void)error;
    memset(context, 0, sizeof(struct outside));
    return WEIR_OK;
}

static enum weir_result see_outside(void *context, uint64_t *fingerprint, struct weir_error *error)
{
    const struct outside *outside = context;
    (void)error;
    *fingerprint = weir_hash(
        (struct weir_bytes){outside->visible, outside->visible_count * sizeof outside->visible[0]});
    return WEIR_OK;
}

static enum weir_result open_publisher(void *self, struct weir_context *context, const void *config)
{
    struct publisher *publisher = self;
    (void)context;
    publisher->outside = *(struct outside *const *)config;
    publisher->from = publisher->outside->staged_count;
    return WEIR_OK;
}

static enum weir_result stage(void *self, struct weir_context *context, unsigned input,
                              const struct weir_record *record)
{
    struct outside *outside = ((struct publisher *)self)->outside;
    (void)context, (void)input;
    cr_assert_lt(outside->staged_count, STAGED);
    outside->staged[outside->staged_count++] = number_of(record);
    return WEIR_OK;
}

/* A handle is the staged numbers themselves. */
static enum weir_result hand_over(void *self, struct weir_context *context, uint64_t id)
{
    struct publisher *publisher = self;
    struct outside *outside = publisher->outside;
    size_t count = outside->staged_count - publisher->from;
    (void)id;
    const uint64_t *first = outside->staged + publisher->from;
    publisher->from = outside->staged_count;
    return count ? weir_handle(context, (struct weir_bytes){first, count * sizeof *first})
                 : WEIR_OK;
}

static enum weir_result publish_twice(void *self, struct weir_context *context,
                                      struct weir_bytes handle)
{
    struct outside *outside = ((struct publisher *)self)->outside;
    (void)context;
    cr_assert(outside->visible_count + handle.size / 8 <= OUTSIDE);
    memcpy(outside->visible + outside->visible_count, handle.data, handle.size);
    outside->visible_count += handle.size / 8;
    return WEIR_OK;
}

/* Numbers rise, so what is there already can be told. */
static enum weir_result publish(void *self, struct weir_context *context, struct weir_bytes handle)
{
    const struct outside *outside = ((struct publisher *)self)->outside;
    uint64_t first;
    memcpy(&first, handle.data, sizeof first);
    for (size_t i = 0; i < outside->visible_count; i++)
        if (outside->visible[i] == first)
            return WEIR_OK;
    return publish_twice(self, context, handle);
}

static enum weir_result publish_early(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    struct outside *outside = ((struct publisher *)self)->outside;
    (void)input;
    for (size_t i = 0; i < outside->visible_count; i++)
        if (outside->visible[i] == number_of(record))
            return WEIR_OK;
    return publish_twice(self, context, record->value);
}

static enum weir_result keep_quiet(void *self, struct weir_context *context, uint64_t id)
{
    (void)self, (void)context, (void)id;
    return WEIR_OK;
}

/* Empties the staging area, where handles of aborted rounds still point to. */
static void clear_staged(void *self, struct weir_context *context, uint64_t id)
{
    struct publisher *publisher = self;
    (void)context, (void)id;
    memset(publisher->outside->staged, 0, sizeof publisher->outside->staged);
}

/* A handle is two numbers: where in the staging area, and how many. */
static enum weir_result hand_over_place(void *self, struct weir_context *context, uint64_t id)
{
    struct publisher *publisher = self;
    uint64_t handle[2] = {publisher->from, publisher->outside->staged_count - publisher->from};
    (void)id;
    publisher->from = publisher->outside->staged_count;
    return handle[1] ? weir_handle(context, (struct weir_bytes){handle, sizeof handle}) : WEIR_OK;
}

static enum weir_result publish_place(void *self, struct weir_context *context,
                                      struct weir_bytes handle)
{
    uint64_t place[2];
    memcpy(place, handle.data, sizeof place);
    return publish(self, context,
                   (struct weir_bytes){((struct publisher *)self)->outside->staged + place[0],
                                       place[1] * sizeof(uint64_t)});
}

/* A handle is left out when little was staged, as if it were not worth it. */
static enum weir_result hand_over_much(void *self, struct weir_context *context, uint64_t id)
{
    struct publisher *publisher = self;
    if (publisher->outside->staged_count - publisher->from > 1)
        return hand_over(self, context, id);
    publisher->from = publisher->outside->staged_count;
    return WEIR_OK;
}

static enum weir_result torture_sink(const struct weir_operator *table, struct weir_error *error)
{
    static struct outside world;
    static struct outside *outside = &world;
    struct weir_node_options node = {WEIR_SIZED(struct weir_node_options), .name = "sink",
                                     .table = table, .config = &outside};
    struct weir_torture_options options = {WEIR_SIZED(struct weir_torture_options),
                                           .node = &node,
                                           .steps = steps,
                                           .step_count = RECORDS,
                                           .begin = begin_outside,
                                           .visible = see_outside,
                                           .context = &world};
    make_steps();
    memset(error, 0, sizeof *error);
    return weir_operator_torture(&options, error);
}

static void sink_is_caught(const struct weir_operator *table, const char *words)
{
    struct weir_error error;
    enum weir_result result = torture_sink(table, &error);
    cr_log_info("%s: %s", table->kind, error.text);
    cr_assert_eq(result, WEIR_FAILED, "%s: %s", table->kind, error.text);
    cr_assert(strstr(error.text, words), "%s: no \"%s\" in: %s", table->kind, words, error.text);
}

#define PUBLISHER .self_size = sizeof(struct publisher), .open = open_publisher

Test(torture, passes_a_sink_in_two_phases)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "sink",
                                               PUBLISHER,
                                               .process = stage,
                                               .prepare = hand_over,
                                               .commit = publish};
    struct weir_error error;
    cr_assert_eq(torture_sink(&table, &error), WEIR_OK, "%s", error.text);
}

Test(torture, catches_a_commit_that_is_not_idempotent)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "twice",
                                               PUBLISHER,
                                               .process = stage,
                                               .prepare = hand_over,
                                               .commit = publish_twice};
    sink_is_caught(&table, "what is visible outside is not what it is");
}

Test(torture, catches_what_is_published_early)
{
    static const struct weir_operator table = {
        WEIR_SIZED(struct weir_operator), .kind = "early",       PUBLISHER,
        .process = publish_early,         .prepare = keep_quiet, .commit = publish};
    sink_is_caught(&table, "before a checkpoint was committed");
}

Test(torture, lets_a_sink_publish_early_that_says_so)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "says",
                                               .guarantee = WEIR_AT_LEAST_ONCE,
                                               PUBLISHER,
                                               .process = publish_early,
                                               .prepare = keep_quiet,
                                               .commit = publish};
    struct weir_error error;
    cr_assert_eq(torture_sink(&table, &error), WEIR_OK, "%s", error.text);
}

Test(torture, catches_a_handle_that_is_dropped)
{
    static const struct weir_operator table = {
        WEIR_SIZED(struct weir_operator), .kind = "drops",  PUBLISHER, .process = stage,
        .prepare = hand_over_much,        .commit = publish};
    sink_is_caught(&table, "what is visible outside is not what it is");
}

Test(torture, catches_output_that_goes_with_an_aborted_round)
{
    static const struct weir_operator right = {
        WEIR_SIZED(struct weir_operator), .kind = "places",       PUBLISHER, .process = stage,
        .prepare = hand_over_place,       .commit = publish_place};
    static const struct weir_operator wrong = {WEIR_SIZED(struct weir_operator),
                                               .kind = "clears",
                                               PUBLISHER,
                                               .process = stage,
                                               .prepare = hand_over_place,
                                               .commit = publish_place,
                                               .aborted = clear_staged};
    struct weir_error error;
    cr_assert_eq(torture_sink(&right, &error), WEIR_OK, "%s", error.text);
    sink_is_caught(&wrong, "what is visible outside is not what it is");
}

/* ---- a folder in the store ---- */

static enum weir_result open_folder(void *self, struct weir_context *context, const void *config)
{
    char path[256];
    struct weir_error error = {0};
    enum weir_result result = weir_store_folder(context, path, sizeof path, &error);
    (void)self, (void)config;
    return result ? weir_fail_with(context, &error) : weir_folder_sync(path, &error);
}

Test(torture, answers_a_folder_in_what_plays_the_store)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "keeps",
                                               SUMS,
                                               .open = open_folder,
                                               .process = add_up,
                                               .save = save_sum,
                                               .load = load_sum};
    struct scratch scratch = scratch_make();
    struct weir_node_options node = {WEIR_SIZED(struct weir_node_options), .name = "keeps",
                                     .table = &table};
    struct weir_torture_options options = {WEIR_SIZED(struct weir_torture_options), .node = &node,
                                           .steps = steps, .step_count = RECORDS, .trials = 10};
    struct weir_error error = {0};
    make_steps();
    cr_assert_eq(weir_operator_torture(&options, &error), WEIR_INVALID, "there is no store");
    cr_assert(strstr(error.text, "the plain run: keeps[0]: "), "%s", error.text);
    options.store = scratch.path;
    cr_assert_eq(weir_operator_torture(&options, &error), WEIR_OK, "%s", error.text);
    cr_assert(scratch_exists(scratch_join(scratch.path, "nodes/keeps")));
    scratch_free(&scratch);
}

/* ---- the kit itself ---- */

static enum weir_result take_both(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    uint64_t *sum = self;
    *sum = *sum * 31 + number_of(record) * (input + 1);
    return emit_number(context, record->key, *sum, record->time);
}

static const char *const both_inputs[] = {"left", "right"};

static enum weir_result torture_both(struct weir_torture_options *options, struct weir_error *error)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                               .kind = "both",
                                               SUMS,
                                               .process = take_both,
                                               .save = save_sum,
                                               .load = load_sum};
    static const struct weir_node_options node = {WEIR_SIZED(struct weir_node_options),
                                                  .name = "both", .table = &table,
                                                  .inputs = both_inputs, .input_count = 2};
    *error = (struct weir_error){0};
    options->size = sizeof *options;
    options->node = options->graph ? NULL : &node;
    return weir_operator_torture(options, error);
}

/* The order of inputs is the steps', in every trial: this sum depends on it. */
Test(torture, keeps_the_order_of_steps_over_inputs)
{
    struct weir_torture_options options = {.steps = steps, .step_count = RECORDS};
    struct weir_error error;
    make_steps();
    for (unsigned i = 0; i < RECORDS; i++)
        steps[i].input = i / 3 % 2;
    cr_assert_eq(torture_both(&options, &error), WEIR_OK, "%s", error.text);
}

Test(torture, refuses_steps_of_inputs_that_are_not_there)
{
    struct weir_torture_options options = {.steps = steps, .step_count = RECORDS};
    struct weir_error error;
    make_steps();
    steps[7].input = 2;
    cr_assert_eq(torture_both(&options, &error), WEIR_INVALID);
    cr_assert_str_eq(error.text, "step 8 is for input 2, and there are 2");
}

Test(torture, refuses_options_that_name_no_operator)
{
    struct weir_torture_options options = {WEIR_SIZED(struct weir_torture_options)};
    struct weir_error error = {0};
    cr_assert_eq(weir_operator_torture(&options, &error), WEIR_INVALID);
    cr_assert(strstr(error.text, "give it a node"), "%s", error.text);
    options.size = 0;
    cr_assert_eq(weir_operator_torture(&options, &error), WEIR_INVALID);
    cr_assert_eq(weir_operator_torture(&options, NULL), WEIR_INVALID);
}

/* ---- misuse: what is called where it may not be ---- */

static void (*misuse)(struct weir_context *context, const struct weir_record *record);
static void (*mis_save)(struct weir_context *context, struct weir_saver *saver);

static enum weir_result misuse_process(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    (void)self, (void)input;
    if (misuse)
        misuse(context, record);
    return WEIR_OK;
}

static enum weir_result misuse_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    (void)self;
    mis_save(context, saver);
    return WEIR_OK;
}

static const struct weir_bytes a_sub = {"sub", 3};

static void map_get(struct weir_context *context, const struct weir_record *record)
{
    struct weir_bytes value;
    cr_assert_not(weir_map_get(context, 1, &record->key, a_sub, &value));
    cr_assert_not(weir_map_get(context, 9, &record->key, a_sub, &value)); /* the first one sticks */
}

static void map_put(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_eq(weir_map_put(context, 1, &record->key, a_sub, a_sub), WEIR_INVALID);
}

static void map_cell(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_null(weir_map_cell(context, 0, &record->key, a_sub));
}

static void map_remove(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_not(weir_map_remove(context, 1, &record->key, a_sub));
}

static void map_next(struct weir_context *context, const struct weir_record *record)
{
    struct weir_bytes sub, value;
    cr_assert_not(weir_map_next(context, 1, &record->key, NULL, &sub, &value));
}

static void map_count(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_eq(weir_map_count(context, 1, &record->key), 0);
}

static void map_clear(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_eq(weir_map_clear(context, 1, &record->key, 1), 0);
}

static void list_append(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_eq(weir_list_append(context, 1, &record->key, a_sub), WEIR_INVALID);
}

static void list_count(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_eq(weir_list_count(context, 1, &record->key), 0);
}

static void list_get(struct weir_context *context, const struct weir_record *record)
{
    struct weir_bytes value;
    cr_assert_not(weir_list_get(context, 1, &record->key, 0, &value));
}

static void list_put(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_not(weir_list_put(context, 1, &record->key, 0, a_sub));
}

static void list_truncate(struct weir_context *context, const struct weir_record *record)
{
    weir_list_truncate(context, 1, &record->key, 0);
}

static void unknown_cell(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_null(weir_cell(context, 2, &record->key));
}

static void unknown_get(struct weir_context *context, const struct weir_record *record)
{
    struct weir_bytes value;
    cr_assert_not(weir_get(context, 2, &record->key, &value));
}

static void unknown_put(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_eq(weir_put(context, 2, &record->key, a_sub), WEIR_INVALID);
}

static void unknown_remove(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_not(weir_remove(context, 2, &record->key));
}

static void unknown_scan(struct weir_context *context, const struct weir_record *record)
{
    struct weir_bytes key, value;
    (void)record;
    cr_assert_not(weir_scan_next(context, 2, &key, &value));
}

static void unknown_rewind(struct weir_context *context, const struct weir_record *record)
{
    (void)record;
    weir_scan_rewind(context, 2);
}

static void cell_of_texts(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_null(weir_cell(context, 1, &record->key));
}

static void cells_of_others(struct weir_context *context, const struct weir_record *record)
{
    struct weir_record other = *record;
    cr_assert_null(weir_cells(context, 0, &other, 1));
}

static void timer_set(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_eq(weir_timer_set(context, WEIR_TIMER_EVENT, record->time, 0), WEIR_INVALID);
}

static void timer_set_key(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_eq(weir_timer_set_key(context, WEIR_TIMER_EVENT, &record->key, 0, 0), WEIR_INVALID);
}

static void commit_unreserved(struct weir_context *context, const struct weir_record *record)
{
    (void)record;
    cr_assert_eq(weir_emit_commit(context, 0), WEIR_INVALID);
}

static void commit_too_much(struct weir_context *context, const struct weir_record *record)
{
    cr_assert_not_null(weir_emit_reserve(context, 0, record->key, 8, record->time));
    cr_assert_eq(weir_emit_commit(context, 9), WEIR_INVALID);
}

Test(torture, tells_of_each_misuse_in_process)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "misuses",
                                               .process = misuse_process};
    static const struct {
        void (*call)(struct weir_context *, const struct weir_record *);
        const char *words;
    } cases[] = {
        {map_get, "calls weir_map_get with state texts, whose kind is"},
        {map_put, "calls weir_map_put with state texts"},
        {map_cell, "calls weir_map_cell with state cells"},
        {map_remove, "calls weir_map_remove with state texts"},
        {map_next, "calls weir_map_next with state texts"},
        {map_count, "calls weir_map_count with state texts"},
        {map_clear, "calls weir_map_clear with state texts"},
        {list_append, "calls weir_list_append with state texts"},
        {list_count, "calls weir_list_count with state texts"},
        {list_get, "calls weir_list_get with state texts"},
        {list_put, "calls weir_list_put with state texts"},
        {list_truncate, "calls weir_list_truncate with state texts"},
        {unknown_cell, "it uses state 2, and has declared 2"},
        {unknown_get, "it uses state 2"},
        {unknown_put, "it uses state 2"},
        {unknown_remove, "it uses state 2"},
        {unknown_scan, "it uses state 2"},
        {unknown_rewind, "it uses state 2"},
        {cell_of_texts, "state texts has values of any size"},
        {cells_of_others, "weir_cells takes records that process_many was given"},
        {timer_set, "without a timer callback"},
        {timer_set_key, "without a key_timer callback"},
        {commit_unreserved, "weir_emit_commit of 0 bytes without a reservation"},
        {commit_too_much, "weir_emit_commit of 9 bytes without a reservation"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        misuse = cases[i].call;
        is_caught(&table, true, WEIR_INVALID, "the plain run: mine[0]: ", cases[i].words);
    }
}

static void save_watermark(struct weir_context *context, struct weir_saver *saver)
{
    (void)saver;
    weir_emit_watermark(context, 5);
    weir_emit_idle(context); /* the first failure sticks */
}

static void save_cell(struct weir_context *context, struct weir_saver *saver)
{
    (void)saver;
    cr_assert_null(weir_cell(context, 0, &a_sub));
}

static void save_within(struct weir_context *context, struct weir_saver *saver)
{
    (void)context;
    weir_save_begin(saver, WEIR_ITEM_SPLIT);
    weir_save_begin(saver, WEIR_ITEM_SPLIT);
    weir_save_raw(saver, a_sub);
    weir_save_end(saver);
    weir_save_end(saver); /* the first refusal sticks */
}

static void save_unknown(struct weir_context *context, struct weir_saver *saver)
{
    (void)context;
    weir_save(saver, (enum weir_item)99, a_sub);
}

static void save_outside(struct weir_context *context, struct weir_saver *saver)
{
    (void)context;
    weir_save_raw(saver, a_sub);
}

static void save_unbegun(struct weir_context *context, struct weir_saver *saver)
{
    (void)context;
    weir_save_end(saver);
}

static void save_unended(struct weir_context *context, struct weir_saver *saver)
{
    (void)context;
    weir_save_begin(saver, WEIR_ITEM_SPLIT);
}

static void save_giant(struct weir_context *context, struct weir_saver *saver)
{
    static char giant[(16 << 20) + 1];
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){giant, sizeof giant});
}

static void save_hashless(struct weir_context *context, struct weir_saver *saver)
{
    (void)context;
    weir_save(saver, WEIR_ITEM_KEYED, a_sub);
}

Test(torture, tells_of_each_misuse_in_save)
{
    static const struct weir_operator table = {
        WEIR_SIZED(struct weir_operator), .kind = "misuses",   SUMS,
        .process = misuse_process,        .save = misuse_save, .load = load_sum};
    static const struct {
        void (*call)(struct weir_context *, struct weir_saver *);
        const char *words;
    } cases[] = {
        {save_watermark, "it emits a watermark in open, load, prepare, save"},
        {save_cell, "it uses keyed state in open, load, prepare, save"},
        {save_within, "an item within another"},
        {save_unknown, "an unknown kind of item"},
        {save_outside, "a value outside of an item"},
        {save_unbegun, "the end of an item that was not begun"},
        {save_unended, "an item that was not ended"},
        {save_giant, "an item over 16 MiB"},
        {save_hashless, "hash"},
    };
    misuse = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weir_error error;
        mis_save = cases[i].call;
        cr_assert_neq(torture(&table, true, &error), WEIR_OK, "%s", cases[i].words);
        cr_assert(strstr(error.text, cases[i].words), "no \"%s\" in: %s", cases[i].words,
                  error.text);
    }
}

Test(torture, refuses_each_wrong_option)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "adds",
                                               .process = misuse_process};
    struct weir_node_options node = {WEIR_SIZED(struct weir_node_options), .name = "mine",
                                     .table = &table};
    struct weir_torture_options options = {WEIR_SIZED(struct weir_torture_options), .node = &node,
                                           .step_count = 1};
    struct weir_error error = {0};
    cr_assert_eq(weir_operator_torture(NULL, &error), WEIR_INVALID);
    cr_assert(strstr(error.text, ".size is not set"), "%s", error.text);
    cr_assert_eq(weir_operator_torture(&options, &error), WEIR_INVALID);
    cr_assert_str_eq(error.text, "options.steps is NULL");
    make_steps();
    options.steps = steps;
    steps[0].record.value.size = (size_t)WEIR_VALUE_LIMIT + 1;
    cr_assert_eq(weir_operator_torture(&options, &error), WEIR_TOO_LARGE);
    cr_assert_str_eq(error.text, "step 1: a key or value is over 16 MiB");
    make_steps();
    steps[0].record.key.size = (size_t)WEIR_KEY_LIMIT + 1;
    cr_assert_eq(weir_operator_torture(&options, &error), WEIR_TOO_LARGE);
    node.size = 0;
    cr_assert_eq(weir_operator_torture(&options, &error), WEIR_INVALID);
    cr_assert(strstr(error.text, "struct weir_node_options: .size is not set"), "%s", error.text);
}

/* A failure's number repeats it alone. */
Test(torture, repeats_one_trial)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "forgets",
                                               SUMS, .process = add_up};
    struct weir_node_options node = {WEIR_SIZED(struct weir_node_options), .name = "mine",
                                     .table = &table};
    struct weir_torture_options options = {WEIR_SIZED(struct weir_torture_options), .node = &node,
                                           .steps = steps, .step_count = RECORDS, .seed = 99};
    struct weir_error all = {0}, one = {0};
    make_steps();
    cr_assert_eq(weir_operator_torture(&options, &all), WEIR_FAILED);
    options.only = (uint32_t)strtoul(all.text + strlen("trial "), NULL, 10);
    cr_assert_gt(options.only, 0);
    cr_assert_eq(weir_operator_torture(&options, &one), WEIR_FAILED);
    cr_assert_str_eq(one.text, all.text);
    options.only = 1;
    cr_assert_eq(weir_operator_torture(&options, &one), WEIR_OK, "trial 1 has no restart");
}

/* Whatever the seed. */
Test(torture, passes_and_catches_with_any_seed)
{
    static const struct weir_operator right = {WEIR_SIZED(struct weir_operator), .kind = "counts",
                                               .process = count_key, .timer = tell_key,
                                               .finish = finish_keys};
    static const struct weir_operator wrong = {WEIR_SIZED(struct weir_operator),
                                               .kind = "narrow",
                                               SUMS,
                                               .process = add_up,
                                               .save = save_sum,
                                               .load = load_short};
    struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "cells", .value_size = 8};
    struct weir_node_options node = {WEIR_SIZED(struct weir_node_options), .name = "mine",
                                     .states = &state, .state_count = 1};
    struct weir_torture_options options = {WEIR_SIZED(struct weir_torture_options), .node = &node,
                                           .steps = steps, .step_count = RECORDS, .trials = 30};
    struct weir_error error = {0};
    make_steps();
    for (options.seed = 1; options.seed <= explore_part(20); options.seed++) {
        node.table = &right;
        cr_assert_eq(weir_operator_torture(&options, &error), WEIR_OK, "%s", error.text);
        node.table = &wrong;
        cr_assert_eq(weir_operator_torture(&options, &error), WEIR_FAILED);
    }
}
