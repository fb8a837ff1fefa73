/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operator state that is prepared under the cut and written on another thread (weir_save_later):
 * whole jobs, stopped and abandoned; rounds that come to nothing; every data released once; and the
 * same operator under torture, with the mistakes that it is there to find.
 */
#include "flow.h"

#include <inttypes.h>

static struct scratch scratch;
static void scratch_open(void)
{
    scratch = scratch_make();
}
static void scratch_close(void)
{
    scratch_free(&scratch);
}
TestSuite(job_later, .init = scratch_open, .fini = scratch_close);

/* ------------------------------------------------------------------------------- hoard -- */

/* Counts each key in a page of its own, in memory that a checkpoint shares: who changes a page that
 * one still has copies it before. Emits key * records a key + how many of that key came so far. */
#define PAGES 320u        /* of 64 KiB: more than an item of weir_save may have */
#define PAGES_LARGE 1024u /* 64 MiB */
#define PAGE_SIZE ((size_t)64 << 10)
#define RECORDS (PAGES_LARGE * 10)

struct page {
    atomic_uint references;
    uint64_t count;
    unsigned char bytes[PAGE_SIZE - sizeof(uint64_t)];
};

/* How it is to behave, and what was seen of it; the same for all instances of a test. */
struct conduct {
    bool copies;         /* weir_save, item by item, instead */
    bool careless;       /* changes pages that a checkpoint has: torture must notice */
    bool forgetful;      /* keeps what it shared: torture must notice */
    uint32_t pages;      /* 0: PAGES */
    atomic_int failing;  /* writes that answer WEIR_FAILED from now on */
    atomic_int refusing; /* saves that refuse, after they have prepared */
    atomic_bool held_up; /* writes wait */
    atomic_uint prepared, written, released, inside;
};

struct hoard {
    const struct conduct *conduct;
    uint32_t count;
    struct page *pages[PAGES_LARGE];
};

struct share {
    struct conduct *conduct;
    const struct weir_allocator *memory;
    uint32_t count;
    struct page *pages[PAGES_LARGE];
};

static void *take(const struct weir_allocator *memory, size_t size)
{
    void *taken = memory ? memory->allocate(memory->context, size) : malloc(size);
    if (!taken)
        abort();
    return taken;
}

static void give_back(const struct weir_allocator *memory, void *taken)
{
    if (memory)
        memory->release(memory->context, taken);
    else
        free(taken);
}

static void page_release(const struct weir_allocator *memory, struct page *page)
{
    if (page && atomic_fetch_sub(&page->references, 1) == 1)
        give_back(memory, page);
}

static struct page *page_new(const struct weir_allocator *memory, const struct page *from)
{
    struct page *page = take(memory, sizeof *page);
    atomic_init(&page->references, 1);
    page->count = from ? from->count : 0;
    if (from)
        memcpy(page->bytes, from->bytes, sizeof page->bytes);
    else
        memset(page->bytes, 0x33, sizeof page->bytes);
    return page;
}

static enum weir_result hoard_open(void *self, struct weir_context *context, const void *config)
{
    struct hoard *hoard = self;
    hoard->conduct = config;
    hoard->count = hoard->conduct->pages ? hoard->conduct->pages : PAGES;
    for (uint32_t i = 0; i < hoard->count; i++)
        hoard->pages[i] = page_new(weir_memory(context), NULL);
    return WEIR_OK;
}

static enum weir_result hoard_process(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    struct hoard *hoard = self;
    uint64_t number = flow_number(record), key = number % hoard->count;
    struct page **page = &hoard->pages[key];
    (void)input;
    if (atomic_load(&(*page)->references) > 1 && !hoard->conduct->careless) {
        struct page *mine = page_new(weir_memory(context), *page);
        page_release(weir_memory(context), *page);
        *page = mine;
    }
    number = key * (RECORDS / hoard->count) + (*page)->count++;
    memset((*page)->bytes, (int)((*page)->count & 0xff), 8);
    return weir_emit(context, 0,
                     &(struct weir_record){record->key, {&number, sizeof number}, WEIR_NO_TIME});
}

