/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The standard input source on pipes and files: deaths between all steps, a death at every file
 * call where nothing may be lost, what a checkpoint keeps without a journal, and how long a journal
 * keeps what it has.
 */
#include "exercised.h"
#include "explore.h"
#include "feed_bed.h"
#include "weir_operators.h"

#include <dirent.h>

static struct scratch scratch;
static struct feed_bed bed;
static int pipe_ends[2]; /* what the source reads, what the test writes */

static void set_up(void)
{
    scratch = scratch_make();
    fake_files_reset();
    feed_bed_init(&bed, scratch.path);
    cr_assert_eq(pipe(pipe_ends), 0);
}

static void tear_down(void)
{
    fake_files_reset();
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    feed_bed_free(&bed);
    scratch_free(&scratch);
}

static void add_source(int fd, bool journal)
{
    struct weir_stdin_source_options options = {WEIR_SIZED(struct weir_stdin_source_options),
                                                .fd = fd, .journal = journal};
    bed.graph->count = 0;
    bed.node = weir_stdin_source(bed.graph, "stdin", &options);
}

static void start(void)
{
    cr_assert_eq(feed_bed_start(&bed), WEIR_OK, "%s", bed.task.failed.text);
}

static void put(const char *text)
{
    cr_assert_eq(write(pipe_ends[1], text, strlen(text)), (ssize_t)strlen(text));
}

static void end_input(void)
{
    close(pipe_ends[1]);
    pipe_ends[1] = -1;
}

static void expect_out(const char *lines)
{
    cr_expect_str_eq(bed.out, lines);
}

/* ---- over deaths ---- */

/* Everything that was read is in the journal, so a death between two steps loses nothing. */
Test(stdin_source, a_death_between_any_two_steps, .init = set_up, .fini = tear_down)
{
    uint64_t random = explore_seed();
    static char all[1 << 16];
    size_t size = 0;
    add_source(pipe_ends[0], true);
    start();
    for (unsigned i = 0; i < 4000; i++) {
        char text[16] = "";
        uint32_t length = explore_below(&random, 8);
        switch (explore_below(&random, 8)) {
        case 0:
            feed_bed_die(&bed);
            start();
            break;
        case 1:
            cr_assert(feed_bed_cut(&bed));
            break;
        case 2:
            cr_assert_eq(feed_bed_commit(&bed), WEIR_OK);
            break;
        case 3:
        case 4:
            cr_assert_eq(feed_bed_poll(&bed), WEIR_IDLE, "%s", bed.task.failed.text);
            break;
        default:
            for (uint32_t at = 0; at < length; at++)
                text[at] =
                    explore_below(&random, 4) ? (char)('a' + explore_below(&random, 26)) : '\n';
            put(text);
            memcpy(all + size, text, length);
            size += length;
        }
    }
    put("the last");
    memcpy(all + size, "the last\n", 10);
    end_input();
    cr_assert_eq(feed_bed_poll(&bed), WEIR_END, "%s", bed.task.failed.text);
    expect_out(all);
    fake_end(&bed.task);
}

static const char many_lines[] = "one\ntwo\n\nfour, a longer one\nfive\nsix";

