/* SPDX-License-Identifier: Apache-2.0
 *
 * exit_code: what a run came to, as the number a shell or a supervisor acts on. Pure.
 *
 *   code            meaning                          what helps
 *   EXIT_ENDED      0  input ended, output published   nothing to do
 *   EXIT_USAGE      2  command line or graph is wrong  change the command
 *   EXIT_STORE      3  store locked, damaged, unusable look at the store, then start again
 *   EXIT_MISMATCH   4  checkpoint of another graph     the old program, or another store
 *   EXIT_FAILED     5  failed too often in a row       start again: goes on from the checkpoint
 *   EXIT_STOPPED    6  stopped on request              start again: goes on where it stopped
 *   EXIT_HUNG       7  of a supervised process alone:  its supervisor starts it again
 *                      something in it hung
 *
 * An error that names a node came from that node's operator; one that doesn't, from the job or its
 * store. That is how WEIR_IO of an input file and WEIR_IO of the store are told apart.
 */
#ifndef EXIT_CODE_H
#define EXIT_CODE_H

#include "weir.h"

enum exit_code {
    EXIT_ENDED = 0,
    EXIT_USAGE = 2,
    EXIT_STORE = 3,
    EXIT_MISMATCH = 4,
    EXIT_FAILED = 5,
    EXIT_STOPPED = 6,
    EXIT_HUNG = 7,
};

/* weir_job_start was refused. */
int exit_code_of_start(const struct weir_error *error);
/* weir_job_wait has answered. `error` is read when the outcome is WEIR_OUTCOME_FAILED. */
int exit_code_of_outcome(enum weir_outcome outcome, const struct weir_error *error);

#endif
