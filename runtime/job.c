/* SPDX-License-Identifier: Apache-2.0 */
#include "job.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "memory.h"
#include "poison.h"

#define RETRY_NS 1000000         /* pause before a request is sent again */
#define PATH_LIMIT 4000          /* bytes of a savepoint's */
#define STATE_MEMORY_LEAST 4096u /* bytes of a state in a subtask: one chunk of its log */
#define RECORDING_MAX (UINT64_C(64) << 20)

/* -------------------------------------------------------------------------- building -- */

/* Full queues, and no round is given up for what it finds in them. */
static uint64_t fitting_recording_max(const struct run *run)
{
    uint64_t windows = (uint64_t)run->plan.channel_count * run->window_bytes;
    return windows > RECORDING_MAX ? windows : RECORDING_MAX;
}

/* Logs of state the job has: one for each state and subtask. */
static uint64_t count_logs(const struct weir_job *job)
{
    const struct plan *plan = &job->run.plan;
    uint64_t logs = 0;
    for (uint32_t i = 0; i < job->graph->node_count; i++)
        logs += (uint64_t)plan->nodes[i].parallelism * job->graph->nodes[i].state_count;
    return logs;
}

static enum weir_result check_scratch(const struct weir_job *job, struct weir_error *error)
{
    const struct weir_job_options *options = &job->options;
    uint64_t logs = count_logs(job);
    if (options->scratch && !job->run.plan.loop_count && !options->state_memory)
        return error_set(error, WEIR_INVALID, 0,
                         "job option scratch: it is for what waits on feedback edges, and for "
                         "state larger than state_memory, and this job has neither: leave it out");
    if (!options->state_memory)
        return WEIR_OK;
    if (!options->scratch && !options->store)
        return error_set(error, WEIR_INVALID, 0,
                         "job option state_memory: there is no place for what is beyond it: name "
                         "a scratch folder, or a store");
    if (!logs)
        return error_set(error, WEIR_INVALID, 0,
                         "job option state_memory: no node has keyed state: leave it out");
    if (options->state_memory / STATE_MEMORY_LEAST < logs)
        return error_set(error, WEIR_INVALID, 0,
                         "job option state_memory: %llu bytes for %llu states, counted in each "
                         "subtask: what is open of one takes up to %u bytes, so say at least %llu",
                         (unsigned long long)options->state_memory, (unsigned long long)logs,
                         STATE_MEMORY_LEAST, (unsigned long long)logs * STATE_MEMORY_LEAST);
    return WEIR_OK;
}

/* Where a branch ends its operator is left out; one in the middle can't be. */
static enum weir_result check_publishers(const struct weir_job *job, struct weir_error *error)
{
    for (uint32_t i = 0; job->options.no_publish && i < job->graph->node_count; i++) {
        const struct graph_node *node = &job->graph->nodes[i];
        if (node->table->commit && node->table->poll)
            return error_set(error, WEIR_INVALID, 0,
                             "node %s is a source that confirms what it has read, with what is "
                             "published: without that it can't be given again",
                             node->name);
        if (node->table->commit && graph_leads_on(job->graph, i))
            return error_set(error, WEIR_INVALID, 0,
                             "node %s publishes, and others go on from it: it can't be left out, "
                             "so there is no such job without publishing",
                             node->name);
    }
    return WEIR_OK;
}

/* Before tasks are made, for they make the states. */
static enum weir_result open_annex(struct weir_job *job, struct weir_error *error)
{
    if (!job->options.state_memory)
        return WEIR_OK;
    annex_init(&job->annex, job->run.scratch, job->run.epoch, job->options.state_memory);
    job->run.annex = &job->annex;
    return annex_try(&job->annex, error);
}

/* The mark by which a forked child knows itself. */
static enum weir_result make_mark(struct run *run, struct weir_error *error)
{
    size_t page = memory_page();
    _Atomic uint32_t *mark = memory_map(page);
    if (!mark)
        return error_memory(error, "the job's mark", page);
    memory_keep_from_children(mark, page);
    atomic_store(mark, 1);
    run->here = mark;
    return WEIR_OK;
}

