/* SPDX-License-Identifier: Apache-2.0
 *
 * results: see results.h.
 */
#include "results.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "spread.h"

void results_text(const char *text, FILE *out)
{
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < 0x20)
            fprintf(out, "\\u%04x", *at);
        else
            fputc(*at, out);
    }
    fputc('"', out);
}

void results_step(int done, int of)
{
    printf("{\"line\": \"step\", \"done\": %d, \"of\": %d}\n", done, of);
    fflush(stdout);
}

void results_note(const char *format, ...)
{
    char text[500];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fputs("{\"line\": \"note\", \"text\": ", stdout);
    results_text(text, stdout);
    fputs("}\n", stdout);
    fflush(stdout);
}

void results_use(struct machine_use use)
{
    char text[200];
    printf("{\"line\": \"use\", \"steal\": %.4f, \"others\": %.4f", use.steal, use.others);
    if (machine_noise(use, text, sizeof text)[0]) {
        fputs(", \"noise\": ", stdout);
        results_text(text, stdout);
    }
    fputs("}\n", stdout);
    fflush(stdout);
}

/* Opens the list if it is not open, and ends the one before. */
static void section(struct results_row *row, const char *name)
{
    bool open = row->section && strcmp(row->section, name) == 0;
    bool labels = strcmp(name, "labels") == 0;
    if (!open && row->section)
        fputs(strcmp(row->section, "labels") == 0 ? "}" : "]", stdout);
    if (open)
        fputs(", ", stdout);
    else
        printf(", \"%s\": %s", name, labels ? "{" : "[");
    row->section = name;
}

void results_row(struct results_row *row, const char *name)
{
    row->section = NULL;
    fputs("{\"line\": \"row\", \"name\": ", stdout);
    results_text(name, stdout);
}

void results_label(struct results_row *row, const char *name, const char *value)
{
    section(row, "labels");
    printf("\"%s\": ", name);
    results_text(value, stdout);
}

void results_label_number(struct results_row *row, const char *name, double value)
{
    section(row, "labels");
    printf("\"%s\": %.10g", name, value);
}

void results_figure(struct results_row *row, const char *name, const char *unit,
                    enum results_better better, const double *values, int count)
{
    static const char *const ways[] = {"less", "more", "neither"};
    double finite[SPREAD_MOST];
    int kept = 0;
    for (int i = 0; i < count && kept < SPREAD_MOST; i++) {
        if (isfinite(values[i]))
            finite[kept++] = values[i];
    }
    if (kept == 0)
        return;
    struct spread spread = spread_of(finite, kept);
    section(row, "figures");
    printf("{\"name\": \"%s\", \"unit\": \"%s\", \"better\": \"%s\", \"median\": %.6g, "
           "\"least\": %.6g, \"most\": %.6g, \"rounds\": [",
           name, unit, ways[better], spread.median, spread.least, spread.most);
    for (int i = 0; i < kept; i++)
        printf("%s%.6g", i == 0 ? "" : ", ", finite[i]);
    fputs("]}", stdout);
}

void results_histogram(struct results_row *row, const char *name, const char *unit,
                       const struct histogram *histogram)
{
    if (histogram->count == 0)
        return;
    section(row, "histograms");
    histogram_print(histogram, name, unit, stdout);
}

void results_end(struct results_row *row)
{
    if (row->section)
        fputs(strcmp(row->section, "labels") == 0 ? "}" : "]", stdout);
    fputs("}\n", stdout);
    fflush(stdout);
}
