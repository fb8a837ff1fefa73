/* links: sim */
/* SPDX-License-Identifier: Apache-2.0
 *
 * What operators are told of rounds, over the simulated doors: of each abort once, of each commit
 * once and only when it is one; what was prepared for an aborted round with the next. And what
 * hangs upon it: a source may tell the outside to forget what a commit has covered, and no sooner.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exercised.h"
#include "explore.h"
#include "job.h"
#include "plant.h"
#include "sim.h"
#include "weir.h"

#define MS INT64_C(1000000)
#define PATIENCE_NS (60000 * MS) /* of virtual time */
#define INSTANCES 8
#define IDS 400
#define HANDLES (INSTANCES * IDS)
#define RECORDS 300

/* What each instance was told; the same process all the time. */
static struct {
    struct weir_job *job;
    uint64_t told, claimed;         /* newest checkpoint committed; newest round begun */
    uint8_t given_up[IDS];          /* rounds that came to nothing */
    uint64_t handle_count;          /* number of the next handle */
    uint64_t prepared_for[HANDLES]; /* of each handle: the round, */
    uint8_t committed[HANDLES];     /* and how often it was published */
    uint64_t last[INSTANCES];       /* of each instance: the handle published last */
    uint8_t aborted[INSTANCES][IDS];
    uint32_t instances;
    uint64_t dice;
    uint32_t troubles; /* left */
    bool inside;
    char wrong[300];
} told;

static void wrong(const char *format, ...) WEIR_PRINTF(1, 2);
static void wrong(const char *format, ...)
{
    va_list arguments;
    if (told.wrong[0])
        return;
    va_start(arguments, format);
    vsnprintf(told.wrong, sizeof told.wrong, format, arguments);
    va_end(arguments);
}

/* ---- operators that note what they are told ---- */

struct noting {
    uint32_t instance;
    uint64_t next; /* of a source */
};

static enum weir_result note_open(void *self, struct weir_context *context, const void *config)
{
    struct noting *noting = self;
    (void)config;
    noting->instance = told.instances++;
    noting->next = weir_subtask(context);
    return WEIR_OK;
}

static enum weir_progress note_poll(void *self, struct weir_context *context)
{
    struct noting *noting = self;
    struct weir_record record = {{&noting->next, 8}, {&noting->next, 8}, WEIR_NO_TIME};
    if (noting->next >= RECORDS)
        return WEIR_END;
    (void)!weir_emit(context, 0, &record);
    noting->next += weir_parallelism(context);
    return WEIR_MORE;
}

static enum weir_result note_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    (void)self;
    (void)input;
    return weir_emit(context, 0, record);
}

static enum weir_result note_prepare(void *self, struct weir_context *context, uint64_t id)
{
    uint64_t handle = told.handle_count++;
    (void)self;
    cr_assert(handle < HANDLES && id < IDS);
    told.prepared_for[handle] = id;
    if (id > told.claimed)
        wrong("%" PRIu64 " is prepared, and %" PRIu64 " was begun last", id, told.claimed);
    return weir_handle(context, (struct weir_bytes){&handle, sizeof handle});
}

static enum weir_result note_commit(void *self, struct weir_context *context,
                                    struct weir_bytes bytes)
{
    uint64_t handle, *last = &told.last[((struct noting *)self)->instance];
    (void)context;
    memcpy(&handle, bytes.data, sizeof handle);
    if (told.prepared_for[handle] > told.told)
        wrong("what was prepared for %" PRIu64 " is published, and %" PRIu64 " is the newest",
              told.prepared_for[handle], told.told);
    if (told.committed[handle]++)
        wrong("handle %" PRIu64 " is published again", handle);
    if (handle < *last)
        wrong("handle %" PRIu64 " is published after %" PRIu64, handle, *last);
    *last = handle;
    return WEIR_OK;
}

static void note_aborted(void *self, struct weir_context *context, uint64_t id)
{
    uint32_t instance = ((struct noting *)self)->instance;
    (void)context;
    if (!told.given_up[id] || told.aborted[instance][id]++)
        wrong("instance %u is told of the abort of %" PRIu64 " %s", instance, id,
              told.given_up[id] ? "again" : "that is none");
}

