/* links: tool */
/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tool `weir` writes for people: quantities, tables, and what a terminal gets.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scratch.h"
#include "tool.h" /* the runtime has a paper.h too */

#define SECOND INT64_C(1000000000)

static void says(void (*print)(int64_t, char *), int64_t number, const char *expected)
{
    char text[PAPER_TEXT];
    print(number, text);
    cr_expect_str_eq(text, expected);
}

Test(tool_paper, quantities_have_the_unit_that_fits)
{
    static const struct {
        int64_t ns;
        const char *duration, *age, *time;
    } rows[] = {
        {-1, "-", "in the future", "-"},
        {0, "0.0 us", "0 s", "1970-01-01 00:00:00Z"},
        {999999, "1000.0 us", "0 s", "1970-01-01 00:00:00Z"},
        {61200000, "61.2 ms", "0 s", "1970-01-01 00:00:00Z"},
        {119 * SECOND, "119.0 s", "119 s", "1970-01-01 00:01:59Z"},
        {120 * SECOND, "120.0 s", "2 min", "1970-01-01 00:02:00Z"},
        {7200 * SECOND, "7200.0 s", "2 h", "1970-01-01 02:00:00Z"},
        {172800 * SECOND, "172800.0 s", "2 days", "1970-01-03 00:00:00Z"},
        {INT64_MAX, "9223372036.9 s", "106751 days", "2262-04-11 23:47:16Z"},
    };
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1024, "1.0 KiB"},
                 {1258291, "1.2 MiB"},
                 {UINT64_MAX, "16.0 EiB"}};
    char text[PAPER_TEXT];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        says(paper_duration, rows[i].ns, rows[i].duration);
        says(paper_age, rows[i].ns, rows[i].age);
        says(paper_time, rows[i].ns, rows[i].time);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        paper_bytes(sizes[i].bytes, text);
        cr_expect_str_eq(text, sizes[i].text);
    }
}

/* Nothing that a manifest may hold steers a terminal or breaks a line; widths are characters. */
Test(tool_paper, tables_stand_in_columns_whatever_their_cells_say)
{
    char *text = NULL;
    size_t size = 0;
    struct paper paper = {.to = open_memstream(&text, &size)};
    struct table table;
    table_begin(&table, "NAME|N", "lr");
    cr_expect(table_end(&table, &paper), "headings alone");
    table_begin(&table, "NAME|N", "lr");
    table_cell(&table, "caf\xc3\xa9");
    table_cell(&table, "%d", 7);
    table_cell(&table, "\033[31m\n\x7f\xc2\x9b\xc2\xa7");
    table_cell(&table, "%d", 4711);
    cr_expect(table_end(&table, &paper));
    table_begin(&table, "NAME|N", "lr");
    for (int i = 0; i < 200; i++)
        table_cell(&table, "%d", i);
    cr_expect(table_end(&table, NULL), "not printed");
    fclose(paper.to);
    cr_expect_str_eq(text, "NAME           N\n"
                           "caf\xc3\xa9           7\n"
                           "?[31m?\?\?\?\xc2\xa7  4711\n");
    free(text);
}

/* ---- a terminal ---- */

static struct scratch scratch;

static void begin(void)
{
    scratch = scratch_make();
}

static void end(void)
{
    scratch_free(&scratch);
}

/* The standard output is a terminal, whose answer is read from what is returned. */
static int become_terminal(int *kept)
{
    int outer, inner;
    cr_assert_eq(openpty(&outer, &inner, NULL, NULL, NULL), 0);
    *kept = dup(STDOUT_FILENO);
    cr_assert_geq(dup2(inner, STDOUT_FILENO), 0);
    close(inner);
    return outer;
}

static void leave_terminal(int outer, int kept)
{
    fflush(stdout);
    cr_assert_geq(dup2(kept, STDOUT_FILENO), 0);
    close(kept);
    close(outer);
}

static void write_word(bool page, bool *coloured, bool *paged)
{
    struct paper paper;
    paper_open(&paper, page);
    *coloured = paper.colour;
    *paged = paper.pager != NULL;
    paper_colour(&paper, PAPER_GREEN);
    fputs("a word", paper.to);
    paper_plain(&paper);
    putc('\n', paper.to);
    cr_expect_eq(paper_close(&paper), PAPER_WRITTEN);
}

Test(tool_paper, a_terminal_has_colours_and_a_pager_unless_it_is_told_not_to, .init = begin,
     .fini = end)
{
    char pager[200], text[64] = "";
    const char *path = scratch_join(scratch.path, "paged");
    bool coloured, paged;
    int kept, outer = become_terminal(&kept);
    snprintf(pager, sizeof pager, "cat >%s", path);
    setenv("PAGER", pager, 1);
    unsetenv("NO_COLOR");
    setenv("TERM", "xterm", 1);
    write_word(true, &coloured, &paged);
    cr_expect(coloured && paged);
    int file = open(path, O_RDONLY);
    cr_expect_gt(read(file, text, sizeof text - 1), 0);
    close(file);
    cr_expect_str_eq(text, "\033[32ma word\033[0m\n");
    write_word(false, &coloured, &paged);
    cr_expect(coloured && !paged);
    setenv("TERM", "dumb", 1);
    write_word(true, &coloured, &paged);
    cr_expect(!coloured && !paged);
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", "1", 1);
    setenv("PAGER", "", 1);
    write_word(true, &coloured, &paged);
    cr_expect(!coloured && !paged);
    setenv("NO_COLOR", "", 1);
    write_word(true, &coloured, &paged);
    cr_expect(coloured && !paged);
    leave_terminal(outer, kept);
}

Test(tool_paper, elsewhere_it_is_plain_and_what_could_not_be_written_is_told)
{
    bool coloured, paged;
    struct paper paper;
    int kept = dup(STDOUT_FILENO), full = open("/dev/full", O_WRONLY);
    cr_assert(full >= 0 && dup2(full, STDOUT_FILENO) >= 0);
    setenv("PAGER", "cat", 1);
    paper_open(&paper, true);
    cr_expect(!paper.colour && paper.pager == NULL);
    fputs("a word\n", paper.to);
    cr_expect_eq(paper_close(&paper), PAPER_FAILED);
    cr_expect_eq(errno, ENOSPC);
    clearerr(stdout);
    cr_assert_geq(dup2(kept, STDOUT_FILENO), 0);
    close(full);
    close(kept);
    write_word(true, &coloured, &paged);
    cr_expect(!coloured && !paged);
}
