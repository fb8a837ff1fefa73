/* SPDX-License-Identifier: Apache-2.0
 *
 * name: what files of a store are called. Numbers of fixed width and nothing else, so that no text
 * from outside ever becomes a path, and a listing sorts in the order of writing:
 *
 *   LOCK   data/<epoch, 10 digits>-<n, 20 digits>.seg   checkpoints/<id, 20 digits>/MANIFEST.json
 *
 * But for nodes/<node>/, named as the node is (one file name by the rule of names), where operators
 * keep what they like; weir makes such a folder and never looks into it.
 *
 * Numbers are below 2^63 (what a manifest can hold), epochs below 2^32. Anything else is not ours:
 * ignored and reported.
 */
#ifndef NAME_H
#define NAME_H

#include <stdbool.h>
#include <stdint.h>

#define NAME_LOCK "LOCK"
#define NAME_DATA "data"
#define NAME_CHECKPOINTS "checkpoints"
#define NAME_NODES "nodes"     /* folders of operators: weir_store_folder */
#define NAME_SCRATCH "scratch" /* what waits on feedback edges; empty when no job runs */
#define NAME_MANIFEST "MANIFEST.json"
#define NAME_MANIFEST_NEW "MANIFEST.json.tmp" /* counts for nothing until it is renamed */
#define NAME_PROBE "PROBE.tmp"
#define NAME_FAILED "FAILED"       /* why rounds came to nothing; for people */
#define NAME_SAVEPOINT "SAVEPOINT" /* for people; a directory that has it is never changed */

#define NAME_ID_SIZE 21      /* bytes with the zero */
#define NAME_SEGMENT_SIZE 36 /* bytes with the zero */
#define NAME_NUMBER_LIMIT ((uint64_t)INT64_MAX)

void name_of_id(uint64_t id, char name[NAME_ID_SIZE]);
void name_of_segment(uint32_t epoch, uint64_t number, char name[NAME_SEGMENT_SIZE]);
/* False when the name is not exactly one that the functions above write. */
bool name_is_id(const char *name, uint64_t *id);
bool name_is_segment(const char *name, uint32_t *epoch, uint64_t *number);

#endif
