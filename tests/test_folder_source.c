/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The folder source beside somebody who moves files in and takes read ones away: deaths between all
 * steps and at every file call, files that change, state that was tampered with.
 */
#include "exercised.h"
#include "explore.h"
#include "feed_bed.h"
#include "weir_operators.h"

#define SECOND INT64_C(1000000000)

static struct scratch scratch;
static struct feed_bed bed;

static void set_up(void)
{
    scratch = scratch_make();
    fake_files_reset();
    feed_bed_init(&bed, scratch.path);
    cr_assert_eq(mkdir(scratch_join(scratch.path, "in"), 0700), 0);
}

static void tear_down(void)
{
    fake_files_reset();
    feed_bed_free(&bed);
    scratch_free(&scratch);
}

static const char *path_of(const char *name)
{
    return scratch_join(scratch_join(scratch.path, "in"), name);
}

static void put(const char *name, const char *text)
{
    scratch_write(path_of(".new"), text, strlen(text));
    cr_assert_eq(rename(path_of(".new"), path_of(name)), 0);
}

static void add_source(uint64_t rate)
{
    struct weir_folder_source_options options = {WEIR_SIZED(struct weir_folder_source_options),
                                                 .path = scratch_join(scratch.path, "in"),
                                                 .end_name = ".end", .rate = rate};
    bed.graph->count = 0;
    bed.node = weir_folder_source(bed.graph, "folder", &options);
}

static void start(void)
{
    cr_assert_eq(feed_bed_start(&bed), WEIR_OK, "%s", bed.task.failed.text);
}

/* Polls until nothing is left to be read, looks included. */
static enum weir_progress poll_all(void)
{
    enum weir_progress progress = feed_bed_poll(&bed);
    for (unsigned i = 0; i < 2 && progress == WEIR_IDLE && bed.task.failed.code == WEIR_OK; i++) {
        bed.task.run.now_ns += SECOND;
        progress = feed_bed_poll(&bed);
    }
    bed.run.now_ns = bed.task.run.now_ns;
    return progress;
}

static void expect_failure(enum weir_result code, const char *name, const char *reason)
{
    cr_expect_eq(bed.task.failed.code, code);
    cr_expect(strstr(bed.task.failed.text, name) && strstr(bed.task.failed.text, reason), "%s",
              bed.task.failed.text);
}

/* ---- once each ---- */

Test(folder_source, files_in_the_order_of_their_names, .init = set_up, .fini = tear_down)
{
    add_source(0);
    put("b", "b1\nb2");
    put("a", "a1\n\na3\n");
    put("empty", "");
    put(".hidden", "no\n");
    mkdir(path_of("inner"), 0700);
    start();
    poll_all();
    cr_expect_str_eq(bed.out, "a1\n\na3\nb1\nb2\n");
    put("aa", "late\n");
    poll_all();
    cr_expect_str_eq(bed.out, "a1\n\na3\nb1\nb2\nlate\n");
    fake_end(&bed.task);
}

/* Files of 0 to 5 lines, named in no order; line i of file f is "f:i". */
struct world {
    unsigned made;
    unsigned lines[300];
    bool there[300];
};

static void file_name(unsigned file, char name[32])
{
    snprintf(name, 32, "%08llx-%u", (unsigned long long)explore_mix(file + 1) & 0xffffffff, file);
}

static void make_file(struct world *world, uint64_t *random)
{
    char name[32], text[256] = "";
    unsigned file = world->made++;
    cr_assert_lt(file, 300);
    file_name(file, name);
    world->lines[file] = explore_below(random, 6);
    world->there[file] = true;
    for (unsigned i = 0; i < world->lines[file]; i++)
        snprintf(text + strlen(text), 32, "%u:%u\n", file, i);
    if (text[0] && explore_below(random, 2)) /* the last newline may be missing */
        text[strlen(text) - 1] = '\0';
    put(name, text);
}

/* How many lines of each file came, each in order and once. */
static void count_lines(const struct world *world, unsigned counts[300])
{
    memset(counts, 0, 300 * sizeof counts[0]);
    for (const char *line = bed.out; *line; line = strchr(line, '\n') + 1) {
        unsigned file, number;
        cr_assert_eq(sscanf(line, "%u:%u", &file, &number), 2);
        cr_assert_lt(file, world->made);
        cr_assert_eq(number, counts[file]++, "line %.10s", line);
    }
}

