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

#include "bytes.h"
#include "control.h"
#include "duration.h"
#include "endpoint.h"
#include "exit_code.h"

#define SECOND_NS ((int64_t)1000 * 1000 * 1000)
#define PATIENCE_NS (10 * SECOND_NS)
#define CHECKPOINT_MS 600000 /* how long one may take; its own timeout mostly ends it sooner */

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
    if (total > 0)
        printf("progress      %.1f %%\n", 100.0 * (double)done / (double)total);
    print_checkpoints(answer);
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
    case OPTIONS_STOP:
        printf("process %" PRIu64 " was asked to stop (%s)\n", number(answer, "pid"),
               text(answer, "mode"));
        break;
    default: /* OPTIONS_DUMP */
        json_array_foreach(json_object_get(answer, "lines"), index, line)
            puts(json_string_value(line) != NULL ? json_string_value(line) : "?");
        break;
    }
}

/* --------------------------------------------------------------------------------- asking -- */

static void write_request(const struct options *options, char *request, size_t room)
{
    const char *mode = options->now ? "now" : options->drain ? "drain" : "suspend";

    switch (options->verb) {
    case OPTIONS_CHECKPOINT:
        snprintf(request, room, "{\"weir\":1,\"ask\":\"checkpoint\",\"timeout_ms\":%d}",
                 CHECKPOINT_MS);
        break;
    case OPTIONS_STOP:
        snprintf(request, room, "{\"weir\":1,\"ask\":\"stop\",\"mode\":\"%s\"}", mode);
        break;
    default:
        snprintf(request, room, "{\"weir\":1,\"ask\":\"%s\"}",
                 options->verb == OPTIONS_STATUS ? "status" : "dump");
        break;
    }
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

static enum weir_result ask(const struct options *options, char **answer, struct weir_error *error)
{
    char id[CONTROL_STORE_ID_ROOM], path[CONTROL_PATH_ROOM], request[200];
    bool patient = options->verb == OPTIONS_CHECKPOINT;
    enum weir_result result = control_store_id(options->job.store, id, error);

    if (result != WEIR_OK) {
        char why[sizeof error->text];
        memcpy(why, error->text, sizeof why);
        snprintf(error->text, sizeof error->text, "no program to be asked: %.600s", why);
        error->code = WEIR_INVALID;
        return error->code;
    }
    result = control_socket_find(id, options->job.store, path, error);
    if (result != WEIR_OK)
        return result;
    write_request(options, request, sizeof request);
    return endpoint_ask(path, request,
                        PATIENCE_NS + (patient ? CHECKPOINT_MS * (SECOND_NS / 1000) : 0), answer,
                        error);
}

int control_ask(const char *program, const struct options *options)
{
    struct weir_error error = {0};
    char *answer = NULL;

    if (ask(options, &answer, &error) != WEIR_OK)
        return fail(program, options, &error);
    int code = take_answer(program, options, answer);
    free(answer);
    return code;
}
