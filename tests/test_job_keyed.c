/* links: flow valve */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Maps, lists, timers of keys and values that expire in whole jobs.
 */
#include "flow.h"
#include "valve.h"

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_keyed, .init = scratch_open, .fini = scratch_close);

static struct weir_bytes bytes_of(const void *data, size_t size)
{
    return (struct weir_bytes){data, size};
}

static weir_node add(struct flow *flow, const struct weir_operator *table, const void *config,
                     const struct weir_state *states, size_t count, uint32_t parallelism)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options),
                                        .name = "keyed",
                                        .table = table,
                                        .config = config,
                                        .states = states,
                                        .state_count = count,
                                        .parallelism = parallelism};
    return weir_graph_add(flow->graph, &options);
}

static weir_node numbers(struct flow *flow, uint64_t count, uint64_t keys, uint64_t rate)
{
    struct weir_sequence_source_options options = {WEIR_SIZED(struct weir_sequence_source_options),
                                                   .count = count, .keys = keys, .rate = rate,
                                                   .time_step = 10};
    return weir_sequence_source(flow->graph, "numbers", &options);
}

/* --- timers of keys ----------------------------------------------------------------------- */

/* Each number is set down in a map of its key with a timer, which sends it on. One in four timers
 * is cancelled, and set anew for another time. `late`: all of them for the end. */
static struct {
    atomic_uint early, doubled, lost, missed;
} seen;

static const bool at_once = false, late = true;

struct desk {
    bool late;
};

static enum weir_result desk_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    ((struct desk *)self)->late = *(const bool *)config;
    return WEIR_OK;
}

static enum weir_result desk_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    const struct desk *desk = self;
    uint64_t number = flow_number(record);
    int64_t due = desk->late ? INT64_MAX / 2 : record->time + 50;
    (void)input;
    weir_map_put(context, 0, &record->key, bytes_of(&number, sizeof number), record->value);
    if (number % 4 == 0) {
        weir_timer_set_key(context, WEIR_TIMER_EVENT, &record->key, due + 1, number);
        bool there =
            weir_timer_cancel_key(context, WEIR_TIMER_EVENT, &record->key, due + 1, number);
        bool again =
            weir_timer_cancel_key(context, WEIR_TIMER_EVENT, &record->key, due + 1, number);
        atomic_fetch_add(&seen.missed, !there || again);
    }
    weir_timer_set_key(context, WEIR_TIMER_EVENT, &record->key, due, number);
    return weir_timer_set_key(context, WEIR_TIMER_EVENT, &record->key, due, number);
}

static enum weir_result desk_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                   const struct weir_bytes *key, int64_t time, uint64_t tag)
{
    struct weir_bytes value;
    (void)self;
    atomic_fetch_add(&seen.early, weir_watermark(context) < time || kind != WEIR_TIMER_EVENT);
    if (!weir_map_get(context, 0, key, bytes_of(&tag, sizeof tag), &value))
        atomic_fetch_add(&seen.lost, 1);
    atomic_fetch_add(&seen.doubled, !weir_map_remove(context, 0, key, bytes_of(&tag, sizeof tag)));
    return weir_emit(context, 0,
                     &(struct weir_record){{NULL, 0}, {&tag, sizeof tag}, WEIR_NO_TIME});
}

static const struct weir_operator desk_table = {
    WEIR_SIZED(struct weir_operator), .kind = "desk",
    .self_size = sizeof(struct desk), .open = desk_open,
    .process = desk_process,          .key_timer = desk_timer};

