/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON lines: what is found at which path, and what becomes of lines that are no document.
 */
#include "explore.h"
#include "fake_context.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const struct fake_run first = {.parallelism = 1};

#define FIELDS 20

/* What the callback was given last; texts are copied. */
static struct weir_json_field seen[FIELDS];
static char seen_texts[FIELDS][4096];
static size_t seen_count, rows;

static enum weir_result note(struct weir_context *context, const struct weir_json_row *row,
                             const void *config)
{
    (void)context;
    (void)config;
    cr_assert_leq(row->field_count, FIELDS);
    seen_count = row->field_count;
    rows++;
    for (size_t i = 0; i < row->field_count; i++) {
        seen[i] = row->fields[i];
        cr_assert_lt(seen[i].text.size, sizeof seen_texts[i]);
        memcpy(seen_texts[i], seen[i].text.data, seen[i].text.size);
        seen_texts[i][seen[i].text.size] = '\0';
    }
    return WEIR_OK;
}

struct bed {
    struct weir_graph *graph;
    struct weir_context task;
};

static void bed_make(struct bed *bed, const char *const *paths, size_t count,
                     struct weir_json_lines_options options)
{
    options.size = sizeof options;
    options.row = note;
    options.paths = paths;
    options.path_count = count;
    bed->graph = weir_graph_new(NULL);
    weir_node node = weir_json_lines(bed->graph, "json", &options);
    cr_assert_eq(bed->graph->error[0], '\0', "%s", bed->graph->error);
    cr_assert_eq(fake_start(&bed->task, bed->graph, node, &first), WEIR_OK);
    rows = 0;
}

static void bed_free(struct bed *bed)
{
    fake_end(&bed->task);
    weir_graph_free(&bed->graph);
}

static enum weir_result give(struct bed *bed, const char *line)
{
    struct weir_record record = {{"k", 1}, {line, strlen(line)}, 5};
    return fake_take(&bed->task, 0, &record);
}

/* ---- fields ---- */

static void expect_field(const char *document, const char *path, enum weir_json_type type,
                         const char *text)
{
    struct bed bed;
    bed_make(&bed, &path, 1, (struct weir_json_lines_options){0});
    cr_assert_eq(give(&bed, document), WEIR_OK, "%s", bed.task.failed.text);
    cr_assert_eq(seen_count, 1);
    cr_expect_eq(seen[0].type, type, "%s in %s is a %d", path, document, seen[0].type);
    cr_expect_str_eq(seen_texts[0], text);
    bed_free(&bed);
}

Test(json_lines, paths_lead_through_objects_and_arrays)
{
    static const char document[] = "{\"user\": {\"id\": 17, \"tags\": [\"x\", {\"y\": true}, []]},"
                                   " \"a.b\": {\"c\\\\\": null}, \"\": 0.5, \"0\": \"zero\"}";
    expect_field(document, "user.id", WEIR_JSON_INTEGER, "17");
    expect_field(document, "user.tags.0", WEIR_JSON_STRING, "x");
    expect_field(document, "user.tags.1.y", WEIR_JSON_BOOL, "true");
    expect_field(document, "user.tags.2", WEIR_JSON_OTHER, "[]");
    expect_field(document, "user.tags.3", WEIR_JSON_MISSING, "");
    expect_field(document, "user.tags.00", WEIR_JSON_MISSING, "");
    expect_field(document, "user.tags.-1", WEIR_JSON_MISSING, "");
    expect_field(document, "user.tags.99999999999999999999999", WEIR_JSON_MISSING, "");
    expect_field(document, "user.tags.x", WEIR_JSON_MISSING, "");
    expect_field(document, "user.id.x", WEIR_JSON_MISSING, "");
    expect_field(document, "a\\.b.c\\\\", WEIR_JSON_NULL, "null");
    expect_field(document, "a.b", WEIR_JSON_MISSING, "");
    expect_field(document, "user.", WEIR_JSON_MISSING, "");
    expect_field(document, "0", WEIR_JSON_STRING, "zero");
    expect_field(document, "user.tags", WEIR_JSON_OTHER, "[\"x\",{\"y\":true},[]]");
    expect_field("{\"a\":{\"\":5}}", "a.", WEIR_JSON_INTEGER, "5");
    expect_field("[1, 2]", "", WEIR_JSON_OTHER, "[1,2]");
    expect_field("-0.5", "", WEIR_JSON_REAL, "-0.5");
    expect_field("\"\\u00e4\\n\"", "", WEIR_JSON_STRING, "\xc3\xa4\n");
    expect_field("false", "", WEIR_JSON_BOOL, "false");
}

