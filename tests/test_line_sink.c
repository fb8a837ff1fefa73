/* links: operators fake_context sink_world */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The line sink in the world of sink_world.h: exact whatever it dies of; and what it refuses.
 */
#include "part.h"
#include "sink_world.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE WORLD_STORE
#define OTHER "fedcba9876543210fedcba9876543210"
#define PART(number) "part-00000-0000000000000000000" number

static char folder[] = "/tmp/test_line_sink-XXXXXX";
static char output[128];
static struct weir_graph *graph;
static struct world_sink sink;

static void set_up(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(output, sizeof output, "%s/out", folder);
    sink.graph = graph = weir_graph_new(NULL);
    fake_files_reset();
}

static void empty_output(void)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s", output);
    cr_assert_eq(system(command), 0);
}

static void tear_down(void)
{
    empty_output();
    cr_assert_eq(rmdir(folder), 0);
    weir_graph_free(&graph);
}

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", output, name);
    return path;
}

static weir_node add_sink(struct weir_graph *to)
{
    struct weir_line_sink_options options = {WEIR_SIZED(struct weir_line_sink_options),
                                             .path = output};
    return weir_line_sink(to, "sink", &options);
}

/* ---- what a reader of the directory sees ---- */

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int is_staged(const struct dirent *entry)
{
    return strncmp(entry->d_name, ".staged-", 8) == 0;
}

static int count_files(int (*filter)(const struct dirent *))
{
    struct dirent **entries;
    int count = scandir(output, &entries, filter, alphasort);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    if (count >= 0)
        free(entries);
    return count < 0 ? 0 : count;
}

/* The visible files in order of name, one after the other; static, zero-terminated. */
static const char *visible(void)
{
    static char text[8192];
    struct dirent **entries;
    size_t size = 0;
    int count = scandir(output, &entries, is_visible, alphasort);
    for (int i = 0; i < count; i++) {
        FILE *file = fopen(path_of(entries[i]->d_name), "r");
        cr_assert(file);
        size += fread(text + size, 1, sizeof text - 1 - size, file);
        fclose(file);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    text[size] = '\0';
    return text;
}

static unsigned count_visible(void)
{
    unsigned seen = 0;
    char line[16];
    for (const char *at = visible(); *at; seen++) {
        int size = snprintf(line, sizeof line, "line %u\n", seen);
        cr_assert_eq(strncmp(at, line, (size_t)size), 0, "not a prefix:\n%s", visible());
        at += size;
    }
    return seen;
}

static int count_staged(void)
{
    return count_files(is_staged);
}

static struct world_sink sink = {
    .add = add_sink,
    .count_visible = count_visible,
    .count_staged = count_staged,
    .empty = empty_output,
};

/* ---- deaths ---- */

Test(line_sink, exact_after_a_death_at_any_file_call, .init = set_up, .fini = tear_down)
{
    static const enum fate aborts[] = {ABORTED, ABORTED, COMMITTED, ABORTED};
    static const enum fate silent[] = {DURABLE_BUT_NOT_TOLD, DURABLE_BUT_NOT_TOLD, ABORTED,
                                       COMMITTED_TWICE};
    world_crash_everywhere(&sink, NULL, 0, UINT32_MAX);
    world_crash_everywhere(&sink, aborts, 4, UINT32_MAX);
    world_crash_everywhere(&sink, silent, 4, UINT32_MAX);
}

Test(line_sink, exact_after_a_death_in_the_recovery_of_a_death, .init = set_up, .fini = tear_down)
{
    static const enum fate silent[] = {DURABLE_BUT_NOT_TOLD, ABORTED, DURABLE_BUT_NOT_TOLD};
    for (unsigned again = 0; again < 25; again++)
        world_crash_everywhere(&sink, silent, 3, again);
}

Test(line_sink, exact_after_any_allocation_was_refused, .init = set_up, .fini = tear_down)
{
    world_starve_everywhere(&sink);
}

Test(line_sink, exact_after_deaths_between_any_two_steps, .init = set_up, .fini = tear_down)
{
    world_die_between_steps(&sink, 300);
}

/* ---- the two phases ---- */

Test(line_sink, syncs_before_the_handle_and_after_the_rename, .init = set_up, .fini = tear_down)
{
    struct world world = world_make(&sink, 9);
    cr_assert(world_start(&world));
    fake_files_reset();
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, DURABLE_BUT_NOT_TOLD));
    cr_expect_str_eq(fake_file_trace, "cwsS");
    cr_expect_eq(count_files(is_visible), 0);
    fake_files_reset();
    cr_assert_eq(fake_commit(&world.task, &world.pending), WEIR_OK);
    cr_expect_str_eq(fake_file_trace, "rS");
    cr_expect_str_eq(visible(), "line 0\n");
    world_free(&world);
}