/* Over several runs; some are suspended, others abandoned. */
static void desks(uint64_t count, const bool *config, unsigned stops)
{
    struct flow flow;
    struct ledger ledger;
    struct weir_state map = {WEIR_SIZED(struct weir_state), .name = "map", .value_size = 8,
                             .kind = WEIR_STATE_MAP};
    memset(&seen, 0, sizeof seen);
    ledger_init(&ledger, count);
    flow_init(&flow);
    flow.options.store = scratch.path;
    flow.options.interval_ns = FLOW_SECOND / 300;
    weir_node source = numbers(&flow, count, 100, count * 3);
    weir_node desk = add(&flow, &desk_table, config, &map, 1, 3);
    weir_connect(flow.graph, source, desk, WEIR_BY_KEY);
    weir_connect(flow.graph, desk, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
    for (unsigned run = 0; run < stops; run++) {
        flow_start(&flow);
        flow_until_taken(&flow, &ledger, atomic_load(&ledger.taken) + count / (stops + 2));
        if (run % 2) {
            flow_stop(&flow, WEIR_STOP_SUSPEND);
            flow_wait(&flow);
        }
        flow_close(&flow);
    }
    flow_finish(&flow);
    ledger_is(&ledger, count, 1);
    cr_expect_eq(seen.early, 0);
    cr_expect_eq(seen.doubled, 0);
    cr_expect_eq(seen.lost, 0);
    cr_expect_eq(seen.missed, 0);
    flow_free(&flow);
    ledger_free(&ledger);
}

Test(job_keyed, timers_of_keys_fire_once_over_restarts)
{
    desks(20000, &at_once, 5);
}

/* Every checkpoint that is taken meanwhile falls between two of them. */
Test(job_keyed, a_storm_of_timers_of_keys_is_cut_in_the_middle_and_each_fires_once)
{
    desks(30000, &late, 4);
}

/* --- what is refused ---------------------------------------------------------------------- */

static void use_get(struct weir_context *context, const struct weir_bytes *key)
{
    struct weir_bytes value;
    weir_get(context, 1, key, &value);
}

static void use_cell(struct weir_context *context, const struct weir_bytes *key)
{
    weir_cell(context, 2, key);
}

static void use_map(struct weir_context *context, const struct weir_bytes *key)
{
    weir_map_put(context, 2, key, *key, *key);
}

static void use_list(struct weir_context *context, const struct weir_bytes *key)
{
    weir_list_append(context, 0, key, *key);
}

static void use_map_cell(struct weir_context *context, const struct weir_bytes *key)
{
    weir_map_cell(context, 1, key, *key);
}

static void use_timer(struct weir_context *context, const struct weir_bytes *key)
{
    weir_timer_set_key(context, WEIR_TIMER_EVENT, key, 1, 1);
}

static void use_timers_state(struct weir_context *context, const struct weir_bytes *key)
{
    weir_put(context, 3, key, *key);
}

static void use_wrong_size(struct weir_context *context, const struct weir_bytes *key)
{
    weir_list_append(context, 2, key, bytes_of("123", 3));
}

static const struct misuse {
    void (*use)(struct weir_context *context, const struct weir_bytes *key);
    const char *text, *also;
} misuses[] = {
    {use_get, "weir_get", "state maps, whose kind is map"},
    {use_cell, "weir_cell", "state lists, whose kind is list"},
    {use_map, "weir_map_put", "state lists, whose kind is list"},
    {use_list, "weir_list_append", "state plain, whose kind is value"},
    {use_map_cell, "state maps has values of any size", "not cells"},
    {use_timer, "key_timer", "callback"},
    {use_timers_state, "state 3", "has declared 3"},
    {use_wrong_size, "weir_list_append", "state lists"},
};

static enum weir_result misuse_process(void *self, struct weir_context *context, unsigned input,
                                       const struct weir_record *record)
{
    const struct misuse *misuse = *(const struct misuse **)self;
    (void)input;
    misuse->use(context, &record->key);
    return WEIR_OK;
}

static enum weir_result misuse_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    memcpy(self, &config, sizeof config);
    return WEIR_OK;
}

static const struct weir_operator misuse_table = {WEIR_SIZED(struct weir_operator),
                                                  .kind = "misuse", .self_size = sizeof(void *),
                                                  .open = misuse_open, .process = misuse_process};

Test(job_keyed, what_a_state_can_not_do_fails_the_run_with_its_name_and_the_function_s)
{
    const struct weir_state states[] = {
        {WEIR_SIZED(struct weir_state), .name = "plain", .value_size = 8},
        {WEIR_SIZED(struct weir_state), .name = "maps", .kind = WEIR_STATE_MAP},
        {WEIR_SIZED(struct weir_state), .name = "lists", .value_size = 8, .kind = WEIR_STATE_LIST},
    };
    for (size_t i = 0; i < sizeof misuses / sizeof *misuses; i++) {
        struct flow flow;
        flow_init(&flow);
        weir_node source = flow_numbers(&flow, "numbers", 5, 0, 1);
        weir_node node = add(&flow, &misuse_table, &misuses[i], states, 3, 1);
        weir_connect(flow.graph, source, node, WEIR_BY_KEY);
        flow_run(&flow, WEIR_OUTCOME_FAILED);
        cr_expect_eq(flow.error.code, WEIR_INVALID);
        cr_expect_not_null(strstr(flow.error.text, misuses[i].text), "%s", flow.error.text);
        cr_expect_not_null(strstr(flow.error.text, misuses[i].also), "%s", flow.error.text);
        flow_free(&flow);
    }
}

