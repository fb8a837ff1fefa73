/* links: operators fake_context sink_world */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The record sink in the world of sink_world.h, and its files: what was put in comes out, and any
 * damage is found.
 */
#include "part.h"
#include "record_block.h"
#include "scratch.h"
#include "sink_world.h"
#include "weir_operators.h"

#include <dirent.h>

#define PART(number) "part-00000-0000000000000000000" number

static struct scratch scratch;
static char output[256];
static struct world_sink sink;

static void set_up(void)
{
    scratch = scratch_make();
    snprintf(output, sizeof output, "%s/out", scratch.path);
    sink.graph = weir_graph_new(NULL);
    fake_files_reset();
}

static void tear_down(void)
{
    scratch_free(&scratch);
    weir_graph_free(&sink.graph);
}

static weir_node add_sink(struct weir_graph *graph)
{
    struct weir_record_sink_options options = {WEIR_SIZED(struct weir_record_sink_options),
                                               .path = output};
    return weir_record_sink(graph, "sink", &options);
}

static struct weir_record_file *open_file(const char *path)
{
    struct weir_record_file *file;
    struct weir_error error = {0};
    cr_assert_eq(weir_record_file_open(NULL, path, &file, &error), WEIR_OK, "%s", error.text);
    return file;
}

static bool has_text(struct weir_bytes bytes, const char *text)
{
    return bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

/* ---- the world ---- */

static int is_part(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int is_staged(const struct dirent *entry)
{
    return strncmp(entry->d_name, ".staged-", 8) == 0;
}

static unsigned count_part(const char *path, unsigned seen)
{
    struct weir_record_file *file = open_file(path);
    struct weir_record record;
    struct weir_error error;
    enum weir_result result;
    char key[16], line[16];
    while ((result = weir_record_file_next(file, &record, &error)) == WEIR_OK) {
        snprintf(key, sizeof key, "key %u", seen);
        snprintf(line, sizeof line, "line %u", seen++);
        cr_assert(has_text(record.key, key) && has_text(record.value, line) && record.time == 7,
                  "not a prefix: %s", line);
    }
    cr_assert_eq(result, WEIR_NOT_FOUND, "%s", error.text);
    weir_record_file_close(&file);
    return seen;
}

/* A reader does not die with the sink: the calls that are counted and fail are not his. */
static unsigned count_visible(void)
{
    struct dirent **entries;
    unsigned seen = 0, calls = fake_file_calls, limit = fake_file_limit;
    fake_file_limit = UINT32_MAX;
    int count = scandir(output, &entries, is_part, alphasort);
    for (int i = 0; i < count; i++) {
        seen = count_part(scratch_join(output, entries[i]->d_name), seen);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    fake_file_calls = calls;
    fake_file_limit = limit;
    return seen;
}

static int count_staged(void)
{
    struct dirent **entries;
    int count = scandir(output, &entries, is_staged, alphasort);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    if (count >= 0)
        free(entries);
    return count < 0 ? 0 : count;
}

static void empty_output(void)
{
    struct scratch folder;
    snprintf(folder.path, sizeof folder.path, "%s", output);
    scratch_free(&folder);
}

static struct world_sink sink = {
    .add = add_sink,
    .count_visible = count_visible,
    .count_staged = count_staged,
    .empty = empty_output,
};

Test(record_sink, exact_after_a_death_at_any_file_call, .init = set_up, .fini = tear_down)
{
    static const enum fate aborts[] = {ABORTED, ABORTED, COMMITTED, ABORTED};
    static const enum fate silent[] = {DURABLE_BUT_NOT_TOLD, DURABLE_BUT_NOT_TOLD, ABORTED,
                                       COMMITTED_TWICE};
    world_crash_everywhere(&sink, NULL, 0, UINT32_MAX);
    world_crash_everywhere(&sink, aborts, 4, UINT32_MAX);
    world_crash_everywhere(&sink, silent, 4, UINT32_MAX);
}

Test(record_sink, exact_after_any_allocation_was_refused, .init = set_up, .fini = tear_down)
{
    world_starve_everywhere(&sink);
}

Test(record_sink, exact_after_deaths_between_any_two_steps, .init = set_up, .fini = tear_down)
{
    world_die_between_steps(&sink, 200);
}

Test(record_sink, no_output_no_part, .init = set_up, .fini = tear_down)
{
    struct world world = world_make(&sink, 1);
    cr_assert(world_start(&world));
    cr_assert(world_round(&world, COMMITTED));
    cr_expect_eq(world.handles.count, 0);
    cr_assert(world_feed(&world));
    cr_assert(world_round(&world, COMMITTED));
    cr_assert(world_round(&world, COMMITTED));
    cr_expect_eq(count_visible(), 1);
    cr_expect_not(scratch_exists(scratch_join(output, PART("1"))));
    world_free(&world);
}

Test(record_sink, a_line_sink_cannot_share_its_directory, .init = set_up, .fini = tear_down)
{
    struct weir_context first, second;
    struct fake_run run = {.store = WORLD_STORE};
    struct weir_line_sink_options lines = {WEIR_SIZED(struct weir_line_sink_options),
                                           .path = output};
    weir_node a = add_sink(sink.graph), b = weir_line_sink(sink.graph, "lines", &lines);
    cr_assert_eq(fake_start(&first, sink.graph, a, &run), WEIR_OK);
    cr_expect_eq(fake_start(&second, sink.graph, b, &run), WEIR_REFUSED);
    fake_end(&first);
    fake_end(&second);
}

Test(record_sink, bad_options_are_the_graphs_error, .init = set_up, .fini = tear_down)
{
    struct weir_record_sink_options none = {WEIR_SIZED(struct weir_record_sink_options)};
    weir_record_sink(sink.graph, "sink", &none);
    cr_expect(strstr(sink.graph->error, "node sink: the output's path is missing"), "%s",
              sink.graph->error);
}

/* ---- what goes in comes out ---- */

struct sized {
    size_t key, value;
    int64_t time;
};

static void fill(unsigned char *bytes, size_t size, size_t seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed * 31 + i * 7 + (i >> 8));
}

static void run_records(const struct sized *sized, size_t count, const unsigned char *data)
{
    struct weir_context task;
    struct fake_run run = {.store = WORLD_STORE};
    struct weir_saver items = {0};
    cr_assert_eq(fake_start(&task, sink.graph, add_sink(sink.graph), &run), WEIR_OK);
    for (size_t i = 0; i < count; i++) {
        struct weir_record record = {
            {data + i % 8, sized[i].key}, {data + i % 5, sized[i].value}, sized[i].time};
        cr_assert_eq(task.table->process(task.self, &task, 0, &record), WEIR_OK);
    }
    cr_assert_eq(fake_cut(&task, &items), WEIR_OK, "%s", task.failed.text);
    cr_assert_eq(fake_commit(&task, &task.handles), WEIR_OK);
    fake_end(&task);
    fake_items_free(&items);
}

static bool is_same(struct weir_bytes bytes, const unsigned char *data, size_t size)
{
    return bytes.size == size && (size == 0 || memcmp(bytes.data, data, size) == 0);
}

static void expect_records(const struct sized *sized, size_t count, const unsigned char *data)
{
    struct weir_record record;
    struct weir_error error;
    struct weir_record_file *file = open_file(scratch_join(output, PART("0")));
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(weir_record_file_next(file, &record, &error), WEIR_OK, "%s", error.text);
        cr_assert(is_same(record.key, data + i % 8, sized[i].key), "key %zu", i);
        cr_assert(is_same(record.value, data + i % 5, sized[i].value), "value %zu", i);
        cr_assert_eq(record.time, sized[i].time);
        cr_assert_eq((uintptr_t)record.key.data % 8, 0);
        cr_assert_eq((uintptr_t)record.value.data % 8, 0);
    }
    for (int i = 0; i < 2; i++)
        cr_expect_eq(weir_record_file_next(file, &record, &error), WEIR_NOT_FOUND);
    weir_record_file_close(&file);
    weir_record_file_close(&file);
}

Test(record_sink, records_of_any_size_come_back_whole, .init = set_up, .fini = tear_down)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 255, 65520, 65521, 65535, 65536, 65537, 300000};
    enum { SIZES = sizeof sizes / sizeof sizes[0], COUNT = SIZES * SIZES };
    static struct sized sized[COUNT];
    unsigned char *data = malloc(400000);
    fill(data, 400000, 3);
    for (size_t i = 0; i < COUNT; i++)
        sized[i] = (struct sized){sizes[i / SIZES], sizes[i % SIZES],
                                  i % 3 == 0   ? WEIR_NO_TIME
                                  : i % 3 == 1 ? WEIR_END_OF_TIME
                                               : -(int64_t)i};
    run_records(sized, COUNT, data);
    expect_records(sized, COUNT, data);
    free(data);
}

