/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Savepoints of a running job: who asks is told, of each by its path; a job that was to stop with
 * one stops when it is written and not before; a new store begins where it ends.
 */
#include "flow.h"

#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

#include "weir_checkpoint.h"

#define COUNT 20000u
#define AT_A_TIME 8 /* weir.h */

static struct scratch scratch;
static struct flow flow;
static struct ledger ledger;

/* What was told, in order. */
static struct told {
    enum weir_event_kind kind;
    uint64_t id;
    char path[300], text[400];
} told[40];
static unsigned told_count;
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;

static void note(void *watch, const struct weir_event *event)
{
    bool savepoint = event->kind == WEIR_EVENT_SAVED || event->kind == WEIR_EVENT_UNSAVED;
    pthread_mutex_lock(&told_lock);
    if ((savepoint || event->kind == WEIR_EVENT_ENDED) && told_count < 40) {
        struct told *new = &told[told_count++];
        *new = (struct told){.kind = event->kind, .id = event->id};
        snprintf(new->path, sizeof new->path, "%s", event->path);
        snprintf(new->text, sizeof new->text, "%s", event->text);
    }
    pthread_mutex_unlock(&told_lock);
    cr_expect(savepoint || !*event->path);
    watch_event(watch, event);
}

/* An operator that stands still in its callback, so that no checkpoint passes it. */
static sem_t stuck, go_on;
static atomic_bool sticks;

static enum weir_result process(void *self, struct weir_context *context, unsigned input,
                                const struct weir_record *record)
{
    (void)self;
    (void)input;
    if (atomic_exchange(&sticks, false)) {
        sem_post(&stuck);
        sem_wait(&go_on);
    }
    return weir_emit(context, 0, record);
}

static atomic_bool refuses; /* to be saved: every round comes to nothing */

static enum weir_result save_middle(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    (void)self, (void)context, (void)saver;
    return atomic_load(&refuses) ? WEIR_TOO_LARGE : WEIR_OK;
}

static enum weir_result load_middle(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    (void)self, (void)context, (void)loader, (void)version;
    return WEIR_OK;
}

static const struct weir_operator middle = {WEIR_SIZED(struct weir_operator), .kind = "middle",
                                            .process = process, .save = save_middle,
                                            .load = load_middle};

static void draw(uint64_t count)
{
    weir_node source = flow_times(&flow, "numbers", count, 20000, 0);
    weir_node odd = flow_add(&flow, "middle", &middle, NULL, 1);
    weir_connect(flow.graph, source, odd, WEIR_SPREAD);
    weir_connect(flow.graph, odd, ledger_sink(flow.graph, "sink", &ledger, 2), WEIR_SPREAD);
}

/* The input does not end meanwhile, however slow the machine is. */
static void draw_endless(void)
{
    weir_graph_free(&flow.graph);
    flow.graph = weir_graph_new(NULL);
    draw(UINT64_MAX);
}

static void setup(void)
{
    scratch = scratch_make();
    ledger_init(&ledger, COUNT);
    sem_init(&stuck, 0, 0);
    sem_init(&go_on, 0, 0);
    flow_init(&flow);
    draw(COUNT);
    flow.options.store = scratch_join(scratch.path, "store");
    flow.options.interval_ns = -1;
    flow.options.event = note;
}

static void teardown(void)
{
    sem_post(&go_on);
    flow_free(&flow);
    ledger_free(&ledger);
    scratch_free(&scratch);
}
TestSuite(job_savepoint, .init = setup, .fini = teardown);

static void stick(void)
{
    atomic_store(&sticks, true);
    sem_wait(&stuck);
}

static void save(const char *path)
{
    cr_assert_eq(weir_job_savepoint(flow.job, path, &flow.error), WEIR_OK, "%s", flow.error.text);
}

static void stop_at(enum weir_stop mode, const char *path)
{
    cr_assert_eq(weir_job_stop_at(flow.job, mode, path, &flow.error), WEIR_OK, "%s",
                 flow.error.text);
}

/* What was told of that path; NULL: nothing. */
static const struct told *of(const char *path)
{
    for (unsigned i = 0; i < told_count; i++)
        if (strcmp(told[i].path, path) == 0)
            return &told[i];
    return NULL;
}