Test(line_sink, no_output_no_part, .init = set_up, .fini = tear_down)
{
    struct world world = world_make(&sink, 1);
    cr_assert(world_start(&world));
    cr_assert(world_round(&world, COMMITTED));
    cr_expect_eq(world.handles.count, 0);
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, COMMITTED));
    cr_assert(world_round(&world, COMMITTED));
    cr_expect_eq(count_files(is_visible), 1);
    cr_expect_eq(access(path_of(PART("0")), F_OK), 0);
    world_free(&world);
}

Test(line_sink, what_was_not_prepared_is_removed_at_close, .init = set_up, .fini = tear_down)
{
    struct world world = world_make(&sink, 1);
    char large[200000];
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '\0';
    cr_assert(world_start(&world));
    cr_assert_eq(fake_process(&world.task, "", large), WEIR_OK);
    cr_assert_eq(fake_process(&world.task, "", large), WEIR_OK);
    cr_expect_eq(count_files(is_staged), 1);
    world_free(&world);
    cr_expect_eq(count_files(is_staged), 0);
    cr_expect_eq(count_files(is_visible), 0);
}

Test(line_sink, a_part_taken_by_a_reader_is_reported_and_passed_over, .init = set_up,
     .fini = tear_down)
{
    struct world world = world_make(&sink, 2);
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, COMMITTED));
    cr_assert_eq(unlink(path_of(PART("0"))), 0);
    cr_assert_eq(fake_commit(&world.task, &world.handles), WEIR_OK);
    cr_expect(strstr(world.task.log, PART("0")), "%s", world.task.log);
    world_free(&world);
}

Test(line_sink, an_interrupted_link_and_unlink_is_finished, .init = set_up, .fini = tear_down)
{
    struct world world = world_make(&sink, 1);
    char staged[PART_NAME_ROOM], from[512];
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, DURABLE_BUT_NOT_TOLD));
    struct part part = {STORE, 1, 0, 0};
    part_staged_name(&part, staged);
    snprintf(from, sizeof from, "%s", path_of(staged));
    cr_assert_eq(link(from, path_of(PART("0"))), 0);
    cr_assert_eq(fake_commit(&world.task, &world.pending), WEIR_OK, "%s", world.task.failed.text);
    cr_expect_eq(count_files(is_staged), 0);
    cr_expect_str_eq(visible(), "line 0\n");
    world_free(&world);
}

static void put_file(const char *name)
{
    FILE *file = fopen(path_of(name), "w");
    cr_assert(file);
    fputs("foreign\n", file);
    fclose(file);
}

Test(line_sink, never_replaces_a_file_that_took_the_name, .init = set_up, .fini = tear_down)
{
    struct world world = world_make(&sink, 1);
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, DURABLE_BUT_NOT_TOLD));
    put_file(PART("0"));
    cr_expect_eq(fake_commit(&world.task, &world.pending), WEIR_REFUSED);
    cr_expect_str_eq(visible(), "foreign\n");
    cr_expect_eq(count_files(is_staged), 1);
    world_free(&world);
}

Test(line_sink, handles_that_make_no_sense_are_refused, .init = set_up, .fini = tear_down)
{
    static const char *const bad[] = {
        "",
        " ",
        "a b",
        ".staged-x part-y",
        ".weir-history " PART("0"),
        ".staged-" STORE "-0000000001-00000-00000000000000000000 ../" PART("0"),
        ".staged-" STORE "-0000000001-00000-00000000000000000000 " PART("1"),
        ".staged-" STORE "-0000000001-00000-00000000000000000000",
        ".staged-" STORE "-0000000001-00000-99999999999999999999 " PART("0"),
    };
    struct world world = world_make(&sink, 1);
    cr_assert(world_start(&world));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct weir_bytes handle = {bad[i], strlen(bad[i])};
        cr_expect_eq(world.task.table->commit(world.task.self, &world.task, handle), WEIR_DAMAGED,
                     "%s", bad[i]);
    }
    world_free(&world);
}

/* ---- lines ---- */

static size_t write_twice(char *line, size_t room, const struct weir_record *record,
                          const void *config)
{
    size_t size = record->value.size;
    (void)config;
    if (2 * size <= room) {
        memcpy(line, record->value.data, size);
        memcpy(line + size, record->value.data, size);
    }
    return 2 * size;
}

