/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * CSV: random rows written by a twin and read back; every kind of malformed line; what becomes of
 * those.
 */
#include "explore.h"
#include "fake_context.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const struct fake_run first = {.parallelism = 1};

/* Emits "field|field|-|", a missing one as "-"; what is in a field already is as it was. */
static enum weir_result join(struct weir_context *context, const struct weir_csv_row *row,
                             const void *config)
{
    static char text[65536];
    size_t at = 0;
    (void)config;
    for (size_t i = 0; i < row->field_count; i++) {
        struct weir_bytes field =
            row->fields[i].data ? row->fields[i] : (struct weir_bytes){"-", 1};
        cr_assert_lt(at + field.size + 1, sizeof text);
        memcpy(text + at, field.data, field.size);
        at += field.size;
        text[at++] = '|';
    }
    struct weir_record out = {row->line->key, {text, at}, row->line->time};
    return weir_emit(context, 0, &out);
}

struct bed {
    struct weir_graph *graph;
    struct weir_context task;
};

static void bed_make(struct bed *bed, struct weir_csv_options options)
{
    options.size = sizeof options;
    options.row = join;
    bed->graph = weir_graph_new(NULL);
    weir_node node = weir_csv(bed->graph, "csv", &options);
    cr_assert_eq(bed->graph->error[0], '\0', "%s", bed->graph->error);
    cr_assert_eq(fake_start(&bed->task, bed->graph, node, &first), WEIR_OK);
}

static void bed_free(struct bed *bed)
{
    fake_end(&bed->task);
    weir_graph_free(&bed->graph);
}

static enum weir_result give(struct bed *bed, const void *line, size_t size)
{
    struct weir_record record = {{"k", 1}, {line, size}, 5};
    return fake_take(&bed->task, 0, &record);
}

static void expect_last(const struct bed *bed, size_t count, const void *text, size_t size)
{
    cr_assert_eq(bed->task.emitted_count, count, "%zu records", bed->task.emitted_count);
    const struct weir_record *record = &bed->task.emitted[count - 1];
    cr_assert_eq(record->value.size, size, "%.*s, not %.*s", (int)record->value.size,
                 (const char *)record->value.data, (int)size, (const char *)text);
    cr_assert_arr_eq(record->value.data, text, size);
    cr_assert_eq(record->time, 5);
}

/* A random field into `text` as it is and into `line` as CSV; answers the new end of both. */
static void write_field(uint64_t *random, char **text, char **line, char separator, char quote)
{
    static const char bytes[] = "ab ,;\t\"'\r\n\0\377";
    uint32_t length = explore_below(random, 6);
    bool quoted = explore_below(random, 2);
    char field[8];
    for (uint32_t i = 0; i < length; i++) {
        field[i] = bytes[explore_below(random, sizeof bytes - 1)];
        quoted |=
            field[i] == separator || field[i] == quote || field[i] == '\r' || field[i] == '\n';
    }
    if (quoted)
        *(*line)++ = quote;
    for (uint32_t i = 0; i < length; i++) {
        if (field[i] == quote)
            *(*line)++ = quote;
        *(*line)++ = *(*text)++ = field[i];
    }
    if (quoted)
        *(*line)++ = quote;
    *(*text)++ = '|';
}

static void read_back(char separator, char quote, uint64_t seed)
{
    struct bed bed;
    uint64_t random = seed;
    bed_make(&bed, (struct weir_csv_options){.separator = separator, .quote = quote});
    separator = separator ? separator : ',';
    quote = quote ? quote : '"';
    for (size_t rows = 0; rows < 500;) {
        char text[256], line[256], *text_end = text, *line_end = line;
        uint32_t fields = 1 + explore_below(&random, 6);
        for (uint32_t i = 0; i < fields; i++) {
            if (i > 0)
                *line_end++ = separator;
            write_field(&random, &text_end, &line_end, separator, quote);
        }
        if (line_end == line) /* an empty line is no row */
            continue;
        if (explore_below(&random, 4) == 0)
            *line_end++ = '\r';
        cr_assert_eq(give(&bed, line, (size_t)(line_end - line)), WEIR_OK, "%s: %.*s",
                     bed.task.failed.text, (int)(line_end - line), line);
        expect_last(&bed, ++rows, text, (size_t)(text_end - text));
        if (explore_below(&random, 20) == 0)
            cr_assert_eq(fake_restart(&bed.task), WEIR_OK);
    }
    bed_free(&bed);
}