static void is_saved(const char *path)
{
    struct weir_store *store = NULL;
    const struct told *what = of(path);
    cr_assert(what != NULL && what->kind == WEIR_EVENT_SAVED, "%s: %s", path,
              what ? what->text : "nothing was told");
    cr_expect_str_eq(what->text, path);
    cr_assert_eq(weir_store_open(path, NULL, &store, &flow.error), WEIR_OK, "%s", flow.error.text);
    cr_expect_eq(weir_store_verify(store, what->id, &flow.error), WEIR_OK, "%s", flow.error.text);
    weir_store_close(&store);
}

static void is_unsaved(const char *path, const char *says)
{
    const struct told *what = of(path);
    cr_assert(what != NULL && what->kind == WEIR_EVENT_UNSAVED, "%s", path);
    cr_expect(strstr(what->text, says) != NULL, "%s", what->text);
    cr_expect_not(scratch_exists(path));
}

static const char *place(const char *name)
{
    return scratch_join(scratch.path, name);
}

/* ------------------------------------------------------------------------ while it runs -- */

Test(job_savepoint, those_that_are_asked_for_together_are_told_apart_by_their_paths)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, 100);
    save(place("a"));
    save(place("no/where"));
    save(place("b"));
    watch_until(&flow.watch, &flow.watch.saved, 2);
    watch_until(&flow.watch, &flow.watch.unsaved, 1);
    is_saved(place("a"));
    is_saved(place("b"));
    is_unsaved(place("no/where"), "should hold it");
    weir_job_status(flow.job, &status);
    cr_expect_eq(status.saved, 2);
    cr_expect_eq(status.unsaved, 1);
    cr_expect_eq(status.saved_id, of(place("b"))->id);
    cr_expect(strstr(status.unsaved_reason, "no/") != NULL, "%s", status.unsaved_reason);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_close(&flow);
    ledger_is(&ledger, COUNT, 1);
}

Test(job_savepoint, so_many_are_under_way_and_no_more)
{
    char name[20];
    flow_start(&flow);
    stick();
    for (int i = 0; i <= AT_A_TIME; i++) {
        snprintf(name, sizeof name, "s%d", i);
        save(place(name));
    }
    watch_until(&flow.watch, &flow.watch.unsaved, 1);
    is_unsaved(place("s8"), "eight savepoints are under way");
    cr_expect_eq(of(place("s8"))->id, 0);
    sem_post(&go_on);
    watch_until(&flow.watch, &flow.watch.saved, AT_A_TIME);
}

Test(job_savepoint, one_that_the_job_does_not_live_to_see_is_told_of_before_its_end)
{
    flow_start(&flow);
    stick();
    save(place("never"));
    flow_stop(&flow, WEIR_STOP_NOW);
    watch_until(&flow.watch, &flow.watch.ended, 1);
    cr_expect_eq(told_count, 2);
    cr_expect_eq(told[1].kind, WEIR_EVENT_ENDED);
    is_unsaved(place("never"), "the job was over");
    sem_post(&go_on);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(flow.job, &status);
    cr_expect_eq(status.unsaved, 1);
}

/* The coordinator stands still while it tells of the first checkpoint, so that what comes meanwhile
 * is heard at once. */
static sem_t telling, told_enough;
static atomic_bool told_slowly;

static void tell_slowly(void *watch, const struct weir_event *event)
{
    if (event->kind == WEIR_EVENT_COMMITTED && !atomic_exchange(&told_slowly, true)) {
        sem_post(&telling);
        sem_wait(&told_enough);
    }
    note(watch, event);
}

static void tells_slowly(void)
{
    sem_init(&telling, 0, 0);
    sem_init(&told_enough, 0, 0);
    atomic_store(&told_slowly, false);
    flow.options.event = tell_slowly;
}

/* The stop is heard when the writer has been told to copy, and before it can have answered. */
static void stops_while_it_is_written(const char *name)
{
    tells_slowly();
    flow_start(&flow);
    save(place(name));
    sem_wait(&telling);
    flow_stop(&flow, WEIR_STOP_NOW);
}

Test(job_savepoint, one_that_is_being_written_when_the_job_is_stopped_is_written_and_told_of)
{
    stops_while_it_is_written("sp");
    sem_post(&told_enough);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    cr_expect_eq(told_count, 2);
    cr_expect_eq(told[1].kind, WEIR_EVENT_ENDED);
    is_saved(place("sp"));
    flow_close(&flow);
    is_saved(place("sp"));
}

