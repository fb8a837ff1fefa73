/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The tail source beside a writer whose every line is known: all short orders of writing, rotating,
 * reading, cutting and dying, many long ones, and a death at every file call of one. What came
 * before a checkpoint and after the restart from it must be the lines, each once, in order.
 */
#include "exercised.h"
#include "explore.h"
#include "fake_context.h"
#include "scratch.h"
#include "weir_operators.h"

#define SECOND INT64_C(1000000000)

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

static const char *path_of(const char *name)
{
    return scratch_join(scratch.path, name);
}

static void put(const char *name, const char *text)
{
    scratch_write(path_of(name), text, strlen(text));
}

static weir_node add_source(bool rotated, uint64_t rate)
{
    char end[256];
    snprintf(end, sizeof end, "%s", path_of("log.end"));
    struct weir_tail_source_options options = {
        WEIR_SIZED(struct weir_tail_source_options),
        .path = path_of("log"),
        .end_file = end,
        .rotated = rotated,
        .rate = rate,
    };
    graph->count = 0;
    return weir_tail_source(graph, "tail", &options);
}

/* ---- the writer: what it wrote, and into which file ---- */

enum { LINES = 400, LINE_ROOM = 24 };

struct writer {
    bool dated;
    FILE *file; /* what it holds open: not always the live one */
    bool stale; /* the live one is newer */
    unsigned rotations;
    char lines[LINES][LINE_ROOM];
    unsigned count; /* of lines that were begun */
    bool open;      /* the last has no newline yet */
};

static FILE *open_live(void)
{
    FILE *file = fopen(path_of("log"), "a");
    cr_assert(file);
    setbuf(file, NULL);
    return file;
}

static void writer_begin(struct writer *writer, bool dated)
{
    *writer = (struct writer){.dated = dated, .file = open_live()};
}

static void writer_end(struct writer *writer)
{
    for (unsigned i = 0; i <= writer->rotations; i++) {
        char name[64];
        snprintf(name, sizeof name, writer->dated ? "log-%08u" : "log.%u", i + 1);
        unlink(path_of(name));
    }
    unlink(path_of("log"));
    unlink(path_of("log.end"));
    fclose(writer->file);
}

/* Writers see a rotation when they write the next line. */
static void reopen(struct writer *writer)
{
    if (!writer->stale)
        return;
    fclose(writer->file);
    writer->file = open_live();
    writer->stale = writer->open = false;
}

static void add_text(struct writer *writer, bool whole)
{
    if (!writer->open)
        cr_assert_lt(++writer->count, LINES);
    char *line = writer->lines[writer->count - 1];
    char more[12];
    snprintf(more, sizeof more, "%u,", writer->count);
    if (strlen(line) + strlen(more) + 1 < LINE_ROOM) {
        strcat(line, more);
        fputs(more, writer->file);
    }
    if (whole)
        fputc('\n', writer->file);
    writer->open = !whole;
}

static void rename_files(struct writer *writer)
{
    char from[64], to[64];
    writer->rotations++;
    if (writer->dated) {
        snprintf(to, sizeof to, "log-%08u", writer->rotations);
        cr_assert_eq(rename(path_of("log"), path_of(to)), 0);
        return;
    }
    for (unsigned i = writer->rotations; i > 0; i--) {
        snprintf(from, sizeof from, i > 1 ? "log.%u" : "log", i - 1);
        snprintf(to, sizeof to, "log.%u", i);
        cr_assert_eq(rename(path_of(from), path_of(to)), 0);
    }
}

static void rotate(struct writer *writer)
{
    rename_files(writer);
    fclose(open_live());
    writer->stale = true;
}

/* ---- the reader: what came out, of which the part before the checkpoint is for good ---- */

struct reader {
    weir_node node;
    struct weir_context task;
    struct weir_saver saved;
    bool has_saved;
    char lines[LINES][LINE_ROOM];
    unsigned count;
    unsigned saved_count;
};

static void start(struct reader *reader)
{
    struct fake_run run = {.saved = reader->has_saved ? &reader->saved : NULL};
    cr_assert_eq(fake_start(&reader->task, graph, reader->node, &run), WEIR_OK, "%s",
                 reader->task.failed.text);
}