static enum weir_result share_write(void *data, struct weir_saver *saver)
{
    struct share *share = data;
    struct conduct *conduct = share->conduct;
    cr_assert_eq(atomic_fetch_add(&conduct->inside, 1), 0, "one at a time");
    while (atomic_load(&conduct->held_up))
        ; /* a test lets it go at once, or after a look */
    for (uint32_t i = 0; i < share->count; i++) {
        weir_save_u64(saver, share->pages[i]->count);
        weir_save_raw(saver,
                      (struct weir_bytes){share->pages[i]->bytes, sizeof share->pages[i]->bytes});
    }
    atomic_fetch_add(&conduct->written, 1);
    atomic_fetch_sub(&conduct->inside, 1);
    return atomic_fetch_sub(&conduct->failing, 1) > 0 ? WEIR_FAILED : WEIR_OK;
}

static void share_release(void *data)
{
    struct share *share = data;
    for (uint32_t i = 0; i < share->count && !share->conduct->forgetful; i++)
        page_release(share->memory, share->pages[i]);
    atomic_fetch_add(&share->conduct->released, 1);
    give_back(share->memory, share);
}

static void save_copies(const struct hoard *hoard, struct weir_saver *saver)
{
    for (uint32_t i = 0; i < hoard->count; i++) {
        weir_save_begin(saver, WEIR_ITEM_SPLIT);
        weir_save_u64(saver, hoard->pages[i]->count);
        weir_save_raw(saver,
                      (struct weir_bytes){hoard->pages[i]->bytes, sizeof hoard->pages[i]->bytes});
        weir_save_end(saver);
    }
}

static enum weir_result hoard_save(void *self, struct weir_context *context,
                                   struct weir_saver *saver)
{
    struct hoard *hoard = self;
    struct conduct *conduct = (struct conduct *)(uintptr_t)hoard->conduct;
    if (conduct->copies) {
        save_copies(hoard, saver);
        return WEIR_OK;
    }
    struct share *share = take(weir_memory(context), sizeof *share);
    share->conduct = conduct;
    share->memory = weir_memory(context);
    share->count = hoard->count;
    for (uint32_t i = 0; i < hoard->count; i++) {
        share->pages[i] = hoard->pages[i];
        atomic_fetch_add(&share->pages[i]->references, 1);
    }
    atomic_fetch_add(&conduct->prepared, 1);
    weir_save_later(saver, WEIR_ITEM_SPLIT,
                    &(struct weir_later){WEIR_SIZED(struct weir_later), .data = share,
                                         .write = share_write, .release = share_release,
                                         .bytes = sizeof *share});
    return atomic_fetch_sub(&conduct->refusing, 1) > 0 ? WEIR_REFUSED : WEIR_OK;
}

static enum weir_result hoard_load(void *self, struct weir_context *context,
                                   struct weir_loader *loader, uint32_t version)
{
    struct hoard *hoard = self;
    uint32_t i = 0;
    (void)context, (void)version;
    while (weir_load_item(loader, NULL)) {
        while (weir_load_left(loader) > 0 && i < hoard->count) {
            struct page *page = hoard->pages[i++];
            page->count = weir_load_u64(loader);
            struct weir_bytes bytes = weir_load_raw(loader, sizeof page->bytes);
            if (bytes.data)
                memcpy(page->bytes, bytes.data, bytes.size);
        }
        weir_load_done(loader);
    }
    if (i < hoard->count)
        weir_load_fail(loader, "only %u pages", i);
    return WEIR_OK;
}

static void hoard_close(void *self, struct weir_context *context)
{
    struct hoard *hoard = self;
    for (uint32_t i = 0; i < hoard->count; i++)
        page_release(weir_memory(context), hoard->pages[i]);
}

