/* links: flow surroundings */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control endpoint: what it answers, whom it survives, what it leaves behind.
 */
#include "flow.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "control.h"
#include "endpoint.h"
#include "surroundings.h"
#include "weir_checkpoint.h"

static struct scratch scratch;
static struct flow flow;
static struct ledger ledger;
static struct options options;
static struct report report;
static struct control *control;
static _Atomic uint32_t stops;
static struct savepoints savepoints;
static const struct control_asked to_carry_out = {&stops, &savepoints};
static char path[CONTROL_PATH_ROOM];

static struct weir_error error;

/* An operator that stands still in its callback, or can't be saved. */
static sem_t stuck, go_on;
static atomic_bool sticks, refuses;

static enum weir_result odd_process(void *self, struct weir_context *context, unsigned input,
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

static enum weir_result odd_save(void *self, struct weir_context *context, struct weir_saver *saver)
{
    (void)self;
    (void)context;
    (void)saver;
    return atomic_load(&refuses) ? WEIR_TOO_LARGE : WEIR_OK;
}

static enum weir_result odd_load(void *self, struct weir_context *context,
                                 struct weir_loader *loader, uint32_t version)
{
    (void)self;
    (void)context;
    (void)loader;
    (void)version;
    return WEIR_OK;
}

static const struct weir_operator odd = {WEIR_SIZED(struct weir_operator), .kind = "odd",
                                         .process = odd_process, .save = odd_save,
                                         .load = odd_load};

/* As the program does: what comes of savepoints is told to whoever asked. */
static void on_event(void *watch, const struct weir_event *event)
{
    if (event->kind == WEIR_EVENT_SAVED || event->kind == WEIR_EVENT_UNSAVED)
        savepoints_told(&savepoints, event);
    watch_event(watch, event);
}

static void setup(void)
{
    scratch = scratch_make();
    savepoints_init(&savepoints);
    cr_assert_eq(setenv("XDG_RUNTIME_DIR", scratch.path, 1), 0);
    ledger_init(&ledger, 1);
    sem_init(&stuck, 0, 0);
    sem_init(&go_on, 0, 0);
    flow_init(&flow);
    weir_node source = flow_times(&flow, "numbers", UINT64_MAX, 20000, 0);
    weir_node middle = flow_add(&flow, "odd", &odd, NULL, 1);
    weir_connect(flow.graph, source, middle, WEIR_SPREAD);
    weir_connect(flow.graph, middle, ledger_sink(flow.graph, "sink", &ledger, 2), WEIR_SPREAD);
    flow.options.store = scratch_join(scratch.path, "store");
    flow.options.interval_ns = -1;
    flow.options.event = on_event;
    options.job = flow.options;
    report.name = "program";
    report.options = &options;
    report.parent = 4711;
    report.restarts = 3;
}

static void teardown(void)
{
    control_stop(&control);
    sem_post(&go_on);
    flow_free(&flow);
    ledger_free(&ledger);
    savepoints_free(&savepoints);
    scratch_free(&scratch);
}
TestSuite(control, .init = setup, .fini = teardown);

/* What was asked for since the last call: 1 << enum weir_stop. */
static uint32_t asked(void)
{
    return atomic_exchange(&stops, 0);
}

static const struct control_store *store_of(const char *directory)
{
    static struct control_store store;
    cr_assert_eq(control_store_of(directory, &store, &error), WEIR_OK, "%s", error.text);
    return &store;
}

static const char *store_id(void)
{
    return store_of(options.job.store)->id;
}

static enum weir_result find(void)
{
    return control_socket_find(store_of(options.job.store)->name, options.job.store, path, &error);
}

static void start(void)
{
    flow_start(&flow);
    cr_assert_eq(control_start(&control, flow.job, &report, &to_carry_out, &error), WEIR_OK, "%s",
                 error.text);
    cr_assert_eq(find(), WEIR_OK, "%s", error.text);
}

/* The answer, which must be JSON of version 1. */
static json_t *ask(const char *request)
{
    char *text = NULL;
    enum weir_result result = endpoint_ask(path, request, FLOW_DEADLINE, &text, &error);
    cr_assert_eq(result, WEIR_OK, "%.60s: %s", request, error.text);
    json_t *answer = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(answer, "%s", text);
    cr_expect_eq(json_integer_value(json_object_get(answer, "weir")), 1);
    free(text);
    return answer;
}

static bool ok(const json_t *answer)
{
    return json_is_true(json_object_get(answer, "ok"));
}

static json_int_t number(const json_t *answer, const char *name)
{
    cr_assert(json_is_integer(json_object_get(answer, name)), "%s is not a number", name);
    return json_integer_value(json_object_get(answer, name));
}

static const char *text(const json_t *answer, const char *name)
{
    cr_assert(json_is_string(json_object_get(answer, name)), "%s is not a text", name);
    return json_string_value(json_object_get(answer, name));
}

static void refused(const char *request, const char *says)
{
    json_t *answer = ask(request);
    cr_expect_not(ok(answer), "%.60s", request);
    cr_expect(strstr(text(answer, "error"), says) != NULL, "%.60s: %s", request,
              text(answer, "error"));
    json_decref(answer);
}

static void answers(void)
{
    json_t *answer = ask("{\"weir\":1,\"ask\":\"status\"}");
    cr_expect(ok(answer));
    json_decref(answer);
}

#define STATUS "{\"weir\":1,\"ask\":\"status\"}"
#define CHECKPOINT "{\"weir\":1,\"ask\":\"checkpoint\"}"

/* ----------------------------------------------------------------------------- answers -- */

Test(control, status_tells_what_the_job_and_the_program_know)
{
    start();
    flow_until_taken(&flow, &ledger, 100);
    json_t *made = ask(CHECKPOINT);
    cr_assert(ok(made));
    json_t *answer = ask(STATUS);
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(flow.job, &status);
    cr_expect(ok(answer));
    cr_expect_str_eq(text(answer, "program"), "program");
    cr_expect_str_eq(text(answer, "version"), weir_version());
    cr_expect_str_eq(text(answer, "store"), options.job.store);
    cr_expect_str_eq(text(answer, "store_id"), store_id());
    cr_expect_str_eq(text(answer, "state"), "running");
    cr_expect_eq(number(answer, "pid"), getpid());
    cr_expect_eq(number(answer, "parent"), 4711);
    cr_expect_eq(number(answer, "restarts"), 3);
    cr_expect_eq(number(answer, "epoch"), 1);
    cr_expect_eq(number(answer, "tasks"), status.tasks);
    cr_expect_eq(number(answer, "checkpoint"), 1);
    cr_expect_eq(number(answer, "checkpoint"), number(made, "checkpoint"));
    cr_expect_eq(number(answer, "checkpoint_bytes"), (json_int_t)status.checkpoint_bytes);
    cr_expect_eq(number(answer, "committed"), 1);
    cr_expect_eq(number(answer, "aborted"), 0);
    cr_expect_eq(number(answer, "dead_letters"), 0);
    cr_expect_null(json_object_get(answer, "round"));
    cr_expect_null(json_object_get(answer, "aborted_reason"));
    cr_expect_gt(number(answer, "checkpoint_age_ns"), 0);
    cr_expect_gt(number(answer, "uptime_ns"), 0);
    cr_expect_gt(number(answer, "running_ns"), 0);
    cr_expect_geq(number(answer, "records_in"), 100);
    cr_expect_leq(number(answer, "records_in"), (json_int_t)status.records_in);
    cr_expect_null(json_object_get(answer, "progress_total")); /* it has no end */
    json_decref(answer);
    json_decref(made);
}

Test(control, a_checkpoint_is_answered_when_it_is_durable)
{
    start();
    for (int i = 1; i <= 3; i++) {
        json_t *answer = ask(CHECKPOINT);
        cr_expect(ok(answer));
        cr_expect_eq(number(answer, "checkpoint"), i);
        cr_expect_gt(number(answer, "duration_ns"), 0);
        cr_expect_gt(number(answer, "bytes"), 0);
        char name[64];
        snprintf(name, sizeof name, "store/checkpoints/%020d/MANIFEST.json", i);
        cr_expect(scratch_exists(scratch_join(scratch.path, name)), "%s", name);
        json_decref(answer);
    }
}

Test(control, a_checkpoint_that_comes_to_nothing_says_why)
{
    atomic_store(&refuses, true);
    start();
    refused(CHECKPOINT, "checkpoint 1 came to nothing: ");
    refused(CHECKPOINT, "WEIR_TOO_LARGE");
    atomic_store(&refuses, false);
    json_t *answer = ask(CHECKPOINT);
    cr_expect_eq(number(answer, "checkpoint"), 3);
    json_decref(answer);
    answer = ask(STATUS);
    cr_expect_eq(number(answer, "aborted"), 2);
    cr_expect_eq(number(answer, "aborted_id"), 2);
    cr_expect(strstr(text(answer, "aborted_reason"), "odd") != NULL);
    json_decref(answer);
}

/* ------------------------------------------------------------------ several who ask -- */

struct asker {
    pthread_t thread;
    const char *request;
    json_t *answer;
};

static atomic_uint askers_told;

static void *asks(void *self)
{
    struct asker *asker = self;
    asker->answer = ask(asker->request);
    atomic_fetch_add(&askers_told, 1);
    return NULL;
}

static void asker_start(struct asker *asker, const char *request)
{
    asker->request = request;
    cr_assert_eq(pthread_create(&asker->thread, NULL, asks, asker), 0);
}

static const json_t *asker_end(struct asker *asker)
{
    pthread_join(asker->thread, NULL);
    return asker->answer;
}

static void stick(void)
{
    atomic_store(&sticks, true);
    sem_wait(&stuck);
}

static bool dump_says(const char *what)
{
    json_t *answer = ask("{\"weir\":1,\"ask\":\"dump\"}");
    json_t *lines = json_object_get(answer, "lines"), *line;
    size_t index;
    bool found = false;
    json_array_foreach(lines, index, line) found =
        found || strstr(json_string_value(line), what) != NULL;
    cr_expect_eq(json_array_size(lines), 2 + 4 + 1); /* job, round, tasks, writer */
    json_decref(answer);
    return found;
}

/* "numbers" may be named as well: its marker waits behind what the stuck reader gives no credit
 * for. */
static void note_odd(void *noted, const char *text)
{
    const char *missing = strstr(text, "its marker is not yet past");
    if (missing && strstr(missing, "odd.0"))
        *(bool *)noted = true;
}

static void until_a_round_is_open(void)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    while (status.round == 0)
        weir_job_status(flow.job, &status);
}

