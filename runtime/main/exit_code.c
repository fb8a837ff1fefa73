/* SPDX-License-Identifier: Apache-2.0 */
#include "exit_code.h"

static int of_error(const struct weir_error *error)
{
    switch (error->code) {
    case WEIR_MISMATCH:
        return EXIT_MISMATCH;
    case WEIR_LOCKED: /* these four are about the store, whichever node's part showed them */
    case WEIR_DAMAGED:
    case WEIR_UNSUPPORTED:
    case WEIR_UNKNOWN:
        return EXIT_STORE;
    case WEIR_IO:
    case WEIR_NOT_FOUND:
    case WEIR_REFUSED:
    case WEIR_TOO_LARGE:
        return error->node[0] == '\0' ? EXIT_STORE : EXIT_FAILED;
    case WEIR_STOPPED:
        return EXIT_STOPPED;
    default:
        return EXIT_FAILED;
    }
}

int exit_code_of_start(const struct weir_error *error)
{
    return error->code == WEIR_INVALID ? EXIT_USAGE : of_error(error);
}

int exit_code_of_outcome(enum weir_outcome outcome, const struct weir_error *error)
{
    switch (outcome) {
    case WEIR_OUTCOME_ENDED:
    case WEIR_OUTCOME_ALREADY_ENDED:
        return EXIT_ENDED;
    case WEIR_OUTCOME_STOPPED:
        return EXIT_STOPPED;
    case WEIR_OUTCOME_UNKNOWN:
        return EXIT_STORE;
    case WEIR_OUTCOME_FAILED:
        return of_error(error);
    case WEIR_OUTCOME_RUNNING:
        break;
    }
    return EXIT_FAILED;
}