/* A file can be read again, so not even a death at a file call loses anything. */
Test(stdin_source, a_death_at_every_file_call_with_a_file, .init = set_up, .fini = tear_down)
{
    bool died = true;
    uint64_t deaths = 0;
    const char *path = scratch_join(scratch.path, "input");
    for (unsigned limit = 1; died; limit++) {
        struct feed_bed fresh;
        char folder[64];
        snprintf(folder, sizeof folder, "%s/%u", scratch.path, limit);
        mkdir(folder, 0700);
        feed_bed_init(&fresh, folder);
        scratch_write(path, many_lines, sizeof many_lines - 1);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct weir_stdin_source_options options = {WEIR_SIZED(struct weir_stdin_source_options),
                                                    .fd = fd, .journal = true, .rate = 1000};
        fresh.node = weir_stdin_source(fresh.graph, "stdin", &options);
        fake_files_reset();
        fake_file_limit = limit;
        died = false;
        enum weir_progress progress = WEIR_MORE;
        enum weir_result result = feed_bed_start(&fresh);
        while (progress != WEIR_END) {
            if (result == WEIR_OK)
                progress = feed_bed_poll(&fresh);
            if (result != WEIR_OK || fresh.task.failed.code != WEIR_OK || !feed_bed_cut(&fresh) ||
                feed_bed_commit(&fresh) != WEIR_OK) {
                cr_assert_not(died, "%s", fresh.task.failed.text);
                died = true;
                feed_bed_die(&fresh);
                fake_files_reset();
                result = feed_bed_start(&fresh);
                progress = WEIR_MORE;
                continue;
            }
            fresh.task.run.now_ns += 1000000;
        }
        cr_assert_str_eq(fresh.out, "one\ntwo\n\nfour, a longer one\nfive\nsix\n");
        fake_end(&fresh.task);
        feed_bed_free(&fresh);
        close(fd);
        deaths += died;
        cr_assert_lt(limit, 500);
    }
    exercised(deaths);
}

/* ---- the end ---- */

Test(stdin_source, a_recorded_end_is_the_end, .init = set_up, .fini = tear_down)
{
    for (int journal = 0; journal < 2; journal++) {
        int again[2];
        cr_assert_eq(pipe(again), 0);
        cr_assert_eq(write(again[1], "one\nrest", 8), 8);
        close(again[1]);
        bed.has_saved = false;
        bed.out_size = bed.out_saved = 0;
        add_source(again[0], journal);
        start();
        /* The end is taken in the poll that hands out the last line; stop before its END counts. */
        cr_assert_eq(feed_bed_poll(&bed), WEIR_END);
        cr_assert(feed_bed_cut(&bed));
        fake_end(&bed.task);
        close(again[0]);
        put("of another run\n");
        add_source(pipe_ends[0], journal);
        start();
        cr_expect_eq(feed_bed_poll(&bed), WEIR_END);
        expect_out("one\nrest\n");
        fake_end(&bed.task);
    }
}

Test(stdin_source, a_drain_hands_out_what_was_taken_and_takes_no_more, .init = set_up,
     .fini = tear_down)
{
    static char lines[600 * 5 + 1];
    for (int i = 0; i < 600; i++)
        snprintf(lines + 5 * i, 6, "%04d\n", i);
    add_source(pipe_ends[0], true);
    start();
    put(lines);
    bed.task.table->poll(bed.task.self, &bed.task); /* takes all, hands out a part */
    put("not taken\n");
    cr_assert_lt(bed.task.emitted_count, 600);
    while (bed.task.table->finish(bed.task.self, &bed.task) == WEIR_MORE)
        ;
    feed_bed_take(&bed);
    expect_out(lines);
    fake_end(&bed.task);
    feed_bed_die(&bed); /* and a restart in the middle of it */
    start();
    while (bed.task.table->finish(bed.task.self, &bed.task) == WEIR_MORE)
        ;
    feed_bed_take(&bed);
    expect_out(lines);
    fake_end(&bed.task);
}

/* ---- without a journal ---- */

Test(stdin_source, a_suspended_run_goes_on_without_a_journal, .init = set_up, .fini = tear_down)
{
    add_source(pipe_ends[0], false);
    start();
    put("one\nthe beginning of ");
    cr_assert_eq(feed_bed_poll(&bed), WEIR_IDLE);
    cr_assert(feed_bed_cut(&bed));
    fake_end(&bed.task);
    start();
    put("two\n");
    cr_assert_eq(feed_bed_poll(&bed), WEIR_IDLE);
    expect_out("one\nthe beginning of two\n");
    fake_end(&bed.task);
}