Test(control, who_waits_for_a_stuck_checkpoint_keeps_nobody_from_asking_why)
{
    struct asker waiting = {.answer = NULL};
    start();
    stick();
    asker_start(&waiting, CHECKPOINT);
    until_a_round_is_open();
    bool noted = false;
    while (!noted)
        weir_job_dump(flow.job, note_odd, &noted);
    cr_expect(dump_says("its marker is not yet past"));
    cr_expect(dump_says("in process of odd"));
    json_t *answer = ask(STATUS);
    cr_expect_eq(number(answer, "round"), 1);
    cr_expect_gt(number(answer, "round_age_ns"), 0);
    json_decref(answer);
    sem_post(&go_on);
    cr_expect_eq(number(asker_end(&waiting), "checkpoint"), 1);
    json_decref(waiting.answer);
}

Test(control, a_checkpoint_is_not_waited_for_longer_than_one_says)
{
    start();
    stick();
    refused("{\"weir\":1,\"ask\":\"checkpoint\",\"timeout_ms\":20}", "not done in time");
    sem_post(&go_on);
}

Test(control, so_many_wait_and_no_more)
{
    struct asker waiting[ENDPOINT_TICKETS + 1];
    unsigned busy = 0, done = 0;
    start();
    stick();
    for (unsigned i = 0; i <= ENDPOINT_TICKETS; i++)
        asker_start(&waiting[i], CHECKPOINT);
    /* One is refused at once, whichever came last: then all the others wait. */
    time_t deadline = time(NULL) + 10;
    while (atomic_load(&askers_told) == 0 && time(NULL) < deadline)
        answers();
    refused("{\"weir\":1,\"ask\":\"checkpoint\",\"timeout_ms\":1}", "others wait");
    answers(); /* only checkpoints are refused */
    sem_post(&go_on);
    for (unsigned i = 0; i <= ENDPOINT_TICKETS; i++) {
        const json_t *answer = asker_end(&waiting[i]);
        busy += !ok(answer) && strstr(text(answer, "error"), "16 others wait for an") != NULL;
        done += ok(answer);
        json_decref(waiting[i].answer);
    }
    cr_expect_eq(busy, 1);
    cr_expect_eq(busy + done, ENDPOINT_TICKETS + 1);
}