Test(job_savepoint, one_that_can_not_be_written_any_more_when_the_job_is_stopped_says_why)
{
    stops_while_it_is_written("taken");
    scratch_write(place("taken"), "something", 9);
    sem_post(&told_enough);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    cr_expect_eq(told_count, 2);
    cr_expect_eq(of(place("taken"))->kind, WEIR_EVENT_UNSAVED);
    cr_expect(strstr(of(place("taken"))->text, "is not a directory") != NULL, "%s",
              of(place("taken"))->text);
}

Test(job_savepoint, one_that_is_asked_for_behind_the_end_is_told_of_before_it)
{
    stops_while_it_is_written("sp");
    save(place("late"));
    sem_post(&told_enough);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    is_saved(place("sp"));
    is_unsaved(place("late"), "before it could be begun");
    cr_expect_eq(told_count, 3);
    cr_expect_eq(told[2].kind, WEIR_EVENT_ENDED);
}

Test(job_savepoint, a_polled_host_is_told_the_path_too)
{
    enum weir_outcome outcome;
    flow.options.polled = true;
    flow_start(&flow);
    save(place("polled"));
    while (flow.watch.saved == 0) {
        struct pollfd bell = {.fd = weir_job_fd(flow.job), .events = POLLIN};
        cr_assert_eq(poll(&bell, 1, FLOW_DEADLINE / 1000000), 1);
        cr_assert_eq(weir_job_poll(flow.job, &outcome, &flow.error), WEIR_TIMEOUT, "%s",
                     flow.error.text);
    }
    is_saved(place("polled"));
}

Test(job_savepoint, what_no_job_could_do_is_refused_at_once)
{
    char *long_path = malloc(5001);
    memset(long_path, 'x', 5000);
    long_path[5000] = 0;
    flow_start(&flow);
    cr_expect_eq(weir_job_savepoint(flow.job, NULL, &flow.error), WEIR_INVALID);
    cr_expect_eq(weir_job_savepoint(flow.job, "", &flow.error), WEIR_INVALID);
    cr_expect_eq(weir_job_savepoint(flow.job, long_path, &flow.error), WEIR_INVALID);
    cr_expect_eq(weir_job_stop_at(flow.job, WEIR_STOP_NOW, "x", &flow.error), WEIR_INVALID);
    free(long_path);
    flow_close(&flow);
    flow.options.store = NULL;
    flow_start(&flow);
    cr_expect_eq(weir_job_savepoint(flow.job, "x", &flow.error), WEIR_INVALID);
    cr_expect(strstr(flow.error.text, "no store") != NULL, "%s", flow.error.text);
}

/* -------------------------------------------------------------------------- with a stop -- */

static void goes_on_from(const char *path, const char *store)
{
    flow.options.store = place(store);
    flow.options.restore = WEIR_RESTORE_PATH;
    flow.options.restore_path = path;
}

Test(job_savepoint, a_job_stops_when_its_last_checkpoint_is_saved_and_a_new_store_goes_on)
{
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, 100);
    stop_at(WEIR_STOP_SUSPEND, place("sp"));
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_close(&flow);
    is_saved(place("sp"));
    cr_expect_eq(told_count, 2);
    cr_expect_eq(told[1].kind, WEIR_EVENT_ENDED);
    goes_on_from(place("sp"), "other");
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_eq(flow.watch.restored_from, of(place("sp"))->id);
    ledger_is(&ledger, COUNT, 1);
}

Test(job_savepoint, a_job_goes_on_when_what_it_was_to_stop_with_can_not_be_written)
{
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, 100);
    stop_at(WEIR_STOP_SUSPEND, place("no/where"));
    watch_until(&flow.watch, &flow.watch.unsaved, 1);
    is_unsaved(place("no/where"), "should hold it");
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_close(&flow);
    ledger_is(&ledger, COUNT, 1);
}

Test(job_savepoint, a_drained_job_ends_with_its_savepoint_or_without)
{
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, 100);
    stick();
    stop_at(WEIR_STOP_DRAIN, place("sp"));
    stop_at(WEIR_STOP_DRAIN, place("no/where"));
    sem_post(&go_on);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_close(&flow);
    is_saved(place("sp"));
    is_unsaved(place("no/where"), "should hold it");
    goes_on_from(place("sp"), "other");
    flow_run(&flow, WEIR_OUTCOME_ALREADY_ENDED);
}

