/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <string.h>

#include "duration.h"
#include "number.h"
#include "refusal.h"

enum { PARALLELISM_LIMIT = 1024 }; /* weir.h */

/* ------------------------------------------------------------------------ one function each -- */

typedef enum weir_result take(struct options *options, const char *value, struct weir_error *error);

static enum weir_result take_store(struct options *options, const char *value,
                                   struct weir_error *error)
{
    if (*value == '\0')
        return refuse(error, "--store: the directory's name is empty");
    options->job.store = value;
    return WEIR_OK;
}

static enum weir_result take_interval(struct options *options, const char *value,
                                      struct weir_error *error)
{
    if (strcmp(value, "off") == 0) {
        options->job.interval_ns = -1;
        return WEIR_OK;
    }
    return duration_parse("--interval", value, &options->job.interval_ns, error);
}

static enum weir_result take_timeout(struct options *options, const char *value,
                                     struct weir_error *error)
{
    return duration_parse("--timeout", value, &options->job.timeout_ns, error);
}

static enum weir_result take_restore(struct options *options, const char *value,
                                     struct weir_error *error)
{
    struct weir_job_options *job = &options->job;

    job->restore = WEIR_RESTORE_LATEST;
    if (strcmp(value, "latest") == 0)
        return WEIR_OK;
    job->restore = WEIR_RESTORE_NONE;
    if (strcmp(value, "none") == 0)
        return WEIR_OK;
    job->restore = WEIR_RESTORE_ID;
    const char *rest = number_take(value, &job->restore_id);
    if (rest == NULL || *rest != '\0' || job->restore_id == 0)
        return refuse(error, "--restore %s: say latest, none, or the id of a checkpoint", value);
    return WEIR_OK;
}

static enum weir_result take_number(const char *what, const char *value, uint64_t most,
                                    uint32_t *number, struct weir_error *error)
{
    uint64_t wide = 0;
    enum weir_result result = number_parse(what, value, 1, most, &wide, error);

    *number = (uint32_t)wide;
    return result;
}

static enum weir_result take_parallelism(struct options *options, const char *value,
                                         struct weir_error *error)
{
    return take_number("--parallelism", value, PARALLELISM_LIMIT, &options->job.parallelism, error);
}

static enum weir_result take_retain(struct options *options, const char *value,
                                    struct weir_error *error)
{
    return take_number("--retain", value, UINT32_MAX, &options->job.retain, error);
}

static enum weir_result take_endpoint(struct options *options, const char *value,
                                      struct weir_error *error)
{
    if (strcmp(value, "inproc") != 0 && strcmp(value, "tcp://127.0.0.1") != 0)
        return refuse(error, "--endpoint %s: say inproc or tcp://127.0.0.1", value);
    options->job.endpoint = value;
    return WEIR_OK;
}

static enum weir_result take_set(struct options *options, const char *value,
                                 struct weir_error *error)
{
    return parameters_set(&options->parameters, value, error);
}

/* ------------------------------------------------------------------------------- the table -- */

static const struct option {
    const char *name;
    const char *value;
    const char *help;
    take *take;
    bool repeatable;
} known[] = {
    {"store", "DIR", "where checkpoints are kept; without it a crash starts over", take_store,
     false},
    {"interval", "100ms|1s|off", "time between checkpoints (default 1s)", take_interval, false},
    {"restore", "latest|none|ID", "the checkpoint to go on from (default latest)", take_restore,
     false},
    {"parallelism", "N", "tasks of each node (default 1)", take_parallelism, false},
    {"endpoint", "inproc|tcp://127.0.0.1", "how tasks reach each other (default inproc)",
     take_endpoint, false},
    {"retain", "N", "checkpoints kept in the store (default 3)", take_retain, false},
    {"timeout", "60s", "a checkpoint that takes longer is given up (default 60s)", take_timeout,
     false},
    {"set", "NAME=VALUE", "a parameter of the program, see below; repeatable", take_set, true},
};
enum { KNOWN_COUNT = sizeof known / sizeof known[0] };

void options_print(FILE *out)
{
    char head[48];

    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        snprintf(head, sizeof head, "--%s %s", known[i].name, known[i].value);
        fprintf(out, "  %-33s %s\n", head, known[i].help);
    }
    fprintf(out, "  %-33s %s\n", "--help", "this text");
    fprintf(out, "  %-33s %s\n", "--version", "the versions of the program and of weir");
}