Test(control, a_stop_is_the_programs_to_carry_out)
{
    start();
    cr_expect_eq(asked(), 0);
    json_decref(ask("{\"weir\":1,\"ask\":\"stop\",\"mode\":\"now\"}"));
    json_t *answer = ask("{\"weir\":1,\"ask\":\"stop\"}");
    cr_expect_str_eq(text(answer, "mode"), "suspend");
    cr_expect_eq(number(answer, "pid"), getpid());
    json_decref(answer);
    cr_expect_eq(asked(), 1 << WEIR_STOP_NOW | 1 << WEIR_STOP_SUSPEND);
    cr_expect_eq(asked(), 0);
    json_decref(ask("{\"weir\":1,\"ask\":\"stop\",\"mode\":\"drain\"}"));
    cr_expect_eq(asked(), 1 << WEIR_STOP_DRAIN);
    refused("{\"weir\":1,\"ask\":\"stop\",\"mode\":\"gently\"}", "mode");
    cr_expect_eq(asked(), 0);
}

Test(control, who_still_waits_when_the_run_is_over_is_told_so)
{
    struct asker waiting = {.answer = NULL};
    start();
    stick();
    asker_start(&waiting, CHECKPOINT);
    until_a_round_is_open();
    control_stop(&control);
    const json_t *told = asker_end(&waiting);
    cr_expect_not(ok(told));
    cr_expect(strstr(text(told, "error"), "the run ended") != NULL);
    json_decref(waiting.answer);
    cr_expect_eq(find(), WEIR_NOT_FOUND);
    sem_post(&go_on);
    flow_close(&flow);
    report.restarts = 4;
    start();
    json_t *answer = ask(STATUS);
    cr_expect_eq(number(answer, "epoch"), 2);
    cr_expect_eq(number(answer, "restarts"), 4);
    json_decref(answer);
}

/* ---------------------------------------------------------------------- savepoints -- */

static const char *place(const char *name)
{
    return scratch_join(scratch.path, name);
}

static const char *savepoint_request(const char *to)
{
    static char requests[4][600];
    static unsigned next;
    char *request = requests[next++ % 4];
    snprintf(request, sizeof requests[0], "{\"weir\":1,\"ask\":\"savepoint\",\"path\":\"%s\"}", to);
    return request;
}

static const char *stop_request(const char *mode, const char *to)
{
    static char request[600];
    snprintf(request, sizeof request,
             "{\"weir\":1,\"ask\":\"stop\",\"mode\":\"%s\",\"savepoint\":\"%s\"}", mode, to);
    return request;
}

static bool is_whole(const char *savepoint, uint64_t id)
{
    struct weir_store *store = NULL;
    bool whole = weir_store_open(savepoint, NULL, &store, &error) == WEIR_OK &&
                 weir_store_verify(store, id, &error) == WEIR_OK;
    weir_store_close(&store);
    return whole;
}