/* The stop does not depend on the savepoint: only a job that is to be suspended with it goes on. */
Test(job_savepoint, a_job_is_drained_though_too_many_savepoints_are_under_way)
{
    char name[20];
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, 100);
    stick();
    for (int i = 0; i < AT_A_TIME; i++) {
        snprintf(name, sizeof name, "s%d", i);
        save(place(name));
    }
    stop_at(WEIR_STOP_DRAIN, place("one_more"));
    watch_until(&flow.watch, &flow.watch.unsaved, 1);
    sem_post(&go_on);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    cr_expect_lt(ledger.published, COUNT, "it ended by itself, not by the drain");
}

/* The stuck operator lets both come to the same checkpoint. */
Test(job_savepoint, a_plain_stop_does_not_depend_on_the_savepoint_of_another)
{
    flow_start(&flow);
    stick();
    stop_at(WEIR_STOP_SUSPEND, place("no/where"));
    flow_stop(&flow, WEIR_STOP_SUSPEND);
    sem_post(&go_on);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    is_unsaved(place("no/where"), "should hold it");
}

static void stops_with(const char *first, const char *second)
{
    flow_start(&flow);
    stick();
    stop_at(WEIR_STOP_SUSPEND, place(first));
    stop_at(WEIR_STOP_SUSPEND, place(second));
    sem_post(&go_on);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    is_saved(place("sp"));
    is_unsaved(place("no/where"), ""); /* or the job was over before */
}

Test(job_savepoint, of_two_stops_with_savepoints_one_that_is_written_is_enough)
{
    stops_with("no/where", "sp");
}

Test(job_savepoint, of_two_stops_with_savepoints_the_first_is_enough)
{
    stops_with("sp", "no/where");
}

static void count_ended(void *count, const char *line)
{
    *(unsigned *)count += strstr(line, "has ended") != NULL;
}

/* All input has ended when the job is asked to be suspended: one round is the last of both. */
Test(job_savepoint, a_stop_at_the_end_of_all_input_ends_the_job_whatever_becomes_of_its_savepoint)
{
    tells_slowly();
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, 100);
    cr_assert_eq(weir_job_checkpoint(flow.job, &flow.error), WEIR_OK);
    sem_wait(&telling);
    stop_at(WEIR_STOP_SUSPEND, place("no/where"));
    for (unsigned ended = 0; ended < 4;) { /* source, middle, two sinks */
        ended = 0;
        weir_job_dump(flow.job, count_ended, &ended);
        sched_yield();
    }
    sem_post(&told_enough);
    watch_until(&flow.watch, &flow.watch.unsaved, 1);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
    flow_close(&flow);
    ledger_is(&ledger, COUNT, 1);
}

/* ------------------------------------------------------------------- begun with a savepoint -- */

Test(job_savepoint, a_store_begun_with_one_does_not_begin_from_nothing_unless_told_to)
{
    flow_start(&flow);
    flow_until_taken(&flow, &ledger, 100);
    stop_at(WEIR_STOP_SUSPEND, place("sp"));
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_close(&flow);

    goes_on_from(place("sp"), "other");
    flow_start(&flow);
    flow_stop(&flow, WEIR_STOP_NOW); /* before it has a checkpoint of its own */
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_close(&flow);

    flow.options.restore = WEIR_RESTORE_LATEST;
    cr_assert_eq(weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error), WEIR_REFUSED);
    cr_expect(strstr(flow.error.text, "begun with a savepoint") != NULL, "%s", flow.error.text);

    goes_on_from(place("sp"), "other");
    flow_run(&flow, WEIR_OUTCOME_ENDED);
    ledger_is(&ledger, COUNT, 1);
    flow_close(&flow);
    flow.options.restore = WEIR_RESTORE_LATEST;
    flow_run(&flow, WEIR_OUTCOME_ALREADY_ENDED);
}

Test(job_savepoint, a_graph_that_it_does_not_fit_leaves_no_store_behind)
{
    flow_start(&flow);
    stop_at(WEIR_STOP_SUSPEND, place("sp"));
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_close(&flow);
    goes_on_from(place("sp"), "other");
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_sequence_source_options numbers = {WEIR_SIZED(struct weir_sequence_source_options),
                                                   .count = 1};
    weir_connect(graph, weir_sequence_source(graph, "more", &numbers),
                 ledger_sink(graph, "another", &ledger, 1), WEIR_SPREAD);
    cr_assert_eq(weir_job_start(graph, &flow.options, &flow.job, &flow.error), WEIR_MISMATCH);
    weir_graph_free(&graph);
    cr_expect(strstr(flow.error.text, "does not fit this graph") != NULL, "%s", flow.error.text);
    cr_expect_not(scratch_exists(place("other")));
}

