/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole job on a damaged store: every byte flipped, every file cut at every length, files gone,
 * grown, swapped. Each time the start refuses and names file and reason, or the damage was harmless
 * and the output is exact. With WEIR_FULL in the environment nothing is passed over.
 */
#include <dirent.h>
#include <inttypes.h>
#include <time.h>

#include "exercised.h"
#include "explore.h"
#include "scratch.h"
#include "weir.h"
#include "weir_operators.h"

#define WORDS 12
#define LINES 300
#define FILES 32
#define SECOND INT64_C(1000000000)

static struct scratch scratch;
static char store[256], output[256], text[256];
static unsigned long due[WORDS];

/* ---- the job: word count, one line of output for every word ---- */

static enum weir_result split(struct weir_context *context, unsigned input,
                              const struct weir_record *line, const void *config)
{
    const char *bytes = line->value.data;
    (void)input, (void)config;
    for (size_t at = 0; at + 3 <= line->value.size; at += 4)
        weir_emit(context, 0, &(struct weir_record){.key = {bytes + at, 3}, .time = WEIR_NO_TIME});
    return WEIR_OK;
}

static void count_one(void *cell, const struct weir_record *word, const void *config)
{
    (void)word, (void)config;
    ++*(uint64_t *)cell;
}

static size_t write_line(char *line, size_t room, const struct weir_record *word,
                         const void *config)
{
    (void)config;
    return (size_t)snprintf(line, room, "%.3s\t%" PRIu64, (const char *)word->key.data,
                            *(const uint64_t *)word->value.data);
}

static struct weir_graph *build(uint64_t rate)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    weir_node lines = weir_line_source(
        graph, "lines",
        &(struct weir_line_source_options){WEIR_SIZED(struct weir_line_source_options),
                                           .path = text, .rate = rate});
    weir_node words = weir_flat_map(graph, "split", split, NULL);
    weir_node count =
        weir_reduce(graph, "count",
                    &(struct weir_reduce_options){WEIR_SIZED(struct weir_reduce_options),
                                                  .value_size = sizeof(uint64_t), .format = "u64",
                                                  .fold = count_one, .emit = WEIR_REDUCE_UPDATES});
    weir_node sink =
        weir_line_sink(graph, "output",
                       &(struct weir_line_sink_options){WEIR_SIZED(struct weir_line_sink_options),
                                                        .path = output, .write = write_line});
    weir_connect(graph, lines, words, WEIR_FORWARD);
    weir_connect(graph, words, count, WEIR_BY_KEY);
    weir_connect(graph, count, sink, WEIR_FORWARD);
    return graph;
}

static void write_text(void)
{
    FILE *file = fopen(text, "w");
    cr_assert_not_null(file);
    memset(due, 0, sizeof due);
    for (unsigned i = 0; i < LINES; i++) {
        unsigned first = i % WORDS, second = i * i % WORDS;
        fprintf(file, "w%02u w%02u\n", first, second);
        due[first]++;
        due[second]++;
    }
    cr_assert_eq(fclose(file), 0);
}

/* ---- what is visible ---- */

static int is_part(const struct dirent *entry)
{
    return strncmp(entry->d_name, "part-", 5) == 0;
}

static void take_part(const char *path, unsigned long met[WORDS])
{
    unsigned word;
    unsigned long count;
    char line[64];
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        cr_assert(sscanf(line, "w%u\t%lu\n", &word, &count) == 2 && word < WORDS, "%s", line);
        cr_assert_eq(count, ++met[word], "w%02u: update %lu is visible, %lu is due", word, count,
                     met[word]);
        cr_assert_leq(count, due[word]);
    }
    fclose(file);
}

/* True when all is visible; fails the test when anything else than the first updates is. */
static bool exact(void)
{
    unsigned long met[WORDS] = {0};
    struct dirent **names;
    int count = scandir(output, &names, is_part, alphasort);
    for (int i = 0; i < count; i++) {
        take_part(scratch_join(output, names[i]->d_name), met);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    return memcmp(met, due, sizeof met) == 0;
}

/* ---- a store, kept in memory, put back before each damage ---- */

static struct kept {
    char path[256], name[64];
    unsigned char *bytes;
    size_t size;
} kept[FILES];
static unsigned kept_count, folder_count;
static char folders[FILES][256];

static int keep_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    if (kind == FTW_D) {
        cr_assert_lt(folder_count, FILES);
        snprintf(folders[folder_count++], sizeof folders[0], "%s", path);
        return 0;
    }
    cr_assert_lt(kept_count, FILES);
    struct kept *file = &kept[kept_count++];
    *file = (struct kept){.size = (size_t)status->st_size};
    snprintf(file->path, sizeof file->path, "%s", path);
    snprintf(file->name, sizeof file->name, "%s", path + walk->base);
    file->bytes = malloc(file->size + 2);
    cr_assert_not_null(file->bytes);
    cr_assert_eq(scratch_read(path, file->bytes, file->size), file->size);
    return 0;
}

