/* SPDX-License-Identifier: Apache-2.0
 *
 * faulty: word count with an operator that goes wrong on purpose, for the tests of restarts.
 *
 *     lines --FORWARD--> faulty --BY_KEY--> count --FORWARD--> output
 *
 * What goes wrong is `fault`; when, is one of
 *
 *     every=N    at every N-th record since the operator was opened: the next attempt gets on
 *     word=WORD  at each line that holds this word: poison
 *     open=yes   when it is opened
 *
 * With at=prepare or at=commit, `every` counts calls of that.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "weir_main.h"
#include "weir_operators.h"

struct faults {
    const char *fault;
    const char *word;
    uint64_t every;
    bool open;
    bool prepares, commits; /* where `every` counts */
};

struct faulty {
    const struct faults *faults;
    uint64_t seen; /* records since it was opened; not saved */
};

/* ------------------------------------------------------------------------------- the faults -- */

__attribute__((noinline)) static void touch_nothing(void)
{
    static volatile int *volatile nowhere = (volatile int *)64; /* a sanitizer looks for NULL */

    *nowhere = 1;
}

/* Until the stack is used up: no handler can run on it then. */
__attribute__((noinline)) static unsigned go_deeper(unsigned depth)
{
    volatile unsigned char frame[4096];

    frame[depth % sizeof frame] = (unsigned char)depth;
    return depth == UINT32_MAX ? depth : go_deeper(depth + 1) + frame[depth % sizeof frame];
}

static enum weir_result go_wrong(const struct faulty *self, struct weir_context *context)
{
    const char *fault = self->faults->fault;

    if (strcmp(fault, "error") == 0)
        return weir_fail(context, WEIR_FAILED, "it was told to fail");
    if (strcmp(fault, "segfault") == 0)
        touch_nothing();
    if (strcmp(fault, "overflow") == 0 && go_deeper(0) == 0)
        return WEIR_OK;
    if (strcmp(fault, "abort") == 0)
        abort();
    if (strcmp(fault, "exit") == 0)
        _exit(3);
    if (strcmp(fault, "hang") == 0)
        for (;;)
            pause();
    if (strcmp(fault, "fork") == 0) /* the child comes back like its parent */
        (void)!fork();
    if (strcmp(fault, "leave-child") == 0 && fork() == 0)
        for (;;)
            pause();
    if (strcmp(fault, "slow") == 0)
        nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL);
    return WEIR_OK;
}

static bool holds(const struct weir_record *line, const char *word)
{
    return *word != '\0' && memmem(line->value.data, line->value.size, word, strlen(word)) != NULL;
}

static bool is_due(struct faulty *self, const struct weir_record *line)
{
    const struct faults *faults = self->faults;

    if (faults->prepares || faults->commits)
        return holds(line, faults->word);
    self->seen++;
    return holds(line, faults->word) || (faults->every > 0 && self->seen % faults->every == 0);
}

/* ----------------------------------------------------------------------------- the operator -- */

static void split(struct weir_context *context, const struct weir_record *line)
{
    const char *at = line->value.data;
    const char *end = at + line->value.size;

    while (at < end) {
        const char *word = at;
        while (at < end && *at != ' ' && *at != '\t')
            at++;
        if (at > word)
            weir_emit(
                context, 0,
                &(struct weir_record){.key = {word, (size_t)(at - word)}, .time = WEIR_NO_TIME});
        at++;
    }
}

static enum weir_result open_faulty(void *operator, struct weir_context * context,
                                    const void *config)
{
    struct faulty *self = operator;

    self->faults = config;
    return self->faults->open ? go_wrong(self, context) : WEIR_OK;
}

static enum weir_result process(void *operator, struct weir_context * context, unsigned input,
                                const struct weir_record *line)
{
    struct faulty *self = operator;
    enum weir_result result = is_due(self, line) ? go_wrong(self, context) : WEIR_OK;

    (void)input;
    if (result == WEIR_OK)
        split(context, line);
    return result;
}

static size_t process_many(void *operator, struct weir_context * context, unsigned input,
                           const struct weir_record *lines, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (process(operator, context, input, &lines[i]) != WEIR_OK)
            return i;
    return count;
}

/* It publishes nothing, and is told when to. */
static enum weir_result prepare(void *operator, struct weir_context * context, uint64_t id)
{
    struct faulty *self = operator;
    enum weir_result result = WEIR_OK;

    if (self->faults->prepares && ++self->seen % self->faults->every == 0)
        result = go_wrong(self, context);
    return result == WEIR_OK ? weir_handle(context, (struct weir_bytes){&id, sizeof id}) : result;
}

static enum weir_result commit(void *operator, struct weir_context * context,
                               struct weir_bytes handle)
{
    struct faulty *self = operator;

    (void)handle;
    if (self->faults->commits && ++self->seen % self->faults->every == 0)
        return go_wrong(self, context);
    return WEIR_OK;
}