static const struct weir_operator noting_source = {WEIR_SIZED(struct weir_operator),
                                                   .kind = "source",
                                                   .self_size = sizeof(struct noting),
                                                   .open = note_open,
                                                   .poll = note_poll,
                                                   .prepare = note_prepare,
                                                   .commit = note_commit,
                                                   .aborted = note_aborted};
static const struct weir_operator noting_node = {WEIR_SIZED(struct weir_operator),
                                                 .kind = "node",
                                                 .self_size = sizeof(struct noting),
                                                 .open = note_open,
                                                 .process = note_process,
                                                 .prepare = note_prepare,
                                                 .commit = note_commit,
                                                 .aborted = note_aborted};

/* ---- the job ---- */

static weir_node add(struct weir_graph *graph, const char *name, const struct weir_operator *table,
                     uint32_t parallelism)
{
    struct weir_node_options options = {WEIR_SIZED(struct weir_node_options), .name = name,
                                        .table = table, .parallelism = parallelism};
    return weir_graph_add(graph, &options);
}

static void note_event(void *context, const struct weir_event *event)
{
    (void)context;
    if (event->kind == WEIR_EVENT_COMMITTED)
        told.told = event->id;
    if (event->kind == WEIR_EVENT_ABORTED)
        told.given_up[event->id] = 1;
}

/* Now and then a round is refused, and a file call fails; not any more when a task has ended: the
 * last round is not tried again at once. */
static void meddle(void *context, const struct message *message)
{
    (void)context;
    if (message->kind == MESSAGE_CLAIM)
        told.claimed = message->id;
    if (message->kind == MESSAGE_ENDED)
        told.troubles = 0;
    if (told.inside || told.claimed == 0 || told.troubles == 0 || explore_below(&told.dice, 40) > 0)
        return;
    told.troubles--;
    told.inside = true;
    struct message refusal = {
        .kind = MESSAGE_REFUSED, .epoch = told.job->run.epoch, .id = told.claimed};
    if (explore_below(&told.dice, 2) == 0)
        cr_assert(pipe_send(told.job->requests, &refusal));
    else
        sim_disk_fail_of("write", 1, EIO, 0);
    told.inside = false;
}

static void wait_for_end(void)
{
    struct weir_error error = {0};
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    int64_t began_ns = sim_now_ns();
    while (weir_job_wait(told.job, MS, &outcome, &error) == WEIR_TIMEOUT &&
           sim_now_ns() - began_ns < PATIENCE_NS)
        ;
    cr_assert_eq(outcome, WEIR_OUTCOME_ENDED, "outcome %d: %s", (int)outcome, error.text);
}

static void live(uint64_t seed, uint32_t *aborts, uint32_t *commits)
{
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options),
                                       .store = "/store",
                                       .batch_bytes = 1024,
                                       .window_batches = 1,
                                       .interval_ns = MS / 4,
                                       .mode = (enum weir_mode)(seed % 3),
                                       .alignment_max_ns = MS / 20,
                                       .tolerated = UINT32_MAX,
                                       .event = note_event};
    struct weir_error error = {0};
    memset(&told, 0, sizeof told);
    told.dice = seed;
    told.troubles = 12;
    sim_disk_wipe();
    sim_start(seed);
    sim_step_cost(4000);
    sim_slow_actors(seed % 2 ? 100000 : 0);
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node source = add(graph, "source", &noting_source, 2);
    weir_node middle = add(graph, "middle", &noting_node, 3);
    weir_node last = add(graph, "last", &noting_node, 1),
              side = add(graph, "side", &noting_node, 2);
    weir_connect(graph, source, middle, WEIR_SPREAD);
    weir_connect(graph, middle, last, WEIR_SPREAD);
    weir_connect(graph, source, side, WEIR_FORWARD);
    sim_message_hook(meddle, NULL);
    cr_assert_eq(weir_job_start(graph, &options, &told.job, &error), WEIR_OK, "%s", error.text);
    wait_for_end();
    weir_job_close(&told.job);
    weir_graph_free(&graph);
    cr_assert_eq(sim_end(), 0);
    cr_assert_eq(told.instances, INSTANCES);
    for (uint32_t id = 0; id < IDS; id++)
        *aborts += told.given_up[id];
    *commits += (uint32_t)told.handle_count;
}

