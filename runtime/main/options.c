/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "bytes.h"
#include "duration.h"
#include "digits.h"
#include "refusal.h"

enum { PARALLELISM_LIMIT = 1024, KEY_GROUP_LIMIT = 32768 }; /* weir.h */
#define MILLISECOND_NS ((int64_t)1000 * 1000)
#define HANG_AFTER_LEAST_NS (100 * MILLISECOND_NS) /* weir.h */

/* ----------------------------------------------------------------------- one of its own kind -- */

typedef enum weir_result take(struct options *options, const char *value, struct weir_error *error);

static enum weir_result take_store(struct options *options, const char *value,
                                   struct weir_error *error)
{
    if (*value == '\0')
        return refuse(error, "--store: the directory's name is empty");
    options->job.store = value;
    return WEIR_OK;
}

static enum weir_result take_dead_letters(struct options *options, const char *value,
                                          struct weir_error *error)
{
    if (*value == '\0')
        return refuse(error, "--dead-letters: the directory's name is empty");
    options->job.dead_letters = value;
    return WEIR_OK;
}

static enum weir_result take_to(struct options *options, const char *value,
                                struct weir_error *error)
{
    if (*value == '\0')
        return refuse(error, "--to: the directory's name is empty");
    options->to = value;
    return WEIR_OK;
}

static enum weir_result take_savepoint(struct options *options, const char *value,
                                       struct weir_error *error)
{
    if (*value == '\0')
        return refuse(error, "--savepoint: the directory's name is empty");
    options->savepoint = value;
    return WEIR_OK;
}

static enum weir_result take_interval(struct options *options, const char *value,
                                      struct weir_error *error)
{
    if (strcmp(value, "off") == 0) {
        options->job.interval_ns = -1;
        return WEIR_OK;
    }
    return duration_parse("--interval", value, false, &options->job.interval_ns, error);
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
    if (strchr(value, '/') != NULL) {
        job->restore = WEIR_RESTORE_PATH;
        job->restore_path = value;
        return WEIR_OK;
    }
    job->restore = WEIR_RESTORE_ID;
    const char *rest = digits_take(value, &job->restore_id);
    if (rest == NULL || *rest != '\0' || job->restore_id == 0)
        return refuse(error,
                      "--restore %s: say latest, none, the id of a checkpoint, or the path of a "
                      "savepoint with a / in it: ./%s",
                      value, value);
    return WEIR_OK;
}

/* What follows the dot of a second, up to nine digits. NULL: not that. */
static const char *take_fraction(const char *text, int64_t *ns)
{
    int64_t unit = 100000000;

    *ns = 0;
    for (; *text >= '0' && *text <= '9'; text++, unit /= 10) {
        if (unit == 0)
            return NULL;
        *ns += (*text - '0') * unit;
    }
    return unit == 100000000 ? NULL : text;
}

/* 2026-01-31T14:03:00Z, also with a fraction of the second. UTC, as all times are. Days and hours
 * that there are not come back from timegm as others. */
static bool read_time(const char *text, int64_t *ns)
{
    struct tm parts = {0};
    char again[32] = "";
    int64_t fraction = 0;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    time_t seconds = rest != NULL ? timegm(&parts) : 0;

    if (seconds <= 0 || seconds >= INT64_MAX / (1000 * MILLISECOND_NS) ||
        strftime(again, sizeof again, "%Y-%m-%dT%H:%M:%S", &parts) != (size_t)(rest - text) ||
        memcmp(again, text, (size_t)(rest - text)) != 0)
        return false;
    if (*rest == '.' && (rest = take_fraction(rest + 1, &fraction)) == NULL)
        return false;
    *ns = seconds * 1000 * MILLISECOND_NS + fraction;
    return strcmp(rest, "Z") == 0;
}

static enum weir_result take_until(struct options *options, const char *value,
                                   struct weir_error *error)
{
    struct weir_job_options *job = &options->job;
    uint64_t records = 0;
    const char *rest = digits_take(value, &records);

