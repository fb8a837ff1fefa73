/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs that ask a running program: finds its socket by the store's id, asks, and prints what
 * it answers.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "control.h"
#include "duration.h"
#include "endpoint.h"
#include "exit_code.h"
#include "refusal.h"

#define SECOND_NS ((int64_t)1000 * 1000 * 1000)
#define PATIENCE_NS (10 * SECOND_NS)
#define CHECKPOINT_MS 600000 /* how long one may take, and its copy; mostly it ends sooner */

/* -------------------------------------------------------------------------------- printing -- */

static uint64_t number(const json_t *answer, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(answer, name));

    return value > 0 ? (uint64_t)value : 0;
}

static const char *text(const json_t *answer, const char *name)
{
    const char *value = json_string_value(json_object_get(answer, name));

    return value != NULL ? value : "";
}

static const char *time_of(const json_t *answer, const char *name, char room[DURATION_TEXT])
{
    return duration_print((int64_t)number(answer, name), room);
}

static void print_memory(const json_t *answer)
{
    char state[BYTES_TEXT], flight[BYTES_TEXT], recorded[BYTES_TEXT], saved[BYTES_TEXT];

    printf("memory        %s of state, %s in flight, %s recorded and %s saved by checkpoints\n",
           bytes_print(number(answer, "memory_state"), state),
           bytes_print(number(answer, "memory_flight"), flight),
           bytes_print(number(answer, "memory_recorded"), recorded),
           bytes_print(number(answer, "memory_saved"), saved));
    if (number(answer, "disk_flight") > 0)
        printf("on disk       %s in flight in cycles\n",
               bytes_print(number(answer, "disk_flight"), flight));
    if (number(answer, "disk_state") > 0)
        printf("on disk       %s of state\n", bytes_print(number(answer, "disk_state"), state));
}

static void print_hung(const json_t *answer)
{
    if (number(answer, "hung") > 0)
        printf("hangs         %" PRIu64 " of its tasks, or the disk: ask dump\n",
               number(answer, "hung"));
}

static void print_savepoints(const json_t *answer)
{
    if (number(answer, "saved") > 0)
        printf("savepoints    %" PRIu64 " written, the newest of checkpoint %" PRIu64 "\n",
               number(answer, "saved"), number(answer, "saved_id"));
    if (number(answer, "unsaved") > 0)
        printf("no savepoint  %" PRIu64 " times, the last time: %s\n", number(answer, "unsaved"),
               text(answer, "unsaved_reason"));
}

static void print_checkpoints(const json_t *answer)
{
    char age[DURATION_TEXT], took[DURATION_TEXT], size[BYTES_TEXT];

    if (number(answer, "checkpoint") > 0)
        printf("newest        %" PRIu64 ", of %s ago; took %s, %s\n", number(answer, "checkpoint"),
               time_of(answer, "checkpoint_age_ns", age),
               time_of(answer, "checkpoint_duration_ns", took),
               bytes_print(number(answer, "checkpoint_bytes"), size));
    else if (number(answer, "restored_from") > 0)
        printf("newest        %" PRIu64 ", which it was restored from\n",
               number(answer, "restored_from"));
    else
        printf("newest        none yet\n");
    printf("checkpoints   %" PRIu64 " committed, %" PRIu64 " came to nothing; longest cut %s\n",
           number(answer, "committed"), number(answer, "aborted"),
           time_of(answer, "cut_max_ns", took));
    if (number(answer, "round") > 0)
        printf("now           %" PRIu64 " is being taken, since %s\n", number(answer, "round"),
               time_of(answer, "round_age_ns", age));
    if (number(answer, "aborted_id") > number(answer, "checkpoint"))
        printf("trouble       %" PRIu64 " came to nothing %s ago: %s\n",
               number(answer, "aborted_id"), time_of(answer, "aborted_age_ns", age),
               text(answer, "aborted_reason"));
}

