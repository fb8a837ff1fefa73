/* SPDX-License-Identifier: Apache-2.0
 *
 * status: is a run alive on a store? What it says of itself when it can be asked, and what the
 * store says in any case.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "answer.h"
#include "tool.h"

struct status {
    struct weir_store_run run;
    struct weir_checkpoint_info newest; /* id 0: there is none, or it can't be read */
    size_t checkpoints;
    json_t *answer;         /* of the run; NULL: none */
    struct weir_error mute; /* why there is no answer of a run that is alive */
};

static int64_t age_ns(const struct status *status)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - status->newest.triggered_ns;
}

static bool is_running(const struct status *status)
{
    return status->run.alive && !status->run.cleaning;
}

/* ---------------------------------------------------------------------------------- asking -- */

static void ask_run(const struct tool *tool, struct status *status)
{
    struct ask ask = {.what = ASK_STATUS, .store = tool->options.words[0]};
    const char *refusal = NULL;
    char *text = NULL;

    if (ask_program(&ask, &text, &status->mute) != WEIR_OK)
        return;
    status->answer = answer_read(text, &refusal);
    free(text);
    if (refusal == NULL)
        return;
    snprintf(status->mute.text, sizeof status->mute.text, "%s", refusal);
    json_decref(status->answer);
    status->answer = NULL;
}

/* Of the newest checkpoint, which the job's retention may remove meanwhile. */
static enum weir_result look_at_newest(struct weir_store *store, struct status *status,
                                       struct weir_error *error)
{
    struct weir_checkpoint *checkpoint;
    const uint64_t *ids;
    enum weir_result result = weir_store_list(store, &ids, &status->checkpoints, error);

    if (result != WEIR_OK || status->checkpoints == 0)
        return result;
    result = weir_checkpoint_open(store, 0, &checkpoint, error);
    if (result != WEIR_OK)
        return result;
    weir_checkpoint_describe(checkpoint, &status->newest);
    status->newest.job = status->newest.reason = status->newest.mode = NULL; /* go with it */
    weir_checkpoint_close(&checkpoint);
    return WEIR_OK;
}

/* ---------------------------------------------------------------------------------- saying -- */

static bool say_json(const struct tool *tool, struct weir_store *store, const struct status *status)
{
    const struct weir_store_run *run = &status->run;
    json_t *said =
        json_pack("{s: b, s: b, s: b, s: I, s: s, s: s, s: I}", "running", is_running(status),
                  "savepoint", run->savepoint, "cleaning", run->cleaning, "epoch",
                  (json_int_t)run->epoch, "store", tool->options.words[0], "store_id",
                  weir_store_identity(store), "checkpoints", (json_int_t)status->checkpoints);
    if (run->alive)
        json_object_set_new(said, "pid", json_integer((json_int_t)run->process));
    if (status->newest.id > 0) {
        json_object_set_new(said, "newest", json_integer((json_int_t)status->newest.id));
        json_object_set_new(said, "age_ns", json_integer(age_ns(status)));
        json_object_set_new(said, "duration_ns", json_integer(status->newest.duration_ns));
        json_object_set_new(said, "stored_bytes",
                            json_integer((json_int_t)status->newest.stored_bytes));
    }
    if (status->answer != NULL)
        json_object_set(said, "answer", status->answer);
    else if (is_running(status))
        json_object_set_new(said, "mute", json_string(status->mute.text));
    return tool_json(tool, said);
}

static void say_run(const struct tool *tool, struct weir_store *store, const struct status *status)
{
    const struct weir_store_run *run = &status->run;
    FILE *to = tool->paper.to;

    if (run->savepoint)
        fprintf(to, "state         a savepoint: nothing runs on it; written in run %" PRIu32 "\n",
                run->epoch);
    else if (run->cleaning)
        fprintf(to,
                "state         no run is alive; %s a cleaning, process %" PRIu32 ", counted as run "
                "%" PRIu32 "\n",
                run->alive ? "the store is in use by" : "the last to have the store was",
                run->process, run->epoch);
    else if (run->alive)
        fprintf(to, "state         run %" PRIu32 " is alive, process %" PRIu32 ": %s\n", run->epoch,
                run->process, status->mute.text);
    else
        fprintf(to,
                "state         no run is alive; the last was run %" PRIu32 ", process %" PRIu32
                "\n",
                run->epoch, run->process);
    fprintf(to, "store         %s, id %s\n", tool->options.words[0], weir_store_identity(store));
}

static void say_store(const struct tool *tool, const struct status *status)
{
    char age[PAPER_TEXT], took[PAPER_TEXT], size[PAPER_TEXT];

    fprintf(tool->paper.to, "in the store  %zu checkpoint%s", status->checkpoints,
            status->checkpoints == 1 ? "" : "s");
    if (status->newest.id > 0) {
        paper_age(age_ns(status), age);
        paper_duration(status->newest.duration_ns, took);
        paper_bytes(status->newest.stored_bytes, size);
        fprintf(tool->paper.to, ", the newest %" PRIu64 ", of %s ago; took %s, %s",
                status->newest.id, age, took, size);
    }
    fputc('\n', tool->paper.to);
}

static int say(const struct tool *tool, struct weir_store *store, const struct status *status)
{
    if (tool->options.json && !say_json(tool, store, status))
        return tool_no_memory(tool);
    if (!tool->options.json) {
        if (status->answer != NULL)
            answer_print(tool->paper.to, ASK_STATUS, status->answer);
        else
            say_run(tool, store, status);
        say_store(tool, status);
    }
    return is_running(status) ? EXIT_DONE : EXIT_NO;
}

int tool_status(struct tool *tool)
{
    struct status status = {.run = {WEIR_SIZED(struct weir_store_run)},
                            .newest = {WEIR_SIZED(struct weir_checkpoint_info)}};
    struct weir_error error = {0}, newest = {0};
    struct weir_store *store;
    int code = tool_open_store(tool, &store);

    if (code != EXIT_DONE)
        return code;
    ask_run(tool, &status);
    if (weir_store_get_run(store, &status.run, &error) != WEIR_OK) {
        code = tool_fail(tool, &error);
    } else {
        status.run.alive |= status.answer != NULL;
        enum weir_result readable = look_at_newest(store, &status, &newest);
        code = say(tool, store, &status);
        if (readable != WEIR_OK)
            code = tool_fail(tool, &newest);
    }
    json_decref(status.answer);
    weir_store_close(&store);
    return code;
}