static void take_lines(struct reader *reader)
{
    struct weir_context *task = &reader->task;
    for (size_t i = 0; i < task->emitted_count; i++) {
        cr_assert_lt(reader->count, LINES);
        cr_assert_lt(task->emitted[i].value.size, LINE_ROOM);
        char *line = reader->lines[reader->count++];
        memcpy(line, task->emitted[i].value.data, task->emitted[i].value.size);
        line[task->emitted[i].value.size] = '\0';
    }
    fake_forget_emitted(task);
}

static enum weir_progress poll_to_rest(struct reader *reader)
{
    enum weir_progress progress = WEIR_MORE;
    while (progress == WEIR_MORE && reader->task.failed.code == WEIR_OK)
        progress = reader->task.table->poll(reader->task.self, &reader->task);
    take_lines(reader);
    return progress;
}

static void cut(struct reader *reader)
{
    struct weir_saver saved = {0};
    cr_assert_eq(fake_cut(&reader->task, &saved), WEIR_OK);
    fake_items_free(&reader->saved);
    reader->saved = saved;
    reader->has_saved = true;
    reader->saved_count = reader->count;
}

static void die(struct reader *reader)
{
    fake_end(&reader->task);
    reader->count = reader->saved_count;
}

static void expect_lines(struct reader *reader, const struct writer *writer, const char *what)
{
    cr_assert_eq(reader->count, writer->count, "%s: %u lines of %u", what, reader->count,
                 writer->count);
    for (unsigned i = 0; i < reader->count; i++)
        cr_assert_str_eq(reader->lines[i], writer->lines[i], "%s: line %u", what, i);
}

static void finish(struct reader *reader, const struct writer *writer, const char *what)
{
    put("log.end", "");
    cr_assert_eq(poll_to_rest(reader), WEIR_END, "%s: %s", what, reader->task.failed.text);
    expect_lines(reader, writer, what);
}

static void reader_free(struct reader *reader)
{
    fake_end(&reader->task);
    fake_items_free(&reader->saved);
}

/* ---- orders of events ---- */

/* w: a line; p: a part of one; r: rotation, and the writer sees it with the next line; l: rotation
 * that the writer sees only with the line after the next; d: rotation twice, once before the writer
 * sees it; s: poll to rest; c: cut; x: die and start again. */
static const char events[] = "wprldscx";
enum { EVENTS = sizeof events - 1 };

struct play {
    struct writer writer;
    struct reader reader;
    bool lags;
};

static void play_writer(struct play *play, char event)
{
    struct writer *writer = &play->writer;
    if (event == 'w' || event == 'p') {
        if (!play->lags)
            reopen(writer);
        play->lags = false;
        add_text(writer, event == 'w');
        return;
    }
    rotate(writer);
    if (event == 'd')
        rotate(writer);
    play->lags = event == 'l';
}

static void play_one(struct play *play, char event)
{
    switch (event) {
    case 's':
        cr_assert_eq(poll_to_rest(&play->reader), WEIR_IDLE, "%s", play->reader.task.failed.text);
        break;
    case 'c':
        cut(&play->reader);
        break;
    case 'x':
        die(&play->reader);
        start(&play->reader);
        break;
    default:
        play_writer(play, event);
    }
}

static void play_all(const char *what, bool dated)
{
    static struct play play;
    play = (struct play){.reader.node = add_source(true, 0)};
    writer_begin(&play.writer, dated);
    start(&play.reader);
    for (const char *event = what; *event; event++)
        play_one(&play, *event);
    finish(&play.reader, &play.writer, what);
    reader_free(&play.reader);
    writer_end(&play.writer);
}

static void play_every(char *what, unsigned at, unsigned size, bool dated)
{
    static uint32_t number;
    if (at == size) {
        if (number++ % explore_share() == 0)
            play_all(what, dated);
        return;
    }
    for (unsigned i = 0; i < EVENTS; i++) {
        what[at] = events[i];
        play_every(what, at + 1, size, dated);
    }
}

Test(tail_source, every_short_order_with_numbered_files, .init = set_up, .fini = tear_down)
{
    char what[8] = "";
    play_every(what, 0, explore_full() ? 5 : 4, false);
}