/* Every instance was told of every abort; what was prepared is published, whatever became of its
 * round. The last rounds may be over before all have heard of them. */
static void look_back(uint64_t seed)
{
    for (uint64_t id = 1; id < told.told; id++)
        for (uint32_t i = 0; i < INSTANCES && told.given_up[id]; i++)
            if (told.aborted[i][id] != 1)
                wrong("instance %u was not told of the abort of %" PRIu64, i, id);
    for (uint64_t handle = 0; handle < told.handle_count; handle++)
        if (told.prepared_for[handle] <= told.told && !told.committed[handle])
            wrong("what was prepared for %" PRIu64 " was never published",
                  told.prepared_for[handle]);
    cr_assert_eq(told.wrong[0], '\0', "seed %d: %s", (int)seed, told.wrong);
}

/* S13, S15 */
Test(sim_notices, of_each_abort_and_each_commit_every_operator_is_told_once)
{
    uint32_t aborts = 0, commits = 0;
    for (uint64_t seed = 1; seed <= 90; seed++) {
        live(seed, &aborts, &commits);
        look_back(seed);
    }
    exercised(aborts + commits);
    cr_assert(aborts > 200 && commits > 1000, "%u aborts, %u commits", aborts, commits);
}

/* ---- a source whose outside forgets ---- */

/* Everything from `forgotten` on is given again; what lies before is gone for good. */
static struct {
    uint64_t forgotten;
    uint8_t published[RECORDS];
    uint64_t staged[RECORDS];        /* by number of the handle: how much, */
    uint64_t list[RECORDS][RECORDS]; /* and what */
    uint8_t done[RECORDS];
    uint64_t handles;
    bool ended, lost;
} outside;

struct queue_source {
    uint64_t next;
};

static enum weir_progress queue_poll(void *self, struct weir_context *context)
{
    struct queue_source *source = self;
    struct weir_record record = {{&source->next, 8}, {&source->next, 8}, WEIR_NO_TIME};
    outside.lost |= source->next < outside.forgotten;
    if (source->next == RECORDS)
        return WEIR_END;
    (void)!weir_emit(context, 0, &record);
    source->next++;
    return WEIR_MORE;
}

static enum weir_result queue_prepare(void *self, struct weir_context *context, uint64_t id)
{
    (void)id;
    return weir_handle(context, (struct weir_bytes){self, 8});
}

static enum weir_result queue_commit(void *self, struct weir_context *context,
                                     struct weir_bytes handle)
{
    uint64_t until;
    (void)self;
    if (sim_killed())
        return weir_fail(context, WEIR_IO, "killed");
    memcpy(&until, handle.data, sizeof until);
    if (until > outside.forgotten)
        outside.forgotten = until;
    return WEIR_OK;
}

static enum weir_result queue_save(void *self, struct weir_context *context,
                                   struct weir_saver *saver)
{
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){self, 8});
    return WEIR_OK;
}

static enum weir_result queue_load(void *self, struct weir_context *context,
                                   struct weir_loader *loader, uint32_t version)
{
    enum weir_item kind;
    struct weir_bytes item;
    (void)context;
    (void)version;
    if (weir_load_next(loader, &kind, &item))
        memcpy(self, item.data, 8);
    return WEIR_OK;
}

static const struct weir_operator queue_table = {WEIR_SIZED(struct weir_operator),
                                                 .kind = "queue",
                                                 .self_size = sizeof(struct queue_source),
                                                 .poll = queue_poll,
                                                 .save = queue_save,
                                                 .load = queue_load,
                                                 .prepare = queue_prepare,
                                                 .commit = queue_commit};

/* Counts what it publishes, in two phases. */
struct counting {
    uint64_t count, list[RECORDS];
};

static enum weir_result counting_process(void *self, struct weir_context *context, unsigned input,
                                         const struct weir_record *record)
{
    struct counting *counting = self;
    (void)context;
    (void)input;
    memcpy(&counting->list[counting->count++], record->value.data, 8);
    return WEIR_OK;
}

static enum weir_result counting_prepare(void *self, struct weir_context *context, uint64_t id)
{
    struct counting *counting = self;
    uint64_t handle = outside.handles;
    (void)id;
    if (counting->count == 0)
        return WEIR_OK;
    cr_assert_lt(handle, RECORDS);
    outside.handles++;
    outside.staged[handle] = counting->count;
    memcpy(outside.list[handle], counting->list, sizeof counting->list);
    counting->count = 0;
    return weir_handle(context, (struct weir_bytes){&handle, sizeof handle});
}