/* Sizes around that of the buffer, so that a line falls on its end in every way. */
Test(line_sink, lines_of_any_size_are_whole, .init = set_up, .fini = tear_down)
{
    static const size_t sizes[] = {0, 1, 65534, 65535, 65536, 1, 65537, 300000, 2, 0};
    struct weir_line_sink_options options = {WEIR_SIZED(struct weir_line_sink_options),
                                             .path = output, .write = write_twice};
    struct weir_context task;
    struct fake_run run = {.store = STORE};
    struct weir_saver items = {0};
    static char line[300001];
    size_t total = 0;
    weir_node node = weir_line_sink(graph, "sink", &options);
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memset(line, 'a' + (int)i, sizes[i]);
        line[sizes[i]] = '\0';
        cr_assert_eq(fake_process(&task, "", line), WEIR_OK);
        total += 2 * sizes[i] + 1;
    }
    cr_assert_eq(fake_cut(&task, &items), WEIR_OK);
    cr_assert_eq(fake_commit(&task, &task.handles), WEIR_OK);
    FILE *file = fopen(path_of(PART("0")), "r");
    char *text = malloc(total + 1);
    cr_assert_eq(fread(text, 1, total + 1, file), total);
    fclose(file);
    const char *at = text;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++, at++) {
        for (size_t j = 0; j < 2 * sizes[i]; j++)
            cr_assert_eq(*at++, (char)('a' + i));
        cr_assert_eq(*at, '\n');
    }
    free(text);
    fake_end(&task);
    fake_items_free(&items);
}

/* ---- whose directory it is ---- */

/* Starts on a directory as it is; the answer is the failure's code. */
static enum weir_result try_start(const char *store, const struct weir_saver *saved, char *reason)
{
    struct weir_context task;
    struct fake_run run = {.epoch = 9, .store = store, .saved = saved};
    graph->count = 0;
    fake_start(&task, graph, add_sink(graph), &run);
    if (task.failed.code == WEIR_OK)
        fake_process(&task, "", "x");
    enum weir_result result = task.failed.code;
    if (reason)
        snprintf(reason, 640, "%s", task.failed.text);
    fake_end(&task);
    return result;
}

/* A finished run of one line and its last checkpoint. */
static void publish_one(struct world *world)
{
    *world = world_make(&sink, 1);
    cr_assert(world_run(world, NULL, 0));
    world_end(world);
}

Test(line_sink, refuses_the_parts_of_another_history, .init = set_up, .fini = tear_down)
{
    struct world world;
    char reason[640];
    publish_one(&world);
    cr_expect_eq(try_start(OTHER, NULL, reason), WEIR_REFUSED);
    cr_expect(strstr(reason, output) && strstr(reason, PART("0")), "%s", reason);
    cr_expect_eq(try_start(STORE, NULL, NULL), WEIR_REFUSED);
    cr_expect_eq(try_start(NULL, NULL, NULL), WEIR_REFUSED);
    cr_expect_eq(try_start(OTHER, &world.items, reason), WEIR_REFUSED);
    cr_expect(strstr(reason, "belongs to another history"), "%s", reason);
    cr_expect_eq(try_start(STORE, &world.items, reason), WEIR_OK, "%s", reason);
    /* Even when a reader took all parts: their store may still publish some. */
    cr_assert_eq(unlink(path_of(PART("0"))), 0);
    cr_expect_eq(try_start(OTHER, NULL, NULL), WEIR_REFUSED);
    cr_expect_eq(try_start(STORE, NULL, NULL), WEIR_OK);
    world_free(&world);
}

Test(line_sink, refuses_parts_of_unknown_origin, .init = set_up, .fini = tear_down)
{
    cr_assert_eq(mkdir(output, 0700), 0);
    put_file("part-of-something");
    cr_expect_eq(try_start(STORE, NULL, NULL), WEIR_REFUSED);
    cr_assert_eq(unlink(path_of("part-of-something")), 0);
    put_file("unrelated");
    cr_expect_eq(try_start(STORE, NULL, NULL), WEIR_OK);
}

Test(line_sink, refuses_to_go_on_from_a_checkpoint_older_than_what_was_published, .init = set_up,
     .fini = tear_down)
{
    struct world world = world_make(&sink, 9);
    struct weir_saver older = {0};
    char reason[640];
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, COMMITTED));
    fake_items_copy(&older, &world.items);
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, COMMITTED));
    world_end(&world);
    cr_expect_eq(try_start(STORE, &older, reason), WEIR_REFUSED);
    cr_expect(strstr(reason, PART("1")), "%s", reason);
    struct fake_run run = {.epoch = 10, .store = STORE, .saved = &older};
    cr_expect_eq(fake_start(&world.task, graph, world.node, &run), WEIR_REFUSED, "not at once");
    fake_end(&world.task);
    cr_expect_eq(try_start(STORE, &world.items, NULL), WEIR_OK);
    fake_items_free(&older);
    world_free(&world);
}

