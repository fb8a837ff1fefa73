/* SPDX-License-Identifier: Apache-2.0
 *
 * annex: where the bytes of sealed segments go when a job's state is larger than the memory it may
 * have. A segment takes its memory from ranges of address space. When there is too much of it in
 * memory, a part of a range is written to a file, and the file is mapped there, read only. No
 * address changes: places, views and whoever writes the segment on another thread notice nothing.
 *
 *   range   [moved out ......................|in memory ............|not taken yet]
 *           base                    base + moved         base + used    base + size
 *
 * X1  only what will never change is moved: sealed segments, and what was restored (L6).
 * X2  what is mapped was reserved before it was written: a full disk refuses the move, and nobody
 *     is killed by a read (SIGBUS). A disk that fails to give back what it took still kills.
 * X3  a file has no name and no descriptor once all of it is mapped: its space comes back when the
 *     segment is released, or the process dies. So the files are never larger than the segments.
 * X4  a move that fails leaves all as it was: the bytes stay in memory, and count there.
 * X5  giving back a range takes the kernel up to a millisecond, and a segment may have hundreds:
 *     who releases it only lets go of them, and tasks give back one or two at a time (annex_tidy).
 *
 * Nothing is synced: what lies there is in the checkpoints as well. The kernel writes it out when
 * it likes, and then may drop its pages, which are of the file and not of the process.
 */
#ifndef ANNEX_H
#define ANNEX_H

#include <stdatomic.h>

#include "weir_base.h"

#define ANNEX_RANGE                                                                                \
    ((size_t)4 << 20) /* bytes of address space, at most, unless one block needs more */

/* Of a job; shared by all its states. */
struct annex {
    /* set before use */
    const char *folder; /* borrowed; exists */
    uint32_t epoch;     /* for the files' names */
    size_t page;        /* bytes */
    uint64_t budget;    /* bytes that are to be in memory at most */

    /* any thread */
    _Atomic uint64_t held;     /* bytes in memory */
    _Atomic uint64_t moved;    /* bytes in files */
    _Atomic uint64_t again_at; /* after a failure: `held` from which on it is tried again */
    atomic_uint files;         /* made so far */
    struct annex_range
        *_Atomic left;  /* X5: of no segment any more; any thread adds, one takes all */
    atomic_int trouble; /* the last failure, -errno; 0: the last move went well */
    atomic_bool warned; /* of it */
};

struct annex_range {
    struct annex_range *next;
    unsigned char *base;
    size_t size, used, moved; /* bytes, whole pages */
    int file;                 /* -1: none is open */
    const struct weir_allocator *allocator;
    size_t file_begins; /* where in the range */
};

/* The memory of one segment; zeroed, it has none. One thread at a time. */
struct annex_ranges {
    struct annex_range *first, *last;
    struct annex_range *next; /* the first that is not moved out whole; NULL: none */
};

void annex_init(struct annex *annex, const char *folder, uint32_t epoch, uint64_t budget);
/* Tries once what every move does: an error that names the folder and says what it can't do. */
enum weir_result annex_try(struct annex *annex, struct weir_error *error) WEIR_MUST_USE;

/* `size` bytes, aligned to a page, with anything in them. NULL: no memory. */
unsigned char *annex_take(struct annex *annex, struct annex_ranges *ranges,
                          const struct weir_allocator *allocator, size_t size);
/* Moves out about `most` bytes, from the front; X1 is the caller's to keep. Answers how many were
 * moved: 0 when all is, or it failed. May block for the disk. */
uint64_t annex_move(struct annex *annex, struct annex_ranges *ranges, uint64_t most);
/* Any thread, the last one. They count until they are given back. */
void annex_release(struct annex *annex, struct annex_ranges *ranges);
/* Gives back at most so many ranges that were released. Any thread. False: there was none. */
bool annex_tidy(struct annex *annex, unsigned most);
void annex_free(struct annex *annex); /* when nobody has a segment of it: gives back the rest */
uint64_t annex_held(const struct annex_ranges *ranges); /* bytes in memory */

/* How much is too much, when `more` bytes come; 0: nothing is. */
uint64_t annex_excess(struct annex *annex, uint64_t more);
/* True once, after moves began to fail, and again after they went well in between. */
bool annex_warns(struct annex *annex, int *trouble);
/* Twice the budget, since moves fail: then *trouble says why, -errno. */
bool annex_is_overrun(struct annex *annex, int *trouble);

#endif