static enum weir_result make_run(struct weir_job *job, struct weir_error *error)
{
    const struct weir_job_options *options = &job->options;
    struct run *run = &job->run;
    enum weir_result result = make_mark(run, error);
    if (!result)
        result = plan_make(job->graph, options->parallelism, &run->plan, error);
    if (result)
        return result;
    result = check_scratch(job, error);
    if (!result)
        result = check_publishers(job, error);
    if (result)
        return result;
    run->allocator = options->allocator;
    run->epoch = 1;
    run->key_groups = options->key_groups ? options->key_groups : 128;
    run->careful = options->careful;
    run->no_publish = options->no_publish;
    run->open_ended = options->until_records || options->until_time;
    run->until_records = options->until_records;
    run->until_time = options->until_time;
    run->batch_bytes = options->batch_bytes;
    run->window_batches = options->window_batches;
    run->window_bytes = options->window_bytes;
    run->network = strcmp(options->endpoint, "inproc") != 0;
    run->mode = options->mode;
    run->recording_max =
        options->recording_max ? options->recording_max : fitting_recording_max(run);
    run->memory_max = options->memory_max;
    run->timed = &job->timed;
    run->recorded = &job->recorded;
    run->held = &job->held;
    run->sealed = &job->sealed;
    run->log = options->log;
    run->log_context = options->log_context;
    run->event = options->event;
    run->event_context = options->event_context;
    if (options->polled)
        result = notices_new(options->allocator, &run->notices, error);
    if (result)
        return result;
    run->log_lock = monitor_new(options->allocator);
    job->view.monitor = monitor_new(options->allocator);
    uint32_t channels = run->plan.channel_count + 1;
    run->reader_slot = memory_zeroed(options->allocator, channels, sizeof *run->reader_slot);
    run->writer_slot = memory_zeroed(options->allocator, channels, sizeof *run->writer_slot);
    char *name = memory_text(options->allocator, options->name, strlen(options->name));
    run->job_name = name;
    if (!run->log_lock || !job->view.monitor || !run->reader_slot || !run->writer_slot || !name)
        return error_memory(error, "the job", channels * sizeof *run->reader_slot);
    return WEIR_OK;
}

static enum weir_result make_actors(struct weir_job *job, struct weir_error *error)
{
    const struct weir_allocator *allocator = job->run.allocator;
    uint32_t count = job->run.plan.task_count;
    job->tasks = memory_zeroed(allocator, count, sizeof *job->tasks);
    job->threads = memory_zeroed(allocator, count + 2, sizeof *job->threads);
    if (!job->tasks || !job->threads)
        return error_memory(error, "the tasks", count * sizeof *job->tasks);
    enum weir_result result = WEIR_OK;
    for (uint32_t i = 0; !result && i < count; i++) {
        job->task_count = i + 1;
        result = task_init(&job->tasks[i], &job->run, i, error);
    }
    bool rounds_wanted = job->store && !job->run.restored_final;
    struct round_options rounds = {
        .interval_ns = rounds_wanted ? job->options.interval_ns : 0,
        .min_pause_ns = job->options.min_pause_ns,
        .timeout_ns = job->options.timeout_ns,
        .tolerated = job->options.tolerated,
        .alignment_max_ns =
            job->options.mode == WEIR_ADAPTIVE ? job->options.alignment_max_ns : INT64_MAX,
        .at_once = job->options.rounds_at_once,
    };
    uint64_t next_id = job->store ? store_next_id(job->store) : 1;
    if (next_id <= job->run.restored_id) /* of another store */
        next_id = job->run.restored_id + 1;
    if (!result)
        result =
            coordinator_init(&job->coordinator, &job->run, &job->view, &rounds, next_id, error);
    job->coordinator.watch_after_ns = job->options.hang_after_ns;
    if (!result && job->store)
        result = writer_init(&job->writer, &job->run, job->store, &job->description,
                             job->options.retain, error);
    if (!result && job->store)
        writer_keep_full(&job->writer, job->options.full_every,
                         job->run.restored_id && manifest_is_full(&job->restored));
    return result;
}