Test(record_sink, the_largest_record_fits, .init = set_up, .fini = tear_down)
{
    const struct sized largest[] = {{1, 1, 0}, {WEIR_KEY_LIMIT, WEIR_VALUE_LIMIT, 5}, {2, 2, 1}};
    unsigned char *data = malloc(WEIR_KEY_LIMIT + 16);
    fill(data, WEIR_KEY_LIMIT + 16, 1);
    run_records(largest, 3, data);
    expect_records(largest, 3, data);
    free(data);
}

/* A released format is read for ever: these bytes may never change. */
Test(record_sink, the_layout_is_what_it_was, .init = set_up, .fini = tear_down)
{
    static const unsigned char golden[] = {
        'W', 'E', 'I', 'R', 'R', 'E', 'C', 'S', 1, 0, 0, 0, 0, 0, 0, 0, /* header */
        0,   0,   0,   0,   0,   0,   0,   0,                           /* checksum */
        16,  0,   0,   0,   0,   0,   0,   0,                           /* offset */
        32,  0,   0,   0,   1,   0,   0,   0,                           /* bytes, records */
        7,   0,   0,   0,   0,   0,   0,   0,   5, 0, 0, 0, 6, 0, 0, 0, /* time, sizes */
        'k', 'e', 'y', ' ', '0', 0,   0,   0,                           /* key */
        'l', 'i', 'n', 'e', ' ', '0', 0,   0,                           /* value */
        0,   0,   0,   0,   0,   0,   0,   0,                           /* checksum */
        72,  0,   0,   0,   0,   0,   0,   0,                           /* offset */
        8,   0,   0,   0,   0,   0,   0,   0,                           /* bytes, end */
        1,   0,   0,   0,   0,   0,   0,   0,                           /* records in all */
    };
    static const uint64_t sums[] = {0x26365d8c334f9f09, 0x59e15cdd3eea0d08};
    struct world world = world_make(&sink, 1);
    unsigned char bytes[2 * sizeof golden];
    cr_assert(world_run(&world, NULL, 0));
    size_t size = scratch_read(scratch_join(output, PART("0")), bytes, sizeof bytes);
    cr_assert_eq(size, sizeof golden);
    cr_expect_eq(record_get_u64(bytes + 16), sums[0], "%#llx",
                 (unsigned long long)record_get_u64(bytes + 16));
    cr_expect_eq(record_get_u64(bytes + 72), sums[1], "%#llx",
                 (unsigned long long)record_get_u64(bytes + 72));
    memset(bytes + 16, 0, 8);
    memset(bytes + 72, 0, 8);
    cr_expect_eq(memcmp(bytes, golden, sizeof golden), 0);
    world_free(&world);
}