static const struct weir_operator hoard_table = {WEIR_SIZED(struct weir_operator),
                                                 .kind = "hoard",
                                                 .self_size = sizeof(struct hoard),
                                                 .version = 1,
                                                 .open = hoard_open,
                                                 .process = hoard_process,
                                                 .save = hoard_save,
                                                 .load = hoard_load,
                                                 .close = hoard_close};

static void draw(struct flow *flow, struct ledger *ledger, const struct conduct *conduct,
                 uint64_t rate)
{
    struct weir_sequence_source_options numbers = {WEIR_SIZED(struct weir_sequence_source_options),
                                                   .count = RECORDS, .rate = rate};
    flow_init(flow);
    ledger_init(ledger, RECORDS);
    flow->options.store = scratch.path;
    flow->options.interval_ns = FLOW_SECOND / 50;
    flow->options.retain = 1;
    weir_node hoard = flow_add(flow, "hoard", &hoard_table, conduct, 1);
    weir_connect(flow->graph, weir_sequence_source(flow->graph, "numbers", &numbers), hoard,
                 WEIR_SPREAD);
    weir_connect(flow->graph, hoard, ledger_sink(flow->graph, "sink", ledger, 1), WEIR_SPREAD);
}

static void done(struct flow *flow, struct ledger *ledger, const struct conduct *conduct)
{
    flow_free(flow);
    ledger_free(ledger);
    cr_expect_eq(conduct->prepared, conduct->released);
    cr_expect_leq(conduct->written, conduct->prepared);
}

/* ---------------------------------------------------------------------------- whole jobs -- */

Test(job_later, stopped_and_abandoned_at_random_moments_the_output_is_exact)
{
    struct conduct conduct = {0};
    struct flow flow;
    struct ledger ledger;
    uint64_t seed = flow_seed();
    unsigned runs = 0, stops = 5;
    draw(&flow, &ledger, &conduct, 40000);
    for (bool over = false; !over; runs++) {
        enum weir_outcome outcome;
        uint64_t dice = flow_draw(&seed), base = atomic_load(&ledger.taken);
        flow_start(&flow);
        if (runs >= stops)
            flow_wait(&flow);
        else
            flow_until_taken(&flow, &ledger, base + (dice >> 8) % (RECORDS / stops) + 1);
        if (runs < stops && dice % 4 < 2) {
            flow_stop(&flow, dice % 4 ? WEIR_STOP_SUSPEND : WEIR_STOP_NOW);
            flow_wait(&flow);
        }
        over = weir_job_wait(flow.job, 0, &outcome, &flow.error) == WEIR_OK &&
               outcome != WEIR_OUTCOME_STOPPED;
        cr_assert(!over || outcome != WEIR_OUTCOME_FAILED, "%s", flow.error.text);
        flow_close(&flow);
        cr_assert_eq(conduct.prepared, conduct.released, "somebody still has it");
    }
    cr_expect_gt(conduct.written, 2);
    ledger_is(&ledger, RECORDS, 1);
    done(&flow, &ledger, &conduct);
}

/* A job whose first round, asked for, comes to nothing by `how` it behaves. */
static void start_and_abort(struct flow *flow, struct ledger *ledger, struct conduct *conduct,
                            atomic_int *how)
{
    draw(flow, ledger, conduct, RECORDS / 4);
    flow->options.interval_ns = -1;
    flow_start(flow);
    atomic_store(how, 1);
    cr_assert_eq(weir_job_checkpoint(flow->job, &flow->error), WEIR_OK);
    watch_until(&flow->watch, &flow->watch.aborted, 1);
}

static void end_exactly(struct flow *flow, struct ledger *ledger, struct conduct *conduct)
{
    flow_ends(flow, WEIR_OUTCOME_ENDED);
    flow_close(flow);
    ledger_is(ledger, RECORDS, 1);
    done(flow, ledger, conduct);
}

