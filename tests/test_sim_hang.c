/* links: sim */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Something hangs in a job, in virtual time: an operator in each of its callbacks, a sink in its
 * commit, the disk in a sync. It is told in time, with its name; who only waits is not. The job
 * goes on when it is over, and its output is exact.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "sim.h"
#include "weir.h"

#define SECOND INT64_C(1000000000)
#define AFTER (2 * SECOND)
#define LASTS (100 * SECOND)
#define RECORDS 300
#define TOLD 32

/* One life; the same process all the time. */
static struct {
    const char *node, *call; /* where it stalls; "": nowhere */
    uint64_t at;             /* at the at-th such call, */
    uint64_t every;          /* and when this is not 0, at so many in all, one after the other */
    int64_t lasts_ns;
    int64_t idle_ns;    /* the source gives nothing for so long, once */
    const char *disk;   /* the call of the disk that stalls once */
    uint64_t sleeps_at; /* the step before which the machine does; 0: it does not */
    uint64_t calls;
    uint64_t got, next;
    uint64_t staged, published;
    struct weir_job *job;
    struct weir_event hung[TOLD], returned;
    char text[TOLD][300], named[TOLD][72], back[300], reason[600];
    uint32_t hung_count, returned_count, started_at, aborted;
    uint32_t status_hung;
    bool armed, rested;
    bool unasked; /* there are no rounds but the last */
} life;

static void maybe_stall(struct weir_context *context, const char *call)
{
    if (strcmp(life.call, call) != 0 || strcmp(weir_node_name(context), life.node) != 0)
        return;
    life.calls++;
    if (life.calls >= life.at && life.calls <= life.at + life.every)
        sim_stall_here(life.lasts_ns);
}

/* ---- operators ---- */

struct self {
    uint64_t unused;
};

static enum weir_result on_open(void *self, struct weir_context *context, const void *config)
{
    (void)self, (void)config;
    maybe_stall(context, "open");
    return WEIR_OK;
}

static enum weir_progress on_poll(void *self, struct weir_context *context)
{
    struct weir_record record = {{&life.next, 8}, {&life.next, 8}, WEIR_NO_TIME};
    (void)self;
    maybe_stall(context, "poll");
    if (life.next == RECORDS && !life.rested && (life.call[0] != '\0' || life.disk != NULL)) {
        life.rested = true; /* so that there are looks behind whatever hangs */
        weir_idle(context, sim_now_ns() + 3 * LASTS, -1);
        return WEIR_IDLE;
    }
    if (life.next == RECORDS)
        return WEIR_END;
    if (life.next == RECORDS / 2 && life.idle_ns > 0) {
        weir_idle(context, sim_now_ns() + life.idle_ns, -1);
        life.idle_ns = 0;
        return WEIR_IDLE;
    }
    (void)!weir_emit(context, 0, &record);
    life.next++;
    return WEIR_MORE;
}

static enum weir_result on_record(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    (void)self, (void)input;
    maybe_stall(context, "process");
    return weir_emit(context, 0, record);
}

static enum weir_result on_output(void *self, struct weir_context *context, unsigned input,
                                  const struct weir_record *record)
{
    (void)self, (void)input, (void)context, (void)record;
    life.staged++;
    return WEIR_OK;
}

static enum weir_result on_prepare(void *self, struct weir_context *context, uint64_t id)
{
    (void)self, (void)id;
    maybe_stall(context, "prepare");
    uint64_t staged = life.staged;
    life.staged = 0;
    return weir_handle(context, (struct weir_bytes){&staged, sizeof staged});
}

static enum weir_result on_commit(void *self, struct weir_context *context, struct weir_bytes bytes)
{
    uint64_t staged;
    (void)self;
    maybe_stall(context, "commit");
    memcpy(&staged, bytes.data, sizeof staged);
    life.published += staged;
    return WEIR_OK;
}

static enum weir_result on_save(void *self, struct weir_context *context, struct weir_saver *saver)
{
    (void)self, (void)saver;
    maybe_stall(context, "save");
    return WEIR_OK;
}

static enum weir_result on_load(void *self, struct weir_context *context,
                                struct weir_loader *loader, uint32_t version)
{
    (void)self, (void)context, (void)loader, (void)version;
    return WEIR_OK;
}

static const struct weir_operator source = {WEIR_SIZED(struct weir_operator), .kind = "source",
                                            .self_size = sizeof(struct self), .open = on_open,
                                            .poll = on_poll};