/* --- what is too large, or somebody else's ------------------------------------------------ */

/* Of what no key and no kind of timer may be. */
static char giant_data[(16 << 20) + 1];
static const struct weir_bytes giant = {giant_data, sizeof giant_data};
static const struct weir_bytes eight = {"8 bytes.", 8};

static void giant_cell(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    cr_expect_null(weir_cell(context, 0, &giant));
}

static void giant_put(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    cr_expect_eq(weir_put(context, 0, &giant, eight), WEIR_TOO_LARGE);
}

static void giant_map_cell(struct weir_context *context, const struct weir_bytes *key)
{
    cr_expect_null(weir_map_cell(context, 1, key, giant));
}

static void giant_map_put(struct weir_context *context, const struct weir_bytes *key)
{
    cr_expect_eq(weir_map_put(context, 1, key, giant, eight), WEIR_TOO_LARGE);
}

static void giant_map_remove(struct weir_context *context, const struct weir_bytes *key)
{
    cr_expect_not(weir_map_remove(context, 1, key, giant));
}

static void giant_list_append(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    cr_expect_eq(weir_list_append(context, 2, &giant, eight), WEIR_TOO_LARGE);
}

static void giant_list_put(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    cr_expect_not(weir_list_put(context, 2, &giant, 0, eight));
}

static void giant_list_truncate(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    weir_list_truncate(context, 2, &giant, 0);
}

static void giant_timer(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    cr_expect_eq(weir_timer_set_key(context, WEIR_TIMER_EVENT, &giant, 1, 1), WEIR_TOO_LARGE);
}

static void giant_timer_cancel(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    cr_expect_not(weir_timer_cancel_key(context, WEIR_TIMER_EVENT, &giant, 1, 1));
}

static void odd_timer(struct weir_context *context, const struct weir_bytes *key)
{
    cr_expect_eq(weir_timer_set_key(context, (enum weir_timer)7, key, 1, 1), WEIR_INVALID);
    cr_expect_not(weir_timer_cancel_key(context, (enum weir_timer)7, key, 1, 1));
}

/* What is only read is not there; and neither is an element behind the end. */
static void giant_reads(struct weir_context *context, const struct weir_bytes *key)
{
    struct weir_bytes value;
    bool found =
        weir_get(context, 0, &giant, &value) || weir_map_get(context, 1, key, giant, &value) ||
        weir_list_get(context, 2, &giant, 0, &value) || weir_list_count(context, 2, &giant) > 0 ||
        weir_list_get(context, 2, key, 0, &value) || weir_list_put(context, 2, key, 0, eight) ||
        weir_remove(context, 0, key) || weir_map_remove(context, 1, key, eight);
    weir_fail(context, WEIR_OK, found ? "something is there" : "nothing is there");
}

static void fails_with(const struct misuse *misuse, enum weir_result code, uint32_t parallelism)
{
    static const struct weir_state states[] = {
        {WEIR_SIZED(struct weir_state), .name = "plain", .value_size = 8},
        {WEIR_SIZED(struct weir_state), .name = "maps", .value_size = 8, .kind = WEIR_STATE_MAP},
        {WEIR_SIZED(struct weir_state), .name = "lists", .value_size = 8, .kind = WEIR_STATE_LIST},
    };
    struct weir_operator table = misuse_table;
    struct flow flow;
    table.key_timer = desk_timer;
    flow_init(&flow);
    weir_node source = numbers(&flow, 100, 50, 0);
    weir_node node = add(&flow, &table, misuse, states, 3, parallelism);
    weir_connect(flow.graph, source, node, WEIR_BY_KEY);
    flow_run(&flow, WEIR_OUTCOME_FAILED);
    cr_expect_eq(flow.error.code, code, "%s", flow.error.text);
    cr_expect_not_null(strstr(flow.error.text, misuse->text), "%s", flow.error.text);
    cr_expect_not_null(strstr(flow.error.text, misuse->also), "%s", flow.error.text);
    flow_free(&flow);
}

