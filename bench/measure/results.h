/* SPDX-License-Identifier: Apache-2.0
 *
 * results: how a bench program says what it measures: JSON objects on standard output, one a line,
 * flushed, which bench/run puts together; bench/RESULTS.md has their members.
 *
 * A row is said in one go: results_row, then labels, figures and histograms in any order but mixed
 * never, then results_end. A `name` or `unit` needs no escapes; a text may be any UTF-8. Errors of
 * the stream show when it is closed. One thread at a time.
 */
#ifndef RESULTS_H
#define RESULTS_H

#include <stdint.h>
#include <stdio.h>

#include "histogram.h"
#include "machine.h"

/* What is better: then --compare can say which way a figure went. */
enum results_better { RESULTS_LESS, RESULTS_MORE, RESULTS_NEITHER };

/* A JSON string. */
void results_text(const char *text, FILE *out);

/* Step `done` of `of` is over: for progress and the time left. */
void results_step(int done, int of);

/* Something that readers of the results should know, as a sentence. */
void results_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct results_row {
    const char *section; /* which list is open; NULL: none */
};

/* How much of the machine others had while all that was measured, and whether that was too much. */
void results_use(struct machine_use use);

/* `name` tells the row apart from others of its scenario; it is for people. */
void results_row(struct results_row *row, const char *name);
void results_label(struct results_row *row, const char *name, const char *value);
void results_label_number(struct results_row *row, const char *name, double value);
/* 1 .. SPREAD_MOST values, one of each round; not finite ones are left out, and a figure without
 * any is. */
void results_figure(struct results_row *row, const char *name, const char *unit,
                    enum results_better better, const double *values, int count);
/* An empty one is left out. */
void results_histogram(struct results_row *row, const char *name, const char *unit,
                       const struct histogram *histogram);
void results_end(struct results_row *row);

#endif