    job->until_records = 0;
    job->until_time = 0;
    if (rest != NULL && *rest == '\0' && records > 0)
        job->until_records = records;
    else if (!read_time(value, &job->until_time))
        return refuse(error,
                      "--until %s: say how many records, from 1 on, or an event time: "
                      "2026-01-31T14:03:00Z",
                      value);
    return WEIR_OK;
}

static enum weir_result take_mode(struct options *options, const char *value,
                                  struct weir_error *error)
{
    static const char *const names[] = {
        [WEIR_ADAPTIVE] = "adaptive", [WEIR_ALIGNED] = "aligned", [WEIR_UNALIGNED] = "unaligned"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) == 0) {
            options->job.mode = (enum weir_mode)i;
            return WEIR_OK;
        }
    }
    return refuse(error, "--mode %s: say adaptive, aligned or unaligned", value);
}

static enum weir_result take_recording_max(struct options *options, const char *value,
                                           struct weir_error *error)
{
    enum weir_result result =
        bytes_parse("--recording-max", value, &options->job.recording_max, error);
    if (result == WEIR_OK && options->job.recording_max == 0)
        return refuse(error, "--recording-max %s: say at least 1B", value);
    return result;
}

static enum weir_result take_memory_max(struct options *options, const char *value,
                                        struct weir_error *error)
{
    enum weir_result result = bytes_parse("--memory-max", value, &options->job.memory_max, error);
    if (result == WEIR_OK && options->job.memory_max == 0)
        return refuse(error, "--memory-max %s: say at least 1B; without the option there is none",
                      value);
    return result;
}

static enum weir_result take_state_memory(struct options *options, const char *value,
                                          struct weir_error *error)
{
    enum weir_result result =
        bytes_parse("--state-memory", value, &options->job.state_memory, error);
    if (result == WEIR_OK && options->job.state_memory == 0)
        return refuse(error,
                      "--state-memory %s: say at least 4KiB; without the option there is no "
                      "limit",
                      value);
    return result;
}

static enum weir_result take_scratch(struct options *options, const char *value,
                                     struct weir_error *error)
{
    if (*value == '\0')
        return refuse(error, "--scratch: the directory's name is empty");
    options->job.scratch = value;
    return WEIR_OK;
}

static enum weir_result take_endpoint(struct options *options, const char *value,
                                      struct weir_error *error)
{
    if (strcmp(value, "inproc") != 0 && strcmp(value, "tcp://127.0.0.1") != 0)
        return refuse(error, "--endpoint %s: say inproc or tcp://127.0.0.1", value);
    options->job.endpoint = value;
    return WEIR_OK;
}

static enum weir_result take_hang_after(struct options *options, const char *value,
                                        struct weir_error *error)
{
    if (strcmp(value, "off") == 0) {
        options->job.hang_after_ns = -1;
        return WEIR_OK;
    }
    enum weir_result result =
        duration_parse("--hang-after", value, false, &options->job.hang_after_ns, error);
    if (result == WEIR_OK && options->job.hang_after_ns < HANG_AFTER_LEAST_NS)
        return refuse(error, "--hang-after %s: say at least 100ms, or off", value);
    return result;
}

static enum weir_result take_hang_action(struct options *options, const char *value,
                                         struct weir_error *error)
{
    options->hang_restarts = strcmp(value, "restart") == 0;
    if (!options->hang_restarts && strcmp(value, "warn") != 0)
        return refuse(error, "--hang-action %s: say warn or restart", value);
    return WEIR_OK;
}

static enum weir_result take_log_level(struct options *options, const char *value,
                                       struct weir_error *error)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) == 0) {
            options->log_level = (enum weir_level)i;
            return WEIR_OK;
        }
    }
    return refuse(error, "--log-level %s: say error, warning, info or debug", value);
}

static enum weir_result take_set(struct options *options, const char *value,
                                 struct weir_error *error)
{
    const char *equals = strchr(value, '=');
    size_t size = strcspn(value, "=");

    return parameters_set(&options->parameters, PARAMETERS_LINE, value, size,
                          equals != NULL ? equals + 1 : NULL, error);
}

/* Its file has been read before the rest of the line. */
static enum weir_result take_config(struct options *options, const char *value,
                                    struct weir_error *error)
{
    (void)options, (void)value, (void)error;
    return WEIR_OK;
}

