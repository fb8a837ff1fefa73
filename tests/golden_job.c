/* SPDX-License-Identifier: Apache-2.0 */
#include "golden_job.h"

#include <dirent.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define STEP INT64_C(1000000) /* ns between two records */
#define TTL                                                                                        \
    (600 * (uint64_t)STEP)                    /* what was written with record 1440 has gone in the
                                                   end, what was written with record 2376 has not */
#define TIMER_DELAY (350 * STEP)              /* longer than four records of a key */
#define FAR_AWAY INT64_C(4102444800000000000) /* ns since 1970: in 2100 */
#define PAGE ((size_t)192 << 10)              /* bytes; the pages of a task are several blobs */
#define LAST_ROOM 64                          /* bytes of the longest text of a key */
#define EVERYWHERE "the same in every subtask"

enum { SUM, LAST, NUMBERS, DIGITS, RECENT, PAGES };

struct sum {
    uint64_t count, sum;
};

static const struct weir_state states[] = {
    [SUM] = {WEIR_SIZED(struct weir_state), .name = "sum", .version = 3,
             .value_size = sizeof(struct sum), .format = "{u64 count; u64 sum}"},
    [LAST] = {WEIR_SIZED(struct weir_state), .name = "last", .format = "utf8"},
    [NUMBERS] = {WEIR_SIZED(struct weir_state), .name = "numbers", .format = "u32",
                 .kind = WEIR_STATE_LIST},
    [DIGITS] = {WEIR_SIZED(struct weir_state), .name = "digits", .value_size = 8, .format = "u64",
                .kind = WEIR_STATE_MAP},
    [RECENT] = {WEIR_SIZED(struct weir_state), .name = "recent", .value_size = 8, .format = "u64",
                .ttl_ns = TTL, .ttl_clock = WEIR_TIMER_EVENT},
    [PAGES] = {WEIR_SIZED(struct weir_state), .name = "pages", .format = "hex"},
};

/* --------------------------------------------------------------------------- the operator -- */

struct keep {
    uint64_t records; /* that this subtask was given */
    uint64_t keys;    /* bit k: key k is one of ours */
};

static enum weir_result say(struct weir_context *context, const struct weir_bytes *key,
                            const char *text)
{
    return weir_emit(
        context, 0,
        &(struct weir_record){.key = *key, .value = {text, strlen(text)}, .time = WEIR_NO_TIME});
}

static uint64_t u64_of(const struct weir_bytes *bytes)
{
    uint64_t number = 0;

    memcpy(&number, bytes->data, bytes->size < sizeof number ? bytes->size : sizeof number);
    return number;
}

/* The text that number n leaves behind. */
static size_t write_last(char *text, uint64_t n)
{
    return (size_t)snprintf(text, LAST_ROOM, "%" PRIu64 " %.*s", n, (int)(n % 40),
                            "........................................");
}

static uint64_t keep_numbers(struct weir_context *context, const struct weir_bytes *key,
                             uint64_t count, uint64_t n)
{
    uint32_t number = (uint32_t)n;

    weir_list_append(context, NUMBERS, key, (struct weir_bytes){&number, sizeof number});
    if (count % 10 == 0)
        weir_list_truncate(context, NUMBERS, key, 5);
    return weir_list_count(context, NUMBERS, key);
}

static uint64_t keep_digits(struct weir_context *context, const struct weir_bytes *key,
                            uint64_t count, uint64_t n)
{
    char digit = (char)('0' + n % 10);
    struct weir_bytes sub, value;
    uint64_t *times = weir_map_cell(context, DIGITS, key, (struct weir_bytes){&digit, 1});

    if (times == NULL)
        return 0;
    ++*times;
    if (count % 16 == 0 && weir_map_next(context, DIGITS, key, NULL, &sub, &value)) {
        char first = *(const char *)sub.data;
        weir_map_remove(context, DIGITS, key, (struct weir_bytes){&first, 1});
    }
    return weir_map_count(context, DIGITS, key);
}

/* Odd keys write once, in time to expire. */
static void keep_recent(struct weir_context *context, const struct weir_bytes *key, uint64_t count,
                        uint64_t n)
{
    uint64_t *cell;

    if (u64_of(key) % 2 == 1 && count != 60)
        return;
    cell = weir_cell(context, RECENT, key);
    if (cell != NULL)
        *cell = n;
}

