/* links: flow valve golden_job */
/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/golden holds a store of format version 1, with its output, and what was in it when it was
 * made. It is read for ever: this library, and each later one, finds the same in it, and jobs go on
 * from it and end exactly. WEIR_GOLDEN=DIR makes another one in DIR, which is how it came to be.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <xxhash.h>

#include "blob.h"
#include "golden_job.h"
#include "little.h"
#include "lock.h"
#include "manifest.h"
#include "weir_checkpoint.h"

#define GOLDEN WEIR_SOURCE_DIR "/tests/golden"

static struct scratch scratch;

static void scratch_open(void)
{
    scratch = scratch_make();
}

static void scratch_close(void)
{
    scratch_free(&scratch);
}

TestSuite(golden, .init = scratch_open, .fini = scratch_close);

WEIR_PRINTF(1, 2) static void run_shell(const char *format, ...)
{
    char command[1200];
    va_list list;

    va_start(list, format);
    vsnprintf(command, sizeof command, format, list);
    va_end(list);
    cr_assert_eq(system(command), 0, "%s", command);
}

/* The golden store and its output, as its owner would have them. */
static void copy_golden(void)
{
    run_shell("cp -r '%s/store' '%s'", GOLDEN, scratch.path);
    run_shell("cp -r '%s/output' '%s'", GOLDEN, scratch.path);
    run_shell("chmod -R u+rwX,go-rwx '%s'/*", scratch.path);
}

/* ---------------------------------------------------------------- what is in it, as a text -- */

struct text {
    char **lines;
    size_t count;
    const char *head; /* stands before each line */
};

