/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The line source against a plain splitting of the same bytes: files, split sizes and parallelism
 * at random; a save and a load between any two records; inputs that changed behind its back.
 */
#include "exercised.h"
#include "fake_context.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static char folder[] = "/tmp/test_line_source-XXXXXX";
static struct weir_graph *graph;

static void set_up(void)
{
    cr_assert(mkdtemp(folder));
    graph = weir_graph_new(NULL);
}

static void tear_down(void)
{
    char command[128];
    weir_graph_free(&graph);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put_file(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(path_of(name), "w");
    cr_assert(file);
    cr_assert_eq(fwrite(data, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

static void put_text(const char *name, const char *text)
{
    put_file(name, text, strlen(text));
}

static weir_node add_source(const char *path, uint64_t split_bytes, uint64_t rate)
{
    struct weir_line_source_options options = {
        WEIR_SIZED(struct weir_line_source_options),
        .path = path,
        .split_bytes = split_bytes,
        .rate = rate,
    };
    graph->count = 0; /* each test reads one source at a time */
    return weir_line_source(graph, "lines", &options);
}

/* ---- the oracle ---- */

struct text {
    char *data;
    size_t size;
};

/* A naive twin: the lines of `text` that split `mine` of `of` owns, compared with what came. */
struct cursor {
    const struct weir_context *task;
    size_t next; /* emitted record */
};

static void expect_line(struct cursor *cursor, const char *line, size_t size)
{
    cr_assert_lt(cursor->next, cursor->task->emitted_count);
    const struct weir_record *record = &cursor->task->emitted[cursor->next++];
    cr_assert_eq(record->value.size, size);
    cr_assert_eq(memcmp(record->value.data, line, size), 0);
    cr_assert_eq(record->key.size, 0);
    cr_assert_eq(record->time, WEIR_NO_TIME);
}

static void expect_lines_from(struct cursor *cursor, const struct text *text, size_t begin,
                              size_t end)
{
    for (size_t at = 0; at < text->size;) {
        const char *newline = memchr(text->data + at, '\n', text->size - at);
        size_t stop = newline ? (size_t)(newline - text->data) : text->size;
        if (at >= begin && at < end)
            expect_line(cursor, text->data + at, stop - at);
        at = stop + 1;
    }
}

/* All splits of a subtask, over all files, in order. */
static void expect_share(const struct weir_context *task, const struct text *texts, size_t count,
                         size_t split_bytes)
{
    struct cursor cursor = {task, 0};
    size_t split = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t at = 0; at < texts[i].size; at += split_bytes, split++)
            if (split % task->run.parallelism == task->run.subtask)
                expect_lines_from(&cursor, &texts[i], at, at + split_bytes);
    cr_assert_eq(cursor.next, task->emitted_count);
}

/* Lines that are mostly short; newlines, CR, NUL and bytes above 127 among them. */
static struct text random_text(size_t size)
{
    static const char letters[] = {'a', 'b', '\n', '\n', '\r', '\0', '\xff', ' '};
    struct text text = {malloc(size + 1), size};
    unsigned rare = (unsigned)rand() % 4;
    for (size_t i = 0; i < size; i++) {
        char letter = letters[(unsigned)rand() % sizeof letters];
        text.data[i] = letter == '\n' && (unsigned)rand() % 4 < rare ? 'x' : letter;
    }
    return text;
}

static void poll_all(struct weir_context *task)
{
    for (unsigned i = 0; task->table->poll(task->self, task) != WEIR_END; i++)
        cr_assert(task->failed.code == WEIR_OK && i < 100000, "%s", task->failed.text);
    cr_assert_eq(task->failed.code, WEIR_OK, "%s", task->failed.text);
}

/* ---- exactness ---- */

static void expect_exact(const char *path, const struct text *texts, size_t count,
                         size_t split_bytes, uint32_t parallelism)
{
    weir_node node = add_source(path, split_bytes, 0);
    for (uint32_t subtask = 0; subtask < parallelism; subtask++) {
        struct weir_context task;
        struct fake_run run = {.subtask = subtask, .parallelism = parallelism};
        cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK, "%s", task.failed.text);
        poll_all(&task);
        expect_share(&task, texts, count, split_bytes);
        fake_end(&task);
    }
}

Test(line_source, splits_any_file_into_its_lines, .init = set_up, .fini = tear_down)
{
    srand(1);
    for (unsigned i = 0; i < 800; i++) {
        struct text text = random_text((size_t)rand() % 60);
        put_file("input", text.data, text.size);
        char path[256];
        snprintf(path, sizeof path, "%s", path_of("input"));
        expect_exact(path, &text, 1, 1 + (size_t)rand() % 20, 1 + (uint32_t)rand() % 4);
        free(text.data);
    }
}

Test(line_source, reads_a_folder_in_byte_order_without_hidden_and_other_files, .init = set_up,
     .fini = tear_down)
{
    srand(2);
    struct text texts[3] = {random_text(50), random_text(0), random_text(33)};
    put_file("B", texts[0].data, texts[0].size);
    put_file("a", texts[1].data, texts[1].size);
    put_file("a.b", texts[2].data, texts[2].size);
    put_text(".hidden", "no\n");
    cr_assert_eq(mkdir(path_of("folder"), 0700), 0);
    cr_assert_eq(symlink("nowhere", path_of("link")), 0);
    for (uint32_t parallelism = 1; parallelism < 5; parallelism++)
        expect_exact(folder, texts, 3, 7, parallelism);
    for (size_t i = 0; i < 3; i++)
        free(texts[i].data);
}

Test(line_source, an_empty_folder_and_an_empty_file_have_no_lines, .init = set_up,
     .fini = tear_down)
{
    struct text empty = {NULL, 0};
    expect_exact(folder, &empty, 0, 10, 2);
    put_text("empty", "");
    expect_exact(folder, &empty, 1, 10, 2);
}

/* Lines much longer than a read, over many splits. */
Test(line_source, long_lines_over_many_splits_and_reads, .init = set_up, .fini = tear_down)
{
    static const size_t lengths[] = {3, 700000, 0, 1300000, 1, 524288, 524287, 262144, 5, 4096};
    struct text text = {malloc(4 << 20), 0};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (size_t j = 0; j < lengths[i]; j++)
            text.data[text.size++] = (char)('a' + (i + j) % 26);
        text.data[text.size++] = '\n';
    }
    text.size--; /* the last one has no newline */
    put_file("long", text.data, text.size);
    expect_exact(folder, &text, 1, 65536, 3);
    expect_exact(folder, &text, 1, 16 << 20, 1);
    free(text.data);
}

Test(line_source, a_line_may_have_16_MiB_and_no_more, .init = set_up, .fini = tear_down)
{
    size_t limit = (size_t)16 << 20;
    struct text text = {malloc(limit + 8), limit + 3};
    memset(text.data, 'x', text.size);
    text.data[0] = text.data[limit + 1] = '\n';
    put_file("wide", text.data, text.size);
    expect_exact(folder, &text, 1, 1 << 20, 2);
    text.data[limit + 1] = 'x';
    put_file("wide", text.data, text.size);

    struct weir_context task;
    struct fake_run run = {0};
    weir_node node = add_source(folder, 0, 0);
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    while (task.table->poll(task.self, &task) == WEIR_MORE && task.failed.code == WEIR_OK)
        ;
    cr_expect_eq(task.failed.code, WEIR_TOO_LARGE);
    cr_expect(strstr(task.failed.text, "wide") && strstr(task.failed.text, "byte 1 "), "%s",
              task.failed.text);
    fake_end(&task);
    free(text.data);
}

Test(line_source, one_poll_is_bounded, .init = set_up, .fini = tear_down)
{
    char lines[4000];
    memset(lines, '\n', sizeof lines);
    put_file("lines", lines, sizeof lines);
    struct weir_context task;
    struct fake_run run = {0};
    weir_node node = add_source(folder, 0, 0);
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    for (size_t before = 0; task.table->poll(task.self, &task) == WEIR_MORE;) {
        cr_assert_leq(task.emitted_count - before, 256);
        before = task.emitted_count;
    }
    cr_expect_eq(task.emitted_count, sizeof lines);
    fake_end(&task);
}

Test(line_source, a_missing_input_is_named, .init = set_up, .fini = tear_down)
{
    struct weir_context task;
    struct fake_run run = {0};
    weir_node node = add_source("/nowhere/at/all", 0, 0);
    cr_expect_eq(fake_start(&task, graph, node, &run), WEIR_FAILED);
    cr_expect(strstr(task.failed.text, "/nowhere/at/all"));
    cr_expect_eq(task.failed.code, WEIR_NOT_FOUND);
    fake_end(&task);
}

/* Two subtasks that looked at a growing file at different moments must still split it alike. */
Test(line_source, all_subtasks_see_the_first_ones_listing, .init = set_up, .fini = tear_down)
{
    struct weir_context first, second;
    struct fake_run run = {.subtask = 0, .parallelism = 2};
    put_text("a", "1\n2\n3\n");
    weir_node node = add_source(folder, 2, 0);
    cr_assert_eq(fake_start(&first, graph, node, &run), WEIR_OK);
    put_text("a", "1\n2\n3\n4\n5\n");
    run.subtask = 1;
    cr_assert_eq(fake_start(&second, graph, node, &run), WEIR_OK);
    poll_all(&first);
    poll_all(&second);
    cr_expect_eq(first.emitted_count, 2);
    cr_expect_eq(second.emitted_count, 1);
    fake_end(&first);
    fake_end(&second);
    /* Started again, it looks again. */
    cr_assert_eq(fake_start(&second, graph, node, &run), WEIR_OK);
    poll_all(&second);
    cr_expect_eq(second.emitted_count, 2);
    fake_end(&second);
}

/* ---- save and load ---- */

/* One record, the clock moved to each deadline. False at the end. */
static bool poll_one(struct weir_context *task)
{
    size_t before = task->emitted_count;
    while (task->emitted_count == before) {
        enum weir_progress progress = task->table->poll(task->self, task);
        cr_assert_eq(task->failed.code, WEIR_OK, "%s", task->failed.text);
        if (progress == WEIR_END)
            return task->emitted_count > before;
        if (progress == WEIR_IDLE)
            task->run.now_ns = task->deadline_ns;
    }
    cr_assert_eq(task->emitted_count, before + 1);
    return true;
}

/* Hands the records of one instance over to the next, so that they can be compared as one list. */
static void restart(struct weir_context *task, weir_node node)
{
    struct weir_saver saved = {0};
    struct weir_context next;
    struct fake_run run = task->run;
    run.saved = &saved;
    cr_assert_eq(fake_cut(task, &saved), WEIR_OK);
    cr_assert_eq(fake_start(&next, graph, node, &run), WEIR_OK, "%s", next.failed.text);
    next.emitted = task->emitted;
    next.outputs = task->outputs;
    next.emitted_count = task->emitted_count;
    task->emitted = NULL;
    task->outputs = NULL;
    task->emitted_count = 0;
    fake_end(task);
    fake_items_free(&saved);
    next.run.saved = NULL;
    *task = next;
}

static void expect_exact_with_restarts(const char *path, const struct text *text,
                                       size_t split_bytes, uint32_t parallelism)
{
    weir_node node = add_source(path, split_bytes, 1);
    for (uint32_t subtask = 0; subtask < parallelism; subtask++) {
        struct weir_context task;
        struct fake_run run = {.subtask = subtask, .parallelism = parallelism};
        cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
        do
            restart(&task, node);
        while (poll_one(&task));
        restart(&task, node);
        cr_assert_not(poll_one(&task));
        expect_share(&task, text, 1, split_bytes);
        fake_end(&task);
    }
}

Test(line_source, goes_on_exactly_after_a_restart_between_any_two_records, .init = set_up,
     .fini = tear_down)
{
    srand(3);
    for (unsigned i = 0; i < 150; i++) {
        struct text text = random_text((size_t)rand() % 60);
        put_file("input", text.data, text.size);
        expect_exact_with_restarts(folder, &text, 1 + (size_t)rand() % 20,
                                   1 + (uint32_t)rand() % 3);
        free(text.data);
    }
}

Test(line_source, restarts_in_the_middle_of_large_files, .init = set_up, .fini = tear_down)
{
    srand(4);
    struct text text = {malloc(3 << 20), 0};
    while (text.size < (size_t)2 << 20) {
        size_t line = (unsigned)rand() % 30000;
        memset(text.data + text.size, 'a' + rand() % 26, line);
        text.size += line;
        text.data[text.size++] = '\n';
    }
    put_file("large", text.data, text.size);
    expect_exact_with_restarts(folder, &text, 700001, 2);
    free(text.data);
}

/* Items dealt out anew: every line still comes once. */
Test(line_source, goes_on_with_another_parallelism, .init = set_up, .fini = tear_down)
{
    bool seen[200] = {false};
    char lines[4 * 200 + 1];
    size_t lines_seen = 0;
    for (int i = 0; i < 200; i++)
        snprintf(lines + 4 * i, 5, "%03d\n", i);
    put_text("lines", lines);
    struct weir_saver saved = {0}, dealt[5] = {{0}};
    for (uint32_t phase = 0; phase < 2; phase++)
        for (uint32_t subtask = 0; subtask < (phase ? 5 : 2); subtask++) {
            struct weir_context task;
            struct fake_run run = {.subtask = subtask, .parallelism = phase ? 5 : 2};
            run.saved = phase ? &dealt[subtask] : NULL;
            weir_node node = add_source(folder, 37, phase ? 0 : 1);
            cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK, "%s", task.failed.text);
            if (phase == 1)
                poll_all(&task);
            for (unsigned i = 0; phase == 0 && i < 33; i++)
                cr_assert(poll_one(&task));
            for (size_t i = 0; i < task.emitted_count; i++, lines_seen++) {
                int number = atoi((const char *)task.emitted[i].value.data);
                cr_assert_not(seen[number]);
                seen[number] = true;
            }
            if (phase == 0)
                cr_assert_eq(fake_cut(&task, &saved), WEIR_OK);
            fake_end(&task);
            for (size_t i = 0; phase == 0 && subtask == 1 && i < saved.count; i++)
                for (uint32_t to = 0; to < 5; to++)
                    if (saved.items[i].kind == WEIR_ITEM_BROADCAST || to == i % 5)
                        fake_items_add(
                            &dealt[to], saved.items[i].kind,
                            (struct weir_bytes){saved.items[i].data, saved.items[i].size});
        }
    cr_expect_eq(lines_seen, 200);
    fake_items_free(&saved);
    for (uint32_t to = 0; to < 5; to++)
        fake_items_free(&dealt[to]);
}