static const struct weir_operator worker = {WEIR_SIZED(struct weir_operator),
                                            .kind = "worker",
                                            .self_size = sizeof(struct self),
                                            .open = on_open,
                                            .process = on_record,
                                            .save = on_save,
                                            .load = on_load};
static const struct weir_operator sink = {WEIR_SIZED(struct weir_operator),
                                          .kind = "sink",
                                          .self_size = sizeof(struct self),
                                          .open = on_open,
                                          .process = on_output,
                                          .prepare = on_prepare,
                                          .commit = on_commit};

/* ---- the job ---- */

static void on_event(void *context, const struct weir_event *event)
{
    (void)context;
    if (event->kind == WEIR_EVENT_STARTED)
        life.started_at = life.hung_count;
    if (event->kind == WEIR_EVENT_ABORTED) {
        life.aborted++;
        snprintf(life.reason, sizeof life.reason, "%s", event->text);
    }
    if (event->kind == WEIR_EVENT_HUNG) {
        cr_assert_lt(life.hung_count, (uint32_t)TOLD);
        snprintf(life.text[life.hung_count], sizeof life.text[0], "%s", event->text);
        snprintf(life.named[life.hung_count], sizeof life.named[0], "%s", event->node);
        life.hung[life.hung_count++] = *event;
    }
    if (event->kind == WEIR_EVENT_RETURNED) {
        snprintf(life.back, sizeof life.back, "%s", event->text);
        life.returned = *event;
        life.returned_count++;
    }
}

static void on_disk(void *context, uint64_t call, const char *name, const char *path)
{
    (void)context, (void)call, (void)path;
    if (life.disk == NULL || strcmp(name, life.disk) != 0 || !life.armed)
        return;
    life.armed = false;
    sim_stall_here(life.lasts_ns);
}

/* When the first round has begun, files are the writer's. */
static void on_message(void *context, const struct message *message)
{
    (void)context;
    if (message->kind == MESSAGE_ANNOUNCE && life.disk != NULL && !life.armed &&
        life.hung_count == 0)
        life.armed = true;
}

static weir_node add(struct weir_graph *graph, const char *name, const struct weir_operator *table)
{
    return weir_graph_add(graph, &(struct weir_node_options){WEIR_SIZED(struct weir_node_options),
                                                             .name = name, .table = table});
}

static void live(uint64_t seed, int64_t hang_after_ns)
{
    struct weir_error error = {0};
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options),
                                       .store = "/store",
                                       .interval_ns = life.unasked ? -1 : SECOND,
                                       .timeout_ns = 5 * SECOND,
                                       .mode = WEIR_UNALIGNED,
                                       .batch_bytes = 1024,
                                       .window_batches = 1,
                                       .hang_after_ns = hang_after_ns,
                                       .event = on_event};
    sim_disk_wipe();
    sim_start(seed);
    sim_step_cost(SECOND / 1000);
    sim_message_hook(on_message, NULL);
    sim_disk_hook(on_disk, NULL);
    sim_pause_at_step(life.sleeps_at, true, 1000 * SECOND);
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node first = add(graph, "first", &source), second = add(graph, "second", &worker);
    weir_node third = add(graph, "third", &worker), last = add(graph, "last", &sink);
    weir_connect(graph, first, second, WEIR_SPREAD);
    weir_connect(graph, second, third, WEIR_FORWARD); /* one task */
    weir_connect(graph, third, last, WEIR_SPREAD);
    cr_assert_eq(weir_job_start(graph, &options, &life.job, &error), WEIR_OK, "%s", error.text);
    int64_t until_ns = sim_now_ns() + 10000 * SECOND;
    while (weir_job_wait(life.job, SECOND, &outcome, &error) == WEIR_TIMEOUT &&
           sim_now_ns() < until_ns)
        ;
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    weir_job_status(life.job, &status);
    life.status_hung = status.hung;
    cr_assert_eq(outcome, WEIR_OUTCOME_ENDED, "outcome %d: %s", (int)outcome, error.text);
    weir_job_close(&life.job);
    weir_graph_free(&graph);
    sim_disk_hook(NULL, NULL);
    sim_message_hook(NULL, NULL);
    cr_assert_eq(sim_end(), 0u);
    cr_expect_eq(life.published, (uint64_t)RECORDS, "the output is exact");
    cr_expect_eq(life.status_hung, 0u);
}

static void begin(const char *node, const char *call, uint64_t at)
{
    memset(&life, 0, sizeof life);
    life.node = node;
    life.call = call;
    life.at = at;
    life.lasts_ns = LASTS;
}