Test(json_lines, numbers_keep_their_value)
{
    const char *path = "n";
    struct bed bed;
    bed_make(&bed, &path, 1, (struct weir_json_lines_options){0});
    cr_assert_eq(give(&bed, "{\"n\": -9223372036854775808}"), WEIR_OK);
    cr_expect_eq(seen[0].integer, INT64_MIN);
    cr_expect_str_eq(seen_texts[0], "-9223372036854775808");
    cr_assert_eq(give(&bed, "{\"n\": 0.1}"), WEIR_OK);
    cr_expect_eq(seen[0].real, 0.1);
    cr_expect_eq(strtod(seen_texts[0], NULL), 0.1);
    cr_assert_eq(give(&bed, "{\"n\": 3}"), WEIR_OK);
    cr_expect_eq(seen[0].real, 3);
    cr_assert_eq(give(&bed, "{\"n\": true}"), WEIR_OK);
    cr_expect_eq(seen[0].integer, 1);
    bed_free(&bed);
}

Test(json_lines, a_string_may_hold_any_byte)
{
    const char *path = "s";
    struct bed bed;
    bed_make(&bed, &path, 1, (struct weir_json_lines_options){0});
    cr_assert_eq(give(&bed, "{\"s\": \"a\\u0000b\"}"), WEIR_OK);
    cr_assert_eq(seen[0].text.size, 3);
    cr_expect_arr_eq(seen_texts[0], "a\0b", 3);
    bed_free(&bed);
}

/* Many fields whose texts are printed: they must not move under each other. */
Test(json_lines, random_documents_come_back_field_by_field)
{
    const char *paths[FIELDS];
    char path_texts[FIELDS][16];
    struct bed bed;
    uint64_t random = explore_seed();
    for (unsigned i = 0; i < FIELDS; i++) {
        snprintf(path_texts[i], sizeof path_texts[i], "f%u", i);
        paths[i] = path_texts[i];
    }
    bed_make(&bed, paths, FIELDS, (struct weir_json_lines_options){0});
    for (unsigned round = 0; round < 500; round++) {
        static char line[FIELDS * 600];
        int64_t numbers[FIELDS];
        unsigned kinds[FIELDS], lengths[FIELDS];
        size_t at = 0;
        line[at++] = '{';
        for (unsigned i = 0; i < FIELDS; i++) {
            kinds[i] = explore_below(&random, 4);
            numbers[i] = (int64_t)explore_random(&random);
            lengths[i] = explore_below(&random, 500);
            if (kinds[i] == 3)
                continue;
            at +=
                (size_t)snprintf(line + at, sizeof line - at, "%s\"f%u\": ", at > 1 ? ", " : "", i);
            at += kinds[i] == 0   ? (size_t)sprintf(line + at, "%lld", (long long)numbers[i])
                  : kinds[i] == 1 ? (size_t)sprintf(line + at, "\"%0*d\"", (int)lengths[i], 7)
                                  : (size_t)sprintf(line + at, "[ %u ]", lengths[i]);
        }
        snprintf(line + at, sizeof line - at, "}");
        cr_assert_eq(give(&bed, line), WEIR_OK, "%s", bed.task.failed.text);
        for (unsigned i = 0; i < FIELDS; i++) {
            char text[600] = "";
            if (kinds[i] == 0)
                snprintf(text, sizeof text, "%lld", (long long)numbers[i]);
            else if (kinds[i] == 1)
                snprintf(text, sizeof text, "%0*d", (int)lengths[i], 7);
            else if (kinds[i] == 2)
                snprintf(text, sizeof text, "[%u]", lengths[i]);
            cr_assert_str_eq(seen_texts[i], text);
            cr_assert_eq(kinds[i] == 3, seen[i].type == WEIR_JSON_MISSING);
        }
        if (explore_below(&random, 20) == 0)
            cr_assert_eq(fake_restart(&bed.task), WEIR_OK);
    }
    bed_free(&bed);
}

Test(json_lines, blank_lines_are_skipped)
{
    const char *path = "";
    struct bed bed;
    bed_make(&bed, &path, 1, (struct weir_json_lines_options){0});
    cr_expect_eq(give(&bed, ""), WEIR_OK);
    cr_expect_eq(give(&bed, " \t\r"), WEIR_OK);
    cr_expect_eq(rows, 0);
    bed_free(&bed);
}

