/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole jobs whose keyed state is hard on its log: keys that live shorter than from one cut to the
 * next, keys and values of the largest size. What is restored is what was there at the cut.
 */
#include "flow.h"

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_state, .init = scratch_open, .fini = scratch_close);

/* --------------------------------------------------------------------- short-lived keys -- */

enum { PASSING_KEYS = 10, PASSING = 20000 };

/* Of each key, every third number is removed where it was put; the others stay until the next. */
static bool stays(uint64_t number)
{
    return number / PASSING_KEYS % 3 != 0;
}

static bool is_what_was_left(struct weir_context *context, const struct weir_record *record)
{
    struct weir_bytes value;
    uint64_t last = flow_number(record) - PASSING_KEYS;
    bool first = flow_number(record) < PASSING_KEYS;
    bool there = weir_get(context, 0, &record->key, &value);

    if (first || !stays(last))
        return !there;
    return there && value.size == sizeof last && memcmp(value.data, &last, sizeof last) == 0;
}

static enum weir_result pass_by(struct weir_context *context, unsigned input,
                                const struct weir_record *record, const void *config)
{
    (void)input;
    (void)config;
    if (!is_what_was_left(context, record))
        return weir_fail(context, WEIR_FAILED, "number %llu does not find what was left",
                         (unsigned long long)flow_number(record));
    if (weir_put(context, 0, &record->key, record->value))
        return WEIR_FAILED;
    if (!stays(flow_number(record)) && !weir_remove(context, 0, &record->key))
        return weir_fail(context, WEIR_FAILED, "number %llu is not there to be removed",
                         (unsigned long long)flow_number(record));
    return weir_emit(context, 0, record);
}

Test(job_state, keys_that_come_and_go_between_two_cuts_are_restored_as_they_were)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "waiting"};
    uint64_t seed = flow_seed();
    struct flow flow;
    struct ledger ledger;

    ledger_init(&ledger, PASSING);
    flow_init(&flow);
    flow.options.store = scratch.path;
    flow.options.interval_ns = FLOW_SECOND / 500;
    weir_node numbers = flow_numbers(&flow, "numbers", PASSING, PASSING_KEYS, 1);
    weir_node passing = weir_graph_add(
        flow.graph, &(struct weir_node_options){
                        WEIR_SIZED(struct weir_node_options), .name = "passing",
                        .function = pass_by, .states = &state, .state_count = 1, .parallelism = 2});
    weir_connect(flow.graph, numbers, passing, WEIR_BY_KEY);
    weir_connect(flow.graph, passing, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
    for (unsigned i = 0; i < 8; i++) {
        flow_start(&flow);
        flow_until_taken(&flow, &ledger,
                         atomic_load(&ledger.taken) + 500 + flow_draw(&seed) % 1500);
        if (i % 2 == 0) {
            flow_stop(&flow, WEIR_STOP_SUSPEND);
            flow_wait(&flow);
        }
        flow_close(&flow);
    }
    flow_finish(&flow);
    ledger_is(&ledger, PASSING, 1);
    flow_free(&flow);
    ledger_free(&ledger);
}

/* ------------------------------------------------------------------------ largest of all -- */

/* Size of the key; the value has it in the other order. */
static const size_t sizes[] = {0, 1, 4096, 262144, WEIR_KEY_LIMIT - 1, WEIR_KEY_LIMIT};
enum { SIZES = sizeof sizes / sizeof *sizes, BEFORE_STOP = 4 };

static unsigned char byte_at(size_t size, size_t at)
{
    return (unsigned char)(size * 31 + at * 7 + (at >> 8));
}

static struct weir_bytes pattern(size_t size)
{
    unsigned char *bytes = malloc(size + 1);

    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(size, i);
    return (struct weir_bytes){bytes, size};
}

static bool is_pattern(struct weir_bytes bytes)
{
    const unsigned char *data = bytes.data;

    for (size_t i = 0; i < bytes.size; i++)
        if (data[i] != byte_at(bytes.size, i))
            return false;
    return true;
}