Test(control, a_savepoint_is_answered_when_it_is_written)
{
    start();
    json_t *answer = ask(savepoint_request(place("sp")));
    cr_assert(ok(answer), "%s", text(answer, "error"));
    cr_expect_str_eq(text(answer, "ask"), "savepoint");
    cr_expect_str_eq(text(answer, "savepoint"), place("sp"));
    cr_expect_eq(number(answer, "checkpoint"), 1);
    cr_expect_gt(number(answer, "duration_ns"), 0);
    cr_expect(is_whole(place("sp"), 1), "%s", error.text);
    json_decref(answer);
    answer = ask(STATUS);
    cr_expect_eq(number(answer, "saved"), 1);
    cr_expect_eq(number(answer, "saved_id"), 1);
    cr_expect_eq(number(answer, "unsaved"), 0);
    cr_expect_null(json_object_get(answer, "unsaved_reason"));
    cr_expect_geq(number(answer, "memory_state"), 0);
    cr_expect_geq(number(answer, "memory_flight"), 0);
    cr_expect_eq(number(answer, "memory_recorded"), 0);
    cr_expect_eq(number(answer, "memory_saved"), 0);
    cr_expect_eq(number(answer, "disk_flight"), 0);
    cr_expect_eq(number(answer, "disk_state"), 0);
    json_decref(answer);
    cr_expect_eq(asked(), 0, "nothing stops");
}

Test(control, a_savepoint_that_can_not_be_written_says_why)
{
    start();
    scratch_write(place("file"), "x", 1);
    refused(savepoint_request(place("no/where")), "does not exist: make it first");
    refused(savepoint_request(place("file")), "is not a directory");
    refused(savepoint_request(place("store/sp")), "lies inside the store");
    refused(savepoint_request(place("store")), "is a store: name another");
    refused(savepoint_request("/"), "no savepoint: ");
    json_decref(ask(savepoint_request(place("sp"))));
    refused(savepoint_request(place("sp")), "is a savepoint already");
    json_t *answer = ask(STATUS);
    cr_expect_eq(number(answer, "saved"), 1);
    cr_expect_eq(number(answer, "unsaved"), 6);
    cr_expect(strstr(text(answer, "unsaved_reason"), "is a savepoint already") != NULL);
    json_decref(answer);
    answer = ask(CHECKPOINT);
    cr_expect(ok(answer), "the job goes on");
    json_decref(answer);
}

Test(control, a_path_of_any_bytes_that_json_can_hold_is_a_path)
{
    static char long_path[4100];
    static char request[5000];
    start();
    json_t *answer = ask(savepoint_request(place("\\u0001 \\\"quoted\\\" \xc3\xa4")));
    cr_expect(ok(answer));
    cr_expect(scratch_exists(place("\x01 \"quoted\" \xc3\xa4")));
    json_decref(answer);
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[0] = '/';
    snprintf(request, sizeof request, "{\"weir\":1,\"ask\":\"savepoint\",\"path\":\"%s\"}",
             long_path);
    refused(request, "of at most 4000 bytes");
    long_path[4000] = 0; /* the file system will not have it */
    snprintf(request, sizeof request, "{\"weir\":1,\"ask\":\"savepoint\",\"path\":\"%s\"}",
             long_path);
    refused(request, "no savepoint: ");
}

Test(control, those_who_ask_together_get_each_the_answer_to_their_own)
{
    enum { ASKERS = 7 };
    static const char *const names[ASKERS] = {"a", "no/where", "b", "a", "a/inside", "c", "a"};
    static char requests[ASKERS][600];
    struct asker waiting[ASKERS];
    unsigned saved_a = 0;
    start();
    stick();
    for (unsigned i = 0; i < ASKERS; i++) {
        snprintf(requests[i], sizeof requests[i], "%s", savepoint_request(place(names[i])));
        asker_start(&waiting[i], requests[i]);
    }
    answers(); /* and nobody is kept from asking */
    sem_post(&go_on);
    for (unsigned i = 0; i < ASKERS; i++) {
        const json_t *answer = asker_end(&waiting[i]);
        if (strcmp(names[i], "a") == 0)
            saved_a += ok(answer);
        else if (strcmp(names[i], "no/where") == 0)
            cr_expect(strstr(text(answer, "error"), "no/") != NULL, "%s", text(answer, "error"));
        else if (strlen(names[i]) == 1)
            cr_expect(ok(answer), "%s", names[i]);
        if (ok(answer)) {
            cr_expect_str_eq(text(answer, "savepoint"), place(names[i]));
            cr_expect(is_whole(place(names[i]), (uint64_t)number(answer, "checkpoint")), "%s",
                      error.text);
        }
        json_decref(waiting[i].answer);
    }
    cr_expect_eq(saved_a, 1);
}

Test(control, who_waits_for_a_savepoint_when_the_run_is_over_is_told_so)
{
    struct asker waiting = {.answer = NULL};
    start();
    stick();
    asker_start(&waiting, savepoint_request(place("sp")));
    until_a_round_is_open();
    control_stop(&control);
    const json_t *told = asker_end(&waiting);
    cr_expect_not(ok(told));
    cr_expect(strstr(text(told, "error"), "the run ended before the savepoint") != NULL);
    json_decref(waiting.answer);
    sem_post(&go_on);
    flow_close(&flow);
    savepoints_clear(&savepoints);
    start(); /* nothing is left of it: the next run writes there */
    json_t *answer = ask(savepoint_request(place("other")));
    cr_expect(ok(answer));
    json_decref(answer);
}