static enum weir_result counting_commit(void *self, struct weir_context *context,
                                        struct weir_bytes bytes)
{
    uint64_t handle;
    (void)self;
    if (sim_killed())
        return weir_fail(context, WEIR_IO, "killed");
    memcpy(&handle, bytes.data, sizeof handle);
    for (uint64_t i = 0; !outside.done[handle] && i < outside.staged[handle]; i++)
        outside.published[outside.list[handle][i]]++;
    outside.done[handle] = true;
    return WEIR_OK;
}

static const struct weir_operator counting_table = {
    WEIR_SIZED(struct weir_operator),     .kind = "counting",
    .self_size = sizeof(struct counting), .process = counting_process,
    .prepare = counting_prepare,          .commit = counting_commit};

/* One run, that dies before its k-th step (0: never). False: it had ended before. */
static bool run_until(uint64_t k, uint64_t seed)
{
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options),
                                       .store = "/store",
                                       .batch_bytes = 1024,
                                       .window_batches = 2,
                                       .interval_ns = MS / 8,
                                       .mode = (enum weir_mode)(seed % 3)};
    struct weir_error error = {0};
    struct weir_job *job = NULL;
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    sim_start(seed);
    sim_step_cost(4000);
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node source = add(graph, "queue", &queue_table, 1);
    weir_connect(graph, source, add(graph, "counting", &counting_table, 1), WEIR_SPREAD);
    sim_kill_at_step(k);
    if (weir_job_start(graph, &options, &job, &error) == WEIR_OK)
        while (!sim_killed() && weir_job_wait(job, MS, &outcome, &error) == WEIR_TIMEOUT)
            ;
    outside.ended |= outcome == WEIR_OUTCOME_ENDED || outcome == WEIR_OUTCOME_ALREADY_ENDED;
    bool died = sim_killed();
    if (died) {
        sim_network_control(NULL);
        sim_threads_forget();
        sim_memory_forget();
        sim_disk_release();
    } else {
        weir_job_close(&job);
        weir_graph_free(&graph);
    }
    cr_assert_eq(sim_end(), 0);
    if (died)
        sim_disk_crash(seed); /* the power is gone as well */
    sim_disk_start();
    return died;
}

/* Killed before step k, and then run to its end; NULL, or what is wrong. */
static const char *die_at(uint64_t k, uint64_t seed, bool *died)
{
    memset(&outside, 0, sizeof outside);
    sim_disk_wipe();
    *died = run_until(k, seed);
    if (*died)
        run_until(0, seed + 1);
    if (outside.lost)
        return "what no checkpoint has covered was forgotten outside";
    for (uint64_t n = 0; n < RECORDS && outside.ended; n++)
        if (outside.published[n] != 1)
            return "a number was not published once";
    return outside.ended ? NULL : "it did not end";
}

/* At every tenth step, until it has ended before; what is wrong first. */
static const char *die_everywhere(uint64_t seed, uint64_t *deaths)
{
    const char *says = NULL;
    bool died = true;
    for (uint64_t k = 3 * seed; died && !says; k += 10) {
        says = die_at(k, seed, &died);
        *deaths += died;
    }
    return says;
}

/* S44 */
Test(sim_notices, a_source_that_acknowledges_at_commit_loses_nothing_wherever_it_dies)
{
    uint64_t deaths = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        const char *says = die_everywhere(seed, &deaths);
        cr_assert_null(says, "after %d deaths: %s", (int)deaths, says);
    }
    printf("figure: a source that acknowledges killed at %" PRIu64 " steps: nothing lost\n",
           deaths);
    exercised(deaths);
    cr_assert_gt(deaths, 100);
}

Test(sim_notices, a_commit_that_is_told_too_early_would_lose_something)
{
    const char *says = NULL;
    uint64_t deaths = 0;
    sim_planted = "told_before_commit";
    for (uint64_t seed = 1; seed <= 3 && !says; seed++)
        says = die_everywhere(seed, &deaths);
    sim_planted = NULL;
    cr_assert_not_null(says);
}
