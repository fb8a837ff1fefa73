/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control_store.h"
#include "endpoint.h"

#define SECOND_NS ((int64_t)1000 * 1000 * 1000)
#define PATIENCE_NS (10 * SECOND_NS)
#define CHECKPOINT_MS 600000 /* how long one may take, and its copy; mostly it ends sooner */

static enum weir_result refuse(struct weir_error *error, enum weir_result code, const char *format,
                               ...) WEIR_PRINTF(3, 4);
static enum weir_result refuse(struct weir_error *error, enum weir_result code, const char *format,
                               ...)
{
    va_list arguments;

    *error = (struct weir_error){.code = code};
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return code;
}

/* The program that is asked has another working directory. Out of memory, or where there is no
 * directory: NULL, error filled. */
static json_t *absolute(const char *path, struct weir_error *error)
{
    char *here = path[0] == '/' ? strdup("") : getcwd(NULL, 0);
    json_t *text = NULL;

    if (here == NULL || (path[0] != '/' && here[0] != '/'))
        refuse(error, WEIR_INVALID,
               "%s: there is no directory that it is relative to: say a path from / on", path);
    else if ((text = json_sprintf("%s%s%s", here, path[0] == '/' ? "" : "/", path)) == NULL)
        refuse(error, WEIR_INVALID, "%s%s%s: the path is no UTF-8, and could not be asked for",
               here, path[0] == '/' ? "" : "/", path);
    free(here);
    return text;
}

static bool is_patient(const struct ask *ask)
{
    return ask->what == ASK_CHECKPOINT || ask->savepoint != NULL;
}

/* From malloc; NULL: error filled. */
static char *write_request(const struct ask *ask, struct weir_error *error)
{
    static const char *const asks[] = {[ASK_STATUS] = "status",
                                       [ASK_CHECKPOINT] = "checkpoint",
                                       [ASK_SAVEPOINT] = "savepoint",
                                       [ASK_STOP] = "stop",
                                       [ASK_DUMP] = "dump"};
    static const char *const modes[] = {
        [ASK_SUSPEND] = "suspend", [ASK_DRAIN] = "drain", [ASK_NOW] = "now"};
    json_t *path = ask->savepoint != NULL ? absolute(ask->savepoint, error) : NULL;

    if (ask->savepoint != NULL && path == NULL)
        return NULL;
    json_t *request = json_pack("{s:i, s:s}", "weir", 1, "ask", asks[ask->what]);
    if (ask->what == ASK_STOP)
        json_object_set_new(request, "mode", json_string(modes[ask->mode]));
    if (path != NULL)
        json_object_set_new(request, ask->what == ASK_STOP ? "savepoint" : "path", path);
    if (is_patient(ask))
        json_object_set_new(request, "timeout_ms", json_integer(CHECKPOINT_MS));
    char *printed = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (printed == NULL)
        refuse(error, WEIR_NO_MEMORY, "out of memory for a question");
    return printed;
}

static enum weir_result find_program(const struct ask *ask, char path[CONTROL_PATH_ROOM],
                                     struct weir_error *error)
{
    struct weir_error why = {0};
    struct control_store store;
    enum weir_result result = control_store_of(ask->store, &store, &why);

    if (result != WEIR_OK)
        return refuse(error, result == WEIR_INVALID ? WEIR_DAMAGED : result,
                      "no program to be asked: %.600s", why.text);
    result = control_socket_find(store.name, ask->store, path, error);
    if (result == WEIR_NOT_FOUND)
        refuse(error, result,
               "no program runs on %s that could be asked: start it with `run --store %s`, "
               "without --no-control and as the same user",
               ask->store, ask->store);
    return result;
}

enum weir_result ask_program(const struct ask *ask, char **answer, struct weir_error *error)
{
    char path[CONTROL_PATH_ROOM];
    char *request = write_request(ask, error);
    int64_t patience_ns = PATIENCE_NS + (is_patient(ask) ? CHECKPOINT_MS * (SECOND_NS / 1000) : 0);

    *answer = NULL;
    if (request == NULL)
        return error->code;
    enum weir_result result = find_program(ask, path, error);
    if (result == WEIR_OK)
        result = endpoint_ask(path, request, patience_ns, answer, error);
    free(request);
    return result;
}