Test(line_source, a_cut_touches_no_file_and_says_where_it_is, .init = set_up, .fini = tear_down)
{
    struct weir_context task;
    struct fake_run run = {0};
    struct weir_saver saved = {0};
    put_text("lines.txt", "one\ntwo\n");
    weir_node node = add_source(folder, 0, 1);
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    cr_assert(poll_one(&task));
    unsigned calls = fake_file_calls;
    cr_assert_eq(fake_cut(&task, &saved), WEIR_OK);
    cr_expect_eq(fake_file_calls, calls);
    cr_expect_str_eq(saved.note, "lines.txt 0.0 of 0.0 MB");
    fake_end(&task);
    fake_items_free(&saved);
}

/* The whole input is 4000 bytes, whoever reads how much of it; a restart goes on where it was. */
Test(line_source, says_how_far_it_is_in_bytes, .init = set_up, .fini = tear_down)
{
    char lines[4000];
    memset(lines, 'x', sizeof lines);
    for (size_t i = 9; i < sizeof lines; i += 10)
        lines[i] = '\n';
    put_file("lines", lines, sizeof lines);
    uint64_t total = 0;
    for (uint32_t subtask = 0; subtask < 5; subtask++) { /* of 4 splits: the last has none */
        struct weir_context task;
        struct fake_run run = {.subtask = subtask, .parallelism = 5};
        weir_node node = add_source(folder, 1000, 1);
        cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
        cr_expect_eq(task.progress_done, 1);
        total += task.progress_total - 1;
        uint64_t before = 0;
        while (poll_one(&task)) {
            cr_expect_geq(task.progress_done, before);
            before = task.progress_done;
            if (task.emitted_count == 50) {
                cr_expect_leq(before, 520); /* 500 bytes, and where the search began */
                restart(&task, node);
                cr_assert(poll_one(&task));
                cr_expect_geq(task.progress_done, before);
            }
        }
        cr_expect_eq(task.progress_done, task.progress_total);
        fake_end(&task);
    }
    cr_expect_eq(total, sizeof lines);
}