/* ---- damage ---- */

struct image {
    unsigned char *bytes;
    size_t size;
    unsigned records;
};

/* A part of three blocks. */
static struct image make_image(void)
{
    static const struct sized sized[] = {
        {3, 9, 1}, {4, 70000, 2}, {0, 0, 3}, {5, 66000, 4}, {1, 1, 5}};
    struct image image = {.bytes = malloc(200000), .records = 5};
    unsigned char *data = calloc(1, 80000);
    run_records(sized, 5, data);
    image.size = scratch_read(scratch_join(output, PART("0")), image.bytes, 200000);
    free(data);
    return image;
}

/* What a reader makes of these bytes; *seen: records he got before. */
static enum weir_result read_image(const unsigned char *bytes, size_t size, unsigned *seen,
                                   struct weir_error *error)
{
    struct weir_record_file *file;
    struct weir_record record;
    const char *path = scratch_join(scratch.path, "image");
    scratch_write(path, bytes, size);
    *seen = 0;
    enum weir_result result = weir_record_file_open(NULL, path, &file, error);
    while (result == WEIR_OK) {
        result = weir_record_file_next(file, &record, error);
        *seen += result == WEIR_OK;
    }
    weir_record_file_close(&file);
    return result;
}

static void expect_damaged(const unsigned char *bytes, size_t size, const char *what, size_t at)
{
    unsigned seen;
    struct weir_error error;
    enum weir_result result = read_image(bytes, size, &seen, &error);
    cr_expect(result == WEIR_DAMAGED || result == WEIR_UNSUPPORTED, "%s at %zu: %s", what, at,
              weir_result_name(result));
    cr_expect(strstr(error.text, "image, offset "), "%s", error.text);
}