static enum weir_result build(struct weir_job *job, struct weir_error *error)
{
    uint64_t run_number = 0;
    enum weir_result result = make_run(job, error);
    if (!result)
        result = poison_take(&job->run, &job->options, error);
    if (!result && job->options.store)
        result = job_open_store(job, error);
    if (!result && job->options.no_publish)
        result = job_open_replayed(job, error);
    if (!result)
        result = poison_check_folder(&job->run, error);
    if (!result)
        result = graph_describe(job->graph, job->options.parallelism, job->run.key_groups,
                                &job->description, error);
    if (!result)
        result = job_map(job, &job->description, error);
    if (!result)
        result = job_open_scratch(job, error);
    if (!result)
        result = open_annex(job, error);
    if (!result)
        result = make_actors(job, error);
    if (!result)
        result = job_read_parts(job, error);
    int status = clock_random(&run_number, sizeof run_number);
    if (!result && status < 0)
        result = error_os(error, -status, "no random numbers for a run's number");
    if (!result)
        result = job_wire(job, run_number, error);
    return result;
}

/* ---------------------------------------------------------------------------- letting go -- */

static enum weir_result launch_actor(struct weir_job *job, const char *name,
                                     struct step (*step)(void *self), void *self,
                                     struct inbox *inbox, struct weir_error *error)
{
    struct actor actor = {
        .step = step,
        .self = self,
        .inbox = inbox,
        .signal = job->options.open_signal,
        .here = job->run.here,
    };
    snprintf(actor.name, sizeof actor.name, "%s", name);
    enum weir_result result =
        thread_start(&actor, job->run.allocator, &job->threads[job->thread_count], error);
    job->thread_count += result == WEIR_OK;
    return result;
}

static enum weir_result launch(struct weir_job *job, struct weir_error *error)
{
    enum weir_result result = launch_actor(job, "coordinator", coordinator_step, &job->coordinator,
                                           job->coordinator.inbox, error);
    if (!result && job->store)
        result = launch_actor(job, "writer", writer_step, &job->writer, job->writer.inbox, error);
    for (uint32_t i = 0; !result && i < job->task_count; i++)
        result = launch_actor(job, job->tasks[i].name, task_step, &job->tasks[i],
                              job->tasks[i].inbox, error);
    return result;
}

/* Inside the monitor: that is the fence that lets any thread use the one pipe. */
static enum weir_result request(struct weir_job *job, enum request what, const char *path,
                                struct weir_error *error)
{
    struct message message = {
        .kind = MESSAGE_REQUEST, .epoch = job->run.epoch, .value = (uint64_t)what};
    if (job->view.outcome != WEIR_OUTCOME_RUNNING)
        return WEIR_OK;
    if (path) {
        size_t size = strlen(path);
        message.payload = batch_alone(job->run.allocator, size + 1);
        if (!message.payload)
            return error_memory(error, "a request to the job", size);
        memcpy(message.payload->data, path, size + 1);
        message.payload->size = size; /* the zero is behind it */
    }
    if (pipe_send(job->requests, &message))
        return WEIR_OK;
    batch_release(message.payload);
    return error_memory(error, "a request to the job", sizeof message);
}

static enum weir_result wait_for_start(struct weir_job *job, struct weir_error *error)
{
    struct view *view = &job->view;
    monitor_enter(view->monitor);
    while (!view->started && view->outcome == WEIR_OUTCOME_RUNNING)
        monitor_wait(view->monitor, INT64_MAX);
    enum weir_result result = view->started ? WEIR_OK : view->error.code;
    if (result && error)
        *error = view->error;
    monitor_leave(view->monitor);
    return result;
}

enum weir_result weir_job_start(struct weir_graph *graph, const struct weir_job_options *options,
                                struct weir_job **job, struct weir_error *error)
{
    *job = NULL;
    struct weir_job_options resolved;
    enum weir_result result = job_take_options(options, &resolved, error);
    if (result)
        return result;
    struct weir_job *mine = memory_zeroed(resolved.allocator, 1, sizeof *mine);
    if (!mine)
        return error_memory(error, "a job", sizeof *mine);
    mine->options = resolved;
    if (resolved.no_publish) {
        mine->replayed = resolved.store;
        mine->options.store = NULL;
    }
    mine->graph = graph;
    mine->run.began_ns = clock_now_ns();
    result = build(mine, error);
    if (!result) {
        *job = mine; /* before any of its threads is: whoever crashes in one may be looked for */
        result = launch(mine, error);
    }
    if (!result)
        result = wait_for_start(mine, error);
    if (result) {
        weir_job_close(&mine);
        *job = NULL;
    }
    return result;
}

/* --------------------------------------------------------------------------- taking apart -- */