/* ------------------------------------------------------------------------------- the tables -- */

enum kind { FLAG, NUMBER, DURATION, OWN }; /* of the value; OWN: `take` knows */

/* Sets of verbs. */
#define BIT(verb) (1u << (verb))
enum {
    JOB = BIT(OPTIONS_RUN) | BIT(OPTIONS_PLAN), /* so that a line can be tried with `plan` first */
    ASK = BIT(OPTIONS_STATUS) | BIT(OPTIONS_CHECKPOINT) | BIT(OPTIONS_SAVEPOINT) |
          BIT(OPTIONS_STOP) | BIT(OPTIONS_DUMP),
};

static const struct verb {
    const char *name;
    enum options_verb verb;
    const char *help;
} verbs[] = {
    {"run", OPTIONS_RUN, "start, or go on from the newest checkpoint"},
    {"plan", OPTIONS_PLAN, "show the graph, its tasks and what they guarantee"},
    {"status", OPTIONS_STATUS, "ask the job that runs on --store how it does"},
    {"checkpoint", OPTIONS_CHECKPOINT, "make it take a checkpoint now"},
    {"savepoint", OPTIONS_SAVEPOINT, "make it take one, and keep a copy in the directory --to"},
    {"stop", OPTIONS_STOP, "stop it after one last checkpoint"},
    {"dump", OPTIONS_DUMP, "show what each of its tasks is doing"},
};
enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

#define AT(member) offsetof(struct options, member)

