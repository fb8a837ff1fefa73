/* SPDX-License-Identifier: Apache-2.0
 *
 * options: the input is a command line, one word a line, and behind an empty line the text of a
 * --config file. What is taken is within the limits of a job's options.
 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "job.h"

#define WORDS 40u

static const struct weir_parameter declared[] = {
    {"input", WEIR_TEXT, "text", "file of text", NULL},
    {"emit", WEIR_CHOICE, "final", "when", "final|updates"},
    {"rate", WEIR_COUNT, "0", "lines a second", NULL},
    {"wait", WEIR_DURATION, "1s", "how long", NULL},
    {"memory", WEIR_BYTES, "1MiB", "how much", NULL},
    {"share", WEIR_REAL, "0.5", "which part", NULL},
    {"loud", WEIR_FLAG, "no", "whether", NULL},
    {0}};

/* A file with this text, under a name of its descriptor's. */
static int make_file(const unsigned char *text, size_t size, char path[40])
{
    int file = memfd_create("config", MFD_CLOEXEC);

    fuzz_must(file >= 0 && write(file, text, size) == (ssize_t)size, "no file");
    snprintf(path, 40, "/proc/self/fd/%d", file);
    return file;
}

static void check(const struct options *options)
{
    struct weir_job_options resolved;
    struct weir_error error = {0};

    fuzz_must(options->verb != OPTIONS_NONE, "taken, and no verb");
    enum weir_result result = job_take_options(&options->job, &resolved, &error);
    if (result != WEIR_OK)
        fuzz_refused(result, &error);
    fuzz_must(options->restart_delay_ns >= 0 && options->stop_deadline_ns >= 0, "negative times");
    for (size_t i = 0; i < options->parameters.count; i++)
        fuzz_must(options->parameters.values[i].text != NULL || options->verb > OPTIONS_PLAN ||
                      options->parameters.declared[i].standard == NULL,
                  "a default got lost");
}

static void parse(int count, char **words)
{
    struct options options;
    struct weir_error error = {0};
    enum weir_result result = options_parse(&options, count, words, declared, &error);

    if (result != WEIR_OK) {
        fuzz_refused(result, &error);
        return;
    }
    check(&options);
    options_free(&options);
}

static void run(const unsigned char *data, size_t size)
{
    char *text = malloc(size + 1), *words[WORDS + 3], path[40], option[] = "--config";
    char name[] = "program";
    int count = 0, file = -1;

    fuzz_must(text != NULL, "no memory");
    memcpy(text, data, size);
    text[size] = '\0';
    words[count++] = name;
    for (char *at = text; at != NULL && count < (int)WORDS;) {
        char *end = strchr(at, '\n');
        if (end == at) { /* the file */
            size_t from = (size_t)(end + 1 - text);
            file = make_file(data + from, size - from, path);
            words[count++] = option;
            words[count++] = path;
            break;
        }
        if (end != NULL)
            *end = '\0';
        words[count++] = at;
        at = end == NULL ? NULL : end + 1;
    }
    words[count] = NULL;
    parse(count, words);
    if (file >= 0)
        close(file);
    free(text);
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    static const char *const seeds[] = {
        "run\n--store\n/a/b\n--interval\n100ms\n--set\nrate=7\n--set=emit=updates\n--parallelism=4",
        "plan\n--dot\n--set\nshare=0.25\n--restore\n./saved\n--store\ns",
        "stop\n--store\ns\n--savepoint\n/a\n--drain",
        "savepoint\n--store\ns\n--to\n/b",
        "run\n--memory-max\n4GiB\n--state-memory=1GiB\n--scratch\n/"
        "t\n--mode\nunaligned\n--store=s\n"
        "--alignment-max\n50ms\n--recording-max\n64MiB\n--rounds\n2\n--stop-deadline\n30s\n"
        "--max-restarts\n3\n--restart-delay\n100ms\n--supervise\n--poison-after\n3\n--dead-"
        "letters\nd\n"
        "--log-level\ndebug\n--json\n--full-every\n5\n--key-groups\n64\n--tolerated\n2\n--"
        "retain\n4",
        "run\n--quiet=no\n--no-control\n--allow-dropped-state\n\n# a comment\ninterval = 1s # and "
        "one\n"
        "set rate = 5\nset wait = 20ms\nset memory = 5kB\nset loud = yes\nsupervise = no\n"
        "store = /x\nmin-pause = 5ms\ntimeout=60s\nendpoint = tcp://127.0.0.1\n",
        "status\n--store\ns\n--json",
        "run\n--help",
        "run\n\nset set = set\n = \nx\t=\ty\r\n",
        "checkpoint\ndump\n--store\n--store\n--interval\n99999999999999999999h",
    };

    if (n >= sizeof seeds / sizeof seeds[0])
        return false;
    fuzz_put(to, seeds[n], strlen(seeds[n]));
    return true;
}

const struct fuzz_target fuzz_options = {"options", run, seed, NULL};