Test(job_keyed, what_is_over_the_limits_fails_the_run_with_its_size_or_is_not_there)
{
    static const struct {
        struct misuse of;
        enum weir_result code;
    } cases[] = {
        {{giant_cell, "state plain has no cell", "16777217 bytes"}, WEIR_NO_MEMORY},
        {{giant_put, "state plain: a key of 16777217", "a value of 8 bytes"}, WEIR_TOO_LARGE},
        {{giant_map_cell, "state maps has no cell", "a sub key of 16777217"}, WEIR_NO_MEMORY},
        {{giant_map_put, "weir_map_put", "state maps"}, WEIR_TOO_LARGE},
        {{giant_map_remove, "weir_map_remove", "state maps"}, WEIR_TOO_LARGE},
        {{giant_list_append, "weir_list_append", "state lists"}, WEIR_TOO_LARGE},
        {{giant_list_put, "weir_list_put", "state lists"}, WEIR_TOO_LARGE},
        {{giant_list_truncate, "weir_list_truncate", "state lists"}, WEIR_TOO_LARGE},
        {{giant_timer, "a timer of a key of", "16777217 bytes"}, WEIR_TOO_LARGE},
        {{giant_timer_cancel, "a timer of a key of", "16777217 bytes"}, WEIR_TOO_LARGE},
        {{odd_timer, "it uses a timer of a key", "of an unknown kind"}, WEIR_INVALID},
        {{giant_reads, "keyed[0]", "nothing is there"}, WEIR_FAILED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        fails_with(&cases[i].of, cases[i].code, 1);
}

static void foreign_cell(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    weir_cell(context, 0, &eight);
}

static void foreign_get(struct weir_context *context, const struct weir_bytes *key)
{
    struct weir_bytes value;
    (void)key;
    weir_get(context, 0, &eight, &value);
}

static void foreign_put(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    weir_put(context, 0, &eight, eight);
}

static void foreign_remove(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    weir_remove(context, 0, &eight);
}

static void foreign_map(struct weir_context *context, const struct weir_bytes *key)
{
    struct weir_bytes sub, value;
    (void)key;
    weir_map_next(context, 1, &eight, NULL, &sub, &value);
}

static void foreign_list(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    weir_list_count(context, 2, &eight);
}

static void foreign_timer(struct weir_context *context, const struct weir_bytes *key)
{
    (void)key;
    weir_timer_set_key(context, WEIR_TIMER_CLOCK, &eight, INT64_MAX, 1);
}

/* Both subtasks use one key; the one that does not have it fails. */
Test(job_keyed, a_key_that_belongs_to_another_subtask_fails_the_run_and_names_it)
{
    static void (*const uses[])(struct weir_context * context, const struct weir_bytes *key) = {
        foreign_cell, foreign_get,  foreign_put,  foreign_remove,
        foreign_map,  foreign_list, foreign_timer};
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        const struct misuse misuse = {uses[i], "of a key that belongs to subtask", "keyed["};
        fails_with(&misuse, WEIR_INVALID, 2);
    }
}

/* --- cells of many records ---------------------------------------------------------------- */

static atomic_uint other_cells;

static void compare_cells(struct weir_context *context, unsigned state,
                          const struct weir_record *records, size_t count)
{
    void *const *cells = weir_cells(context, state, records, count);
    void *copy[256]; /* theirs are valid until the next call */
    for (size_t i = 0; cells && i < count && i < 256; i++)
        copy[i] = cells[i];
    for (size_t i = 0; cells && i < count && i < 256; i++) {
        uint64_t *cell = weir_cell(context, state, &records[i].key);
        atomic_fetch_add(&other_cells, cell != copy[i]);
        ++*cell;
    }
}

/* Each state is asked for all of them, or for a half. */
static size_t many_cells(void *self, struct weir_context *context, unsigned input,
                         const struct weir_record *records, size_t count)
{
    size_t half = count / 2;
    (void)self, (void)input;
    count = count < 256 ? count : 256;
    compare_cells(context, 0, records, count);
    compare_cells(context, 1, records + half, count - half);
    if (half > 0)
        compare_cells(context, 1, records, half);
    compare_cells(context, 2, records, count);
    compare_cells(context, 0, records + count - 1, 1);
    for (size_t i = 0; i < count; i++)
        weir_emit(context, 0, &records[i]);
    return count;
}

Test(job_keyed, the_cells_of_many_are_those_of_each_in_every_state)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "cells",
                                               .process_many = many_cells};
    static const struct weir_state states[] = {
        {WEIR_SIZED(struct weir_state), .name = "first", .value_size = 8},
        {WEIR_SIZED(struct weir_state), .name = "second", .value_size = 16},
        {WEIR_SIZED(struct weir_state), .name = "expires", .value_size = 8, .ttl_ns = 1000},
    };
    struct flow flow;
    struct ledger ledger;
    ledger_init(&ledger, 5000);
    flow_init(&flow);
    other_cells = 0;
    weir_node node = add(&flow, &table, NULL, states, 3, 2);
    weir_connect(flow.graph, numbers(&flow, 5000, 300, 0), node, WEIR_BY_KEY);
    weir_connect(flow.graph, node, ledger_sink(flow.graph, "sink", &ledger, 1), WEIR_SPREAD);
    flow_finish(&flow);
    ledger_is(&ledger, 5000, 1);
    cr_expect_eq(other_cells, 0);
    flow_free(&flow);
    ledger_free(&ledger);
}

