/* SPDX-License-Identifier: Apache-2.0 */
#include "show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "refusal.h"

static void print_line(void *context, const char *text)
{
    fprintf(context, "%s\n", text);
}

static void print_parameters(const struct weir_parameters *parameters)
{
    for (size_t i = 0; i < parameters->count; i++)
        printf("parameter %s = %s (%s%s)\n", parameters->declared[i].name,
               parameters->values[i].text, parameters_type(&parameters->declared[i]),
               parameters->values[i].source == PARAMETERS_DEFAULT ? ", default" : "");
}

/* One member, as it stands between the braces of an object of its own. */
static void print_member(const char *name, const char *value)
{
    struct json json;

    json_begin(&json);
    json_text(&json, name, value);
    json_end(&json);
    printf("%.*s", (int)json.used - 3, json.text + 1);
}

static void print_json(const char *program, const struct weir_parameters *parameters,
                       const char *plan, const char *restore)
{
    printf("{\"weir\": 1, ");
    print_member("program", program);
    printf(", \"parameters\": {");
    for (size_t i = 0; i < parameters->count; i++) {
        printf("%s", i > 0 ? ", " : "");
        print_member(parameters->declared[i].name, parameters->values[i].text);
    }
    printf("}, \"plan\":\n%s", plan);
    if (restore[0] != '\0')
        printf(", \"restore\":\n%s", restore);
    printf("}\n");
}

/* The plan, and how a checkpoint is laid onto the graph. Freed by whoever has them. */
struct texts {
    char *plan, *restore;
};

/* Lines that a call tells, as one text. */
struct sheet {
    FILE *out;
    char *text;
    size_t size;
};

static bool open_sheet(struct sheet *sheet)
{
    sheet->out = open_memstream(&sheet->text, &sheet->size);
    return sheet->out != NULL;
}

static enum weir_result close_sheet(struct sheet *sheet, char **text, enum weir_result result,
                                    struct weir_error *error)
{
    bool whole = fclose(sheet->out) == 0;

    *text = sheet->text;
    return whole ? result : refuse(error, "out of memory: the plan");
}

static enum weir_result tell_plan(struct weir_graph *graph, const struct options *options,
                                  char **text, struct weir_error *error)
{
    enum weir_plan_format format = options->dot    ? WEIR_PLAN_DOT
                                   : options->json ? WEIR_PLAN_JSON
                                                   : WEIR_PLAN_TEXT;
    struct sheet sheet;

    if (!open_sheet(&sheet))
        return refuse(error, "out of memory: the plan");
    enum weir_result result =
        weir_graph_plan(graph, options->job.parallelism, format, print_line, sheet.out, error);
    return close_sheet(&sheet, text, result, error);
}

static enum weir_result tell_restore(struct weir_graph *graph, const struct options *options,
                                     char **text, struct weir_error *error)
{
    struct sheet sheet;

    if (!open_sheet(&sheet))
        return refuse(error, "out of memory: the plan");
    enum weir_result result = weir_graph_restore_plan(
        graph, &options->job, options->json ? WEIR_PLAN_JSON : WEIR_PLAN_TEXT, print_line,
        sheet.out, error);
    return close_sheet(&sheet, text, result, error);
}

static void print_texts(const char *program, const struct options *options,
                        const struct texts *texts)
{
    const char *restore = texts->restore == NULL ? "" : texts->restore;

    if (options->json) {
        print_json(program, &options->parameters, texts->plan, restore);
        return;
    }
    printf("%s", texts->plan);
    if (!options->dot)
        print_parameters(&options->parameters);
    printf("%s", restore);
}

/* All is found out before anything is printed: it may be refused. A checkpoint that does not fit is
 * no reason to print nothing. */
enum weir_result show_plan(const char *program, struct weir_graph *graph,
                           const struct options *options, struct weir_error *error)
{
    struct texts texts = {NULL, NULL};
    enum weir_result result = tell_plan(graph, options, &texts.plan, error);

    if (result == WEIR_OK && options->maps && !options->dot)
        result = tell_restore(graph, options, &texts.restore, error);
    if (result == WEIR_OK || (result == WEIR_MISMATCH && texts.restore != NULL)) {
        print_texts(program, options, &texts);
        if (fflush(stdout) != 0) {
            result = refuse(error, "standard output: %s", strerror(errno));
            error->code = WEIR_FAILED;
        }
    }
    free(texts.plan);
    free(texts.restore);
    return result;
}