/* Just before its newline comes, more than the longest line is in memory. */
Test(stdin_source, a_cut_in_the_longest_line_without_a_journal, .init = set_up, .fini = tear_down)
{
    /* The first line puts the newline into the last read of a poll: the next looks at it. */
    const size_t first = ((size_t)256 << 10) - 20000, second = (size_t)16 << 20;
    const size_t size = first + second + 40000;
    char *text = malloc(size);
    memset(text, 'x', size);
    text[first - 1] = text[first + second] = text[size - 1] = '\n';
    const char *path = scratch_join(scratch.path, "input");
    scratch_write(path, text, size);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    add_source(fd, false);
    start();
    enum weir_progress progress = WEIR_MORE;
    while (progress == WEIR_MORE) {
        progress = bed.task.table->poll(bed.task.self, &bed.task);
        cr_assert_eq(bed.task.failed.code, WEIR_OK, "%s", bed.task.failed.text);
        feed_bed_take(&bed);
        if (bed.out_size <= first || progress != WEIR_MORE) {
            cr_assert(feed_bed_cut(&bed));
            fake_end(&bed.task);
            start();
        }
    }
    cr_expect_eq(progress, WEIR_END);
    cr_expect_eq(bed.out_size, size);
    cr_expect_eq(memcmp(bed.out, text, size), 0);
    fake_end(&bed.task);
    close(fd);
    free(text);
}