Test(line_source, state_stays_small_however_many_splits_there_are, .init = set_up,
     .fini = tear_down)
{
    struct weir_context task;
    struct fake_run run = {0};
    struct weir_saver saved = {0};
    char lines[10000];
    memset(lines, '\n', sizeof lines);
    put_file("lines", lines, sizeof lines);
    weir_node node = add_source(folder, 1, 1);
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    cr_assert_eq(fake_cut(&task, &saved), WEIR_OK);
    cr_expect_leq(saved.count, 65);
    fake_end(&task);
    fake_items_free(&saved);
}

/* ---- inputs that changed ---- */

#define TEXT "first line\nsecond line\nthird line\n"

/* Reads one line of TEXT, lets `change` happen, and restarts. */
static enum weir_result restart_after(void (*change)(void), struct weir_context *task)
{
    struct weir_saver saved = {0};
    struct fake_run run = {0};
    put_text("input", TEXT);
    weir_node node = add_source(folder, 0, 1);
    cr_assert_eq(fake_start(task, graph, node, &run), WEIR_OK);
    cr_assert(poll_one(task));
    cr_assert_eq(fake_cut(task, &saved), WEIR_OK);
    fake_end(task);
    change();
    run.saved = &saved;
    enum weir_result result = fake_start(task, graph, node, &run);
    fake_items_free(&saved);
    return result;
}