static size_t beyond(void *self, struct weir_context *context, unsigned input,
                     const struct weir_record *records, size_t count)
{
    const unsigned which = *(const unsigned *)*(void **)self;
    const char *within = (const char *)records + 8;
    (void)input;
    const struct weir_record *odd;
    memcpy(&odd, &within, sizeof odd);
    void *const *cells = which == 0   ? weir_cells(context, 0, records, count + 1)
                         : which == 1 ? weir_cells(context, 0, records + count, 1)
                         : which == 2 ? weir_cells(context, 0, odd, 1)
                         : which == 3 ? weir_cells(context, 1, records, count)
                                      : weir_cells(context, 2, records, count);
    cr_expect_null(cells);
    return count;
}

Test(job_keyed, the_cells_of_other_records_and_states_fail_the_run)
{
    static const struct weir_operator table = {WEIR_SIZED(struct weir_operator), .kind = "beyond",
                                               .self_size = sizeof(void *), .open = misuse_open,
                                               .process_many = beyond};
    static const struct weir_state states[] = {
        {WEIR_SIZED(struct weir_state), .name = "cells", .value_size = 8},
        {WEIR_SIZED(struct weir_state), .name = "texts"},
        {WEIR_SIZED(struct weir_state), .name = "maps", .value_size = 8, .kind = WEIR_STATE_MAP},
    };
    static const char *const says[] = {
        "weir_cells takes records that process_many was given",
        "weir_cells takes records that process_many was given",
        "weir_cells takes records that process_many was given",
        "state texts has values of any size",
        "it calls weir_cells with state maps, whose kind is map",
    };
    for (unsigned i = 0; i < sizeof says / sizeof *says; i++) {
        struct flow flow;
        flow_init(&flow);
        weir_node node = add(&flow, &table, &i, states, 3, 1);
        weir_connect(flow.graph, numbers(&flow, 100, 10, 0), node, WEIR_BY_KEY);
        flow_run(&flow, WEIR_OUTCOME_FAILED);
        cr_expect_eq(flow.error.code, WEIR_INVALID);
        cr_expect_not_null(strstr(flow.error.text, says[i]), "%s", flow.error.text);
        flow_free(&flow);
    }
}

static enum weir_result nothing(void *self, struct weir_context *context, enum weir_timer kind,
                                const struct weir_bytes *key, int64_t time, uint64_t tag)
{
    (void)self;
    (void)context;
    (void)kind;
    (void)key;
    (void)time;
    (void)tag;
    return WEIR_OK;
}

static void is_refused(const struct weir_operator *table, const struct weir_state *state,
                       enum weir_routing routing, const char *text)
{
    struct flow flow;
    flow_init(&flow);
    weir_node source = flow_numbers(&flow, "numbers", 5, 0, 1);
    weir_connect(flow.graph, source, add(&flow, table, NULL, state, state != NULL, 1), routing);
    cr_expect_eq(weir_graph_check(flow.graph, &flow.error), WEIR_INVALID);
    cr_expect_not_null(strstr(flow.error.text, text), "%s", flow.error.text);
    flow_free(&flow);
}