/* A row is a row. */
/* clang-format off */
static const struct option {
    const char *name;
    const char *value; /* as people should write it; NULL: yes, no, or nothing for yes */
    const char *help;
    const char *heading; /* stands before it in the help */
    unsigned verbs;      /* where it has a meaning */
    enum kind kind;
    size_t offset; /* of an int64_t in ns, an uint32_t or a bool; OWN: none */
    uint32_t least, most;
    take *take;
    bool repeatable;
    bool needs_store;
    bool replays; /* needs_store, but has a meaning too where the store is only read */
} known[] = {
    {.heading = "the job:",
     .name = "store", .value = "DIR", .verbs = JOB | ASK, .kind = OWN, .take = take_store,
     .help = "where checkpoints are kept; without it a crash starts over"},
    {.name = "set", .value = "NAME=VALUE", .verbs = JOB, .kind = OWN, .take = take_set,
     .repeatable = true,
     .help = "a parameter of the program, see below; repeatable"},
    {.name = "config", .value = "FILE", .verbs = JOB | ASK, .kind = OWN, .take = take_config,
     .help = "options from a file, one a line: interval = 100ms; --option wins"},
    {.name = "parallelism", .value = "N", .verbs = JOB, .kind = NUMBER, .least = 1,
     .most = PARALLELISM_LIMIT, .offset = AT(job.parallelism),
     .help = "tasks of each node (default 1)"},
    {.name = "memory-max", .value = "4GiB", .verbs = JOB, .kind = OWN, .take = take_memory_max,
     .help = "of queued records, saved ones and keyed state (default no limit)"},
    {.name = "state-memory", .value = "1GiB", .verbs = JOB, .kind = OWN,
     .take = take_state_memory,
     .help = "of keyed state; what is beyond goes to --scratch (default no limit)"},
    {.name = "scratch", .value = "DIR", .verbs = JOB, .kind = OWN, .take = take_scratch,
     .help = "where a cycle's records and large state go (default in the store)"},
    {.name = "endpoint", .value = "inproc|tcp://127.0.0.1", .verbs = JOB, .kind = OWN,
     .take = take_endpoint,
     .help = "how tasks reach each other (default inproc)"},
    {.name = "restore", .value = "latest|none|ID|PATH", .verbs = JOB, .kind = OWN,
     .take = take_restore,
     .needs_store = true, .replays = true,
     .help = "the checkpoint, or the savepoint, to go on from (default latest)"},
    {.name = "allow-dropped-state", .verbs = JOB, .kind = FLAG, .needs_store = true,
     .replays = true,
     .offset = AT(job.allow_dropped_state),
     .help = "drop what of the checkpoint the graph has no place for"},
    {.name = "key-groups", .value = "N", .verbs = JOB, .kind = NUMBER, .least = 1,
     .most = KEY_GROUP_LIMIT, .needs_store = true, .offset = AT(job.key_groups),
     .help = "of a new store, for ever: keys move in groups (default 128)"},

    {.name = "no-publish", .verbs = JOB, .kind = FLAG, .offset = AT(job.no_publish),
     .help = "go on from a checkpoint and publish nothing; the store is only read"},
    {.name = "until", .value = "COUNT|TIME", .verbs = JOB, .kind = OWN, .take = take_until,
     .help = "of --no-publish: end after so many records of each source, or there"},

    {.heading = "checkpoints:",
     .name = "interval", .value = "100ms|1s|off", .verbs = JOB, .kind = OWN,
     .take = take_interval,
     .needs_store = true,
     .help = "time between them (default 1s)"},
    {.name = "min-pause", .value = "50ms", .verbs = JOB, .kind = DURATION, .needs_store = true,
     .offset = AT(job.min_pause_ns),
     .help = "least time from one's end to the next one's start (default none)"},
    {.name = "timeout", .value = "60s", .verbs = JOB, .kind = DURATION,
     .offset = AT(job.timeout_ns),
     .needs_store = true,
     .help = "one that takes longer is given up (default 60s)"},
    {.name = "tolerated", .value = "N", .verbs = JOB, .kind = NUMBER, .least = 1,
     .most = UINT32_MAX, .needs_store = true, .offset = AT(job.tolerated),
     .help = "so many in a row may come to nothing, then the run fails (default any)"},
    {.name = "retain", .value = "N", .verbs = JOB, .kind = NUMBER, .least = 1,
     .most = UINT32_MAX, .offset = AT(job.retain),
     .needs_store = true,
     .help = "how many the store keeps (default 3)"},
    {.name = "full-every", .value = "N", .verbs = JOB, .kind = NUMBER, .least = 1,
     .most = UINT32_MAX, .offset = AT(job.full_every),
     .needs_store = true,
     .help = "every Nth writes all state, and names nothing older (default none)"},
    {.name = "mode", .value = "adaptive|aligned|unaligned", .verbs = JOB, .kind = OWN,
     .take = take_mode,
     .needs_store = true,
     .help = "how they pass queued records (default adaptive)"},
    {.name = "alignment-max", .value = "50ms", .verbs = JOB, .kind = DURATION,
     .needs_store = true, .offset = AT(job.alignment_max_ns),
     .help = "an adaptive one that is older overtakes what is queued (default 50ms)"},
    {.name = "recording-max", .value = "64MiB", .verbs = JOB, .kind = OWN,
     .take = take_recording_max, .needs_store = true,
     .help = "memory for queued records that they save (default 64MiB)"},
    {.name = "rounds", .value = "N", .verbs = JOB, .kind = NUMBER, .least = 1, .most = 8,
     .needs_store = true, .offset = AT(job.rounds_at_once),
     .help = "so many at once: one is taken, others written (default 2)"},
    {.name = "stop-deadline", .value = "30s", .verbs = JOB, .kind = DURATION,
     .needs_store = true, .offset = AT(stop_deadline_ns),
     .help = "a stop waits no longer for the last one (default 30s)"},

    {.heading = "after a failure:",
     .name = "max-restarts", .value = "N", .verbs = JOB, .kind = NUMBER, .most = 1000000,
     .needs_store = true, .offset = AT(max_restarts),
     .help = "restarts in a row, no new checkpoint between them (default 3)"},
    {.name = "restart-delay", .value = "100ms", .verbs = JOB, .kind = DURATION,
     .needs_store = true, .offset = AT(restart_delay_ns),
     .help = "wait before the first, doubled for each further one (default 100ms)"},
    {.name = "supervise", .verbs = JOB, .kind = FLAG, .needs_store = true,
     .offset = AT(supervise),
     .help = "run in a child process, which is started again when it dies"},
    {.name = "dead-letters", .value = "DIR", .verbs = JOB, .kind = OWN, .needs_store = true,
     .take = take_dead_letters,
     .help = "where records are put that fail their operator again and again"},
    {.name = "poison-after", .value = "N", .verbs = JOB, .kind = NUMBER, .least = 1,
     .most = 1000000, .needs_store = true, .offset = AT(poison_after),
     .help = "how often one record may fail its operator (default 3)"},

    {.name = "hang-after", .value = "30s|off", .verbs = JOB, .kind = OWN,
     .take = take_hang_after,
     .help = "what makes no progress for so long is told of (default 30s)"},
    {.name = "hang-action", .value = "warn|restart", .verbs = JOB, .kind = OWN,
     .take = take_hang_action, .needs_store = true,
     .help = "and the process may be ended, and started again (default warn)"},

    {.heading = "what is said and asked:",
     .name = "quiet", .verbs = JOB, .kind = FLAG, .offset = AT(quiet),
     .help = "only what goes wrong: --log-level warning"},
    {.name = "log-level", .value = "error|warning|info|debug", .verbs = JOB, .kind = OWN,
     .take = take_log_level,
     .help = "the least important messages shown (default info)"},
    {.name = "json", .verbs = JOB | ASK, .kind = FLAG, .offset = AT(json),
     .help = "JSON on standard output, for programs; excludes --quiet"},
    {.name = "no-control", .verbs = JOB, .kind = FLAG, .offset = AT(no_control),
     .help = "do not answer status, checkpoint, savepoint, stop and dump"},
    {.name = "dot", .verbs = BIT(OPTIONS_PLAN), .kind = FLAG, .offset = AT(dot),
     .help = "of plan: the graph in the language of Graphviz"},
    {.name = "to", .value = "DIR", .verbs = BIT(OPTIONS_SAVEPOINT), .kind = OWN, .take = take_to,
     .help = "of savepoint: the directory to write, not there yet, or empty"},
    {.name = "savepoint", .value = "DIR", .verbs = BIT(OPTIONS_STOP), .kind = OWN,
     .take = take_savepoint,
     .help = "of stop: keep the last checkpoint there; if that fails, go on"},
    {.name = "drain", .verbs = BIT(OPTIONS_STOP), .kind = FLAG, .offset = AT(drain),
     .help = "of stop: end the input here, for good, and publish everything"},
    {.name = "now", .verbs = BIT(OPTIONS_STOP), .kind = FLAG, .offset = AT(now),
     .help = "of stop: do not wait for a last checkpoint"},
};
/* clang-format on */
enum { KNOWN_COUNT = sizeof known / sizeof known[0] };
_Static_assert(KNOWN_COUNT <= 64, "a bit each in options.given");