static void expect_refused(void (*change)(void), const char *reason)
{
    struct weir_context task;
    cr_expect_eq(restart_after(change, &task), WEIR_REFUSED);
    cr_expect(strstr(task.failed.text, path_of("input")), "%s", task.failed.text);
    cr_expect(strstr(task.failed.text, reason), "%s", task.failed.text);
    fake_end(&task);
}

static void take_away(void)
{
    cr_assert_eq(unlink(path_of("input")), 0);
}

static void make_shorter(void)
{
    put_text("input", "first line\n");
}

static void replace_head(void)
{
    put_text("input", "FIRST line\nsecond line\nthird line\n");
}

static void append(void)
{
    put_text("input", TEXT "fourth line\n");
}

static void leave(void)
{
}

Test(line_source, a_changed_input_is_refused, .init = set_up, .fini = tear_down)
{
    expect_refused(take_away, "missing");
    expect_refused(make_shorter, "11 bytes");
    expect_refused(replace_head, "begins differently");
}

Test(line_source, what_was_appended_is_not_read, .init = set_up, .fini = tear_down)
{
    struct weir_context task;
    cr_assert_eq(restart_after(append, &task), WEIR_OK, "%s", task.failed.text);
    while (poll_one(&task))
        ;
    cr_expect_eq(task.emitted_count, 2);
    fake_end(&task);
    cr_assert_eq(restart_after(leave, &task), WEIR_OK);
    fake_end(&task);
}