Test(tail_source, every_short_order_with_dated_files, .init = set_up, .fini = tear_down)
{
    char what[8] = "";
    play_every(what, 0, explore_full() ? 5 : 4, true);
}

Test(tail_source, many_long_orders, .init = set_up, .fini = tear_down)
{
    uint64_t random = explore_seed();
    for (unsigned i = 0; i < (explore_full() ? 6000 : 300 / explore_share()); i++) {
        char what[121] = "";
        unsigned size = explore_below(&random, sizeof what - 1);
        for (unsigned at = 0; at < size; at++)
            what[at] = events[explore_below(&random, EVENTS)];
        play_all(what, i % 2);
    }
}

/* ---- faults ---- */

/* Dies at the n-th file call, for all n, and goes on from the last checkpoint. */
Test(tail_source, a_death_at_every_file_call, .init = set_up, .fini = tear_down)
{
    static const char script[] = "wwsrwcswpsrrwlwscdwwswrps";
    static struct play play;
    uint64_t deaths = 0;
    for (unsigned limit = 1;; limit++) {
        play = (struct play){.reader.node = add_source(true, 0)};
        writer_begin(&play.writer, limit % 2);
        fake_files_reset();
        start(&play.reader);
        fake_file_limit = limit + fake_file_calls - 1;
        bool died = false;
        for (const char *event = script; *event; event++) {
            if (*event != 's') {
                play_one(&play, *event);
                continue;
            }
            poll_to_rest(&play.reader);
            if (play.reader.task.failed.code == WEIR_OK)
                continue;
            cr_assert_not(died);
            died = true;
            die(&play.reader);
            fake_files_reset();
            start(&play.reader);
        }
        fake_files_reset();
        finish(&play.reader, &play.writer, script);
        reader_free(&play.reader);
        writer_end(&play.writer);
        if (!died)
            break;
        deaths++;
        cr_assert_lt(limit, 1000);
    }
    exercised(deaths);
}

/* ---- what is refused ---- */

#define FIRST "first line\nsecond line\n"

/* Reads FIRST, cuts, ends. */
static void read_first(struct reader *reader)
{
    *reader = (struct reader){.node = add_source(false, 0)};
    put("log", FIRST);
    start(reader);
    cr_assert_eq(poll_to_rest(reader), WEIR_IDLE);
    cr_assert_eq(reader->count, 2);
    cut(reader);
    fake_end(&reader->task);
}

static void expect_refused(struct reader *reader, const char *reason)
{
    struct fake_run run = {.saved = &reader->saved};
    cr_expect_eq(fake_start(&reader->task, graph, reader->node, &run), WEIR_REFUSED);
    cr_expect(strstr(reader->task.failed.text, path_of("log")), "%s", reader->task.failed.text);
    cr_expect(strstr(reader->task.failed.text, reason), "%s", reader->task.failed.text);
    reader_free(reader);
}

Test(tail_source, a_file_that_is_gone_is_refused, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    read_first(&reader);
    put("log.new", "third line\n"); /* made before the other goes: another inode */
    cr_assert_eq(rename(path_of("log.new"), path_of("log")), 0);
    expect_refused(&reader, "gone");
}

Test(tail_source, a_file_with_other_bytes_is_refused, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    read_first(&reader);
    put("log", "FIRST line\nsecond line\nthird line\n"); /* the same inode */
    expect_refused(&reader, "other bytes");
}

Test(tail_source, a_shorter_file_is_refused, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    read_first(&reader);
    put("log", "first line\n");
    expect_refused(&reader, "shorter");
}

/* Inodes are used again: the fingerprint tells. Here the file goes, and another gets its inode. */
Test(tail_source, a_used_again_inode_is_not_the_file, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    read_first(&reader);
    put("log", "some other content that is longer\n");
    cr_assert_eq(rename(path_of("log"), path_of("log.1")), 0);
    put("log", FIRST "third line\n"); /* the bytes fit, the inode does not */
    expect_refused(&reader, "other bytes");
}

