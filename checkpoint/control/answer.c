/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <inttypes.h>

#include "quantity.h"

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

static void print_memory(FILE *to, const json_t *answer)
{
    char state[BYTES_TEXT], flight[BYTES_TEXT], recorded[BYTES_TEXT], saved[BYTES_TEXT];

    fprintf(to,
            "memory        %s of state, %s in flight, %s recorded and %s saved by checkpoints\n",
            bytes_print(number(answer, "memory_state"), state),
            bytes_print(number(answer, "memory_flight"), flight),
            bytes_print(number(answer, "memory_recorded"), recorded),
            bytes_print(number(answer, "memory_saved"), saved));
    if (number(answer, "disk_flight") > 0)
        fprintf(to, "on disk       %s in flight in cycles\n",
                bytes_print(number(answer, "disk_flight"), flight));
    if (number(answer, "disk_state") > 0)
        fprintf(to, "on disk       %s of state\n",
                bytes_print(number(answer, "disk_state"), state));
}

static void print_hung(FILE *to, const json_t *answer)
{
    if (number(answer, "hung") > 0)
        fprintf(to, "hangs         %" PRIu64 " of its tasks, or the disk: ask dump\n",
                number(answer, "hung"));
}

static void print_savepoints(FILE *to, const json_t *answer)
{
    if (number(answer, "saved") > 0)
        fprintf(to, "savepoints    %" PRIu64 " written, the newest of checkpoint %" PRIu64 "\n",
                number(answer, "saved"), number(answer, "saved_id"));
    if (number(answer, "unsaved") > 0)
        fprintf(to, "no savepoint  %" PRIu64 " times, the last time: %s\n",
                number(answer, "unsaved"), text(answer, "unsaved_reason"));
}

static void print_checkpoints(FILE *to, const json_t *answer)
{
    char age[DURATION_TEXT], took[DURATION_TEXT], size[BYTES_TEXT];

    if (number(answer, "checkpoint") > 0)
        fprintf(to, "newest        %" PRIu64 ", of %s ago; took %s, %s\n",
                number(answer, "checkpoint"), time_of(answer, "checkpoint_age_ns", age),
                time_of(answer, "checkpoint_duration_ns", took),
                bytes_print(number(answer, "checkpoint_bytes"), size));
    else if (number(answer, "restored_from") > 0)
        fprintf(to, "newest        %" PRIu64 ", which it was restored from\n",
                number(answer, "restored_from"));
    else
        fprintf(to, "newest        none yet\n");
    fprintf(to,
            "checkpoints   %" PRIu64 " committed, %" PRIu64 " came to nothing; longest cut %s\n",
            number(answer, "committed"), number(answer, "aborted"),
            time_of(answer, "cut_max_ns", took));
    if (number(answer, "round") > 0)
        fprintf(to, "now           %" PRIu64 " is being taken, since %s\n", number(answer, "round"),
                time_of(answer, "round_age_ns", age));
    if (number(answer, "aborted_id") > number(answer, "checkpoint"))
        fprintf(to, "trouble       %" PRIu64 " came to nothing %s ago: %s\n",
                number(answer, "aborted_id"), time_of(answer, "aborted_age_ns", age),
                text(answer, "aborted_reason"));
}

static void print_status(FILE *to, const json_t *answer)
{
    char age[DURATION_TEXT];
    uint64_t total = number(answer, "progress_total"), done = number(answer, "progress_done");

    fprintf(to, "program       %s, process %" PRIu64, text(answer, "program"),
            number(answer, "pid"));
    if (number(answer, "parent") > 0)
        fprintf(to, ", supervised by %" PRIu64, number(answer, "parent"));
    fprintf(to, ", weir %s\n", text(answer, "version"));
    fprintf(to, "store         %s, id %s\n", text(answer, "store"), text(answer, "store_id"));
    fprintf(to, "state         %s; up for %s, %" PRIu64 " restarts\n", text(answer, "state"),
            time_of(answer, "uptime_ns", age), number(answer, "restarts"));
    fprintf(to, "run           %" PRIu64 ", of %" PRIu64 " tasks, for %s; restored from ",
            number(answer, "epoch"), number(answer, "tasks"), time_of(answer, "running_ns", age));
    if (number(answer, "restored_from") > 0)
        fprintf(to, "checkpoint %" PRIu64 "\n", number(answer, "restored_from"));
    else
        fprintf(to, "nothing: a first start\n");
    fprintf(to, "records       %" PRIu64 " from sources, %" PRIu64 " taken by tasks\n",
            number(answer, "records_emitted"), number(answer, "records_in"));
    if (number(answer, "dead_letters") > 0)
        fprintf(to, "dead letters  %" PRIu64 "\n", number(answer, "dead_letters"));
    print_memory(to, answer);
    if (total > 0)
        fprintf(to, "progress      %.1f %%\n", 100.0 * (double)done / (double)total);
    print_checkpoints(to, answer);
    print_savepoints(to, answer);
    print_hung(to, answer);
}

static void print_stop(FILE *to, const json_t *answer)
{
    if (json_object_get(answer, "savepoint") == NULL)
        fprintf(to, "process %" PRIu64 " was asked to stop (%s)\n", number(answer, "pid"),
                text(answer, "mode"));
    else
        fprintf(to,
                "process %" PRIu64 " stops (%s); checkpoint %" PRIu64
                " is kept as the savepoint %s\n",
                number(answer, "pid"), text(answer, "mode"), number(answer, "checkpoint"),
                text(answer, "savepoint"));
}

static void print_dump(FILE *to, const json_t *answer)
{
    size_t index;
    json_t *line;

    json_array_foreach(json_object_get(answer, "lines"), index, line)
        fprintf(to, "%s\n", json_string_value(line) != NULL ? json_string_value(line) : "?");
}

void answer_print(FILE *to, enum ask_what what, const json_t *answer)
{
    char took[DURATION_TEXT], size[BYTES_TEXT];

    switch (what) {
    case ASK_STATUS:
        print_status(to, answer);
        break;
    case ASK_CHECKPOINT:
        fprintf(to, "checkpoint %" PRIu64 ": took %s, %s\n", number(answer, "checkpoint"),
                time_of(answer, "duration_ns", took), bytes_print(number(answer, "bytes"), size));
        break;
    case ASK_SAVEPOINT:
        fprintf(to, "checkpoint %" PRIu64 " is kept as the savepoint %s: took %s\n",
                number(answer, "checkpoint"), text(answer, "savepoint"),
                time_of(answer, "duration_ns", took));
        break;
    case ASK_STOP:
        print_stop(to, answer);
        break;
    case ASK_DUMP:
        print_dump(to, answer);
        break;
    }
}

json_t *answer_read(const char *text, const char **refusal)
{
    json_t *answer = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *error = json_string_value(json_object_get(answer, "error"));

    *refusal = NULL;
    if (answer == NULL)
        *refusal = "the answer is not JSON";
    else if (!json_is_true(json_object_get(answer, "ok")))
        *refusal = error != NULL ? error : "it says no, and not why";
    return answer;
}