Test(control, a_job_that_ends_by_itself_is_not_waited_for)
{
    struct asker waiting = {.answer = NULL};
    start();
    stick();
    asker_start(&waiting, savepoint_request(place("sp")));
    until_a_round_is_open();
    flow_stop(&flow, WEIR_STOP_NOW);
    sem_post(&go_on);
    const json_t *told = asker_end(&waiting);
    cr_expect_not(ok(told));
    cr_expect(strstr(text(told, "error"), "the job was over") != NULL ||
                  strstr(text(told, "error"), "the run ended") != NULL,
              "%s", text(told, "error"));
    json_decref(waiting.answer);
}

Test(control, a_savepoint_is_not_waited_for_longer_than_one_says_and_comes_all_the_same)
{
    char impatient[700];
    start();
    stick();
    snprintf(impatient, sizeof impatient,
             "{\"weir\":1,\"ask\":\"savepoint\",\"timeout_ms\":20,\"path\":\"%s\"}", place("sp"));
    refused(impatient, "not done in time, and still being tried");
    refused(savepoint_request(place("sp")), "is being written for somebody else");
    refused(stop_request("suspend", place("sp")), "no savepoint, so the job goes on: ");
    sem_post(&go_on);
    watch_until(&flow.watch, &flow.watch.saved, 1);
    cr_expect(is_whole(place("sp"), 1), "%s", error.text);
    refused(savepoint_request(place("sp")), "is a savepoint already");
}

/* What the program does about a stop that leaves a savepoint, until one is there. */
static void carry_out_a_stop(void)
{
    enum weir_stop how;
    char *to = NULL;
    while (to == NULL)
        to = savepoints_next_stop(&savepoints, &how);
    cr_assert_eq(weir_job_stop_at(flow.job, how, to, &error), WEIR_OK, "%s", error.text);
    free(to);
}

Test(control, a_stop_with_a_savepoint_is_answered_when_that_is_written)
{
    struct asker waiting = {.answer = NULL};
    start();
    asker_start(&waiting, stop_request("suspend", place("sp")));
    carry_out_a_stop();
    const json_t *answer = asker_end(&waiting);
    cr_assert(ok(answer), "%s", text(answer, "error"));
    cr_expect_str_eq(text(answer, "ask"), "stop");
    cr_expect_str_eq(text(answer, "mode"), "suspend");
    cr_expect_eq(number(answer, "pid"), getpid());
    cr_expect_str_eq(text(answer, "savepoint"), place("sp"));
    cr_expect(is_whole(place("sp"), (uint64_t)number(answer, "checkpoint")), "%s", error.text);
    json_decref(waiting.answer);
    cr_expect(savepoints_kept(&savepoints));
    cr_expect_eq(asked(), 0, "no other stop was asked for");
    flow_ends(&flow, WEIR_OUTCOME_STOPPED);
}

Test(control, a_stop_whose_savepoint_can_not_be_written_is_told_that_the_job_goes_on)
{
    struct asker waiting = {.answer = NULL};
    start();
    for (int i = 0; i < 2; i++) { /* and it may be tried again */
        asker_start(&waiting, stop_request("suspend", place("no/where")));
        carry_out_a_stop();
        const json_t *answer = asker_end(&waiting);
        cr_expect_not(ok(answer));
        cr_expect(strstr(text(answer, "error"), "no savepoint, so the job goes on: ") != NULL, "%s",
                  text(answer, "error"));
        json_decref(waiting.answer);
        cr_expect(savepoints_failed(&savepoints));
    }
    cr_expect_not(savepoints_kept(&savepoints));
    cr_expect_eq(asked(), 0);
    json_t *answer = ask(CHECKPOINT);
    cr_expect(ok(answer), "it runs");
    json_decref(answer);
}

Test(control, a_drained_job_that_leaves_no_savepoint_ends_all_the_same)
{
    struct asker waiting = {.answer = NULL};
    start();
    asker_start(&waiting, stop_request("drain", place("no/where")));
    carry_out_a_stop();
    const json_t *answer = asker_end(&waiting);
    cr_expect_not(ok(answer));
    cr_expect(strstr(text(answer, "error"), "; the input has ended all the same: ") != NULL, "%s",
              text(answer, "error"));
    json_decref(waiting.answer);
    flow_ends(&flow, WEIR_OUTCOME_ENDED);
}

Test(control, of_two_stops_with_a_savepoint_the_second_is_refused)
{
    struct asker waiting = {.answer = NULL};
    start();
    stick();
    asker_start(&waiting, stop_request("suspend", place("first")));
    carry_out_a_stop();
    refused(stop_request("drain", place("second")), "somebody else has asked for a stop");
    refused(stop_request("suspend", place("first")), "somebody else has asked for a stop");
    sem_post(&go_on);
    cr_expect(ok(asker_end(&waiting)));
    json_decref(waiting.answer);
}

/* ---------------------------------------------------------------------- bad company -- */