Test(line_sink, refuses_a_directory_the_checkpoint_does_not_know, .init = set_up, .fini = tear_down)
{
    struct world world;
    char reason[640];
    publish_one(&world);
    empty_output();
    cr_expect_eq(try_start(STORE, &world.items, reason), WEIR_REFUSED);
    cr_expect(strstr(reason, "is not the output directory"), "%s", reason);
    world_free(&world);
}

Test(line_sink, two_sinks_cannot_share_a_directory, .init = set_up, .fini = tear_down)
{
    struct weir_context first, second;
    struct fake_run run = {.store = STORE};
    struct weir_line_sink_options options = {WEIR_SIZED(struct weir_line_sink_options),
                                             .path = output};
    weir_node a = weir_line_sink(graph, "a", &options), b = weir_line_sink(graph, "b", &options);
    cr_assert_eq(fake_start(&first, graph, a, &run), WEIR_OK);
    cr_expect_eq(fake_start(&second, graph, b, &run), WEIR_REFUSED);
    cr_expect(strstr(second.failed.text, "belongs to node a of the same job"), "%s",
              second.failed.text);
    fake_end(&first);
    fake_end(&second);
}

/* Nobody can tell a run that died from one that lives: the first one hears of it in time. */
Test(line_sink, two_sinks_without_a_store_cannot_share_a_directory, .init = set_up,
     .fini = tear_down)
{
    struct weir_context first, second;
    struct fake_run run = {0};
    struct weir_line_sink_options options = {WEIR_SIZED(struct weir_line_sink_options),
                                             .path = output};
    weir_node a = weir_line_sink(graph, "a", &options), b = weir_line_sink(graph, "b", &options);
    struct weir_saver items = {0};
    cr_assert_eq(fake_start(&first, graph, a, &run), WEIR_OK);
    cr_assert_eq(fake_start(&second, graph, b, &run), WEIR_OK);
    cr_assert_eq(fake_process(&first, "", "x"), WEIR_OK);
    cr_assert_eq(fake_cut(&first, &items), WEIR_OK);
    cr_expect_eq(fake_commit(&first, &first.handles), WEIR_REFUSED);
    cr_expect(strstr(first.failed.text, "another sink"), "%s", first.failed.text);
    fake_end(&first);
    fake_end(&second);
    fake_items_free(&items);
}

/* A checkpoint is durable, its part not published yet. Then a run is told of no checkpoint, works
 * for a while, is given up, and the right one comes. */
Test(line_sink, a_start_that_is_given_up_takes_nothing_from_the_right_one, .init = set_up,
     .fini = tear_down)
{
    struct world world = world_make(&sink, 1);
    struct fake_run run = {.epoch = 2, .store = STORE};
    struct weir_saver items = {0};
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, DURABLE_BUT_NOT_TOLD));
    fake_end(&world.task);
    cr_assert_eq(fake_start(&world.task, graph, world.node, &run), WEIR_OK);
    fake_process(&world.task, "", "in vain");
    cr_assert_eq(fake_cut(&world.task, &items), WEIR_OK);
    fake_end(&world.task);
    cr_expect_eq(count_staged(), 2);
    world.epoch = 2;
    cr_assert(world_start(&world));
    cr_expect_eq(count_visible(), 1);
    world_free(&world);
    fake_items_free(&items);
}

static void make_store(const char *path)
{
    char lock[512];
    cr_assert_eq(mkdir(path, 0700), 0);
    snprintf(lock, sizeof lock, "%s/LOCK", path);
    FILE *file = fopen(lock, "w");
    cr_assert(file);
    fputs("WEIRLOCK...", file);
    fclose(file);
}

Test(line_sink, an_output_inside_a_store_is_refused, .init = set_up, .fini = tear_down)
{
    static const char *const inside[] = {"", "/out", "/data/deep", "/../store/out"};
    char store[256], data[300], reason[640], safe[sizeof output];
    snprintf(safe, sizeof safe, "%s", output);
    snprintf(store, sizeof store, "%s/store", folder);
    snprintf(data, sizeof data, "%s/data", store);
    make_store(store);
    cr_assert_eq(mkdir(data, 0700), 0);
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        snprintf(output, sizeof output, "%s%s", store, inside[i]);
        cr_expect_eq(try_start(STORE, NULL, reason), WEIR_REFUSED, "%s", output);
        cr_expect(strstr(reason, output) && strstr(reason, "lies in a store"), "%s", reason);
    }
    snprintf(output, sizeof output, "%s", store);
    empty_output();
    snprintf(output, sizeof output, "%s", safe);
    cr_expect_eq(try_start(STORE, NULL, reason), WEIR_OK, "%s", reason);
}