static void print_status(const json_t *answer)
{
    char age[DURATION_TEXT];
    uint64_t total = number(answer, "progress_total"), done = number(answer, "progress_done");

    printf("program       %s, process %" PRIu64, text(answer, "program"), number(answer, "pid"));
    if (number(answer, "parent") > 0)
        printf(", supervised by %" PRIu64, number(answer, "parent"));
    printf(", weir %s\n", text(answer, "version"));
    printf("store         %s, id %s\n", text(answer, "store"), text(answer, "store_id"));
    printf("state         %s; up for %s, %" PRIu64 " restarts\n", text(answer, "state"),
           time_of(answer, "uptime_ns", age), number(answer, "restarts"));
    printf("run           %" PRIu64 ", of %" PRIu64 " tasks, for %s; restored from ",
           number(answer, "epoch"), number(answer, "tasks"), time_of(answer, "running_ns", age));
    if (number(answer, "restored_from") > 0)
        printf("checkpoint %" PRIu64 "\n", number(answer, "restored_from"));
    else
        printf("nothing: a first start\n");
    printf("records       %" PRIu64 " from sources, %" PRIu64 " taken by tasks\n",
           number(answer, "records_emitted"), number(answer, "records_in"));
    if (number(answer, "dead_letters") > 0)
        printf("dead letters  %" PRIu64 "\n", number(answer, "dead_letters"));
    print_memory(answer);
    if (total > 0)
        printf("progress      %.1f %%\n", 100.0 * (double)done / (double)total);
    print_checkpoints(answer);
    print_savepoints(answer);
    print_hung(answer);
}

static void print_stop(const json_t *answer)
{
    if (json_object_get(answer, "savepoint") == NULL)
        printf("process %" PRIu64 " was asked to stop (%s)\n", number(answer, "pid"),
               text(answer, "mode"));
    else
        printf("process %" PRIu64 " stops (%s); checkpoint %" PRIu64
               " is kept as the savepoint %s\n",
               number(answer, "pid"), text(answer, "mode"), number(answer, "checkpoint"),
               text(answer, "savepoint"));
}

static void print_answer(enum options_verb verb, const json_t *answer)
{
    char took[DURATION_TEXT], size[BYTES_TEXT];
    size_t index;
    json_t *line;

    switch (verb) {
    case OPTIONS_STATUS:
        print_status(answer);
        break;
    case OPTIONS_CHECKPOINT:
        printf("checkpoint %" PRIu64 ": took %s, %s\n", number(answer, "checkpoint"),
               time_of(answer, "duration_ns", took), bytes_print(number(answer, "bytes"), size));
        break;
    case OPTIONS_SAVEPOINT:
        printf("checkpoint %" PRIu64 " is kept as the savepoint %s: took %s\n",
               number(answer, "checkpoint"), text(answer, "savepoint"),
               time_of(answer, "duration_ns", took));
        break;
    case OPTIONS_STOP:
        print_stop(answer);
        break;
    default: /* OPTIONS_DUMP */
        json_array_foreach(json_object_get(answer, "lines"), index, line)
            puts(json_string_value(line) != NULL ? json_string_value(line) : "?");
        break;
    }
}

/* --------------------------------------------------------------------------------- asking -- */

/* The program that is asked has another working directory. Out of memory, or where there is no
 * directory: NULL, error filled. */
static json_t *absolute(const char *path, struct weir_error *error)
{
    char *here = path[0] == '/' ? strdup("") : getcwd(NULL, 0);
    json_t *text = NULL;

    if (here == NULL || (path[0] != '/' && here[0] != '/'))
        refuse(error, "%s: there is no directory that it is relative to: say a path from / on",
               path);
    else if ((text = json_sprintf("%s%s%s", here, path[0] == '/' ? "" : "/", path)) == NULL)
        refuse(error, "%s%s%s: the path is no UTF-8, and could not be asked for", here,
               path[0] == '/' ? "" : "/", path);
    free(here);
    return text;
}

static const char *stop_mode(const struct options *options)
{
    return options->now ? "now" : options->drain ? "drain" : "suspend";
}

