/* links: zmq */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Async with the pool's threads running free beside the job's, for ThreadSanitizer: stopped at once
 * in mid-stream and started again, and each answer is written once.
 */
#include <dirent.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir.h"
#include "weir_operators.h"

#define RECORDS 20000u
#define MS INT64_C(1000000)
#define DEADLINE (120000 * MS)

static char folder[64], store[80], output[80];

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "plain_async: %s: %s\n", what, detail);
    abort();
}

/* Every 10th has no answer. */
static enum weir_result call(const struct weir_record *record, struct weir_reply *reply,
                             const void *config)
{
    uint64_t number;
    (void)config;
    memcpy(&number, record->value.data, sizeof number);
    if (weir_reply_stopping(reply)) /* its answer would not be used */
        return weir_reply_fail(reply, WEIR_STOPPED, "it ends");
    if (number % 10 == 3)
        weir_reply_none(reply);
    return weir_reply_append(reply, record->value);
}

static size_t line_of(char *line, size_t room, const struct weir_record *record, const void *config)
{
    uint64_t number;
    (void)config;
    memcpy(&number, record->value.data, sizeof number);
    return (size_t)snprintf(line, room, "%" PRIu64, number);
}

static struct weir_graph *graph_of(bool unordered)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node source = weir_sequence_source(
        graph, "source",
        &(struct weir_sequence_source_options){WEIR_SIZED(struct weir_sequence_source_options),
                                               .count = RECORDS, .keys = 50, .rate = 40000,
                                               .first_time = 1, .time_step = 1, .parallelism = 2});
    weir_node async =
        weir_async(graph, "async",
                   &(struct weir_async_options){
                       WEIR_SIZED(struct weir_async_options), .call = call, .threads = 3,
                       .capacity = 10, .unordered = unordered, .retries = 3, .retry_pause_ns = MS,
                       .timeout_ns = DEADLINE, .parallelism = 2});
    weir_node sink = weir_line_sink(
        graph, "sink",
        &(struct weir_line_sink_options){WEIR_SIZED(struct weir_line_sink_options), .path = output,
                                         .write = line_of, .parallelism = 1});
    weir_connect(graph, source, async, WEIR_SPREAD);
    weir_connect(graph, async, sink, WEIR_SPREAD);
    return graph;
}

static struct weir_job *start(struct weir_graph *graph)
{
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options), .store = store,
                                       .interval_ns = 10 * MS, .batch_bytes = 1024,
                                       .window_batches = 2};
    struct weir_job *job;
    struct weir_error error = {0};
    if (weir_job_start(graph, &options, &job, &error) != WEIR_OK)
        fail("no start", error.text);
    return job;
}

static void end_as(struct weir_job *job, enum weir_outcome wanted)
{
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    struct weir_error error = {0};
    if (weir_job_wait(job, DEADLINE, &outcome, &error) != WEIR_OK || outcome != wanted)
        fail("not the outcome that was expected", error.text);
    weir_job_close(&job);
}

static void until_committed(struct weir_job *job, uint64_t least)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    enum weir_outcome outcome;
    struct weir_error error = {0};
    while (status.committed < least) {
        if (weir_job_wait(job, 10 * MS, &outcome, &error) == WEIR_OK)
            fail("it ended too early", error.text);
        weir_job_status(job, &status);
    }
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void count_lines(const char *path, unsigned counts[RECORDS])
{
    FILE *file = fopen(path, "r");
    uint64_t number;
    if (!file)
        fail("no part", path);
    while (fscanf(file, "%" SCNu64, &number) == 1)
        if (number >= RECORDS || ++counts[number] > 1)
            fail("an answer is wrong, or there twice", path);
    fclose(file);
}

static void check_output(void)
{
    static unsigned counts[RECORDS];
    DIR *parts = opendir(output);
    char path[400];
    if (!parts)
        fail("no output", output);
    memset(counts, 0, sizeof counts);
    for (const struct dirent *entry; (entry = readdir(parts)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", output, entry->d_name);
        if (strncmp(entry->d_name, "part-", 5) == 0)
            count_lines(path, counts);
    }
    closedir(parts);
    for (uint64_t number = 0; number < RECORDS; number++)
        if (counts[number] != (number % 10 != 3))
            fail("an answer is missing, or there without need", output);
}

static void run(bool unordered)
{
    snprintf(folder, sizeof folder, "%s/weir_async_XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder))
        fail("no temporary folder", folder);
    snprintf(store, sizeof store, "%s/store", folder);
    snprintf(output, sizeof output, "%s/out", folder);
    struct weir_graph *graph = graph_of(unordered);
    for (unsigned i = 0; i < 3; i++) {
        struct weir_job *job = start(graph);
        until_committed(job, 3);
        if (weir_job_stop(job, WEIR_STOP_NOW, NULL) != WEIR_OK)
            fail("no stop", "");
        end_as(job, WEIR_OUTCOME_STOPPED);
    }
    end_as(start(graph), WEIR_OUTCOME_ENDED);
    weir_graph_free(&graph);
    check_output();
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    run(false);
    run(true);
    return 0;
}