/* Who takes a file away waits for a checkpoint that covers it. */
static void take_away(struct world *world, const unsigned saved[300], uint64_t *random)
{
    char name[32];
    unsigned file = explore_below(random, world->made + 1);
    if (file == world->made || !world->there[file] || world->lines[file] == 0 ||
        saved[file] != world->lines[file])
        return;
    file_name(file, name);
    cr_assert_eq(unlink(path_of(name)), 0);
    world->there[file] = false;
}

Test(folder_source, each_file_once_over_deaths, .init = set_up, .fini = tear_down)
{
    uint64_t random = explore_seed();
    static struct world world;
    static unsigned counts[300], saved[300];
    add_source(0);
    start();
    for (unsigned i = 0; i < 3000; i++)
        switch (explore_below(&random, 10)) {
        case 0:
            feed_bed_die(&bed);
            start();
            break;
        case 1:
            cr_assert(feed_bed_cut(&bed));
            count_lines(&world, saved);
            break;
        case 2:
            take_away(&world, saved, &random);
            break;
        case 3:
            if (world.made < 300)
                make_file(&world, &random);
            break;
        case 4:
            bed.task.run.now_ns += SECOND / 3;
            bed.run.now_ns = bed.task.run.now_ns;
            break;
        default:
            bed.task.table->poll(bed.task.self, &bed.task);
            feed_bed_take(&bed);
            cr_assert_eq(bed.task.failed.code, WEIR_OK, "%s", bed.task.failed.text);
        }
    put(".end", "");
    cr_assert_eq(poll_all(), WEIR_END, "%s", bed.task.failed.text);
    count_lines(&world, counts);
    for (unsigned file = 0; file < world.made; file++)
        cr_assert_eq(counts[file], world.lines[file], "file %u", file);
    cr_expect_gt(world.made, 100);
    fake_end(&bed.task);
}

/* One line a poll, a restart after each. */
Test(folder_source, goes_on_exactly_between_any_two_lines, .init = set_up, .fini = tear_down)
{
    add_source(1);
    put("a", "1\n2\n");
    put("b", "3\n4");
    put("c", "5\n");
    put(".end", "");
    start();
    enum weir_progress progress = WEIR_MORE;
    for (unsigned i = 0; progress != WEIR_END; i++) {
        cr_assert_lt(i, 100);
        progress = bed.task.table->poll(bed.task.self, &bed.task);
        feed_bed_take(&bed);
        cr_assert_eq(bed.task.failed.code, WEIR_OK, "%s", bed.task.failed.text);
        if (progress == WEIR_END)
            break;
        cr_assert(feed_bed_cut(&bed));
        bed.run.now_ns = bed.task.run.now_ns + SECOND;
        feed_bed_die(&bed);
        start();
        bed.task.run.now_ns += SECOND;
        bed.run.now_ns = bed.task.run.now_ns;
    }
    cr_expect_str_eq(bed.out, "1\n2\n3\n4\n5\n");
    fake_end(&bed.task);
}

Test(folder_source, subtasks_share_the_files, .init = set_up, .fini = tear_down)
{
    unsigned total = 0, most = 0;
    for (unsigned i = 0; i < 60; i++) {
        char name[16];
        snprintf(name, sizeof name, "file%u", i);
        put(name, "x\n");
    }
    add_source(0);
    for (uint32_t subtask = 0; subtask < 3; subtask++) {
        bed.run.subtask = subtask;
        bed.run.parallelism = 3;
        bed.out_size = 0;
        start();
        poll_all();
        total += (unsigned)bed.out_size / 2;
        most = bed.out_size / 2 > most ? (unsigned)bed.out_size / 2 : most;
        fake_end(&bed.task);
    }
    cr_expect_eq(total, 60);
    cr_expect_lt(most, 40);
}