static void put_back(void)
{
    nftw(store, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    nftw(output, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    for (unsigned i = 0; i < folder_count; i++)
        cr_assert_eq(mkdir(folders[i], 0700), 0, "%s", folders[i]);
    for (unsigned i = 0; i < kept_count; i++)
        scratch_write(kept[i].path, kept[i].bytes, kept[i].size);
}

static void wait_for(struct weir_job *job, uint64_t committed)
{
    struct weir_status status = {WEIR_SIZED(struct weir_status)};
    struct weir_error error;
    enum weir_outcome outcome;
    do {
        cr_assert_eq(weir_job_wait(job, SECOND / 1000, &outcome, &error), WEIR_TIMEOUT,
                     "the job ended too early");
        weir_job_status(job, &status);
    } while (status.committed < committed);
}

/* Some way through its input, with three checkpoints; the newest still holds a handle. */
static void make_base(void)
{
    struct weir_error error = {0};
    struct weir_job *job;
    enum weir_outcome outcome;
    struct weir_graph *graph = build(LINES);
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options), .store = store,
                                       .interval_ns = -1};
    cr_assert_eq(weir_job_start(graph, &options, &job, &error), WEIR_OK, "%s", error.text);
    for (uint64_t id = 1; id <= 2; id++) {
        nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL); /* some lines; how many is free */
        cr_assert_eq(weir_job_checkpoint(job, &error), WEIR_OK);
        wait_for(job, id);
    }
    cr_assert_eq(weir_job_stop(job, WEIR_STOP_SUSPEND, &error), WEIR_OK);
    cr_assert_eq(weir_job_wait(job, 20 * SECOND, &outcome, &error), WEIR_OK);
    cr_assert_eq(outcome, WEIR_OUTCOME_STOPPED);
    weir_job_close(&job);
    weir_graph_free(&graph);
    cr_assert(!exact());
    nftw(store, keep_one, 16, FTW_PHYS);
    nftw(output, keep_one, 16, FTW_PHYS);
}

/* The last of its kind: the newest checkpoint's, which is the one to go on from. */
static bool is_newest(const struct kept *file)
{
    const char *dot = strchr(file->name, '.');
    if (dot == NULL)
        return false;
    for (unsigned i = 0; i < kept_count; i++) {
        const char *other = strchr(kept[i].name, '.');
        if (other != NULL && strcmp(other, dot) == 0 && strcmp(kept[i].path, file->path) > 0)
            return false;
    }
    return true;
}

static bool in_store(const struct kept *file)
{
    return strncmp(file->path, store, strlen(store)) == 0;
}

/* ---- one damage ---- */

static unsigned refused, harmless;

/* Starts on what lies there. A refusal has to name `file`, if that is not NULL. */
static void try_start(const struct kept *file, const char *what, size_t offset)
{
    const char *name = file == NULL ? "a file" : file->name;
    struct weir_error error = {0};
    struct weir_job *job;
    enum weir_outcome outcome = WEIR_OUTCOME_RUNNING;
    struct weir_graph *graph = build(0);
    struct weir_job_options options = {WEIR_SIZED(struct weir_job_options), .store = store};
    enum weir_result result = weir_job_start(graph, &options, &job, &error);
    if (result == WEIR_OK) {
        cr_assert_eq(weir_job_wait(job, 60 * SECOND, &outcome, &error), WEIR_OK);
        weir_job_close(&job);
    }
    weir_graph_free(&graph);
    bool all = exact();
    if (outcome == WEIR_OUTCOME_ENDED) {
        cr_assert(all, "%s %s at %zu: ended, and its output is not exact", name, what, offset);
        cr_assert(file == NULL || !is_newest(file), "%s %s at %zu: not seen", name, what, offset);
        harmless++;
        return;
    }
    cr_assert(error.code == WEIR_DAMAGED || error.code == WEIR_UNSUPPORTED ||
                  error.code == WEIR_REFUSED,
              "%s %s at %zu: %s: %s", name, what, offset, weir_result_name(error.code), error.text);
    cr_assert(file == NULL ? strlen(error.text) > 20 : strstr(error.text, name) != NULL,
              "%s %s at %zu: \"%s\"", name, what, offset, error.text);
    refused++;
}