static enum weir_result keep_page(struct weir_context *context, const struct weir_bytes *key,
                                  uint64_t count)
{
    static const unsigned char zero[8];
    unsigned char *page;
    struct weir_bytes found;
    bool whole = true;
    char text[40];

    if (count == 1) {
        page = malloc(PAGE);
        if (page == NULL)
            return weir_fail(context, WEIR_NO_MEMORY, "no memory for a page");
        memset(page, (int)u64_of(key) + 1, PAGE);
        enum weir_result result = weir_put(context, PAGES, key, (struct weir_bytes){page, PAGE});
        free(page);
        return result;
    }
    if (count != 90 || !weir_get(context, PAGES, key, &found))
        return count != 90 ? WEIR_OK : weir_fail(context, WEIR_DAMAGED, "a page is gone");
    for (size_t i = 0; i < found.size; i++)
        whole = whole && ((const unsigned char *)found.data)[i] == u64_of(key) + 1;
    snprintf(text, sizeof text, "%" PRIu64 " page %zu %s", u64_of(key), found.size,
             whole ? "whole" : "damaged");
    weir_put(context, PAGES, key, (struct weir_bytes){zero, sizeof zero});
    return say(context, key, text);
}

/* Every fourth record sets one; each second of those is called off by the next. */
static void keep_timers(struct weir_context *context, const struct weir_record *record,
                        uint64_t count)
{
    const struct weir_bytes *key = &record->key;

    if (count == 1)
        weir_timer_set_key(context, WEIR_TIMER_CLOCK, key, FAR_AWAY, 1);
    if (count % 4 == 1)
        weir_timer_set_key(context, WEIR_TIMER_EVENT, key, record->time + TIMER_DELAY, count);
    if (count % 8 == 5)
        weir_timer_cancel_key(context, WEIR_TIMER_EVENT, key,
                              record->time - 4 * (int64_t)GOLDEN_KEYS * STEP + TIMER_DELAY,
                              count - 4);
}

static enum weir_result keep_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *record)
{
    struct keep *keep = self;
    uint64_t n = flow_number(record), key = u64_of(&record->key);
    struct weir_bytes before = {"", 0};
    struct sum sum, *cell;
    char text[200], last[LAST_ROOM];

    (void)input;
    keep->records++;
    keep->keys |= UINT64_C(1) << key;
    cell = weir_cell(context, SUM, &record->key);
    if (cell == NULL)
        return WEIR_NO_MEMORY;
    cell->count++;
    cell->sum += n;
    sum = *cell;
    weir_get(context, LAST, &record->key, &before);
    size_t size = before.size;
    weir_put(context, LAST, &record->key, (struct weir_bytes){last, write_last(last, n)});
    keep_recent(context, &record->key, sum.count, n);
    keep_timers(context, record, sum.count);
    snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %zu %" PRIu64 " %" PRIu64, key,
             sum.count, sum.sum, size, keep_numbers(context, &record->key, sum.count, n),
             keep_digits(context, &record->key, sum.count, n));
    enum weir_result result = say(context, &record->key, text);
    return result == WEIR_OK ? keep_page(context, &record->key, sum.count) : result;
}

static enum weir_result keep_key_timer(void *self, struct weir_context *context,
                                       enum weir_timer kind, const struct weir_bytes *key,
                                       int64_t time, uint64_t tag)
{
    char text[80];

    (void)self;
    snprintf(text, sizeof text, "%" PRIu64 " %s %" PRIu64 " %" PRId64, u64_of(key),
             kind == WEIR_TIMER_EVENT ? "timer" : "clock", tag, time / STEP);
    return say(context, key, text);
}

/* What has not expired, little by little; then the rest, in one call. */
static enum weir_progress keep_finish(void *self, struct weir_context *context)
{
    struct keep *keep = self;
    struct weir_bytes key, value;
    char text[80];

    if (weir_scan_next(context, RECENT, &key, &value)) {
        uint64_t number = u64_of(&key);
        struct weir_bytes copy = {&number, sizeof number};
        snprintf(text, sizeof text, "%" PRIu64 " recent %" PRIu64, number, u64_of(&value));
        say(context, &copy, text);
        return WEIR_MORE;
    }
    for (uint64_t number = 0; number < GOLDEN_KEYS; number++) {
        key = (struct weir_bytes){&number, sizeof number};
        snprintf(text, sizeof text, "%" PRIu64 " seen", number);
        if (keep->keys >> number & 1)
            say(context, &key, text);
    }
    key = (struct weir_bytes){"records", 7};
    snprintf(text, sizeof text, "records %" PRIu64, keep->records);
    say(context, &key, text);
    return WEIR_END;
}

static enum weir_result keep_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    struct keep *keep = self;
    uint64_t subtask = weir_subtask(context);

    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){&keep->records, 8});
    weir_save(saver, WEIR_ITEM_UNION, (struct weir_bytes){&subtask, 8});
    weir_save(saver, WEIR_ITEM_BROADCAST, (struct weir_bytes){EVERYWHERE, strlen(EVERYWHERE)});
    for (uint64_t key = 0; key < GOLDEN_KEYS; key++) {
        uint64_t item[2] = {weir_hash((struct weir_bytes){&key, sizeof key}), key};
        if (keep->keys >> key & 1)
            weir_save(saver, WEIR_ITEM_KEYED, (struct weir_bytes){item, sizeof item});
    }
    weir_save_note(saver, "%" PRIu64 " records", keep->records);
    return WEIR_OK;
}

