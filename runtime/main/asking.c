/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs that ask a running program, of a program: the words become a question.
 */
#include <stdlib.h>

#include "answer.h"
#include "control.h"
#include "exit_code.h"

static struct ask question_of(const struct options *options)
{
    struct ask ask = {.store = options->job.store};

    switch (options->verb) {
    case OPTIONS_CHECKPOINT:
        ask.what = ASK_CHECKPOINT;
        break;
    case OPTIONS_SAVEPOINT:
        ask.what = ASK_SAVEPOINT;
        ask.savepoint = options->to;
        break;
    case OPTIONS_STOP:
        ask.what = ASK_STOP;
        ask.mode = options->now ? ASK_NOW : options->drain ? ASK_DRAIN : ASK_SUSPEND;
        ask.savepoint = options->savepoint;
        break;
    case OPTIONS_DUMP:
        ask.what = ASK_DUMP;
        break;
    default: /* OPTIONS_STATUS */
        ask.what = ASK_STATUS;
        break;
    }
    return ask;
}

/* Prints it; the exit code. */
static int take_answer(const char *program, const struct ask *ask, bool json, const char *text)
{
    const char *refusal;
    json_t *answer = answer_read(text, &refusal);

    if (json)
        puts(text);
    else if (refusal != NULL)
        fprintf(stderr, "%s: %s\n", program, refusal);
    else
        answer_print(stdout, ask->what, answer);
    json_decref(answer);
    return refusal == NULL ? EXIT_ENDED : EXIT_FAILED;
}

int control_ask(const char *program, const struct options *options)
{
    struct ask ask = question_of(options);
    struct weir_error error = {0};
    char *answer;

    if (ask_program(&ask, &answer, &error) != WEIR_OK) {
        fprintf(stderr, "%s: %s\n", program, error.text);
        return error.code == WEIR_INVALID ? EXIT_USAGE : EXIT_STORE;
    }
    int code = take_answer(program, &ask, options->json, answer);
    free(answer);
    return code;
}