Test(folder_source, a_death_at_every_file_call, .init = set_up, .fini = tear_down)
{
    bool died = true;
    uint64_t deaths = 0;
    add_source(0);
    for (unsigned limit = 1; died; limit++) {
        bed.has_saved = false;
        bed.out_size = bed.out_saved = 0;
        put("a", "1\n2\n");
        fake_files_reset();
        fake_file_limit = limit;
        died = feed_bed_start(&bed) != WEIR_OK;
        for (unsigned i = 0; i < 10; i++) {
            if (i == 4)
                put("b", "3\n4\n");
            if (i == 6)
                put(".end", "");
            if (!died) {
                poll_all();
                died = bed.task.failed.code != WEIR_OK || !feed_bed_cut(&bed);
                if (!died)
                    continue;
            }
            feed_bed_die(&bed);
            fake_files_reset();
            start();
            cr_assert(feed_bed_cut(&bed));
            poll_all();
        }
        put(".end", "");
        put("b", "3\n4\n");
        if (died)
            cr_assert_eq(poll_all(), WEIR_END, "%s", bed.task.failed.text);
        cr_assert_str_eq(bed.out, "1\n2\n3\n4\n");
        fake_end(&bed.task);
        fake_items_free(&bed.saved);
        unlink(path_of("a"));
        unlink(path_of("b"));
        unlink(path_of(".end"));
        deaths += died;
        cr_assert_lt(limit, 500);
    }
    exercised(deaths);
}

/* ---- changes ---- */

/* Reads "a" and lets its checkpoint be. */
static void read_a(void)
{
    add_source(0);
    put("a", "one\ntwo\n");
    start();
    poll_all();
    cr_assert_str_eq(bed.out, "one\ntwo\n");
    cr_assert(feed_bed_cut(&bed));
}

Test(folder_source, a_file_that_changes_after_it_was_read_is_refused, .init = set_up,
     .fini = tear_down)
{
    for (int restart = 0; restart < 2; restart++) {
        bed.has_saved = false;
        bed.out_size = bed.out_saved = 0;
        read_a();
        FILE *file = fopen(path_of("a"), "a");
        fputs("three\n", file);
        fclose(file);
        if (restart) {
            feed_bed_die(&bed);
            start();
        }
        poll_all();
        expect_failure(WEIR_REFUSED, path_of("a"), "after it was read");
        cr_expect_str_eq(bed.out, "one\ntwo\n");
        fake_end(&bed.task);
    }
}

Test(folder_source, another_file_of_the_same_size_is_noticed, .init = set_up, .fini = tear_down)
{
    read_a();
    put("a", "two\none\n");
    poll_all();
    expect_failure(WEIR_REFUSED, path_of("a"), "after it was read");
    fake_end(&bed.task);
}

Test(folder_source, a_name_that_was_gone_may_come_again, .init = set_up, .fini = tear_down)
{
    read_a();
    cr_assert_eq(unlink(path_of("a")), 0);
    poll_all();
    put("a", "three\n");
    poll_all();
    cr_expect_eq(bed.task.failed.code, WEIR_OK, "%s", bed.task.failed.text);
    cr_expect_str_eq(bed.out, "one\ntwo\nthree\n");
    fake_end(&bed.task);
}