/* Where a savepoint is to be; NULL: the question is another one. */
static const char *savepoint_of(const struct options *options)
{
    if (options->verb == OPTIONS_SAVEPOINT)
        return options->to;
    return options->verb == OPTIONS_STOP ? options->savepoint : NULL;
}

static bool is_patient(const struct options *options)
{
    return options->verb == OPTIONS_CHECKPOINT || savepoint_of(options) != NULL;
}

/* From malloc; NULL: error filled. */
static char *write_request(const struct options *options, struct weir_error *error)
{
    static const char *const asks[] = {[OPTIONS_STATUS] = "status",
                                       [OPTIONS_CHECKPOINT] = "checkpoint",
                                       [OPTIONS_SAVEPOINT] = "savepoint",
                                       [OPTIONS_STOP] = "stop",
                                       [OPTIONS_DUMP] = "dump"};
    const char *savepoint = savepoint_of(options);
    json_t *path = savepoint != NULL ? absolute(savepoint, error) : NULL;

    if (savepoint != NULL && path == NULL)
        return NULL;
    json_t *request = json_pack("{s:i, s:s}", "weir", 1, "ask", asks[options->verb]);
    if (options->verb == OPTIONS_STOP)
        json_object_set_new(request, "mode", json_string(stop_mode(options)));
    if (path != NULL)
        json_object_set_new(request, options->verb == OPTIONS_STOP ? "savepoint" : "path", path);
    if (is_patient(options))
        json_object_set_new(request, "timeout_ms", json_integer(CHECKPOINT_MS));
    char *printed = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (printed == NULL)
        refuse(error, "out of memory for a question");
    return printed;
}

static int fail(const char *program, const struct options *options, const struct weir_error *error)
{
    if (error->code == WEIR_NOT_FOUND)
        fprintf(stderr,
                "%s: no program runs on %s that could be asked: start it with `run --store %s`, "
                "without --no-control and as the same user\n",
                program, options->job.store, options->job.store);
    else
        fprintf(stderr, "%s: %s\n", program, error->text);
    return EXIT_STORE;
}

/* Prints it; the exit code. */
static int take_answer(const char *program, const struct options *options, const char *answer)
{
    json_error_t trouble;
    json_t *parsed = json_loads(answer, JSON_REJECT_DUPLICATES, &trouble);
    bool ok = json_is_true(json_object_get(parsed, "ok"));

    if (options->json)
        puts(answer);
    else if (parsed == NULL)
        fprintf(stderr, "%s: the answer is not JSON: %s\n", program, trouble.text);
    else if (!ok)
        fprintf(stderr, "%s: %s\n", program, text(parsed, "error"));
    else
        print_answer(options->verb, parsed);
    json_decref(parsed);
    return ok ? EXIT_ENDED : EXIT_FAILED;
}

static enum weir_result ask(const struct options *options, const char *request, char **answer,
                            struct weir_error *error)
{
    struct control_store store;
    char path[CONTROL_PATH_ROOM];
    enum weir_result result = control_store_of(options->job.store, &store, error);

    if (result != WEIR_OK) {
        char why[sizeof error->text];
        memcpy(why, error->text, sizeof why);
        snprintf(error->text, sizeof error->text, "no program to be asked: %.600s", why);
        error->code = WEIR_INVALID;
        return error->code;
    }
    result = control_socket_find(store.name, options->job.store, path, error);
    if (result != WEIR_OK)
        return result;
    return endpoint_ask(
        path, request, PATIENCE_NS + (is_patient(options) ? CHECKPOINT_MS * (SECOND_NS / 1000) : 0),
        answer, error);
}

int control_ask(const char *program, const struct options *options)
{
    struct weir_error error = {0};
    char *request = write_request(options, &error), *answer = NULL;

    if (request == NULL) {
        fprintf(stderr, "%s: %s\n", program, error.text);
        return EXIT_USAGE;
    }
    enum weir_result result = ask(options, request, &answer, &error);
    int code =
        result == WEIR_OK ? take_answer(program, options, answer) : fail(program, options, &error);
    free(answer);
    free(request);
    return code;
}