static void free_tasks(struct weir_job *job)
{
    const struct weir_allocator *allocator = job->run.allocator;
    for (uint32_t i = 0; i < job->task_count; i++)
        task_free(&job->tasks[i]);
    coordinator_free(&job->coordinator);
    writer_free(&job->writer);
    pipe_close(&job->requests);
    transport_close(&job->transport); /* gives back the batches nobody took */
    writer_forget(&job->writer);
    annex_free(&job->annex); /* nobody has a segment any more */
    for (uint32_t i = 0; i < job->task_count; i++) {
        batch_pool_free(&job->tasks[i].outlet.pool);
        batch_pool_free(&job->tasks[i].snapshots);
    }
    memory_release(allocator, job->tasks);
    memory_release(allocator, job->threads);
}

static void free_run(struct weir_job *job)
{
    const struct weir_allocator *allocator = job->run.allocator;
    mapping_free(&job->mapping);
    rehash_forget(&job->old_channels);
    graph_release(job->graph, &job->description);
    if (job->restored.allocator || job->restored.tasks)
        manifest_free(&job->restored);
    store_close(&job->store);
    store_close(&job->savepoint);
    notices_free(&job->run.notices);
    monitor_free(&job->run.log_lock);
    monitor_free(&job->view.monitor);
    memory_release(allocator, job->run.reader_slot);
    memory_release(allocator, job->run.writer_slot);
    memory_release(allocator, (void *)(uintptr_t)job->run.job_name);
    memory_release(allocator, (void *)(uintptr_t)job->run.store);
    memory_release(allocator, job->run.scratch);
    poison_free(&job->run);
    plan_free(&job->run.plan);
    if (job->run.here)
        memory_unmap((void *)(uintptr_t)job->run.here, memory_page());
}

/* The first is the coordinator, who waits for nobody. When he has gone, those who have not yet are
 * watched from here. */
static void join_all(struct weir_job *job)
{
    struct coordinator *coordinator = &job->coordinator;
    int64_t after_ns = job->options.hang_after_ns;
    if (job->thread_count)
        thread_join(&job->threads[0]);
    for (uint32_t i = 1; i < job->thread_count; i++) {
        if (after_ns == INT64_MAX)
            thread_join(&job->threads[i]);
        while (!thread_join_within(&job->threads[i], hang_tick_ns(after_ns))) {
            coordinator_watch(coordinator, clock_now_ns());
            if (job->run.notices)
                notices_deliver(job->run.notices, &job->run);
        }
    }
}

void weir_job_close(struct weir_job **job)
{
    if (!job || !*job)
        return;
    struct weir_job *mine = *job;
    if (!run_is_here(&mine->run)) { /* its threads are its parent's */
        *job = NULL;
        return;
    }
    if (mine->thread_count) {
        monitor_enter(mine->view.monitor);
        while (
            request(mine, REQUEST_NOW, NULL, NULL)) /* no memory: the coordinator gives some back */
            monitor_wait(mine->view.monitor, clock_now_ns() + RETRY_NS);
        monitor_leave(mine->view.monitor);
    }
    join_all(mine);
    if (mine->run.notices)
        notices_deliver(mine->run.notices, &mine->run);
    free_tasks(mine);
    free_run(mine);
    memory_release(mine->options.allocator, mine);
    *job = NULL;
}

/* -------------------------------------------------------------------------- while it runs -- */

static enum weir_result refuse_child(const struct weir_job *job, struct weir_error *error)
{
    if (run_is_here(&job->run))
        return WEIR_OK;
    return error_set(
        error, WEIR_INVALID, 0,
        "this process was forked from the one that runs the job, which is the only one "
        "to ask it");
}

enum weir_result weir_job_wait(struct weir_job *job, int64_t timeout_ns, enum weir_outcome *outcome,
                               struct weir_error *error)
{
    struct view *view = &job->view;
    int64_t now = clock_now_ns();
    *outcome = WEIR_OUTCOME_RUNNING;
    enum weir_result refused = refuse_child(job, error);
    if (refused)
        return refused;
    int64_t deadline =
        timeout_ns < 0 || timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
    monitor_enter(view->monitor);
    while (view->outcome == WEIR_OUTCOME_RUNNING && clock_now_ns() < deadline)
        monitor_wait(view->monitor, deadline);
    *outcome = view->outcome;
    if (error && (view->outcome == WEIR_OUTCOME_FAILED || view->outcome == WEIR_OUTCOME_UNKNOWN))
        *error = view->error;
    monitor_leave(view->monitor);
    if (*outcome == WEIR_OUTCOME_RUNNING)
        return error_set(error, WEIR_TIMEOUT, 0, "the job is still running");
    return WEIR_OK;
}