Test(line_sink, a_directory_that_changed_hands_gets_nothing_more, .init = set_up, .fini = tear_down)
{
    struct world world = world_make(&sink, 1);
    cr_assert(world_start(&world));
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, DURABLE_BUT_NOT_TOLD));
    put_file(".weir-history");
    cr_expect_eq(fake_commit(&world.task, &world.pending), WEIR_REFUSED);
    cr_expect_eq(count_files(is_visible), 0);
    world_free(&world);
}

/* ---- without a store, and with several subtasks ---- */

static void run_without_store(bool commit)
{
    struct weir_context tasks[2];
    struct weir_saver items = {0};
    weir_node node = add_sink(graph);
    for (uint32_t i = 0; i < 2; i++) {
        struct fake_run run = {.subtask = i, .parallelism = 2};
        cr_assert_eq(fake_start(&tasks[i], graph, node, &run), WEIR_OK, "%s", tasks[i].failed.text);
        cr_assert_eq(fake_process(&tasks[i], "", i ? "two" : "one"), WEIR_OK);
    }
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(fake_cut(&tasks[i], &items), WEIR_OK);
        if (commit)
            cr_assert_eq(fake_commit(&tasks[i], &tasks[i].handles), WEIR_OK, "%s",
                         tasks[i].failed.text);
    }
    for (uint32_t i = 0; i < 2; i++)
        fake_end(&tasks[i]);
    fake_items_free(&items);
}

Test(line_sink, subtasks_without_a_store_are_one_run, .init = set_up, .fini = tear_down)
{
    run_without_store(true);
    cr_expect_str_eq(visible(), "one\ntwo\n");
    cr_expect_eq(try_start(NULL, NULL, NULL), WEIR_REFUSED);
}

Test(line_sink, a_run_without_a_store_that_died_leaves_the_directory_free, .init = set_up,
     .fini = tear_down)
{
    run_without_store(false);
    cr_expect_eq(count_files(is_staged), 2);
    run_without_store(true);
    cr_expect_eq(count_files(is_staged), 0);
    cr_expect_str_eq(visible(), "one\ntwo\n");
}

/* Subtask 1 of 2 ends up in the hands of the only one left: its numbers go on, its leftovers go. */
Test(line_sink, numbers_survive_a_change_of_parallelism, .init = set_up, .fini = tear_down)
{
    struct weir_saver items = {0}, later = {0};
    struct weir_context tasks[2], task;
    weir_node node = add_sink(graph);
    for (uint32_t i = 0; i < 2; i++) {
        struct fake_run run = {.subtask = i, .parallelism = 2, .store = STORE};
        cr_assert_eq(fake_start(&tasks[i], graph, node, &run), WEIR_OK);
    }
    for (uint32_t i = 0; i < 4; i++) { /* the second part of each is not committed */
        struct weir_context *one = &tasks[i % 2];
        fake_process(one, "", i % 2 ? "b" : "a");
        cr_assert_eq(fake_cut(one, i < 2 ? &items : &later), WEIR_OK);
        if (i < 2)
            cr_assert_eq(fake_commit(one, &one->handles), WEIR_OK);
    }
    for (uint32_t i = 0; i < 2; i++)
        fake_end(&tasks[i]);
    cr_expect_eq(count_files(is_staged), 2);
    fake_items_free(&later);
    struct fake_run run = {.epoch = 2, .store = STORE, .saved = &items};
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    fake_process(&task, "", "c");
    cr_assert_eq(fake_cut(&task, &later), WEIR_OK, "%s", task.failed.text);
    cr_expect_eq(count_files(is_staged), 3);
    cr_assert_eq(fake_commit(&task, &task.handles), WEIR_OK, "%s", task.failed.text);
    cr_expect_eq(count_files(is_staged), 0);
    cr_assert_eq(later.count, 2);
    for (size_t i = 0; i < 2; i++)
        cr_expect_eq(*(const uint64_t *)later.items[i].data, i == 0 ? 2 : 1);
    fake_end(&task);
    fake_items_free(&items);
    fake_items_free(&later);
}