Test(control, what_it_does_not_understand_it_refuses_by_name)
{
    static const char *const bad[][2] = {
        {"", "JSON object"},
        {"status", "JSON object"},
        {"[]", "JSON object"},
        {"17", "JSON object"},
        {"{}", "\"weir\": 1"},
        {"{\"weir\":2,\"ask\":\"status\"}", "\"weir\": 1"},
        {"{\"weir\":\"1\",\"ask\":\"status\"}", "\"weir\": 1"},
        {"{\"weir\":1}", "\"ask\""},
        {"{\"weir\":1,\"ask\":7}", "\"ask\""},
        {"{\"weir\":1,\"ask\":\"rm -rf\"}", "\"rm -rf\""},
        {"{\"weir\":1,\"ask\":\"status\",\"now\":true}", "\"now\""},
        {"{\"weir\":1,\"ask\":\"status\",\"mode\":\"now\"}", "\"mode\""},
        {"{\"weir\":1,\"ask\":\"stop\",\"timeout_ms\":1}", "\"timeout_ms\""},
        {"{\"weir\":1,\"ask\":\"stop\",\"mode\":1}", "mode"},
        {"{\"weir\":1,\"ask\":\"status\",\"ask\":\"stop\"}", "duplicate"},
        {"{\"weir\":1,\"ask\":\"savepoint\"}", "path"},
        {"{\"weir\":1,\"ask\":\"savepoint\",\"path\":7}", "path"},
        {"{\"weir\":1,\"ask\":\"savepoint\",\"path\":\"\"}", "path"},
        {"{\"weir\":1,\"ask\":\"savepoint\",\"path\":\"relative/path\"}", "from / on"},
        {"{\"weir\":1,\"ask\":\"savepoint\",\"path\":\"/a\",\"timeout_ms\":0}", "timeout_ms"},
        {"{\"weir\":1,\"ask\":\"savepoint\",\"path\":\"/a\",\"mode\":\"now\"}", "\"mode\""},
        {"{\"weir\":1,\"ask\":\"savepoint\",\"savepoint\":\"/a\"}", "\"savepoint\""},
        {"{\"weir\":1,\"ask\":\"savepoint\",\"path\":\"/a\\u0000b\"}", "JSON object"},
        {"{\"weir\":1,\"ask\":\"checkpoint\",\"path\":\"/a\"}", "\"path\""},
        {"{\"weir\":1,\"ask\":\"stop\",\"path\":\"/a\"}", "\"path\""},
        {"{\"weir\":1,\"ask\":\"stop\",\"savepoint\":\"a\"}", "from / on"},
        {"{\"weir\":1,\"ask\":\"stop\",\"savepoint\":null}", "from / on"},
        {"{\"weir\":1,\"ask\":\"stop\",\"savepoint\":\"/a\",\"mode\":\"now\"}", "no savepoint"},
        {"{\"weir\":1,\"ask\":\"stop\",\"savepoint\":\"/a\",\"timeout_ms\":0}", "timeout_ms"},
        {"{\"weir\":1,\"ask\":\"checkpoint\",\"timeout_ms\":0}", "timeout_ms"},
        {"{\"weir\":1,\"ask\":\"checkpoint\",\"timeout_ms\":-5}", "timeout_ms"},
        {"{\"weir\":1,\"ask\":\"checkpoint\",\"timeout_ms\":99999999}", "timeout_ms"},
        {"{\"weir\":1,\"ask\":\"checkpoint\",\"timeout_ms\":\"1\"}", "timeout_ms"},
        {"{\"weir\":1,\"ask\":\"\xff\xfe\"}", "0xff"},
        {"{\"weir\":1,\"ask\":\"a\\u0000b\"}", "JSON object"},
    };
    char deep[3000];
    start();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refused(bad[i][0], bad[i][1]);
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    refused(deep, "JSON object");
    answers();
    cr_expect_eq(asked(), 0, "none of them was taken for a stop");
}

static unsigned entries(const char *folder)
{
    unsigned count = 0;
    DIR *listing = opendir(folder);
    while (readdir(listing))
        count++;
    closedir(listing);
    return count;
}

/* What has gone is cleared up by libzmq's threads, in their time. */
static void settles(const char *folder, unsigned most)
{
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += 20;
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while (entries(folder) > most && now.tv_sec < end.tv_sec);
    cr_expect_leq(entries(folder), most, "%s: %u, and there were %u", folder, entries(folder),
                  most);
}

static int connect_plainly(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Not ZeroMQ at all, or its first words and then nonsense. */
static void write_nonsense(uint64_t *seed, bool greets)
{
    static const unsigned char greeting[64] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                               1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    unsigned char bytes[512];
    int fd = connect_plainly();
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)flow_draw(seed);
    if (greets)
        (void)!send(fd, greeting, sizeof greeting, MSG_NOSIGNAL);
    (void)!send(fd, bytes, 1 + flow_draw(seed) % sizeof bytes, MSG_NOSIGNAL);
    close(fd);
}

Test(control, bytes_that_are_no_requests_and_clients_that_vanish_do_no_harm)
{
    uint64_t seed = flow_seed();
    start();
    answers();
    unsigned before = entries("/proc/self/fd");
    for (int i = 0; i < 200; i++) {
        write_nonsense(&seed, i % 2);
        close(connect_plainly()); /* comes and goes */
        char *answer = NULL;      /* asks, and does not wait for the answer */
        cr_expect_eq(endpoint_ask(path, CHECKPOINT, 0, &answer, &error) == WEIR_OK, answer != NULL);
        free(answer);
    }
    answers();
    settles("/proc/self/fd", before);
}

Test(control, a_request_that_is_too_large_ends_its_connection_and_nothing_else)
{
    static char large[1 << 20];
    char *answer = NULL;
    start();
    memset(large, ' ', sizeof large - 1);
    cr_expect_eq(endpoint_ask(path, large, FLOW_SECOND / 2, &answer, &error), WEIR_TIMEOUT);
    cr_expect_null(answer);
    answers();
}

