/* SPDX-License-Identifier: Apache-2.0 */
/* links: measure */
/*
 * What bench programs say is JSON, whatever they are told to say.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "results.h"

/* Standard output from here on, until `heard` takes it. */
static FILE *listen_to_stdout(int *before)
{
    FILE *file = tmpfile();
    cr_assert(file);
    fflush(stdout);
    *before = dup(1);
    dup2(fileno(file), 1);
    return file;
}

static json_t *heard(FILE *file, int before)
{
    char text[4000] = {0};
    fflush(stdout);
    dup2(before, 1);
    close(before);
    rewind(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    cr_assert(size > 0 && strchr(text, '\n') == text + size - 1, "one line: %s", text);
    json_t *said = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(said, "no JSON: %s", text);
    return said;
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

Test(results, a_text_comes_out_as_it_went_in)
{
    const char *text = "a \"quoted\" \\ \t line,\n \x01 and \xc3\xa4";
    int before;
    FILE *file = listen_to_stdout(&before);
    results_note("%s", text);
    json_t *said = heard(file, before);
    cr_assert_str_eq(text_of(said, "line"), "note");
    cr_assert_str_eq(text_of(said, "text"), text);
    json_decref(said);
}

Test(results, noise_is_said_where_there_was_some)
{
    int before;
    FILE *file = listen_to_stdout(&before);
    results_use((struct machine_use){.steal = 0.5, .others = 0.01});
    json_t *said = heard(file, before);
    cr_assert_eq(json_real_value(json_object_get(said, "steal")), 0.5);
    cr_assert(strstr(text_of(said, "noise"), "stolen"));
    json_decref(said);
    file = listen_to_stdout(&before);
    results_use((struct machine_use){.steal = 0.001});
    said = heard(file, before);
    cr_assert_not(json_object_get(said, "noise"));
    json_decref(said);
}

Test(results, a_row_has_its_labels_figures_and_histograms)
{
    static struct histogram histogram, empty;
    struct results_row row;
    int before;
    histogram_add(&histogram, 7, 3);
    FILE *file = listen_to_stdout(&before);
    results_row(&row, "aligned, \"1 s\"");
    results_label(&row, "mode", "aligned");
    results_label_number(&row, "interval_ms", 1000);
    results_figure(&row, "rate", "1/s", RESULTS_MORE, (double[]){3, 1, NAN, 2}, 4);
    results_figure(&row, "absent", "1/s", RESULTS_MORE, (double[]){INFINITY, NAN}, 2);
    results_figure(&row, "cost", "%", RESULTS_LESS, (double[]){-1}, 1);
    results_histogram(&row, "empty", "ns", &empty);
    results_histogram(&row, "cut", "ns", &histogram);
    results_histogram(&row, "again", "ns", &histogram);
    results_end(&row);
    json_t *said = heard(file, before), *figures = json_object_get(said, "figures");
    cr_assert_str_eq(text_of(said, "name"), "aligned, \"1 s\"");
    cr_assert_eq(json_number_value(json_object_get(json_object_get(said, "labels"), "interval_ms")),
                 1000);
    cr_assert_eq(json_array_size(figures), 2);
    json_t *rate = json_array_get(figures, 0);
    cr_assert_eq(json_number_value(json_object_get(rate, "median")), 2);
    cr_assert_eq(json_number_value(json_object_get(rate, "most")), 3);
    cr_assert_eq(json_array_size(json_object_get(rate, "rounds")), 3);
    cr_assert_str_eq(text_of(rate, "better"), "more");
    cr_assert_eq(json_array_size(json_object_get(said, "histograms")), 2);
    json_decref(said);
}

Test(results, a_row_of_nothing_but_a_name_is_whole)
{
    struct results_row row;
    int before;
    FILE *file = listen_to_stdout(&before);
    results_row(&row, "bare");
    results_end(&row);
    json_t *said = heard(file, before);
    cr_assert_eq(json_object_size(said), 2);
    json_decref(said);
}