/* Lines of one read are handed out before the end is looked at. */
static void read_half(void)
{
    static char text[3000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 3 == 2 ? '\n' : 'x';
    add_source(0);
    scratch_write(path_of("half"), text, sizeof text);
    start();
    while (bed.task.emitted_count == 0)
        cr_assert_eq(bed.task.table->poll(bed.task.self, &bed.task), WEIR_MORE);
    cr_assert_lt(bed.task.emitted_count, 1000);
    cr_assert(feed_bed_cut(&bed));
}

Test(folder_source, a_file_that_changes_while_it_is_read_is_refused, .init = set_up,
     .fini = tear_down)
{
    read_half();
    FILE *file = fopen(path_of("half"), "a");
    fputs("more\n", file);
    fclose(file);
    poll_all();
    expect_failure(WEIR_REFUSED, path_of("half"), "while it was read");
    fake_end(&bed.task);
    cr_expect_eq(feed_bed_start(&bed), WEIR_REFUSED);
    expect_failure(WEIR_REFUSED, path_of("half"), "since a part of it was read");
    fake_end(&bed.task);
}

Test(folder_source, a_half_read_file_that_is_gone_is_refused, .init = set_up, .fini = tear_down)
{
    read_half();
    fake_end(&bed.task);
    cr_assert_eq(unlink(path_of("half")), 0);
    cr_expect_eq(feed_bed_start(&bed), WEIR_REFUSED);
    expect_failure(WEIR_REFUSED, path_of("half"), "is gone");
    fake_end(&bed.task);
}

Test(folder_source, a_file_taken_away_while_it_is_read_is_read_all_the_same, .init = set_up,
     .fini = tear_down)
{
    read_half();
    cr_assert_eq(unlink(path_of("half")), 0);
    poll_all();
    cr_expect_eq(bed.task.failed.code, WEIR_OK, "%s", bed.task.failed.text);
    cr_expect_eq(bed.out_size, 3000);
    fake_end(&bed.task);
}

/* ---- bounds ---- */

Test(folder_source, remembers_only_what_is_there, .init = set_up, .fini = tear_down)
{
    add_source(0);
    start();
    for (unsigned i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%u", i);
        put(name, "x\n");
        poll_all();
        cr_assert(feed_bed_cut(&bed));
        cr_assert_eq(bed.saved.count, 1);
        cr_assert_leq(bed.saved.items[0].size, 8 + 2 * (32 + 3));
        unlink(path_of(name));
    }
    poll_all();
    cr_assert(feed_bed_cut(&bed));
    cr_expect_eq(bed.saved.count, 0);
    fake_end(&bed.task);
}

Test(folder_source, a_poll_looks_at_a_bounded_number_of_names, .init = set_up, .fini = tear_down)
{
    for (unsigned i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%u", i);
        scratch_write(path_of(name), "x\n", 2);
    }
    add_source(0);
    start();
    for (unsigned polls = 0; bed.task.emitted_count < 2000; polls++) {
        unsigned calls = fake_file_calls;
        bed.task.table->poll(bed.task.self, &bed.task);
        cr_assert_eq(bed.task.failed.code, WEIR_OK);
        cr_assert_leq(fake_file_calls - calls, 300);
        cr_assert_lt(polls, 3000);
    }
    fake_end(&bed.task);
}

Test(folder_source, state_that_makes_no_sense_is_refused, .init = set_up, .fini = tear_down)
{
    read_half();
    feed_bed_die(&bed);
    cr_assert_eq(bed.saved.count, 2);
    for (size_t i = 0; i < 2; i++) {
        size_t whole = bed.saved.items[i].size;
        for (size_t size = 0; size < whole; size++) {
            bed.saved.items[i].size = size;
            enum weir_result result = feed_bed_start(&bed);
            cr_assert_eq(result, WEIR_DAMAGED, "%zu bytes of item %zu", size, i);
            fake_end(&bed.task);
        }
        bed.saved.items[i].size = whole;
        unsigned char *bytes = bed.saved.items[i].data;
        for (size_t at = 0; at < whole; at++) {
            bool device = i == 1 && at >= 8 && at < 24; /* the stamp has the inode */
            bool zero = at >= 4 && at < 8;
            bytes[at] ^= 0x10;
            enum weir_result result = feed_bed_start(&bed);
            cr_assert(device || zero || result == WEIR_DAMAGED || result == WEIR_REFUSED,
                      "byte %zu of item %zu: %d", at, i, result);
            fake_end(&bed.task);
            bytes[at] ^= 0x10;
        }
    }
    start();
    fake_end(&bed.task);
}

static void one_file_and_the_end(void)
{
    put("a", "one\ntwo\n");
    put(".end", "");
    add_source(0);
}

Test(folder_source, every_failed_allocation_fails_the_run, .init = set_up, .fini = tear_down)
{
    feed_bed_scarce(&bed, one_file_and_the_end);
}

Test(folder_source, what_is_no_directory_is_named, .init = set_up, .fini = tear_down)
{
    add_source(0);
    rmdir(path_of(""));
    cr_expect_eq(feed_bed_start(&bed), WEIR_NOT_FOUND);
    fake_end(&bed.task);
    scratch_write(scratch_join(scratch.path, "in"), "", 0);
    cr_expect_eq(feed_bed_start(&bed), WEIR_INVALID);
    expect_failure(WEIR_INVALID, "/in", "no directory");
    fake_end(&bed.task);
}