Test(job_keyed, a_graph_with_a_wrong_declaration_is_refused)
{
    struct weir_operator timed = misuse_table;
    struct weir_state state = {WEIR_SIZED(struct weir_state), .name = "_timers"};
    timed.key_timer = nothing;
    is_refused(&timed, NULL, WEIR_SPREAD, "BY_KEY");
    is_refused(&misuse_table, &state, WEIR_BY_KEY, "_timers");
    state.name = "state";
    state.kind = (enum weir_state_kind)7;
    is_refused(&misuse_table, &state, WEIR_BY_KEY, "kind");
    state.kind = WEIR_STATE_MAP;
    state.ttl_ns = UINT64_MAX;
    is_refused(&misuse_table, &state, WEIR_BY_KEY, "time to live");
    state.ttl_ns = 1;
    state.ttl_clock = (enum weir_timer)2;
    is_refused(&misuse_table, &state, WEIR_BY_KEY, "clock");
}

/* --- values that expire ------------------------------------------------------------------- */

/* Keys are 0..9 in turn; each is written by its first record only, at w, the later of its time and
 * the watermark, and must be there as long as the watermark is below w + 1000, whatever way it is
 * asked for; then it is written again, by a cell or a put. */
struct expiring {
    bool cells;
};

static struct {
    atomic_uint wrong, gone;
} expired;

static enum weir_result expiring_open(void *self, struct weir_context *context, const void *config)
{
    (void)context;
    ((struct expiring *)self)->cells = *(const bool *)config;
    return WEIR_OK;
}

static void write_now(struct weir_context *context, const struct weir_record *record, bool cells,
                      int64_t now)
{
    int64_t *cell;
    if (!cells) {
        weir_put(context, 0, &record->key, bytes_of(&now, sizeof now));
        return;
    }
    void *const *found = weir_cells(context, 0, record, 1);
    cell = found ? found[0] : NULL;
    if (!cell)
        return;
    atomic_fetch_add(&expired.wrong, *cell != 0);
    *cell = now;
}

static size_t expiring_many(void *self, struct weir_context *context, unsigned input,
                            const struct weir_record *records, size_t count)
{
    const struct expiring *expiring = self;
    (void)input;
    for (size_t i = 0; i < count; i++) {
        struct weir_bytes value;
        int64_t now = weir_watermark(context), *wrote;
        int64_t written = records[i].time > now ? records[i].time : now;
        bool there = weir_get(context, 0, &records[i].key, &value);
        wrote = weir_cell(context, 1, &records[i].key); /* and one; 0: never */
        if (!wrote)
            return i + 1;
        bool expected = *wrote > 0 && *wrote - 1 + 1000 > now;
        atomic_fetch_add(&expired.wrong, there != expected);
        if (there)
            continue;
        atomic_fetch_add(&expired.gone, *wrote != 0);
        *wrote = written + 1;
        write_now(context, &records[i], expiring->cells, written);
    }
    return count;
}

static const struct weir_operator expiring_table = {
    WEIR_SIZED(struct weir_operator), .kind = "expiring", .self_size = sizeof(struct expiring),
    .open = expiring_open, .process_many = expiring_many};

static void expire(const bool *cells)
{
    struct flow flow;
    struct weir_state states[] = {
        {WEIR_SIZED(struct weir_state), .name = "lives", .value_size = 8, .ttl_ns = 1000},
        {WEIR_SIZED(struct weir_state), .name = "wrote", .value_size = 8},
    };
    memset(&expired, 0, sizeof expired);
    flow_init(&flow);
    flow.options.store = scratch.path;
    flow.options.interval_ns = FLOW_SECOND / 300;
    weir_node source = numbers(&flow, 30000, 10, 100000);
    weir_connect(flow.graph, source, add(&flow, &expiring_table, cells, states, 2, 2), WEIR_BY_KEY);
    for (int run = 0; run < 3; run++) {
        flow_start(&flow);
        watch_until(&flow.watch, &flow.watch.committed, flow.watch.committed + 3);
        flow_close(&flow);
    }
    flow_finish(&flow);
    cr_expect_eq(expired.wrong, 0);
    flow_free(&flow);
}