static void add(struct text *text, const char *line)
{
    char *whole = malloc(strlen(text->head) + strlen(line) + 1);

    text->lines = realloc(text->lines, (text->count + 1) * sizeof *text->lines);
    text->lines[text->count++] = strcat(strcpy(whole, text->head), line);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Short ones in full, others by what they hash to. */
static const char *bytes_text(struct weir_bytes bytes)
{
    static char texts[4][100];
    static unsigned next;
    char *text = texts[next++ % 4];
    size_t size = 0;

    text[0] = '\0';
    if (bytes.size > 32)
        snprintf(text, sizeof texts[0], "(%zu bytes, %016" PRIx64 ")", bytes.size,
                 weir_hash(bytes));
    for (size_t i = 0; bytes.size <= 32 && i < bytes.size; i++)
        size += (size_t)snprintf(text + size, sizeof texts[0] - size, "%02x",
                                 ((const unsigned char *)bytes.data)[i]);
    return text;
}

static void add_row(struct text *text, enum weir_rows rows, const char *name,
                    const struct weir_row *row)
{
    char line[600], time[40];

    snprintf(time, sizeof time, "%" PRId64, row->time);
    if (row->time == INT64_MIN)
        strcpy(time, "-");
    if (rows == WEIR_ROWS_STATE)
        snprintf(line, sizeof line, "state %s of %u: key %s sub %s id %" PRIu64 " value %s %s %u",
                 name, row->subtask, bytes_text(row->key), bytes_text(row->sub), row->id,
                 bytes_text(row->value), time, row->kind);
    else if (rows == WEIR_ROWS_ITEMS)
        snprintf(line, sizeof line, "item of %u: kind %u %s", row->subtask, row->kind,
                 bytes_text(row->value));
    else if (rows == WEIR_ROWS_HANDLES)
        snprintf(line, sizeof line, "handle of %u: for %" PRIu64 " %s", row->subtask, row->id,
                 bytes_text(row->value));
    else
        snprintf(line, sizeof line, "in flight on edge %u from %u to %u: %s at %s, %s %s",
                 row->edge, row->from_subtask, row->subtask, row->in_outlet ? "waited" : "lay",
                 time, bytes_text(row->key), bytes_text(row->value));
    add(text, line);
}

static size_t add_rows(struct text *text, struct weir_checkpoint *checkpoint, enum weir_rows rows,
                       const char *node, const char *state)
{
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_cursor *cursor = NULL;
    struct weir_error error = {0};
    size_t count = 0;

    cr_assert_eq(weir_cursor_open(checkpoint, rows, node, state, &cursor, &error), WEIR_OK, "%s",
                 error.text);
    for (; weir_cursor_next(cursor, &row); count++)
        add_row(text, rows, state, &row);
    cr_assert_eq(weir_cursor_close(&cursor, &error), WEIR_OK, "%s", error.text);
    return count;
}

static void add_graph(struct text *text, struct weir_checkpoint *checkpoint)
{
    struct weir_checkpoint_state state = {.size = sizeof state};
    struct weir_checkpoint_edge edge = {.size = sizeof edge};
    struct weir_checkpoint_node node = {.size = sizeof node};
    char line[600];

    for (uint32_t i = 0; weir_checkpoint_get_node(checkpoint, i, &node); i++) {
        snprintf(line, sizeof line, "node %u: %s, %s %u, %u tasks", i, node.name, node.kind,
                 node.version, node.parallelism);
        add(text, line);
        for (uint32_t j = 0; weir_checkpoint_get_state(checkpoint, i, j, &state); j++) {
            snprintf(line, sizeof line, "node %u state %u: %s, %s '%s' %u, %u bytes%s", i, j,
                     state.name, state.kind, state.format, state.version, state.value_size,
                     state.expires ? ", expires" : "");
            add(text, line);
        }
    }
    for (uint32_t i = 0; weir_checkpoint_get_edge(checkpoint, i, &edge); i++) {
        snprintf(line, sizeof line, "edge %u: %u.%s to %u.%s, %s '%s' '%s'%s", i, edge.from,
                 edge.output, edge.to, edge.input, edge.routing, edge.key_format, edge.value_format,
                 edge.feedback ? ", feedback" : "");
        add(text, line);
    }
}

static void add_tasks(struct text *text, struct weir_checkpoint *checkpoint)
{
    struct weir_checkpoint_task task = {.size = sizeof task};
    char line[600];

    for (uint32_t i = 0; weir_checkpoint_get_task(checkpoint, i, &task); i++) {
        snprintf(line, sizeof line,
                 "task %u: node %u subtask %u, '%s', ended %d, %" PRIu64 " handles, %" PRIu64
                 " letters, part of %" PRIu64 " bytes, in flight %" PRIu64 " and %" PRIu64
                 ", overtook %d",
                 i, task.node, task.subtask, task.note, task.ended, task.handles, task.letters,
                 task.raw_bytes, task.channel_bytes, task.outlet_bytes, task.overtook);
        add(text, line);
    }
}

static void add_checkpoint(struct text *text, struct weir_checkpoint *checkpoint)
{
    struct weir_checkpoint_info info = {.size = sizeof info};
    struct weir_checkpoint_state state = {.size = sizeof state};
    struct weir_checkpoint_node node = {.size = sizeof node};
    char line[600];

    weir_checkpoint_describe(checkpoint, &info);
    snprintf(line, sizeof line,
             "job %s, epoch %u, from %" PRIu64 ", final %d, %s, %s, %u groups, %" PRIu64
             " bytes of %" PRIu64 ", in flight %" PRIu64 " and %" PRIu64,
             info.job, info.epoch, info.restored_from, info.final, info.reason, info.mode,
             info.key_groups, info.stored_bytes, info.raw_bytes, info.channel_bytes,
             info.outlet_bytes);
    add(text, line);
    add_graph(text, checkpoint);
    add_tasks(text, checkpoint);
    for (uint32_t i = 0; weir_checkpoint_get_node(checkpoint, i, &node); i++) {
        add_rows(text, checkpoint, WEIR_ROWS_ITEMS, node.name, NULL);
        add_rows(text, checkpoint, WEIR_ROWS_HANDLES, node.name, NULL);
        for (uint32_t j = 0; weir_checkpoint_get_state(checkpoint, i, j, &state); j++)
            add_rows(text, checkpoint, WEIR_ROWS_STATE, node.name, state.name);
    }
    add_rows(text, checkpoint, WEIR_ROWS_INFLIGHT, NULL, NULL);
}

/* All that the store in FOLDER holds, by weir_checkpoint.h: a line for each thing, sorted; of the
 * older checkpoints no more than what they come to. */
static struct text read_store(const char *folder)
{
    struct text all = {.head = ""}, one;
    struct weir_store *store = NULL;
    struct weir_error error = {0};
    const uint64_t *ids;
    char line[200], head[40];
    size_t count;

    cr_assert_eq(weir_store_open(scratch_join(folder, "store"), NULL, &store, &error), WEIR_OK,
                 "%s", error.text);
    cr_assert_eq(weir_store_list(store, &ids, &count, &error), WEIR_OK, "%s", error.text);
    for (size_t i = 0; i < count; i++) {
        struct weir_checkpoint *checkpoint = NULL;
        uint64_t sum = 0;
        cr_assert_eq(weir_checkpoint_open(store, ids[i], &checkpoint, &error), WEIR_OK, "%s",
                     error.text);
        snprintf(head, sizeof head, "%" PRIu64 " ", ids[i]);
        one = (struct text){.head = head};
        add_checkpoint(&one, checkpoint);
        qsort(one.lines, one.count, sizeof *one.lines, by_text);
        for (size_t j = 0; j < one.count; j++) {
            sum = XXH3_64bits_withSeed(one.lines[j], strlen(one.lines[j]), sum);
            if (i + 1 == count)
                add(&all, one.lines[j]);
            free(one.lines[j]);
        }
        snprintf(line, sizeof line, "checkpoint %" PRIu64 ": %zu lines, %016" PRIx64, ids[i],
                 one.count, sum);
        add(&all, line);
        free(one.lines);
        weir_checkpoint_close(&checkpoint);
    }
    weir_store_close(&store);
    return all;
}

static void free_text(struct text *text)
{
    for (size_t i = 0; i < text->count; i++)
        free(text->lines[i]);
    free(text->lines);
}

static void write_text(const struct text *text, const char *path)
{
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file, "%s", path);
    for (size_t i = 0; i < text->count; i++)
        fprintf(file, "%s\n", text->lines[i]);
    cr_assert_eq(fclose(file), 0);
}

