/* SPDX-License-Identifier: Apache-2.0
 *
 * stage: the first of a sink's two phases. What a subtask writes between two cuts goes into one
 * hidden file; at the cut that becomes durable and gets a number, by which the second phase, a
 * restart and the cleaning up know it. Invariants:
 *
 *   S1  A subtask's numbers grow by one with each sealed file, over all its runs: the next one is
 *       in every checkpoint.
 *   S2  A sealed file is complete and durable, its name too, and never written to again.
 *   S3  What a run before this one staged and this run's checkpoint does not name may still be
 *       named by another: a newer one, when this run was told to restore an older, or none. A
 *       staged name bears its run's epoch, so it is in nobody's way.
 *   S4  So it is removed only after a checkpoint of a later run has published something: once a
 *       handle of epoch e was committed, all handles before it were, and what is staged of epochs
 *       before e is in none. A start that is given up leaves everything to the right one.
 *
 * A checkpoint holds UNION items, struct stage_number: the next number of each subtask. UNION,
 * because with another parallelism each subtask must find the one that was its own; those that are
 * nobody's any more are kept by subtask number modulo the parallelism.
 */
#ifndef STAGE_H
#define STAGE_H

#include "agreement.h"
#include "block.h"
#include "part.h"
#include "path.h"
#include "weir.h"

struct stage_number {
    uint64_t next;
    uint32_t subtask;
    uint32_t zero;
};
_Static_assert(sizeof(struct stage_number) == 16, "saved in checkpoints");

struct stage {
    const char *folder;     /* borrowed */
    char id[PART_ID_SIZE];  /* the store's; of the run when there is none */
    struct agreement *ids;  /* left at close; NULL with a store */
    uint32_t settled;       /* S4 is done up to this epoch */
    struct block numbers;   /* of struct stage_number; the first is this subtask's own */
    struct weir_file *file; /* staged and open; NULL: nothing written since the last seal */
    char staged[PATH_ROOM]; /* its path */
};

/* Looks at no file. `folder` is borrowed and may be set later, before the first write; `ids` is the
 * node's, and is only used when there is no store. */
enum weir_result stage_open(struct stage *stage, struct weir_context *context, const char *folder,
                            struct agreement *ids);
enum weir_result stage_load(struct stage *stage, struct weir_context *context,
                            struct weir_loader *loader);
void stage_save(const struct stage *stage, struct weir_saver *saver);
/* Removes the file that is not sealed: it is in no handle, and the input it came from will be read
 * again. Safe after a failed open. */
void stage_close(struct stage *stage, struct weir_context *context);

/* True for the subtasks whose numbers and files this one looks after. */
bool stage_is_ours(const struct weir_context *context, uint32_t subtask);
/* The number of the next file of a subtask of ours. */
uint64_t stage_next(const struct stage *stage, uint32_t subtask);

/* S4, to be called when the second phase of `committed` is over. Lists the folder; after the first
 * that this run staged itself, does nothing. */
enum weir_result stage_settle(struct stage *stage, struct weir_context *context,
                              const struct part *committed);
/* Removes every file of the folder whose name begins with `prefix`: what a run left that nobody can
 * resume. */
enum weir_result stage_clear(struct weir_context *context, const char *folder, const char *prefix);
/* Appends to the staged file, which is made when there is none. */
enum weir_result stage_write(struct stage *stage, struct weir_context *context,
                             struct weir_bytes bytes);
/* The file, which must be there (stage->file), becomes durable; *part is what it is called by. */
enum weir_result stage_seal(struct stage *stage, struct weir_context *context, struct part *part);

#endif