Test(job_later, a_write_that_fails_costs_its_round_and_names_the_operator)
{
    struct conduct conduct = {0};
    struct flow flow;
    struct ledger ledger;
    start_and_abort(&flow, &ledger, &conduct, &conduct.failing);
    cr_expect(strstr(flow.watch.last_abort, "hoard[0]: operator state that is written later: "
                                            "write answered"),
              "%s", flow.watch.last_abort);
    cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
    watch_until(&flow.watch, &flow.watch.committed, 1);
    end_exactly(&flow, &ledger, &conduct);
}

Test(job_later, a_save_that_refuses_after_it_has_prepared_has_it_released_unwritten)
{
    struct conduct conduct = {0};
    struct flow flow;
    struct ledger ledger;
    start_and_abort(&flow, &ledger, &conduct, &conduct.refusing);
    cr_expect_eq(conduct.written, 0);
    cr_expect_eq(conduct.released, 1);
    end_exactly(&flow, &ledger, &conduct);
}

Test(job_later, what_waits_to_be_written_counts_and_the_stream_goes_on)
{
    struct conduct conduct = {0};
    struct flow flow;
    struct ledger ledger;
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    draw(&flow, &ledger, &conduct, RECORDS / 2);
    flow.options.interval_ns = -1;
    atomic_store(&conduct.held_up, true);
    flow_start(&flow);
    cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
    while (!atomic_load(&conduct.inside))
        weir_job_status(flow.job, &status);
    uint64_t taken = atomic_load(&ledger.taken);
    cr_expect(flow_until_taken(&flow, &ledger, taken + 500)); /* while write does not return */
    weir_job_status(flow.job, &status);
    cr_expect_geq(status.memory_saved, sizeof(struct share));
    cr_expect_eq(flow.watch.committed, 0);
    atomic_store(&conduct.held_up, false);
    watch_until(&flow.watch, &flow.watch.committed, 1);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    weir_job_status(flow.job, &status);
    cr_expect_eq(status.memory_saved, 0);
    flow_close(&flow);
    ledger_is(&ledger, RECORDS, 1);
    done(&flow, &ledger, &conduct);
}

/* Prints how long the cut held the task, and judges nothing. */
Test(job_later, the_cut_of_a_large_state_is_short)
{
    int64_t held_ns[2];
    for (int copies = 0; copies < 2; copies++) {
        struct conduct conduct = {.copies = copies, .pages = PAGES_LARGE};
        struct flow flow;
        struct ledger ledger;
        struct weir_status status = {WEIR_SIZED(struct weir_status)};
        scratch_free(&scratch);
        scratch = scratch_make();
        draw(&flow, &ledger, &conduct, RECORDS);
        flow.options.interval_ns = FLOW_SECOND / 4;
        flow.options.tolerated = 3;
        flow_start(&flow);
        flow_ends(&flow, WEIR_OUTCOME_ENDED);
        weir_job_status(flow.job, &status);
        held_ns[copies] = status.cut_max_ns;
        flow_close(&flow);
        ledger_is(&ledger, RECORDS, 1);
        done(&flow, &ledger, &conduct);
    }
    printf("figure: the longest cut of %u MiB of operator state: %.2f ms copied, %.3f ms when it "
           "is written later\n",
           (unsigned)(PAGES_LARGE * PAGE_SIZE >> 20), (double)held_ns[1] / 1e6,
           (double)held_ns[0] / 1e6);
}

/* ------------------------------------------------------------------------------- torture -- */

#define STEPS 40