static void is_refused(const char *path, const char *store, const char *says)
{
    goes_on_from(path, store);
    cr_expect_neq(weir_job_start(flow.graph, &flow.options, &flow.job, &flow.error), WEIR_OK);
    cr_expect(strncmp(flow.error.text, says, strlen(says)) == 0, "%s", flow.error.text);
}

static const char *words(const char *kind, const char *path, const char *rest)
{
    static char text[700];
    snprintf(text, sizeof text, "%s %s%s", kind, path, rest);
    return text;
}

Test(job_savepoint, what_is_wrong_with_it_is_said_of_a_savepoint_and_of_a_store_as_such)
{
    flow_start(&flow);
    flow_close(&flow);
    const char *empty = flow.options.store, *file = place("file"), *left = place("left");
    is_refused(empty, "other", words("store", empty, " holds no checkpoint"));
    scratch_write(file, "x", 1);
    is_refused(file, "other", words("savepoint", file, " is not a directory"));
    is_refused(place("no"), "other", words("savepoint", place("no"), " does not exist"));
    cr_assert_eq(rename(empty, left), 0);
    scratch_write(scratch_join(left, "SAVEPOINT"), "x", 1);
    is_refused(left, "other", words("savepoint", left, " was never finished"));
}

Test(job_savepoint, told_to_begin_from_nothing_such_a_store_is_a_new_one)
{
    flow_start(&flow);
    stop_at(WEIR_STOP_SUSPEND, place("sp"));
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
    flow_close(&flow);
    goes_on_from(place("sp"), "other");
    for (int i = 0; i < 2; i++) {
        flow_start(&flow);
        flow_stop(&flow, WEIR_STOP_NOW);
        flow_ends(&flow, WEIR_OUTCOME_STOPPED);
        flow_close(&flow);
        flow.options.restore = WEIR_RESTORE_NONE;
    }
    flow.options.restore = WEIR_RESTORE_LATEST;
    flow_start(&flow);
    cr_expect_eq(flow.watch.restored_from, 0);
    flow_stop(&flow, WEIR_STOP_NOW);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
}

/* A job whose rounds all fail: who asked does not wait for ever, and is told why. */
Test(job_savepoint, one_whose_checkpoints_all_come_to_nothing_is_given_up)
{
    struct timespec before, after;
    draw_endless();
    flow.options.timeout_ns = 150 * 1000000;
    atomic_store(&refuses, true);
    flow_start(&flow);
    clock_gettime(CLOCK_MONOTONIC, &before);
    save(place("never"));
    watch_until(&flow.watch, &flow.watch.unsaved, 1);
    clock_gettime(CLOCK_MONOTONIC, &after);
    is_unsaved(place("never"), "checkpoints have come to nothing for 300.0 ms");
    is_unsaved(place("never"), "can't save itself");
    cr_expect(after.tv_sec * 1000 + after.tv_nsec / 1000000 >=
                  before.tv_sec * 1000 + before.tv_nsec / 1000000 + 300,
              "it was given up too soon");
    /* A stop that depends on one is off; what is asked later is not given up with it. */
    cr_assert_eq(weir_job_stop_at(flow.job, WEIR_STOP_SUSPEND, place("stop"), &flow.error),
                 WEIR_OK);
    watch_until(&flow.watch, &flow.watch.unsaved, 2);
    is_unsaved(place("stop"), "checkpoints have come to nothing for 300.0 ms");
    atomic_store(&refuses, false);
    save(place("later"));
    watch_until(&flow.watch, &flow.watch.saved, 1);
    is_saved(place("later"));
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(flow.job, &status);
    cr_expect_eq(status.outcome, WEIR_OUTCOME_RUNNING, "the stop was not off");
    flow_stop(&flow, WEIR_STOP_NOW);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
}

/* A plain stop that was asked for meanwhile is heeded all the same. */
Test(job_savepoint, a_stop_that_was_asked_for_in_any_case_is_not_off)
{
    draw_endless();
    flow.options.timeout_ns = 50 * 1000000;
    atomic_store(&refuses, true);
    flow_start(&flow);
    cr_assert_eq(weir_job_stop_at(flow.job, WEIR_STOP_SUSPEND, place("stop"), &flow.error),
                 WEIR_OK);
    flow_stop(&flow, WEIR_STOP_SUSPEND);
    watch_until(&flow.watch, &flow.watch.unsaved, 1);
    atomic_store(&refuses, false);
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
}