/* A change behind the fingerprinted head, just before the saved position. */
Test(line_source, other_bytes_before_the_position_are_refused, .init = set_up, .fini = tear_down)
{
    struct weir_context task;
    struct weir_saver saved = {0};
    struct fake_run run = {0};
    static char lines[300000];
    for (size_t i = 0; i < sizeof lines; i++)
        lines[i] = i % 1000 == 999 ? '\n' : 'x';
    put_file("input", lines, sizeof lines);
    weir_node node = add_source(folder, 0, 0);
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    cr_assert_eq(task.table->poll(task.self, &task), WEIR_MORE);
    cr_assert_eq(task.emitted_count, 256);
    cr_assert_eq(fake_cut(&task, &saved), WEIR_OK);
    fake_end(&task);

    run.saved = &saved;
    lines[256000 - 4096] = 'y';
    put_file("input", lines, sizeof lines);
    cr_expect_eq(fake_start(&task, graph, node, &run), WEIR_REFUSED);
    cr_expect(strstr(task.failed.text, "before byte 256000"), "%s", task.failed.text);
    fake_end(&task);
    fake_items_free(&saved);
}

Test(line_source, a_file_that_shrinks_while_it_is_read_fails_the_run, .init = set_up,
     .fini = tear_down)
{
    struct weir_context task;
    struct fake_run run = {0};
    put_text("input", TEXT);
    weir_node node = add_source(folder, 0, 0);
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    make_shorter();
    task.table->poll(task.self, &task);
    cr_expect_eq(task.failed.code, WEIR_REFUSED);
    cr_expect(strstr(task.failed.text, path_of("input")), "%s", task.failed.text);
    fake_end(&task);
}

