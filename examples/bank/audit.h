/* SPDX-License-Identifier: Apache-2.0
 *
 * audit: does every checkpoint in a store hold all the money? Reads through weir_checkpoint.h
 * alone, and needs no job: beside one that runs, or when all is over.
 */
#ifndef AUDIT_H
#define AUDIT_H

/* Prints a line for each checkpoint, oldest first, and what they came to. 0: all are balanced. */
int audit(const char *path);

#endif
