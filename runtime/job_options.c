/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "error.h"
#include "job.h"

#define SECOND_NS 1000000000LL
#define KIB 1024u
#define KEY_GROUP_LIMIT 32768u
#define HANG_AFTER_LEAST (SECOND_NS / 10)
#define SIGNAL_LIMIT 64 /* of Linux */

static void fill_in(struct weir_job_options *options)
{
    if (!options->name)
        options->name = "job";
    if (!options->parallelism)
        options->parallelism = 1;
    if (options->interval_ns == 0)
        options->interval_ns = SECOND_NS;
    if (options->interval_ns < 0)
        options->interval_ns = 0; /* the round machine's "only on request" */
    if (options->timeout_ns == 0)
        options->timeout_ns = 60 * SECOND_NS;
    if (!options->tolerated)
        options->tolerated = UINT32_MAX;
    if (!options->retain)
        options->retain = 3;
    if (!options->batch_bytes)
        options->batch_bytes = 32 * KIB;
    if (!options->window_batches)
        options->window_batches = 8;
    if (!options->window_bytes)
        options->window_bytes = options->window_batches * options->batch_bytes;
    if (!options->endpoint)
        options->endpoint = "inproc";
    if (!options->alignment_max_ns)
        options->alignment_max_ns = SECOND_NS / 20;
    if (!options->rounds_at_once)
        options->rounds_at_once = 2;
    if (!options->hang_after_ns)
        options->hang_after_ns = 30 * SECOND_NS;
    if (options->hang_after_ns < 0)
        options->hang_after_ns = INT64_MAX; /* never */
}

static enum weir_result check(const struct weir_job_options *options, struct weir_error *error)
{
    const char *what = NULL;
    if (!manifest_name_ok(options->name))
        what = "name: 1 to 64 of A-Z a-z 0-9 _ -, not beginning with -";
    else if (options->parallelism > GRAPH_PARALLELISM_LIMIT)
        what = "parallelism: 1 to 1024";
    else if (options->min_pause_ns < 0 || options->timeout_ns < 0)
        what = "min_pause_ns and timeout_ns: not negative";
    else if (options->batch_bytes < KIB || options->batch_bytes > KIB * KIB)
        what = "batch_bytes: 1 KiB to 1 MiB";
    else if (options->window_batches > 1024)
        what = "window_batches: 1 to 1024";
    else if ((unsigned)options->restore > WEIR_RESTORE_PATH)
        what = "restore: latest, none, an id or a path";
    else if (options->restore == WEIR_RESTORE_PATH &&
             (!options->restore_path || !*options->restore_path ||
              (!options->store && !options->no_publish)))
        what = "restore_path: the directory of a savepoint; and a store, for what comes after it";
    else if ((unsigned)options->mode > WEIR_UNALIGNED)
        what = "mode: adaptive, aligned or unaligned";
    else if (options->alignment_max_ns < 0)
        what = "alignment_max_ns: not negative";
    else if (options->rounds_at_once > ROUND_LIMIT)
        what = "rounds_at_once: 1 to 8";
    else if (options->key_groups > KEY_GROUP_LIMIT)
        what = "key_groups: 1 to 32768";
    else if (options->scratch && !*options->scratch)
        what = "scratch: it names no directory";
    else if (options->hang_after_ns < HANG_AFTER_LEAST)
        what = "hang_after_ns: at least 100 ms; negative: never";
    else if (options->open_signal < 0 || options->open_signal > SIGNAL_LIMIT)
        what = "open_signal: the number of a signal, 1 to 64; 0: none";
    else if (options->restore == WEIR_RESTORE_ID && (!options->restore_id || !options->store))
        what = "restore_id: an id above 0 needs a store";
    else if (options->no_publish && (options->poison_count || options->dead_letters))
        what = "no_publish: there are no dead letters then, and no poison";
    else if (options->until_time < 0)
        what = "until_time: after 1970";
    else if (!options->no_publish && (options->until_records || options->until_time))
        what = "until_records and until_time: they go with no_publish alone";
    else if (strcmp(options->endpoint, "inproc") != 0 &&
             strcmp(options->endpoint, "tcp://127.0.0.1") != 0)
        what = "endpoint: \"inproc\" or \"tcp://127.0.0.1\"";
    if (what)
        return error_set(error, WEIR_INVALID, 0, "job option %s", what);
    return WEIR_OK;
}

enum weir_result job_take_options(const struct weir_job_options *given,
                                  struct weir_job_options *resolved, struct weir_error *error)
{
    *resolved = (struct weir_job_options){0};
    if (given && given->size < sizeof(size_t))
        return error_set(error, WEIR_INVALID, 0,
                         "struct weir_job_options: .size is not set, write "
                         "{WEIR_SIZED(struct weir_job_options), ...}");
    if (given)
        memcpy(resolved, given, given->size < sizeof *resolved ? given->size : sizeof *resolved);
    fill_in(resolved);
    return check(resolved, error);
}