void options_print_verbs(const char *program, FILE *out)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(out, "  %s %-10s  %s\n", program, verbs[i].name, verbs[i].help);
}

/* What stands to the right begins in one column; after a long head, in the next line. */
static void print_option(FILE *out, const char *name, const char *value, const char *help)
{
    enum { COLUMN = 27 };
    char head[80];

    snprintf(head, sizeof head, "--%s%s%s", name, value != NULL ? " " : "",
             value != NULL ? value : "");
    if (strlen(head) < COLUMN)
        fprintf(out, "  %-*s%s\n", COLUMN, head, help);
    else
        fprintf(out, "  %s\n  %*s%s\n", head, COLUMN, "", help);
}

void options_print(FILE *out)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (known[i].heading != NULL)
            fprintf(out, "\n%s\n", known[i].heading);
        print_option(out, known[i].name, known[i].value, known[i].help);
    }
    print_option(out, "help", NULL, "this text");
    print_option(out, "version", NULL, "the versions of the program and of weir");
}

/* ------------------------------------------------------------------------------- one option -- */

static enum weir_result take_number(struct options *options, const struct option *option,
                                    const char *value, struct weir_error *error)
{
    uint32_t *number = (uint32_t *)(void *)((char *)options + option->offset);
    uint64_t wide = 0;
    char what[64];

    snprintf(what, sizeof what, "--%s", option->name);
    enum weir_result result = digits_parse(what, value, option->least, option->most, &wide, error);
    *number = (uint32_t)wide;
    return result;
}