/* ----------------------------------------------------------------------------- the parsing -- */

static enum weir_result refuse_option(const char *name, struct weir_error *error)
{
    struct nearest nearest = nearest_to(name);

    for (size_t i = 0; i < KNOWN_COUNT; i++)
        nearest_offer(&nearest, known[i].name);
    if (nearest.best != NULL)
        return refuse(error, "--%s: unknown option; did you mean --%s?", name, nearest.best);
    return refuse(error, "--%s: unknown option; --help lists them", name);
}

static enum weir_result take_verb(struct options *options, const char *word,
                                  struct weir_error *error)
{
    struct nearest nearest = nearest_to(word);

    if (options->verb != OPTIONS_NONE && strchr(word, '=') != NULL)
        return refuse(error, "\"%s\" stands alone: say --set %s", word, word);
    if (options->verb != OPTIONS_NONE)
        return refuse(error, "\"%s\" is one word too many", word);
    options->verb = strcmp(word, "run") == 0    ? OPTIONS_RUN
                    : strcmp(word, "plan") == 0 ? OPTIONS_PLAN
                                                : OPTIONS_NONE;
    if (options->verb != OPTIONS_NONE)
        return WEIR_OK;
    nearest_offer(&nearest, "run");
    nearest_offer(&nearest, "plan");
    if (nearest.best != NULL)
        return refuse(error, "\"%s\": unknown verb; did you mean %s?", word, nearest.best);
    return refuse(error, "\"%s\": unknown verb; say run or plan", word);
}

/* The option whose name is the `size` bytes at `name`; KNOWN_COUNT: none. */
static size_t find(const char *name, size_t size)
{
    size_t i = 0;

    while (i < KNOWN_COUNT &&
           (strncmp(known[i].name, name, size) != 0 || known[i].name[size] != '\0'))
        i++;
    return i;
}

/* Takes argv[*at], and the word after it when that is its value. */
static enum weir_result take_option(struct options *options, char **argv, int *at,
                                    struct weir_error *error)
{
    const char *word = argv[*at];
    const char *name = word + (word[1] == '-' ? 2 : 1);
    size_t size = strcspn(name, "=");
    size_t index = word[1] == '-' ? find(name, size) : KNOWN_COUNT;
    const char *value = name[size] == '=' ? name + size + 1 : argv[*at + 1];
    char text[64];

    snprintf(text, sizeof text, "%.*s", (int)(size < sizeof text ? size : sizeof text), name);
    if (index == KNOWN_COUNT)
        return refuse_option(text, error);

    const struct option *option = &known[index];
    if (value == NULL || (name[size] != '=' && strncmp(value, "--", 2) == 0))
        return refuse(error, "--%s has no value: say --%s %s", text, text, option->value);
    if (!option->repeatable && (options->given & 1u << index) != 0)
        return refuse(error, "--%s is given twice", text);
    options->given |= 1u << index;
    *at += name[size] != '=';
    return option->take(options, value, error);
}

/* OPTIONS_HELP or OPTIONS_VERSION when one is asked for, wherever; else OPTIONS_NONE. */
static enum options_verb asked_for(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return OPTIONS_HELP;
        if (strcmp(argv[i], "--version") == 0)
            return OPTIONS_VERSION;
    }
    return OPTIONS_NONE;
}

/* What only the whole line shows. */
static enum weir_result check(struct options *options, struct weir_error *error)
{
    if (options->verb == OPTIONS_NONE)
        return refuse(error, "no verb: say run or plan");
    if (options->job.store == NULL && options->job.restore == WEIR_RESTORE_ID)
        return refuse(error, "--restore needs --store DIR: that is where checkpoints are");
    return parameters_end(&options->parameters, error);
}

enum weir_result options_parse(struct options *options, int argc, char **argv,
                               const struct weir_parameter *declared, struct weir_error *error)
{
    memset(options, 0, sizeof *options);
    options->job.size = sizeof options->job;
    options->verb = asked_for(argc, argv);
    if (options->verb != OPTIONS_NONE)
        return WEIR_OK;

    enum weir_result result = parameters_begin(&options->parameters, declared, error);
    for (int i = 1; i < argc && result == WEIR_OK; i++)
        result = argv[i][0] == '-' ? take_option(options, argv, &i, error)
                                   : take_verb(options, argv[i], error);
    return result == WEIR_OK ? check(options, error) : result;
}