int weir_job_fd(const struct weir_job *job)
{
    return job->run.notices ? notices_fd(job->run.notices) : -1;
}

enum weir_result weir_job_poll(struct weir_job *job, enum weir_outcome *outcome,
                               struct weir_error *error)
{
    enum weir_result refused = refuse_child(job, error);
    if (refused)
        return refused;
    if (job->run.notices)
        notices_deliver(job->run.notices, &job->run);
    enum weir_result result = weir_job_wait(job, 0, outcome, error);
    if (job->run.notices && result != WEIR_TIMEOUT) /* it may have ended meanwhile */
        notices_deliver(job->run.notices, &job->run);
    return result;
}

static enum weir_result refuse_unknown(const struct weir_job *job, struct weir_error *error)
{
    if (job->view.outcome != WEIR_OUTCOME_UNKNOWN)
        return WEIR_OK;
    return error_set(error, WEIR_UNKNOWN, 0,
                     "the outcome of the last commit is unknown: close the job and start again, "
                     "recovery decides");
}

static enum weir_result ask(struct weir_job *job, enum request what, const char *path,
                            struct weir_error *error)
{
    enum weir_result refused = refuse_child(job, error);
    if (refused)
        return refused;
    monitor_enter(job->view.monitor);
    enum weir_result result = refuse_unknown(job, error);
    if (!result)
        result = request(job, what, path, error);
    monitor_leave(job->view.monitor);
    return result;
}

static enum weir_result needs_store(const struct weir_job *job, struct weir_error *error)
{
    if (job->store)
        return WEIR_OK;
    return error_set(error, WEIR_INVALID, 0,
                     "the job has no store: give weir_job_options.store a directory");
}

enum weir_result weir_job_stop(struct weir_job *job, enum weir_stop mode, struct weir_error *error)
{
    static const enum request requests[] = {REQUEST_SUSPEND, REQUEST_DRAIN, REQUEST_NOW};
    if ((unsigned)mode > WEIR_STOP_NOW)
        return error_set(error, WEIR_INVALID, 0, "stop mode %d does not exist", (int)mode);
    return ask(job, requests[mode], NULL, error);
}

enum weir_result weir_job_checkpoint(struct weir_job *job, struct weir_error *error)
{
    enum weir_result result = needs_store(job, error);
    return result ? result : ask(job, REQUEST_CHECKPOINT, NULL, error);
}

/* What the writer would find out later is better said at once. */
static enum weir_result check_path(const struct weir_job *job, const char *path,
                                   struct weir_error *error)
{
    enum weir_result result = needs_store(job, error);
    if (!result && (!path || !*path || strlen(path) > PATH_LIMIT))
        result = error_set(error, WEIR_INVALID, 0,
                           "a savepoint's path has 1 to %d bytes: name a directory that is not "
                           "there yet, or is empty",
                           PATH_LIMIT);
    return result;
}

enum weir_result weir_job_savepoint(struct weir_job *job, const char *path,
                                    struct weir_error *error)
{
    enum weir_result result = check_path(job, path, error);
    return result ? result : ask(job, REQUEST_SAVEPOINT, path, error);
}

enum weir_result weir_job_stop_at(struct weir_job *job, enum weir_stop mode, const char *path,
                                  struct weir_error *error)
{
    enum weir_result result = check_path(job, path, error);
    if (result)
        return result;
    if (mode != WEIR_STOP_SUSPEND && mode != WEIR_STOP_DRAIN)
        return error_set(error, WEIR_INVALID, 0,
                         "only a stop that suspends or drains can leave a savepoint");
    return ask(job, mode == WEIR_STOP_DRAIN ? REQUEST_DRAIN : REQUEST_SUSPEND, path, error);
}

