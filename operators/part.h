/* SPDX-License-Identifier: Apache-2.0
 *
 * part: the names of a sink's files, and the step from one to the other. Fixed width, so that
 * the order of names is the order of numbers, and so that a name parses one way or not at all:
 *
 *   .staged-<id, 32 hex>-<epoch, 10 digits>-<subtask, 5 digits>-<number, 20 digits>
 *   part-<subtask, 5 digits>-<number, 20 digits>
 *
 * The id (of the store, or of the run when there is none) keeps the files of two histories apart,
 * the epoch those of two runs. A subtask's numbers grow by one with every part.
 */
#ifndef PART_H
#define PART_H

#include "weir.h"

#define PART_ID_SIZE 33 /* 32 hex digits and the zero byte */
#define PART_NAME_ROOM 128

struct part {
    char id[PART_ID_SIZE];
    uint32_t epoch;
    uint32_t subtask;
    uint64_t number;
};

void part_staged_name(const struct part *part, char name[PART_NAME_ROOM]);
/* What the staged names of an id begin with; only its first 32 bytes are looked at. */
void part_staged_prefix(const char *id, char prefix[PART_NAME_ROOM]);
void part_final_name(const struct part *part, char name[PART_NAME_ROOM]);
/* False when the name is none of this kind; then *part is undefined. */
bool part_of_staged(const char *name, struct part *part);
/* Leaves id and epoch empty: a visible name does not say. */
bool part_of_final(const char *name, struct part *part);

/* Gives the staged file its visible name and replaces nothing. Idempotent. The folder is synced by
 * the caller: only then it is durable. */
enum weir_result part_publish(struct weir_context *context, const char *from, const char *to);

#endif