/* All of LOCK and of the first blob's header in a container, every third byte of a manifest and
 * elsewhere every 61st, unless full. With a share less: see explore.h. */
static size_t next_byte(const struct kept *file, size_t byte)
{
    size_t stride = 1;
    if (strstr(file->name, ".seg") != NULL)
        stride = byte >= 64 ? 61 : 1;
    else if (strstr(file->name, ".json") != NULL)
        stride = 3;
    return byte + (explore_full() ? 1 : stride * explore_share());
}

static void tell(const char *what, unsigned cases)
{
    printf("figure: job_damage %s=%u refused=%u harmless=%u\n", what, cases, refused, harmless);
    exercised(cases);
    cr_assert_gt(refused, 0);
}

static void start(void)
{
    scratch = scratch_make();
    snprintf(store, sizeof store, "%s/store", scratch.path);
    snprintf(output, sizeof output, "%s/output", scratch.path);
    snprintf(text, sizeof text, "%s/text", scratch.path);
    write_text();
    make_base();
}

static void stop(void)
{
    for (unsigned i = 0; i < kept_count; i++)
        free(kept[i].bytes);
    scratch_free(&scratch);
}

TestSuite(job_damage, .init = start, .fini = stop, .timeout = 5000);

Test(job_damage, the_undamaged_store_goes_on_exactly)
{
    put_back();
    try_start(NULL, "nothing", 0);
    cr_assert_eq(harmless, 1);
}

Test(job_damage, every_flipped_byte_is_named_or_harmless)
{
    unsigned cases = 0;
    for (unsigned i = 0; i < kept_count; i++)
        for (size_t at = 0; in_store(&kept[i]) && at < kept[i].size; at = next_byte(&kept[i], at)) {
            for (unsigned bit = explore_full() ? 0 : at % 8;
                 bit < (explore_full() ? 8 : at % 8 + 1); bit++) {
                kept[i].bytes[at] ^= (unsigned char)(1U << bit);
                put_back();
                kept[i].bytes[at] ^= (unsigned char)(1U << bit);
                try_start(&kept[i], "flipped", at);
                cases++;
            }
        }
    tell("flips", cases);
}

Test(job_damage, every_cut_is_named_or_harmless)
{
    unsigned cases = 0;
    for (unsigned i = 0; i < kept_count; i++) {
        size_t whole = kept[i].size;
        for (size_t size = 0; in_store(&kept[i]) && size < whole;
             size += explore_full() || size == 0 ? 1 : 19 * explore_share()) {
            kept[i].size = size;
            put_back();
            kept[i].size = whole;
            try_start(&kept[i], "cut", size);
            cases++;
        }
    }
    tell("cuts", cases);
}

static void swap(struct kept *one, struct kept *other)
{
    struct kept content = *one;
    one->bytes = other->bytes;
    one->size = other->size;
    other->bytes = content.bytes;
    other->size = content.size;
}

static bool same_kind(const struct kept *one, const struct kept *other)
{
    const char *dot = strchr(one->name, '.'), *other_dot = strchr(other->name, '.');
    return in_store(one) && in_store(other) && dot != NULL && other_dot != NULL &&
           strcmp(dot, other_dot) == 0;
}

/* Whatever happens, nothing is doubled and nothing is left out in silence. */
Test(job_damage, files_gone_grown_or_swapped_are_found_or_harmless)
{
    unsigned cases = 0;
    for (unsigned i = 0; i < kept_count; i++) {
        if (!in_store(&kept[i]))
            continue;
        put_back();
        cr_assert_eq(remove(kept[i].path), 0);
        try_start(NULL, "removed", 0);
        kept[i].bytes[kept[i].size++] = '\n';
        put_back();
        try_start(NULL, "grown", kept[i].size--);
        put_back();
        cr_assert(remove(kept[i].path) == 0 && mkdir(kept[i].path, 0700) == 0);
        try_start(NULL, "made a folder", 0);
        put_back();
        cr_assert(remove(kept[i].path) == 0 && symlink("/dev/zero", kept[i].path) == 0);
        try_start(NULL, "made a link", 0);
        put_back();
        cr_assert(remove(kept[i].path) == 0 && mkfifo(kept[i].path, 0600) == 0);
        try_start(NULL, "made a pipe", 0);
        cases += 5;
        for (unsigned j = 0; j < i; j++)
            if (same_kind(&kept[i], &kept[j])) {
                swap(&kept[i], &kept[j]);
                put_back();
                swap(&kept[i], &kept[j]);
                try_start(NULL, "swapped", 0);
                cases++;
            }
    }
    tell("odd_files", cases);
}