/* How many of its lines have this in them. */
static size_t having(const struct text *text, const char *what)
{
    size_t count = 0;

    for (size_t i = 0; i < text->count; i++)
        count += strstr(text->lines[i], what) != NULL;
    return count;
}

/* One of everything, or a golden store would say nothing about it. */
static void has_everything(const struct text *text)
{
    static const char *const things[] = {
        "state sum of 0",     "state sum of 1",      "state last of",       "state numbers of",
        "state digits of",    "state recent of",     "(196608 bytes",       "state _timers of",
        "item of 0: kind 0",  "item of 0: kind 1",   "item of 0: kind 2",   "item of 0: kind 3",
        "handle of 0: for 4", "in flight on edge 0", "in flight on edge 1", ": lay at",
        ": waited at",        "checkpoint 2:",       "checkpoint 3:",       "4 job golden, epoch 1",
    };

    for (size_t i = 0; i < sizeof things / sizeof *things; i++)
        cr_expect_gt(having(text, things[i]), 0, "there is no \"%s\"", things[i]);
}

/* ------------------------------------------------------------------------------- reading -- */

Test(golden, everything_in_it_is_read_as_on_the_first_day)
{
    struct text now = read_store(GOLDEN);
    FILE *file = fopen(GOLDEN "/contents", "r");
    char line[800];
    size_t count = 0;

    cr_assert_not_null(file);
    for (; fgets(line, sizeof line, file) != NULL; count++) {
        line[strcspn(line, "\n")] = '\0';
        cr_assert_lt(count, now.count, "this is not found any more: %s", line);
        cr_assert_str_eq(now.lines[count], line);
    }
    fclose(file);
    cr_assert_eq(now.count, count, "more is found than was there");
    has_everything(&now);
    free_text(&now);
}

Test(golden, all_of_it_is_sound)
{
    store_is_sound(GOLDEN "/store");
}

#define MANIFEST GOLDEN "/store/checkpoints/00000000000000000004/MANIFEST.json"

/* Of the newest checkpoint: segments that an older round wrote, and some whose blobs have a list,
 * which is a text of 16 words and not of 12. */
Test(golden, its_segments_are_shared_and_have_lists)
{
    run_shell("grep -Eq '\"[0-9]+ 1 ([0-9]+ ){5}[123] ' %s", MANIFEST);
    run_shell("grep -Eq '\"([0-9a-f]+ ){15}[0-9a-f]+\"' %s", MANIFEST);
    run_shell("head -c 20 %s | grep -q '\"weir\": 1,'", MANIFEST);
}

/* ---------------------------------------------------------------------------- going on -- */

static void goes_on(uint32_t parallelism)
{
    struct golden_job job;

    copy_golden();
    golden_job_init(&job, scratch.path, parallelism);
    valve_open(&job.valve);
    flow_start(&job.flow);
    flow_ends(&job.flow, WEIR_OUTCOME_ENDED);
    cr_expect_eq(job.flow.watch.restored_from, GOLDEN_ROUNDS);
    golden_job_free(&job);
    golden_job_is_exact(scratch.path);
    store_is_sound(scratch_join(scratch.path, "store"));
}

Test(golden, a_job_goes_on_from_it_and_ends_exactly)
{
    goes_on(GOLDEN_PARALLELISM);
}

Test(golden, one_with_less_parallelism_does)
{
    goes_on(1);
}

Test(golden, one_with_more_parallelism_does)
{
    goes_on(5);
}

/* ------------------------------------------------------------------------- other versions -- */

struct whole {
    unsigned char bytes[1 << 20];
    size_t size;
};

static struct whole file;

static void read_whole(const char *path)
{
    file.size = scratch_read(path, file.bytes, sizeof file.bytes);
    cr_assert(file.size > 0 && file.size < sizeof file.bytes, "%s", path);
}