static const struct weir_operator one_by_one = {WEIR_SIZED(struct weir_operator), .kind = "faulty",
                                                .self_size = sizeof(struct faulty),
                                                .open = open_faulty, .process = process};
static const struct weir_operator in_spans = {WEIR_SIZED(struct weir_operator), .kind = "faulty",
                                              .self_size = sizeof(struct faulty),
                                              .open = open_faulty, .process_many = process_many};

static const struct weir_operator in_two_phases = {WEIR_SIZED(struct weir_operator),
                                                   .kind = "faulty",
                                                   .self_size = sizeof(struct faulty),
                                                   .open = open_faulty,
                                                   .process = process,
                                                   .prepare = prepare,
                                                   .commit = commit};

/* --------------------------------------------------------------------------------- the rest -- */

static void count_one(void *cell, const struct weir_record *word, const void *config)
{
    (void)word, (void)config;
    ++*(uint64_t *)cell;
}

static size_t write_line(char *line, size_t room, const struct weir_record *word,
                         const void *config)
{
    char count[24];
    size_t digits =
        (size_t)snprintf(count, sizeof count, "\t%" PRIu64, *(const uint64_t *)word->value.data);

    (void)config;
    if (word->key.size + digits <= room) {
        memcpy(line, word->key.data, word->key.size);
        memcpy(line + word->key.size, count, digits);
    }
    return word->key.size + digits;
}

static enum weir_result build(struct weir_graph *graph, const struct weir_parameters *parameters)
{
    struct faults faults = {.fault = weir_parameter_text(parameters, "fault"),
                            .word = weir_parameter_text(parameters, "word"),
                            .every = weir_parameter_count(parameters, "every"),
                            .open = weir_parameter_flag(parameters, "open")};
    bool spans = weir_parameter_flag(parameters, "spans");
    const char *at = weir_parameter_text(parameters, "at");

    faults.prepares = faults.every > 0 && strcmp(at, "prepare") == 0;
    faults.commits = faults.every > 0 && strcmp(at, "commit") == 0;

    weir_node lines = weir_line_source(
        graph, "lines",
        &(struct weir_line_source_options){WEIR_SIZED(struct weir_line_source_options),
                                           .path = weir_parameter_text(parameters, "input"),
                                           .rate = weir_parameter_count(parameters, "rate")});
    weir_node faulty = weir_graph_add(
        graph,
        &(struct weir_node_options){WEIR_SIZED(struct weir_node_options), .name = "faulty",
                                    .table = faults.prepares || faults.commits ? &in_two_phases
                                             : spans                           ? &in_spans
                                                                               : &one_by_one,
                                    .config = weir_graph_keep(graph, &faults, sizeof faults)});
    weir_node count =
        weir_reduce(graph, "count",
                    &(struct weir_reduce_options){WEIR_SIZED(struct weir_reduce_options),
                                                  .value_size = sizeof(uint64_t), .format = "u64",
                                                  .fold = count_one, .emit = WEIR_REDUCE_FINAL});
    weir_node output =
        weir_line_sink(graph, "output",
                       &(struct weir_line_sink_options){
                           WEIR_SIZED(struct weir_line_sink_options),
                           .path = weir_parameter_text(parameters, "output"), .write = write_line});

    /* A task of its own, so that it is given records in spans. */
    weir_connect(graph, lines, faulty, spans ? WEIR_SPREAD : WEIR_FORWARD);
    weir_connect(graph, faulty, count, WEIR_BY_KEY);
    weir_connect(graph, count, output, WEIR_FORWARD);
    return WEIR_OK;
}

int main(int argc, char **argv)
{
    static const struct weir_parameter parameters[] = {
        {"input", WEIR_TEXT, NULL, "file of text", NULL},
        {"output", WEIR_TEXT, NULL, "directory for the counts", NULL},
        {"rate", WEIR_COUNT, "0", "lines a second, 0: no limit", NULL},
        {"fault", WEIR_CHOICE, "error", "what goes wrong",
         "error|segfault|overflow|abort|exit|hang|slow|fork|leave-child"},
        {"every", WEIR_COUNT, "0", "at every N-th record; 0: at none", NULL},
        {"word", WEIR_TEXT, "", "at lines that hold it", NULL},
        {"open", WEIR_FLAG, "no", "when it is opened", NULL},
        {"spans", WEIR_FLAG, "no", "take records in spans", NULL},
        {"at", WEIR_CHOICE, "process", "where every counts", "process|prepare|commit"},
        {0}};

    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* it crashes on purpose */
    return weir_main(argc, argv,
                     &(struct weir_program){WEIR_SIZED(struct weir_program), .name = "faulty",
                                            .about = "word count that goes wrong on purpose",
                                            .parameters = parameters, .build = build});
}