Test(stdin_source, a_file_needs_no_journal, .init = set_up, .fini = tear_down)
{
    const char *path = scratch_join(scratch.path, "input");
    scratch_write(path, many_lines, sizeof many_lines - 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct weir_stdin_source_options options = {WEIR_SIZED(struct weir_stdin_source_options),
                                                .fd = fd, .rate = 1};
    bed.node = weir_stdin_source(bed.graph, "stdin", &options);
    start();
    enum weir_progress progress = WEIR_IDLE;
    for (unsigned i = 0; progress != WEIR_END; i++) {
        cr_assert_lt(i, 100);
        progress = feed_bed_poll(&bed);
        int64_t now = bed.task.deadline_ns;
        if (i % 2)
            cr_assert(feed_bed_cut(&bed));
        feed_bed_die(&bed);
        bed.run.now_ns = now + INT64_C(1000000000);
        start();
        if (progress == WEIR_END)
            progress = feed_bed_poll(&bed);
    }
    expect_out("one\ntwo\n\nfour, a longer one\nfive\nsix\n");
    fake_end(&bed.task);
    close(fd);
}

Test(stdin_source, a_journal_is_not_left_behind_or_taken_up_in_passing, .init = set_up,
     .fini = tear_down)
{
    for (int journal = 0; journal < 2; journal++) {
        bed.has_saved = false;
        add_source(pipe_ends[0], journal);
        start();
        cr_assert(feed_bed_cut(&bed));
        fake_end(&bed.task);
        add_source(pipe_ends[0], !journal);
        cr_expect_eq(feed_bed_start(&bed), WEIR_REFUSED);
        cr_expect(strstr(bed.task.failed.text, "journal"), "%s", bed.task.failed.text);
        fake_end(&bed.task);
    }
}

Test(stdin_source, the_plan_says_what_it_promises, .init = set_up, .fini = tear_down)
{
    for (int journal = 0; journal < 2; journal++) {
        add_source(0, journal);
        cr_expect_eq(bed.graph->nodes[0].options.table->guarantee,
                     journal ? WEIR_EXACTLY_ONCE : WEIR_AT_LEAST_ONCE);
    }
}

Test(stdin_source, runs_without_a_store, .init = set_up, .fini = tear_down)
{
    bed.run.store = bed.run.folder = NULL;
    add_source(pipe_ends[0], true);
    start();
    put("one\n");
    end_input();
    cr_expect_eq(feed_bed_poll(&bed), WEIR_END);
    expect_out("one\n");
    fake_end(&bed.task);
}

Test(stdin_source, a_bad_descriptor_is_named, .init = set_up, .fini = tear_down)
{
    add_source(1234, false);
    start();
    feed_bed_poll(&bed);
    cr_expect_eq(bed.task.failed.code, WEIR_IO);
    cr_expect(strstr(bed.task.failed.text, "1234"), "%s", bed.task.failed.text);
    fake_end(&bed.task);
}

static void a_pipe_that_ends(void)
{
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    cr_assert_eq(pipe(pipe_ends), 0);
    put("one\ntwo");
    end_input();
    add_source(pipe_ends[0], true);
}

Test(stdin_source, every_failed_allocation_fails_the_run, .init = set_up, .fini = tear_down)
{
    feed_bed_scarce(&bed, a_pipe_that_ends);
}

/* ---- what the journal keeps ---- */

static unsigned segments(void)
{
    unsigned count = 0;
    DIR *folder = opendir(bed.folder);
    cr_assert(folder);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* 9 MiB: more than a segment. */
static void take_segment(void)
{
    static char line[9000];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (unsigned i = 0; i < 1050; i++) {
        cr_assert_eq(write(pipe_ends[1], line, sizeof line), (ssize_t)sizeof line);
        cr_assert_eq(feed_bed_poll(&bed), WEIR_IDLE, "%s", bed.task.failed.text);
    }
    bed.out_size = 0;
}

Test(stdin_source, input_is_kept_for_three_checkpoints, .init = set_up, .fini = tear_down)
{
    add_source(pipe_ends[0], true);
    start();
    for (unsigned i = 1; i <= 6; i++) {
        take_segment();
        cr_assert(feed_bed_cut(&bed));
        cr_assert_eq(feed_bed_commit(&bed), WEIR_OK);
        cr_assert_leq(segments(), 5);
        cr_assert_geq(segments(), i < 3 ? i : 3);
    }
    unsigned before = segments();
    /* Rounds that were aborted leave their handles to the next: that is one checkpoint, not 4. */
    for (unsigned i = 0; i < 3; i++) {
        take_segment();
        cr_assert(feed_bed_cut(&bed));
    }
    take_segment();
    cr_assert(feed_bed_cut(&bed));
    cr_assert_eq(feed_bed_commit(&bed), WEIR_OK);
    cr_expect_geq(segments(), before + 3);
    fake_end(&bed.task);
    start(); /* and a restart does not forget that others are needed */
    cr_expect_geq(segments(), before + 3);
    fake_end(&bed.task);
}

/* Written before it goes on, synced before a checkpoint stands on it, and no more often. */
Test(stdin_source, a_cut_syncs_what_was_read, .init = set_up, .fini = tear_down)
{
    add_source(pipe_ends[0], true);
    start();
    fake_file_trace[0] = '\0';
    put("one\ntwo");
    cr_assert_eq(feed_bed_poll(&bed), WEIR_IDLE);
    cr_expect_str_eq(fake_file_trace, "w");
    cr_assert(feed_bed_cut(&bed));
    cr_expect_str_eq(fake_file_trace, "ws");
    cr_assert(feed_bed_cut(&bed));
    cr_expect_str_eq(fake_file_trace, "ws");
    fake_end(&bed.task);
}

Test(stdin_source, state_that_makes_no_sense_is_refused, .init = set_up, .fini = tear_down)
{
    add_source(pipe_ends[0], true);
    start();
    put("one\n");
    cr_assert_eq(feed_bed_poll(&bed), WEIR_IDLE);
    cr_assert(feed_bed_cut(&bed));
    fake_end(&bed.task);
    for (size_t size = 0; size < 16; size++) {
        bed.saved.items[0].size = size;
        cr_assert_eq(feed_bed_start(&bed), WEIR_DAMAGED);
        fake_end(&bed.task);
    }
    bed.saved.items[0].size = 16;
    *(unsigned char *)bed.saved.items[0].data = 77; /* behind the journal's end */
    cr_expect_eq(feed_bed_start(&bed), WEIR_DAMAGED);
    cr_expect(strstr(bed.task.failed.text, "ends at byte 4"), "%s", bed.task.failed.text);
    fake_end(&bed.task);
}