Test(job_keyed, a_value_is_there_until_its_time_over_restarts)
{
    expire(&at_once);
    scratch_free(&scratch);
    scratch = scratch_make();
    expire(&late);
}

/* Of two sources one is ahead: when it brings "near" and "far", the other is at 0. What lives is
 * looked at when both are at the time of "near". */
enum { LIVES = 100, NEAR = 1000, FAR = 1500 };

static struct {
    struct tally begun, taken, looked;
    atomic_uint there, mixed;
} ahead;

struct ahead {
    unsigned step;
};

static void send(struct weir_context *context, const char *key, int64_t time)
{
    weir_emit(context, 0, &(struct weir_record){{key, strlen(key)}, {NULL, 0}, time});
}

static enum weir_progress ahead_poll(void *self, struct weir_context *context)
{
    struct ahead *source = self;
    bool slow = weir_subtask(context) == 1;
    if (source->step == 0) {
        send(context, "hello", 0);
        weir_emit_watermark(context, 0);
        source->step++;
    } else if (source->step == 1 && tally_read(slow ? &ahead.taken : &ahead.begun) > 0) {
        weir_emit_watermark(context, NEAR);
        if (!slow) {
            send(context, "near", NEAR);
            send(context, "far", FAR);
        }
        source->step++;
    } else if (source->step == 2 && tally_read(&ahead.looked) > 0) {
        return WEIR_END;
    }
    return weir_idle(context, weir_now(context) + 100000, -1);
}

static const struct weir_operator ahead_table = {WEIR_SIZED(struct weir_operator), .kind = "ahead",
                                                 .self_size = sizeof(struct ahead),
                                                 .poll = ahead_poll};

static size_t behind_many(void *self, struct weir_context *context, unsigned input,
                          const struct weir_record *records, size_t count)
{
    (void)self;
    (void)input;
    for (size_t i = 0; i < count; i++) {
        ahead.mixed += records[i].time != records[0].time;
        if (records[i].time > 0)
            weir_put(context, 0, &records[i].key, bytes_of("", 0));
        if (records[i].time == FAR)
            tally_add(&ahead.taken, 1);
    }
    weir_timer_set(context, WEIR_TIMER_EVENT, 0, 0);
    weir_timer_set(context, WEIR_TIMER_EVENT, NEAR, 0);
    return count;
}

static enum weir_result behind_one(void *self, struct weir_context *context, unsigned input,
                                   const struct weir_record *record)
{
    behind_many(self, context, input, record, 1);
    return WEIR_OK;
}

static enum weir_result behind_timer(void *self, struct weir_context *context, enum weir_timer kind,
                                     int64_t time, uint64_t tag)
{
    struct weir_bytes key, value;
    (void)self;
    (void)kind;
    (void)tag;
    weir_scan_rewind(context, 0);
    while (time == NEAR && weir_scan_next(context, 0, &key, &value))
        ahead.there++;
    tally_add(time == NEAR ? &ahead.looked : &ahead.begun, 1);
    return WEIR_OK;
}

static void look_from_behind(struct weir_operator table)
{
    struct flow flow;
    const struct weir_state lives = {WEIR_SIZED(struct weir_state), .name = "lives",
                                     .ttl_ns = LIVES};
    table.timer = behind_timer;
    memset(&ahead, 0, sizeof ahead);
    tally_init(&ahead.begun);
    tally_init(&ahead.taken);
    tally_init(&ahead.looked);
    flow_init(&flow);
    weir_node source = flow_add(&flow, "ahead", &ahead_table, NULL, 2);
    weir_connect(flow.graph, source, add(&flow, &table, NULL, &lives, 1, 1), WEIR_BY_KEY);
    flow_finish(&flow);
    cr_expect_eq(ahead.there, 2);
    cr_expect_eq(ahead.mixed, 0);
    flow_free(&flow);
    tally_free(&ahead.begun);
    tally_free(&ahead.taken);
    tally_free(&ahead.looked);
}

Test(job_keyed, what_a_fast_input_brings_does_not_die_behind_a_slow_one)
{
    look_from_behind((struct weir_operator){WEIR_SIZED(struct weir_operator), .kind = "behind",
                                            .process_many = behind_many});
    look_from_behind((struct weir_operator){WEIR_SIZED(struct weir_operator), .kind = "behind",
                                            .process = behind_one});
}
