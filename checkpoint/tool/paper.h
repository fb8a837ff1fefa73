/* SPDX-License-Identifier: Apache-2.0
 *
 * paper: where the answer goes. On a terminal it has colours, unless NO_COLOR is set, and goes
 * through $PAGER, or less; on one that is dumb, and elsewhere, it is plain bytes.
 */
#ifndef PAPER_H
#define PAPER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "weir_checkpoint.h"

struct paper {
    FILE *to;
    FILE *pager; /* NULL: none */
    bool colour;
};

void paper_open(struct paper *paper, bool page);
enum paper_end {
    PAPER_WRITTEN, /* or its reader went away: it has read enough */
    PAPER_FAILED,  /* not all of it could be written: errno says why, 0 when that is not known */
    PAPER_UNPAGED, /* the pager could not be run, or has failed: errno is its exit code */
};
enum paper_end paper_close(struct paper *paper);

enum paper_colour { PAPER_BOLD, PAPER_RED, PAPER_GREEN, PAPER_YELLOW };
void paper_colour(const struct paper *paper, enum paper_colour colour);
void paper_plain(const struct paper *paper);

/* A quantity for people: "61.2 ms", "1.2 MiB", "3 min", "2026-01-31 12:00:00Z". */
#define PAPER_TEXT 32
void paper_duration(int64_t ns, char text[PAPER_TEXT]);
void paper_bytes(uint64_t bytes, char text[PAPER_TEXT]);
void paper_age(int64_t ns, char text[PAPER_TEXT]);
void paper_time(int64_t ns, char text[PAPER_TEXT]);

/* A table, whose columns are as wide as their longest cell. */
#define TABLE_COLUMNS 12u
struct table {
    char **cells;
    size_t count, room; /* cells */
    uint32_t columns;
    const char *aligned; /* 'l' or 'r' for each column */
    bool failed;         /* no memory */
};
/* `headings` are separated by '|'; `aligned` is borrowed. */
void table_begin(struct table *table, const char *headings, const char *aligned);
/* The next cell. Control characters become question marks. */
void table_cell(struct table *table, const char *format, ...) WEIR_PRINTF(2, 3);
/* Prints it, if it has more than headings, and frees it; with NULL only that. False: no memory. */
bool table_end(struct table *table, const struct paper *paper);

#endif
