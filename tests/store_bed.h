/* SPDX-License-Identifier: Apache-2.0
 *
 * store_bed: what tests of the store share: a folder for each test, with a store of the small job
 * (checkpoint_sample.h) in it. Functions that answer nothing expect success.
 */
#ifndef STORE_BED_H
#define STORE_BED_H

#include "checkpoint_sample.h"

struct store_bed {
    struct scratch scratch;
    char path[256];  /* of the store */
    char saved[256]; /* of a savepoint: bed_save_to */
    int warnings;    /* that the store has given */
};
extern struct store_bed bed;

/* Of a test suite. */
void store_bed_open(void);
void store_bed_close(void);

enum weir_result bed_try_open(struct store **store, struct weir_error *error);
/* Opens and closes; the result. */
enum weir_result bed_open_once(struct weir_error *error);
const char *bed_folder_of(uint64_t id);
const char *bed_manifest_of(uint64_t id);
const char *bed_segment_of(uint32_t epoch, uint64_t number);
unsigned bed_count_files(const char *folder);
/* The newest checkpoint has this id, and everything of it reads back. */
void bed_expect_newest(struct store *store, uint64_t id);
void bed_make_with(uint64_t checkpoints);
void bed_claim(struct store *store, uint64_t id);
void bed_sync_round(struct store *store, uint64_t id);
void bed_commit(struct store *store, struct manifest *manifest);
/* Every container that a checkpoint names is there, and no other is. */
void bed_expect_no_leftovers(struct store *store);
void bed_hold(struct store *store, uint64_t number);
void bed_let_go_of(struct store *store, uint32_t epoch, uint64_t number);
/* Writes and syncs round `id`, which has the log of `older` (may be NULL) and what it adds. */
void bed_write_sharing(struct store *store, uint64_t id, const struct manifest *older,
                       struct manifest *manifest);
void bed_commit_sharing(struct store *store, uint64_t id, const struct manifest *older,
                        struct manifest *manifest);
void bed_let_go(struct store *store, uint64_t number);
enum weir_result bed_save(uint64_t id, const char *where, struct weir_error *error);
/* Saves checkpoint `id` of the store to `saved`. */
void bed_save_to(uint64_t id);
/* Removes the store; what was saved of it stays. */
void bed_lose_store(void);

#endif