Test(csv, rows_come_back_as_they_were_written)
{
    for (uint64_t seed = explore_seed(), last = seed + 20; seed < last; seed++) {
        read_back(0, 0, seed);
        read_back(';', '\'', seed);
        read_back('\t', 0, seed);
    }
}

Test(csv, a_field_may_be_larger_than_any_buffer)
{
    static char line[60010], text[60010];
    struct bed bed;
    memset(line, 'x', sizeof line);
    memset(text, 'x', sizeof text);
    line[30000] = ',';
    text[30000] = text[60009] = '|';
    bed_make(&bed, (struct weir_csv_options){0});
    cr_assert_eq(give(&bed, line, 60009), WEIR_OK);
    expect_last(&bed, 1, text, 60010);
    bed_free(&bed);
}

Test(csv, empty_lines_are_skipped)
{
    struct bed bed;
    bed_make(&bed, (struct weir_csv_options){0});
    cr_expect_eq(give(&bed, "", 0), WEIR_OK);
    cr_expect_eq(give(&bed, "\r", 1), WEIR_OK);
    cr_expect_eq(bed.task.emitted_count, 0);
    cr_expect_eq(give(&bed, "\"\"", 2), WEIR_OK);
    expect_last(&bed, 1, "|", 1);
    bed_free(&bed);
}

/* ---- columns ---- */

static const char *const names[] = {"id", "a name", "n"};

Test(csv, the_header_is_skipped_wherever_it_comes)
{
    struct bed bed;
    bed_make(&bed, (struct weir_csv_options){.columns = names, .column_count = 3, .header = true});
    cr_expect_eq(give(&bed, "\xef\xbb\xbfid,a name,n\r", 15), WEIR_OK);
    cr_expect_eq(give(&bed, "1,2,3", 5), WEIR_OK);
    cr_expect_eq(give(&bed, "id,\"a name\",n", 13), WEIR_OK);
    expect_last(&bed, 1, "1|2|3|", 6);
    cr_expect_eq(give(&bed, "id,a name,m", 11), WEIR_OK);
    expect_last(&bed, 2, "id|a name|m|", 12);
    bed_free(&bed);
}

Test(csv, rows_have_as_many_fields_as_columns_or_are_ragged)
{
    struct bed bed;
    bed_make(&bed, (struct weir_csv_options){.columns = names, .column_count = 3});
    cr_expect_eq(give(&bed, "1,2,", 4), WEIR_OK);
    expect_last(&bed, 1, "1|2||", 5);
    cr_expect_eq(give(&bed, "1,2", 3), WEIR_INVALID);
    cr_expect(strstr(bed.task.failed.text, "fewer"), "%s", bed.task.failed.text);
    bed_free(&bed);
    bed_make(&bed, (struct weir_csv_options){.columns = names, .column_count = 3});
    cr_expect_eq(give(&bed, "1,2,3,4", 7), WEIR_INVALID);
    cr_expect(strstr(bed.task.failed.text, "more"), "%s", bed.task.failed.text);
    bed_free(&bed);
    bed_make(&bed, (struct weir_csv_options){.columns = names, .column_count = 3, .ragged = true});
    cr_expect_eq(give(&bed, "1", 1), WEIR_OK);
    expect_last(&bed, 1, "1|-|-|", 6);
    cr_expect_eq(give(&bed, "1,2,3,4", 7), WEIR_OK);
    expect_last(&bed, 2, "1|2|3|", 6);
    bed_free(&bed);
}

/* ---- malformed lines ---- */

static const char *const malformed[] = {
    "a\"b",    "\"a",  "\"a\"b", "\"a\" ,b", "a,\"b",        "a\"",
    "\"a\"\"", "a\rb", "a\nb",   "\"",       "a,b\r\nc,d\r",
};
#define MALFORMED (sizeof malformed / sizeof *malformed)