static void lock_becomes(unsigned version)
{
    const char *path = scratch_join(scratch.path, "store/LOCK");

    read_whole(path);
    for (size_t at = 0; at < LOCK_SIZE; at += LOCK_RECORD_SIZE) {
        unsigned char *record = file.bytes + at;
        record[8] = (unsigned char)version;
        little_put_u64(record + 120, XXH3_64bits(record, 120));
    }
    scratch_write(path, file.bytes, file.size);
}

#define SEAL "\"seal\": \""

static void manifest_becomes(unsigned version)
{
    const char *path =
        scratch_join(scratch.path, "store/checkpoints/00000000000000000004/MANIFEST.json");
    char hex[17], *text = (char *)file.bytes, *found;

    read_whole(path);
    text[file.size] = '\0';
    found = strstr(text, "\"weir\": ");
    cr_assert_not_null(found);
    found[8] = (char)('0' + version);
    found = strstr(text, SEAL);
    cr_assert_not_null(found);
    /* The seal is of all before the comma that stands before it. */
    char *comma = found;
    while (*comma != ',')
        comma--;
    snprintf(hex, sizeof hex, "%016" PRIx64, (uint64_t)XXH3_64bits(text, (size_t)(comma - text)));
    memcpy(found + strlen(SEAL), hex, 16);
    scratch_write(path, file.bytes, file.size);
}

/* The first blob of each container of the store. */
static void blobs_become(unsigned version)
{
    FILE *list;
    char path[600];

    snprintf(path, sizeof path, "ls '%s'/store/data/*.seg", scratch.path);
    list = popen(path, "r");
    cr_assert_not_null(list);
    while (fgets(path, sizeof path, list) != NULL) {
        path[strcspn(path, "\n")] = '\0';
        read_whole(path);
        file.bytes[12] = (unsigned char)version;
        little_put_u64(file.bytes + 56, XXH3_64bits(file.bytes, 56));
        scratch_write(path, file.bytes, file.size);
    }
    pclose(list);
}

static void start_is_refused(const char *what)
{
    struct golden_job job;
    enum weir_result result;

    golden_job_init(&job, scratch.path, GOLDEN_PARALLELISM);
    result = weir_job_start(job.flow.graph, &job.flow.options, &job.flow.job, &job.flow.error);
    cr_expect_eq(result, WEIR_UNSUPPORTED, "%s: %s", weir_result_name(result), job.flow.error.text);
    cr_expect(strstr(job.flow.error.text, what), "%s", job.flow.error.text);
    golden_job_free(&job);
}

static void reading_is_refused(const char *what)
{
    struct weir_store *store = NULL;
    struct weir_error error = {0};
    enum weir_result result =
        weir_store_open(scratch_join(scratch.path, "store"), NULL, &store, &error);

    if (result == WEIR_OK)
        result = weir_store_verify(store, GOLDEN_ROUNDS, &error);
    cr_expect_eq(result, WEIR_UNSUPPORTED, "%s: %s", weir_result_name(result), error.text);
    cr_expect(strstr(error.text, what), "%s", error.text);
    weir_store_close(&store);
}

static void is_refused(void (*becomes)(unsigned version), const char *newer, const char *older)
{
    copy_golden();
    becomes(2);
    start_is_refused(newer);
    reading_is_refused(newer);
    becomes(0);
    start_is_refused(older);
    reading_is_refused(older);
    becomes(1);
    goes_on(GOLDEN_PARALLELISM); /* so these were the bytes */
}

Test(golden, a_store_of_another_version_is_refused)
{
    is_refused(lock_becomes,
               "the store's format version 2 is newer than this library's, which is 1",
               "the store's format version 0 is of no release");
}

Test(golden, a_manifest_of_another_version_is_refused)
{
    is_refused(manifest_becomes,
               "manifest format version 2 is newer than this library's, which is 1",
               "manifest format version 0 is of no release");
}

Test(golden, blobs_of_another_version_are_refused)
{
    is_refused(blobs_become, "blob format version 2 is newer than this library's, which is 1",
               "blob format version 0 is of no release");
}

/* ----------------------------------------------------------------------- how it was made -- */

/* Another one has the same in it, so this is how it was made; and what it becomes is exact. */
Test(golden, another_one_is_made_like_this)
{
    const char *folder = getenv("WEIR_GOLDEN");
    struct golden_job job;
    int status = 0;

    folder = folder == NULL ? scratch.path : folder;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        golden_job_make(folder);
        _exit(1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it did not die as it should: %x",
              (unsigned)status);
    struct text text = read_store(folder);
    has_everything(&text);
    if (folder != scratch.path)
        write_text(&text, scratch_join(folder, "contents"));
    free_text(&text);
    if (folder != scratch.path)
        return;
    golden_job_init(&job, folder, GOLDEN_PARALLELISM);
    valve_open(&job.valve);
    flow_finish(&job.flow);
    golden_job_free(&job);
    golden_job_is_exact(folder);
}
