/* SPDX-License-Identifier: Apache-2.0 */
#include "parameters.h"

#include <string.h>

#include "number.h"
#include "refusal.h"

enum { NAME_ROOM = 80 }; /* "--set " and a name, for messages */

enum weir_result parameters_begin(struct weir_parameters *parameters,
                                  const struct weir_parameter *declared, struct weir_error *error)
{
    memset(parameters, 0, sizeof *parameters);
    parameters->declared = declared;
    while (declared != NULL && declared[parameters->count].name != NULL)
        if (++parameters->count > PARAMETERS_LIMIT)
            return refuse(error, "the program declares more than %d parameters", PARAMETERS_LIMIT);
    return WEIR_OK;
}

/* The index, or count when it is not declared. `size` because "name=value" has no zero in it. */
static size_t find(const struct weir_parameters *parameters, const char *name, size_t size)
{
    size_t i = 0;

    while (i < parameters->count && (strncmp(parameters->declared[i].name, name, size) != 0 ||
                                     parameters->declared[i].name[size] != '\0'))
        i++;
    return i;
}

static enum weir_result refuse_unknown(const struct weir_parameters *parameters, const char *name,
                                       struct weir_error *error)
{
    struct nearest nearest = nearest_to(name);

    if (parameters->count == 0)
        return refuse(error, "--set %s: this program has no parameters", name);
    for (size_t i = 0; i < parameters->count; i++)
        nearest_offer(&nearest, parameters->declared[i].name);
    if (nearest.best != NULL)
        return refuse(error, "--set %s: unknown parameter; did you mean \"%s\"?", name,
                      nearest.best);
    return refuse(error, "--set %s: unknown parameter; --help lists them", name);
}

/* Is `text` one of the words between the bars of "final|updates"? */
static bool is_choice(const char *choices, const char *text)
{
    size_t size = strlen(text);

    while (choices != NULL && size > 0) {
        if (strncmp(choices, text, size) == 0 && (choices[size] == '|' || choices[size] == '\0'))
            return strchr(text, '|') == NULL;
        choices = strchr(choices, '|');
        if (choices != NULL)
            choices++;
    }
    return false;
}

static enum weir_result check(const struct weir_parameter *declared, const char *text,
                              struct weir_error *error)
{
    char what[NAME_ROOM];
    uint64_t number;

    snprintf(what, sizeof what, "--set %s:", declared->name);
    if (declared->type == WEIR_COUNT)
        return number_parse(what, text, 0, UINT64_MAX, &number, error);
    if (declared->type == WEIR_CHOICE && !is_choice(declared->choices, text))
        return refuse(error, "%s \"%s\" is none of %s", what, text, declared->choices);
    /* An empty value of something required is a shell variable that was not set. */
    if (declared->standard == NULL && *text == '\0')
        return refuse(error, "%s the value is empty", what);
    return WEIR_OK;
}

enum weir_result parameters_set(struct weir_parameters *parameters, const char *assignment,
                                struct weir_error *error)
{
    const char *equals = strchr(assignment, '=');
    size_t size = equals != NULL ? (size_t)(equals - assignment) : strlen(assignment);
    size_t index = find(parameters, assignment, size);
    char name[NAME_ROOM];

    snprintf(name, sizeof name, "%.*s", (int)(size < sizeof name ? size : sizeof name), assignment);
    if (index == parameters->count)
        return refuse_unknown(parameters, name, error);
    if (equals == NULL)
        return refuse(error, "--set %s has no value: say --set %s=VALUE", name, name);
    if (parameters->text[index] != NULL)
        return refuse(error, "--set %s is given twice", name);
    parameters->text[index] = equals + 1;
    return check(&parameters->declared[index], equals + 1, error);
}

enum weir_result parameters_end(struct weir_parameters *parameters, struct weir_error *error)
{
    char missing[400] = "";
    size_t used = 0;

    for (size_t i = 0; i < parameters->count; i++) {
        const struct weir_parameter *declared = &parameters->declared[i];
        if (parameters->text[i] != NULL)
            continue;
        parameters->text[i] = declared->standard;
        if (declared->standard != NULL || used >= sizeof missing)
            continue;
        int more = snprintf(missing + used, sizeof missing - used, "%s--set %s=... (%s)",
                            used > 0 ? " and " : "", declared->name,
                            declared->help != NULL ? declared->help : "required");
        used += more > 0 ? (size_t)more : 0;
    }
    return used == 0 ? WEIR_OK : refuse(error, "missing: %s", missing);
}

static void print_kind(const struct weir_parameter *declared, FILE *out)
{
    if (declared->type == WEIR_CHOICE)
        fprintf(out, " (%s)", declared->choices);
    if (declared->standard == NULL)
        fprintf(out, " (required)");
    else if (*declared->standard != '\0')
        fprintf(out, " (default %s)", declared->standard);
}

void parameters_print(const struct weir_parameter *declared, FILE *out)
{
    for (; declared != NULL && declared->name != NULL; declared++) {
        fprintf(out, "  %-22s %s", declared->name, declared->help != NULL ? declared->help : "");
        print_kind(declared, out);
        fputc('\n', out);
    }
}

static const char *value(const struct weir_parameters *parameters, const char *name)
{
    size_t index = find(parameters, name, strlen(name));

    return index < parameters->count ? parameters->text[index] : NULL;
}

const char *weir_parameter_text(const struct weir_parameters *parameters, const char *name)
{
    const char *text = value(parameters, name);

    return text != NULL ? text : "";
}

uint64_t weir_parameter_count(const struct weir_parameters *parameters, const char *name)
{
    const char *text = value(parameters, name);
    uint64_t number = 0;

    return text != NULL && number_take(text, &number) != NULL ? number : 0;
}