static enum weir_result keep_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    struct keep *keep = self;
    unsigned all = 0, same = 0;
    enum weir_item kind;
    struct weir_bytes item;
    uint64_t keyed[2];

    while (weir_load_next(loader, &kind, &item)) {
        if (kind == WEIR_ITEM_SPLIT)
            keep->records += u64_of(&item);
        all += kind == WEIR_ITEM_UNION;
        same += kind == WEIR_ITEM_BROADCAST && item.size == strlen(EVERYWHERE) &&
                memcmp(item.data, EVERYWHERE, item.size) == 0;
        if (kind != WEIR_ITEM_KEYED || item.size != sizeof keyed)
            continue;
        memcpy(keyed, item.data, sizeof keyed);
        keep->keys |= UINT64_C(1) << keyed[1];
    }
    if (version != 2 || same != 1 || all == 0)
        return weir_fail(context, WEIR_DAMAGED, "items that were not saved like this");
    return WEIR_OK;
}

static const struct weir_operator keep_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "golden",
    .self_size = sizeof(struct keep),
    .version = 2,
    .process = keep_process,
    .key_timer = keep_key_timer,
    .finish = keep_finish,
    .save = keep_save,
    .load = keep_load,
};

/* -------------------------------------------------------------------------------- the job -- */

static void on_event(void *self, const struct weir_event *event)
{
    struct golden_job *job = self;

    if (event->kind == WEIR_EVENT_COMMITTED && event->id == job->dies_at)
        raise(SIGKILL); /* before anybody is told, who would be done */
    watch_event(&job->flow.watch, event);
}

void golden_job_init(struct golden_job *job, const char *folder, uint32_t parallelism)
{
    struct flow *flow = &job->flow;
    struct weir_sequence_source_options numbers = {WEIR_SIZED(struct weir_sequence_source_options),
                                                   .count = GOLDEN_RECORDS, .keys = GOLDEN_KEYS,
                                                   .time_step = STEP, .parallelism = 1};
    struct weir_node_options keep = {WEIR_SIZED(struct weir_node_options),
                                     .name = GOLDEN_NODE,
                                     .table = &keep_table,
                                     .parallelism = parallelism,
                                     .states = states,
                                     .state_count = sizeof states / sizeof *states};

    job->dies_at = 0;
    snprintf(job->store, sizeof job->store, "%s/store", folder);
    snprintf(job->output, sizeof job->output, "%s/output", folder);
    flow_init(flow);
    valve_init(&job->valve);
    flow->options.name = "golden";
    flow->options.store = job->store;
    flow->options.interval_ns = -1;
    flow->options.batch_bytes = 1024;
    flow->options.window_batches = 4;
    flow->options.mode = WEIR_UNALIGNED;
    flow->options.event = on_event;
    flow->options.event_context = job;
    weir_node source = weir_sequence_source(flow->graph, "numbers", &numbers);
    weir_node middle = weir_graph_add(flow->graph, &keep);
    weir_node valve = valve_node(flow->graph, "valve", &job->valve, parallelism);
    weir_node sink = weir_line_sink(
        flow->graph, "lines",
        &(struct weir_line_sink_options){WEIR_SIZED(struct weir_line_sink_options),
                                         .path = job->output, .parallelism = parallelism});
    weir_graph_connect(flow->graph,
                       &(struct weir_edge_options){
                           WEIR_SIZED(struct weir_edge_options), .from = source, .to = middle,
                           .routing = WEIR_BY_KEY, .key_format = "u64", .value_format = "u64"});
    weir_connect(flow->graph, middle, valve, WEIR_BY_KEY);
    weir_connect(flow->graph, valve, sink, WEIR_FORWARD);
}

void golden_job_free(struct golden_job *job)
{
    flow_free(&job->flow);
    valve_free(&job->valve);
}

/* ---------------------------------------------------------------------- how it is made -- */

static void count_full(void *context, const char *line)
{
    bool *full = context;

    if (strstr(line, "output waits for credit") == NULL)
        return;
    full[0] = full[0] || strncmp(line, "task numbers.0", 14) == 0;
    full[1] = full[1] || strncmp(line, "task " GOLDEN_NODE ".", 5 + strlen(GOLDEN_NODE) + 1) == 0;
}