/* --------------------------------------------------------------------------- the place -- */

static enum weir_result start_refused(void)
{
    enum weir_result result = control_start(&control, flow.job, &report, &to_carry_out, &error);
    cr_expect_null(control);
    return result;
}

Test(control, the_folder_and_the_socket_are_for_their_user_alone)
{
    struct stat status;
    umask(0);
    start();
    cr_assert_eq(lstat(scratch_join(scratch.path, "weir"), &status), 0);
    cr_expect_eq(status.st_mode & 07777, 0700);
    cr_assert_eq(lstat(path, &status), 0);
    cr_expect_eq(status.st_mode & 07777, 0600);
    cr_expect_eq(entries(scratch_join(scratch.path, "weir")), 3, "it, and the two dots");
    control_stop(&control);
    cr_expect_not(scratch_exists(path));
    cr_expect_eq(find(), WEIR_NOT_FOUND);
}

Test(control, a_folder_that_others_may_use_is_refused)
{
    const char *folder = scratch_join(scratch.path, "weir");
    flow_start(&flow);
    cr_assert_eq(mkdir(folder, 0755), 0);
    cr_assert_eq(chmod(folder, 0755), 0);
    cr_expect_eq(start_refused(), WEIR_REFUSED);
    cr_expect(strstr(error.text, "chmod 700") && strstr(error.text, folder), "%s", error.text);
    cr_expect_eq(find(), WEIR_REFUSED, "who asks does not trust it either");
    if (geteuid() == 0) {
        cr_assert_eq(chown(folder, 1, 1) | chmod(folder, 0700), 0);
        cr_expect_eq(start_refused(), WEIR_REFUSED);
        cr_expect(strstr(error.text, "another user"), "%s", error.text);
    }
    cr_assert_eq(rmdir(folder), 0);
    cr_assert_eq(symlink("/tmp", folder), 0);
    cr_expect_eq(start_refused(), WEIR_REFUSED);
    cr_assert_eq(unlink(folder), 0);
    scratch_write(folder, "", 0);
    cr_expect_eq(start_refused(), WEIR_REFUSED);
    cr_expect(strstr(error.text, "not a directory"), "%s", error.text);
    cr_assert_eq(unlink(folder), 0);
    cr_expect_eq(control_start(&control, flow.job, &report, &to_carry_out, &error), WEIR_OK);
}

/* Both have the store's id. */
Test(control, a_store_that_began_with_a_savepoint_has_a_socket_of_its_own)
{
    start();
    json_decref(ask(savepoint_request(place("sp"))));
    struct control_store first = *store_of(options.job.store);
    struct weir_job *other = NULL;
    struct control *other_control = NULL;
    struct options other_options = options;
    struct report other_report = report;
    other_options.job.store = place("other");
    other_options.job.restore = WEIR_RESTORE_PATH;
    other_options.job.restore_path = place("sp");
    other_report.options = &other_options;
    other_report.name = "other";
    cr_assert_eq(weir_job_start(flow.graph, &other_options.job, &other, &error), WEIR_OK, "%s",
                 error.text);
    cr_assert_eq(control_start(&other_control, other, &other_report, &to_carry_out, &error),
                 WEIR_OK, "%s", error.text);
    cr_expect_str_eq(store_of(place("other"))->id, first.id);
    cr_expect_str_neq(store_of(place("other"))->name, first.name);
    json_t *answer = ask(STATUS);
    cr_expect_str_eq(text(answer, "program"), "program");
    json_decref(answer);
    cr_assert_eq(control_socket_find(store_of(place("other"))->name, place("other"), path, &error),
                 WEIR_OK);
    answer = ask(STATUS);
    cr_expect_str_eq(text(answer, "program"), "other");
    json_decref(answer);
    control_stop(&other_control);
    weir_job_close(&other);
    cr_assert_eq(find(), WEIR_OK);
    answers();
}