Test(tail_source, a_packed_file_is_refused, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    read_first(&reader);
    cr_assert_eq(rename(path_of("log"), path_of("log.2")), 0);
    put("log.1.gz", "not even packed");
    put("log", "third\n");
    start(&reader);
    poll_to_rest(&reader);
    cr_expect_eq(reader.task.failed.code, WEIR_REFUSED);
    cr_expect(strstr(reader.task.failed.text, path_of("log.1.gz")), "%s", reader.task.failed.text);
    cr_expect_eq(reader.count, 2);
    reader_free(&reader);
}

Test(tail_source, numbered_and_dated_files_have_no_order, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    read_first(&reader);
    put("log.1", "x\n");
    put("log-20260131", "x\n");
    struct fake_run run = {.saved = &reader.saved};
    cr_expect_eq(fake_start(&reader.task, graph, reader.node, &run), WEIR_INVALID);
    cr_expect(strstr(reader.task.failed.text, "no order"), "%s", reader.task.failed.text);
    reader_free(&reader);
}

Test(tail_source, a_missing_file_is_named_at_the_first_start, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    struct fake_run run = {0};
    reader = (struct reader){.node = add_source(false, 0)};
    cr_expect_eq(fake_start(&reader.task, graph, reader.node, &run), WEIR_NOT_FOUND);
    cr_expect(strstr(reader.task.failed.text, path_of("log")), "%s", reader.task.failed.text);
    reader_free(&reader);
}

Test(tail_source, other_names_beside_the_file_mean_nothing, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    put("log.lock", "x\n");
    put("log.0", "x\n");
    put("log.1x", "x\n");
    put("log-old", "x\n");
    put("logs", "x\n");
    put("log.20260131_", "x\n");
    read_first(&reader);
    start(&reader);
    cr_expect_eq(poll_to_rest(&reader), WEIR_IDLE);
    cr_expect_eq(reader.count, 2);
    reader_free(&reader);
}

static void expect_cut_refused(const char *text)
{
    static struct reader reader;
    read_first(&reader);
    start(&reader);
    cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
    put("log", text); /* truncates and writes, as copytruncate and the next lines do */
    poll_to_rest(&reader);
    cr_expect_eq(reader.task.failed.code, WEIR_REFUSED);
    cr_expect(strstr(reader.task.failed.text, "truncating"), "%s", reader.task.failed.text);
    cr_expect_eq(reader.count, 2);
    reader_free(&reader);
}

Test(tail_source, a_truncated_file_is_refused, .init = set_up, .fini = tear_down)
{
    expect_cut_refused("");
    expect_cut_refused("third line\n");
    expect_cut_refused("third line, long enough that the file is larger than it was\n");
}

/* ---- names that make no sense for a moment ---- */

Test(tail_source, waits_while_files_are_renamed, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    read_first(&reader);
    start(&reader);
    cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
    /* The chain moves up, the oldest first; the new live file comes last. */
    cr_assert_eq(rename(path_of("log"), path_of("log.1")), 0);
    put("log", "third\n");
    cr_assert_eq(rename(path_of("log.1"), path_of("log.2")), 0);
    cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
    cr_expect_eq(reader.count, 2);
    cr_expect_eq(reader.task.deadline_ns, SECOND / 20);
    cr_assert_eq(rename(path_of("log"), path_of("log.1")), 0);
    cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
    put("log", "fourth\n");
    reader.task.run.now_ns = 60 * SECOND;
    cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
    cr_expect_eq(reader.count, 4, "%s", reader.task.failed.text);
    reader_free(&reader);
}

Test(tail_source, a_gap_that_stays_is_refused, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    read_first(&reader);
    cr_assert_eq(rename(path_of("log"), path_of("log.2")), 0);
    put("log", "third\n");
    start(&reader);
    for (int64_t now = SECOND; now < 6 * SECOND; now += SECOND) {
        reader.task.run.now_ns = now;
        cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
        cr_assert_eq(reader.task.failed.code, WEIR_OK);
    }
    reader.task.run.now_ns = 7 * SECOND;
    poll_to_rest(&reader);
    cr_expect_eq(reader.task.failed.code, WEIR_REFUSED);
    cr_expect(strstr(reader.task.failed.text, "can't be told"), "%s", reader.task.failed.text);
    cr_expect_eq(reader.count, 2);
    reader_free(&reader);
}