/* Gives some, then waits for another run to give the rest. */
static enum weir_progress give_sizes(void *self, struct weir_context *context)
{
    uint64_t *next = self;

    if (*next == BEFORE_STOP && !weir_restored(context))
        return weir_idle(context, INT64_MAX, -1);
    if (*next == SIZES)
        return WEIR_END;
    struct weir_bytes key = pattern(sizes[*next]), value = pattern(sizes[SIZES - 1 - *next]);
    weir_emit(context, 0, &(struct weir_record){key, value, WEIR_NO_TIME});
    free((void *)(uintptr_t)key.data);
    free((void *)(uintptr_t)value.data);
    ++*next;
    return WEIR_MORE;
}

static enum weir_result save_next(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){self, sizeof(uint64_t)});
    return WEIR_OK;
}

static enum weir_result load_next(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    enum weir_item kind;
    struct weir_bytes item;

    (void)context;
    (void)version;
    if (weir_load_next(loader, &kind, &item))
        memcpy(self, item.data, sizeof(uint64_t));
    return WEIR_OK;
}

static const struct weir_operator sizes_table = {WEIR_SIZED(struct weir_operator),
                                                 .kind = "sizes",
                                                 .self_size = sizeof(uint64_t),
                                                 .poll = give_sizes,
                                                 .save = save_next,
                                                 .load = load_next};

static enum weir_result keep_it(void *self, struct weir_context *context, unsigned input,
                                const struct weir_record *record)
{
    static const uint64_t taken = 0;

    (void)self;
    (void)input;
    if (weir_put(context, 0, &record->key, record->value))
        return WEIR_FAILED;
    return weir_emit(context, 0,
                     &(struct weir_record){.value = {&taken, sizeof taken}, .time = WEIR_NO_TIME});
}

/* A number for each key that is as it was put: 1 + the place of its size. */
static enum weir_progress tell_them(void *self, struct weir_context *context)
{
    struct weir_bytes key, value;

    (void)self;
    while (weir_scan_next(context, 0, &key, &value)) {
        uint64_t place = 0;
        while (place < SIZES && sizes[place] != key.size)
            place++;
        if (place == SIZES || value.size != sizes[SIZES - 1 - place] || !is_pattern(key) ||
            !is_pattern(value))
            weir_fail(context, WEIR_FAILED, "a key of %zu bytes is not as it was", key.size);
        place++;
        weir_emit(context, 0,
                  &(struct weir_record){.value = {&place, sizeof place}, .time = WEIR_NO_TIME});
    }
    return WEIR_END;
}

static const struct weir_operator keeper_table = {
    WEIR_SIZED(struct weir_operator), .kind = "keeper", .process = keep_it, .finish = tell_them};

Test(job_state, keys_and_values_of_the_largest_size_are_restored)
{
    static const struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "all"};
    struct flow flow;
    struct ledger ledger;

    ledger_init(&ledger, SIZES + 1);
    flow_init(&flow);
    flow.options.store = scratch.path;
    flow.options.interval_ns = -1;
    weir_node source = flow_add(&flow, "sizes", &sizes_table, NULL, 1);
    weir_node keeper = weir_graph_add(
        flow.graph,
        &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "keeper",
                                    .table = &keeper_table, .states = &state, .state_count = 1});
    weir_connect(flow.graph, source, keeper, WEIR_BY_KEY);
    weir_connect(flow.graph, keeper, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_FORWARD);
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, BEFORE_STOP);
    flow_stop(&flow, WEIR_STOP_SUSPEND);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_close(&flow);
    flow_finish(&flow);
    cr_expect_eq(ledger.counts[0], SIZES);
    for (uint32_t place = 1; place <= SIZES; place++)
        cr_expect_eq(ledger.counts[place], 1, "size %zu", sizes[place - 1]);
    flow_free(&flow);
    ledger_free(&ledger);
}