/* ---- malformed lines ---- */

static const char *const malformed[] = {
    "{",
    "}",
    "{\"a\":}",
    "{\"a\":1}}",
    "{\"a\":1,\"a\":2}",
    "9223372036854775808",
    "\"\xff\"",
    "'a'",
    "nul",
    "1e999",
    "\"a",
    "{\"a\":1} x",
    "[1,]",
    "\x01",
    "01",
    "[\"\\ud800\"]",
    "\xef\xbb\xbf{}",
};
#define MALFORMED (sizeof malformed / sizeof *malformed)

Test(json_lines, a_malformed_line_fails_the_run_and_is_named)
{
    const char *path = "a";
    for (size_t i = 0; i < MALFORMED; i++) {
        struct bed bed;
        bed_make(&bed, &path, 1, (struct weir_json_lines_options){0});
        cr_expect_eq(give(&bed, "{\"a\": 1}"), WEIR_OK);
        cr_expect_eq(give(&bed, malformed[i]), WEIR_INVALID, "%s is taken", malformed[i]);
        cr_expect(strstr(bed.task.failed.text, "line 2 "), "%s", bed.task.failed.text);
        cr_expect_eq(rows, 1);
        bed_free(&bed);
    }
}

Test(json_lines, depth_is_limited_outside_strings_only)
{
    static char deep[5000];
    const char *path = "";
    struct bed bed;
    bed_make(&bed, &path, 1,
             (struct weir_json_lines_options){.depth_limit = 3, .bad = WEIR_BAD_LINE_DROP});
    cr_expect_eq(give(&bed, "[[[1]], {\"[[[[\\\"[[[{{{\": \"{{{{{\"}, [[2]]]"), WEIR_OK);
    cr_expect_eq(rows, 1);
    cr_expect_eq(give(&bed, "[[[[1]]]]"), WEIR_OK);
    cr_expect_eq(rows, 1);
    cr_expect(strstr(bed.task.log, "depth_limit"), "%s", bed.task.log);
    bed_free(&bed);
    memset(deep, '[', sizeof deep - 1);
    bed_make(&bed, &path, 1,
             (struct weir_json_lines_options){.depth_limit = 1000, .bad = WEIR_BAD_LINE_DROP});
    cr_expect_eq(give(&bed, deep), WEIR_OK);
    deep[999] = '1';
    memset(deep + 1000, ']', 999);
    deep[1999] = '\0';
    cr_expect_eq(give(&bed, deep), WEIR_OK);
    cr_expect_eq(rows, 1);
    bed_free(&bed);
}

Test(json_lines, bad_lines_are_counted_or_go_to_their_output)
{
    const char *path = "";
    struct weir_saver saved = {0};
    struct bed bed;
    bed_make(&bed, &path, 1, (struct weir_json_lines_options){.bad = WEIR_BAD_LINE_DROP});
    give(&bed, "{");
    give(&bed, "{}");
    cr_assert_eq(fake_restart(&bed.task), WEIR_OK);
    give(&bed, "}");
    fake_cut(&bed.task, &saved);
    cr_expect_str_eq(saved.note, "dropped 2 malformed of 3 lines");
    fake_items_free(&saved);
    bed_free(&bed);
    bed_make(&bed, &path, 1,
             (struct weir_json_lines_options){.bad = WEIR_BAD_LINE_OUTPUT, .line_limit = 4});
    give(&bed, "{");
    give(&bed, "1234");
    give(&bed, "12345");
    cr_expect_eq(rows, 1);
    cr_assert_eq(bed.task.emitted_count, 2);
    cr_expect_eq(bed.task.outputs[0], 1);
    cr_expect_eq(bed.task.outputs[1], 1);
    bed_free(&bed);
}

static void expect_refused(struct weir_json_lines_options options, const char *why)
{
    struct weir_graph *graph = weir_graph_new(NULL);
    options.size = sizeof options;
    weir_json_lines(graph, "odd", &options);
    cr_expect(strstr(graph->error, why), "%s", graph->error);
    weir_graph_free(&graph);
}

Test(json_lines, bad_options_are_the_graphs_error)
{
    const char *path = "a";
    expect_refused((struct weir_json_lines_options){.paths = &path, .path_count = 1}, "callback");
    expect_refused((struct weir_json_lines_options){.row = note}, "paths");
    expect_refused(
        (struct weir_json_lines_options){
            .row = note, .paths = &path, .path_count = 1, .depth_limit = 1001},
        "depth_limit");
}