/* ---- rotated, and the new live file is made when there is something to write ---- */

static void expect_waits_for_live(const char *rotated)
{
    static struct reader reader;
    read_first(&reader);
    cr_assert_eq(rename(path_of("log"), path_of(rotated)), 0);
    for (int life = 0; life < 2; life++) {
        start(&reader);
        for (int64_t now = SECOND; now < 100 * SECOND; now += 3 * SECOND) {
            reader.task.run.now_ns = now;
            cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
            cr_assert_eq(reader.task.failed.code, WEIR_OK, "%s: %s", rotated,
                         reader.task.failed.text);
        }
        if (life == 0)
            fake_end(&reader.task);
    }
    FILE *late = fopen(path_of(rotated), "a"); /* a writer that does not know yet */
    cr_assert(late && fputs("third\n", late) >= 0 && fclose(late) == 0);
    cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
    cr_expect_eq(reader.count, 3);
    put("log", "fourth\n");
    cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
    cr_assert_eq(reader.count, 4);
    cr_expect_str_eq(reader.lines[3], "fourth");
    reader_free(&reader);
}

Test(tail_source, a_live_file_that_is_made_late_is_waited_for, .init = set_up, .fini = tear_down)
{
    static const char *const rotated[] = {"log.1", "log-20260131"};
    for (size_t i = 0; i < 2; i++) {
        expect_waits_for_live(rotated[i]);
        cr_assert_eq(unlink(path_of(rotated[i])), 0);
    }
}

Test(tail_source, ends_after_the_last_rotated_file, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    read_first(&reader);
    FILE *late = fopen(path_of("log"), "a");
    cr_assert(late && fputs("no newline", late) >= 0 && fclose(late) == 0);
    cr_assert_eq(rename(path_of("log"), path_of("log.1")), 0);
    start(&reader);
    cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
    cr_expect_eq(reader.count, 2);
    put("log.end", "");
    cr_assert_eq(poll_to_rest(&reader), WEIR_END, "%s", reader.task.failed.text);
    cr_assert_eq(reader.count, 3);
    cr_expect_str_eq(reader.lines[2], "no newline");
    reader_free(&reader);
}

/* Number 2 without number 1 is not the last: a file is missing. */
Test(tail_source, a_rotated_file_without_the_next_number_is_not_the_last, .init = set_up,
     .fini = tear_down)
{
    static struct reader reader;
    read_first(&reader);
    cr_assert_eq(rename(path_of("log"), path_of("log.2")), 0);
    start(&reader);
    put("log.end", "");
    reader.task.run.now_ns = SECOND;
    cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
    reader.task.run.now_ns = 7 * SECOND;
    poll_to_rest(&reader);
    cr_expect_eq(reader.task.failed.code, WEIR_REFUSED);
    cr_expect(strstr(reader.task.failed.text, "can't be told"), "%s", reader.task.failed.text);
    reader_free(&reader);
}

/* ---- beginnings ---- */

Test(tail_source, a_first_start_begins_where_it_is_told, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    put("log.2", "one\n");
    put("log.1", "two\n");
    put("log", "three\n");
    for (int rotated = 0; rotated < 2; rotated++) {
        reader = (struct reader){.node = add_source(rotated, 0)};
        start(&reader);
        cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
        cr_expect_eq(reader.count, rotated ? 3 : 1);
        reader_free(&reader);
    }
}

Test(tail_source, keeps_its_pace, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    put("log", "1\n2\n3\n");
    reader = (struct reader){.node = add_source(false, 10)};
    start(&reader);
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
        cr_expect_eq(reader.count, i);
        reader.task.run.now_ns = reader.task.deadline_ns;
    }
    reader_free(&reader);
}

