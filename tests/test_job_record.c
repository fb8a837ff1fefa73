/* links: main */
/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole job into a record sink of several subtasks, stopped at once again and again: every record
 * is in the parts once, and the parts are sound files.
 */
#include "scratch.h"
#include "weir.h"
#include "weir_operators.h"

#include <dirent.h>

#define RECORDS 60000
#define STEP 1000 /* ns of event time between two */

static struct scratch scratch;
static struct weir_graph *graph;

static void set_up(void)
{
    scratch = scratch_make();
    graph = weir_graph_new(NULL);
}

static void tear_down(void)
{
    weir_graph_free(&graph);
    scratch_free(&scratch);
}

static void build(uint32_t sinks)
{
    weir_node source =
        weir_sequence_source(graph, "numbers",
                             &(struct weir_sequence_source_options){
                                 WEIR_SIZED(struct weir_sequence_source_options), .count = RECORDS,
                                 .keys = 100, .rate = RECORDS / 2, .time_step = STEP});
    weir_node sink =
        weir_record_sink(graph, "records",
                         &(struct weir_record_sink_options){
                             WEIR_SIZED(struct weir_record_sink_options),
                             .path = scratch_join(scratch.path, "out"), .parallelism = sinks});
    weir_connect(graph, source, sink, WEIR_BY_KEY);
}

/* Runs for `ms`, or to the end: then true. */
static bool run_for(int ms)
{
    struct weir_job *job;
    struct weir_error error = {0};
    enum weir_outcome outcome;
    struct weir_job_options options = {
        WEIR_SIZED(struct weir_job_options),
        .store = scratch_join(scratch.path, "store"),
        .interval_ns = 5 * 1000 * 1000,
    };
    cr_assert_eq(weir_job_start(graph, &options, &job, &error), WEIR_OK, "%s", error.text);
    enum weir_result result = weir_job_wait(job, (int64_t)ms * 1000 * 1000, &outcome, &error);
    if (result == WEIR_TIMEOUT) {
        cr_assert_eq(weir_job_stop(job, WEIR_STOP_NOW, &error), WEIR_OK);
        result = weir_job_wait(job, -1, &outcome, &error);
    }
    cr_assert_eq(result, WEIR_OK);
    cr_assert_neq(outcome, WEIR_OUTCOME_FAILED, "%s", error.text);
    weir_job_close(&job);
    return outcome == WEIR_OUTCOME_ENDED;
}

/* Counts what is in one part. */
static void read_part(const char *path, unsigned char met[RECORDS])
{
    struct weir_record_file *file;
    struct weir_record record;
    struct weir_error error = {0};
    enum weir_result result;
    cr_assert_eq(weir_record_file_open(NULL, path, &file, &error), WEIR_OK, "%s", error.text);
    while ((result = weir_record_file_next(file, &record, &error)) == WEIR_OK) {
        cr_assert(record.key.size == 8 && record.value.size == 8);
        uint64_t key = *(const uint64_t *)record.key.data;
        uint64_t number = *(const uint64_t *)record.value.data;
        cr_assert_lt(number, RECORDS);
        cr_assert(key == number % 100 && record.time == (int64_t)number * STEP);
        met[number]++;
    }
    cr_assert_eq(result, WEIR_NOT_FOUND, "%s", error.text);
    weir_record_file_close(&file);
}

static unsigned read_parts(unsigned char met[RECORDS])
{
    const char *out = scratch_join(scratch.path, "out");
    DIR *listing = opendir(out);
    unsigned parts = 0;
    cr_assert(listing);
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (strncmp(entry->d_name, "part-", 5) != 0)
            continue;
        read_part(scratch_join(scratch_join(scratch.path, "out"), entry->d_name), met);
        parts++;
    }
    closedir(listing);
    return parts;
}

Test(job_record, every_record_is_in_one_part, .init = set_up, .fini = tear_down)
{
    static unsigned char met[RECORDS];
    unsigned stops = 0;
    build(3);
    while (stops < 15 && !run_for(20 + (int)(stops * 13 % 50)))
        stops++;
    cr_assert_gt(stops, 4, "it ended too soon");
    cr_assert(stops < 15 || run_for(60000), "it did not end");
    cr_expect_gt(read_parts(met), stops);
    for (unsigned i = 0; i < RECORDS; i++)
        cr_assert_eq(met[i], 1, "record %u is there %u times", i, met[i]);
}
