/* SPDX-License-Identifier: Apache-2.0
 *
 * rotation: a file that is written to, the live one, and those that were renamed away from its
 * name, in the order they were written. All lie in one folder:
 *
 *   BASE                          the live one
 *   BASE.7                        numbered: 1 to 5 digits; the higher, the older; no gaps
 *   BASE-20260131, BASE.20260131  dated: 6 and more of digits and - _ . : T, of which the first and
 *                                 last are digits; the order of the names is that of the files
 *
 * each but the live one also with .gz, .bz2, .xz, .zst or .lz4 behind it, which can't be read but
 * must not be passed over either. Other names mean nothing. Numbered and dated ones in one folder
 * are refused, since they have no order.
 *
 * Somebody renames while this looks, so a look may show a picture that never was. After it, the
 * file whose successor is asked for is looked up again by its name, and the names are listed again:
 * while a numbered file has not moved, and no dated name has come, none has come between it and the
 * next. Otherwise, and when there is a gap, the picture is not settled: look again later. The last
 * file is told in the same way, by its number, 1, or as the last dated one.
 */
#ifndef ROTATION_H
#define ROTATION_H

#include "block.h"
#include "path.h"

struct rotation_file {
    char name[PATH_NAME_LIMIT + 1];
    uint32_t number; /* 0: the live one; ROTATION_DATED */
    bool packed;
    uint64_t device, inode, size;
};
#define ROTATION_DATED UINT32_MAX

struct rotation {
    char path[PATH_ROOM]; /* of the live file */
    char folder[PATH_ROOM];
    struct block files; /* of struct rotation_file, oldest first; the last look's */
    uint64_t names;     /* what it listed, in one number */
};

/* `path` is sound. */
void rotation_init(struct rotation *rotation, const char *path);
void rotation_free(struct rotation *rotation, const struct weir_allocator *allocator);

/* Looks at the folder. Fails the run when it can't. */
enum weir_result rotation_look(struct rotation *rotation, struct weir_context *context);
size_t rotation_count(const struct rotation *rotation);
const struct rotation_file *rotation_at(const struct rotation *rotation, size_t index);
void rotation_path(const struct rotation *rotation, const struct rotation_file *file,
                   char path[PATH_ROOM]);

enum rotation_place {
    ROTATION_LIVE,      /* the file is the live one */
    ROTATION_FOLLOWED,  /* it was rotated away, and has a successor */
    ROTATION_LAST,      /* it was rotated away as the newest, and there is no live one yet */
    ROTATION_UNSETTLED, /* none of these at the moment: look again later */
    ROTATION_FAILED,
};
/* Where the file with this inode stands, and what follows it. `written` says whether any file after
 * it holds bytes: then its writer has left it, for he writes to one file at a time. */
struct rotation_step {
    const struct rotation_file *next; /* ROTATION_FOLLOWED; lives until the next look */
    bool written;
};
enum rotation_place rotation_next(struct rotation *rotation, struct weir_context *context,
                                  uint64_t device, uint64_t inode, struct rotation_step *step);

#endif