static enum weir_result torture(struct conduct *conduct, struct weir_error *error)
{
    static uint64_t numbers[STEPS];
    static struct weir_torture_step steps[STEPS];
    struct weir_node_options node = {WEIR_SIZED(struct weir_node_options), .name = "hoard",
                                     .table = &hoard_table, .config = conduct};
    for (uint32_t i = 0; i < STEPS; i++) {
        numbers[i] = i % 3;
        steps[i].record = (struct weir_record){
            {&numbers[i], sizeof numbers[i]}, {&numbers[i], sizeof numbers[i]}, WEIR_NO_TIME};
    }
    struct weir_torture_options options = {WEIR_SIZED(struct weir_torture_options), .node = &node,
                                           .steps = steps, .step_count = STEPS, .trials = 30};
    return weir_operator_torture(&options, error);
}

Test(job_later, under_torture_it_is_saved_and_restored_between_any_two_records)
{
    struct conduct conduct = {.pages = 3};
    struct weir_error error = {0};
    cr_expect_eq(torture(&conduct, &error), WEIR_OK, "%s", error.text);
    cr_expect_gt(conduct.written, STEPS);
    cr_expect_lt(conduct.written, conduct.prepared, "some rounds come to nothing before");
    cr_expect_eq(conduct.released, conduct.prepared);
}

Test(job_later, torture_finds_what_changes_before_it_is_written)
{
    struct conduct conduct = {.pages = 3, .careless = true};
    struct weir_error error = {0};
    cr_expect_eq(torture(&conduct, &error), WEIR_FAILED);
    cr_expect_eq(conduct.released, conduct.prepared);
}

Test(job_later, torture_finds_a_release_that_forgets)
{
    struct conduct conduct = {.pages = 3, .forgetful = true};
    struct weir_error error = {0};
    cr_expect_eq(torture(&conduct, &error), WEIR_FAILED);
    cr_expect(strstr(error.text, "has not given back all memory"), "%s", error.text);
}

Test(job_later, torture_finds_a_write_that_fails)
{
    struct conduct conduct = {.pages = 3, .failing = 1};
    struct weir_error error = {0};
    cr_expect_eq(torture(&conduct, &error), WEIR_FAILED);
    cr_expect(strstr(error.text, "write answered"), "%s", error.text);
    cr_expect_eq(conduct.released, conduct.prepared);
}

/* ------------------------------------------------------------------------- what is refused -- */

static enum weir_result write_too_much(void *data, struct weir_saver *saver)
{
    if (data)
        weir_save_later(
            saver, WEIR_ITEM_SPLIT,
            &(struct weir_later){WEIR_SIZED(struct weir_later), .write = write_too_much});
    else
        weir_save_end(saver);
    return WEIR_OK;
}

static atomic_int oddity;

static enum weir_result odd_save(void *self, struct weir_context *context, struct weir_saver *saver)
{
    int odd = atomic_load(&oddity);
    struct weir_later later = {WEIR_SIZED(struct weir_later), .write = odd ? write_too_much : NULL,
                               .data = odd == 1 ? self : NULL};
    (void)context;
    weir_save_later(saver, odd == 3 ? (enum weir_item)77 : WEIR_ITEM_SPLIT, &later);
    return WEIR_OK;
}

Test(job_later, what_can_be_no_item_is_no_checkpoint)
{
    static const char *const why[] = {"set write", "within one that is written later",
                                      "not write's to end", "unknown kind"};
    struct weir_operator table = hoard_table;
    table.save = odd_save;
    for (int i = 0; i < 4; i++) {
        struct conduct conduct = {0};
        struct flow flow;
        atomic_store(&oddity, i);
        scratch_free(&scratch);
        scratch = scratch_make();
        flow_init(&flow);
        flow.options.store = scratch.path;
        flow.options.interval_ns = -1;
        flow.options.tolerated = 1;
        weir_connect(flow.graph, flow_numbers(&flow, "numbers", 10, 0, 1),
                     flow_add(&flow, "odd", &table, &conduct, 1), WEIR_SPREAD);
        flow_start(&flow);
        flow_wait(&flow);
        cr_expect(strstr(flow.watch.last_abort, why[i]), "%s: %s", why[i], flow.watch.last_abort);
        flow_close(&flow);
        flow_free(&flow);
    }
}