Test(tail_source, lines_larger_than_a_read_and_files_larger_than_a_poll, .init = set_up,
     .fini = tear_down)
{
    static struct reader reader;
    size_t size = (size_t)3 << 20;
    char *text = malloc(size);
    memset(text, 'x', size);
    text[size / 2] = text[size - 1] = '\n';
    scratch_write(path_of("log"), text, size);
    reader = (struct reader){.node = add_source(false, 0)};
    start(&reader);
    for (unsigned polls = 0; reader.task.emitted_count < 2; polls++) {
        cr_assert_lt(polls, 20);
        cr_assert_eq(reader.task.table->poll(reader.task.self, &reader.task), WEIR_MORE);
        cut(&reader);
        size_t emitted = reader.task.emitted_count;
        struct weir_record *records = reader.task.emitted;
        reader.task.emitted = NULL;
        reader.task.emitted_count = 0;
        fake_end(&reader.task);
        start(&reader); /* half a line is read again */
        reader.task.emitted = records;
        reader.task.emitted_count = emitted;
        for (unsigned more = 0; emitted < 2 && more < 7; more++)
            reader.task.table->poll(reader.task.self, &reader.task);
    }
    cr_expect_eq(reader.task.emitted[0].value.size, size / 2);
    cr_expect_eq(reader.task.emitted[1].value.size, size - size / 2 - 2);
    reader_free(&reader);
    free(text);
}

Test(tail_source, a_cut_touches_no_file_and_says_where_it_is, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    put("log", FIRST);
    reader = (struct reader){.node = add_source(false, 0)};
    start(&reader);
    cr_assert_eq(poll_to_rest(&reader), WEIR_IDLE);
    unsigned calls = fake_file_calls;
    cut(&reader);
    cr_expect_eq(fake_file_calls, calls);
    cr_expect(strstr(reader.saved.note, "log 0.0 MB, inode"), "%s", reader.saved.note);
    reader_free(&reader);
}

Test(tail_source, state_that_makes_no_sense_is_refused, .init = set_up, .fini = tear_down)
{
    static struct reader reader;
    read_first(&reader);
    struct fake_run run = {.saved = &reader.saved};
    for (size_t size = 0; size < 48; size++) {
        reader.saved.items[0].size = size;
        cr_assert_eq(fake_start(&reader.task, graph, reader.node, &run), WEIR_DAMAGED);
        fake_end(&reader.task);
    }
    reader.saved.items[0].size = 48;
    unsigned char *bytes = reader.saved.items[0].data;
    for (size_t at = 8; at < 48; at++) { /* the device alone may differ */
        bytes[at] ^= 0x10;
        enum weir_result result = fake_start(&reader.task, graph, reader.node, &run);
        cr_assert(result == WEIR_DAMAGED || result == WEIR_REFUSED, "byte %zu", at);
        fake_end(&reader.task);
        bytes[at] ^= 0x10;
    }
    start(&reader);
    reader_free(&reader);
}

Test(tail_source, bad_options_are_named, .init = set_up, .fini = tear_down)
{
    struct weir_tail_source_options options = {WEIR_SIZED(struct weir_tail_source_options)};
    static const char *const paths[] = {NULL, "", "folder/"};
    for (size_t i = 0; i < 3; i++) {
        graph->error[0] = '\0';
        options.path = paths[i];
        weir_tail_source(graph, "tail", &options);
        cr_expect(strstr(graph->error, "node tail"), "%s", graph->error);
    }
    graph->error[0] = '\0';
    options.path = "log";
    options.poll_ns = -1;
    weir_tail_source(graph, "tail", &options);
    cr_expect(strstr(graph->error, "poll_ns"), "%s", graph->error);
}

/* ---- memory ---- */

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

Test(tail_source, every_failed_allocation_fails_the_run, .init = set_up, .fini = tear_down)
{
    put("log.1", "one\ntwo\n");
    put("log", "three\n");
    put("log.end", "");
    for (size_t most = 0;; most++) {
        static struct reader reader;
        struct scarce scarce = {most};
        struct weir_allocator allocator = {scarce_allocate, scarce_release, &scarce};
        struct fake_run run = {.allocator = &allocator};
        reader = (struct reader){.node = add_source(true, 0)};
        enum weir_progress progress = WEIR_IDLE;
        if (fake_start(&reader.task, graph, reader.node, &run) == WEIR_OK)
            progress = poll_to_rest(&reader);
        enum weir_result code = reader.task.failed.code;
        cr_assert(progress == WEIR_END || code == WEIR_NO_MEMORY, "%s", reader.task.failed.text);
        reader_free(&reader);
        if (progress == WEIR_END)
            break;
    }
}
