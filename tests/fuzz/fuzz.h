/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz: what a target is. Each tries one reader of bytes that may be anybody's: nothing may be
 * overrun, leaked, asserted, or take memory without bound; what is refused says why; and what is
 * taken holds what that target promises beyond (reading back what it has written, mostly).
 *
 * All targets are in one program, twice: with libFuzzer (engine.c; the preset `fuzz`), where the
 * environment's WEIR_FUZZ names one, and without, in every build (replay.c), as a test of whatever
 * was found before. One thread.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "fuzz_bytes.h"

struct fuzz_target {
    const char *name;
    /* One input. Ends the process when anything is wrong. */
    void (*run)(const unsigned char *data, size_t size);
    /* The n-th input to begin with; false: there are no more. */
    bool (*seed)(uint32_t n, struct fuzz_bytes *seed);
    /* Puts right, after a mutation, what guards the rest: checksums, sizes. Answers the new size,
     * at most `room`. NULL: nothing guards. */
    size_t (*mend)(unsigned char *data, size_t size, size_t room);
};

extern const struct fuzz_target fuzz_blob, fuzz_lock, fuzz_frame, fuzz_items, fuzz_list,
    fuzz_manifest, fuzz_part, fuzz_state, fuzz_options, fuzz_control, fuzz_journal, fuzz_history,
    fuzz_records, fuzz_format, fuzz_view, fuzz_restore;

/* All of them; how many. */
#define FUZZ_TARGETS 16u
extern const struct fuzz_target *const fuzz_targets[FUZZ_TARGETS];
const struct fuzz_target *fuzz_find(const char *name); /* NULL: there is none */

#endif