static enum weir_result take_duration(struct options *options, const struct option *option,
                                      const char *value, struct weir_error *error)
{
    char what[64];

    snprintf(what, sizeof what, "--%s", option->name);
    return duration_parse(what, value, false, (int64_t *)(void *)((char *)options + option->offset),
                          error);
}

static enum weir_result take_flag(struct options *options, const struct option *option,
                                  const char *value, struct weir_error *error)
{
    bool yes = strcmp(value, "yes") == 0;

    if (!yes && strcmp(value, "no") != 0)
        return refuse(error, "--%s %s: say yes or no", option->name, value);
    *(bool *)((char *)options + option->offset) = yes;
    return WEIR_OK;
}

static enum weir_result take_value(struct options *options, const struct option *option,
                                   const char *value, struct weir_error *error)
{
    switch (option->kind) {
    case FLAG:
        return take_flag(options, option, value, error);
    case NUMBER:
        return take_number(options, option, value, error);
    case DURATION:
        return take_duration(options, option, value, error);
    case OWN:
        break;
    }
    return option->take(options, value, error);
}

static enum weir_result refuse_option(const char *name, struct weir_error *error)
{
    struct nearest nearest = nearest_to(name);

    for (size_t i = 0; i < KNOWN_COUNT; i++)
        nearest_offer(&nearest, known[i].name);
    if (nearest.best != NULL)
        return refuse(error, "--%s: unknown option; did you mean --%s?", name, nearest.best);
    return refuse(error, "--%s: unknown option; --help lists them", name);
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

/* --------------------------------------------------------------------------------- the line -- */

static enum weir_result take_verb(struct options *options, const char *word,
                                  struct weir_error *error)
{
    struct nearest nearest = nearest_to(word);

    if (options->verb != OPTIONS_NONE && strchr(word, '=') != NULL)
        return refuse(error, "\"%s\" stands alone: say --set %s", word, word);
    if (options->verb != OPTIONS_NONE)
        return refuse(error, "\"%s\" is one word too many", word);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(word, verbs[i].name) == 0) {
            options->verb = verbs[i].verb;
            return WEIR_OK;
        }
        nearest_offer(&nearest, verbs[i].name);
    }
    if (nearest.best != NULL)
        return refuse(error, "\"%s\": unknown verb; did you mean %s?", word, nearest.best);
    return refuse(error, "\"%s\": unknown verb; say run or plan; --help lists the others", word);
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
    bool alone = option->value == NULL && name[size] != '=';
    if (alone)
        value = "yes";
    else if (value == NULL || (name[size] != '=' && strncmp(value, "--", 2) == 0))
        return refuse(error, "--%s has no value: say --%s %s", text, text, option->value);
    if (!option->repeatable && (options->given & UINT64_C(1) << index) != 0)
        return refuse(error, "--%s is given twice", text);
    options->given |= UINT64_C(1) << index;
    *at += !alone && name[size] != '=';
    return take_value(options, option, value, error);
}

/* ------------------------------------------------------------------------------- the file -- */

static enum weir_result take_entry(struct options *options, const struct config_entry *entry,
                                   struct weir_error *error)
{
    if (entry->parameter != NULL)
        return parameters_set(&options->parameters, PARAMETERS_FILE, entry->parameter,
                              strlen(entry->parameter), entry->value, error);

    size_t index = find(entry->name, strlen(entry->name));
    if (index == KNOWN_COUNT)
        return refuse_option(entry->name, error);
    if (known[index].take == take_config)
        return refuse(error, "--config: a file can't name another one");
    if ((options->in_file & UINT64_C(1) << index) != 0)
        return refuse(error, "--%s is given twice", entry->name);
    options->in_file |= UINT64_C(1) << index;
    return take_value(options, &known[index], entry->value, error);
}

static enum weir_result take_file(struct options *options, const char *path,
                                  struct weir_error *error)
{
    struct config_entry entry;
    enum weir_result result = config_open(&options->config, path, error);

    if (result != WEIR_OK)
        return result;
    while ((result = config_next(&options->config, &entry, error)) == WEIR_OK)
        if (take_entry(options, &entry, error) != WEIR_OK)
            return config_blame(&options->config, error);
    return result == WEIR_NOT_FOUND ? WEIR_OK : result;
}