static void flip(struct image *image, size_t at)
{
    image->bytes[at] = (unsigned char)(image->bytes[at] ^ 1u << at % 8);
}

Test(record_sink, a_changed_byte_is_found, .init = set_up, .fini = tear_down)
{
    struct image image = make_image();
    unsigned seen;
    struct weir_error error;
    cr_assert_eq(read_image(image.bytes, image.size, &seen, &error), WEIR_NOT_FOUND);
    cr_assert_eq(seen, image.records);
    for (size_t at = 0; at < image.size; at += at < 300 || at + 100 > image.size ? 1 : 997) {
        flip(&image, at);
        expect_damaged(image.bytes, image.size, "bit", at);
        flip(&image, at);
    }
    free(image.bytes);
}

Test(record_sink, a_missing_or_added_byte_is_found, .init = set_up, .fini = tear_down)
{
    struct image image = make_image();
    for (size_t size = 0; size < image.size;
         size += size < 300 || size + 100 > image.size ? 1 : 997)
        expect_damaged(image.bytes, size, "cut", size);
    image.bytes[image.size] = 0;
    expect_damaged(image.bytes, image.size + 1, "added", image.size);
    free(image.bytes);
}

static size_t block_size(const unsigned char *block)
{
    return RECORD_BLOCK_HEAD + record_get_u32(block + 16);
}

/* Blocks are sound each by itself, but not where they belong. */
Test(record_sink, a_missing_or_repeated_block_is_found, .init = set_up, .fini = tear_down)
{
    struct image image = make_image();
    unsigned char *first = image.bytes + RECORD_FILE_HEAD, *copy = malloc(2 * image.size);
    size_t size = block_size(first), rest = image.size - RECORD_FILE_HEAD - size;
    memcpy(copy, image.bytes, RECORD_FILE_HEAD);
    memcpy(copy + RECORD_FILE_HEAD, first + size, rest);
    expect_damaged(copy, RECORD_FILE_HEAD + rest, "without its first block", 0);
    memcpy(copy + RECORD_FILE_HEAD, first, size);
    memcpy(copy + RECORD_FILE_HEAD + size, first, size + rest);
    expect_damaged(copy, RECORD_FILE_HEAD + 2 * size + rest, "twice its first block", 0);
    free(copy);
    free(image.bytes);
}

static void put_checksum(unsigned char *block)
{
    uint64_t sum = weir_hash((struct weir_bytes){block + 8, block_size(block) - 8});
    for (unsigned i = 0; i < 8; i++)
        block[i] = (unsigned char)(sum >> 8 * i);
}

/* With the checksum put right: what only a buggy or hostile writer makes. */
Test(record_sink, lengths_that_lie_are_refused, .init = set_up, .fini = tear_down)
{
    static const struct {
        size_t at;
        unsigned char value;
    } lies[] = {
        {20, 9},                        /* more records than there are */
        {20, 1},                        /* fewer */
        {20, 0},                        /* none: an end */
        {24 + 8, 200},  {24 + 11, 255}, /* key */
        {24 + 12, 200}, {24 + 15, 255}, /* value */
    };
    struct image image = make_image();
    unsigned char *block = image.bytes + RECORD_FILE_HEAD;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        unsigned char was = block[lies[i].at];
        block[lies[i].at] = lies[i].value;
        put_checksum(block);
        expect_damaged(image.bytes, image.size, "lie", i);
        block[lies[i].at] = was;
        put_checksum(block);
    }
    free(image.bytes);
}

Test(record_sink, what_is_not_there_is_not_found, .init = set_up, .fini = tear_down)
{
    struct weir_record_file *file;
    struct weir_error error;
    cr_expect_eq(weir_record_file_open(NULL, scratch_join(scratch.path, "none"), &file, &error),
                 WEIR_NOT_FOUND);
    cr_expect_null(file);
    cr_expect(strstr(error.text, "none"), "%s", error.text);
}
