/* SPDX-License-Identifier: Apache-2.0 */
#include "parameters.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "duration.h"
#include "digits.h"
#include "refusal.h"

enum { WHAT_ROOM = 160 }; /* "--set name=value:", for messages */

/* ------------------------------------------------------------------------------- the types -- */

static const struct type {
    const char *name; /* in the help */
    const char *is;   /* what a right value is; NULL: the refusal says it itself */
} types[] = {
    [WEIR_TEXT] = {"text", "a text"},
    [WEIR_COUNT] = {"count", "a whole number of at least 0, such as 1000"},
    [WEIR_CHOICE] = {"choice", "one of the words it declares"},
    [WEIR_WHOLE] = {"whole number", "a whole number, such as -10"},
    [WEIR_REAL] = {"number", "a decimal number, such as 0.25 or 1e6"},
    [WEIR_FLAG] = {"yes|no", "yes or no"},
    [WEIR_DURATION] = {"duration", "a length of time, such as 250ms, 10s or 5min"},
    [WEIR_BYTES] = {"bytes", "an amount of bytes, such as 4096B, 64KiB or 10GB"},
};
enum { TYPE_COUNT = sizeof types / sizeof types[0] };

const char *parameters_type(const struct weir_parameter *declared)
{
    return declared->type == WEIR_CHOICE ? declared->choices : types[declared->type].name;
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

static bool take_whole(const char *text, int64_t *whole)
{
    bool negative = *text == '-';
    uint64_t size;
    const char *rest = digits_take(text + negative, &size);

    if (rest == NULL || *rest != '\0' || size > (uint64_t)INT64_MAX + negative)
        return false;
    *whole = negative ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}

/* Of any program's locale the point is a point. strtod alone would take "inf", "nan", "0x1p3" and
 * leading blanks as well. */
static bool take_real(const char *text, double *real)
{
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char *rest = NULL;

    if (plain == (locale_t)0)
        return false;
    *real = strtod_l(text, &rest, plain);
    freelocale(plain);
    return *text != '\0' && strspn(text, "0123456789.eE+-") == strlen(text) && *rest == '\0' &&
           isfinite(*real);
}

static bool take_flag(const char *text, uint64_t *flag)
{
    *flag = strcmp(text, "yes") == 0;
    return *flag != 0 || strcmp(text, "no") == 0;
}

/* Units have more than one way to be wrong, so those two types refuse for themselves: *error is
 * filled then. */
static bool take(const struct weir_parameter *declared, struct parameter_value *value,
                 const char *what, struct weir_error *error)
{
    const char *text = value->text;
    const char *rest;

    switch (declared->type) {
    case WEIR_TEXT:
        return true;
    case WEIR_CHOICE:
        return is_choice(declared->choices, text);
    case WEIR_COUNT:
        rest = digits_take(text, &value->count);
        return rest != NULL && *rest == '\0';
    case WEIR_WHOLE:
        return take_whole(text, &value->whole);
    case WEIR_REAL:
        return take_real(text, &value->real);
    case WEIR_FLAG:
        return take_flag(text, &value->count);
    case WEIR_DURATION:
        return duration_parse(what, text, true, &value->whole, error) == WEIR_OK;
    case WEIR_BYTES:
        return bytes_parse(what, text, &value->count, error) == WEIR_OK;
    }
    return false;
}

/* `what` opens the message. */
static enum weir_result check(const struct weir_parameter *declared, struct parameter_value *value,
                              const char *what, struct weir_error *error)
{
    struct weir_error unit = {0};

    if (take(declared, value, what, &unit))
        return WEIR_OK;
    if (unit.code != WEIR_OK) {
        *error = unit;
        return unit.code;
    }
    if (declared->type == WEIR_CHOICE)
        return refuse(error, "%s \"%s\" is none of %s", what, value->text, declared->choices);
    return refuse(error, "%s \"%s\" is not %s", what, value->text, types[declared->type].is);
}

/* ------------------------------------------------------------------------------ the setting -- */

/* The index, or count when it is not declared. `size` because "name=value" has no zero in it. */
static size_t find(const struct weir_parameters *parameters, const char *name, size_t size)
{
    size_t i = 0;

    while (i < parameters->count && (strncmp(parameters->declared[i].name, name, size) != 0 ||
                                     parameters->declared[i].name[size] != '\0'))
        i++;
    return i;
}

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

static enum weir_result declare(struct weir_parameters *parameters,
                                const struct weir_parameter *declared, struct weir_error *error)
{
    struct parameter_value *value = &parameters->values[parameters->count];
    char what[WHAT_ROOM];

    if (parameters->count == PARAMETERS_LIMIT)
        return refuse(error, "the program declares more than %d parameters", PARAMETERS_LIMIT);
    if ((unsigned)declared->type >= TYPE_COUNT ||
        (declared->type == WEIR_CHOICE && declared->choices == NULL))
        return refuse(error,
                      "the program declares parameter %s with a type that does not exist, "
                      "or without its choices",
                      declared->name);
    if (strspn(declared->name, NAME_LETTERS) != strlen(declared->name) || declared->name[0] == '\0')
        return refuse(error,
                      "the program declares a parameter \"%s\": names are of letters, digits, "
                      "and _ . -",
                      declared->name);
    if (find(parameters, declared->name, strlen(declared->name)) < parameters->count)
        return refuse(error, "the program declares parameter %s twice", declared->name);
    parameters->count++;
    value->text = declared->standard;
    if (value->text == NULL)
        return WEIR_OK;
    snprintf(what, sizeof what, "the program's default of %s:", declared->name);
    return check(declared, value, what, error);
}

enum weir_result parameters_begin(struct weir_parameters *parameters,
                                  const struct weir_parameter *declared, struct weir_error *error)
{
    enum weir_result result = WEIR_OK;

    memset(parameters, 0, sizeof *parameters);
    parameters->declared = declared;
    for (size_t i = 0; result == WEIR_OK && declared != NULL && declared[i].name != NULL; i++)
        result = declare(parameters, &declared[i], error);
    return result;
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

enum weir_result parameters_set(struct weir_parameters *parameters, enum parameters_source source,
                                const char *name, size_t size, const char *text,
                                struct weir_error *error)
{
    size_t index = find(parameters, name, size);
    char own[80], what[WHAT_ROOM];

    snprintf(own, sizeof own, "%.*s", (int)(size < sizeof own ? size : sizeof own), name);
    if (index == parameters->count)
        return refuse_unknown(parameters, own, error);
    if (text == NULL)
        return refuse(error, "--set %s has no value: say --set %s=VALUE", own, own);

    const struct weir_parameter *declared = &parameters->declared[index];
    struct parameter_value *value = &parameters->values[index];
    if (value->source == source)
        return refuse(error, "--set %s is given twice", own);
    value->source = source;
    value->text = text;
    snprintf(what, sizeof what, "--set %s:", own);
    enum weir_result result = check(declared, value, what, error);
    /* An empty value of something required is a shell variable that was not set. */
    if (result == WEIR_OK && declared->standard == NULL && *text == '\0')
        return refuse(error, "%s the value is empty", what);
    return result;
}

enum weir_result parameters_end(const struct weir_parameters *parameters, struct weir_error *error)
{
    char missing[400] = "";
    size_t used = 0;

    for (size_t i = 0; i < parameters->count; i++) {
        const struct weir_parameter *declared = &parameters->declared[i];
        if (parameters->values[i].text != NULL || used >= sizeof missing)
            continue;
        int more = snprintf(missing + used, sizeof missing - used, "%s--set %s=... (%s)",
                            used > 0 ? " and " : "", declared->name,
                            declared->help != NULL ? declared->help : "required");
        used += more > 0 ? (size_t)more : 0;
    }
    return used == 0 ? WEIR_OK : refuse(error, "missing: %s", missing);
}

/* --------------------------------------------------------------------------------- the help -- */

static const char *standard_text(const struct weir_parameter *declared)
{
    if (declared->standard == NULL)
        return "required";
    return *declared->standard != '\0' ? declared->standard : "\"\"";
}

static void widen(int *width, const char *text)
{
    int size = (int)strlen(text);

    if (size > *width && size <= 30) /* a longer one only shifts its own line */
        *width = size;
}

void parameters_print(const struct weir_parameter *declared, FILE *out)
{
    int name = (int)strlen("NAME"), type = (int)strlen("TYPE"), standard = (int)strlen("DEFAULT");

    for (const struct weir_parameter *p = declared; p != NULL && p->name != NULL; p++) {
        widen(&name, p->name);
        widen(&type, parameters_type(p));
        widen(&standard, standard_text(p));
    }
    fprintf(out, "  %-*s  %-*s  DEFAULT\n", name, "NAME", type, "TYPE");
    for (const struct weir_parameter *p = declared; p != NULL && p->name != NULL; p++)
        fprintf(out, "  %-*s  %-*s  %-*s  %s\n", name, p->name, type, parameters_type(p), standard,
                standard_text(p), p->help != NULL ? p->help : "");
}

/* ------------------------------------------------------------------------- for the program -- */

/* NULL unless it was declared as one of two types. */
static const struct parameter_value *value(const struct weir_parameters *parameters,
                                           const char *name, enum weir_parameter_type type,
                                           enum weir_parameter_type or_type)
{
    size_t index = find(parameters, name, strlen(name));

    if (index == parameters->count || parameters->values[index].text == NULL ||
        (parameters->declared[index].type != type && parameters->declared[index].type != or_type))
        return NULL;
    return &parameters->values[index];
}

const char *weir_parameter_text(const struct weir_parameters *parameters, const char *name)
{
    const struct parameter_value *found = value(parameters, name, WEIR_TEXT, WEIR_CHOICE);

    return found != NULL ? found->text : "";
}

uint64_t weir_parameter_count(const struct weir_parameters *parameters, const char *name)
{
    const struct parameter_value *found = value(parameters, name, WEIR_COUNT, WEIR_COUNT);

    return found != NULL ? found->count : 0;
}

int64_t weir_parameter_whole(const struct weir_parameters *parameters, const char *name)
{
    const struct parameter_value *found = value(parameters, name, WEIR_WHOLE, WEIR_WHOLE);

    return found != NULL ? found->whole : 0;
}

double weir_parameter_real(const struct weir_parameters *parameters, const char *name)
{
    const struct parameter_value *found = value(parameters, name, WEIR_REAL, WEIR_REAL);

    return found != NULL ? found->real : 0;
}

bool weir_parameter_flag(const struct weir_parameters *parameters, const char *name)
{
    const struct parameter_value *found = value(parameters, name, WEIR_FLAG, WEIR_FLAG);

    return found != NULL && found->count != 0;
}

int64_t weir_parameter_duration(const struct weir_parameters *parameters, const char *name)
{
    const struct parameter_value *found = value(parameters, name, WEIR_DURATION, WEIR_DURATION);

    return found != NULL ? found->whole : 0;
}

uint64_t weir_parameter_bytes(const struct weir_parameters *parameters, const char *name)
{
    const struct parameter_value *found = value(parameters, name, WEIR_BYTES, WEIR_BYTES);

    return found != NULL ? found->count : 0;
}