Test(line_source, state_that_makes_no_sense_is_refused, .init = set_up, .fini = tear_down)
{
    struct weir_context task;
    struct weir_saver saved = {0};
    struct fake_run run = {0};
    put_text("input", TEXT);
    weir_node node = add_source(folder, 4, 1);
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    cr_assert(poll_one(&task));
    cr_assert_eq(fake_cut(&task, &saved), WEIR_OK);
    fake_end(&task);
    run.saved = &saved;
    for (size_t i = 0; i < saved.count; i++)
        for (size_t size = 0; size < saved.items[i].size; size++) {
            size_t whole = saved.items[i].size;
            saved.items[i].size = size;
            cr_assert_eq(fake_start(&task, graph, node, &run),
                         saved.items[i].kind == WEIR_ITEM_BROADCAST ? WEIR_FAILED : WEIR_DAMAGED);
            cr_assert_eq(task.failed.code, WEIR_DAMAGED);
            fake_end(&task);
            saved.items[i].size = whole;
        }
    fake_items_free(&saved);
}

/* ---- faults ---- */

Test(line_source, every_broken_file_call_fails_the_run_or_nothing, .init = set_up,
     .fini = tear_down)
{
    struct text text = {(char *)(uintptr_t)TEXT, strlen(TEXT)};
    put_text("input", TEXT);
    weir_node node = add_source(folder, 5, 0);
    uint64_t broken = 0;
    for (unsigned limit = 0;; limit++) {
        struct weir_context task;
        struct fake_run run = {0};
        fake_files_reset();
        fake_file_limit = limit;
        if (fake_start(&task, graph, node, &run) == WEIR_OK)
            while (task.table->poll(task.self, &task) == WEIR_MORE && task.failed.code == WEIR_OK)
                ;
        bool fired = fake_file_calls > limit;
        if (!fired || task.failed.code == WEIR_OK) /* a failed close of a file that was read */
            expect_share(&task, &text, 1, 5);
        fake_end(&task);
        if (!fired)
            break;
        broken++;
    }
    exercised(broken);
    fake_files_reset();
}

struct scarce {
    size_t left;
};

static void *scarce_allocate(void *context, size_t size)
{
    struct scarce *scarce = context;
    if (scarce->left == 0)
        return NULL;
    scarce->left--;
    return aligned_alloc(16, (size + 15) / 16 * 16);
}

static void scarce_release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

Test(line_source, every_failed_allocation_fails_the_run, .init = set_up, .fini = tear_down)
{
    put_text("input", TEXT);
    weir_node node = add_source(folder, 5, 0);
    for (size_t most = 0;; most++) {
        struct scarce scarce = {most};
        struct weir_allocator allocator = {scarce_allocate, scarce_release, &scarce};
        struct weir_context task;
        struct fake_run run = {.allocator = &allocator};
        if (fake_start(&task, graph, node, &run) == WEIR_OK)
            while (task.table->poll(task.self, &task) == WEIR_MORE && task.failed.code == WEIR_OK)
                ;
        bool whole = task.failed.code == WEIR_OK;
        cr_assert(whole || task.failed.code == WEIR_NO_MEMORY);
        fake_end(&task);
        if (whole)
            break;
    }
}