/* The value of --config, wherever it stands: the line is read after the file, to win over it. NULL:
 * there is none, or none that the line's reading would not refuse. */
static const char *file_named(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0)
            return argv[i] + 9;
        if (strcmp(argv[i], "--config") == 0)
            return i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0 ? argv[i + 1] : NULL;
    }
    return NULL;
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

/* ------------------------------------------------------------ what only the whole line shows -- */

static bool given(const struct options *options, const char *name)
{
    return ((options->given | options->in_file) >> find(name, strlen(name)) & 1) != 0;
}

static const char *verb_name(enum options_verb verb)
{
    size_t i = 0;

    while (verbs[i].verb != verb)
        i++;
    return verbs[i].name;
}

/* Each option for itself: has it a meaning with this verb, and without a store? */
static enum weir_result check_each(const struct options *options, struct weir_error *error)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        bool on_line = (options->given >> i & 1) != 0;
        bool meant = (known[i].verbs & BIT(options->verb)) != 0;
        if (on_line && !meant)
            return refuse(error, "--%s means nothing to \"%s\": leave it out", known[i].name,
                          verb_name(options->verb));
        bool elsewhere = options->job.no_publish && options->job.restore == WEIR_RESTORE_PATH;
        if (meant && known[i].needs_store && options->job.store == NULL && !elsewhere &&
            given(options, known[i].name))
            return refuse(error, "--%s needs --store DIR: that is where checkpoints are",
                          known[i].name);
    }
    return WEIR_OK;
}

static bool same_path(const char *one, const char *other)
{
    size_t size = strlen(one), other_size = strlen(other);

    while (size > 1 && one[size - 1] == '/')
        size--;
    while (other_size > 1 && other[other_size - 1] == '/')
        other_size--;
    return size == other_size && memcmp(one, other, size) == 0;
}

/* A job that publishes nothing takes no checkpoint, so nothing is restarted either. What a file
 * says of that is meant for other runs. */
static void pass_over(struct options *options)
{
    options->supervise = options->hang_restarts = false;
    options->max_restarts = 0;
    options->job.dead_letters = NULL;
    options->job.key_groups = 0;
}

static enum weir_result check_replay(const struct options *options, struct weir_error *error)
{
    if (!options->job.no_publish && given(options, "until"))
        return refuse(error, "--until needs --no-publish: a job that was cut off there would have "
                             "published what it has; to stop one, say stop");
    for (size_t i = 0; options->job.no_publish && i < KNOWN_COUNT; i++)
        if (known[i].needs_store && !known[i].replays && (options->given >> i & 1) != 0)
            return refuse(error,
                          "--%s means nothing with --no-publish, which takes no checkpoint and "
                          "restarts nothing: leave it out",
                          known[i].name);
    if (options->job.no_publish && options->job.restore == WEIR_RESTORE_PATH &&
        (options->given >> find("store", strlen("store")) & 1) != 0)
        return refuse(error, "--store means nothing with --no-publish and the path that --restore "
                             "names: only that is read; leave one of them out");
    return WEIR_OK;
}

/* Of a job's options, those that another one leaves without effect. */
static enum weir_result check_job(const struct options *options, struct weir_error *error)
{
    const struct weir_job_options *job = &options->job;

    if (check_replay(options, error) != WEIR_OK)
        return error->code;
    if (given(options, "alignment-max") && job->mode != WEIR_ADAPTIVE)
        return refuse(error,
                      "--alignment-max means nothing with --mode %s: it says when an "
                      "adaptive checkpoint overtakes; leave it out",
                      job->mode == WEIR_ALIGNED ? "aligned" : "unaligned");
    if (job->rounds_at_once > 1 && job->min_pause_ns > 0)
        return refuse(error,
                      "--rounds %" PRIu32 " and --min-pause: say one of them; with a pause "
                      "between them checkpoints come one at a time",
                      job->rounds_at_once);
    if (options->hang_restarts && !options->supervise)
        return refuse(error,
                      "--hang-action restart needs --supervise: a thread that hangs can't be "
                      "ended, only its process can");
    if (options->hang_restarts && job->hang_after_ns < 0)
        return refuse(error, "--hang-action restart and --hang-after off: say one of them");
    if (job->scratch != NULL && job->store != NULL && same_path(job->scratch, job->store))
        return refuse(error, "--scratch is the directory of --store: name another, or leave it "
                             "out; then it is a folder in the store");
    return WEIR_OK;
}