/* Told first when it has lasted for AFTER and not much longer, then as often as that doubles. */
static void told_in_time(void)
{
    cr_assert_eq(life.hung_count, 6u, "told %u times", life.hung_count); /* 2 4 8 16 32 64 s */
    for (uint32_t i = 0; i < life.hung_count; i++) {
        int64_t due_ns = AFTER << i;
        cr_expect_geq(life.hung[i].duration_ns, due_ns);
        cr_expect_leq(life.hung[i].duration_ns, due_ns + due_ns / 2, "%s", life.text[i]);
    }
    cr_assert_eq(life.returned_count, 1u);
    cr_expect_geq(life.returned.duration_ns, LASTS);
    cr_expect_not_null(strstr(life.back, "it goes on, after "), "%s", life.back);
}

/* ---- what hangs ---- */

static void hangs_in(const char *node, const char *call, uint64_t at)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        begin(node, call, at);
        live(seed, AFTER);
        told_in_time();
        cr_expect_str_eq(life.named[0], node);
        cr_expect_str_eq(life.hung[0].doing, call);
        cr_expect_eq(life.hung[0].subtask, 0u);
        cr_expect_neq(life.hung[0].thread, 0);
        char where[80];
        snprintf(where, sizeof where, "in %s of %s for 2", call, node);
        cr_expect_not_null(strstr(life.text[0], where), "%s", life.text[0]);
    }
}

Test(sim_hang, an_operator_that_does_not_return_is_named_whatever_it_is_called_for)
{
    hangs_in("second", "process", 100);
    cr_expect_not_null(strstr(life.text[0], ", behind record "), "%s", life.text[0]);
    cr_expect_gt(life.aborted, 0u, "and its rounds time out");
    cr_expect_not_null(strstr(life.reason, "in process of second"), "%s", life.reason);
    hangs_in("third", "process", 100); /* called directly by the second */
    hangs_in("first", "poll", 100);
    hangs_in("second", "save", 1);
    hangs_in("last", "prepare", 1);
    hangs_in("last", "commit", 1);
}

Test(sim_hang, one_that_does_not_open_is_told_before_the_start)
{
    hangs_in("second", "open", 1);
    cr_expect_eq(life.started_at, life.hung_count);
}

Test(sim_hang, a_disk_that_does_not_answer_is_told_with_the_checkpoint)
{
    static const struct {
        const char *call, *doing;
    } cases[] = {{"sync", "syncing"}, {"write", "writing"}, {"rename_new", "committing"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin("", "", 0);
        life.disk = cases[i].call;
        life.idle_ns = 3 * SECOND; /* so that there is more than the last round */
        live(i + 1, AFTER);
        told_in_time();
        cr_expect_str_eq(life.named[0], "");
        cr_expect_neq(life.hung[0].id, 0u);
        cr_expect_not_null(strstr(life.text[0], "the writer: "), "%s", life.text[0]);
        cr_expect_str_eq(life.hung[0].doing, cases[i].doing);
    }
}

/* ---- what does not ---- */

/* (For credit waits the source above, while the second hangs.) */
Test(sim_hang, who_waits_for_input_is_not_told_of)
{
    begin("", "", 0);
    life.idle_ns = 1000 * SECOND;
    live(1, AFTER);
    cr_expect_eq(life.hung_count, 0u);
}

Test(sim_hang, many_slow_records_are_progress_though_they_come_in_one_batch)
{
    begin("second", "process", 10);
    life.every = 40;
    life.lasts_ns = AFTER * 19 / 20;
    life.unasked = true; /* a round would end its batch as well */
    live(1, AFTER);
    cr_expect_eq(life.hung_count, 0u, "%s", life.text[0]);
}

/* F34: whoever is at work when a machine sleeps is at work when it wakes. */
Test(sim_hang, a_machine_that_slept_finds_nobody_hanging)
{
    for (uint64_t step = 1; step < 400; step += 7) {
        begin("second", "process", 10); /* within a record, too, which takes its time */
        life.every = 20;
        life.lasts_ns = AFTER / 3;
        life.unasked = true;
        life.sleeps_at = step;
        live(step, AFTER);
        cr_expect_eq(life.hung_count, 0u, "step %d: %s", (int)step, life.text[0]);
    }
}

Test(sim_hang, nobody_is_watched_when_it_is_off)
{
    begin("second", "process", 100);
    live(1, -1);
    cr_expect_eq(life.hung_count, 0u);
    cr_expect_eq(life.returned_count, 0u);
}