Test(csv, a_malformed_line_fails_the_run_and_is_named)
{
    for (size_t i = 0; i < MALFORMED; i++) {
        struct bed bed;
        bed_make(&bed, (struct weir_csv_options){0});
        cr_expect_eq(give(&bed, "good", 4), WEIR_OK);
        cr_expect_eq(give(&bed, malformed[i], strlen(malformed[i])), WEIR_INVALID, "%s is taken",
                     malformed[i]);
        cr_expect(strstr(bed.task.failed.text, "line 2 "), "%s", bed.task.failed.text);
        cr_expect_eq(strchr(bed.task.failed.text, '\r'), NULL);
        bed_free(&bed);
    }
}

Test(csv, dropped_lines_are_counted_over_restarts_and_told)
{
    struct bed bed;
    struct weir_saver saved = {0};
    bed_make(&bed, (struct weir_csv_options){.bad = WEIR_BAD_LINE_DROP});
    for (size_t i = 0; i < MALFORMED; i++) {
        cr_expect_eq(give(&bed, malformed[i], strlen(malformed[i])), WEIR_OK);
        cr_expect(i > 0 || strstr(bed.task.log, "1 malformed"), "%s", bed.task.log);
        cr_expect_eq(give(&bed, "x,y", 3), WEIR_OK);
        expect_last(&bed, i + 1, "x|y|", 4);
        cr_assert_eq(fake_restart(&bed.task), WEIR_OK);
    }
    cr_expect(strstr(bed.task.log, "10 malformed"), "%s", bed.task.log);
    fake_cut(&bed.task, &saved);
    cr_expect_str_eq(saved.note, "dropped 11 malformed of 22 lines");
    fake_finish(&bed.task, 3);
    cr_expect(strstr(bed.task.log, "11 of 22"), "%s", bed.task.log);
    fake_items_free(&saved);
    bed_free(&bed);
}

Test(csv, bad_lines_may_go_to_an_output_of_their_own)
{
    struct bed bed;
    bed_make(&bed, (struct weir_csv_options){.bad = WEIR_BAD_LINE_OUTPUT, .line_limit = 10});
    cr_expect_eq(bed.graph->nodes[0].options.output_count, 2);
    cr_expect_eq(give(&bed, "a\"b", 3), WEIR_OK);
    expect_last(&bed, 1, "a\"b", 3);
    cr_expect_eq(bed.task.outputs[0], 1);
    cr_expect_eq(give(&bed, "0123456789", 10), WEIR_OK);
    cr_expect_eq(bed.task.outputs[1], 0);
    cr_expect_eq(give(&bed, "0123456789x", 11), WEIR_OK);
    expect_last(&bed, 3, "0123456789x", 11);
    cr_expect_eq(bed.task.outputs[2], 1);
    bed_free(&bed);
}

Test(csv, damaged_counts_are_refused)
{
    struct bed bed;
    struct weir_saver saved = {0};
    struct weir_context task;
    bed_make(&bed, (struct weir_csv_options){0});
    fake_items_add(&saved, WEIR_ITEM_SPLIT, (struct weir_bytes){"short", 5});
    struct fake_run again = {.saved = &saved};
    cr_expect_eq(fake_start(&task, bed.graph, (weir_node){0}, &again), WEIR_DAMAGED);
    cr_expect(strstr(task.failed.text, "item 1, at byte 0 of 5"), "%s", task.failed.text);
    fake_end(&task);
    fake_items_free(&saved);
    bed_free(&bed);
}

static void expect_refused(struct weir_csv_options options, const char *why)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    options.size = sizeof options;
    weir_csv(graph, "odd", &options);
    cr_expect(strstr(graph->error, why), "%s", graph->error);
    weir_graph_free(&graph);
}

Test(csv, bad_options_are_the_graphs_error)
{
    expect_refused((struct weir_csv_options){0}, "callback");
    expect_refused((struct weir_csv_options){.row = join, .separator = '"'}, "differ");
    expect_refused((struct weir_csv_options){.row = join, .quote = '\n'}, "line break");
    expect_refused((struct weir_csv_options){.row = join, .header = true}, "names");
    expect_refused((struct weir_csv_options){.row = join, .columns = names}, "together");
    expect_refused((struct weir_csv_options){.row = join, .line_limit = 17u << 20}, "16 MiB");
    expect_refused((struct weir_csv_options){.row = join, .bad = (enum weir_bad_line)7}, "unknown");
}