/* Until everything before the valve is full. */
static void until_full(struct golden_job *job)
{
    bool full[2] = {false, false};
    time_t end = time(NULL) + FLOW_DEADLINE / FLOW_SECOND;

    while (!(full[0] && full[1]) && time(NULL) < end) {
        sched_yield();
        full[0] = full[1] = false;
        weir_job_dump(job->flow.job, count_full, full);
    }
    cr_assert(full[0] && full[1], "the job does not come to a stand");
}

void golden_job_make(const char *folder)
{
    struct golden_job job;

    golden_job_init(&job, folder, GOLDEN_PARALLELISM);
    job.dies_at = GOLDEN_ROUNDS;
    flow_start(&job.flow);
    for (uint64_t round = 1; round <= GOLDEN_ROUNDS; round++) {
        for (uint32_t subtask = 0; subtask < GOLDEN_PARALLELISM; subtask++)
            valve_allow(&job.valve, subtask, 200);
        tally_until(&job.valve.passed, round * 200 * GOLDEN_PARALLELISM);
        until_full(&job);
        flow_checkpoint(&job.flow);
    }
}

/* ------------------------------------------------------------------------------ the oracle -- */

struct lines {
    char **lines;
    size_t count;
};

static void add_line(struct lines *to, const char *line)
{
    to->lines = realloc(to->lines, (to->count + 1) * sizeof *to->lines);
    to->lines[to->count++] = strdup(line);
}

static void free_lines(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->lines[i]);
    free(lines->lines);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What the job says about one key, told without a job. */
static void expect_key(struct lines *lines, uint64_t key)
{
    uint64_t sum = 0, list = 0, digits[10] = {0}, kinds, count = 0;
    size_t size = 0;
    char line[200], last[LAST_ROOM];

    for (uint64_t n = key; n < GOLDEN_RECORDS; n += GOLDEN_KEYS) {
        count++;
        sum += n;
        list = count % 10 == 0 ? (list + 1 < 5 ? list + 1 : 5) : list + 1;
        digits[n % 10]++;
        for (size_t i = 0; count % 16 == 0 && i < 10; i++)
            if (digits[i] > 0) {
                digits[i] = 0;
                break;
            }
        kinds = 0;
        for (size_t i = 0; i < 10; i++)
            kinds += digits[i] > 0;
        snprintf(line, sizeof line, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %zu %" PRIu64 " %" PRIu64,
                 key, count, sum, size, list, kinds);
        add_line(lines, line);
        size = write_last(last, n);
        if (count % 4 == 1 && (count % 8 == 5 || n + 4 * GOLDEN_KEYS >= GOLDEN_RECORDS)) {
            snprintf(line, sizeof line, "%" PRIu64 " timer %" PRIu64 " %" PRIu64, key, count,
                     n + TIMER_DELAY / STEP);
            add_line(lines, line);
        }
    }
    snprintf(line, sizeof line, "%" PRIu64 " page %zu whole", key, PAGE);
    add_line(lines, line);
    snprintf(line, sizeof line, "%" PRIu64 " recent %" PRIu64, key,
             GOLDEN_RECORDS - GOLDEN_KEYS + key);
    if (key % 2 == 0)
        add_line(lines, line);
    snprintf(line, sizeof line, "%" PRIu64 " seen", key);
    add_line(lines, line);
}

static void read_part(struct lines *lines, const char *path, uint64_t *records)
{
    char line[300];
    FILE *file = fopen(path, "r");

    cr_assert_not_null(file, "%s", path);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "records ", 8) == 0)
            *records += strtoull(line + 8, NULL, 10);
        else
            add_line(lines, line);
    }
    fclose(file);
}

static void read_output(struct lines *lines, const char *folder, uint64_t *records)
{
    DIR *list = opendir(scratch_join(folder, "output"));
    struct dirent *entry;
    char path[600];

    cr_assert_not_null(list);
    while ((entry = readdir(list)) != NULL) {
        snprintf(path, sizeof path, "%s/output/%s", folder, entry->d_name);
        if (strncmp(entry->d_name, "part-", 5) == 0)
            read_part(lines, path, records);
    }
    closedir(list);
}

void golden_job_is_exact(const char *folder)
{
    struct lines expected = {0}, found = {0};
    uint64_t records = 0;

    for (uint64_t key = 0; key < GOLDEN_KEYS; key++)
        expect_key(&expected, key);
    read_output(&found, folder, &records);
    qsort(expected.lines, expected.count, sizeof *expected.lines, by_text);
    qsort(found.lines, found.count, sizeof *found.lines, by_text);
    for (size_t i = 0; i < expected.count && i < found.count; i++)
        cr_assert_str_eq(found.lines[i], expected.lines[i]);
    cr_assert_eq(found.count, expected.count, "%zu lines, not %zu", found.count, expected.count);
    cr_assert_eq(records, GOLDEN_RECORDS, "of each record it was told once that it came");
    free_lines(&expected);
    free_lines(&found);
}