static enum weir_result check_pairs(const struct options *options, struct weir_error *error)
{
    unsigned verb = BIT(options->verb);

    if ((verb & ASK) != 0 && options->job.store == NULL)
        return refuse(error, "%s needs --store DIR: which running job is meant?",
                      verb_name(options->verb));
    if ((verb & JOB) != 0 && options->quiet && options->json)
        return refuse(error, "--quiet and --json: say one of them; who reads events can pass over "
                             "what it does not need");
    if ((verb & JOB) != 0 && options->quiet && given(options, "log-level"))
        return refuse(error, "--quiet and --log-level: say one of them; --quiet is --log-level "
                             "warning");
    /* --dead-letters alone has a sense: a checkpoint may hold letters of an earlier run. */
    if ((verb & JOB) != 0 && given(options, "poison-after") &&
        options->poison_after - 1 > options->max_restarts)
        return refuse(error,
                      "--poison-after %" PRIu32 " is never reached: with --max-restarts %" PRIu32
                      " the job is given up before",
                      options->poison_after, options->max_restarts);
    if (options->verb == OPTIONS_PLAN && options->dot && options->json)
        return refuse(error, "--dot and --json: say one of them");
    if (options->verb == OPTIONS_STOP && options->drain && options->now)
        return refuse(error, "--drain and --now: say one of them");
    if (options->verb == OPTIONS_STOP && options->savepoint != NULL && options->now)
        return refuse(error, "--savepoint and --now: say one of them; a stop at once leaves no "
                             "last checkpoint");
    if (options->verb == OPTIONS_SAVEPOINT && options->to == NULL)
        return refuse(error,
                      "savepoint needs --to DIR: a directory that is not there yet, or is empty");
    return WEIR_OK;
}

static void fill_defaults(struct options *options)
{
    if (!given(options, "log-level"))
        options->log_level = options->quiet ? WEIR_LOG_WARNING : WEIR_LOG_INFO;
    /* Without a checkpoint there is nothing to go on from: a restart would double the output. */
    if (!given(options, "max-restarts"))
        options->max_restarts = options->job.store != NULL && !options->job.no_publish ? 3 : 0;
    if (!given(options, "restart-delay"))
        options->restart_delay_ns = 100 * MILLISECOND_NS;
    if (!given(options, "poison-after"))
        options->poison_after = 3;
    if (!given(options, "stop-deadline"))
        options->stop_deadline_ns = 30000 * MILLISECOND_NS;
    options->maps = options->verb == OPTIONS_PLAN && given(options, "restore") &&
                    options->job.restore != WEIR_RESTORE_NONE;
    if (options->job.no_publish)
        pass_over(options);
    options->elsewhere = options->job.restore != WEIR_RESTORE_LATEST;
}

static enum weir_result check(struct options *options, struct weir_error *error)
{
    if (options->verb == OPTIONS_NONE)
        return refuse(error, "no verb: say run or plan; --help lists the others");
    fill_defaults(options);

    enum weir_result result = check_each(options, error);
    if (result == WEIR_OK)
        result = check_pairs(options, error);
    if (result == WEIR_OK && (BIT(options->verb) & JOB) != 0)
        result = check_job(options, error);
    /* Asking a running job takes no graph, and so no parameters. */
    if (result == WEIR_OK && (BIT(options->verb) & JOB) != 0)
        result = parameters_end(&options->parameters, error);
    return result;
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
    const char *file = file_named(argc, argv);
    if (result == WEIR_OK && file != NULL)
        result = take_file(options, file, error);
    for (int i = 1; i < argc && result == WEIR_OK; i++)
        result = argv[i][0] == '-' ? take_option(options, argv, &i, error)
                                   : take_verb(options, argv[i], error);
    if (result == WEIR_OK)
        result = check(options, error);
    if (result != WEIR_OK)
        options_free(options);
    return result;
}

void options_free(struct options *options)
{
    config_free(&options->config);
}