/* What the tasks say of themselves. */
static void add_tasks(struct weir_job *job, struct weir_status *status)
{
    bool known = true; /* how far every source is */
    for (uint32_t i = 0; i < job->task_count; i++) {
        struct task_pulse *pulse = &job->tasks[i].pulse;
        status->records_in += atomic_load_explicit(&pulse->records_in, memory_order_relaxed);
        status->records_emitted +=
            atomic_load_explicit(&pulse->records_emitted, memory_order_relaxed);
        status->dead_letters += atomic_load_explicit(&pulse->dead_letters, memory_order_relaxed);
        status->memory_flight += atomic_load_explicit(&pulse->flight, memory_order_relaxed);
        status->disk_flight += atomic_load_explicit(&pulse->spilled, memory_order_relaxed);
        status->memory_state += atomic_load_explicit(&pulse->state, memory_order_relaxed);
        if (job->tasks[i].gate.input_count)
            continue;
        uint64_t total = atomic_load_explicit(&pulse->progress_total, memory_order_relaxed);
        status->progress_done += atomic_load_explicit(&pulse->progress_done, memory_order_relaxed);
        status->progress_total += total;
        known = known && total;
    }
    if (!known)
        status->progress_total = 0;
}

void weir_job_status(struct weir_job *job, struct weir_status *status)
{
    struct view *view = &job->view;
    struct weir_status full = {
        .epoch = job->run.epoch, .tasks = job->task_count, .restored_from = job->run.restored_id};
    if (!run_is_here(&job->run)) /* the lock may have been somebody's when it was forked */
        return;
    monitor_enter(view->monitor);
    int64_t now = clock_now_ns();
    full.outcome = view->outcome;
    full.checkpoint = view->checkpoint;
    full.checkpoint_age_ns = view->checkpoint ? now - view->triggered_ns : -1;
    full.checkpoint_duration_ns = view->duration_ns;
    full.checkpoint_bytes = view->bytes;
    full.committed = view->committed;
    full.aborted = view->aborted;
    full.cut_max_ns = view->cut_max_ns;
    if (view->going_ns)
        full.running_ns = (view->over_ns ? view->over_ns : now) - view->going_ns;
    full.round = view->round;
    full.round_age_ns = view->round ? now - view->round_triggered_ns : -1;
    full.aborted_id = view->aborted_id;
    full.aborted_age_ns = view->aborted_id ? now - view->aborted_triggered_ns : -1;
    snprintf(full.aborted_reason, sizeof full.aborted_reason, "%s", view->aborted_reason);
    full.saved = view->saved;
    full.unsaved = view->unsaved;
    full.saved_id = view->saved_id;
    full.hung = view->hung;
    snprintf(full.unsaved_reason, sizeof full.unsaved_reason, "%s", view->unsaved_reason);
    full.memory_recorded = atomic_load_explicit(&job->recorded, memory_order_relaxed);
    full.memory_saved = atomic_load_explicit(&job->sealed, memory_order_relaxed);
    full.disk_state = atomic_load_explicit(&job->annex.moved, memory_order_relaxed);
    monitor_leave(view->monitor);
    add_tasks(job, &full);
    size_t size = status->size < sizeof full ? status->size : sizeof full;
    full.size = status->size;
    memcpy(status, &full, size);
}

/* -------------------------------------------------------------------------- what failed -- */

/* Of the size the caller knows. */
static void give_failure(struct weir_failure *to, const struct weir_failure *from)
{
    size_t size = to->size, copied = size < sizeof *from ? size : sizeof *from;
    memcpy(to, from, copied);
    to->size = size;
}

enum weir_result weir_job_failure(struct weir_job *job, struct weir_failure *failure)
{
    struct view *view = &job->view;
    monitor_enter(view->monitor);
    uint32_t task = view->outcome == WEIR_OUTCOME_FAILED ? view->failed_task : 0;
    monitor_leave(view->monitor);
    const struct weir_failure *found = task ? task_failure(&job->tasks[task - 1]) : NULL;
    if (!found)
        return WEIR_NOT_FOUND;
    give_failure(failure, found);
    return WEIR_OK;
}

/* In a signal handler: atomics and copies, nothing else. */
bool weir_job_here(struct weir_job *job, struct weir_failure *failure)
{
    int own = thread_number();
    struct weir_failure here = {.size = sizeof here};
    for (uint32_t i = 0; i < job->task_count; i++) {
        const struct task *task = &job->tasks[i];
        if (atomic_load_explicit(&task->pulse.thread, memory_order_relaxed) != own)
            continue;
        if (!task_here(task, &here))
            return false;
        give_failure(failure, &here);
        return true;
    }
    return false;
}