/* Once somebody waits, another program's socket takes the place of this one's. */
static void *replaces(void *self)
{
    char away[sizeof path + 8];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int *other = self;
    snprintf(away, sizeof away, "%s.o", path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", away);
    *other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    until_a_round_is_open();
    cr_assert_eq(bind(*other, (const struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(*other, 16), 0);
    cr_assert_eq(rename(away, path), 0);
    return NULL;
}

/* A program that was started again can't know what the one before it was asked. */
Test(control, who_waits_for_a_program_that_was_replaced_is_told_so)
{
    pthread_t thread;
    char *answer = NULL;
    int other = -1;
    start();
    stick();
    cr_assert_eq(pthread_create(&thread, NULL, replaces, &other), 0);
    cr_expect_eq(endpoint_ask(path, CHECKPOINT, FLOW_DEADLINE, &answer, &error), WEIR_STOPPED);
    cr_expect_null(answer);
    pthread_join(thread, NULL);
    close(other);
}

Test(control, what_a_killed_program_has_left_is_replaced)
{
    start();
    char left[sizeof path];
    memcpy(left, path, sizeof left);
    control_stop(&control);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", left);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* as a kill would */
    cr_assert(scratch_exists(left));
    cr_expect_eq(find(), WEIR_NOT_FOUND, "nobody is behind it");
    cr_assert_eq(control_start(&control, flow.job, &report, &to_carry_out, &error), WEIR_OK, "%s",
                 error.text);
    cr_assert_eq(find(), WEIR_OK);
    answers();
}

/* In place of libc's, for a program that is killed just before. */
static bool dies_at_rename;
int rename(const char *from, const char *to)
{
    if (dies_at_rename)
        _exit(9);
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

Test(control, what_one_has_left_that_was_killed_before_its_socket_had_a_name_goes_away)
{
    struct control_socket sock;
    int status;
    const char *folder = scratch_join(scratch.path, "weir");
    pid_t child = fork();
    if (child == 0) {
        dies_at_rename = true;
        _exit(control_socket_open("0123456789abcdef-1", &sock, &error) == WEIR_OK);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(WEXITSTATUS(status), 9, "it has not died where it should");
    cr_assert_eq(entries(folder), 3, "it has left nothing");
    cr_assert_eq(control_socket_open("0123456789abcdef-1", &sock, &error), WEIR_OK, "%s",
                 error.text);
    cr_expect_eq(entries(folder), 3, "., .. and a socket");
    cr_expect(control_socket_answers(sock.path));
    control_socket_remove(&sock);
    close(sock.fd);
    cr_expect_eq(entries(folder), 2);
}

Test(control, a_socket_that_is_somebody_elses_by_now_is_left_alone)
{
    start();
    char away[sizeof path + 8];
    snprintf(away, sizeof away, "%s.other", path);
    scratch_write(away, "", 0);
    cr_assert_eq(rename(away, path), 0); /* the next run took the place */
    control_stop(&control);
    cr_expect(scratch_exists(path));
}

/* CZMQ would end the process. */
Test(control, a_process_that_lacks_descriptors_is_told_so)
{
    struct rlimit few = {.rlim_max = 4096};
    flow_start(&flow);
    few.rlim_cur = entries("/proc/self/fd") + 4;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    cr_expect_eq(start_refused(), WEIR_IO);
    cr_expect_eq(error.os_error, EMFILE, "%s", error.text);
    cr_expect(strstr(error.text, "control"), "%s", error.text);
    few.rlim_cur = 1024;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    cr_expect_eq(control_start(&control, flow.job, &report, &to_carry_out, &error), WEIR_OK, "%s",
                 error.text);
}

Test(control, without_a_store_there_is_none)
{
    flow_start(&flow);
    options.job.store = NULL;
    cr_expect_eq(start_refused(), WEIR_INVALID);
    cr_expect(strstr(error.text, "--store"), "%s", error.text);
}

Test(control, a_session_folder_that_is_gone_or_too_long_is_not_used)
{
    char long_path[160], name[64];
    memset(long_path, 0, sizeof long_path);
    snprintf(long_path, sizeof long_path, "%s/", scratch.path);
    memset(long_path + strlen(long_path), 'x', 90);
    cr_assert_eq(mkdir(long_path, 0700), 0);
    snprintf(name, sizeof name, "/tmp/weir-%u/", (unsigned)geteuid());
    for (int i = 0; i < 3; i++) {
        static const char *const gone[] = {"/nowhere/at/all", "relative"};
        setenv("XDG_RUNTIME_DIR", i < 2 ? gone[i] : long_path, 1);
        start();
        cr_expect_eq(strncmp(path, name, strlen(name)), 0, "%s", path);
        answers();
        /* Who asks from a session looks there too. */
        setenv("XDG_RUNTIME_DIR", scratch.path, 1);
        cr_expect_eq(find(), WEIR_OK);
        control_stop(&control);
        cr_expect_not(scratch_exists(path));
        flow_close(&flow);
    }
}

/* ------------------------------------------------------------------------ the process -- */

static struct surroundings surroundings;

Test(control, the_process_is_left_as_it_was)
{
    surroundings_look(&surroundings);
    control_prepare();
    surroundings_same(&surroundings);
    for (int i = 0; i < 3; i++) {
        start();
        surroundings_same(&surroundings);
        cr_expect_eq(asked(), 0);
        control_stop(&control);
        flow_close(&flow);
        surroundings_same(&surroundings);
    }
}

static pthread_t hammered;
static atomic_bool hammering;

static void on_signal(int signal)
{
    (void)signal;
}

static void *hammer(void *argument)
{
    while (atomic_load(&hammering)) {
        pthread_kill(hammered, SIGUSR1);
        sched_yield();
    }
    return argument;
}

Test(control, signals_while_it_starts_and_stops_do_no_harm)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    pthread_t thread;
    flow_start(&flow);
    control_prepare();
    sigaction(SIGUSR1, &action, NULL);
    hammered = pthread_self();
    atomic_store(&hammering, true);
    cr_assert_eq(pthread_create(&thread, NULL, hammer, NULL), 0);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(control_start(&control, flow.job, &report, &to_carry_out, &error), WEIR_OK,
                     "%s", error.text);
        control_stop(&control);
    }
    atomic_store(&hammering, false);
    pthread_join(thread, NULL);
}

Test(control, started_and_stopped_again_and_again_it_keeps_nothing)
{
    start();
    answers();
    control_stop(&control);
    unsigned descriptors = 0, threads = 0;
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(control_start(&control, flow.job, &report, &to_carry_out, &error), WEIR_OK);
        close(connect_plainly());
        control_stop(&control);
        if (i == 10) {
            descriptors = entries("/proc/self/fd");
            threads = entries("/proc/self/task");
        }
    }
    settles("/proc/self/fd", descriptors);
    settles("/proc/self/task", threads);
}
