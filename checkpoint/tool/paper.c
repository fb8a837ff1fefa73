/* SPDX-License-Identifier: Apache-2.0 */
#include "paper.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void paper_open(struct paper *paper, bool page)
{
    const char *kind = getenv("TERM");
    bool dumb = kind != NULL && strcmp(kind, "dumb") == 0;
    bool terminal = isatty(STDOUT_FILENO) == 1 && !dumb;
    const char *none = getenv("NO_COLOR"), *pager = getenv("PAGER");
    *paper = (struct paper){.to = stdout, .colour = terminal && (none == NULL || *none == 0)};
    if (!terminal || !page || (pager != NULL && *pager == 0))
        return;
    paper->pager = popen(pager != NULL ? pager : "less -FRX", "w");
    if (paper->pager != NULL)
        paper->to = paper->pager;
}

/* Of a pipe: does nobody read it any more? */
static bool is_left(int descriptor)
{
    struct pollfd end = {.fd = descriptor, .events = POLLOUT};
    return poll(&end, 1, 0) == 1 && (end.revents & POLLERR) != 0;
}

static enum paper_end close_pager(struct paper *paper)
{
    int status = pclose(paper->pager);
    paper->pager = NULL;
    errno = status == -1 || !WIFEXITED(status) ? 0 : WEXITSTATUS(status);
    return errno != 0 ? PAPER_UNPAGED : PAPER_WRITTEN; /* whoever leaves it has seen enough */
}

enum paper_end paper_close(struct paper *paper)
{
    errno = 0;
    bool well = fflush(paper->to) == 0 && !ferror(paper->to);
    int why = errno;
    /* stdio forgets why an earlier write failed, and what it was: the answer is torn, and one more
     * byte tells. */
    if (!well && why == 0 && paper->pager == NULL && write(fileno(paper->to), "\n", 1) < 0)
        why = errno;
    if (paper->pager != NULL)
        return close_pager(paper);
    if (well || why == EPIPE || is_left(fileno(paper->to)))
        return PAPER_WRITTEN;
    errno = why;
    return PAPER_FAILED;
}

void paper_colour(const struct paper *paper, enum paper_colour colour)
{
    static const char *const codes[] = {"\033[1m", "\033[31m", "\033[32m", "\033[33m"};
    if (paper->colour)
        fputs(codes[colour], paper->to);
}

void paper_plain(const struct paper *paper)
{
    if (paper->colour)
        fputs("\033[0m", paper->to);
}

/* ----------------------------------------------------------------------------- quantities -- */

void paper_duration(int64_t ns, char text[PAPER_TEXT])
{
    if (ns < 0)
        snprintf(text, PAPER_TEXT, "-");
    else if (ns < 1000000)
        snprintf(text, PAPER_TEXT, "%.1f us", (double)ns / 1e3);
    else if (ns < 1000000000)
        snprintf(text, PAPER_TEXT, "%.1f ms", (double)ns / 1e6);
    else
        snprintf(text, PAPER_TEXT, "%.1f s", (double)ns / 1e9);
}

void paper_bytes(uint64_t bytes, char text[PAPER_TEXT])
{
    static const char units[] = "KMGTPE";
    double value = (double)bytes;
    int unit = -1;
    for (; value >= 1024 && units[unit + 1] != 0; unit++)
        value /= 1024;
    if (unit < 0)
        snprintf(text, PAPER_TEXT, "%" PRIu64 " B", bytes);
    else
        snprintf(text, PAPER_TEXT, "%.1f %ciB", value, units[unit]);
}

void paper_age(int64_t ns, char text[PAPER_TEXT])
{
    int64_t seconds = ns / 1000000000;
    if (ns < 0)
        snprintf(text, PAPER_TEXT, "in the future");
    else if (seconds < 120)
        snprintf(text, PAPER_TEXT, "%" PRId64 " s", seconds);
    else if (seconds < 7200)
        snprintf(text, PAPER_TEXT, "%" PRId64 " min", seconds / 60);
    else if (seconds < 172800)
        snprintf(text, PAPER_TEXT, "%" PRId64 " h", seconds / 3600);
    else
        snprintf(text, PAPER_TEXT, "%" PRId64 " days", seconds / 86400);
}

void paper_time(int64_t ns, char text[PAPER_TEXT])
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm parts;
    if (ns < 0 || gmtime_r(&seconds, &parts) == NULL ||
        strftime(text, PAPER_TEXT, "%Y-%m-%d %H:%M:%SZ", &parts) == 0)
        snprintf(text, PAPER_TEXT, "-");
}

/* --------------------------------------------------------------------------------- tables -- */

void table_begin(struct table *table, const char *headings, const char *aligned)
{
    *table = (struct table){.aligned = aligned, .columns = (uint32_t)strlen(aligned)};
    for (const char *end; *headings != 0; headings = end + (*end == '|')) {
        end = headings + strcspn(headings, "|");
        table_cell(table, "%.*s", (int)(end - headings), headings);
    }
}

/* What was in a manifest must not steer a terminal, nor break a line. */
static void disarm(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at != 0; at++) {
        if (*at < 0x20 || *at == 0x7f)
            *at = '?';
        else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
            at[0] = at[1] = '?';
    }
}

void table_cell(struct table *table, const char *format, ...)
{
    va_list arguments;
    char *text = NULL;
    if (table->count == table->room) {
        size_t room = table->room == 0 ? 64 : 2 * table->room;
        char **cells = realloc(table->cells, room * sizeof *cells);
        table->failed |= cells == NULL;
        if (cells == NULL)
            return;
        table->cells = cells;
        table->room = room;
    }
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    table->failed |= text == NULL;
    if (text == NULL)
        return;
    disarm(text);
    table->cells[table->count++] = text;
}

/* Characters, of UTF-8. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != 0; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_row(const struct table *table, size_t row, const int *widths,
                      const struct paper *paper)
{
    for (uint32_t i = 0; i < table->columns; i++) {
        const char *text = table->cells[row * table->columns + i];
        int room = widths[i] - width_of(text);
        bool right = table->aligned[i] == 'r', last = i + 1 == table->columns;
        fprintf(paper->to, "%*s%s%*s%s", right ? room : 0, "", text, right || last ? 0 : room, "",
                last ? "\n" : "  ");
    }
}

static void print_table(const struct table *table, const struct paper *paper)
{
    int widths[TABLE_COLUMNS] = {0};
    for (size_t i = 0; i < table->count; i++) {
        int width = width_of(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    paper_colour(paper, PAPER_BOLD);
    print_row(table, 0, widths, paper);
    paper_plain(paper);
    for (size_t row = 1; row < table->count / table->columns; row++)
        print_row(table, row, widths, paper);
}

bool table_end(struct table *table, const struct paper *paper)
{
    bool failed = table->failed;
    if (!failed && paper != NULL && table->count > table->columns)
        print_table(table, paper);
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct table){0};
    return !failed;
}
