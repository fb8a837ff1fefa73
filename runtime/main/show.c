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
                       const char *plan)
{
    printf("{\"weir\": 1, ");
    print_member("program", program);
    printf(", \"parameters\": {");
    for (size_t i = 0; i < parameters->count; i++) {
        printf("%s", i > 0 ? ", " : "");
        print_member(parameters->declared[i].name, parameters->values[i].text);
    }
    printf("}, \"plan\":\n%s}\n", plan);
}

/* The plan is laid out before anything is printed: it may be refused. */
enum weir_result show_plan(const char *program, struct weir_graph *graph,
                           const struct options *options, struct weir_error *error)
{
    enum weir_plan_format format = options->dot    ? WEIR_PLAN_DOT
                                   : options->json ? WEIR_PLAN_JSON
                                                   : WEIR_PLAN_TEXT;
    char *plan = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&plan, &size);

    if (out == NULL)
        return refuse(error, "out of memory: the plan");
    enum weir_result result =
        weir_graph_plan(graph, options->job.parallelism, format, print_line, out, error);
    if (fclose(out) != 0 && result == WEIR_OK)
        result = refuse(error, "out of memory: the plan");
    if (result == WEIR_OK && options->json) {
        print_json(program, &options->parameters, plan);
    } else if (result == WEIR_OK) {
        printf("%s", plan);
        if (!options->dot)
            print_parameters(&options->parameters);
    }
    free(plan);
    if (result == WEIR_OK && options->maps && !options->dot && !options->json)
        result = weir_graph_restore_plan(graph, &options->job, print_line, stdout, error);
    if (result == WEIR_OK && fflush(stdout) != 0) {
        result = refuse(error, "standard output: %s", strerror(errno));
        error->code = WEIR_FAILED;
    }
    return result;
}
